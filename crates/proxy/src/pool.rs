//! One worker's servers for one (user, database, node): idle ones, and clients that wait for one.
//!
//! Servers are LIFO, so that surplus ones fall idle and are closed; waiters are FIFO, so that none
//! starves. A [`Lease`] that is dropped without being returned closes its server: nothing dirty can
//! come back by accident.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use policy::NodeId;
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use crate::error::Cause;
use crate::metrics::Metrics;
use crate::permits::{Permit, Permits};
use crate::server::{Address, ConnectError, Identity, Server};
use crate::worker::{Worker, now};

/// A server together with its right to exist.
#[derive(Debug)]
struct Owned {
    server: Box<Server>,
    metrics: Arc<Metrics>,
    _permit: Permit,
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.metrics.servers_closed.inc();
    }
}

/// What a waiter is given.
#[derive(Debug)]
enum Turn {
    /// A server.
    Server(Owned),
    /// The chance to open one.
    Try,
}

/// A client in line.
#[derive(Debug)]
struct Waiter {
    since: tokio::time::Instant,
    turn: oneshot::Sender<Turn>,
}

/// Where in the line a waiter stands.
#[derive(Debug, Clone, Copy)]
enum Place {
    First,
    Last,
}

/// Why no server could be leased.
#[derive(Debug)]
pub(crate) enum AcquireError {
    /// None became free in time.
    Full { waited: Duration, limit: u32 },
    /// None could be opened.
    Connect { node: Rc<str>, error: ConnectError },
}

impl AcquireError {
    /// What the client of a session that is logged in is told.
    pub(crate) fn cause(&self) -> Cause {
        match self {
            Self::Full { waited, limit } => Cause::PoolFull { waited: *waited, limit: *limit },
            Self::Connect { node, error } => {
                Cause::NoServer { node: node.to_string(), detail: error.to_string() }
            }
        }
    }
}

/// One worker's servers for one (user, database, node).
#[derive(Debug)]
pub(crate) struct Pool {
    identity: Identity,
    idle: RefCell<Vec<Owned>>,
    waiters: RefCell<VecDeque<Waiter>>,
    busy: Cell<u32>,
    opening: Cell<u32>,
    permits: Arc<Permits>,
}

impl Pool {
    pub(crate) fn new(identity: Identity, permits: Arc<Permits>) -> Self {
        Self {
            identity,
            idle: RefCell::default(),
            waiters: RefCell::default(),
            busy: Cell::new(0),
            opening: Cell::new(0),
            permits,
        }
    }

    /// Servers of this worker that are leased.
    pub(crate) fn busy(&self) -> u32 {
        self.busy.get()
    }

    /// Whether this worker has no server here, and no client that waits for one.
    pub(crate) fn is_empty(&self) -> bool {
        self.busy.get() == 0 && self.idle.borrow().is_empty() && self.waiters.borrow().is_empty()
    }

    /// Clients of this worker that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiters.borrow().len()
    }

    /// This worker's idle servers, those to be, and its line.
    pub(crate) fn counts(&self) -> Counts {
        let waiters = self.waiters.borrow();
        let in_line = || waiters.iter().filter(|waiter| !waiter.turn.is_closed());
        Counts {
            idle: u32::try_from(self.idle.borrow().len()).unwrap_or(u32::MAX),
            opening: self.opening.get(),
            waiting: u32::try_from(in_line().count()).unwrap_or(u32::MAX),
            longest_wait: in_line().map(|waiter| waiter.since.elapsed()).max().unwrap_or_default(),
        }
    }

    /// The counts that all workers share.
    pub(crate) fn permits(&self) -> &Permits {
        &self.permits
    }

    /// Leases a server: an idle one, else a new one within the limits, else the next that is returned.
    ///
    /// Cancel-safe: a waiter that is dropped loses its place and nothing else.
    ///
    /// # Errors
    ///
    /// [`AcquireError`]: tell the client; if the node is to blame, control was told already.
    pub(crate) async fn acquire(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        address: &Rc<Address>,
    ) -> Result<Lease, AcquireError> {
        if self.waiters.borrow().is_empty() {
            if let Some(lease) = self.idle_one(worker, address) {
                return Ok(lease);
            }
            let size = self.size(worker);
            if let Some(permit) = self.permits.try_take(size) {
                return self.open(worker, address, permit).await;
            }
        }
        Box::pin(self.wait(worker, address)).await
    }

    /// Servers that there may be over all workers.
    pub(crate) fn size(&self, worker: &Worker) -> u32 {
        worker.pool_size(&self.permits.key.database)
    }

    /// Leases this very server, if it is idle.
    pub(crate) fn this_one(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        address: &Rc<Address>,
        wanted: impl Fn(&Server) -> bool,
    ) -> Option<Lease> {
        let owned = {
            let mut idle = self.idle.borrow_mut();
            let at = idle.iter().position(|owned| wanted(&owned.server))?;
            idle.remove(at)
        };
        self.usable(worker, address, owned)
    }

    fn idle_one(self: &Rc<Self>, worker: &Rc<Worker>, address: &Rc<Address>) -> Option<Lease> {
        loop {
            let owned = self.idle.borrow_mut().pop()?;
            if let Some(lease) = self.usable(worker, address, owned) {
                return Some(lease);
            }
        }
    }

    /// Leases `owned` if it is still what it was, and silent; else closes it.
    fn usable(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        address: &Rc<Address>,
        mut owned: Owned,
    ) -> Option<Lease> {
        let good = owned.server.address.still_good_for(address) && owned.server.is_quiet(worker);
        good.then(|| self.lease(worker, owned))
    }

    async fn open(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        address: &Rc<Address>,
        permit: Permit,
    ) -> Result<Lease, AcquireError> {
        let _opening = Opening::new(&self.opening);
        // Boxed: an idle session must not hold room for a login to a server.
        let connected = Box::pin(Server::connect(Rc::clone(address), &self.identity, worker)).await;
        match connected {
            Ok(server) => {
                worker.metrics.servers_opened.inc();
                Ok(self.lease(
                    worker,
                    Owned {
                        server: Box::new(server),
                        metrics: Arc::clone(&worker.metrics),
                        _permit: permit,
                    },
                ))
            }
            Err(error) => {
                drop(permit);
                self.try_next();
                if error.blames_node() {
                    worker.lost(&self.permits.key.cluster, address.node);
                }
                Err(AcquireError::Connect { node: Rc::clone(&address.name), error })
            }
        }
    }

    async fn wait(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        address: &Rc<Address>,
    ) -> Result<Lease, AcquireError> {
        let since = now();
        let leased = self.wait_in_line(worker, address).await;
        worker.metrics.server_wait.record(now().saturating_duration_since(since));
        self.fed(worker);
        leased
    }

    async fn wait_in_line(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        address: &Rc<Address>,
    ) -> Result<Lease, AcquireError> {
        let rules = worker.live().pool.clone();
        let since = tokio::time::Instant::now();
        let give_up = deadline(since, rules.query_wait_timeout);
        let reserve_from = deadline(since, rules.reserve_pool_timeout);
        let mut turn = self.line_up(Place::Last, since);
        loop {
            let size = self.size(worker);
            let reserve = tokio::time::Instant::now() >= reserve_from;
            let limit = if reserve { size.saturating_add(rules.reserve_pool_size) } else { size };
            if self.permits.used() < limit {
                self.try_next();
            } else {
                self.permits.starve(worker.index);
            }
            let until = if reserve || rules.reserve_pool_size == 0 {
                give_up
            } else {
                give_up.min(reserve_from)
            };
            match timeout_at(until, &mut turn).await {
                Ok(Ok(Turn::Server(owned))) => {
                    if let Some(lease) = self.usable(worker, address, owned) {
                        return Ok(lease);
                    }
                }
                Ok(_) => {}
                Err(_) if until == give_up => {
                    return Err(AcquireError::Full { waited: since.elapsed(), limit });
                }
                Err(_) => continue,
            }
            if let Some(lease) = self.idle_one(worker, address) {
                return Ok(lease);
            }
            if let Some(permit) = self.permits.try_take(limit) {
                return self.open(worker, address, permit).await;
            }
            // A turn that came to nothing must not cost the place.
            turn = self.line_up(Place::First, since);
        }
    }

    fn line_up(&self, place: Place, since: tokio::time::Instant) -> oneshot::Receiver<Turn> {
        let (turn, receiver) = oneshot::channel();
        let waiter = Waiter { since, turn };
        let mut waiters = self.waiters.borrow_mut();
        match place {
            Place::First => waiters.push_front(waiter),
            Place::Last => waiters.push_back(waiter),
        }
        receiver
    }

    /// Takes this worker off the list of the hungry once nobody waits here.
    fn fed(&self, worker: &Worker) {
        self.waiters.borrow_mut().retain(|waiter| !waiter.turn.is_closed());
        if self.waiters.borrow().is_empty() {
            self.permits.fed(worker.index);
        }
    }

    /// Lets the first waiter try to open a server.
    pub(crate) fn try_next(&self) {
        loop {
            let Some(waiter) = self.waiters.borrow_mut().pop_front() else { return };
            if waiter.turn.send(Turn::Try).is_ok() {
                return;
            }
        }
    }

    /// Closes one idle server, for another worker that starves.
    pub(crate) fn yield_one(&self) {
        let oldest = {
            let mut idle = self.idle.borrow_mut();
            if idle.is_empty() { None } else { Some(idle.remove(0)) }
        };
        drop(oldest);
    }

    /// Closes idle servers that are too old, too long unused, of a role that is gone, or more than
    /// the pool's size, which a reload may have made smaller.
    pub(crate) fn sweep(&self, worker: &Worker, address: Option<&Rc<Address>>, now: Instant) {
        let (idle_timeout, lifetime) = {
            let live = worker.live();
            (live.pool.server_idle_timeout, live.pool.server_lifetime)
        };
        let expired = |since: Instant, limit: Duration| {
            !limit.is_zero() && now.saturating_duration_since(since) >= limit
        };
        self.idle.borrow_mut().retain(|owned| {
            let server = &owned.server;
            address.is_some_and(|address| server.address.still_good_for(address))
                && !expired(server.idle_since, idle_timeout)
                && !expired(server.opened, lifetime)
        });
        let surplus = self.permits.used().saturating_sub(self.size(worker));
        let mut idle = self.idle.borrow_mut();
        // The longest unused ones stand first.
        let surplus = usize::try_from(surplus).unwrap_or(usize::MAX).min(idle.len());
        idle.drain(..surplus);
    }

    fn lease(self: &Rc<Self>, worker: &Rc<Worker>, owned: Owned) -> Lease {
        self.busy.set(self.busy.get().saturating_add(1));
        Lease { owned: Some(owned), pool: Rc::clone(self), worker: Rc::clone(worker) }
    }

    fn take_back(&self, worker: &Worker, mut owned: Owned) {
        let now = now();
        owned.server.rest(&worker.buffers, now);
        let (lifetime, reserve) = {
            let live = worker.live();
            (live.pool.server_lifetime, live.pool.reserve_pool_size)
        };
        let too_old =
            !lifetime.is_zero() && now.saturating_duration_since(owned.server.opened) >= lifetime;
        let too_many = self.permits.used() > self.size(worker).saturating_add(reserve);
        let greedy = self.permits.others_hungry(worker.index) && self.waiters.borrow().is_empty();
        if too_old || too_many || greedy || owned.server.is_doomed() {
            drop(owned);
            self.try_next();
            return;
        }
        let mut turn = Turn::Server(owned);
        loop {
            let Some(waiter) = self.waiters.borrow_mut().pop_front() else { break };
            match waiter.turn.send(turn) {
                Ok(()) => return,
                Err(back) => turn = back,
            }
        }
        if let Turn::Server(owned) = turn {
            self.idle.borrow_mut().push(owned);
        }
    }
}

/// What a pool has besides leased servers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) idle: u32,
    pub(crate) opening: u32,
    pub(crate) waiting: u32,
    pub(crate) longest_wait: Duration,
}

/// Counts a server that is being opened, until it is or is not.
struct Opening<'a>(&'a Cell<u32>);

impl<'a> Opening<'a> {
    fn new(count: &'a Cell<u32>) -> Self {
        count.set(count.get().saturating_add(1));
        Self(count)
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

fn deadline(since: tokio::time::Instant, limit: Duration) -> tokio::time::Instant {
    const FOR_EVER: Duration = Duration::from_secs(86_400 * 365);
    since.checked_add(if limit.is_zero() { FOR_EVER } else { limit }).unwrap_or(since)
}

/// A server that one session uses; closed at drop unless it is [given back](Lease::give_back).
#[derive(Debug)]
pub(crate) struct Lease {
    owned: Option<Owned>,
    pool: Rc<Pool>,
    worker: Rc<Worker>,
}

impl Lease {
    /// The node that the server is on.
    pub(crate) fn node(&self) -> Option<NodeId> {
        self.owned.as_ref().map(|owned| owned.server.address.node)
    }

    /// The server.
    pub(crate) fn server(&mut self) -> &mut Server {
        #[expect(
            clippy::expect_used,
            reason = "only give_back and drop, which consume the lease, take it out"
        )]
        let owned = self.owned.as_mut().expect("a lease holds its server until it ends");
        &mut owned.server
    }

    /// Returns a clean server to its pool; one that a cancel request is aimed at waits for it first.
    pub(crate) fn give_back(mut self) {
        let Some(owned) = self.owned.take() else { return };
        self.free();
        if !owned.server.is_being_cancelled() {
            self.pool.take_back(&self.worker, owned);
            return;
        }
        let (pool, worker) = (Rc::clone(&self.pool), Rc::clone(&self.worker));
        tokio::task::spawn_local(async move {
            while owned.server.is_being_cancelled() {
                worker.cancelled.notified().await;
            }
            pool.take_back(&worker, owned);
        });
    }

    fn free(&self) {
        self.pool.busy.set(self.pool.busy.get().saturating_sub(1));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.owned.take().is_some() {
            self.free();
            self.pool.try_next();
        }
    }
}
