//! Clients: what they ask for, one cycle after the other, and what they were told so far.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use policy::decide::Attempt;
use policy::session::Session;
use policy::{Consistency, Fence, Guard, Preferences, Reason, Timeline};
use sql::{Chain, Class, Effect, TxModes, Why};

use crate::bits::Bits;
use crate::event::{Event, OfClient, Sent};
use crate::wal::Micros;
use crate::world::World;

/// A connection of an app to a Weir.
pub(crate) struct Client {
    pub(crate) weir: usize,
    /// Its scope's number in its Weir; one of its own if that is the connection.
    pub(crate) scope: usize,
    pub(crate) wishes: Rc<Preferences>,
    pub(crate) session: Session,
    /// What it set `synchronous_commit` to, if it did.
    pub(crate) sync: Option<bool>,
    /// What all its reads must show from now on: what it has seen, and what tokens stand for.
    pub(crate) must: Bits,
    /// What tokens stand for alone: counts for all levels.
    pub(crate) tokens: Bits,
    /// The server that it keeps for its transaction.
    pub(crate) lease: Option<Sent>,
    /// Whether its transaction wrote.
    pub(crate) wrote: bool,
    /// What is left of a transaction.
    pub(crate) plan: VecDeque<Step>,
    pub(crate) cycle: Option<Running>,
    pub(crate) think: Micros,
}

/// What a cycle does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Read,
    PrimaryRead,
    Write,
    Begin,
    Commit,
    Rollback,
    /// `SHOW weir.lsn`.
    Show,
}

/// What a cycle waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    Change,
    Ticket,
    Time,
}

/// A cycle that has no outcome yet.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    pub(crate) number: usize,
    pub(crate) step: Step,
    /// When its snapshot was taken.
    pub(crate) snapshot: Micros,
    /// When it was placed last: waits are bounded from there on.
    pub(crate) since: Micros,
    pub(crate) attempt: Attempt,
    /// What it waits for, and a number that grows with each wait.
    pub(crate) waiting: Option<Waiting>,
    pub(crate) wait: u64,
    /// As what it is decided when it waited in vain; `None` is refused then.
    pub(crate) then: Option<Attempt>,
    /// What a read must show.
    pub(crate) must: Bits,
    pub(crate) decided: Option<Decided>,
    /// Over which connection it went, and the newest timeline that its Weir knew a
    /// primary of when it was decided.
    pub(crate) to: Option<Sent>,
    pub(crate) highest: Option<Timeline>,
}

/// What is to be remembered of a decision.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decided {
    pub(crate) at: Micros,
    pub(crate) instant: Instant,
    pub(crate) epoch: policy::Epoch,
    /// Whether a primary was known that answers.
    pub(crate) led: bool,
    pub(crate) guard: Option<Guard>,
    pub(crate) reason: Reason,
    /// When the probe was sent by which the chosen node was judged, and how far it was then.
    pub(crate) observed: Option<Instant>,
    pub(crate) position: Option<Fence>,
    /// The guard only proves that the node of a new server is what was measured.
    pub(crate) of_life: bool,
}

/// How a cycle ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Served,
    Refused,
    /// Its server was lost; the session ended.
    Lost,
}

impl Step {
    pub(crate) const fn class(self) -> (Class, Why) {
        match self {
            Self::Read => (Class::Read, Why::ReadOnly),
            Self::PrimaryRead => (Class::PrimaryRead, Why::LockingClause),
            Self::Write => (Class::Write, Why::DataModifying),
            Self::Begin | Self::Commit | Self::Rollback => (Class::PrimaryRead, Why::Transaction),
            Self::Show => (Class::Read, Why::SessionState),
        }
    }

    pub(crate) fn effects(self) -> Vec<Effect> {
        match self {
            Self::Begin => vec![Effect::Begin(TxModes::default())],
            Self::Commit => vec![Effect::Commit { chain: Chain::No }],
            Self::Rollback => vec![Effect::Rollback { chain: Chain::No }],
            Self::Read | Self::PrimaryRead | Self::Write | Self::Show => Vec::new(),
        }
    }
}

impl World {
    pub(crate) fn of_client(&mut self, client: usize, event: OfClient) {
        match event {
            OfClient::Begins => self.begins(client),
            OfClient::Again { number, wait } => self.again(client, number, wait),
            OfClient::Overdue { number, wait } => self.overdue(client, number, wait),
            OfClient::Sends { number, to } => self.sends(client, number, to),
            OfClient::Arrives { number, to } => self.arrives(client, number, to),
            OfClient::Snapshot { number, to, value } => {
                self.snapshot(client, number, (to, value));
            }
            OfClient::Looks { number, to, until } => self.looks(client, number, (to, until)),
            OfClient::Ends { number, end } => self.ends(client, number, end),
            OfClient::Token { fence, system, stands_for } => {
                let it = &mut self.clients[client];
                let known = self.weirs[it.weir].topology.system;
                if known.is_none_or(|known| known == system) {
                    it.session.raise_floor(fence);
                    it.tokens.join(&stands_for);
                    self.cover.add("tokens carried");
                    self.note(|| format!("client {client} gets the token {fence:?}"));
                }
            }
        }
    }

    /// The running cycle of that number; an event of an earlier one comes too late.
    pub(crate) fn running(&mut self, client: usize, number: usize) -> Option<&mut Running> {
        self.clients[client].cycle.as_mut().filter(|cycle| cycle.number == number)
    }

    fn begins(&mut self, client: usize) {
        if self.now >= self.weather.until || self.clients[client].cycle.is_some() {
            return;
        }
        let step = self.next_step(client);
        let (now, number) = (self.now, self.outcomes.len());
        self.outcomes.push(None);
        let it = &self.clients[client];
        let mut must = it.tokens.clone();
        if it.wishes.consistency != Consistency::Eventual {
            must.join(&it.must);
            must.join(&self.weirs[it.weir].scopes[it.scope].told);
        }
        if it.wishes.consistency == Consistency::Strong || step == Step::Show {
            must.join(&self.told);
        }
        let running = Running {
            number,
            step,
            snapshot: now,
            since: now,
            attempt: Attempt::First,
            waiting: None,
            wait: 0,
            then: None,
            must,
            decided: None,
            to: None,
            highest: None,
        };
        self.note(|| format!("client {client} begins {number}: {step:?}"));
        self.clients[client].cycle = Some(running);
        self.place(client);
    }

    fn next_step(&mut self, client: usize) -> Step {
        if let Some(step) = self.clients[client].plan.pop_front() {
            return step;
        }
        let calm = self.now >= self.weather.calm_at;
        match self.random.below(100) {
            0..60 => Step::Read,
            60..84 if calm => Step::Read,
            60..64 => Step::PrimaryRead,
            64..84 => Step::Write,
            84..88 => Step::Show,
            _ => {
                let plan = &mut self.clients[client].plan;
                for _ in 0..self.random.between(1, 4) {
                    plan.push_back(if self.random.chance(60) { Step::Write } else { Step::Read });
                }
                plan.push_back(if self.random.chance(80) { Step::Commit } else { Step::Rollback });
                Step::Begin
            }
        }
    }

    /// The cycle has its outcome, and the client thinks about the next one.
    pub(crate) fn outcome(&mut self, client: usize, outcome: Outcome) {
        let Some(cycle) = self.clients[client].cycle.take() else {
            self.violated("one outcome", format!("client {client} was told of a cycle twice"));
            return;
        };
        let number = cycle.number;
        self.note(|| format!("client {client}: {number} was {outcome:?}"));
        if self.outcomes[number].replace(outcome).is_some() {
            self.violated("one outcome", format!("cycle {number} had one already"));
        }
        self.cover.add(match outcome {
            Outcome::Served => "served",
            Outcome::Refused => "refused",
            Outcome::Lost => "lost with their server",
        });
        if outcome == Outcome::Lost {
            self.login(client);
        }
        let settles = self.now > self.weather.calm_at;
        let usual = self.clients[client].think.max(if settles { 50_000 } else { 0 });
        let pause = self.random.about(usual);
        self.later(pause, Event::Client(client, OfClient::Begins));
    }

    /// The session ended: the app connects again. A scope that others share goes on.
    pub(crate) fn login(&mut self, client: usize) {
        let it = &mut self.clients[client];
        let weir = &mut self.weirs[it.weir];
        let pairs = it.sync.map(|sync| {
            (Box::from("synchronous_commit"), Box::from(if sync { "on" } else { "off" }))
        });
        let settings = weir.known.intern(pairs.into_iter().collect());
        it.session = Session::new(Rc::clone(&it.wishes), settings);
        it.lease = None;
        it.wrote = false;
        it.plan.clear();
        it.must = Bits::default();
        it.tokens = Bits::default();
        if it.wishes.scope == policy::Scope::Connection {
            weir.scopes.push(crate::weir::Scope::default());
            it.scope = weir.scopes.len() - 1;
        }
    }
}
