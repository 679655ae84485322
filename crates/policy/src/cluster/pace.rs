//! When is a node probed next?

use std::time::{Duration, Instant};

use super::Cluster;
use super::member::Member;
use crate::topology::{Leader, NodeId};

/// How often nodes are probed, and how patiently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Between probes of a node of which nothing new is expected.
    pub probe_idle: Duration,
    /// Between the first probes of a replica that a fence waits for; grows to `probe_idle`.
    pub probe_fast: Duration,
    /// After which an unanswered probe has failed.
    pub probe_timeout: Duration,
    /// Failed probes, one after the other, that make a node down.
    pub down_after: u32,
    /// Between the first probes of a failing node, and of every node while there is no primary.
    pub retry_fast: Duration,
    /// Between probes of a node that has long failed.
    pub retry_slow: Duration,
    /// How long a lost primary must be gone before a node that isn't its heir may follow it.
    pub dispute_hold: Duration,
}

/// A probe that a fence waits for is followed by a pause of so many times what it took: however many Weirs
/// ask, a node that is busy with it is asked less often.
const REST: u32 = 20;

impl Default for Timing {
    fn default() -> Self {
        Self {
            probe_idle: Duration::from_millis(250),
            probe_fast: Duration::from_millis(2),
            probe_timeout: Duration::from_secs(2),
            down_after: 2,
            retry_fast: Duration::from_millis(100),
            retry_slow: Duration::from_secs(2),
            dispute_hold: Duration::from_secs(5),
        }
    }
}

impl Cluster {
    /// How long after the last probe of a node the next one should follow.
    ///
    /// Ask again after each report, and after each answer of the LSN clock: the pause may have
    /// become shorter. Pauses grow because each is half of all that was waited before: what a replica
    /// reached is noticed after one and a half times the time that it took, at most.
    #[must_use]
    pub fn probe_after(&self, id: NodeId, now: Instant) -> Duration {
        let Some(member) = self.member(id) else { return self.timing.probe_idle };
        let pause = self.pause(member, now);
        match self.leader {
            Leader::Node { .. } => pause,
            // Whoever is promoted, or comes back, must be found at once.
            Leader::Missing { .. } | Leader::SplitBrain => pause.min(self.timing.retry_fast),
        }
    }

    fn pause(&self, member: &Member, now: Instant) -> Duration {
        let timing = &self.timing;
        if let Some(failing) = member.failing_for(now) {
            return failing.max(timing.retry_fast).min(timing.retry_slow.max(timing.retry_fast));
        }
        if !member.was_tried() {
            return Duration::ZERO;
        }
        let waiting = self.target.filter(|fence| !member.replay.has_passed(*fence));
        match waiting.and_then(|_| member.replay.urgent_for(now)) {
            Some(urgent) => {
                let half = urgent.checked_div(2).unwrap_or(urgent);
                let took = member.seen.map(|seen| seen.took).unwrap_or_default();
                let rest = took.saturating_mul(REST);
                half.max(timing.probe_fast).max(rest).min(timing.probe_idle)
            }
            None => timing.probe_idle,
        }
    }
}
