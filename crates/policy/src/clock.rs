//! The LSN clock: which fence covers the writes that have ended so far?
//!
//! Tickets are numbers that only grow. Whoever ended a cycle that may have written takes the next
//! number; the clock asks the primary once for all numbers taken before the query was sent and
//! publishes one [`Answer`]. So the cost does not grow with the write rate, and nothing is
//! allocated per ticket. The counter and the published answers are channel ends (`tokio::sync::watch`)
//! that the binary makes and hands to the data path and to control; here is only what they carry.

use std::collections::VecDeque;
use std::time::Instant;

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
