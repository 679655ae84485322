//! Moments for tests: one start that is as good as any other, and what comes after it.

use std::time::{Duration, Instant};

/// A fixed moment of this test run; only differences to it mean something.
#[expect(clippy::disallowed_methods, reason = "an Instant can be had nowhere else")]
pub(crate) fn start() -> Instant {
    Instant::now()
}

/// Milliseconds, short enough for tables.
pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
