//! May this node serve this read? Every objection to a replica, in the order of their strength.

use super::answer::{Eligibility, Reason};
use super::ask::{Ask, FenceState, LastRead};
use super::bounds::Bounds;
use crate::lsn::{Fence, Timeline};
use crate::rules::Consistency;
use crate::topology::{Gate, Health, NodeView, Role, Topology};

/// The question of one cycle, with all that is the same for every node.
pub(super) struct Judge<'a> {
    ask: &'a Ask<'a>,
    /// The primary's timeline; `None` without a primary that answers.
    timeline: Option<Timeline>,
    bounds: Bounds,
    /// But under `eventual`: the last read, and what it showed at most, if that is known.
    last: Option<(LastRead, Option<Fence>)>,
}

impl<'a> Judge<'a> {
    /// Resolves what doesn't depend on the node: bounds that are waived, the last read's node.
    pub(super) fn new(ask: &'a Ask<'a>, topology: &Topology) -> Self {
        let wishes = ask.wishes;
        let silent = wishes.max_lag.and_then(|bound| topology.silent_for(bound, ask.now));
        // Somebody was promoted whom nobody here has met: what is called primary here has not got what
        // is asked for.
        let succeeded = match ask.fence {
            FenceState::Known(fence) => Some(fence.timeline) > topology.timeline(),
            FenceState::Open | FenceState::Pending(_) => false,
        };
        let answers = |_: &&NodeView| silent.is_none() && !succeeded;
        let timeline = topology.primary().filter(answers).and_then(|_| topology.timeline());
        let last_read = ask.last_read.filter(|_| wishes.consistency != Consistency::Eventual);
        Self {
            ask,
            timeline,
            bounds: Bounds::new(wishes, topology, ask.now),
            last: last_read.map(|last| (last, shown_by(last, topology))),
        }
    }

    /// Whether there is a primary that answers.
    pub(super) const fn is_led(&self) -> bool {
        self.timeline.is_some()
    }

    /// Whether the node may serve the read, or the first thing against it.
    pub(super) fn of(&self, node: &NodeView) -> Eligibility {
        if let Some(objection) = takes_no_reads(node) {
            return objection;
        }
        if let Some(objection) = self.behind_fence(node) {
            return objection;
        }
        if !self.is_monotonic(node) {
            return Eligibility::NotMonotonic;
        }
        self.bounds.objection(node).unwrap_or(Eligibility::Eligible)
    }

    /// The fence that a node would have to prove by a guard; `None` if nothing would help, or nothing is
    /// to be proved.
    pub(super) fn to_prove(&self, node: &NodeView) -> Option<Fence> {
        let timeline = self.timeline?;
        if takes_no_reads(node).or_else(|| self.bounds.objection(node)).is_some() {
            return None;
        }
        let fence = match self.ask.fence {
            FenceState::Open => None,
            FenceState::Pending(_) => return None,
            FenceState::Known(fence) => Some(fence),
        };
        let shown = match self.last {
            None => None,
            Some((last, _)) if last.node == node.id => None,
            Some((_, shown)) => Some(shown?),
        };
        let on_timeline = |fence: &Fence| fence.timeline == timeline;
        let comparable = fence.iter().chain(&shown).all(on_timeline)
            && node.position?.timeline == Some(timeline);
        Fence::strongest(fence, shown).filter(|_| comparable)
    }

    /// The fence that a chosen replica has passed.
    pub(super) fn fence(&self) -> Option<Fence> {
        match self.ask.fence {
            FenceState::Known(fence) => Some(fence),
            FenceState::Open | FenceState::Pending(_) => None,
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
    /// its position is withheld until it is past that). Moving needs a position that covers what the
    /// old node showed, and that the new node has reached.
    fn is_monotonic(&self, node: &NodeView) -> bool {
        let Some((last, shown)) = self.last else { return true };
        if last.node == node.id {
            return node.position.is_some();
        }
        let (Some(shown), Some(position)) = (shown, node.position) else { return false };
        position.has_passed(shown)
    }
}

/// Why the node takes no reads at all, if so.
const fn takes_no_reads(node: &NodeView) -> Option<Eligibility> {
    match (node.role, node.gate, node.health) {
        (Role::Primary, _, _) => Some(Eligibility::IsPrimary),
        (Role::Unknown, _, _) => Some(Eligibility::RoleUnknown),
        (Role::Replica, Gate::Draining, _) => Some(Eligibility::Draining),
        (Role::Replica, Gate::Open, Health::Down | Health::Unknown) => Some(Eligibility::Down),
        (Role::Replica, Gate::Open, Health::Up) => None,
    }
}

/// What the last read showed at most: its node's position, or else the primary's flush position (a
/// standby has nothing else), asked for after that read was answered.
fn shown_by(last: LastRead, topology: &Topology) -> Option<Fence> {
    let measured = || {
        let node = topology.node(last.node)?;
        let position = node.position.filter(|_| node.observed > Some(last.answered))?;
        Some(Fence { timeline: position.timeline?, lsn: position.replay })
    };
    let sampled = || {
        let sampled = topology.sampled.filter(|sampled| sampled.sent > last.answered)?;
        Some(sampled.flush)
    };
    measured().or_else(sampled)
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
