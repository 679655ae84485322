//! The LSN clock: which fence covers the writes that have ended so far?
//!
//! Two positions of the primary can stand for "all that was committed" ([`Wal`]): the insert position always
//! does, the flush position where the commit is known to have been synchronous (manual, 30.4).
//!
//! Tickets are numbers that only grow. Whoever ended a cycle that may have written takes the next
//! number; the clock asks the primary once for all numbers taken before the query was sent and
//! publishes one [`Answer`]. So the cost does not grow with the write rate, and nothing is
//! allocated per ticket. The counter and the published answers are channel ends (`tokio::sync::watch`)
//! that the binary makes and hands to the data path and to control; here is only what they carry.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::lsn::{Fence, Lsn, Timeline};
use crate::topology::Epoch;

/// The number of a cycle that may have written; grows by one for each within a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ticket(pub u64);

/// Which position of the primary covers what a ticket stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wal {
    /// `pg_current_wal_flush_lsn()`: what ended was on disk when it was acknowledged.
    Flushed,
    /// `pg_current_wal_insert_lsn()`: it may not have been.
    Inserted,
}

/// The newest ticket of each kind that a scope or a session took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Tickets {
    /// Of cycles that are covered by the flush position.
    pub flushed: Ticket,
    /// Of all others.
    pub inserted: Ticket,
}

impl Tickets {
    /// Takes note of a ticket.
    pub fn took(&mut self, wal: Wal, ticket: Ticket) {
        let newest = match wal {
            Wal::Flushed => &mut self.flushed,
            Wal::Inserted => &mut self.inserted,
        };
        *newest = (*newest).max(ticket);
    }

    /// The tickets of both.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self {
            flushed: self.flushed.max(other.flushed),
            inserted: self.inserted.max(other.inserted),
        }
    }

    /// The newest ticket of any kind.
    #[must_use]
    pub fn newest(self) -> Ticket {
        self.flushed.max(self.inserted)
    }

    /// The kind of the newest ticket.
    #[must_use]
    pub fn newest_kind(self) -> Wal {
        if self.flushed > self.inserted { Wal::Flushed } else { Wal::Inserted }
    }
}

/// A time in which the primary's configuration was the same, and with it what its servers were opened with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Configured {
    /// When it was known to be so; what servers were opened with earlier may have changed since.
    pub since: Instant,
    /// The newest ticket at that moment; what ended before may have done so under another.
    pub after: Ticket,
    /// `pg_conf_load_time()`, microseconds.
    pub loaded: i64,
    /// An insert position of later: it covers all that ended before, however that was committed. Until
    /// one is known, nothing is covered by less.
    pub covers: Option<Lsn>,
}

/// What the primary said, and for which tickets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The newest ticket that was taken before the query's first byte was sent.
    pub through: Ticket,
    /// When the query was sent (proxy's monotonic clock).
    pub sent: Instant,
    /// Which failover the answering primary belongs to.
    pub epoch: Epoch,
    /// The primary's timeline.
    pub timeline: Timeline,
    /// `pg_current_wal_insert_lsn()`, rounded: covers asynchronous commits too.
    pub insert: Lsn,
    /// `pg_current_wal_flush_lsn()`.
    pub flush: Lsn,
    /// What a replica must have replayed to be as fresh as this: see [`Marks`](crate::lag::Marks).
    pub mark: Lsn,
    /// How long the query took: what a ticket taken now will wait, more or less.
    pub took: Duration,
    /// Since when the configuration is the same.
    pub configured: Configured,
}

impl Answer {
    /// The fence that covers every ticket up to `through`, whatever `synchronous_commit` was.
    #[must_use]
    pub fn fence(&self) -> Fence {
        Fence { timeline: self.timeline, lsn: self.insert }
    }

    /// The fence that covers a ticket of this kind.
    ///
    /// A commit whose configuration may have been another is not provably synchronous. It may also hide
    /// behind a newer ticket, so no fence is below the position that covers all of that time.
    #[must_use]
    pub fn covers(&self, wal: Wal, ticket: Ticket) -> Fence {
        match (wal, self.configured.covers) {
            (Wal::Flushed, Some(before)) if ticket > self.configured.after => {
                Fence { timeline: self.timeline, lsn: self.flush.max(before) }
            }
            (Wal::Flushed | Wal::Inserted, _) => self.fence(),
        }
    }

    /// What this answer would be to a ticket of this kind.
    #[must_use]
    pub fn to(&self, wal: Wal) -> Fence {
        self.covers(wal, Ticket(u64::MAX))
    }

    /// Whether the primary had written up to `fence`, or has left its branch behind.
    #[must_use]
    pub fn reaches(&self, fence: Fence) -> bool {
        self.fence().join(fence) == self.fence()
    }

    /// The flush position: what replicas can have by now.
    #[must_use]
    pub fn flushed(&self) -> Fence {
        Fence { timeline: self.timeline, lsn: self.flush }
    }
}

/// The latest answers, oldest first, so that a ticket finds the tightest fence that covers it.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    recent: VecDeque<Answer>,
    /// All that ever came, whatever became of them.
    heard: u64,
}

impl Answers {
    /// How many answers are kept: at one query a millisecond, a tenth of a second of history.
    pub const KEPT: usize = 128;

    /// Adds an answer; answers of an older epoch are forgotten, since their fences prove nothing.
    ///
    /// One that comes late, of an older epoch or for fewer tickets than the newest, is left out.
    pub fn push(&mut self, answer: Answer) {
        self.heard = self.heard.saturating_add(1);
        let late =
            |newest: &Answer| (answer.epoch, answer.through) < (newest.epoch, newest.through);
        if self.newest().is_some_and(late) {
            return;
        }
        self.recent.retain(|kept| kept.epoch == answer.epoch);
        if self.recent.len() >= Self::KEPT {
            self.recent.pop_front();
        }
        self.recent.push_back(answer);
    }

    /// The oldest kept answer that covers `ticket`, or `None` while it is pending.
    ///
    /// For a ticket older than all that is kept the fence is looser than it could be, yet sound.
    #[must_use]
    pub fn covering(&self, ticket: Ticket) -> Option<&Answer> {
        let first = self.recent.partition_point(|answer| answer.through < ticket);
        self.recent.get(first)
    }

    /// How many questions were answered so far.
    #[must_use]
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// The newest answer.
    #[must_use]
    pub fn newest(&self) -> Option<&Answer> {
        self.recent.back()
    }

    /// The fence that covers both tickets, or the one that is pending.
    ///
    /// # Errors
    ///
    /// The ticket that no kept answer of this `epoch` covers.
    pub fn fence(&self, tickets: Tickets, epoch: Epoch) -> Result<Option<Fence>, Ticket> {
        let of = |wal, ticket: Ticket| {
            if ticket == Ticket::default() {
                return Ok(None);
            }
            let answer = self.covering(ticket).filter(|answer| answer.epoch == epoch);
            answer.map(|answer| Some(answer.covers(wal, ticket))).ok_or(ticket)
        };
        let flushed = of(Wal::Flushed, tickets.flushed);
        let inserted = of(Wal::Inserted, tickets.inserted);
        match (flushed, inserted) {
            (Ok(flushed), Ok(inserted)) => Ok(Fence::strongest(flushed, inserted)),
            (Err(one), Err(other)) => Err(one.max(other)),
            (Err(pending), Ok(_)) | (Ok(_), Err(pending)) => Err(pending),
        }
    }

    /// A fence of a branch that the primary left behind, as one of the primary's own branch.
    ///
    /// What the older branch had below the promotion is below every position that was asked for since;
    /// the rest of it is lost. Without an answer of this `epoch` the fence is as it was.
    #[must_use]
    pub fn renewed(&self, fence: Fence, epoch: Epoch) -> Fence {
        let first = self.recent.front().filter(|answer| answer.epoch == epoch);
        let newer = first.filter(|answer| answer.timeline > fence.timeline);
        newer.map_or(fence, Answer::fence)
    }

    /// Since when, by the oldest kept answer that says so, the primary has flushed up to `fence`.
    ///
    /// Replicas are sent nothing that is not flushed: until then none can have passed it.
    #[must_use]
    pub fn flushed_since(&self, fence: Fence) -> Option<Instant> {
        let first = self.recent.partition_point(|answer| answer.flush < fence.lsn);
        let answer = self.recent.get(first)?;
        (answer.timeline == fence.timeline).then_some(answer.sent)
    }

    /// Around a replay position: when the newest WAL that it has, and the oldest that it lacks, was
    /// flushed. Answers between which nothing was flushed say nothing.
    #[must_use]
    pub fn around(&self, replay: Lsn) -> (Option<Instant>, Option<Instant>) {
        let beyond = self.recent.partition_point(|answer| answer.flush <= replay);
        let lacks = self.recent.get(beyond).map(|answer| answer.sent);
        let newest = beyond.checked_sub(1).and_then(|last| self.recent.get(last));
        let has = newest.and_then(|newest| {
            let first = self.recent.partition_point(|answer| answer.flush < newest.flush);
            // Of the oldest answer nobody knows when its WAL was flushed.
            self.recent.get(first).filter(|_| first > 0).map(|answer| answer.sent)
        });
        (has, lacks)
    }

    /// Whether servers that were opened at that moment are still configured as they were then.
    #[must_use]
    pub fn are_as_of(&self, opened: Instant) -> bool {
        self.newest().is_some_and(|answer| answer.configured.since <= opened)
    }
}

impl Configured {
    /// What an answer says of it, given the last one of the same primary.
    ///
    /// `through` are the tickets that its `insert` position covers, `newest` is the newest one `now`, when the
    /// answer is there: until then tickets were taken by what was known before.
    #[must_use]
    pub fn heard(
        before: Option<Self>,
        (loaded, insert): (i64, Lsn),
        through: Ticket,
        (now, newest): (Instant, Ticket),
    ) -> Self {
        match before.filter(|before| before.loaded == loaded) {
            Some(same) if same.covers.is_none() && through >= same.after => {
                Self { covers: Some(insert), ..same }
            }
            Some(same) => same,
            None => Self { since: now, after: newest, loaded, covers: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ms, start};

    fn answer(through: u64, epoch: u64, insert: u64) -> Answer {
        Answer {
            through: Ticket(through),
            sent: start() + ms(through),
            epoch: Epoch(epoch),
            timeline: Timeline(1),
            insert: Lsn(insert),
            flush: Lsn(insert - 1),
            mark: Lsn(insert - 1),
            took: ms(1),
            configured: Configured {
                since: start(),
                after: Ticket(u64::MAX),
                loaded: 1,
                covers: Some(Lsn(0)),
            },
        }
    }

    fn fence_of(answers: &Answers, ticket: u64) -> Option<u64> {
        answers.covering(Ticket(ticket)).map(|answer| answer.fence().lsn.0)
    }

    #[test]
    fn a_ticket_finds_the_oldest_answer_that_covers_it() {
        let mut answers = Answers::default();
        answers.push(answer(3, 1, 100));
        answers.push(answer(5, 1, 200));
        assert_eq!(fence_of(&answers, 1), Some(100));
        assert_eq!(fence_of(&answers, 3), Some(100));
        assert_eq!(fence_of(&answers, 4), Some(200));
        assert_eq!(fence_of(&answers, 5), Some(200));
    }

    #[test]
    fn a_ticket_taken_after_the_newest_query_is_pending() {
        let mut answers = Answers::default();
        assert_eq!(fence_of(&answers, 0), None);
        answers.push(answer(5, 1, 200));
        assert_eq!(fence_of(&answers, 6), None);
    }

    #[test]
    fn a_fence_is_the_insert_position_since_a_commit_may_not_be_flushed() {
        let answer = answer(1, 1, 200);
        assert_eq!(answer.fence(), Fence { timeline: Timeline(1), lsn: Lsn(200) });
    }

    #[test]
    fn another_epoch_forgets_what_the_last_primary_said() {
        let mut answers = Answers::default();
        answers.push(answer(3, 1, 100));
        answers.push(answer(5, 2, 50));
        assert_eq!(fence_of(&answers, 3), Some(50));
    }

    #[test]
    fn a_late_answer_of_an_older_epoch_is_left_out() {
        let mut answers = Answers::default();
        answers.push(answer(5, 2, 50));
        answers.push(answer(6, 1, 900));
        assert_eq!(fence_of(&answers, 5), Some(50));
        assert_eq!(fence_of(&answers, 6), None);
    }

    #[test]
    fn a_late_answer_for_fewer_tickets_is_left_out() {
        let mut answers = Answers::default();
        answers.push(answer(5, 1, 200));
        answers.push(answer(4, 1, 100));
        assert_eq!(answers.heard(), 2);
        assert_eq!(answers.newest().map(|newest| newest.through), Some(Ticket(5)));
        assert_eq!(fence_of(&answers, 4), Some(200));
    }

    #[test]
    fn the_oldest_answers_go_and_their_tickets_take_a_looser_fence() {
        let mut answers = Answers::default();
        let kept = u64::try_from(Answers::KEPT).unwrap();
        for i in 1..=kept + 1 {
            answers.push(answer(i, 1, 100 + i));
        }
        assert_eq!(answers.heard(), kept + 1);
        assert_eq!(fence_of(&answers, 1), Some(102));
        assert_eq!(fence_of(&answers, kept + 1), Some(101 + kept));
    }

    fn tickets(flushed: u64, inserted: u64) -> Tickets {
        Tickets { flushed: Ticket(flushed), inserted: Ticket(inserted) }
    }

    fn configured(after: u64) -> Configured {
        Configured { since: start(), after: Ticket(after), loaded: 1, covers: Some(Lsn(0)) }
    }

    #[test]
    fn a_synchronous_commit_is_covered_by_the_flush_position() {
        let covers = |after, tickets: Tickets| {
            let mut answers = Answers::default();
            answers.push(Answer { configured: configured(after), ..answer(5, 1, 200) });
            answers.fence(tickets, Epoch(1)).map(|fence| fence.map(|fence| fence.lsn.0))
        };
        assert_eq!(covers(0, tickets(5, 0)), Ok(Some(199)));
        assert_eq!(covers(0, tickets(0, 5)), Ok(Some(200)));
        assert_eq!(covers(0, tickets(5, 4)), Ok(Some(200)));
        assert_eq!(covers(0, tickets(0, 0)), Ok(None));
        // It may have ended under another configuration.
        assert_eq!(covers(5, tickets(5, 0)), Ok(Some(200)));
        // So may one of its scope that it hides.
        let before = Configured { covers: Some(Lsn(250)), ..configured(4) };
        let hiding = Answer { configured: before, ..answer(5, 1, 200) };
        assert_eq!(hiding.covers(Wal::Flushed, Ticket(5)).lsn, Lsn(250));
        // Until that is known, nothing is covered by less than all.
        let unknown = Configured { covers: None, ..configured(4) };
        let hiding = Answer { configured: unknown, ..answer(5, 1, 200) };
        assert_eq!(hiding.covers(Wal::Flushed, Ticket(5)).lsn, Lsn(200));
        // Either may be pending, and then nothing is known.
        assert_eq!(covers(0, tickets(6, 5)), Err(Ticket(6)));
        assert_eq!(covers(0, tickets(5, 7)), Err(Ticket(7)));
        assert_eq!(covers(0, tickets(6, 7)), Err(Ticket(7)));
    }

    #[test]
    fn an_answer_of_another_epoch_covers_nothing() {
        let mut answers = Answers::default();
        answers.push(answer(5, 1, 200));
        assert_eq!(answers.fence(tickets(0, 5), Epoch(2)), Err(Ticket(5)));
    }

    #[test]
    fn a_fence_of_an_older_branch_becomes_one_of_the_newer_and_of_no_other_epoch() {
        let mut answers = Answers::default();
        answers.push(Answer { timeline: Timeline(2), ..answer(5, 3, 200) });
        answers.push(Answer { timeline: Timeline(2), ..answer(6, 3, 300) });
        let fence = |timeline, lsn| Fence { timeline: Timeline(timeline), lsn: Lsn(lsn) };
        assert_eq!(answers.renewed(fence(1, 900), Epoch(3)), fence(2, 200));
        assert_eq!(answers.renewed(fence(2, 100), Epoch(3)), fence(2, 100));
        assert_eq!(answers.renewed(fence(3, 100), Epoch(3)), fence(3, 100));
        assert_eq!(answers.renewed(fence(1, 900), Epoch(4)), fence(1, 900));
        assert_eq!(Answers::default().renewed(fence(1, 900), Epoch(3)), fence(1, 900));
    }

    #[test]
    fn the_configuration_is_the_same_for_as_long_as_it_was_not_loaded_again() {
        let (then, later) = (start(), start() + ms(10));
        let heard = |before, loaded, insert, through, now: (Instant, u64)| {
            let newest = (now.0, Ticket(now.1));
            Configured::heard(before, (loaded, Lsn(insert)), Ticket(through), newest)
        };
        // Tickets up to 5 were taken before it was known, and this answer covers but three of them.
        let first = heard(None, 7, 100, 3, (then, 5));
        assert_eq!(first, Configured { since: then, after: Ticket(5), loaded: 7, covers: None });
        assert_eq!(heard(Some(first), 7, 150, 4, (later, 9)), first);
        let covered = Configured { covers: Some(Lsn(200)), ..first };
        assert_eq!(heard(Some(first), 7, 200, 5, (later, 9)), covered);
        assert_eq!(heard(Some(covered), 7, 300, 9, (later, 9)), covered);
        let reloaded = Configured { since: later, after: Ticket(12), loaded: 8, covers: None };
        assert_eq!(heard(Some(covered), 8, 300, 11, (later, 12)), reloaded);
    }

    #[test]
    fn a_server_that_was_opened_before_may_be_configured_otherwise_by_now() {
        let start = start();
        let mut answers = Answers::default();
        assert!(!answers.are_as_of(start));
        let configured =
            Configured { since: start + ms(5), after: Ticket(0), loaded: 1, covers: Some(Lsn(0)) };
        answers.push(Answer { configured, ..answer(5, 1, 200) });
        assert!(!answers.are_as_of(start + ms(4)));
        assert!(answers.are_as_of(start + ms(5)));
    }
}
