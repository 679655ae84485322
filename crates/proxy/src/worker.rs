//! One worker: a thread that owns its listener, its clients, its servers and its buffers.
//!
//! Nothing here is shared with another worker but counts ([`crate::permits`]), fences
//! ([`crate::scope`]) and mails.

mod answers;
mod peers;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::num::NonZeroU64;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use policy::prepared::Interner;
use policy::reports::KnownReports;
use policy::settings::KnownSettings;
use policy::{NodeId, Topology};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};
use wire::CancelKey;

use crate::buffer::Buffers;
use crate::config::{Config, Live};
use crate::database::Database;
use crate::error::Cause;
use crate::handshake::{Handshake, Moved, Refused};
use crate::inquiry::Inquiry;
use crate::metrics::Metrics;
use crate::peer::Peer;
use crate::permits::{Count, Mail, Registry};
use crate::places::Places;
use crate::pool::{Lines, Pool};
use crate::pools::Pools;
use crate::schema::Schemas;
use crate::scope::Scopes;
use crate::server::{Identity, ServerNumber, SessionNumber};
use crate::shown::Second;
use crate::timers::{self, Phase, Verdict};
use crate::view::{ClusterView, Snapshot, Watched};

pub(crate) use self::peers::Peers;

/// How often idle servers are looked through.
const SWEEP: Duration = Duration::from_secs(1);
/// How long to wait before the next client is accepted after one could not be.
const BREATH: Duration = Duration::from_millis(100);
/// Bits of a process ID that count sessions; those above tell the worker.
const PID_BITS: u32 = 24;

/// What workers share: counts, fences, mailboxes.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) registry: Registry,
    pub(crate) scopes: Scopes,
    pub(crate) schemas: Schemas,
    pub(crate) places: Places,
    pub(crate) clients: Arc<AtomicU32>,
    /// Counts changes of what a login begins with: servers of before are not used again.
    pub(crate) logins: AtomicU32,
    pub(crate) workers: usize,
    /// Keys homes and fingerprints, so that clients can't aim at them.
    pub(crate) seed: [u64; 2],
}

/// A cluster's snapshots.
type Changes = watch::Receiver<Arc<Topology>>;

/// A user and the database, by the name that clients use.
type UserIn = (Box<str>, Box<str>);

/// How far a shutdown has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Clients are served.
    Serving,
    /// Cycles end, sessions between transactions are told to go.
    Closing,
    /// Everybody is told to go.
    Overdue,
}

/// One worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) config: Config,
    pub(crate) shared: Arc<Shared>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) buffers: Buffers,
    pub(crate) interner: RefCell<Interner>,
    pub(crate) settings: KnownSettings,
    pub(crate) reports: KnownReports,
    /// Notified whenever a cancel request was delivered.
    pub(crate) cancelled: Notify,
    live: Watched<Live>,
    stage: watch::Receiver<Stage>,
    clusters: RefCell<HashMap<String, Rc<ClusterView>>>,
    databases: RefCell<HashMap<Box<str>, Rc<Database>>>,
    pools: RefCell<HashMap<UserIn, Rc<Pools>>>,
    /// Those of them that have clients in line.
    pub(crate) lines: Lines,
    peers: RefCell<Peers>,
    sessions: Cell<u64>,
    servers: Cell<NonZeroU64>,
    started: Instant,
    /// Seconds since then, counted by the sweep: reading a clock costs more than a cycle's cells.
    second: Cell<Second>,
    random: Cell<u64>,
}

/// What is sent to a worker.
#[derive(Debug)]
struct Inbox {
    mails: mpsc::UnboundedReceiver<Mail>,
    inquiries: mpsc::UnboundedReceiver<Inquiry>,
}

/// What a worker's thread is started with.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) index: usize,
    pub(crate) config: Config,
    pub(crate) shared: Arc<Shared>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) live: watch::Receiver<Arc<Live>>,
    pub(crate) stage: watch::Receiver<Stage>,
    pub(crate) mailbox: mpsc::UnboundedReceiver<Mail>,
    pub(crate) inquiries: mpsc::UnboundedReceiver<Inquiry>,
    pub(crate) listener: std::net::TcpListener,
}

impl Start {
    /// Runs the worker until it was told to close and has no client left, or is overdue.
    pub(crate) async fn run(self) -> std::io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let worker = Rc::new(Worker {
            index: self.index,
            config: self.config,
            random: Cell::new(
                self.shared.seed[0] ^ (u64::try_from(self.index).unwrap_or(0) << 32) | 1,
            ),
            shared: self.shared,
            metrics: self.metrics,
            buffers: Buffers::default(),
            interner: RefCell::default(),
            settings: KnownSettings::default(),
            reports: KnownReports::default(),
            cancelled: Notify::new(),
            live: Watched::new(self.live),
            stage: self.stage.clone(),
            clusters: RefCell::default(),
            databases: RefCell::default(),
            pools: RefCell::default(),
            lines: Lines::default(),
            peers: RefCell::default(),
            sessions: Cell::new(0),
            servers: Cell::new(NonZeroU64::MIN),
            started: now(),
            second: Cell::default(),
        });
        let inbox = Inbox { mails: self.mailbox, inquiries: self.inquiries };
        // A task of its own: what the runtime waits for itself is polled whenever any session is woken.
        let running = tokio::task::spawn_local(worker.run(listener, inbox, self.stage));
        running.await.map_err(std::io::Error::other)
    }
}

impl Worker {
    async fn run(
        self: Rc<Self>,
        listener: TcpListener,
        mut inbox: Inbox,
        mut stage: watch::Receiver<Stage>,
    ) {
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut walk = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
        while !self.closing() {
            tokio::select! {
                accepted = listener.accept() => if let Err(error) = self.accepted(accepted) {
                    // Out of file descriptors, most likely: those that are served go on.
                    tracing::warn!(%error, "a client could not be accepted; raise the limit of open files");
                    tokio::time::sleep(BREATH).await;
                },
                Some(mail) = inbox.mails.recv() => self.read_mail(mail),
                Some(inquiry) = inbox.inquiries.recv() => self.answer(inquiry),
                _ = sweep.tick() => self.sweep(),
                () = &mut walk => {
                    let walked = now();
                    let pause = timers::walk(&self, walked);
                    let next = walked.checked_add(pause).unwrap_or(walked);
                    walk.as_mut().reset(next.into());
                }
                changed = stage.changed() => if changed.is_err() { break },
            }
        }
        drop(listener);
        self.close(inbox, stage).await;
    }

    /// Waits until every session has ended; the thread's end ends the rest.
    async fn close(self: Rc<Self>, mut inbox: Inbox, mut stage: watch::Receiver<Stage>) {
        self.wake_all();
        let mut patience = tokio::time::interval(Duration::from_millis(20));
        while !self.peers.borrow().is_empty() {
            tokio::select! {
                Some(mail) = inbox.mails.recv() => self.read_mail(mail),
                Some(inquiry) = inbox.inquiries.recv() => self.answer(inquiry),
                _ = patience.tick() => {}
                changed = stage.changed() => {
                    self.wake_all();
                    if changed.is_err() { break }
                }
            }
        }
    }

    fn accepted(
        self: &Rc<Self>,
        accepted: std::io::Result<(TcpStream, std::net::SocketAddr)>,
    ) -> std::io::Result<()> {
        let (tcp, from) = accepted?;
        if crate::server::prepare(&tcp).is_ok() {
            tokio::task::spawn_local(Handshake::new(Rc::clone(self), tcp, from).run(None));
        }
        Ok(())
    }

    fn read_mail(self: &Rc<Self>, mail: Mail) {
        match mail {
            Mail::Free(count) => self.lines.free(&count),
            Mail::Yield(count) => {
                let pools = self.counted(&count);
                let spare = |pool: &Rc<Pool>| Some((pool.spare_since(self)?, Rc::clone(pool)));
                let unused = pools.iter().filter_map(spare).min_by_key(|(since, _)| *since);
                if let Some((_, pool)) = unused {
                    pool.yield_one();
                }
            }
            Mail::Cancel(key) => self.cancel(key),
            Mail::Login(moved) => {
                let Moved { tcp, from, startup } = *moved;
                if let Ok(tcp) = TcpStream::from_std(tcp) {
                    tokio::task::spawn_local(
                        Handshake::new(Rc::clone(self), tcp, from).run(Some(startup)),
                    );
                }
            }
        }
    }

    /// This worker's pools whose servers count there.
    fn counted(&self, count: &Count) -> Vec<Rc<Pool>> {
        self.pools.borrow().values().flat_map(|pools| pools.counted(count)).collect()
    }

    /// Closes idle servers whose time has come, and forgets users, databases and buffers that nobody
    /// uses.
    fn sweep(self: &Rc<Self>) {
        self.count_seconds();
        self.buffers.trim();
        let mut all = self.pools.borrow_mut();
        all.values().for_each(|pools| pools.sweep(self));
        all.retain(|_, pools| Rc::strong_count(pools) > 1 || !pools.is_empty());
        let in_use: HashSet<&str> = all.keys().map(|(_, database)| &**database).collect();
        self.databases
            .borrow_mut()
            .retain(|name, database| Rc::strong_count(database) > 1 || in_use.contains(&**name));
    }

    fn wake_all(&self) {
        self.peers.borrow().all().for_each(|peer| peer.wake());
    }

    /// The newest settings.
    pub(crate) fn live(&self) -> Snapshot<Live> {
        self.live.newest()
    }

    /// Whether sessions between transactions must go.
    pub(crate) fn closing(&self) -> bool {
        self.has_reached(Stage::Closing)
    }

    /// Whether a shutdown has come this far.
    pub(crate) fn has_reached(&self, stage: Stage) -> bool {
        *self.stage.borrow() >= stage
    }

    /// A number that is as good as random for balancing (xorshift64).
    pub(crate) fn draw(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        x
    }

    /// The next session's number, which no other session of any worker has or had.
    pub(crate) fn next_session(&self) -> SessionNumber {
        let count = self.sessions.get();
        self.sessions.set(count.saturating_add(1));
        let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let first = wide(self.index).saturating_add(1);
        SessionNumber(count.saturating_mul(wide(self.shared.workers)).saturating_add(first))
    }

    /// The next server's number.
    pub(crate) fn next_server(&self) -> ServerNumber {
        self.servers.set(self.servers.get().saturating_add(1));
        ServerNumber(self.servers.get())
    }

    /// A process ID for a client: never zero, and no two living clients of a worker share one.
    pub(crate) fn next_pid(&self) -> i32 {
        let worker = i32::try_from(self.index).unwrap_or(0) << PID_BITS;
        let peers = self.peers.borrow();
        loop {
            self.random.set(self.draw());
            let low = i32::try_from(self.draw() >> (64 - PID_BITS)).unwrap_or(1);
            let pid = worker | low;
            if low != 0 && peers.get(pid).is_none() {
                return pid;
            }
        }
    }

    /// The sessions.
    pub(crate) fn peers(&self) -> &RefCell<Peers> {
        &self.peers
    }

    /// Makes a session known, so that it can be cancelled and woken.
    pub(crate) fn enter(&self, peer: &Rc<Peer>) {
        self.peers.borrow_mut().insert(peer);
    }

    /// Forgets a session.
    pub(crate) fn leave(&self, peer: &Peer) {
        self.peers.borrow_mut().remove(peer.pid());
    }

    /// Cancels what the session of this key runs, wherever that is.
    ///
    /// A key that fits nobody is ignored, as by the server: whoever guesses learns nothing.
    pub(crate) fn cancel(self: &Rc<Self>, key: CancelKey) {
        let home = usize::try_from(key.pid >> PID_BITS).unwrap_or(usize::MAX);
        if home != self.index {
            self.shared.registry.mail(home, Mail::Cancel(key));
            return;
        }
        let running = {
            let peers = self.peers.borrow();
            let peer = peers.get(key.pid).filter(|peer| peer.knows(&key.secret));
            let Some(peer) = peer else { return };
            if peer.timer.phase() == Phase::Waiting {
                peer.judge(Verdict::Cancelled);
            }
            peer.running()
        };
        if let Some(running) = running {
            tokio::task::spawn_local(running.cancel(Rc::clone(self)));
        }
    }

    /// Tells control that a node's connection could not be made or was lost.
    pub(crate) fn lost(&self, cluster: &str, node: NodeId) {
        if let Some(view) = self.clusters.borrow().get(cluster) {
            view.lost(node);
        }
    }

    /// The worker on which a database's clients live: with fewer servers than workers, one of them
    /// alone, or the servers would be handed to and fro.
    pub(crate) fn home(&self, user: &str, database: &str) -> usize {
        let workers = self.shared.workers;
        let size = self.live().sizes(user, database).pool;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size >= workers {
            return self.index;
        }
        let mut hash = self.shared.seed[1];
        for byte in user.bytes().chain([0]).chain(database.bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        usize::try_from(hash >> 33).unwrap_or(0).checked_rem(workers).unwrap_or(0)
    }

    /// A database and the pools of one user in it.
    pub(crate) fn database(
        self: &Rc<Self>,
        user: &str,
        name: &str,
    ) -> Result<(Rc<Database>, Rc<Pools>), Refused> {
        let live = self.live();
        let Some(rules) = live.database(name) else {
            return Err(Cause::NoDatabase { name: name.to_owned() }.into());
        };
        let cluster = self.cluster(&live, &rules.cluster)?;
        let mut databases = self.databases.borrow_mut();
        let database = databases
            .get(name)
            .filter(|known| known.still(rules, &cluster))
            .cloned()
            .unwrap_or_else(|| {
                Rc::new(Database::new(name, rules, Rc::clone(&cluster), &self.shared))
            });
        databases.insert(name.into(), Rc::clone(&database));
        let mut all = self.pools.borrow_mut();
        let key = (Box::from(user), Box::from(name));
        let password = live.auth.users.get(user).map(|rules| Rc::from(rules.password.as_str()));
        let identity =
            Identity { user: user.into(), database: Rc::clone(&database.dbname), password };
        let pools = all.get(&key).filter(|pools| pools.still(&identity, &cluster)).cloned();
        let pools = pools.unwrap_or_else(|| {
            Rc::new(Pools::new(identity, cluster, (Arc::from(user), Arc::clone(&database.name))))
        });
        all.insert(key, Rc::clone(&pools));
        Ok((database, pools))
    }

    /// This worker's view of a cluster.
    pub(crate) fn cluster(
        self: &Rc<Self>,
        live: &Live,
        name: &str,
    ) -> Result<Rc<ClusterView>, Refused> {
        let mut clusters = self.clusters.borrow_mut();
        if let Some(view) = clusters.get(name) {
            return Ok(Rc::clone(view));
        }
        let Some(link) = live.clusters.get(name) else {
            return Err(Cause::NoCluster { name: name.to_owned() }.into());
        };
        let view = ClusterView::new(name, link);
        clusters.insert(name.to_owned(), Rc::clone(&view));
        tokio::task::spawn_local(
            Rc::clone(self).follow(view.topology.receiver(), Rc::clone(&view)),
        );
        Ok(view)
    }

    /// Has clients decide anew who stand in line for a node that a change of topology took away.
    async fn follow(self: Rc<Self>, mut topology: Changes, view: Rc<ClusterView>) {
        while topology.changed().await.is_ok() {
            self.lines.dissolve(&view.name, &view.topology.newest());
        }
    }
}

/// Now, by a clock that tests can pause.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
