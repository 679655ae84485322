//! End to end: the real binary in front of real clusters.
#![cfg(test)]
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod consistency;

/// The binary under test.
pub(crate) const WEIR: &str = env!("CARGO_BIN_EXE_weir-under-test");
