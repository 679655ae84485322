//! May this node serve this read? Every objection to a replica, in the order of their strength.

use std::time::Duration;

use super::answer::{Eligibility, Reason};
use super::ask::{Ask, FenceState, LastRead};
use crate::lag::Lag;
use crate::lsn::{Fence, Position, Timeline};
use crate::rules::{Consistency, OnNoPrimary, Route};
use crate::topology::{Gate, Health, NodeView, Role, Topology};

/// The question of one cycle, with all that is the same for every node.
pub(super) struct Judge<'a> {
    ask: &'a Ask<'a>,
    /// The primary's timeline; `None` without a primary.
    timeline: Option<Timeline>,
    /// The oldest data that may be shown, if there is a bound.
    max_lag: Option<Duration>,
    /// Under `session`: the last read, and its node's position if that was measured since.
    last: Option<(LastRead, Option<Position>)>,
}

impl<'a> Judge<'a> {
    /// Resolves what doesn't depend on the node: bounds that are waived, the last read's node.
    pub(super) fn new(ask: &'a Ask<'a>, topology: &Topology) -> Self {
        let timeline = topology.primary().and_then(|_| topology.timeline());
        // Without a primary, every replica's bound grows, whatever its data.
        let waived = timeline.is_none() && ask.wishes.on_no_primary == OnNoPrimary::Serve;
        let ignored = ask.wishes.route == Route::Replica;
        let last_read = ask.last_read.filter(|_| ask.wishes.consistency == Consistency::Session);
        Self {
            ask,
            timeline,
            max_lag: ask.wishes.max_lag.filter(|_| !waived && !ignored),
            last: last_read.map(|last| (last, measured_since(last, topology))),
        }
    }

    /// Whether the node may serve the read, or the first thing against it.
    pub(super) fn of(&self, node: &NodeView) -> Eligibility {
        match (node.role, node.gate, node.health) {
            (Role::Primary, _, _) => return Eligibility::IsPrimary,
            (Role::Unknown, _, _) => return Eligibility::RoleUnknown,
            (Role::Replica, Gate::Draining, _) => return Eligibility::Draining,
            (Role::Replica, Gate::Open, Health::Down | Health::Unknown) => {
                return Eligibility::Down;
            }
            (Role::Replica, Gate::Open, Health::Up) => {}
        }
        if self.ask.wishes.consistency == Consistency::Session {
            if let Some(objection) = self.behind_fence(node) {
                return objection;
            }
            if !self.is_monotonic(node) {
                return Eligibility::NotMonotonic;
            }
        }
        match (self.max_lag, node.lag(self.ask.now)) {
            (Some(_), Lag::Unknown) => Eligibility::LagUnknown,
            (Some(bound), Lag::AtMost(lag)) if lag > bound => Eligibility::TooFarBehind,
            (None, _) | (Some(_), Lag::AtMost(_)) => Eligibility::Eligible,
        }
    }

    /// The fence that a chosen replica has passed.
    pub(super) fn fence(&self) -> Option<Fence> {
        match (self.ask.wishes.consistency, self.ask.fence) {
            (Consistency::Session, FenceState::Known(fence)) => Some(fence),
            _ => None,
        }
    }

    fn behind_fence(&self, node: &NodeView) -> Option<Eligibility> {
        let fence = match self.ask.fence {
            FenceState::Open => return None,
            FenceState::Pending(_) => return Some(Eligibility::FencePending),
            FenceState::Known(fence) => fence,
        };
        // After a promotion both branches use the same numbers: a fence of the old one proves
        // nothing on either.
        if self.timeline.is_some_and(|timeline| timeline != fence.timeline) {
            return Some(Eligibility::OtherTimeline);
        }
        match node.position {
            Some(position) if position.has_passed(fence) => None,
            Some(position) if position.timeline == Some(fence.timeline) => {
                Some(Eligibility::FenceNotReached)
            }
            Some(_) | None => Some(Eligibility::OtherTimeline),
        }
    }

    /// Whether the node shows all that the session's last read showed.
    ///
    /// Staying is free once the node is measured (a restarted standby may show less than before;
    /// its position is withheld until it is past that). Moving needs a replay position of the old
    /// node, asked for after the last answer was read, that the new node has reached.
    fn is_monotonic(&self, node: &NodeView) -> bool {
        let Some((last, shown)) = self.last else { return true };
        if last.node == node.id {
            return node.position.is_some();
        }
        let (Some(shown), Some(position)) = (shown, node.position) else { return false };
        shown
            .timeline
            .is_some_and(|timeline| position.has_passed(Fence { timeline, lsn: shown.replay }))
    }
}

/// The position of the last read's node, if it was asked for after that read was answered.
fn measured_since(last: LastRead, topology: &Topology) -> Option<Position> {
    let node = topology.node(last.node)?;
    node.position.filter(|_| node.observed.is_some_and(|observed| observed > last.answered))
}

impl Eligibility {
    /// How close the node came to serving the read; greater is closer.
    pub(super) const fn closeness(self) -> Closeness {
        match self {
            Self::IsPrimary | Self::RoleUnknown | Self::Draining | Self::Down => Closeness::Absent,
            Self::LagUnknown => Closeness::Unmeasured,
            Self::TooFarBehind => Closeness::TooFarBehind,
            Self::NotMonotonic => Closeness::NotMonotonic,
            Self::FenceNotReached | Self::OtherTimeline => Closeness::FenceNotReached,
            Self::FencePending => Closeness::FencePending,
            Self::Eligible => Closeness::Eligible,
        }
    }
}

/// The objections, from the farthest to none: the least one names why a read left the replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Closeness {
    /// Takes no reads at all.
    Absent,
    /// Nothing is known of its data.
    Unmeasured,
    /// Beyond `max_lag`.
    TooFarBehind,
    /// Perhaps older than the last read.
    NotMonotonic,
    /// Behind the fence.
    FenceNotReached,
    /// The fence itself isn't known.
    FencePending,
    /// Nothing is against it.
    Eligible,
}

impl Closeness {
    /// The reason of a read that no replica served.
    pub(super) const fn reason(self) -> Reason {
        match self {
            Self::Absent | Self::Unmeasured => Reason::NoReplica,
            Self::TooFarBehind => Reason::TooFarBehind,
            Self::NotMonotonic => Reason::NotMonotonic,
            Self::FenceNotReached => Reason::FenceNotReached,
            Self::FencePending => Reason::FencePending,
            Self::Eligible => Reason::Read,
        }
    }
}
