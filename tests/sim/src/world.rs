//! A run: everything that there is, and the loop over what happens to it.

use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use policy::session::Session;
use policy::{Preferences, Scope};

use crate::bits::Bits;
use crate::client::{Client, Outcome};
use crate::cover::Cover;
use crate::event::{Event, OfClient, OfNode, OfWeir, Queue};
use crate::fault::{Fault, SYSTEM};
use crate::node::{Node, Role, Source};
use crate::random::Random;
use crate::wal::{Micros, Place, Wal};
use crate::weather::{Weather, wishes};
use crate::weir::{Scope as Shared, Weir};

/// How much of the end of a run is told.
const TOLD: usize = 60;

/// One run.
pub(crate) struct World {
    pub(crate) now: Micros,
    pub(crate) queue: Queue,
    pub(crate) random: Random,
    /// The moment that virtual time is counted from; only differences to it mean anything.
    pub(crate) base: Instant,
    pub(crate) weather: Weather,
    pub(crate) wal: Wal,
    pub(crate) nodes: Vec<Node>,
    pub(crate) crown: Crown,
    pub(crate) weirs: Vec<Weir>,
    pub(crate) clients: Vec<Client>,
    /// All commits that anybody was told of.
    pub(crate) told: Bits,
    /// Commits that a failover lost; a later one may bring them back, which nobody has to show.
    pub(crate) forgotten: Bits,
    pub(crate) outcomes: Vec<Option<Outcome>>,
    /// Reads by replicas and by the primary, when all was well again.
    pub(crate) calm: (u64, u64),
    pub(crate) cover: Cover,
    violation: Option<Violation>,
    notes: Option<VecDeque<String>>,
}

/// Who is primary in truth.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crown {
    /// `None` while it is down.
    pub(crate) node: Option<usize>,
    pub(crate) branch: usize,
}

/// What did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) rule: &'static str,
    pub(crate) what: String,
    pub(crate) at: Micros,
}

/// How a run went.
pub(crate) struct Report {
    pub(crate) cover: Cover,
    pub(crate) violation: Option<Violation>,
    /// What happened, newest last, if it was asked for.
    pub(crate) notes: Vec<String>,
    /// How the cycles ended, in the order of their beginning.
    pub(crate) outcomes: Vec<Option<Outcome>>,
}

/// How much is remembered to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notes {
    Nothing,
    TheEnd,
    Everything,
}

impl World {
    /// Makes the world of a seed.
    pub(crate) fn new(seed: u64, base: Instant) -> Self {
        let mut random = Random::new(seed);
        let weather = Weather::draw(&mut random);
        let mut world = Self::bare(random, weather, base);
        world.nodes = (0..=world.weather.replicas).map(|number| world.node(number)).collect();
        world.add_weirs();
        world.add_clients();
        world
    }

    /// Nothing yet but time.
    pub(crate) fn bare(random: Random, weather: Weather, base: Instant) -> Self {
        let mut wal = Wal::default();
        let branch = wal.root();
        Self {
            now: 0,
            queue: Queue::default(),
            random,
            base,
            weather,
            nodes: Vec::new(),
            crown: Crown { node: Some(0), branch },
            weirs: Vec::new(),
            clients: Vec::new(),
            told: Bits::default(),
            forgotten: Bits::default(),
            outcomes: Vec::new(),
            calm: (0, 0),
            cover: Cover::default(),
            violation: None,
            notes: None,
            wal,
        }
    }

    fn node(&mut self, number: usize) -> Node {
        let branch = self.crown.branch;
        let random = &mut self.random;
        let mut node = Node::standby(SYSTEM, Place { branch, lsn: self.wal.end(branch) });
        node.way = random.pick(&[50, 200, 200, 1_000]);
        node.pace = random.pick(&[20, 200, 200, 2_000, 20_000]);
        if number == 0 {
            node.role = Role::Primary;
        } else if random.chance(6) {
            node.source = Source::Archive;
        }
        node
    }

    pub(crate) fn add_weirs(&mut self) {
        for _ in 0..self.weather.weirs {
            let offset = Duration::from_micros(self.random.below(1 << 40));
            let timing = (self.weather.timing, self.base);
            self.weirs.push(Weir::new(offset, self.nodes.len(), timing));
        }
    }

    fn add_clients(&mut self) {
        for _ in 0..self.weather.clients {
            let weir = self.random.place(self.weirs.len());
            let wishes = wishes(&mut self.random);
            let at = &mut self.weirs[weir];
            let scope = self.clients.iter().find(|other: &&Client| {
                other.weir == weir
                    && other.wishes.scope == wishes.scope
                    && wishes.scope != Scope::Connection
            });
            let own = || {
                at.scopes.push(Shared::default());
                at.scopes.len() - 1
            };
            let scope = scope.map_or_else(own, |other| other.scope);
            let sync = self.random.pick(&[None, None, Some(true), Some(false)]);
            let think = self.random.pick(&[1_000, 5_000, 20_000, 100_000]);
            self.add_client((weir, scope), wishes, (sync, think));
        }
    }

    pub(crate) fn add_client(
        &mut self,
        (weir, scope): (usize, usize),
        wishes: Rc<Preferences>,
        (sync, think): (Option<bool>, Micros),
    ) {
        self.clients.push(Client {
            weir,
            scope,
            session: Session::new(Rc::clone(&wishes), self.weirs[weir].known.none()),
            wishes,
            sync,
            must: Bits::default(),
            tokens: Bits::default(),
            lease: None,
            wrote: false,
            plan: VecDeque::new(),
            cycle: None,
            think,
        });
        self.login(self.clients.len() - 1);
    }

    /// Runs to the end, or to what does not hold.
    pub(crate) fn run(mut self, notes: Notes) -> Report {
        self.notes = (notes != Notes::Nothing).then(VecDeque::new);
        self.begin();
        self.later(100_000, Event::Fault(Fault::Next));
        self.later(1_000, Event::Stranger);
        self.queue.push(self.weather.calm_at, Event::Fault(Fault::Calm));
        self.go_on(self.weather.end, if notes == Notes::TheEnd { TOLD } else { usize::MAX });
        if self.violation.is_none() {
            self.judge_end();
        }
        Report {
            cover: self.cover,
            violation: self.violation,
            notes: self.notes.unwrap_or_default().into(),
            outcomes: self.outcomes,
        }
    }

    /// Everybody begins.
    pub(crate) fn begin(&mut self) {
        self.later(0, Event::Node(OfNode::WalWriter { node: 0, run: 1 }));
        for weir in 0..self.weirs.len() {
            self.later(0, Event::Weir(weir, OfWeir::Dispatch));
        }
        for client in 0..self.clients.len() {
            let pause = self.random.below(100_000);
            self.later(pause, Event::Client(client, OfClient::Begins));
        }
    }

    /// Lets happen what is planned up to a moment; keeps the last notes.
    pub(crate) fn go_on(&mut self, until: Micros, kept: usize) {
        while let Some((at, event)) = self.queue.pop() {
            if at > until || self.violation.is_some() {
                self.queue.push(at, event);
                break;
            }
            self.now = at;
            match event {
                Event::Node(event) => self.of_node(event),
                Event::Weir(weir, event) => self.of_weir(weir, event),
                Event::Client(client, event) => self.of_client(client, event),
                Event::Fault(fault) => self.fault(fault),
                Event::Stranger => self.stranger(),
            }
            if let Some(notes) = &mut self.notes {
                let surplus = notes.len().saturating_sub(kept);
                notes.drain(..surplus);
            }
        }
    }

    /// Plans something.
    pub(crate) fn later(&mut self, pause: Micros, event: Event) {
        self.queue.push(self.now.saturating_add(pause), event);
    }

    /// Remembers what happened, if somebody is going to read it.
    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(notes) = &mut self.notes {
            let ms = self.now / 1000;
            notes.push_back(format!("{ms:>6}.{:03} ms  {}", self.now % 1000, what()));
        }
    }

    /// Ends the run: something does not hold.
    pub(crate) fn violated(&mut self, rule: &'static str, what: String) {
        let at = self.now;
        self.violation.get_or_insert(Violation { rule, what, at });
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" does not hold at {} us: {}", self.rule, self.at, self.what)
    }
}
