//! What the users of a cell saw.

use std::collections::BTreeMap;
use std::time::Duration;

/// One read that was answered.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    /// `cluster_name` of the server.
    pub(crate) node: String,
    pub(crate) took: Duration,
    /// Whether the user's request before was a write.
    pub(crate) behind_write: Behind,
    /// For how long nobody in its scope had written.
    pub(crate) quiet: Option<Duration>,
    /// Whether it missed the user's own last write.
    pub(crate) own: Seen,
    /// Whether it missed what another user had been told was committed.
    pub(crate) other: Seen,
}

/// What a user's request before this one was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    Read,
    Write,
}

/// What became of a committed write in a read that began later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Fresh,
    Stale,
}

impl Seen {
    /// Compares what was read with what had been committed before.
    pub(crate) fn of(read: Option<i64>, committed: i64) -> Self {
        if read.is_some_and(|read| read >= committed) { Self::Fresh } else { Self::Stale }
    }
}

/// All requests of a cell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) reads: Vec<Read>,
    pub(crate) writes: usize,
    /// What was told instead of an answer.
    pub(crate) failures: Vec<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.reads.extend(other.reads);
        self.writes = self.writes.saturating_add(other.writes);
        self.failures.extend(other.failures);
    }

    pub(crate) fn count(&self, wanted: impl Fn(&Read) -> bool) -> usize {
        self.reads.iter().filter(|read| wanted(read)).count()
    }

    /// Reads by the node that served them.
    pub(crate) fn by_node(&self) -> BTreeMap<&str, usize> {
        let mut nodes = BTreeMap::new();
        for read in &self.reads {
            let count: &mut usize = nodes.entry(read.node.as_str()).or_default();
            *count = count.saturating_add(1);
        }
        nodes
    }

    /// The latency that this many of a thousand reads do not exceed.
    pub(crate) fn permille(&self, rank: usize) -> Option<Duration> {
        permille(self.reads.iter().map(|read| read.took).collect(), rank)
    }
}

/// The value that this many of a thousand do not exceed.
pub(crate) fn permille(mut values: Vec<Duration>, rank: usize) -> Option<Duration> {
    values.sort_unstable();
    let at = values.len().saturating_mul(rank).div_ceil(1000).saturating_sub(1);
    values.get(at).copied()
}

/// A part of a whole as a share; `None` of nothing.
#[expect(clippy::cast_precision_loss, reason = "counts of some seconds are far below 2^52")]
pub(crate) fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_is_stale_when_it_shows_less_or_nothing() {
        assert_eq!(Seen::of(Some(7), 7), Seen::Fresh);
        assert_eq!(Seen::of(Some(8), 7), Seen::Fresh);
        assert_eq!(Seen::of(Some(6), 7), Seen::Stale);
        assert_eq!(Seen::of(None, 0), Seen::Stale);
    }

    #[test]
    fn a_rank_is_the_least_value_that_so_many_do_not_exceed() {
        let values: Vec<_> = (1..=100).rev().map(Duration::from_micros).collect();
        assert_eq!(permille(values.clone(), 500), Some(Duration::from_micros(50)));
        assert_eq!(permille(values.clone(), 990), Some(Duration::from_micros(99)));
        assert_eq!(permille(values, 1000), Some(Duration::from_micros(100)));
        assert_eq!(permille(Vec::new(), 500), None);
    }

    #[test]
    fn a_share_of_nothing_is_none() {
        assert_eq!(share(0, 0), None);
        assert!(share(1, 4).is_some_and(|share| (share - 0.25).abs() < 1e-9));
    }
}
