//! The clients of one worker that wait for a server of one pool.
//!
//! Whoever stands in line and can't get a permit makes the pool starve at the count that is full;
//! the last one to leave, however, ends that.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use policy::Topology;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::{AcquireError, Lease, Owned, Pool};
use crate::config::Sizes;
use crate::permits::Which;
use crate::server::Address;
use crate::worker::{Worker, now};

/// How often other workers are asked at most to close idle servers for a pool.
const BEG_EVERY: Duration = Duration::from_millis(10);

/// What a waiter is given.
#[derive(Debug)]
pub(super) enum Turn {
    /// A server.
    Server(Owned),
    /// The chance to open one.
    Try,
}

/// Where in the line a waiter stands.
#[derive(Debug, Clone, Copy)]
enum Place {
    First,
    Last,
}

/// A client in line.
#[derive(Debug)]
struct Waiter {
    since: Instant,
    turn: oneshot::Sender<Turn>,
}

/// Those who wait, and what they wait for.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiters: RefCell<VecDeque<Waiter>>,
    /// The count that was full when it was last looked at.
    starves_at: Cell<Option<Which>>,
    begged: Cell<Option<std::time::Instant>>,
    /// What the node is to those who wait.
    address: RefCell<Option<Rc<Address>>>,
}

impl Line {
    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiters.borrow().is_empty()
    }

    /// The count that the pool starves at.
    pub(super) fn starves_at(&self) -> Option<Which> {
        self.starves_at.get()
    }

    /// Gives a server to who has waited longest, or back if nobody waits.
    pub(super) fn hand_on(&self, owned: Owned) -> Option<Owned> {
        let mut turn = Turn::Server(owned);
        loop {
            let Some(waiter) = self.waiters.borrow_mut().pop_front() else { break };
            match waiter.turn.send(turn) {
                Ok(()) => return None,
                Err(back) => turn = back,
            }
        }
        match turn {
            Turn::Server(owned) => Some(owned),
            Turn::Try => None,
        }
    }

    /// How many wait, and how long who has waited longest.
    pub(super) fn length(&self) -> (u32, Duration) {
        let waiters = self.waiters.borrow();
        let in_line = || waiters.iter().filter(|waiter| !waiter.turn.is_closed());
        let longest = in_line().map(|waiter| waiter.since.elapsed()).max();
        (u32::try_from(in_line().count()).unwrap_or(u32::MAX), longest.unwrap_or_default())
    }

    fn join(&self, place: Place, since: Instant) -> oneshot::Receiver<Turn> {
        let (turn, receiver) = oneshot::channel();
        let waiter = Waiter { since, turn };
        let mut waiters = self.waiters.borrow_mut();
        match place {
            Place::First => waiters.push_front(waiter),
            Place::Last => waiters.push_back(waiter),
        }
        receiver
    }
}

impl Pool {
    /// Waits in line until there is a server.
    pub(super) async fn wait(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        address: &Rc<Address>,
    ) -> Result<Lease, AcquireError> {
        let since = now();
        let leased = self.wait_in_line(worker, address).await;
        worker.metrics.server_wait.record(now().saturating_duration_since(since));
        leased
    }

    async fn wait_in_line(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        address: &Rc<Address>,
    ) -> Result<Lease, AcquireError> {
        let (wait, patience) = {
            let live = worker.live();
            (live.pool.query_wait_timeout, live.pool.reserve_pool_timeout)
        };
        let since = Instant::now();
        let (give_up, reserve_from) = (deadline(since, wait), deadline(since, patience));
        // Dropped behind `turn`: by then this waiter no longer counts.
        let _standing = Standing { pool: self, worker };
        let mut turn = self.line.join(Place::Last, since);
        *self.line.address.borrow_mut() = Some(Rc::clone(address));
        loop {
            let sizes = self.sizes(worker);
            let reserve = Instant::now() >= reserve_from;
            let sizes = if reserve { sizes.with_reserve() } else { sizes };
            match self.permits.full(&sizes) {
                None => self.try_next(),
                Some(which) => self.starve(which),
            }
            let until =
                if reserve || sizes.reserve == 0 { give_up } else { give_up.min(reserve_from) };
            match timeout_at(until, &mut turn).await {
                Ok(Ok(Turn::Server(owned))) => {
                    if let Some(lease) = self.usable(worker, address, owned) {
                        return Ok(lease);
                    }
                }
                Ok(Ok(Turn::Try)) => {}
                Ok(Err(_)) => {
                    return Err(AcquireError::Replaced { node: Rc::clone(&address.name) });
                }
                Err(_) if until == give_up => return Err(self.gave_up(since, &sizes)),
                Err(_) => continue,
            }
            if let Some(lease) = self.idle_one(worker, address) {
                return Ok(lease);
            }
            if let Ok(permit) = self.permits.try_take(&sizes) {
                return self.open(worker, address, permit).await;
            }
            // A turn that came to nothing must not cost the place.
            turn = self.line.join(Place::First, since);
        }
    }

    fn gave_up(&self, since: Instant, sizes: &Sizes) -> AcquireError {
        let which = self.permits.full(sizes).unwrap_or(Which::Pool);
        AcquireError::Full { waited: since.elapsed(), which, limit: which.limit(sizes) }
    }

    /// Takes note of the count that has no room, and asks for an idle server to be closed there.
    ///
    /// For the pool's own count once is enough: whoever gets a server back while it starves closes
    /// it. A database's or a user's other pools may have many idle ones.
    fn starve(&self, at: Which) {
        let before = self.line.starves_at.replace(Some(at));
        if before != Some(at) {
            self.permits.starves(at);
            if let Some(before) = before {
                self.permits.fed(before);
            }
        } else if at == Which::Pool {
            return;
        }
        let now = now();
        let lately = |begged: std::time::Instant| now.duration_since(begged) < BEG_EVERY;
        if before != Some(at) || !self.line.begged.get().is_some_and(lately) {
            self.line.begged.set(Some(now));
            self.permits.beg(at);
        }
    }

    /// Since when the first waiter waits.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        self.line.waiters.borrow().front().map(|waiter| waiter.since)
    }

    /// Lets the first waiter try to open a server.
    pub(crate) fn try_next(&self) {
        loop {
            let Some(waiter) = self.line.waiters.borrow_mut().pop_front() else { return };
            if waiter.turn.send(Turn::Try).is_ok() {
                return;
            }
        }
    }

    /// Sends all away who wait for what the node no longer is.
    pub(crate) fn dissolve(&self, topology: &Topology) {
        let replaced = !self.line.is_empty() && {
            let address = self.line.address.borrow();
            address.as_ref().is_some_and(|address| !address.serves_in(topology))
        };
        if replaced {
            self.line.waiters.borrow_mut().clear();
        }
    }

    /// Takes note that a waiter left the line, by whichever way.
    fn left_line(&self, worker: &Worker) {
        self.line.waiters.borrow_mut().retain(|waiter| !waiter.turn.is_closed());
        if self.line.is_empty() {
            if let Some(at) = self.line.starves_at.take() {
                self.permits.fed(at);
            }
        } else if self.permits.full(&self.sizes(worker)).is_none() {
            // Whoever left may have had a turn and not have used it.
            self.try_next();
        }
    }
}

/// A waiter's place; leaving it, by whichever way, is noticed.
struct Standing<'a> {
    pool: &'a Pool,
    worker: &'a Worker,
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.pool.left_line(self.worker);
    }
}

fn deadline(since: Instant, limit: Duration) -> Instant {
    const FOR_EVER: Duration = Duration::from_secs(86_400 * 365);
    since.checked_add(if limit.is_zero() { FOR_EVER } else { limit }).unwrap_or(since)
}
