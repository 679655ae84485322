//! The LSN clock: which fence covers the writes that have ended so far?
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
    /// How long the query took: what a ticket taken now will wait, more or less.
    pub took: Duration,
}

impl Answer {
    /// The fence that covers every ticket up to `through`, whatever `synchronous_commit` was.
    #[must_use]
    pub fn fence(&self) -> Fence {
        Fence { timeline: self.timeline, lsn: self.insert }
    }
}

/// The latest answers, oldest first, so that a ticket finds the tightest fence that covers it.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    recent: VecDeque<Answer>,
}

impl Answers {
    /// How many answers are kept: at one query a millisecond, a tenth of a second of history.
    pub const KEPT: usize = 128;

    /// Adds an answer; answers of an older epoch are forgotten, since their fences prove nothing.
    ///
    /// One that comes late, of an older epoch or for fewer tickets than the newest, is left out.
    pub fn push(&mut self, answer: Answer) {
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

    /// The newest answer.
    #[must_use]
    pub fn newest(&self) -> Option<&Answer> {
        self.recent.back()
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
            took: ms(1),
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
        assert_eq!(fence_of(&answers, 1), Some(102));
        assert_eq!(fence_of(&answers, kept + 1), Some(101 + kept));
    }
}
