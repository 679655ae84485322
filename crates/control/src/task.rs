//! Small things that tasks share: a task bound to its owner, a back-off, the clock.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

/// A task that is aborted when its owner lets go of it, so that nothing outlives a cluster.
#[derive(Debug)]
pub(crate) struct Owned(JoinHandle<()>);

impl Owned {
    /// Starts `work`.
    pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }

    /// Waits until the task has ended. Cancel-safe; must not be called again after it returned.
    pub(crate) async fn ended(&mut self) {
        // How it ended is of no interest: whoever waits here replaces the task anyway.
        let _outcome = (&mut self.0).await;
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Pauses that double from `first` to `most`.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    /// A back-off whose first pause is `first`.
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first }
    }

    /// How long to pause after one more failure.
    #[must_use]
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(self.most);
        pause
    }

    /// Starts over after a success.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

/// What was last complained about, so that something that stays broken fills no log.
#[derive(Debug, Default)]
pub(crate) struct Complaint(Option<String>);

impl Complaint {
    /// Whether `reason` is not what was said last; it counts as said from now on.
    #[must_use]
    pub(crate) fn is_new(&mut self, reason: &str) -> bool {
        let new = self.0.as_deref() != Some(reason);
        if new {
            self.0 = Some(reason.to_owned());
        }
        new
    }

    /// All is well: the same trouble is worth a word again.
    pub(crate) fn settle(&mut self) {
        self.0 = None;
    }
}

/// The monotonic clock that all decisions are fed from; tests can pause it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// `pause` after `start`, or `start` itself where no such moment exists.
pub(crate) fn later(start: Instant, pause: Duration) -> Instant {
    start.checked_add(pause).unwrap_or(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_most_and_start_over_after_a_success() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(10), ms(35));
        let pauses: Vec<_> = std::iter::repeat_with(|| backoff.pause()).take(4).collect();
        assert_eq!(pauses, [ms(10), ms(20), ms(35), ms(35)]);
        backoff.reset();
        assert_eq!(backoff.pause(), ms(10));
    }

    #[test]
    fn trouble_is_told_once_until_it_changes_or_was_settled() {
        let mut complaint = Complaint::default();
        let told: Vec<_> = ["a", "a", "b", "a"].map(|reason| complaint.is_new(reason)).into();
        assert_eq!(told, [true, false, true, true]);
        complaint.settle();
        assert!(complaint.is_new("a"));
    }

    #[tokio::test]
    async fn a_task_ends_with_its_owner() {
        let (alive, mut gone) = tokio::sync::mpsc::channel::<()>(1);
        let owned = Owned::spawn(async move {
            std::future::pending::<()>().await;
            drop(alive);
        });
        drop(owned);
        assert_eq!(gone.recv().await, None);
    }
}
