//! What do probes say: who is primary, which node is healthy, how far is each replica?
//!
//! One [`Cluster`] per cluster, owned by control's task for it. Control does the I/O and feeds
//! what it saw; the answer is a new [`Topology`]. Roles are probed, never configured, and a node is
//! identified by its system identifier and timeline, never by its address.

mod event;
mod member;
mod membership;
mod observation;
mod pace;
#[cfg(test)]
mod tests;
mod verdict;

use std::time::Instant;

pub use event::Event;
use member::{Member, State};
pub use membership::{MembershipError, NodePatch, NodeSpec};
pub use observation::{Observation, Observed};
pub use pace::Timing;
use verdict::{Claimant, Crown, Verdict};

use crate::clock::Answer;
use crate::lag::{Ring, Xid};
use crate::lsn::{Fence, Lsn, Timeline};
use crate::topology::{Epoch, Health, Leader, NodeId, Sampled, Topology};

/// Probes that a primary must have missed to count as silent; one may be late.
const MISSED: u32 = 2;

/// One cluster: its members, what was seen of them, and the verdict on who leads.
#[derive(Debug)]
pub struct Cluster {
    name: Box<str>,
    timing: Timing,
    generation: u64,
    epoch: Epoch,
    leader: Leader,
    /// The last primary confirmed, also while it is lost.
    crown: Option<Crown>,
    /// The identifier that members must have.
    system: Option<u64>,
    members: Vec<Member>,
    next_id: u32,
    /// The current or last primary's samples, all of its timeline: of its WAL, and of its transactions.
    ring: Option<(Timeline, Ring)>,
    ended: Ring<Xid>,
    /// The newest of them, as the primary said it.
    sampled: Option<Sampled>,
    /// Where the clock's newest answer wants replicas to be.
    target: Option<Fence>,
    /// The latest moment that was told.
    now: Instant,
    events: Vec<Event>,
}

impl Cluster {
    /// A cluster without members; writes wait until one is found to be primary.
    #[must_use]
    pub fn new(name: &str, timing: Timing, now: Instant) -> Self {
        Self {
            name: name.into(),
            timing,
            generation: 0,
            epoch: Epoch(0),
            leader: Leader::Missing { since: now },
            crown: None,
            system: None,
            members: Vec::new(),
            next_id: 0,
            ring: None,
            ended: Ring::default(),
            sampled: None,
            target: None,
            now,
            events: Vec::new(),
        }
    }

    /// Takes in what a probe saw; answers what became different by it, for the log.
    ///
    /// Of a node that isn't a member any more, nothing is taken in.
    pub fn observe(&mut self, id: NodeId, observation: Observation) -> Vec<Event> {
        let Some(member) = self.members.iter_mut().find(|member| member.id == id) else {
            return Vec::new();
        };
        if member.hear(&observation) {
            self.events.push(Event::NodeUp { node: id });
        }
        self.judge(observation.sent);
        if let Observed::Writable { timeline, flush, mark, xmax } = observation.state
            && self.leader == (Leader::Node { id, timeline })
        {
            let flush = Fence { timeline, lsn: flush };
            self.sample(Sampled { sent: observation.sent, flush }, mark);
            self.ended.push(observation.sent, xmax);
        }
        self.date();
        std::mem::take(&mut self.events)
    }

    /// Takes in that a probe of a node failed, or that a connection to it broke.
    pub fn failed(&mut self, id: NodeId, now: Instant) -> Vec<Event> {
        let down_after = self.timing.down_after;
        let Some(member) = self.members.iter_mut().find(|member| member.id == id) else {
            return Vec::new();
        };
        if member.fail(now, down_after) {
            self.events.push(Event::NodeDown { node: id });
        }
        self.judge(now);
        std::mem::take(&mut self.events)
    }

    /// Takes in an answer of the LSN clock: a sample of the primary, and a mark to be reached.
    ///
    /// An answer of another primary than the present one is left out.
    pub fn answered(&mut self, answer: &Answer) {
        let led =
            matches!(self.leader, Leader::Node { timeline, .. } if timeline == answer.timeline);
        if !led || answer.epoch != self.epoch {
            return;
        }
        self.sample(Sampled { sent: answer.sent, flush: answer.flushed() }, answer.mark);
        let mark = answer.fence();
        if self.target.is_none_or(|target| target.lsn < mark.lsn) {
            for member in &mut self.members {
                member.replay.urge(self.target, answer.sent);
            }
            self.target = Some(mark);
        }
        self.date();
    }

    /// Takes in where the primary was.
    fn sample(&mut self, sampled: Sampled, mark: Lsn) {
        if let Some((_, ring)) = &mut self.ring {
            ring.push(sampled.sent, mark);
        }
        if self.sampled.is_none_or(|newest| newest.sent < sampled.sent) {
            self.sampled = Some(sampled);
        }
    }

    /// Takes in that a connection to a node broke: it may have restarted, and show less than it did.
    ///
    /// What was measured counts again once a probe was answered that was sent after this. Answers whether
    /// anything counted until now.
    pub fn lost(&mut self, id: NodeId, now: Instant) -> bool {
        let member = self.members.iter_mut().find(|member| member.id == id);
        member.is_some_and(|member| member.replay.doubt(now))
    }

    /// The cluster as routing sees it from now on; each one has a higher generation.
    pub fn topology(&mut self, now: Instant) -> Topology {
        self.judge(now);
        self.generation = self.generation.saturating_add(1);
        let leader = self.leader_id();
        let (sampled, now) = (self.sampled, self.now);
        let view = |member: &Member| member.view(member.role(self.system, leader), sampled, now);
        Topology {
            cluster: self.name.clone(),
            system: self.system,
            generation: self.generation,
            epoch: self.epoch,
            leader: self.leader,
            nodes: self.members.iter().map(view).collect(),
            sampled: self.sampled,
            silent_since: self.silent_since(),
        }
    }

    /// When the primary said its last word, if a replica was heard several probes later.
    fn silent_since(&self) -> Option<Instant> {
        let said = self.sampled?.sent;
        let heard = self.members.iter().filter(|member| Some(member.id) != self.leader_id());
        let last = heard.filter_map(|member| member.seen).map(|seen| seen.sent).max()?;
        let missed = self.timing.probe_idle.saturating_mul(MISSED);
        (last.saturating_duration_since(said) > missed).then_some(said)
    }

    fn member(&self, id: NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    fn leader_id(&self) -> Option<NodeId> {
        match self.leader {
            Leader::Node { id, .. } => Some(id),
            Leader::Missing { .. } | Leader::SplitBrain => None,
        }
    }

    /// Finds out anew who leads.
    fn judge(&mut self, now: Instant) {
        self.now = self.now.max(now);
        // The one that answers first may be the one that was succeeded, or one of another cluster:
        // before the first primary, every member is heard or was tried in vain.
        let first = self.crown.is_none();
        let verdict = if first && !self.members.iter().all(Member::was_tried) {
            Verdict::Vacant
        } else {
            if first {
                self.system = self.likely_system();
            }
            self.system.map_or(Verdict::Vacant, |system| self.verdict(system))
        };
        match verdict {
            Verdict::Reigns(crown) => self.enthrone(crown),
            Verdict::Vacant => self.lose(),
            Verdict::Disputed => self.dispute(),
        }
        self.note_oddities();
    }

    fn verdict(&self, system: u64) -> Verdict {
        let claimant =
            |member: &Member| member.claimant(system, self.now, self.timing.dispute_hold);
        let claimants: Vec<Claimant> = self.members.iter().filter_map(claimant).collect();
        let verdict = match self.crown {
            Some(last) => verdict::succession(last, &claimants),
            None => verdict::first_contact(&claimants),
        };
        // A standby can't follow a timeline that its primary isn't on: somebody who is not heard of was
        // promoted. One that was seen so and is gone says so before the first primary only.
        let counts = |member: &&Member| self.crown.is_none() || member.health == Health::Up;
        let standbys = self.members.iter().filter(counts);
        let followed = standbys.filter_map(|member| member.follows(system)).max();
        match verdict {
            Verdict::Reigns(crown) if Some(crown.timeline) < followed => Verdict::Vacant,
            verdict @ (Verdict::Reigns(_) | Verdict::Vacant | Verdict::Disputed) => verdict,
        }
    }

    /// Before the first primary: the identifier that most members have; of two equally frequent
    /// ones, that of a node that takes writes. Still equal, none: reads of another cluster's
    /// nodes would be as wrong as writes.
    fn likely_system(&self) -> Option<u64> {
        let seen = || self.members.iter().filter_map(|member| member.seen);
        let votes = |system: u64| {
            let of_it = || seen().filter(move |seen| seen.system == system);
            let writable = of_it().any(|seen| matches!(seen.state, State::Writable { .. }));
            (of_it().count(), writable)
        };
        let likely = seen().map(|seen| seen.system).max_by_key(|system| votes(*system))?;
        let equal = |other: u64| other != likely && votes(other) == votes(likely);
        (!seen().any(|seen| equal(seen.system))).then_some(likely)
    }

    fn enthrone(&mut self, crown: Crown) {
        let Crown { id, timeline, .. } = crown;
        let before = self.crown.replace(crown);
        let back = self.leader != (Leader::Node { id, timeline });
        self.leader = Leader::Node { id, timeline };
        let same = before.filter(|before| (before.id, before.timeline) == (id, timeline));
        if before != Some(crown) {
            self.epoch = Epoch(self.epoch.0.saturating_add(1));
            self.target = None;
        }
        let epoch = self.epoch;
        match same {
            Some(same) if same == crown => {
                if back {
                    self.events.push(Event::PrimaryBack { node: id, epoch });
                }
            }
            // Its WAL goes on where it was: the samples stay true.
            Some(_) => self.events.push(Event::PrimaryRestarted { node: id, epoch }),
            None => {
                self.ring = Some((timeline, Ring::default()));
                self.ended = Ring::default();
                self.sampled = None;
                self.members.iter_mut().for_each(|member| member.replay.undate());
                self.events.push(Event::PrimaryElected { node: id, timeline, epoch });
            }
        }
    }

    fn lose(&mut self) {
        if let Leader::Missing { .. } = self.leader {
            return;
        }
        self.leader = Leader::Missing { since: self.now };
        if let Some(crown) = self.crown {
            self.events.push(Event::PrimaryLost { node: crown.id });
        }
    }

    fn dispute(&mut self) {
        if self.leader != Leader::SplitBrain {
            self.leader = Leader::SplitBrain;
            self.events.push(Event::SplitBrain);
        }
    }

    /// Tells once of each node that answers and yet can't be used.
    fn note_oddities(&mut self) {
        for member in &mut self.members {
            let oddity = self.system.and_then(|system| member.oddity(system, self.crown));
            if oddity != member.told {
                member.told = oddity;
                self.events.extend(oddity);
            }
        }
    }

    /// Looks how fresh each replica is, after a position or a sample was added.
    fn date(&mut self) {
        let Some((timeline, ring)) = &self.ring else { return };
        for member in &mut self.members {
            member.replay.date(*timeline, (ring, &self.ended));
        }
    }
}
