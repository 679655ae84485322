//! Guarded reads: when is a proof that travels with the read worth trying, and did it hold?
//!
//! Between two probes a replica goes on replaying. A read that needs a fence which no measured position has
//! reached can carry its proof: Weir's own question for the replay position, answered in an earlier
//! transaction than the read's snapshot. A question that fails costs the read a second way, so it is
//! asked only where it nearly always passed before, for WAL that was flushed as long ago ([`Guards`]).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::clock::Answers;
use crate::lsn::{Fence, Lsn};
use crate::topology::{Epoch, NodeId, NodeView, Role, Topology};

/// What a replica has to prove before the client sees a byte of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    /// What its replay must have passed.
    pub fence: Fence,
    /// Since when the primary is known to have flushed that far.
    pub flushed: Instant,
    /// For how long the replica may wait for its replay, whole milliseconds, if it can at all.
    pub waits: Option<Duration>,
}

/// What came of a guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The replica has passed the fence.
    Passed,
    /// It has not, yet.
    Behind,
    /// Nothing is proved: no answer, not the one that was expected, or another primary by now.
    Void,
}

impl Guard {
    /// The question. `NULL` where the node is no standby any more: a promoted one still has a position.
    pub const QUESTION: &'static str = "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() END";

    /// The same where the replica can wait, with what it waits for and for how long.
    ///
    /// It answers `success`, `timeout` or `not in recovery`. A timeout of 0 would be none.
    #[must_use]
    pub fn wait(&self, limit: Duration) -> String {
        let limit = limit.as_millis().max(1);
        let lsn = self.fence.lsn;
        format!("WAIT FOR LSN '{lsn}' WITH (MODE 'standby_replay', TIMEOUT '{limit}ms', NO_THROW)")
    }

    /// Judges the one value that the question was answered.
    ///
    /// `asked` and `now` are the cluster's epochs when the replica was chosen, and now: a bare position
    /// counts only while its timeline is known, which a failover changes.
    #[must_use]
    pub fn judge(&self, value: Option<&[u8]>, asked: Epoch, now: Epoch) -> Proof {
        let passed = match (value, self.waits) {
            (Some(b"success"), Some(_)) => true,
            (Some(b"timeout"), Some(_)) => false,
            (None, _) | (Some(_), Some(_)) => return Proof::Void,
            (Some(value), None) => {
                let text = std::str::from_utf8(value).ok();
                let Some(replay) = text.and_then(|text| text.parse::<Lsn>().ok()) else {
                    return Proof::Void;
                };
                replay >= self.fence.lsn
            }
        };
        match (asked == now, passed) {
            (true, true) => Proof::Passed,
            (true, false) => Proof::Behind,
            (false, _) => Proof::Void,
        }
    }
}

/// How likely each replica has replayed WAL of a given age, as far as one worker has seen.
#[derive(Debug, Clone, Default)]
pub struct Guards {
    /// The newest snapshot that was learned from.
    generation: u64,
    nodes: BTreeMap<NodeId, Odds>,
}

/// One replica's share of passes, by the age of the WAL that it should have.
#[derive(Debug, Clone)]
struct Odds {
    /// When the newest probe was sent that was learned from.
    learned: Option<Instant>,
    /// In parts of [`CERTAIN`], for the ages of [`AGES`].
    rates: [u32; AGES.len()],
}

/// Lower ends of the ranges of age, microseconds.
const AGES: [u64; 12] =
    [0, 250, 500, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000, 30_000, 100_000, 300_000];

const CERTAIN: u32 = 1 << 16;

/// A guard is tried where at least nine in ten passed.
const LIKELY: u32 = CERTAIN / 10 * 9;

/// One new sample weighs as much as the seven before it together.
const MEMORY: u32 = 8;

/// One in so many reads tries a younger age than those known to pass, or nobody would ever learn it.
const CURIOUS: u64 = 32;

impl Guards {
    /// Takes note of a guard's outcome: WAL of that age was there, or was not.
    pub fn note(&mut self, node: NodeId, age: Duration, proof: Proof) {
        match proof {
            Proof::Passed => self.odds(node).passed(age),
            Proof::Behind => self.odds(node).failed(age),
            Proof::Void => {}
        }
    }

    /// Learns from probes that the topology shows for the first time; forgets nodes that are gone.
    pub fn learn(&mut self, topology: &Topology, answers: &Answers) {
        if std::mem::replace(&mut self.generation, topology.generation) == topology.generation {
            return;
        }
        self.nodes.retain(|id, _| topology.node(*id).is_some());
        for node in topology.nodes.iter().filter(|node| node.role == Role::Replica) {
            self.learn_of(node, answers);
        }
    }

    fn learn_of(&mut self, node: &NodeView, answers: &Answers) {
        let (Some(position), Some(observed)) = (node.position, node.observed) else { return };
        let odds = self.odds(node.id);
        let known = answers.newest().is_some_and(|it| Some(it.timeline) == position.timeline);
        if odds.learned >= Some(observed) || !known {
            return;
        }
        odds.learned = Some(observed);
        let (has, lacks) = answers.around(position.replay);
        let age = |flushed: Instant| observed.checked_duration_since(flushed);
        if let Some(age) = has.and_then(age) {
            odds.passed(age);
        }
        if let Some(age) = lacks.and_then(age) {
            odds.failed(age);
        }
    }

    /// Whether a guard on that node is worth trying for WAL of that age; `draw` is any random number.
    #[must_use]
    pub fn likely(&self, node: NodeId, age: Duration, draw: u64) -> bool {
        self.known(node).is_some_and(|odds| odds.likely(age, draw))
    }

    /// The age from which on WAL is likely there.
    #[must_use]
    pub fn likely_from(&self, node: NodeId) -> Option<Duration> {
        let odds = self.known(node)?;
        let first = odds.rates.iter().position(|rate| *rate >= LIKELY)?;
        AGES.get(first).map(|age| Duration::from_micros(*age))
    }

    fn known(&self, node: NodeId) -> Option<&Odds> {
        self.nodes.get(&node)
    }

    fn odds(&mut self, node: NodeId) -> &mut Odds {
        self.nodes.entry(node).or_default()
    }
}

impl Odds {
    fn likely(&self, age: Duration, draw: u64) -> bool {
        let range = range(age);
        let rate = |range: usize| self.rates.get(range).copied().unwrap_or_default();
        // The high bits: the low ones choose among nodes.
        let curious = (draw >> 32).is_multiple_of(CURIOUS);
        rate(range) >= LIKELY || (curious && rate(range.saturating_add(1)) >= LIKELY)
    }

    /// What was there at this age is there at every later one.
    fn passed(&mut self, age: Duration) {
        for rate in self.rates.iter_mut().skip(range(age)) {
            let missing = CERTAIN.saturating_sub(*rate);
            *rate = rate.saturating_add(missing.div_ceil(MEMORY));
        }
    }

    /// What was missing at this age is missing at every earlier one.
    fn failed(&mut self, age: Duration) {
        for rate in self.rates.iter_mut().take(range(age).saturating_add(1)) {
            *rate = rate.saturating_sub(rate.div_ceil(MEMORY));
        }
    }
}

impl Default for Odds {
    /// Nothing is known: as likely as not.
    fn default() -> Self {
        Self { learned: None, rates: [CERTAIN / 2; AGES.len()] }
    }
}

/// The last range that an age has reached.
fn range(age: Duration) -> usize {
    let micros = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
    AGES.partition_point(|from| *from <= micros).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Answer, Configured, Ticket};
    use crate::lsn::Timeline;
    use crate::testing::{ms, start};

    const REPLICA: NodeId = NodeId(1);

    fn guard(lsn: u64) -> Guard {
        let fence = Fence { timeline: Timeline(1), lsn: Lsn(lsn) };
        Guard { fence, flushed: start(), waits: None }
    }

    #[test]
    fn a_replica_that_can_wait_says_whether_it_came_to_the_fence() {
        let waiting = Guard { waits: Some(ms(2)), ..guard(0x1_0000_0060) };
        let text = "WAIT FOR LSN '1/60' WITH (MODE 'standby_replay', TIMEOUT '2ms', NO_THROW)";
        assert_eq!(waiting.wait(ms(2)), text);
        // No timeout at all would be for ever.
        assert!(waiting.wait(Duration::from_micros(300)).contains("TIMEOUT '1ms'"));
        let judge = |value: &[u8]| waiting.judge(Some(value), Epoch(1), Epoch(1));
        assert_eq!(judge(b"success"), Proof::Passed);
        assert_eq!(judge(b"timeout"), Proof::Behind);
        assert_eq!(judge(b"not in recovery"), Proof::Void);
        assert_eq!(judge(b"2/0"), Proof::Void);
        assert_eq!(guard(1).judge(Some(b"success"), Epoch(1), Epoch(1)), Proof::Void);
        assert_eq!(waiting.judge(Some(b"success"), Epoch(1), Epoch(2)), Proof::Void);
    }

    #[test]
    fn a_guard_passes_at_its_fence_and_on_nothing_but_a_position() {
        let judge = |value: Option<&[u8]>| guard(0x1_0000_0060).judge(value, Epoch(1), Epoch(1));
        assert_eq!(judge(Some(b"1/60")), Proof::Passed);
        // As PostgreSQL 19 writes it.
        assert_eq!(judge(Some(b"1/00000060")), Proof::Passed);
        assert_eq!(judge(Some(b"2/0")), Proof::Passed);
        assert_eq!(judge(Some(b"1/5F")), Proof::Behind);
        assert_eq!(judge(Some(b"0/FFFFFFFF")), Proof::Behind);
        for nothing in [None, Some(&b""[..]), Some(b"t"), Some(b"1/60 "), Some(b"\xff/0")] {
            assert_eq!(judge(nothing), Proof::Void, "{nothing:?}");
        }
    }

    #[test]
    fn a_position_proves_nothing_across_a_failover() {
        assert_eq!(guard(1).judge(Some(b"9/0"), Epoch(1), Epoch(2)), Proof::Void);
    }

    /// Outcomes at an age in milliseconds, one after another.
    fn seen(outcomes: impl IntoIterator<Item = (u64, Proof)>) -> Guards {
        let mut guards = Guards::default();
        for (age, proof) in outcomes {
            guards.note(REPLICA, ms(age), proof);
        }
        guards
    }

    /// Whether a guard is worth trying, without curiosity.
    fn likely(guards: &Guards, age: u64) -> bool {
        guards.likely(REPLICA, ms(age), 1 << 32)
    }

    #[test]
    fn what_is_never_seen_is_not_likely() {
        assert!(!likely(&Guards::default(), 1_000));
        assert_eq!(Guards::default().likely_from(REPLICA), None);
        let guards = seen([(5, Proof::Passed), (5, Proof::Void)]);
        assert!(!likely(&guards, 5), "one pass is no experience");
    }

    #[test]
    fn what_passed_often_is_likely_from_that_age_on() {
        let guards = seen([(5, Proof::Passed); 20]);
        assert!(likely(&guards, 5) && likely(&guards, 500));
        assert!(!likely(&guards, 4));
        assert_eq!(guards.likely_from(REPLICA), Some(ms(5)));
        assert!(!guards.likely(NodeId(2), ms(5), 1 << 32), "another node's odds are its own");
    }

    #[test]
    fn a_few_failures_end_it_at_that_age_and_below() {
        let mut guards = seen([(1, Proof::Passed); 40]);
        guards.note(REPLICA, ms(10), Proof::Behind);
        assert!(!likely(&guards, 1) && !likely(&guards, 10));
        assert!(likely(&guards, 30));
    }

    #[test]
    fn nine_in_ten_is_the_threshold() {
        let share = |passed: usize| {
            let cycle = (0..40)
                .map(|turn| (5, if turn % 40 < passed { Proof::Passed } else { Proof::Behind }));
            // The failures come first, so that the passes are what is remembered.
            let outcomes: Vec<(u64, Proof)> = cycle.collect();
            seen(outcomes.into_iter().rev())
        };
        assert!(likely(&share(39), 5));
        assert!(!likely(&share(8), 5));
    }

    #[test]
    fn a_younger_age_is_tried_now_and_then() {
        let guards = seen([(2, Proof::Passed); 40]);
        let tries = (0..3_200_u64).filter(|draw| guards.likely(REPLICA, ms(1), draw << 32)).count();
        assert_eq!(tries, 0, "1 ms is two ranges younger than what is known");
        let age = Duration::from_micros(1_500);
        let tries = (0..3_200_u64).filter(|draw| guards.likely(REPLICA, age, draw << 32)).count();
        assert_eq!(tries, 100);
    }

    /// The clock's answers: at these milliseconds the primary had flushed up to there.
    fn answers(start: Instant, flushed: &[(u64, u64)]) -> Answers {
        let mut answers = Answers::default();
        for (at, flush) in flushed {
            answers.push(Answer {
                through: Ticket(*at),
                sent: start + ms(*at),
                epoch: Epoch(1),
                timeline: Timeline(1),
                insert: Lsn(*flush),
                flush: Lsn(*flush),
                mark: Lsn(*flush),
                took: ms(0),
                configured: Configured {
                    since: start,
                    after: Ticket(0),
                    loaded: 1,
                    covers: Some(Lsn(0)),
                },
            });
        }
        answers
    }

    #[test]
    fn answers_say_since_when_wal_was_flushed_and_what_surrounds_a_position() {
        let start = start();
        let answers = answers(start, &[(10, 100), (20, 100), (30, 200), (40, 200), (50, 300)]);
        let fence = |timeline, lsn| Fence { timeline: Timeline(timeline), lsn: Lsn(lsn) };
        let at = |millis| Some(start + ms(millis));
        assert_eq!(answers.flushed_since(fence(1, 150)), at(30));
        assert_eq!(answers.flushed_since(fence(1, 200)), at(30));
        assert_eq!(answers.flushed_since(fence(1, 301)), None);
        assert_eq!(answers.flushed_since(fence(2, 200)), None);
        assert_eq!(answers.around(Lsn(250)), (at(30), at(50)));
        // Since when 100 was flushed is not known: it may have been long before.
        assert_eq!(answers.around(Lsn(100)), (None, at(30)));
        assert_eq!(answers.around(Lsn(99)), (None, at(10)));
        assert_eq!(answers.around(Lsn(300)), (at(50), None));
    }
}
