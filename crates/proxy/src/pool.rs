//! One worker's servers for one (user, database, node): idle ones, and clients that wait for one.
//!
//! Servers are LIFO, so that surplus ones fall idle and are closed; waiters are FIFO, so that none
//! starves. A [`Lease`] that is dropped without being returned closes its server: nothing dirty can
//! come back by accident.

mod counts;
mod line;
mod lines;
mod upkeep;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use policy::NodeId;

use self::counts::Opening;
use self::line::Line;
pub(crate) use self::lines::Lines;
use crate::config::{Live, Sizes};
use crate::error::{Cause, Reached};
use crate::metrics::Metrics;
use crate::permits::{FallBack, Fallen, Permit, Permits, PoolKey, Which};
use crate::server::{Address, ConnectError, Identity, Server};
use crate::view::Snapshot;
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

/// Why no server could be leased.
#[derive(Debug)]
pub(crate) enum AcquireError {
    /// None became free in time: this count is full.
    Full { waited: Duration, which: Which, limit: u32 },
    /// None could be opened.
    Connect { node: Rc<str>, error: ConnectError },
    /// The node went down or is something else by now: decide anew.
    Replaced { node: Rc<str> },
}

impl AcquireError {
    /// What the client of a session that is logged in is told.
    pub(crate) fn cause(&self) -> Cause {
        match self {
            Self::Full { waited, which, limit } => {
                Reached::Servers { waited: *waited, which: *which, limit: *limit }.into()
            }
            Self::Connect { node, error } => {
                Cause::NoServer { node: node.to_string(), detail: error.to_string() }
            }
            Self::Replaced { node } => {
                Cause::NoServer { node: node.to_string(), detail: "its role changed".into() }
            }
        }
    }
}

/// One worker's servers for one (user, database, node).
#[derive(Debug)]
pub(crate) struct Pool {
    identity: Identity,
    /// The longest unused ones stand first.
    idle: RefCell<Vec<Owned>>,
    line: Line,
    busy: Cell<u32>,
    opening: Cell<u32>,
    /// Servers that went from one client straight to the next while another pool starved.
    handed_on: Cell<u32>,
    /// When clients stood in line last.
    lined_up: Cell<Option<Instant>>,
    /// No server is opened before it is asked for until then: the last try failed.
    cold_until: Cell<Option<Instant>>,
    sizes: RefCell<Option<(Snapshot<Live>, Sizes)>>,
    permits: Arc<Permits>,
}

/// Servers that go from client to client within a pool before another one that starves gets one.
const PATIENCE: u32 = 16;

/// For how long a pool counts as one whose clients stand in line: longer than they rest between two statements.
const CONTENDING: Duration = Duration::from_millis(100);

impl Pool {
    pub(crate) fn new(identity: Identity, permits: Arc<Permits>) -> Self {
        Self {
            identity,
            idle: RefCell::default(),
            line: Line::default(),
            busy: Cell::new(0),
            opening: Cell::new(0),
            handed_on: Cell::new(0),
            lined_up: Cell::new(None),
            cold_until: Cell::new(None),
            sizes: RefCell::default(),
            permits,
        }
    }

    /// Servers of this worker that are leased.
    pub(crate) fn busy(&self) -> u32 {
        self.busy.get()
    }

    /// Whether this worker has no server here, and no client that waits for one.
    pub(crate) fn is_empty(&self) -> bool {
        self.busy.get() == 0 && self.idle.borrow().is_empty() && self.line.is_empty()
    }

    /// How many servers it may have, without the reserve.
    pub(crate) fn size(&self, worker: &Worker) -> u32 {
        self.sizes(worker).pool
    }

    /// Its reads that fell back, over all workers.
    pub(crate) fn fallen(&self) -> &Arc<Fallen> {
        self.permits.fallen()
    }

    /// Whose servers these are.
    pub(crate) fn key(&self) -> &PoolKey {
        &self.permits.key
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
        if self.line.is_empty() {
            if let Some(lease) = self.idle_one(worker, address) {
                return Ok(lease);
            }
            if let Ok(permit) = self.permits.try_take(&self.sizes(worker)) {
                return self.open(worker, address, permit).await;
            }
        }
        Box::pin(self.wait(worker, address)).await
    }

    /// How many servers there may be; looked up anew after a reload only.
    fn sizes(&self, worker: &Worker) -> Sizes {
        let live = worker.live();
        let mut known = self.sizes.borrow_mut();
        match &*known {
            Some((of, sizes)) if Rc::ptr_eq(of, &live) => *sizes,
            _ => {
                let sizes = live.sizes(&self.permits.key.user, &self.permits.key.database);
                *known = Some((live, sizes));
                sizes
            }
        }
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
        match self.connect(worker, address, permit).await {
            Ok(owned) => Ok(self.lease(worker, owned)),
            Err(error) => {
                self.try_next();
                Err(AcquireError::Connect { node: Rc::clone(&address.name), error })
            }
        }
    }

    /// Opens a server; control is told if its node is to blame for a failure.
    async fn connect(
        &self,
        worker: &Rc<Worker>,
        address: &Rc<Address>,
        permit: Permit,
    ) -> Result<Owned, ConnectError> {
        let _opening = Opening::new(&self.opening);
        // Boxed: an idle session must not hold room for a login to a server.
        let connected = Box::pin(Server::connect(Rc::clone(address), &self.identity, worker)).await;
        match connected {
            Ok(server) => {
                worker.metrics.servers_opened.inc();
                let metrics = Arc::clone(&worker.metrics);
                Ok(Owned { server: Box::new(server), metrics, _permit: permit })
            }
            Err(error) => {
                if error.blames_node() {
                    worker.lost(&self.permits.key.cluster, address.node);
                }
                Err(error)
            }
        }
    }

    fn lease(self: &Rc<Self>, worker: &Rc<Worker>, owned: Owned) -> Lease {
        self.busy.set(self.busy.get().saturating_add(1));
        let (pool, worker) = (Rc::clone(self), Rc::clone(worker));
        Lease { owned: Some(owned), pool, worker, fall_back: None }
    }

    fn take_back(&self, worker: &Worker, mut owned: Owned) {
        let now = now();
        owned.server.rest(&worker.buffers, now);
        let lifetime = worker.live().pool.server_lifetime;
        let sizes = self.sizes(worker);
        let too_old =
            !lifetime.is_zero() && now.saturating_duration_since(owned.server.opened) >= lifetime;
        let too_many = self.permits.surplus(&sizes.with_reserve()) > 0;
        if !self.line.is_empty() {
            self.lined_up.set(Some(now));
        }
        if self.is_greedy(&sizes, now) {
            // Whoever starves is told by the permit, the longest waiting first.
            drop(owned);
            return;
        }
        if too_old || too_many || owned.server.is_doomed() {
            drop(owned);
            self.try_next();
            return;
        }
        if let Some(owned) = self.line.hand_on(owned) {
            self.idle.borrow_mut().push(owned);
        }
    }

    /// How many servers it may keep while other pools starve: none that clients did not stand in line for just
    /// now. `None` if no other starves.
    fn share(&self, sizes: &Sizes, now: Instant) -> Option<u32> {
        let share = self.permits.fair_share(self.line.starves_at(), sizes)?;
        let lately = |at: Instant| now.saturating_duration_since(at) < CONTENDING;
        Some(if self.lined_up.get().is_some_and(lately) { share } else { 0 })
    }

    /// Whether its clients stood in line and do no more, noticed once: what it kept meanwhile may go to others.
    fn rests(&self, now: Instant) -> bool {
        let rested = |at: &Instant| now.saturating_duration_since(*at) >= CONTENDING;
        self.lined_up.get().filter(rested).is_some_and(|_| self.lined_up.take().is_some())
    }

    /// This worker's servers, and those that are being opened.
    fn servers(&self) -> u32 {
        let idle = u32::try_from(self.idle.borrow().len()).unwrap_or(u32::MAX);
        self.busy.get().saturating_add(self.opening.get()).saturating_add(idle)
    }

    /// Whether keeping the server that comes back would let another pool starve: this pool has more than its
    /// share, and nobody here needs it, or those here had it for a while.
    ///
    /// Who has no more than its share keeps it, or two pools whose clients never rest would go on closing servers
    /// for each other; what it does not use is closed by the [sweep](Self::sweep).
    fn is_greedy(&self, sizes: &Sizes, now: Instant) -> bool {
        let Some(share) = self.share(sizes, now) else {
            self.handed_on.set(0);
            return false;
        };
        let handed_on = self.handed_on.get();
        let greedy = self.servers() >= share && (self.line.is_empty() || handed_on >= PATIENCE);
        self.handed_on.set(if greedy { 0 } else { handed_on.saturating_add(1) });
        greedy
    }
}

/// A server that one session uses; closed at drop unless it is [given back](Lease::give_back).
#[derive(Debug)]
pub(crate) struct Lease {
    owned: Option<Owned>,
    pool: Rc<Pool>,
    worker: Rc<Worker>,
    fall_back: Option<FallBack>,
}

impl Lease {
    /// The node that the server is on.
    pub(crate) fn node(&self) -> Option<NodeId> {
        self.owned.as_ref().map(|owned| owned.server.address.node)
    }

    /// The same, for a read that fell back: its place is left when the server is.
    pub(crate) fn fallen_back(mut self, fall_back: Option<FallBack>) -> Self {
        self.fall_back = fall_back;
        self
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
        self.fall_back = None;
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
