//! The LSN clock's hand in virtual time: what `control/src/clock.rs` does, step by step.
//!
//! The order is what fences rest on: the newest ticket is read, *then* the question is sent.

use policy::lag::Marks;
use policy::{Answer, Configured, Epoch, Leader, Lsn, NodeId, Ticket, Timeline, Topology};

use std::time::Duration;

use crate::event::{Asked, ClockStep, Event, OfWeir};
use crate::wal::Micros;
use crate::weir::{OPENING, node_of};
use crate::world::World;

/// Between two questions.
const FLOOR: Micros = 1_000;

/// Pauses between attempts to reach a primary that the topology still names.
const RETRY: (Micros, Micros) = (20_000, 1_000_000);

/// The clock of one Weir.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// Grows whenever what was planned is void.
    number: u64,
    term: Option<Term>,
    /// The newest ticket that was asked for.
    seen: Ticket,
    /// Whether it waits for a ticket.
    listens: bool,
    /// The run of the node that its connection is to.
    run: u64,
    retry: Micros,
    marks: Marks,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Term {
    node: NodeId,
    epoch: Epoch,
    timeline: Timeline,
}

impl Term {
    fn of(topology: &Topology) -> Option<Self> {
        let node = topology.primary()?.id;
        Some(Self { node, epoch: topology.epoch, timeline: topology.timeline()? })
    }

    fn holds(&self, topology: &Topology) -> bool {
        topology.epoch == self.epoch
            && topology.leader == Leader::Node { id: self.node, timeline: self.timeline }
    }
}

impl World {
    /// Takes the next ticket: everything that ended so far is covered by its answer.
    pub(crate) fn take_ticket(&mut self, weir: usize) -> Ticket {
        self.cover.add("tickets");
        let it = &mut self.weirs[weir];
        it.newest.0 += 1;
        let taken = it.newest;
        if it.clock.listens {
            it.clock.listens = false;
            self.clock_plans(weir, ClockStep::Ask, 10);
        }
        taken
    }

    /// Leaves a term that is over, and begins the next one.
    pub(crate) fn clock_follows(&mut self, weir: usize) {
        let it = &mut self.weirs[weir];
        if it.clock.term.is_some_and(|term| !term.holds(&it.topology)) {
            it.clock.number += 1;
            it.clock.term = None;
            it.clock.listens = false;
            it.clock.retry = RETRY.0;
        }
        if it.clock.term.is_none()
            && let Some(term) = Term::of(&it.topology)
        {
            it.clock.term = Some(term);
            self.clock_plans(weir, ClockStep::Connect, OPENING);
        }
    }

    fn clock_plans(&mut self, weir: usize, step: ClockStep, pause: Micros) {
        let number = self.weirs[weir].clock.number;
        self.later(pause, Event::Weir(weir, OfWeir::Clock { number, step }));
    }

    pub(crate) fn clock_step(&mut self, weir: usize, number: u64, step: ClockStep) {
        let clock = &self.weirs[weir].clock;
        let Some(term) = clock.term.filter(|_| clock.number == number) else { return };
        let node = node_of(term.node);
        match step {
            ClockStep::Connect => self.clock_connects(weir, node),
            ClockStep::Ask => self.clock_asks(weir, node),
            ClockStep::Rest => self.clock_rests(weir, node),
            ClockStep::Arrives { asked } => self.clock_arrives(weir, term, asked),
            ClockStep::Answered { answer } => self.clock_answered(weir, answer),
            ClockStep::Failed => {
                self.weirs[weir].clock.number += 1;
                let pause = self.weirs[weir].clock.retry.max(RETRY.0);
                self.weirs[weir].clock.retry = (pause * 2).min(RETRY.1);
                self.later(50, Event::Weir(weir, OfWeir::ClockLost(node)));
                self.clock_plans(weir, ClockStep::Connect, pause);
            }
        }
    }

    fn clock_connects(&mut self, weir: usize, node: usize) {
        if !self.clock_reaches(weir, node) {
            return;
        }
        self.weirs[weir].clock.run = self.nodes[node].run;
        self.weirs[weir].clock.marks = Marks::default();
        self.clock_asks(weir, node);
    }

    /// Whether the node can be reached; if not, the attempt fails, in time.
    fn clock_reaches(&mut self, weir: usize, node: usize) -> bool {
        let reached = self.nodes[node].up && !self.weirs[weir].cut[node];
        if !reached {
            let cut = self.weirs[weir].cut[node];
            let pause = if cut { self.weather.patience } else { self.nodes[node].way };
            self.clock_plans(weir, ClockStep::Failed, pause);
        }
        reached
    }

    fn clock_asks(&mut self, weir: usize, node: usize) {
        let it = &mut self.weirs[weir];
        let through = it.newest;
        it.clock.seen = through;
        self.cover.add("questions");
        if !self.clock_reaches(weir, node) {
            return;
        }
        let asked = Asked { through, sent: self.now };
        let way = self.random.about(self.nodes[node].way);
        self.clock_plans(weir, ClockStep::Arrives { asked }, way);
    }

    fn clock_arrives(&mut self, weir: usize, term: Term, asked: Asked) {
        let node = node_of(term.node);
        if !self.clock_reaches(weir, node) {
            return;
        }
        let it = &self.nodes[node];
        let way = it.way;
        if it.run != self.weirs[weir].clock.run || !it.is_primary() {
            self.clock_plans(weir, ClockStep::Failed, way);
            return;
        }
        let mark = it.mark(&self.wal, &mut self.weirs[weir].clock.marks);
        let sent = self.at(weir, asked.sent);
        let loaded = it.loaded;
        let answer = Answer {
            through: asked.through,
            sent,
            epoch: term.epoch,
            timeline: self.wal.timeline(it.branch),
            insert: it.insert(&self.wal),
            flush: Lsn(it.flush),
            mark,
            took: Duration::ZERO,
            configured: Configured::heard(
                None,
                (loaded, it.insert(&self.wal)),
                asked.through,
                (sent, asked.through),
            ),
        };
        let way = self.random.about(way);
        self.clock_plans(weir, ClockStep::Answered { answer }, way);
    }

    fn clock_answered(&mut self, weir: usize, answer: Answer) {
        let now = self.at(weir, self.now);
        let took = now.saturating_duration_since(answer.sent);
        let it = &mut self.weirs[weir];
        let Some(term) = it.clock.term else { return };
        if answer.timeline != term.timeline {
            self.clock_plans(weir, ClockStep::Failed, 0);
            return;
        }
        it.clock.retry = RETRY.0;
        let last = it.answers.newest().filter(|last| last.epoch == term.epoch);
        let before = last.map(|last| last.configured);
        let loaded = answer.configured.loaded;
        let newest = (now, it.newest);
        let configured = Configured::heard(before, (loaded, answer.insert), answer.through, newest);
        it.answers.push(Answer { took, configured, ..answer });
        self.later(5, Event::Weir(weir, OfWeir::AnswersHeard));
        self.wake(weir);
        let rest = FLOOR.saturating_sub(Micros::try_from(took.as_micros()).unwrap_or(FLOOR));
        self.clock_plans(weir, ClockStep::Rest, rest);
    }

    /// Asks again if a ticket was taken since, or waits for one.
    fn clock_rests(&mut self, weir: usize, node: usize) {
        let it = &mut self.weirs[weir];
        if it.newest > it.clock.seen {
            self.clock_asks(weir, node);
        } else {
            it.clock.listens = true;
        }
    }

    /// The connection of a clock that was listening breaks: it notices at once.
    pub(crate) fn clock_breaks(&mut self, weir: usize, node: usize) {
        let clock = &mut self.weirs[weir].clock;
        if clock.listens && clock.term.is_some_and(|term| node_of(term.node) == node) {
            clock.listens = false;
            self.clock_plans(weir, ClockStep::Failed, 100);
        }
    }
}
