//! Which node serves this cycle, and why? The one place where routing is decided.
//!
//! Pins and open transactions have been answered by the session before [`decide()`] is asked. What
//! is left is decided in this order: route (hint, setting, configuration), class, fence and lag,
//! balance. What can't be proved goes to the primary.

mod answer;
mod ask;
mod attempt;
mod balance;
mod bounds;
mod eligible;
#[cfg(test)]
mod tests;

use sql::Class;

pub use answer::{Candidate, Decision, Eligibility, Reason, Refusal, Target, Wait};
pub use ask::{Ask, FenceState, Guarding, LastRead, Pace, RouteFrom};
pub use attempt::Attempt;
pub use balance::Load;
pub use bounds::outgrew_bounds;
use eligible::{Closeness, Judge};

use std::time::Duration;

use crate::guard::Guard;
use crate::lsn::{Lsn, Timeline};
use crate::rules::{OnNoPrimary, OnStale, Route};
use crate::topology::{Leader, NodeView, Topology};

/// Decides where a cycle goes; total: every question has an answer.
///
/// `load` says how busy each node is, `draw` is any random number. Nothing is allocated.
pub fn decide(ask: &Ask<'_>, topology: &Topology, load: &impl Load, draw: u64) -> Decision {
    match (ask.wishes.route, ask.class) {
        (Route::Primary, _) => on_primary(topology, named_by(ask.route_from)),
        (Route::Auto | Route::Replica, Class::Write) => on_primary(topology, Reason::Write),
        (Route::Auto, Class::PrimaryRead) => on_primary(topology, Reason::PrimaryRead),
        (Route::Auto, Class::Read) => {
            let replicas = Replicas::new(ask, topology);
            let served = replicas.serve(Reason::Read, load, draw);
            served.unwrap_or_else(|| replicas.none_is_fresh())
        }
        (Route::Replica, Class::Read | Class::PrimaryRead) => {
            let replicas = Replicas::new(ask, topology);
            let served = replicas.serve(named_by(ask.route_from), load, draw);
            if served.is_none() && replicas.closest == Closeness::Absent {
                return refuse(Refusal::NoReplica, Reason::NoReplica);
            }
            served.unwrap_or_else(|| replicas.none_is_fresh())
        }
    }
}

/// Whether a node may serve the cycle as a read, or the first thing against it.
///
/// The class is not looked at: for a write it says what would hold if it were a read.
#[must_use]
pub fn eligibility(ask: &Ask<'_>, node: &NodeView, topology: &Topology) -> Eligibility {
    Judge::new(ask, topology).of(node)
}

/// Every member with its lag and eligibility, to explain a decision.
#[must_use]
pub fn candidates(ask: &Ask<'_>, topology: &Topology) -> Vec<Candidate> {
    let judge = Judge::new(ask, topology);
    let explained = topology.nodes.iter().map(|node| Candidate {
        node: node.id,
        lag: node.lag(ask.now),
        lag_bytes: node.lag_bytes,
        eligibility: judge.of(node),
    });
    explained.collect()
}

/// The reason of a route that was named rather than found.
const fn named_by(from: RouteFrom) -> Reason {
    match from {
        RouteFrom::Config => Reason::Config,
        RouteFrom::Session => Reason::Setting,
        RouteFrom::Hint => Reason::Hint,
    }
}

/// To the primary, for this reason; without one, wait for it; with two, refuse.
pub fn on_primary(topology: &Topology, reason: Reason) -> Decision {
    match (topology.primary(), topology.leader) {
        (Some(primary), _) => to(Target::Primary(primary.id), reason),
        (None, Leader::SplitBrain) => refuse(Refusal::SplitBrain, Reason::SplitBrain),
        (None, Leader::Node { .. } | Leader::Missing { .. }) => {
            wait(Wait::Primary, Reason::NoPrimary)
        }
    }
}

const fn to(target: Target, reason: Reason) -> Decision {
    Decision { target, reason, fence: None, guard: None }
}

const fn refuse(refusal: Refusal, reason: Reason) -> Decision {
    to(Target::Refuse(refusal), reason)
}

const fn wait(wait: Wait, reason: Reason) -> Decision {
    to(Target::Wait(wait), reason)
}

/// The replicas, as one read sees them.
struct Replicas<'a> {
    judge: Judge<'a>,
    ask: &'a Ask<'a>,
    topology: &'a Topology,
    /// How close the closest came.
    closest: Closeness,
    /// Who is eligible among the first 64 members, a bit for each.
    eligible: u64,
    /// Without a primary only those serve that are this far: the ones that may be promoted.
    at_least: Option<(Option<Timeline>, Lsn)>,
}

impl<'a> Replicas<'a> {
    fn new(ask: &'a Ask<'a>, topology: &'a Topology) -> Self {
        let judge = Judge::new(ask, topology);
        let mut closest = Closeness::Absent;
        let (mut farthest, mut eligible) = (None, 0);
        for (place, node) in topology.nodes.iter().enumerate() {
            let closeness = judge.of(node).closeness();
            closest = closest.max(closeness);
            if closeness == Closeness::Eligible {
                farthest = farthest.max(advance(node));
                eligible |= bit(place).unwrap_or(0);
            }
        }
        let at_least = farthest.filter(|_| !judge.is_led());
        Self { judge, ask, topology, closest, eligible, at_least }
    }

    /// Whether the member in this place is eligible: remembered, since a choice asks several times.
    fn is_eligible(&self, place: usize, node: &NodeView) -> bool {
        match bit(place) {
            Some(bit) => self.eligible & bit != 0,
            None => self.judge.of(node) == Eligibility::Eligible,
        }
    }

    /// One of the eligible replicas, or one that may prove that it is.
    fn serve(&self, reason: Reason, load: &impl Load, draw: u64) -> Option<Decision> {
        self.serve_measured(reason, load, draw).or_else(|| self.serve_guarded(reason, load, draw))
    }

    /// One of the eligible replicas, if there is any.
    fn serve_measured(&self, reason: Reason, load: &impl Load, draw: u64) -> Option<Decision> {
        let led = self.judge.is_led();
        if self.closest != Closeness::Eligible {
            return None;
        }
        let members = self.topology.nodes.iter().enumerate();
        let eligible = members.filter_map(|(place, node)| {
            let far_enough = led || (self.at_least.is_some() && advance(node) == self.at_least);
            (far_enough && self.is_eligible(place, node)).then_some(node)
        });
        let node = balance::least_busy_of_two(eligible, load, draw)?;
        let reason = if led { reason } else { Reason::NoPrimary };
        let fence = self.judge.fence();
        Some(Decision { fence, ..to(Target::Replica(node.id), reason) })
    }

    /// One of the replicas that very likely have replayed far enough since they were measured.
    fn serve_guarded(&self, reason: Reason, load: &impl Load, draw: u64) -> Option<Decision> {
        let guarding = self.ask.guards?;
        let likely = self.topology.nodes.iter().filter(|node| {
            self.guard(node).is_some_and(|guard| {
                let age = self.ask.now.saturating_duration_since(guard.flushed);
                let then = age.saturating_add(guard.waits.unwrap_or_default());
                guarding.odds.likely(node.id, then, draw)
            })
        });
        let node = balance::least_busy_of_two(likely, load, draw)?;
        let (fence, guard) = (self.judge.fence(), self.guard(node));
        Some(Decision { fence, guard, ..to(Target::Replica(node.id), reason) })
    }

    /// What the node would have to prove, if the primary has flushed that far: none is sent more.
    fn guard(&self, node: &NodeView) -> Option<Guard> {
        let fence = self.judge.to_prove(node)?;
        let guarding = self.ask.guards?;
        let flushed = guarding.answers.flushed_since(fence)?;
        let rest = self.patience().min(Pace::MOST_ON_A_SERVER).saturating_sub(guarding.waited);
        Some(Guard { fence, flushed, waits: node.can_wait().then_some(rest) })
    }

    /// For how long the read should wait until a guard is likely to pass, if it is worth it.
    fn until_likely(&self) -> Option<Duration> {
        let guarding = self.ask.guards?;
        let rest = self.topology.nodes.iter().filter_map(|node| {
            let age = self.ask.now.saturating_duration_since(self.guard(node)?.flushed);
            guarding.odds.likely_from(node.id)?.checked_sub(age).filter(|rest| !rest.is_zero())
        });
        rest.min().filter(|rest| guarding.waited.saturating_add(*rest) <= self.patience())
    }

    /// For how long the read waits for a replica to have replayed what it needs.
    fn patience(&self) -> Duration {
        let wishes = self.ask.wishes;
        let level = Pace::patience(wishes.consistency);
        match wishes.on_stale {
            OnStale::Wait => level.max(wishes.stale_wait),
            OnStale::Primary | OnStale::Error => level,
        }
    }

    /// What becomes of a read that no replica may serve.
    fn none_is_fresh(&self) -> Decision {
        let reason = self.closest.reason();
        if !self.judge.is_led() {
            let reason = match self.topology.leader {
                Leader::SplitBrain => Reason::SplitBrain,
                Leader::Node { .. } | Leader::Missing { .. } => Reason::NoPrimary,
            };
            return match self.ask.wishes.on_no_primary {
                OnNoPrimary::Serve => wait(Wait::Primary, reason),
                OnNoPrimary::Error => refuse(Refusal::NoPrimary, reason),
            };
        }
        if self.ticket_is_worth_waiting_for() {
            return wait(Wait::Ticket, reason);
        }
        if let Some(rest) = self.until_likely() {
            return wait(Wait::Replay(rest), reason);
        }
        match self.ask.wishes.on_stale {
            OnStale::Primary => on_primary(self.topology, reason),
            OnStale::Error => refuse(Refusal::Stale, reason),
            // No replica becomes fresh by waiting where none takes reads.
            OnStale::Wait if self.closest == Closeness::Absent => on_primary(self.topology, reason),
            OnStale::Wait => wait(Wait::Fresh, reason),
        }
    }
}

impl Replicas<'_> {
    /// Whether the pending ticket is answered soon and a replica may well have passed it.
    ///
    /// A session that reads right behind its own write would else go to the primary, take a ticket
    /// for that, and so never get away from it. A replica that has not even passed the newest
    /// answer will not have passed the next, unless it nearly always has what was flushed just now.
    fn ticket_is_worth_waiting_for(&self) -> bool {
        let patience = self.patience();
        let Some(pace) = self.ask.pace.filter(|pace| pace.took <= patience) else {
            return false;
        };
        if self.closest != Closeness::FencePending {
            return false;
        }
        let fence = FenceState::Known(pace.newest);
        let answered = Ask { fence, pace: None, ..self.ask.clone() };
        let then = Replicas::new(&answered, self.topology);
        let rest = patience.saturating_sub(pace.took);
        then.closest == Closeness::Eligible || then.replays_within(rest)
    }

    /// Whether some replica nearly always replays what was flushed within this time.
    fn replays_within(&self, patience: Duration) -> bool {
        let Some(guarding) = self.ask.guards else { return false };
        let likely_from = |node: &NodeView| guarding.odds.likely_from(node.id);
        let mut candidates =
            self.topology.nodes.iter().filter(|node| self.judge.to_prove(node).is_some());
        candidates.any(|node| likely_from(node).is_some_and(|age| age <= patience))
    }
}

/// The bit of the member in this place; only the first 64 have one.
fn bit(place: usize) -> Option<u64> {
    1_u64.checked_shl(u32::try_from(place).ok()?)
}

/// How far a node's replay is, comparable over timelines; an unknown timeline is the oldest.
fn advance(node: &NodeView) -> Option<(Option<Timeline>, Lsn)> {
    node.position.map(|position| (position.timeline, position.replay))
}
