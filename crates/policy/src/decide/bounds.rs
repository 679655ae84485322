//! How old may the data be that a read shows, and is this node's within that?

use std::time::{Duration, Instant};

use super::answer::Eligibility;
use crate::rules::{OnNoPrimary, Preferences, Route};
use crate::topology::{NodeView, Topology};

/// The oldest data that one cycle may be shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    time: Option<Duration>,
    bytes: Option<u64>,
    /// The moment at which data must not be older.
    as_of: Instant,
}

impl Bounds {
    /// What is wished for, unless there is nobody to measure it by.
    pub(super) fn new(wishes: &Preferences, topology: &Topology, now: Instant) -> Self {
        let serve = wishes.on_no_primary == OnNoPrimary::Serve;
        // Without a primary, every replica's bound grows, whatever its data.
        let waived = serve && topology.primary().is_none();
        // While it is silent only: it may be back, and what was late before is late.
        let silent = wishes.max_lag.and_then(|bound| topology.silent_for(bound, now));
        let as_of = silent.filter(|_| serve).unwrap_or(now);
        if waived || wishes.route == Route::Replica {
            return Self { time: None, bytes: None, as_of };
        }
        Self { time: wishes.max_lag, bytes: wishes.max_lag_bytes, as_of }
    }

    /// What the bounds say against a node, if anything.
    pub(super) fn objection(&self, node: &NodeView) -> Option<Eligibility> {
        let within = self.time.map(|bound| node.is_within(bound, self.as_of));
        let bytes = self.bytes.map(|bound| node.lag_bytes.map(|behind| behind <= bound));
        match (within.unwrap_or(Some(true)), bytes.unwrap_or(Some(true))) {
            (None, _) | (_, None) => Some(Eligibility::LagUnknown),
            (Some(false), _) | (_, Some(false)) => Some(Eligibility::TooFarBehind),
            (Some(true), Some(true)) => None,
        }
    }
}

/// Whether a node that was chosen a while ago has fallen behind the bounds by now: its reader waited for a
/// server, and its data grew old meanwhile.
///
/// What the read must not be older than is as it was when it was asked for.
#[must_use]
pub fn outgrew_bounds(
    wishes: &Preferences,
    node: &NodeView,
    topology: &Topology,
    now: Instant,
) -> bool {
    Bounds::new(wishes, topology, now).objection(node).is_some()
}
