//! Who is primary? A total function of the last one known and of all nodes that take writes.
//!
//! The history of a timeline can't be read without superuser rights, so "its history contains the
//! other's" is approximated: the node was seen as a standby of this cluster, on a timeline that is
//! not newer, before it took writes on a higher one. A node first met as a primary is never such
//! an heir, whatever its timeline: a clone recovered to a point in time looks just like it.

use crate::lsn::Timeline;
use crate::topology::NodeId;

/// The last primary that was confirmed; kept while it is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crown {
    /// Who.
    pub(super) id: NodeId,
    /// On which timeline.
    pub(super) timeline: Timeline,
    /// Which run of its postmaster: another one on the same timeline is a crash or a restart.
    pub(super) started: i64,
}

/// How a node that takes writes came to do so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// It was seen as a standby of this cluster before, last on this timeline, if that was seen.
    Heir {
        /// The timeline that it followed.
        from: Option<Timeline>,
    },
    /// It was met as a primary.
    Stranger,
}

/// Whether a claimant answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// It answered the last probe.
    Here,
    /// It was lost so lately that it may still take writes of others and come back.
    LatelyLost,
}

/// A node of this cluster that takes writes, or did when last heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claimant {
    /// Who, where and in which run.
    pub(super) crown: Crown,
    /// How it came to it.
    pub(super) claim: Claim,
    /// Whether it is here.
    pub(super) presence: Presence,
}

/// Who leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This one; perhaps the same as before.
    Reigns(Crown),
    /// Nobody is known to.
    Vacant,
    /// More than one may, and none provably succeeds the other.
    Disputed,
}

/// Judges from nothing: exactly one claimant, none that was just lost.
pub(super) fn first_contact(claimants: &[Claimant]) -> Verdict {
    match claimants {
        [Claimant { crown, presence: Presence::Here, .. }] => Verdict::Reigns(*crown),
        claimants if claimants.iter().any(Claimant::is_here) => Verdict::Disputed,
        _ => Verdict::Vacant,
    }
}

/// Judges who follows the last known primary, if anyone has to.
///
/// Claimants on lower timelines than its own were succeeded already and count for nothing.
pub(super) fn succession(last: Crown, claimants: &[Claimant]) -> Verdict {
    let incumbent = claimants.iter().find(|claimant| claimant.is_incumbent(last));
    let present = incumbent.filter(|incumbent| incumbent.is_here());
    let mut rivals = claimants.iter().filter(|rival| {
        rival.is_here() && rival.crown.timeline >= last.timeline && !rival.is_incumbent(last)
    });
    match (rivals.next(), rivals.next()) {
        (None, _) => present.map_or(Verdict::Vacant, |incumbent| Verdict::Reigns(incumbent.crown)),
        (Some(heir), None) if heir.succeeds(last, present) => Verdict::Reigns(heir.crown),
        // A stranger follows only a primary that is surely gone (for long, or itself a standby or
        // on another timeline by now): a short outage must not hand the writes to a clone.
        (Some(stranger), None) if incumbent.is_none() => Verdict::Reigns(stranger.crown),
        (Some(_), _) => Verdict::Disputed,
    }
}

impl Claimant {
    fn is_here(&self) -> bool {
        self.presence == Presence::Here
    }

    /// The last primary itself, where it was. A new run of it is judged by the caller.
    fn is_incumbent(&self, last: Crown) -> bool {
        self.crown.id == last.id && self.crown.timeline == last.timeline
    }

    /// Whether it provably continues the last primary's history.
    ///
    /// While that one still takes writes, having followed an older timeline is not enough.
    fn succeeds(&self, last: Crown, incumbent: Option<&Self>) -> bool {
        let follows = match self.claim {
            Claim::Stranger => false,
            Claim::Heir { from: None } => true,
            Claim::Heir { from: Some(from) } => from >= last.timeline || incumbent.is_none(),
        };
        follows && self.crown.timeline > last.timeline
    }
}
