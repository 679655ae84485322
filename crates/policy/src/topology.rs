//! A cluster as routing sees it: one immutable snapshot, published anew after each probe.
//!
//! Does not know how a role was found out: that is [`crate::cluster`].

use std::time::{Duration, Instant};

use crate::lag::Lag;
use crate::lsn::{Fence, Position, Timeline};

/// A node's number within its cluster; never used again after the node was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// Grows at each change of primary; a lease of an older epoch must not be used for writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

/// What a node was last confirmed to be. Never configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Not confirmed yet, or the last observation contradicts the cluster.
    Unknown,
    /// The one node that takes writes.
    Primary,
    /// In recovery, of this cluster's system identifier.
    Replica,
}

/// Whether an operator lets a node take new leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gate {
    /// Takes leases.
    Open,
    /// Finishes its cycles and takes no more.
    Draining,
}

/// Whether a node answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Health {
    /// Never heard of yet.
    Unknown,
    /// The last probe was answered.
    Up,
    /// Probes or data connections fail.
    Down,
}

/// Who takes writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leader {
    /// This node, on this timeline.
    Node {
        /// The primary.
        id: NodeId,
        /// Its timeline.
        timeline: Timeline,
    },
    /// Nobody; writes wait for a bounded time.
    Missing {
        /// When the last primary was lost, or when Weir started.
        since: Instant,
    },
    /// Two nodes claim to be primary and neither provably succeeds the other: no writes anywhere.
    SplitBrain,
}

/// One node, as last measured.
#[derive(Debug, Clone)]
pub struct NodeView {
    /// Its number.
    pub id: NodeId,
    /// Its name in the configuration, unique in the cluster.
    pub name: Box<str>,
    /// Host name or address.
    pub host: Box<str>,
    /// TCP port.
    pub port: u16,
    /// Share of reads relative to other replicas; at least 1.
    pub weight: u32,
    /// `server_version_num`, such as 150018; `None` before its first answer.
    pub version: Option<u32>,
    /// Confirmed role.
    pub role: Role,
    /// The operator's will.
    pub gate: Gate,
    /// Whether it answers.
    pub health: Health,
    /// Replay position of a replica, if measured.
    pub position: Option<Position>,
    /// When the probe that measured `position` was sent.
    pub observed: Option<Instant>,
    /// When the newest primary sample was taken that this node's replay had reached.
    pub fresh_at: Option<Instant>,
    /// Bytes between the newest primary sample and this node's replay, if both are measured.
    pub lag_bytes: Option<u64>,
    /// The longest that its bound has grown to lately.
    pub worst_lag: Option<Duration>,
}

impl NodeView {
    /// What a server of the node has to prove that was opened at that moment, if what was measured may be
    /// that of an earlier life of the node.
    ///
    /// A standby that restarted may show less than it did, and only the servers that outlived the probe are
    /// surely of the same life.
    #[must_use]
    pub fn outlived_by(&self, opened: Instant) -> Option<Fence> {
        let Position { timeline, replay } = self.position?;
        let fence = Fence { timeline: timeline?, lsn: replay };
        self.observed.is_none_or(|observed| opened >= observed).then_some(fence)
    }

    /// Whether the node can wait for its replay by itself: `WAIT FOR LSN`, since PostgreSQL 19.
    #[must_use]
    pub fn can_wait(&self) -> bool {
        self.version.is_some_and(|version| version >= 190_000)
    }

    /// Whether the node's data is within a bound in time; `None` if its age was never measured.
    ///
    /// A node that was beyond the bound lately counts as beyond it until it is measured at half of it:
    /// one whose lag is about the bound would else come and go with every probe. Measured so, it is
    /// back at once.
    #[must_use]
    pub fn is_within(&self, bound: Duration, now: Instant) -> Option<bool> {
        let fresh_at = self.fresh_at?;
        // By moments, not by spans: every read asks this of every replica.
        if fresh_at.checked_add(bound).is_some_and(|until| until < now) {
            return Some(false);
        }
        let was_beyond = self.worst_lag.is_some_and(|worst| worst > bound);
        if !was_beyond {
            return Some(true);
        }
        // What it was measured at later than `now` says nothing of that moment.
        let measured = self.observed.map(|at| at.min(now).saturating_duration_since(fresh_at));
        let well_within = measured.is_some_and(|lag| lag <= bound.checked_div(2).unwrap_or(bound));
        Some(well_within)
    }

    /// How old the node's data is at most; "never measured" is not zero.
    #[must_use]
    pub fn lag(&self, now: Instant) -> Lag {
        match self.fresh_at {
            Some(sent) => Lag::AtMost(now.saturating_duration_since(sent)),
            None => Lag::Unknown,
        }
    }
}

/// A cluster's nodes and who leads them.
#[derive(Debug, Clone)]
pub struct Topology {
    /// The cluster's name in the configuration.
    pub cluster: Box<str>,
    /// `pg_control_system().system_identifier` that all members share; `None` before the first answer.
    pub system: Option<u64>,
    /// Grows with every published snapshot.
    pub generation: u64,
    /// Grows with every change of primary.
    pub epoch: Epoch,
    /// Who takes writes.
    pub leader: Leader,
    /// All members, drained and dead ones too.
    pub nodes: Vec<NodeView>,
    /// The primary's newest sample.
    pub sampled: Option<Sampled>,
    /// Since when the primary has missed several probes in a row, while replicas answered theirs.
    ///
    /// Such a node may be frozen, or behind a broken network, long before it counts as down. If nobody
    /// answered, it was the asking that was late.
    pub silent_since: Option<Instant>,
}

/// Where the WAL of a primary was flushed to, and when it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampled {
    /// When the question was sent (proxy's monotonic clock).
    pub sent: Instant,
    /// No replica that was read before showed more than this.
    pub flush: Fence,
}

impl Topology {
    /// The node of that number, if it is still a member.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&NodeView> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// The node that takes writes now.
    #[must_use]
    pub fn primary(&self) -> Option<&NodeView> {
        match self.leader {
            Leader::Node { id, .. } => self.node(id),
            Leader::Missing { .. } | Leader::SplitBrain => None,
        }
    }

    /// When the primary said its last word, if it has been silent for longer than that since.
    #[must_use]
    pub fn silent_for(&self, bound: Duration, now: Instant) -> Option<Instant> {
        self.silent_since.filter(|since| now.saturating_duration_since(*since) > bound)
    }

    /// The timeline that writes go to now.
    #[must_use]
    pub fn timeline(&self) -> Option<Timeline> {
        match self.leader {
            Leader::Node { timeline, .. } => Some(timeline),
            Leader::Missing { .. } | Leader::SplitBrain => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::Lsn;
    use crate::testing::{ms, start};

    /// Whether a node is within 1 s that was measured so, so many milliseconds ago, and was as far behind
    /// lately as `worst`.
    fn within(measured: u64, ago: u64, worst: u64) -> Option<bool> {
        let start = start();
        let observed = start + ms(measured);
        let node = NodeView { observed: Some(observed), worst_lag: Some(ms(worst)), ..node(start) };
        node.is_within(ms(1000), observed + ms(ago))
    }

    fn node(fresh_at: Instant) -> NodeView {
        NodeView {
            id: NodeId(1),
            name: "b".into(),
            host: "b".into(),
            port: 5432,
            weight: 1,
            version: None,
            role: Role::Replica,
            gate: Gate::Open,
            health: Health::Up,
            position: None,
            observed: None,
            fresh_at: Some(fresh_at),
            lag_bytes: None,
            worst_lag: None,
        }
    }

    #[test]
    fn only_a_server_that_outlived_the_probe_is_surely_of_the_life_that_was_measured() {
        let start = start();
        let position = Position { timeline: Some(Timeline(1)), replay: Lsn(500) };
        let node = |observed, timeline| NodeView {
            position: Some(Position { timeline, ..position }),
            observed: Some(start + ms(observed)),
            ..node(start)
        };
        let fence = Fence { timeline: Timeline(1), lsn: Lsn(500) };
        let timeline = position.timeline;
        assert_eq!(node(10, timeline).outlived_by(start + ms(9)), None);
        assert_eq!(node(10, timeline).outlived_by(start + ms(10)), Some(fence));
        assert_eq!(node(10, timeline).outlived_by(start + ms(11)), Some(fence));
        assert_eq!(node(10, None).outlived_by(start + ms(11)), None, "nothing was measured");
    }

    #[test]
    fn a_bound_grows_until_the_next_measurement() {
        assert_eq!(within(10, 990, 900), Some(true));
        assert_eq!(within(10, 991, 900), Some(false));
    }

    #[test]
    fn what_grew_since_the_moment_that_counts_is_nobody_s_lag() {
        let start = start();
        // Measured in the primary's silence, which began at 100 ms.
        let silent =
            NodeView { observed: Some(start + ms(3000)), worst_lag: Some(ms(3000)), ..node(start) };
        assert_eq!(silent.is_within(ms(1000), start + ms(100)), Some(true));
        assert_eq!(silent.is_within(ms(1000), start + ms(3000)), Some(false));
    }

    #[test]
    fn a_node_that_was_beyond_the_bound_comes_back_at_half_of_it() {
        assert_eq!(within(500, 0, 1001), Some(true));
        assert_eq!(within(500, 499, 1001), Some(true), "it came back, and stays");
        assert_eq!(within(501, 0, 1001), Some(false));
        assert_eq!(within(501, 0, 1000), Some(true), "it was never away");
    }
}
