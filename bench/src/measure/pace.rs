//! When requests are due, whatever became of those before.

use std::time::Duration;

/// Arrivals at a fixed rate: the k-th is due k periods after the first.
///
/// Who is late with one is not excused from the next, and waits count from
/// here: a stall delays all that were due during it, as it does users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    rate: u64,
    total: u64,
    uncounted: u64,
}

impl Schedule {
    /// `rate` arrivals a second (at least one) for as long as `counted`, behind a
    /// quarter of that which does not count.
    #[must_use]
    pub fn new(rate: u64, counted: Duration) -> Self {
        let rate = rate.max(1);
        let arrivals = |length: Duration| {
            let arrivals = length.as_nanos().saturating_mul(u128::from(rate)) / SECOND;
            u64::try_from(arrivals).unwrap_or(u64::MAX)
        };
        let uncounted = arrivals(counted.div_f64(4.0));
        Self { rate, total: arrivals(counted).saturating_add(uncounted), uncounted }
    }

    /// How long after the start an arrival is due, if it is one of the schedule's.
    #[must_use]
    pub fn due(self, arrival: u64) -> Option<Duration> {
        // From the start each time: periods rounded to nanoseconds would drift when added up.
        let nanos = u128::from(arrival).saturating_mul(SECOND);
        let nanos = nanos.checked_div(u128::from(self.rate)).unwrap_or(0);
        let due = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        (arrival < self.total).then_some(due)
    }
}

const SECOND: u128 = 1_000_000_000;

/// When the next request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// When it is due.
    Open(Schedule),
    /// As soon as a connection is free, for so long.
    Closed(Duration),
}

impl Pace {
    /// When `arrival` is due; `None` if it will never be.
    #[must_use]
    pub fn due(self, arrival: u64, elapsed: Duration) -> Option<Duration> {
        match self {
            Self::Open(schedule) => schedule.due(arrival),
            Self::Closed(length) => (elapsed < length).then_some(elapsed),
        }
    }

    /// Whether an arrival belongs into the figures.
    #[must_use]
    pub fn counts(self, arrival: u64) -> bool {
        match self {
            Self::Open(schedule) => arrival >= schedule.uncounted,
            Self::Closed(_) => true,
        }
    }

    /// When the last one is due.
    #[must_use]
    pub fn length(self) -> Duration {
        match self {
            Self::Open(schedule) => {
                schedule.due(schedule.total.saturating_sub(1)).unwrap_or_default()
            }
            Self::Closed(length) => length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_one_period_apart_and_end() {
        let schedule = Schedule::new(2_000, Duration::from_secs(1));
        assert_eq!(schedule.due(0), Some(Duration::ZERO));
        assert_eq!(schedule.due(1), Some(Duration::from_micros(500)));
        // A quarter more, at the beginning, does not count.
        assert_eq!(schedule.due(2_499), Some(Duration::from_micros(1_249_500)));
        assert_eq!(schedule.due(2_500), None);
        let pace = Pace::Open(schedule);
        assert_eq!([pace.counts(499), pace.counts(500)], [false, true]);
        assert_eq!(pace.length(), Duration::from_micros(1_249_500));
    }

    #[test]
    fn a_period_that_is_no_whole_number_of_nanoseconds_does_not_drift() {
        let schedule = Schedule::new(3_000, Duration::from_secs(1_000));
        assert_eq!(schedule.due(3_000_000), Some(Duration::from_secs(1_000)));
        assert_eq!(schedule.due(3), Some(Duration::from_millis(1)));
    }

    #[test]
    fn an_open_pace_does_not_look_at_the_clock() {
        let pace = Pace::Open(Schedule::new(1_000, Duration::from_secs(1)));
        assert_eq!(pace.due(7, Duration::from_secs(90)), Some(Duration::from_millis(7)));
    }

    #[test]
    fn a_closed_pace_is_always_due_until_its_end() {
        let pace = Pace::Closed(Duration::from_secs(1));
        let late = Duration::from_millis(999);
        assert_eq!(pace.due(7, late), Some(late));
        assert_eq!(pace.due(7, Duration::from_secs(1)), None);
        assert!(pace.counts(0));
    }
}
