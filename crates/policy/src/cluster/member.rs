//! One member, as last seen: its health, its claim, its replay.

use std::time::{Duration, Instant};

use super::event::Event;
use super::membership::NodeSpec;
use super::observation::{Observation, Observed};
use super::verdict::{Claim, Claimant, Crown, Presence};
use crate::lag::{Ring, Xid};
use crate::lsn::{Fence, Lsn, Position, Timeline};
use crate::topology::{Gate, Health, NodeId, NodeView, Role, Sampled};

/// A member and all that was seen of it.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: NodeId,
    pub(super) spec: NodeSpec,
    pub(super) gate: Gate,
    pub(super) health: Health,
    /// Failures since the last answer.
    failures: u32,
    /// When the first of them was noticed.
    failing_since: Option<Instant>,
    pub(super) seen: Option<Seen>,
    pub(super) replay: Replay,
    /// The oddity that was told already, so that it is told once.
    pub(super) told: Option<Event>,
}

/// The last observation, without positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) sent: Instant,
    pub(super) system: u64,
    pub(super) started: i64,
    pub(super) took: Duration,
    pub(super) version: u32,
    pub(super) state: State,
}

/// What the node was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It took writes.
    Writable { timeline: Timeline, claim: Claim },
    /// It was in recovery; `follows` is the newest timeline that it was seen on, if any was.
    Standby { follows: Option<Timeline> },
}

/// How far a standby's replay was measured to be, and what that says of its age.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Replay {
    position: Option<Position>,
    /// All transactions below have ended here.
    xmin: Option<Xid>,
    observed: Option<Instant>,
    /// The send time of the newest primary sample that it reached; never goes back.
    fresh_at: Option<Instant>,
    /// Set when the standby was seen to have restarted, until it caught up past that moment.
    ///
    /// A standby that crashed opens at its last restartpoint, and may show less than it did
    /// before. Nothing that it showed was newer than the primary's flush position is now.
    withheld_since: Option<Instant>,
    /// Set when a connection to it broke, until it is measured anew.
    doubted_since: Option<Instant>,
    /// Since when it is asked often, because a fence waits for it.
    urgent_since: Option<Instant>,
    /// Whether its replay moved since then.
    moved: bool,
    /// The longest that its bound grew before it was measured anew, and when that was seen.
    worst: Option<(Duration, Instant)>,
}

/// For how long it is remembered how far a replica was behind.
const REMEMBERED: Duration = Duration::from_secs(5);

impl Member {
    pub(super) fn new(id: NodeId, spec: NodeSpec) -> Self {
        Self {
            id,
            spec,
            gate: Gate::Open,
            health: Health::Unknown,
            failures: 0,
            failing_since: None,
            seen: None,
            replay: Replay::default(),
            told: None,
        }
    }

    /// Whether a probe of it ended, well or badly.
    pub(super) fn was_tried(&self) -> bool {
        self.seen.is_some() || self.failures > 0
    }

    /// Notes a failed probe; true if the node is down by it.
    pub(super) fn fail(&mut self, now: Instant, down_after: u32) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.failing_since.get_or_insert(now);
        let falls = self.failures >= down_after.max(1) && self.health != Health::Down;
        if falls {
            self.health = Health::Down;
        }
        falls
    }

    /// For how long probes have failed, if the last one did.
    pub(super) fn failing_for(&self, now: Instant) -> Option<Duration> {
        self.failing_since.map(|since| now.saturating_duration_since(since))
    }

    /// Notes an answer; true if the node was not up before.
    ///
    /// An answer to a probe that was sent before the last one is left out.
    pub(super) fn hear(&mut self, heard: &Observation) -> bool {
        if self.seen.is_some_and(|seen| heard.sent < seen.sent) {
            return false;
        }
        let rose = self.health != Health::Up;
        self.health = Health::Up;
        self.failures = 0;
        self.failing_since = None;
        let before = self.seen.filter(|seen| seen.system == heard.system);
        if before.map(|seen| seen.started) != Some(heard.started) {
            // Also where it was a node of another system in between.
            let known = self.seen.is_some();
            self.replay = if known { Replay::withheld(heard.sent) } else { Replay::default() };
        }
        let state = match heard.state {
            Observed::Writable { timeline, .. } => {
                self.replay = Replay::default();
                State::Writable {
                    timeline,
                    claim: Claim::new(timeline, before.map(|seen| seen.state)),
                }
            }
            Observed::Standby { timeline, replay, xmin } => {
                self.replay.measure((timeline, replay), xmin, heard.sent);
                let followed = match before.map(|seen| seen.state) {
                    Some(State::Standby { follows }) => follows,
                    Some(State::Writable { .. }) | None => None,
                };
                State::Standby { follows: timeline.max(followed) }
            }
        };
        self.seen = Some(Seen {
            sent: heard.sent,
            system: heard.system,
            started: heard.started,
            took: heard.took,
            version: heard.version,
            state,
        });
        rose
    }

    /// The node as one that may be primary, if it takes writes in this system.
    ///
    /// A node that went down is one until it has been gone for `hold`.
    pub(super) fn claimant(&self, system: u64, now: Instant, hold: Duration) -> Option<Claimant> {
        let seen = self.seen.filter(|seen| seen.system == system)?;
        let State::Writable { timeline, claim } = seen.state else { return None };
        let presence = match self.health {
            Health::Up | Health::Unknown => Presence::Here,
            Health::Down if self.failing_for(now).is_some_and(|gone| gone >= hold) => return None,
            Health::Down => Presence::LatelyLost,
        };
        Some(Claimant {
            crown: Crown { id: self.id, timeline, started: seen.started },
            claim,
            presence,
        })
    }

    /// The timeline that it follows as a standby of this system, if that was seen.
    pub(super) fn follows(&self, system: u64) -> Option<Timeline> {
        match self.seen.filter(|seen| seen.system == system)?.state {
            State::Standby { follows } => follows,
            State::Writable { .. } => None,
        }
    }

    /// What an operator should know of a node that answers and yet can't be used.
    pub(super) fn oddity(&self, system: u64, last: Option<Crown>) -> Option<Event> {
        let (node, seen) = (self.id, self.seen.filter(|_| self.health == Health::Up)?);
        if seen.system != system {
            return Some(Event::WrongSystem { node, found: seen.system, expected: system });
        }
        match seen.state {
            State::Writable { timeline, .. }
                if last.is_some_and(|last| timeline < last.timeline) =>
            {
                Some(Event::Superseded { node, timeline })
            }
            State::Writable { .. } | State::Standby { .. } => None,
        }
    }

    /// What the node is, given the cluster's identifier and its primary.
    pub(super) fn role(&self, system: Option<u64>, leader: Option<NodeId>) -> Role {
        match self.seen.filter(|seen| Some(seen.system) == system).map(|seen| seen.state) {
            Some(State::Standby { .. }) => Role::Replica,
            Some(State::Writable { .. }) if leader == Some(self.id) => Role::Primary,
            Some(State::Writable { .. }) | None => Role::Unknown,
        }
    }

    /// Whether its replay was further than the primary had flushed later: then what it has is of another
    /// branch, whatever timeline it names, and no position of it means anything here.
    fn is_beyond(&self, sampled: Option<Sampled>) -> bool {
        let (Some(sampled), Some(seen), Some(position)) =
            (sampled, self.seen, self.replay.position)
        else {
            return false;
        };
        position.timeline == Some(sampled.flush.timeline)
            && sampled.sent.saturating_duration_since(seen.sent) > seen.took
            && position.replay > sampled.flush.lsn
    }

    /// The node as routing sees it.
    pub(super) fn view(&self, role: Role, sampled: Option<Sampled>, now: Instant) -> NodeView {
        let counts = self.replay.counts() && !self.is_beyond(sampled);
        let replay = (role == Role::Replica && counts).then_some(self.replay);
        let position = replay.and_then(|replay| replay.position);
        let behind = |position: Position| {
            let flush = sampled?.flush;
            (position.timeline == Some(flush.timeline))
                .then(|| flush.lsn.bytes_since(position.replay))
        };
        NodeView {
            id: self.id,
            name: self.spec.name.clone(),
            host: self.spec.host.clone(),
            port: self.spec.port,
            weight: self.spec.weight,
            version: self.seen.map(|seen| seen.version),
            role,
            gate: self.gate,
            health: self.health,
            position,
            observed: replay.and_then(|replay| replay.observed),
            fresh_at: replay.and_then(|replay| replay.fresh_at),
            lag_bytes: position.and_then(behind),
            worst_lag: replay.and_then(|replay| replay.worst(now)),
        }
    }
}

impl Claim {
    /// How a node that takes writes on `timeline` came to it, by what it did before.
    fn new(timeline: Timeline, before: Option<State>) -> Self {
        match before {
            Some(State::Standby { follows }) => Self::Heir { from: follows },
            Some(State::Writable { timeline: same, claim }) if same == timeline => claim,
            Some(State::Writable { .. }) | None => Self::Stranger,
        }
    }
}

impl Replay {
    /// Whether what was measured says what the node shows now.
    fn counts(&self) -> bool {
        self.withheld_since.is_none() && self.doubted_since.is_none()
    }

    /// The node may have restarted at this moment; whether what was measured counted until now.
    pub(super) fn doubt(&mut self, now: Instant) -> bool {
        let counted = self.counts() && self.position.is_some();
        self.doubted_since = Some(now);
        counted
    }

    /// Nothing that is shown counts until it is newer than `since`.
    fn withheld(since: Instant) -> Self {
        Self { withheld_since: Some(since), ..Self::default() }
    }

    /// Notes where the replay is.
    ///
    /// The timeline sticks while the postmaster runs: a receiver that was shut down says nothing,
    /// and the replay is still where it was. Replay that went back is another copy of the data.
    fn measure(
        &mut self,
        (timeline, replay): (Option<Timeline>, Option<Lsn>),
        xmin: Xid,
        sent: Instant,
    ) {
        let reached = self.position.map(|position| position.replay);
        if replay < reached {
            *self = Self::withheld(sent);
        }
        let before = self.position;
        let timeline = timeline.or(before.and_then(|before| before.timeline));
        if before.is_some_and(|before| before.timeline != timeline) {
            // Samples of another timeline prove nothing here.
            self.fresh_at = None;
        }
        self.moved |= replay != reached;
        self.position = replay.map(|replay| Position { timeline, replay });
        self.xmin = Some(xmin);
        self.observed = Some(sent);
        self.doubted_since = self.doubted_since.filter(|since| sent <= *since);
    }

    /// Looks how fresh the replay is, after it or the primary's samples moved.
    pub(super) fn date(&mut self, timeline: Timeline, (ring, ended): (&Ring, &Ring<Xid>)) {
        let Some(position) = self.position.filter(|position| position.timeline == Some(timeline))
        else {
            return;
        };
        self.remember();
        // An older, finer answer outlives the thinning of the ring.
        let by_end = self.xmin.and_then(|xmin| ended.freshest_reached(xmin));
        self.fresh_at = self.fresh_at.max(ring.freshest_reached(position.replay)).max(by_end);
        if self.withheld_since.is_some_and(|since| self.fresh_at.is_some_and(|fresh| fresh > since))
        {
            self.withheld_since = None;
        }
    }

    /// Takes note of how far the bound has grown by the time of the newest probe.
    fn remember(&mut self) {
        let Some((fresh_at, observed)) = self.fresh_at.zip(self.observed) else { return };
        let grown = observed.saturating_duration_since(fresh_at);
        let longest =
            self.worst.filter(|(_, at)| observed.saturating_duration_since(*at) < REMEMBERED);
        if longest.is_none_or(|(worst, _)| worst <= grown) {
            self.worst = Some((grown, observed));
        }
    }

    /// How far it was behind lately.
    pub(super) fn worst(&self, now: Instant) -> Option<Duration> {
        let lately = |at: Instant| now.saturating_duration_since(at) < REMEMBERED;
        self.worst.filter(|(_, at)| lately(*at)).map(|(worst, _)| worst)
    }

    /// Forgets what it was dated by: another primary's samples follow.
    pub(super) fn undate(&mut self) {
        self.fresh_at = None;
    }

    /// A fence that it should reach soon, known since `at`; `passed` is the one before.
    ///
    /// A replica that reached neither and stands still is not asked more often for it.
    pub(super) fn urge(&mut self, passed: Option<Fence>, at: Instant) {
        let reached = passed.is_none_or(|fence| self.has_passed(fence));
        if reached || self.moved {
            self.urgent_since = Some(at);
            self.moved = false;
        }
    }

    /// Whether everything up to the fence is visible.
    pub(super) fn has_passed(&self, fence: Fence) -> bool {
        self.position.is_some_and(|position| position.has_passed(fence))
    }

    /// For how long a fence has been waiting for it, if its timeline is known at all.
    pub(super) fn urgent_for(&self, now: Instant) -> Option<Duration> {
        self.position?.timeline?;
        self.urgent_since.map(|since| now.saturating_duration_since(since))
    }
}
