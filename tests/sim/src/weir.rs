//! One Weir: policy's `Cluster` fed by probes as control's owner feeds it, and what sessions share.
//!
//! Follows `control/src/owner.rs` and `control/src/probe.rs`; what is decided is policy's.

use std::rc::Rc;
use std::time::{Duration, Instant};

use policy::cluster::{self, Cluster, NodeSpec, Timing};
use policy::lag::Marks;
use policy::settings::KnownSettings;
use policy::{Answers, Epoch, Guards, NodeId, Ticket, Tickets, Timeline, Topology};

use crate::bits::Bits;
use crate::clock::Clock;
use crate::event::{Event, Observation, OfWeir};
use crate::wal::Micros;
use crate::world::World;

/// Signals may come by the thousand: a node is not probed more often than this for them.
const URGENT_FLOOR: Micros = 10_000;

/// How long a connection takes to open.
pub(crate) const OPENING: Micros = 1_500;

/// A Weir.
pub(crate) struct Weir {
    /// Its monotonic clock is another one than that of others.
    pub(crate) offset: Duration,
    pub(crate) cluster: Cluster,
    pub(crate) topology: Rc<Topology>,
    pub(crate) answers: Answers,
    pub(crate) guards: Guards,
    pub(crate) newest: Ticket,
    pub(crate) clock: Clock,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) known: KnownSettings,
    pub(crate) idle: Vec<Option<Idle>>,
    /// Nodes that neither probes nor the clock reach.
    pub(crate) cut: Vec<bool>,
    /// The newest timeline that it took for the primary's.
    pub(crate) highest: Option<Timeline>,
    probes: Vec<Probe>,
    dispatch_at: Micros,
}

/// Whoever shares a fence.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    pub(crate) newest: Tickets,
    /// The commits that somebody of it was told of.
    pub(crate) told: Bits,
}

/// An idle server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Idle {
    pub(crate) run: u64,
    pub(crate) primary: bool,
    pub(crate) epoch: Epoch,
    pub(crate) opened: Micros,
    pub(crate) default: crate::event::Default,
}

/// One node's probe.
#[derive(Debug, Clone, Default)]
struct Probe {
    phase: Phase,
    asked: Option<Micros>,
    /// Grows with each probe; answers to earlier ones come too late.
    number: u64,
    /// The run of the node that its connection is to.
    run: u64,
    marks: Marks,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Due(Micros),
    Asking,
    AskingAgain,
}

impl Default for Phase {
    fn default() -> Self {
        Self::Due(0)
    }
}

impl Weir {
    pub(crate) fn new(offset: Duration, nodes: usize, (timing, base): (Timing, Instant)) -> Self {
        let mut cluster = Cluster::new("main", timing, base + offset);
        for node in 0..nodes {
            let spec = NodeSpec {
                name: format!("n{node}").into(),
                host: "localhost".into(),
                port: u16::try_from(node).unwrap_or_default(),
                weight: 1,
            };
            let _added = cluster.add(spec);
        }
        let topology = Rc::new(cluster.topology(base + offset));
        Self {
            offset,
            cluster,
            topology,
            answers: Answers::default(),
            guards: Guards::default(),
            newest: Ticket::default(),
            clock: Clock::default(),
            scopes: Vec::new(),
            known: KnownSettings::default(),
            idle: vec![None; nodes],
            cut: vec![false; nodes],
            highest: None,
            probes: vec![Probe::default(); nodes],
            dispatch_at: 0,
        }
    }
}

/// A node's number, as policy has it.
pub(crate) fn id(node: usize) -> NodeId {
    NodeId(u32::try_from(node).unwrap_or(u32::MAX))
}

/// The node of that number.
pub(crate) fn node_of(id: NodeId) -> usize {
    usize::try_from(id.0).unwrap_or(usize::MAX)
}

impl World {
    pub(crate) fn of_weir(&mut self, weir: usize, event: OfWeir) {
        match event {
            OfWeir::Dispatch => self.dispatch(weir),
            OfWeir::ProbeArrives { node, number, sent } => {
                self.probe_arrives(weir, node, (number, sent));
            }
            OfWeir::ProbeEnds { node, number, outcome } => {
                if self.weirs[weir].probes[node].number == number {
                    self.heard(weir, node, outcome);
                }
            }
            OfWeir::Clock { number, step } => self.clock_step(weir, number, step),
            OfWeir::AnswersHeard => {
                if let Some(newest) = self.weirs[weir].answers.newest().copied() {
                    self.weirs[weir].cluster.answered(&newest);
                }
                self.reschedule(weir);
            }
            OfWeir::ClockLost(node) => self.urge(weir, node),
            OfWeir::Lost(node) => {
                let now = self.at(weir, self.now);
                self.urge(weir, node);
                if self.weirs[weir].cluster.lost(id(node), now) {
                    self.publish(weir);
                }
            }
        }
    }

    /// Virtual time as this Weir's clock shows it.
    pub(crate) fn at(&self, weir: usize, moment: Micros) -> Instant {
        self.base + self.weirs[weir].offset + Duration::from_micros(moment)
    }

    fn publish(&mut self, weir: usize) {
        let now = self.at(weir, self.now);
        let it = &mut self.weirs[weir];
        let (before, topology) = (it.topology.epoch, it.cluster.topology(now));
        it.highest = it.highest.max(topology.timeline());
        it.topology = Rc::new(topology);
        let epoch = it.topology.epoch;
        if epoch != before {
            self.cover.add("epochs");
            self.note(|| format!("weir {weir}: epoch {}", epoch.0));
        }
        self.clock_follows(weir);
        self.wake(weir);
    }

    fn heard(&mut self, weir: usize, node: usize, outcome: Option<Observation>) {
        let now = self.now;
        let instant = self.at(weir, now);
        let probe = &mut self.weirs[weir].probes[node];
        probe.phase = match probe.phase {
            Phase::AskingAgain => Phase::Due(soonest(probe.asked, now)),
            Phase::Asking | Phase::Due(_) => Phase::Due(Micros::MAX),
        };
        let events = match outcome {
            Some(seen) => {
                let sent = self.at(weir, seen.sent);
                let observation = cluster::Observation {
                    sent,
                    took: instant.saturating_duration_since(sent),
                    system: seen.system,
                    started: seen.started,
                    version: self.weather.version,
                    state: seen.state,
                };
                self.weirs[weir].cluster.observe(id(node), observation)
            }
            None => self.weirs[weir].cluster.failed(id(node), instant),
        };
        for event in events {
            self.note(|| format!("weir {weir}: {event:?}"));
        }
        self.publish(weir);
        self.reschedule(weir);
    }

    fn reschedule(&mut self, weir: usize) {
        let (now, instant) = (self.now, self.at(weir, self.now));
        let it = &mut self.weirs[weir];
        for (node, probe) in it.probes.iter_mut().enumerate() {
            if let Phase::Due(due) = probe.phase {
                let pause = it.cluster.probe_after(id(node), instant);
                let pause = Micros::try_from(pause.as_micros()).unwrap_or(Micros::MAX);
                let wanted = probe.asked.map_or(now, |asked| asked.saturating_add(pause));
                probe.phase = Phase::Due(due.min(wanted.max(now)));
            }
        }
        self.plan_dispatch(weir);
    }

    fn plan_dispatch(&mut self, weir: usize) {
        let it = &mut self.weirs[weir];
        let dues = it.probes.iter().filter_map(|probe| match probe.phase {
            Phase::Due(due) => Some(due),
            Phase::Asking | Phase::AskingAgain => None,
        });
        if let Some(due) = dues.min()
            && (due < it.dispatch_at || it.dispatch_at <= self.now)
        {
            it.dispatch_at = due;
            self.queue.push(due.max(self.now), Event::Weir(weir, OfWeir::Dispatch));
        }
    }

    /// Sees to it that a probe is sent after this moment, soon.
    fn urge(&mut self, weir: usize, node: usize) {
        let now = self.now;
        let probe = &mut self.weirs[weir].probes[node];
        probe.phase = match probe.phase {
            Phase::Due(due) => Phase::Due(due.min(soonest(probe.asked, now))),
            Phase::Asking | Phase::AskingAgain => Phase::AskingAgain,
        };
        self.plan_dispatch(weir);
    }

    fn dispatch(&mut self, weir: usize) {
        if self.weirs[weir].dispatch_at > self.now {
            return;
        }
        self.weirs[weir].dispatch_at = Micros::MAX;
        for node in 0..self.nodes.len() {
            let now = self.now;
            let probe = &mut self.weirs[weir].probes[node];
            if matches!(probe.phase, Phase::Due(due) if due <= now) {
                probe.phase = Phase::Asking;
                probe.asked = Some(now);
                probe.number += 1;
                self.probe(weir, node);
            }
        }
        self.plan_dispatch(weir);
    }

    fn probe(&mut self, weir: usize, node: usize) {
        self.cover.add("probes");
        let (up, run) = (self.nodes[node].up, self.nodes[node].run);
        let probe = &mut self.weirs[weir].probes[node];
        let number = probe.number;
        let opens = if probe.run == run { 0 } else { OPENING };
        if opens > 0 {
            probe.marks = Marks::default();
        }
        probe.run = run;
        if self.weirs[weir].cut[node] {
            self.probe_ends(weir, node, (number, None), self.weather.patience);
            return;
        }
        let way = self.random.about(self.nodes[node].way);
        if !up {
            self.probe_ends(weir, node, (number, None), way * 2);
            return;
        }
        let sent = self.now + opens;
        let event = OfWeir::ProbeArrives { node, number, sent };
        self.later(opens + way, Event::Weir(weir, event));
    }

    fn probe_ends(
        &mut self,
        weir: usize,
        node: usize,
        (number, outcome): (u64, Option<Observation>),
        pause: Micros,
    ) {
        let event = OfWeir::ProbeEnds { node, number, outcome };
        self.later(pause, Event::Weir(weir, event));
    }

    fn probe_arrives(&mut self, weir: usize, node: usize, (number, sent): (u64, Micros)) {
        if self.weirs[weir].cut[node] {
            let pause = self.weather.patience;
            self.probe_ends(weir, node, (number, None), pause);
            return;
        }
        let way = self.random.about(self.nodes[node].way);
        let it = &self.nodes[node];
        let marks = &mut self.weirs[weir].probes[node].marks;
        let outcome = it.up.then(|| Observation {
            sent,
            system: it.system,
            started: it.started,
            state: it.observed(&self.wal, marks),
        });
        self.probe_ends(weir, node, (number, outcome), way);
    }
}

fn soonest(asked: Option<Micros>, now: Micros) -> Micros {
    asked.map_or(now, |asked| asked.saturating_add(URGENT_FLOOR).max(now))
}
