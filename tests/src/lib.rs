//! A rig for end-to-end tests: a real cluster, the real binary, and ways to talk to both.
//!
//! Everything listens on free ports and is gone when the rig is dropped.
#![expect(clippy::indexing_slicing, reason = "a missing JSON field is null, not a panic")]

mod admin;
pub mod checker;
pub mod crowd;
mod fetched;
mod raw;
mod route;
mod run;
pub mod say;
mod weir;

pub use crate::admin::{Answer, http};
pub use crate::fetched::Fetched;
pub use crate::raw::{Message, Raw, tags};
pub use crate::route::{Route, value};
pub use crate::run::Said;
pub use crate::weir::{Config, Weir};

use std::time::{Duration, Instant};

/// Waits until `what` holds, asking every few milliseconds, or fails with its name.
///
/// # Panics
///
/// When `limit` has passed.
#[track_caller]
pub fn eventually(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let since = now();
    while !holds() {
        assert!(since.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The clock of the tests themselves.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "tests of a real process run on real time")]
pub fn now() -> Instant {
    Instant::now()
}
