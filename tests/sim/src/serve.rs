//! A cycle at its server, and what becomes of it when it has ended (`proxy/src/settle.rs`).

use std::time::Duration;

use policy::decide::Attempt;
use policy::reports::Reports;
use policy::session::{CommitDefault, LastCommand, Seen, ServedBy, TakeTicket};
use policy::{Consistency, Fence, Guard, Lsn, Proof};
use sql::Class;
use wire::TxStatus;

use crate::bits::Bits;
use crate::client::{Outcome, Step};
use crate::event::{Cycle, Default, End, Event, OfClient, OfWeir, Sent};
use crate::node::Role;
use crate::wal::Micros;
use crate::weir::{Idle, id};
use crate::world::World;

const NOTHING: &Reports = &Reports::NONE;

impl World {
    /// The cycle has a server, or needs one opened; off it goes.
    pub(crate) fn sends(&mut self, client: usize, number: usize, mut to: Sent) {
        if self.running(client, number).is_none() {
            return;
        }
        let weir = self.clients[client].weir;
        if to.run == 0 {
            if !self.nodes[to.node].up {
                self.could_not_open(client, to);
                return;
            }
            let node = &self.nodes[to.node];
            if to.primary && node.role == Role::Standby {
                // It says so when it is logged in to (`in_hot_standby`).
                self.could_not_open(client, to);
                return;
            }
            (to.run, to.opened, to.default) = (node.run, self.now, node.default());
            let Sent { run, primary, epoch, opened, default, .. } = to;
            self.weirs[weir].idle[to.node] = Some(Idle { run, primary, epoch, opened, default });
        }
        let epoch = self.weirs[weir].topology.epoch;
        if to.primary && to.epoch != epoch && self.clients[client].lease.is_none() {
            // Another primary by now: where to is decided anew.
            self.place_anew(client);
            return;
        }
        self.judge_sent(client, to);
        self.prove_life(client, to);
        let held = self.clients[client].lease.is_some();
        let highest = self.weirs[weir].highest;
        if let Some(cycle) = self.running(client, number) {
            cycle.to = Some(to);
            if held {
                cycle.highest = highest;
            }
        }
        let way = self.random.about(self.nodes[to.node].way);
        self.later(way, Event::Client(client, OfClient::Arrives { number, to }));
    }

    /// A server that was opened after its node was measured has to prove that the node is still as far.
    fn prove_life(&mut self, client: usize, to: Sent) {
        let opened = self.at(self.clients[client].weir, to.opened);
        let now = self.at(self.clients[client].weir, self.now);
        let it = &mut self.clients[client];
        let free = !to.primary && it.lease.is_none();
        let Some(cycle) = it.cycle.as_mut().filter(|cycle| free && cycle.step == Step::Read) else {
            return;
        };
        let Some(decided) = cycle.decided.as_mut().filter(|decided| decided.guard.is_none()) else {
            return;
        };
        let Some(fence) = decided.position.filter(|_| decided.observed <= Some(opened)) else {
            return;
        };
        decided.guard = Some(Guard { fence, flushed: now, waits: None });
        decided.of_life = true;
    }

    pub(crate) fn arrives(&mut self, client: usize, number: usize, to: Sent) {
        let now = self.now;
        let Some(cycle) = self.running(client, number) else { return };
        cycle.snapshot = now;
        let (step, guard) = (cycle.step, cycle.decided.and_then(|decided| decided.guard));
        let me = Some(Cycle { client, number });
        if !self.runs(to.node, to.run) {
            self.answer(me, to.node, End::Broken);
            return;
        }
        let node = &self.nodes[to.node];
        match (node.role, step) {
            (_, Step::Read) if guard.is_some() && !to.primary => {
                let waits = guard.and_then(|guard| guard.waits).unwrap_or_default();
                let until = self.now + u64::try_from(waits.as_micros()).unwrap_or_default();
                self.looks(client, number, (to, until));
            }
            (role, Step::Read | Step::PrimaryRead) => {
                let (shown, of_primary) = (node.shows(&self.wal), role == Role::Primary);
                self.answer(me, to.node, End::Rows { shown, of_primary });
            }
            (Role::Standby, _) => self.answer(me, to.node, End::ReadOnly),
            (Role::Primary, Step::Begin | Step::Show) => {
                self.answer(me, to.node, End::Done { commit: None });
            }
            (Role::Primary, Step::Write | Step::Commit | Step::Rollback) => {
                self.writes(client, (number, step), to);
            }
        }
    }

    fn writes(&mut self, client: usize, (number, step): (usize, Step), to: Sent) {
        let me = Some(Cycle { client, number });
        self.judge_write(client, to);
        let node = &mut self.nodes[to.node];
        let branch = node.branch;
        let default = match to.default {
            Default::RoleOff => false,
            Default::Configured { .. } => !node.conf_off,
        };
        let sync = self.clients[client].sync.unwrap_or(default);
        let within = self.clients[client].lease.is_some();
        if step == Step::Write {
            self.wal.append(branch, &mut self.random);
            self.clients[client].wrote = true;
        }
        let commits = match step {
            Step::Write => !within,
            Step::Commit => self.clients[client].wrote,
            Step::Read | Step::PrimaryRead | Step::Begin | Step::Rollback | Step::Show => false,
        };
        if commits {
            self.begin_commit(to.node, me, sync);
            let believed = to.default == Default::Configured { off: false };
            let reloaded = believed && !sync && self.clients[client].sync.is_none();
            if let Some(commit) = self.wal.commits.last_mut() {
                commit.reloaded = reloaded;
            }
            return;
        }
        if step == Step::Rollback {
            self.wal.append(branch, &mut self.random);
            self.nodes[to.node].ended += 1;
        }
        self.answer(me, to.node, End::Done { commit: None });
    }

    /// A guard's question, and the snapshot of the read behind it, some time later.
    ///
    /// From 19 on the replica waits for its replay by itself (`WAIT FOR LSN`).
    pub(crate) fn looks(&mut self, client: usize, number: usize, (to, until): (Sent, Micros)) {
        let Some(cycle) = self.running(client, number) else { return };
        let Some(guard) = cycle.decided.and_then(|decided| decided.guard) else { return };
        let node = &self.nodes[to.node];
        let standby = node.role == Role::Standby && self.runs(to.node, to.run);
        let passed = node.replay >= guard.fence.lsn.0;
        let value = match (standby, guard.waits, passed) {
            (false, None, _) => None,
            (false, Some(_), _) => Some("not in recovery".to_owned()),
            (true, None, _) => Some(Lsn(node.replay).to_string()),
            (true, Some(_), true) => Some("success".to_owned()),
            (true, Some(_), false) if self.now >= until => Some("timeout".to_owned()),
            (true, Some(_), false) => {
                self.later(200, Event::Client(client, OfClient::Looks { number, to, until }));
                return;
            }
        };
        let pause = self.random.below(400);
        self.later(pause, Event::Client(client, OfClient::Snapshot { number, to, value }));
    }

    pub(crate) fn snapshot(
        &mut self,
        client: usize,
        number: usize,
        (to, value): (Sent, Option<String>),
    ) {
        let (now, me) = (self.now, Some(Cycle { client, number }));
        if let Some(cycle) = self.running(client, number) {
            cycle.snapshot = now;
        }
        let end = if self.runs(to.node, to.run) {
            End::Guarded { value, shown: self.nodes[to.node].shows(&self.wal) }
        } else {
            End::Broken
        };
        self.answer(me, to.node, end);
    }

    /// Sends what a cycle ended with; nobody hears what strangers get.
    pub(crate) fn answer(&mut self, cycle: Option<Cycle>, node: usize, end: End) {
        let Some(Cycle { client, number }) = cycle else { return };
        let way = self.random.about(self.nodes[node].way);
        self.later(way, Event::Client(client, OfClient::Ends { number, end }));
    }

    pub(crate) fn ends(&mut self, client: usize, number: usize, end: End) {
        let Some(cycle) = self.running(client, number) else { return };
        let (Some(to), step) = (cycle.to, cycle.step) else { return };
        match end {
            End::Broken => self.broke(client, to),
            End::ReadOnly => self.outcome(client, Outcome::Lost),
            End::Rows { shown, of_primary } => {
                if of_primary && !to.primary {
                    let weir = self.clients[client].weir;
                    self.later(30, Event::Weir(weir, OfWeir::Lost(to.node)));
                }
                self.read(client, (to, of_primary), &shown);
            }
            End::Guarded { value, shown } => self.guarded(client, to, (value, &shown)),
            End::Done { commit } => {
                self.settle(client, to);
                if let Some(commit) = commit {
                    let it = &self.clients[client];
                    self.weirs[it.weir].scopes[it.scope].told.add(commit);
                    self.told.add(commit);
                }
                let it = &mut self.clients[client];
                it.lease = match step {
                    Step::Begin => Some(to),
                    Step::Commit | Step::Rollback => None,
                    Step::Read | Step::PrimaryRead | Step::Write | Step::Show => it.lease,
                };
                it.wrote &= it.lease.is_some();
                self.outcome(client, Outcome::Served);
            }
        }
    }

    fn broke(&mut self, client: usize, to: Sent) {
        let weir = self.clients[client].weir;
        self.later(30, Event::Weir(weir, OfWeir::Lost(to.node)));
        let it = &mut self.clients[client];
        let Some(cycle) = it.cycle.as_mut() else { return };
        let again = !to.primary && it.lease.is_none() && cycle.step.class().0 <= Class::PrimaryRead;
        if again {
            cycle.attempt = Attempt::Elsewhere;
            self.cover.add("reads taken back from a lost replica");
            self.place(client);
        } else {
            self.outcome(client, Outcome::Lost);
        }
    }

    /// A guard and its read were answered: only if it proves something the read counts.
    fn guarded(&mut self, client: usize, to: Sent, (value, shown): (Option<String>, &Bits)) {
        let weir = self.clients[client].weir;
        let Some(cycle) = self.clients[client].cycle.as_mut() else { return };
        let Some((decided, guard)) = cycle.decided.and_then(|it| Some((it, it.guard?))) else {
            return;
        };
        let it = &mut self.weirs[weir];
        let proof =
            guard.judge(value.as_deref().map(str::as_bytes), decided.epoch, it.topology.epoch);
        if !decided.of_life {
            let age = decided.instant.saturating_duration_since(guard.flushed);
            let age = age + guard.waits.unwrap_or_default();
            it.guards.note(id(to.node), age, proof);
        }
        self.note(|| format!("client {client}: the guard for {guard:?} says {proof:?}"));
        match proof {
            Proof::Passed => {
                self.cover.add("guards passed");
                self.read(client, (to, false), shown);
            }
            Proof::Behind | Proof::Void if decided.of_life => {
                self.cover.add("new servers of a node that is not what was measured");
                self.broke(client, to);
            }
            Proof::Behind | Proof::Void => {
                self.cover.add("guards failed");
                cycle_again(self, client);
            }
        }
    }

    fn read(&mut self, client: usize, (to, of_primary): (Sent, bool), shown: &Bits) {
        self.judge_read(client, (to, of_primary), shown);
        self.settle(client, to);
        let it = &mut self.clients[client];
        if it.wishes.consistency != Consistency::Eventual {
            it.must.join(shown);
        }
        self.outcome(client, Outcome::Served);
    }

    /// Takes note of what ended, and takes tickets, before the client is told.
    fn settle(&mut self, client: usize, to: Sent) {
        let it = &mut self.clients[client];
        let Some(step) = it.cycle.as_ref().map(|cycle| cycle.step) else { return };
        let weir = &mut self.weirs[it.weir];
        let at = |moment| self.base + weir.offset + Duration::from_micros(moment);
        let open = step == Step::Begin
            || (it.lease.is_some() && !matches!(step, Step::Commit | Step::Rollback));
        let synchronously = to.primary
            && to.default == Default::Configured { off: false }
            && weir.answers.are_as_of(at(to.opened));
        let (class, why) = step.class();
        let effects = step.effects();
        let seen = Seen {
            class,
            why,
            effects: &effects,
            steps: &[0],
            completed: 1,
            rolled_back: &[],
            statements: 1,
            status: if open { TxStatus::Open } else { TxStatus::Idle },
            last: match step {
                Step::Commit => LastCommand::Commit,
                Step::Rollback => LastCommand::Rollback,
                Step::Read | Step::PrimaryRead | Step::Write | Step::Begin | Step::Show => {
                    LastCommand::Other
                }
            },
            failed: false,
            modified: step == Step::Write,
            commits: if synchronously {
                CommitDefault::Synchronous
            } else {
                CommitDefault::Unknown
            },
            by: if to.primary {
                ServedBy::Primary(id(to.node))
            } else {
                ServedBy::Replica(id(to.node))
            },
            at: at(self.now),
            reports: NOTHING,
        };
        let settled = it.session.settle(&seen, &weir.known);
        let (number, scope) = (it.weir, it.scope);
        match settled.ticket {
            TakeTicket::Nobody => {}
            TakeTicket::Session => {
                let ticket = self.take_ticket(number);
                self.clients[client].session.took(ticket);
            }
            TakeTicket::Scope(wal) => {
                let ticket = self.take_ticket(number);
                self.weirs[number].scopes[scope].newest.took(wal, ticket);
                self.note(|| format!("client {client}: {ticket:?} for what is {wal:?}"));
            }
        }
    }

    /// A token is given to the client, which hands it to another one.
    pub(crate) fn shows_token(&mut self, client: usize) {
        let it = &self.clients[client];
        let weir = &self.weirs[it.weir];
        let fence = weir.answers.covering(it.session.newest_own()).map(policy::Answer::fence);
        // A Weir that knows no newer primary gives no word for what was committed there.
        let known = |commit: &usize| {
            Some(self.wal.timeline(self.wal.commits[*commit].branch)) <= weir.highest
        };
        let stands_for = it.cycle.as_ref().map(|cycle| {
            let mut known_ones = Bits::new();
            cycle.must.without(&Bits::new()).filter(known).for_each(|it| known_ones.add(it));
            known_ones
        });
        let (Some(fence), Some(system)) = (fence, weir.topology.system) else {
            self.outcome(client, Outcome::Refused);
            return;
        };
        self.hands_on(fence, system, stands_for.unwrap_or_default());
        self.outcome(client, Outcome::Served);
    }

    fn hands_on(&mut self, fence: Fence, system: u64, stands_for: Bits) {
        let other = self.random.place(self.clients.len());
        let pause = self.random.about(2_000);
        self.later(pause, Event::Client(other, OfClient::Token { fence, system, stands_for }));
    }

    /// Idle servers of a node that crashed are gone; whoever listens to it notices.
    pub(crate) fn connections_break(&mut self, node: usize) {
        for weir in 0..self.weirs.len() {
            self.clock_breaks(weir, node);
        }
    }
}

fn cycle_again(world: &mut World, client: usize) {
    if let Some(cycle) = world.clients[client].cycle.as_mut() {
        cycle.attempt = Attempt::Unproven;
    }
    world.place(client);
}
