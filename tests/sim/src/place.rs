//! Finds the server for a cycle as `proxy/src/place.rs` does; policy decides.

use std::rc::Rc;
use std::time::Duration;

use policy::decide::Attempt;
use policy::decide::on_primary;
use policy::{
    Ask, Consistency, Decision, FenceState, Guarding, Load, NodeId, Pace, Reason, RouteFrom,
    Target, Ticket, Wait, decide,
};
use sql::Class;

use crate::client::{Decided, Outcome, Step, Waiting};
use crate::event::{Default, Event, OfClient, OfWeir, Sent};
use crate::wal::Micros;
use crate::weir::{OPENING, node_of};
use crate::world::World;

/// No node is busier than another.
struct Idle;

impl Load for Idle {
    fn busy(&self, _: NodeId) -> u32 {
        0
    }
}

impl World {
    /// Finds a place for the client's cycle.
    pub(crate) fn place(&mut self, client: usize) {
        let weir = self.clients[client].weir;
        let Some(cycle) = self.clients[client].cycle.as_ref() else { return };
        let (number, step, first) = (cycle.number, cycle.step, cycle.attempt == Attempt::First);
        if let Some(lease) = self.clients[client].lease {
            self.place_held(client, number, lease);
            return;
        }
        let strong = self.clients[client].wishes.consistency == Consistency::Strong;
        if step == Step::Show || (strong && first && step.class().0 == Class::Read) {
            let ticket = self.take_ticket(weir);
            self.clients[client].session.took(ticket);
        }
        if step == Step::Show {
            self.wait(client, (Waiting::Ticket, None), self.weather.failover_hold);
            return;
        }
        self.place_anew(client);
    }

    /// A transaction goes on where it began, unless there is another primary by now.
    fn place_held(&mut self, client: usize, number: usize, lease: Sent) {
        let epoch = self.weirs[self.clients[client].weir].topology.epoch;
        if lease.primary && lease.epoch != epoch {
            self.cover.add("transactions ended by a failover");
            self.outcome(client, Outcome::Lost);
            return;
        }
        self.sends(client, number, lease);
    }

    /// Decides, and does what was decided.
    pub(crate) fn place_anew(&mut self, client: usize) {
        loop {
            let decision = self.decide(client);
            self.note(|| format!("client {client}: {:?} ({})", decision.target, decision.reason));
            let target = decision.target;
            match target {
                Target::Primary(node) => return self.lease(client, node_of(node), true),
                Target::Replica(node) => return self.lease(client, node_of(node), false),
                Target::Refuse(_) => return self.outcome(client, Outcome::Refused),
                Target::Wait(wait) => {
                    if !self.waits(client, wait, decision.reason) {
                        return;
                    }
                }
            }
        }
    }

    fn decide(&mut self, client: usize) -> Decision {
        let (now, draw) = (self.now, self.random.draw());
        let it = &mut self.clients[client];
        let weir = &mut self.weirs[it.weir];
        let instant = self.base + weir.offset + Duration::from_micros(now);
        let topology = Rc::clone(&weir.topology);
        let Some(cycle) = it.cycle.as_mut() else { return on_primary(&topology, Reason::Local) };
        cycle.highest = weir.highest;
        let newest = weir.answers.newest().filter(|answer| answer.epoch == topology.epoch);
        if let Some(settled) = cycle.attempt.settled(&topology) {
            return settled;
        }
        let pace = cycle.attempt.pace(newest, it.session.awaits(weir.scopes[it.scope].newest));
        weir.guards.learn(&topology, &weir.answers);
        let (class, why) = cycle.step.class();
        let guarding = Guarding {
            odds: &weir.guards,
            answers: &weir.answers,
            waited: Duration::from_micros(now - cycle.since),
        };
        let may_guard = cycle.attempt.may_be_guarded() && class == Class::Read;
        let level = (it.wishes.consistency, None);
        let scope = weir.scopes[it.scope].newest;
        let ask = Ask {
            class,
            why,
            fence: it.session.fence(level, scope, &weir.answers, topology.epoch),
            wishes: &it.wishes,
            route_from: RouteFrom::Config,
            last_read: it.session.last_read(),
            pace,
            guards: may_guard.then_some(guarding),
            now: instant,
        };
        let decision = decide(&ask, &topology, &Idle, draw);
        let silent = it.wishes.max_lag.and_then(|bound| topology.silent_for(bound, instant));
        let chosen = match decision.target {
            Target::Primary(node) | Target::Replica(node) => topology.node(node),
            Target::Wait(_) | Target::Refuse(_) => None,
        };
        cycle.decided = Some(Decided {
            observed: chosen.and_then(|node| node.observed),
            // As of a moment that no probe is younger than: whoever opens a server has to prove it.
            position: chosen
                .and_then(|node| node.outlived_by(instant + Duration::from_secs(3_600))),
            of_life: false,
            at: now,
            instant,
            epoch: topology.epoch,
            led: topology.primary().is_some() && silent.is_none(),
            guard: decision.guard,
            reason: decision.reason,
        });
        decision
    }

    /// Waits for what was decided; whether to decide again at once.
    fn waits(&mut self, client: usize, wait: Wait, reason: Reason) -> bool {
        let (now, it) = (self.now, &mut self.clients[client]);
        let Some(cycle) = it.cycle.as_mut() else { return false };
        let patience = Pace::patience(it.wishes.consistency);
        let rest = |limit: Micros| limit.saturating_sub(now - cycle.since);
        match wait {
            Wait::Primary => {
                let rest = rest(self.weather.failover_hold);
                if rest == 0 {
                    self.outcome(client, Outcome::Refused);
                    return false;
                }
                self.cover.add("waits for a primary");
                self.wait(client, (Waiting::Change, None), rest);
            }
            Wait::Ticket => {
                self.cover.add("waits for a ticket");
                self.wait(client, (Waiting::Ticket, Some(Attempt::Answered)), micros(patience));
            }
            Wait::Replay(rest) => {
                self.cover.add("waits for replay");
                self.wait(client, (Waiting::Time, Some(Attempt::Answered)), micros(rest));
            }
            Wait::Fresh => {
                let rest = rest(micros(it.wishes.stale_wait));
                if rest == 0 {
                    cycle.attempt = Attempt::Stale(reason);
                    return true;
                }
                self.cover.add("waits for a fresh replica");
                self.wait(client, (Waiting::Change, Some(Attempt::Stale(reason))), rest);
            }
        }
        false
    }

    fn wait(&mut self, client: usize, (waiting, then): (Waiting, Option<Attempt>), limit: Micros) {
        let Some(cycle) = self.clients[client].cycle.as_mut() else { return };
        cycle.waiting = Some(waiting);
        cycle.wait += 1;
        cycle.then = then;
        let (number, wait) = (cycle.number, cycle.wait);
        self.later(limit, Event::Client(client, OfClient::Overdue { number, wait }));
    }

    /// The topology or the answers changed: whoever waits for that is decided again.
    pub(crate) fn wake(&mut self, weir: usize) {
        for client in 0..self.clients.len() {
            let it = &mut self.clients[client];
            let Some(cycle) = it.cycle.as_ref().filter(|_| it.weir == weir) else { continue };
            let (number, wait, step) = (cycle.number, cycle.wait, cycle.step);
            let woken = match cycle.waiting {
                Some(Waiting::Change) => true,
                Some(Waiting::Ticket) if step == Step::Show => {
                    let answers = &self.weirs[weir].answers;
                    answers.covering(it.session.newest_own()).is_some()
                }
                Some(Waiting::Ticket) => {
                    let weir = &self.weirs[weir];
                    let (scope, epoch) = (weir.scopes[it.scope].newest, weir.topology.epoch);
                    let level = (Consistency::Strong, None);
                    let fence = it.session.fence(level, scope, &weir.answers, epoch);
                    !matches!(fence, FenceState::Pending(Ticket(_)))
                }
                Some(Waiting::Time) | None => false,
            };
            if woken {
                self.later(30, Event::Client(client, OfClient::Again { number, wait }));
            }
        }
    }

    pub(crate) fn again(&mut self, client: usize, number: usize, wait: u64) {
        let Some(cycle) = self.running(client, number).filter(|cycle| cycle.wait == wait) else {
            return;
        };
        match cycle.waiting.take() {
            None => {}
            Some(Waiting::Ticket) if cycle.step == Step::Show => self.shows_token(client),
            Some(Waiting::Ticket | Waiting::Time) => {
                cycle.attempt = Attempt::Answered;
                self.place_anew(client);
            }
            Some(Waiting::Change) => self.place_anew(client),
        }
    }

    pub(crate) fn overdue(&mut self, client: usize, number: usize, wait: u64) {
        let Some(cycle) = self.running(client, number).filter(|cycle| cycle.wait == wait) else {
            return;
        };
        if cycle.waiting.take().is_none() {
            return;
        }
        match cycle.then {
            Some(attempt) => {
                cycle.attempt = attempt;
                self.place_anew(client);
            }
            None => self.outcome(client, Outcome::Refused),
        }
    }

    /// Takes an idle server of the node, or opens one.
    #[expect(clippy::fn_params_excessive_bools, reason = "the role that the server is for")]
    fn lease(&mut self, client: usize, node: usize, primary: bool) {
        let weir = &self.weirs[self.clients[client].weir];
        let Some(number) = self.clients[client].cycle.as_ref().map(|cycle| cycle.number) else {
            return;
        };
        let epoch = weir.topology.epoch;
        let (up, run) = (self.nodes[node].up, self.nodes[node].run);
        // A server whose node is gone is closed unseen: nobody is told.
        let idle = weir.idle[node].filter(|idle| {
            let good = idle.primary == primary && (!primary || idle.epoch == epoch);
            good && up && idle.run == run
        });
        let to = Sent {
            node,
            run: idle.map_or(0, |idle| idle.run),
            primary,
            epoch,
            opened: idle.map_or(0, |idle| idle.opened),
            default: idle.map_or(Default::RoleOff, |idle| idle.default),
        };
        let pause = if idle.is_some() { 20 } else { self.random.about(OPENING) };
        self.later(pause, Event::Client(client, OfClient::Sends { number, to }));
    }

    /// A server could not be opened: its node is to blame.
    pub(crate) fn could_not_open(&mut self, client: usize, to: Sent) {
        let weir = self.clients[client].weir;
        self.later(30, Event::Weir(weir, OfWeir::Lost(to.node)));
        let led = self.weirs[weir].topology.primary().is_some();
        let (now, hold) = (self.now, self.weather.failover_hold);
        let Some(cycle) = self.clients[client].cycle.as_mut() else { return };
        if now - cycle.since >= hold {
            self.outcome(client, Outcome::Refused);
        } else if !to.primary && led {
            cycle.attempt = Attempt::Elsewhere;
            self.place_anew(client);
        } else {
            let same = Some(cycle.attempt);
            self.wait(client, (Waiting::Change, same), 100_000);
        }
    }
}

fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}
