//! Waiting for what another process does.

use std::thread;
use std::time::{Duration, Instant};

/// How long servers get for what takes them a second at most.
///
/// Long, since a loaded machine must not fail a test; short enough to be seen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const STEP: Duration = Duration::from_millis(5);

/// Asks until there is an answer; `Ok(None)` when `limit` passed without one.
#[expect(
    clippy::disallowed_methods,
    reason = "real processes keep real time: tokio's clock may be paused by the test"
)]
pub(crate) fn until<T, E>(
    limit: Duration,
    mut probe: impl FnMut() -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    let begun = Instant::now();
    loop {
        if let Some(answer) = probe()? {
            return Ok(Some(answer));
        }
        if begun.elapsed() >= limit {
            return Ok(None);
        }
        thread::sleep(STEP);
    }
}
