//! How old is what a replica shows? Measured without comparing clocks of different machines.
//!
//! The proxy's own clock notes when it asked the primary, and the primary says how far it was. A
//! replica that replayed up to there shows everything that was flushed when the question was sent.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::lsn::Lsn;

/// Replay delay; "never measured" is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lag {
    /// No primary sample is known to have been replayed.
    Unknown,
    /// The data is at most this old.
    AtMost(Duration),
}

/// When the primary was asked, and what has to be reached to show what it showed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample<M = Lsn> {
    /// When the question was sent (proxy's monotonic clock).
    pub sent: Instant,
    /// The [mark](Marks::mark) of that moment, or the [transactions](Xid) that had ended.
    pub mark: M,
}

/// A transaction ID with its epoch (manual, 8.19: `xid8`): all below it have ended.
///
/// On a primary `pg_snapshot_xmax(pg_current_snapshot())`; a standby whose `pg_snapshot_xmin` is no less has
/// replayed the end of all of them, wherever the flushed WAL ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xid(pub u64);

/// Where a primary was, all seen at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Positions<'a> {
    /// `pg_current_wal_insert_lsn()`, rounded; the end of a record.
    pub insert: Lsn,
    /// `pg_current_wal_flush_lsn()`, read after it.
    pub flush: Lsn,
    /// `wal_block_size`, bytes.
    pub block: u64,
    /// `pg_current_snapshot()`: it stays the same for as long as no transaction ends.
    pub snapshot: &'a str,
}

/// Makes marks of the positions that one connection to one primary reads, one after another.
///
/// The flush position alone is not enough: in the background whole pages are written, so while a transaction
/// is open the position may stand within a record, which nobody can replay to its end until
/// somebody commits. But as long as no transaction ends, the primary shows what it showed before.
#[derive(Debug, Clone, Default)]
pub struct Marks {
    /// The snapshot seen last, and the insert position when it was seen first.
    same: Option<(Box<str>, Lsn)>,
}

impl Marks {
    /// The least position that a replica must have replayed to show all that was flushed at this moment.
    pub fn mark(&mut self, now: Positions<'_>) -> Lsn {
        let same = self.same.take().filter(|(snapshot, _)| **snapshot == *now.snapshot);
        let (snapshot, covers) = same.unwrap_or_else(|| (now.snapshot.into(), now.insert));
        self.same = Some((snapshot, covers));
        let amid_a_record = now.flush.0.checked_rem(now.block).is_none_or(|offset| offset == 0);
        if amid_a_record { covers } else { covers.min(now.flush) }
    }
}

/// Samples of one primary on one timeline, dense for the last moments and coarse for old ones.
///
/// Both parts of the samples rise strictly from front to back. Whatever is dropped is dropped
/// whole, so an answer can be older than the truth and never fresher: at most by an eighth of the
/// sample's age, or by a millisecond.
#[derive(Debug, Clone)]
pub struct Ring<M = Lsn> {
    samples: VecDeque<Sample<M>>,
}

impl<M> Default for Ring<M> {
    fn default() -> Self {
        Self { samples: VecDeque::new() }
    }
}

impl<M: Copy + Ord> Ring<M> {
    /// The most samples that are kept; with the thinning below they span more than a year.
    pub const CAPACITY: usize = 512;

    /// Thinning leaves gaps of at most this part of their age.
    const COARSENESS: u32 = 8;

    /// Gaps up to this are left even between the newest samples.
    const FINEST: Duration = Duration::from_millis(1);

    /// Adds a sample of the primary.
    ///
    /// Samples that the new one makes needless go: it was sent later, so whoever replayed as far
    /// as an older one that is not behind it is fresher than that one says. An idle primary
    /// therefore fills one place. A sample that was not sent after the newest is left out.
    pub fn push(&mut self, sent: Instant, mark: M) {
        if self.newest().is_some_and(|newest| sent <= newest.sent) {
            return;
        }
        while self.newest().is_some_and(|newest| newest.mark >= mark) {
            self.samples.pop_back();
        }
        if self.samples.len() >= Self::CAPACITY {
            self.thin(sent);
        }
        self.samples.push_back(Sample { sent, mark });
    }

    /// When the newest sample was sent that a replica at `replay` has reached.
    ///
    /// The caller makes sure that `replay` is a position on this ring's timeline.
    #[must_use]
    pub fn freshest_reached(&self, replay: M) -> Option<Instant> {
        let beyond = self.samples.partition_point(|sample| sample.mark <= replay);
        self.samples.get(beyond.checked_sub(1)?).map(|sample| sample.sent)
    }

    /// The newest sample.
    #[must_use]
    pub fn newest(&self) -> Option<Sample<M>> {
        self.samples.back().copied()
    }

    /// Drops each sample without which the gap between its neighbours is still narrow for its age.
    ///
    /// Ages grow, so a gap that was left stays narrow enough, and no repetition widens it beyond
    /// that. Two neighbouring gaps together are wider, so from 8 ms on, each factor of e in age
    /// takes at most 16 places: a year takes fewer than 400. The oldest sample stays.
    fn thin(&mut self, now: Instant) {
        let mut thinned: VecDeque<Sample<M>> = VecDeque::with_capacity(Self::CAPACITY);
        let mut newer: Option<Instant> = None;
        let mut samples = self.samples.iter().rev().copied().peekable();
        while let Some(sample) = samples.next() {
            let needless = newer.zip(samples.peek()).is_some_and(|(newer, older)| {
                let age = now.saturating_duration_since(newer);
                let narrow =
                    age.checked_div(Self::COARSENESS).unwrap_or_default().max(Self::FINEST);
                newer.saturating_duration_since(older.sent) <= narrow
            });
            if !needless {
                newer = Some(sample.sent);
                thinned.push_front(sample);
            }
        }
        if thinned.len() >= Self::CAPACITY {
            thinned.pop_front();
        }
        self.samples = thinned;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{ms, start};

    fn ring(samples: &[(u64, u64)]) -> (Instant, Ring) {
        let (start, mut ring) = (start(), Ring::default());
        for (at, flush) in samples {
            ring.push(start + ms(*at), Lsn(*flush));
        }
        (start, ring)
    }

    #[test]
    fn a_replica_is_as_fresh_as_the_newest_sample_that_it_reached() {
        let (start, ring) = ring(&[(0, 100), (10, 200), (20, 300)]);
        assert_eq!(ring.freshest_reached(Lsn(99)), None);
        assert_eq!(ring.freshest_reached(Lsn(100)), Some(start));
        assert_eq!(ring.freshest_reached(Lsn(299)), Some(start + ms(10)));
        assert_eq!(ring.freshest_reached(Lsn(300)), Some(start + ms(20)));
        assert_eq!(ring.freshest_reached(Lsn(u64::MAX)), Some(start + ms(20)));
    }

    #[test]
    fn nothing_is_claimed_without_samples() {
        assert_eq!(Ring::default().freshest_reached(Lsn(u64::MAX)), None);
        assert_eq!(<Ring>::default().newest(), None);
    }

    #[test]
    fn an_idle_primary_fills_one_place_and_keeps_its_replicas_fresh() {
        let (start, mut ring) = ring(&[(0, 100)]);
        for second in 1..=10_000_u64 {
            ring.push(start + ms(second * 1000), Lsn(200));
        }
        assert_eq!(ring.samples.len(), 2);
        assert_eq!(ring.freshest_reached(Lsn(200)), Some(start + ms(10_000_000)));
        assert_eq!(ring.freshest_reached(Lsn(199)), Some(start));
    }

    #[test]
    fn a_sample_that_overtook_another_makes_it_needless() {
        // Sent later, answered from an earlier position: whoever is at 150 is as fresh as 10 ms.
        let (start, ring) = ring(&[(0, 200), (10, 150)]);
        assert_eq!(ring.freshest_reached(Lsn(150)), Some(start + ms(10)));
        assert_eq!(ring.freshest_reached(Lsn(149)), None);
    }

    #[test]
    fn a_sample_sent_before_the_newest_is_left_out() {
        let (start, ring) = ring(&[(10, 200), (9, 100), (10, 300)]);
        assert_eq!(ring.freshest_reached(Lsn(199)), None);
        assert_eq!(ring.newest(), Some(Sample { sent: start + ms(10), mark: Lsn(200) }));
    }

    #[test]
    fn a_day_of_ten_samples_a_second_fits_and_stays_an_eighth_precise() {
        let (start, mut ring) = (start(), Ring::default());
        let last = 24 * 3600 * 10_u64;
        for i in 0..=last {
            ring.push(start + ms(i * 100), Lsn(i));
        }
        assert!(ring.samples.len() <= <Ring>::CAPACITY);
        let now = start + ms(last * 100);
        for age in [0, 1, 2, 5, 10, 100, 1_000, 10_000, 100_000, 800_000, last] {
            let truth = ms(age * 100);
            let told = now - ring.freshest_reached(Lsn(last - age)).unwrap();
            assert!(told >= truth, "{told:?} is fresher than {truth:?}");
            assert!(told <= truth + truth / 8 + ms(100), "{told:?} is far older than {truth:?}");
        }
    }

    #[test]
    fn the_oldest_sample_survives_thinning() {
        let (start, mut ring) = (start(), Ring::default());
        for i in 0..10_000_u64 {
            ring.push(start + ms(i), Lsn(i + 1));
        }
        assert_eq!(ring.freshest_reached(Lsn(1)), Some(start));
    }

    proptest! {
        #[test]
        fn the_ring_never_claims_fresher_than_a_list_of_all_samples(
            samples in prop::collection::vec((0_u64..2_000_000, 0_u64..3_000), 1..3_000),
            ordered in any::<bool>(),
            replays in prop::collection::vec(0_u64..3_100, 20),
        ) {
            let mut samples = samples;
            if ordered {
                samples.sort_unstable();
            }
            let (start, ring) = ring(&samples);
            for replay in replays {
                let reached = samples.iter().filter(|(_, flush)| *flush <= replay);
                let naive = reached.map(|(at, _)| start + ms(*at)).max();
                prop_assert!(ring.freshest_reached(Lsn(replay)) <= naive);
            }
        }

        #[test]
        fn before_thinning_the_ring_says_what_a_list_of_all_samples_says(
            steps in prop::collection::vec((1_u64..50, 0_u64..4), 1..500),
        ) {
            let mut at = (0, 0);
            let samples: Vec<(u64, u64)> = steps.iter().map(|step| {
                at = (at.0 + step.0, at.1 + step.1);
                at
            }).collect();
            let (start, ring) = ring(&samples);
            for replay in 0..=at.1 + 1 {
                let naive = samples.iter().filter(|(_, flush)| *flush <= replay).map(|(at, _)| start + ms(*at)).max();
                prop_assert_eq!(ring.freshest_reached(Lsn(replay)), naive);
            }
        }

        #[test]
        fn its_samples_rise_and_never_exceed_the_capacity(
            steps in prop::collection::vec((0_u64..5_000, 0_u64..4), 0..2_000),
        ) {
            let mut at = (0, 0);
            let (start, mut ring) = (start(), Ring::default());
            for (millis, bytes) in steps {
                at = (at.0 + millis, at.1 + bytes);
                ring.push(start + ms(at.0), Lsn(at.1));
                prop_assert!(ring.samples.len() <= <Ring>::CAPACITY);
            }
            let rises = |pair: (&Sample, &Sample)| pair.0.sent < pair.1.sent && pair.0.mark < pair.1.mark;
            prop_assert!(ring.samples.iter().zip(ring.samples.iter().skip(1)).all(rises));
        }
    }

    /// Marks of positions that are seen one after another: insert, flush, snapshot.
    fn marks(seen: &[(u64, u64, &str)]) -> Vec<u64> {
        let mut marks = Marks::default();
        let mark = |(insert, flush, snapshot): &(u64, u64, &str)| {
            let (insert, flush) = (Lsn(*insert), Lsn(*flush));
            marks.mark(Positions { insert, flush, block: 8192, snapshot }).0
        };
        seen.iter().map(mark).collect()
    }

    #[test]
    fn what_is_flushed_to_the_end_of_a_record_is_the_mark() {
        assert_eq!(marks(&[(100, 100, "3:3:"), (250, 200, "4:4:")]), [100, 200]);
    }

    #[test]
    fn while_no_transaction_ends_the_mark_stays_though_pages_are_flushed() {
        // A transaction is open, and its WAL goes to disk page by page.
        let seen = [(100, 100, "3:3:"), (9_000, 8_192, "3:3:"), (20_000, 16_384, "3:3:")];
        assert_eq!(marks(&seen), [100, 100, 100]);
        // It does not go up with what a flush says, either.
        assert_eq!(marks(&[(100, 100, "3:3:"), (9_000, 8_500, "3:3:")]), [100, 100]);
    }

    #[test]
    fn a_page_s_start_may_be_amid_a_record_that_nobody_can_replay() {
        // Something ended since the last look: what covers it is the insert position.
        let seen = [(100, 100, "3:3:"), (9_000, 8_192, "4:4:"), (20_000, 8_192, "4:4:")];
        assert_eq!(marks(&seen), [100, 9_000, 9_000]);
    }
}
