//! How long things took.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram as Hdr;

/// The longest time that is told apart; longer ones count as this one.
const LONGEST: Duration = Duration::from_secs(3600);

/// Durations, from 1 ns to an hour, each kept to within 1 %.
///
/// The lock is uncontended where each worker has its own instance: only a scrape ever waits for it.
#[derive(Default)]
pub struct Histogram(Mutex<Totals>);

impl Histogram {
    /// Makes an empty histogram.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one duration.
    pub fn record(&self, took: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).record(took);
    }

    /// Adds everything counted so far to `total`.
    pub fn merge_into(&self, total: &mut Totals) {
        total.add(&self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Histogram(..)")
    }
}

/// The sum of histograms, to be printed by [`crate::Family::histogram`].
#[derive(Clone)]
pub struct Totals {
    counts: Hdr<u64>,
    sum: Duration,
}

impl Totals {
    fn record(&mut self, took: Duration) {
        self.counts.saturating_record(nanos(took));
        self.sum = self.sum.saturating_add(took);
    }

    fn add(&mut self, other: &Self) {
        // Both were made with the same bounds, so nothing can be out of range.
        if self.counts.add(&other.counts).is_ok() {
            self.sum = self.sum.saturating_add(other.sum);
        }
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.len()
    }

    /// All durations added up, exactly.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        self.sum
    }

    /// How many durations were at most `bound`, to within 1 % of it.
    #[must_use]
    pub fn count_up_to(&self, bound: Duration) -> u64 {
        self.counts.count_between(0, nanos(bound))
    }

    /// The duration that the share `quantile` (0 to 1) of all did not exceed.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.counts.value_at_quantile(quantile))
    }
}

impl Default for Totals {
    fn default() -> Self {
        #[expect(
            clippy::expect_used,
            reason = "the bounds are constants within hdrhistogram's limits"
        )]
        let counts = Hdr::new_with_bounds(1, nanos(LONGEST), 2).expect("1 ns to 1 h at two digits");
        Self { counts, sum: Duration::ZERO }
    }
}

impl fmt::Debug for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Totals({} in {:?})", self.count(), self.sum)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_at_the_bound_counts_below_it_and_a_longer_one_does_not() {
        let histogram = Histogram::new();
        histogram.record(Duration::from_millis(10));
        histogram.record(Duration::from_millis(11));
        let mut totals = Totals::default();
        histogram.merge_into(&mut totals);
        assert_eq!(totals.count_up_to(Duration::from_millis(9)), 0);
        assert_eq!(totals.count_up_to(Duration::from_millis(10)), 1);
        assert_eq!(totals.count_up_to(Duration::from_millis(12)), 2);
    }

    #[test]
    fn merging_two_workers_adds_counts_and_sums() {
        let (one, two) = (Histogram::new(), Histogram::new());
        one.record(Duration::from_secs(1));
        two.record(Duration::from_secs(2));
        let mut totals = Totals::default();
        one.merge_into(&mut totals);
        two.merge_into(&mut totals);
        assert_eq!((totals.count(), totals.sum()), (2, Duration::from_secs(3)));
    }

    #[test]
    fn nothing_is_lost_that_is_longer_than_the_longest() {
        let histogram = Histogram::new();
        histogram.record(Duration::MAX);
        histogram.record(Duration::ZERO);
        let mut totals = Totals::default();
        histogram.merge_into(&mut totals);
        assert_eq!(totals.count(), 2);
        assert_eq!(totals.sum(), Duration::MAX);
    }
}
