//! What a cycle may still be decided as, after what was tried with it.

use super::answer::{Decision, Reason};
use super::ask::Pace;
use super::on_primary;
use crate::clock::{Answer, Wal};
use crate::topology::Topology;

/// How often a cycle was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// Never yet.
    First,
    /// It waited for the answer to its ticket, or for replicas to replay.
    Answered,
    /// A replica could not prove that it has passed the fence.
    Unproven,
    /// A replica was lost: the primary serves it, or another replica where there is none.
    Elsewhere,
    /// A replica refused it, or too many were lost.
    OnPrimary,
    /// It waited for a fresh replica in vain, for this reason.
    Stale(Reason),
}

impl Attempt {
    /// Where it goes whatever was measured, if that is settled.
    #[must_use]
    pub fn settled(self, topology: &Topology) -> Option<Decision> {
        match self {
            Self::First | Self::Answered | Self::Unproven => None,
            Self::Elsewhere if topology.primary().is_none() => None,
            Self::Elsewhere | Self::OnPrimary => Some(on_primary(topology, Reason::Retried)),
            Self::Stale(reason) => Some(on_primary(topology, reason)),
        }
    }

    /// How the clock goes, if the read may wait for a ticket of this kind: only once.
    #[must_use]
    pub fn pace(self, newest: Option<&Answer>, awaits: Wal) -> Option<Pace> {
        let newest = newest.filter(|_| self == Self::First)?;
        Some(Pace { newest: newest.to(awaits), took: newest.took })
    }

    /// Whether it may carry a guard: not right behind one that failed.
    #[must_use]
    pub fn may_be_guarded(self) -> bool {
        self != Self::Unproven
    }
}
