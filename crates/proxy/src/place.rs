//! Finds the server for a cycle: asks policy, waits for what policy says to wait for, leases.

use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use policy::decide::{Attempt, on_primary, outgrew_bounds};
use policy::session::ServedBy;
use policy::standby::harms_a_standby;
use policy::{
    Ask, Consistency, Decision, Epoch, Fence, Guard, Guarding, Preferences, Reason, Refusal, Role,
    Route, Target, Topology, decide,
};
use sql::{Class, Effect};
use wire::TxStatus;

use crate::error::Cause;
use crate::fallback::Place;
use crate::guarded::Guarded;
use crate::inquiry::State;
use crate::metrics::Side;
use crate::pool::{AcquireError, Lease};
use crate::reading::{Columns, Reading};
use crate::relay::Retries;
use crate::server::Address;
use crate::session::Session;
use crate::worker::now;

/// A cycle's place.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) node: Rc<str>,
    pub(crate) side: Side,
    pub(crate) by: ServedBy,
    pub(crate) reason: Reason,
    /// Which refusals need not be the last word.
    pub(crate) retries: Retries,
    /// What the server must prove before the client sees anything.
    pub(crate) guarded: Option<Guarded>,
    /// What the client is told instead of the statement being run.
    pub(crate) refused: Option<Box<[u8]>>,
}

impl Session {
    /// Makes sure that the session holds a lease that this cycle may use; how often it was tried, and since
    /// when.
    pub(crate) async fn place(
        &mut self,
        reading: &Reading,
        tried: (Attempt, Instant),
    ) -> Result<Placed, Cause> {
        self.may_open_a_block(reading)?;
        if self.lease.as_mut().is_some_and(|lease| lease.server().is_being_cancelled()) {
            Box::pin(self.cancel_delivered()).await;
        }
        let refused_pin = self.refused_pin(reading);
        if let (Some(cause), TxStatus::Idle, None) = (&refused_pin, self.status, &self.lease) {
            return Err(cause.clone());
        }
        let mut placed = if let Some(placed) = self.place_held(reading)? {
            placed
        } else if self.asks_for_value(reading) {
            self.place_where_drawn()?
        } else {
            self.place_unless_refused(reading, tried).await?
        };
        if let Some(cause) = refused_pin {
            let mut told = Vec::new();
            let _told = cause.put(&mut told);
            placed.refused = Some(told.into());
        }
        // Who has yet to prove that it may serve the cycle does not serve it yet.
        if placed.guarded.is_none() {
            self.worker.metrics.routed(placed.side, placed.reason);
        }
        Ok(placed)
    }

    /// Why the cycle must not run where the database forbids pins: it would begin one.
    fn refused_pin(&self, reading: &Reading) -> Option<Cause> {
        if self.database.allows_pins() {
            return None;
        }
        let pin = self.meaning.would_pin(reading.effects())?;
        Some(Cause::PinRefused { pin: pin.as_str() })
    }

    /// Waits until the cancel request for the session's last statement can't hit the next one.
    async fn cancel_delivered(&mut self) {
        while self.lease.as_mut().is_some_and(|lease| lease.server().is_being_cancelled()) {
            self.worker.cancelled.notified().await;
        }
    }

    /// Places the cycle, unless its client cancels it or a time limit is reached before.
    async fn place_unless_refused(
        &mut self,
        reading: &Reading,
        tried: (Attempt, Instant),
    ) -> Result<Placed, Cause> {
        let (peer, worker) = (Rc::clone(&self.peer), Rc::clone(&self.worker));
        peer.timer.waits();
        let mut placing = std::pin::pin!(self.place_anew(reading, tried));
        std::future::poll_fn(|cx| {
            if let Some(cause) = peer.refused(&worker) {
                return Poll::Ready(Err(cause));
            }
            let placed = placing.as_mut().poll(cx);
            if placed.is_pending() {
                peer.waits(cx);
            }
            placed
        })
        .await
    }

    /// The place of a cycle of a session that keeps its server.
    fn place_held(&mut self, reading: &Reading) -> Result<Option<Placed>, Cause> {
        let epoch = self.epoch();
        let reason = match self.meaning.pin() {
            Some(pin) => Reason::Pinned(pin),
            None if self.database.returns_servers() => Reason::Transaction,
            None => Reason::SessionPool,
        };
        let Some(lease) = self.lease.as_mut() else { return Ok(None) };
        let address = lease.server().address.clone();
        if address.role == Role::Primary && address.epoch != epoch {
            let idle = self.status == TxStatus::Idle && self.meaning.pin().is_none();
            self.lease = None;
            return if idle { Ok(None) } else { Err(Cause::PrimaryChanged) };
        }
        let mut placed = Placed::on(&address, reason);
        if address.role == Role::Replica
            && harms_a_standby(reading.class, reading.why, reading.effects())
        {
            let mut told = Vec::new();
            let _told = Cause::NotOnReplica { why: reading.why.as_str() }.put(&mut told);
            placed.refused = Some(told.into());
        }
        Ok(Some(placed))
    }

    /// Whether the cycle keeps to one statement a transaction where nothing else is allowed.
    ///
    /// In a group that is open it is too late: its messages so far can't be taken back. If that
    /// leaves a transaction open, the session ends ([`Self::settled`]).
    fn may_open_a_block(&self, reading: &Reading) -> Result<(), Cause> {
        let opens = |effect: &Effect| matches!(effect, Effect::Begin(_));
        let refused = !self.database.allows_blocks()
            && !self.group.open
            && reading.effects().iter().any(opens);
        if refused { Err(Cause::BlockRefused) } else { Ok(()) }
    }

    /// Whether only one server, if any, knows what the cycle asks for.
    fn asks_for_value(&self, reading: &Reading) -> bool {
        self.database.returns_servers()
            && self.meaning.asks_for_a_lost_value(
                reading.statements,
                reading.why,
                reading.effects(),
            )
    }

    /// The server that drew the session's newest sequence value, if nobody else used it since.
    ///
    /// From now on sessions of this user and database keep a server that drew values for them: an app
    /// that asks once will ask again.
    fn place_where_drawn(&mut self) -> Result<Placed, Cause> {
        self.pools.asked_for_value(now());
        let topology = self.database.cluster.topology.newest();
        let (Some(number), Some(primary)) = (self.drawn_on, topology.primary()) else {
            return Err(Cause::NoSequenceValue);
        };
        let address = self.pools.address(primary, topology.epoch);
        let pool = self.pools.of(address.node, &self.worker.shared.registry);
        let lease = pool.this_one(&self.worker, &address, |server| {
            server.number == number && server.drawn_by == Some(self.number)
        });
        self.lease = Some(lease.ok_or(Cause::NoSequenceValue)?);
        Ok(Placed::on(&address, Reason::Pinned(sql::Pin::SequenceValue)))
    }

    async fn place_anew(
        &mut self,
        reading: &Reading,
        (first, since): (Attempt, Instant),
    ) -> Result<Placed, Cause> {
        let mut attempt = first;
        let hold = self.worker.live().pool.failover_hold;
        self.take_read_ticket(reading, first);
        loop {
            let topology = self.database.cluster.topology.newest();
            let decision = self.decide(reading, (attempt, since), &topology);
            let (node, by) = match decision.target {
                Target::Primary(node) => (node, ServedBy::Primary(node)),
                Target::Replica(node) => (node, ServedBy::Replica(node)),
                Target::Refuse(refusal) => {
                    return Err(self.refuse(Cause::Refused(refusal), decision.reason));
                }
                Target::Wait(wait) => {
                    attempt =
                        self.wait_for((wait, decision.reason), reading, (attempt, since)).await?;
                    continue;
                }
            };
            let Some(view) = topology.node(node) else {
                return Err(self.refuse(Cause::Refused(Refusal::NoReplica), decision.reason));
            };
            let address = self.pools.address(view, topology.epoch);
            let fall_back = match self.fall_back((attempt, since), &decision, node).await? {
                Place::Free(place) => place,
                Place::Waited(then) => {
                    attempt = then;
                    continue;
                }
            };
            match self.lease_from(&address).await? {
                Ok(None) | Err(AcquireError::Replaced { .. }) => {}
                // It waited, and meanwhile its node fell behind.
                Ok(Some(lease)) if self.outgrown(reading, &topology, &decision) => {
                    lease.give_back();
                }
                Ok(Some(mut lease)) => {
                    let opened = lease.server().opened;
                    self.lease = Some(lease.fallen_back(fall_back));
                    let mut placed =
                        self.placed(reading, (&decision, by), &address, topology.epoch);
                    if let (ServedBy::Replica(_), Some(fence)) = (by, view.outlived_by(opened)) {
                        self.prove_life(&mut placed, reading, (fence, topology.epoch));
                    }
                    return Ok(placed);
                }
                Err(AcquireError::Connect { error, .. })
                    if error.blames_node() && !expired(since, hold) =>
                {
                    if matches!(by, ServedBy::Replica(_)) && topology.primary().is_some() {
                        attempt = Attempt::Elsewhere;
                    } else {
                        // Control was told; a new primary, or this one again, shows as a change.
                        Box::pin(self.changed_soon()).await?;
                    }
                }
                Err(error) => return Err(self.refuse(error.cause(), decision.reason)),
            }
        }
    }

    fn placed(
        &self,
        reading: &Reading,
        (decision, by): (&Decision, ServedBy),
        address: &Address,
        epoch: Epoch,
    ) -> Placed {
        let mut placed = Placed::on(address, decision.reason);
        placed.by = by;
        placed.retries = self.retries(reading, by);
        placed.guarded = decision.guard.map(|guard| Guarded {
            node: address.node,
            guard,
            epoch,
            age: Some(now().saturating_duration_since(guard.flushed)),
        });
        placed
    }

    /// Whether what was decided by `topology` does not hold any more: its replica's data grew too old.
    fn outgrown(&self, reading: &Reading, topology: &Topology, decision: &Decision) -> bool {
        let Target::Replica(node) = decision.target else { return false };
        let newest = self.database.cluster.topology.newest();
        // Nearly always nothing was measured since: it did not wait.
        if newest.generation == topology.generation {
            return false;
        }
        let wishes = self.wishes(reading);
        newest.node(node).is_none_or(|node| outgrew_bounds(wishes, node, &newest, now()))
    }

    /// Has a server that was opened after its node was measured prove that the node is still as far.
    fn prove_life(&self, placed: &mut Placed, reading: &Reading, (fence, epoch): (Fence, Epoch)) {
        let ServedBy::Replica(node) = placed.by else { return };
        if placed.guarded.is_none() && self.may_be_guarded(reading) {
            let guard = Guard { fence, flushed: now(), waits: None };
            placed.guarded = Some(Guarded { node, guard, epoch, age: None });
        }
    }

    /// What this cycle wants: the session's wishes, or the hint's.
    pub(crate) fn wishes<'a>(&'a self, reading: &'a Reading) -> &'a Preferences {
        reading.hinted.as_deref().unwrap_or_else(|| self.meaning.wishes())
    }

    /// Which failover the cluster is in now.
    pub(crate) fn epoch(&self) -> Epoch {
        self.database.cluster.topology.newest().epoch
    }

    /// `None` if another node became the primary while the cycle waited for a server of this one.
    async fn lease_from(
        &self,
        address: &Rc<Address>,
    ) -> Result<Result<Option<Lease>, AcquireError>, Cause> {
        let pool = self.pools.of(address.node, &self.worker.shared.registry);
        let acquired = pool.acquire(&self.worker, address);
        let acquired = self.waits(State::WaitingForServer, acquired).await;
        // A turn that it was given and did not see any more is the next one's.
        let acquired = acquired.inspect_err(|_| pool.try_next())?;
        Ok(acquired.map(|lease| {
            let outdated = address.role == Role::Primary && address.epoch != self.epoch();
            if outdated {
                lease.give_back();
                return None;
            }
            Some(lease)
        }))
    }

    pub(crate) fn refuse(&self, cause: Cause, reason: Reason) -> Cause {
        self.worker.metrics.routed(Side::Refused, reason);
        cause
    }

    /// Under `strong` a read begins with a ticket: its answer covers all that was acknowledged so far.
    /// So does one with a token in its hint that is younger than all that the primary said.
    fn take_read_ticket(&mut self, reading: &Reading, attempt: Attempt) {
        let wishes = self.wishes(reading);
        let strong = wishes.consistency == Consistency::Strong && wishes.route != Route::Primary;
        // What no answer reaches yet, no guard can prove: the clock must be asked.
        let unheard = reading.min_lsn.is_some_and(|fence| {
            let answers = self.database.cluster.answers.newest();
            !answers.newest().is_some_and(|answer| answer.reaches(fence))
        });
        if (strong || unheard) && attempt == Attempt::First && reading.class == Class::Read {
            self.worker.metrics.tickets.inc();
            self.meaning.took(self.database.cluster.take_ticket());
        }
    }

    fn decide(
        &mut self,
        reading: &Reading,
        (attempt, since): (Attempt, Instant),
        topology: &Topology,
    ) -> Decision {
        if !self.database.returns_servers() {
            return on_primary(topology, Reason::SessionPool);
        }
        let answers = self.database.cluster.answers.newest();
        let newest = answers.newest().filter(|answer| answer.epoch == topology.epoch);
        if let Some(settled) = attempt.settled(topology) {
            return settled;
        }
        let now = now();
        self.database.cluster.guards.borrow_mut().learn(topology, &answers);
        let guards = self.database.cluster.guards.borrow();
        let may_guard = attempt.may_be_guarded() && self.may_be_guarded(reading);
        let guarding = Guarding {
            odds: &guards,
            answers: &answers,
            waited: now.saturating_duration_since(since),
        };
        let bound = self.meaning.settings().needs_primary();
        let level = (self.wishes(reading).consistency, reading.min_lsn);
        let ask = Ask {
            class: if bound { reading.class.max(Class::PrimaryRead) } else { reading.class },
            why: reading.why,
            fence: self.meaning.fence(level, self.scope.newest(), &answers, topology.epoch),
            wishes: reading.hinted.as_deref().unwrap_or_else(|| self.meaning.wishes()),
            route_from: reading.route_from(self.meaning.route_from()),
            last_read: self.meaning.last_read(),
            pace: attempt.pace(newest, self.meaning.awaits(self.scope.newest())),
            guards: may_guard.then_some(guarding),
            now,
        };
        let decision = decide(&ask, topology, &*self.pools, self.worker.draw());
        if decision.reason == Reason::Write && reading.undecided {
            return Decision { reason: Reason::Undecided, ..decision };
        }
        decision
    }

    /// Only a cycle that is a transaction of its own runs twice; elsewhere only a read that stays
    /// inside of the database. Whose plan is stale was not run at all.
    fn retries(&self, reading: &Reading, by: ServedBy) -> Retries {
        Retries {
            node: self.may_run_twice(reading) && matches!(by, ServedBy::Replica(_)),
            stale_plan: self.is_alone() && reading.columns == Columns::Asked,
        }
    }

    fn is_alone(&self) -> bool {
        !self.group.open && self.status == TxStatus::Idle
    }

    fn may_run_twice(&self, reading: &Reading) -> bool {
        self.is_alone() && reading.class <= Class::PrimaryRead && !reading.reaches_outside
    }

    /// One that began with a `BEGIN` that no server has seen yet may run elsewhere, too, if a guard fails.
    fn may_be_guarded(&self, reading: &Reading) -> bool {
        let begins = self.begin.is_some() && !self.group.open;
        (begins || self.is_alone()) && reading.class == Class::Read && !reading.reaches_outside
    }
}

impl Placed {
    /// How the cycle is tried next if its guard fails: a node that is not what was measured is left.
    pub(crate) fn unproven(&self) -> Attempt {
        let by_age = self.guarded.is_some_and(|guarded| guarded.age.is_some());
        if by_age { Attempt::Unproven } else { Attempt::Elsewhere }
    }

    fn on(address: &Address, reason: Reason) -> Self {
        let (side, by) = match address.role {
            Role::Primary => (Side::Primary, ServedBy::Primary(address.node)),
            Role::Replica | Role::Unknown => (Side::Replica, ServedBy::Replica(address.node)),
        };
        Self {
            node: Rc::clone(&address.name),
            side,
            by,
            reason,
            retries: Retries::default(),
            guarded: None,
            refused: None,
        }
    }
}

pub(crate) fn expired(since: Instant, limit: Duration) -> bool {
    now().saturating_duration_since(since) >= limit
}
