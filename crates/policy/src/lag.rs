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

/// When the primary was asked, and how far its WAL was flushed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When the question was sent (proxy's monotonic clock).
    pub sent: Instant,
    /// `pg_current_wal_flush_lsn()`.
    pub flush: Lsn,
}

/// Samples of one primary on one timeline, dense for the last moments and coarse for old ones.
///
/// Both parts of the samples rise strictly from front to back. Whatever is dropped is dropped
/// whole, so an answer can be older than the truth and never fresher: at most by an eighth of the
/// sample's age, or by a millisecond.
#[derive(Debug, Clone, Default)]
pub struct Ring {
    samples: VecDeque<Sample>,
}

impl Ring {
    /// The most samples that are kept; with the thinning below they span more than a year.
    pub const CAPACITY: usize = 512;

    /// Neighbours that are this part of their age apart, or closer, are thinned.
    const COARSENESS: u32 = 16;

    /// No two samples are kept closer than this when the ring is thinned.
    const FINEST: Duration = Duration::from_millis(1);

    /// Adds a sample of the primary.
    ///
    /// Samples that the new one makes needless go: it was sent later, so whoever replayed as far
    /// as an older one that is not behind it is fresher than that one says. An idle primary
    /// therefore fills one place. A sample that was not sent after the newest is left out.
    pub fn push(&mut self, sent: Instant, flush: Lsn) {
        if self.newest().is_some_and(|newest| sent <= newest.sent) {
            return;
        }
        while self.newest().is_some_and(|newest| newest.flush >= flush) {
            self.samples.pop_back();
        }
        if self.samples.len() >= Self::CAPACITY {
            self.thin(sent);
        }
        self.samples.push_back(Sample { sent, flush });
    }

    /// When the newest sample was sent that a replica at `replay` has reached.
    ///
    /// The caller makes sure that `replay` is a position on this ring's timeline.
    #[must_use]
    pub fn freshest_reached(&self, replay: Lsn) -> Option<Instant> {
        let beyond = self.samples.partition_point(|sample| sample.flush <= replay);
        self.samples.get(beyond.checked_sub(1)?).map(|sample| sample.sent)
    }

    /// The newest sample.
    #[must_use]
    pub fn newest(&self) -> Option<Sample> {
        self.samples.back().copied()
    }

    /// Keeps the newest, the oldest, and between them such whose distance grows with their age.
    ///
    /// From 16 ms on, each factor of e in age takes 16 places: a year takes fewer than 400.
    fn thin(&mut self, now: Instant) {
        let mut newer: Option<Instant> = None;
        let mut kept: VecDeque<Sample> = VecDeque::with_capacity(Self::CAPACITY);
        let oldest = self.samples.front().copied();
        for sample in self.samples.iter().rev().copied() {
            let apart =
                (now.saturating_duration_since(sample.sent) / Self::COARSENESS).max(Self::FINEST);
            let far_enough =
                newer.is_none_or(|newer| newer.saturating_duration_since(sample.sent) >= apart);
            if far_enough || Some(sample) == oldest {
                newer = Some(sample.sent);
                kept.push_front(sample);
            }
        }
        if kept.len() >= Self::CAPACITY {
            kept.pop_front();
        }
        self.samples = kept;
    }
}
