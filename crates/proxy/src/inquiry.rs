//! What may the admin API ask the workers, and what do they answer?
//!
//! Workers share nothing, so each is asked by a mail of its own and answers for itself, between two
//! sessions' turns; the answers are joined here. Nothing waits on a cycle's path.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use policy::Reason;
use sql::{Class, Pin, Why};
use tokio::sync::{mpsc, oneshot};
use wire::SqlState;

use crate::config::PoolMode;

/// How long all workers together may take: they answer between two turns.
const PATIENCE: Duration = Duration::from_secs(2);

/// A question to one worker.
#[derive(Debug)]
pub enum Inquiry {
    /// Which sessions are there?
    Sessions(Arc<Filter>, oneshot::Sender<Sessions>),
    /// Which pools are there?
    Pools(oneshot::Sender<Vec<PoolView>>),
    /// Which statements are noted?
    Statements(oneshot::Sender<Vec<StatementView>>),
    /// End this session, and say whether there was one.
    End(u64, oneshot::Sender<bool>),
}

/// Which sessions are asked for; what is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The one with this id.
    pub id: Option<u64>,
    /// Those in this database, by the name that clients use.
    pub database: Option<String>,
    /// Those of this user.
    pub user: Option<String>,
    /// Those that are pinned, or those that are not.
    pub pinned: Option<bool>,
    /// Those that do this.
    pub state: Option<State>,
    /// How many at most are shown; the others are counted.
    pub limit: usize,
}

/// What a session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing: its client has not asked for anything.
    Idle,
    /// A cycle is under way.
    Active,
    /// Its client has a transaction open and is silent.
    IdleInTransaction,
    /// No server is free for its cycle, or one is being opened.
    WaitingForServer,
    /// No primary takes its write.
    WaitingForPrimary,
    /// No replica is fresh enough for its read.
    WaitingForReplica,
}

impl State {
    /// All states.
    pub const ALL: [Self; 6] = [
        Self::Idle,
        Self::Active,
        Self::IdleInTransaction,
        Self::WaitingForServer,
        Self::WaitingForPrimary,
        Self::WaitingForReplica,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Active => "active",
            Self::IdleInTransaction => "idle_in_transaction",
            Self::WaitingForServer => "waiting_for_server",
            Self::WaitingForPrimary => "waiting_for_primary",
            Self::WaitingForReplica => "waiting_for_replica",
        }
    }
}

/// Sessions, those first that have done what they do for longest.
#[derive(Debug, Clone, Default)]
pub struct Sessions {
    /// How many there are, shown or not.
    pub matched: usize,
    /// Those that are shown.
    pub shown: Vec<SessionView>,
}

/// One session. Durations are whole seconds, and up to one too long.
#[derive(Debug, Clone)]
pub struct SessionView {
    /// Unique over all workers as long as Weir runs; the log's `session`.
    pub id: u64,
    /// The process ID that the client was told.
    pub pid: i32,
    /// The user.
    pub user: Arc<str>,
    /// The database, by the name that clients use.
    pub database: Arc<str>,
    /// The cluster that serves it.
    pub cluster: Arc<str>,
    /// Where the client is.
    pub client: SocketAddr,
    /// How it reached us.
    pub transport: Transport,
    /// As it names itself, if it does.
    pub application_name: Option<Box<str>>,
    /// When its server goes back to the pool.
    pub mode: PoolMode,
    /// What it does.
    pub state: State,
    /// Since when.
    pub state_for: Duration,
    /// Since when its transaction is open, if one is.
    pub transaction_for: Option<Duration>,
    /// Since when it is logged in.
    pub connected_for: Duration,
    /// Why it keeps its server beyond a transaction.
    pub pin: Option<Pin>,
    /// The node of the server that it holds.
    pub node: Option<Box<str>>,
    /// Where its last cycle went that needed a server.
    pub route: Option<Route>,
}

/// What a client's connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Not encrypted.
    Plain,
    /// TLS.
    Tls,
}

/// Where a cycle went, and why.
#[derive(Debug, Clone)]
pub struct Route {
    /// `primary` or `replica`.
    pub target: &'static str,
    /// The node.
    pub node: Box<str>,
    /// Why.
    pub reason: Reason,
}

/// A pool: the servers of one user in one database on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolView {
    /// The cluster.
    pub cluster: Arc<str>,
    /// The database, by the name that clients use.
    pub database: Arc<str>,
    /// The user.
    pub user: Arc<str>,
    /// The node.
    pub node: Box<str>,
    /// Servers that a session holds.
    pub active: u32,
    /// Servers that nobody holds.
    pub idle: u32,
    /// Servers that are being opened.
    pub opening: u32,
    /// Clients in line.
    pub waiting: u32,
    /// How long the first in line has waited.
    pub longest_wait: Duration,
    /// How many servers there may be.
    pub limit: u32,
    /// How many more once a client has waited for `reserve_pool_timeout`.
    pub reserve: u32,
}

impl PoolView {
    /// Adds what another worker has of the same pool.
    fn add(&mut self, other: &Self) {
        self.active = self.active.saturating_add(other.active);
        self.idle = self.idle.saturating_add(other.idle);
        self.opening = self.opening.saturating_add(other.opening);
        self.waiting = self.waiting.saturating_add(other.waiting);
        self.longest_wait = self.longest_wait.max(other.longest_wait);
    }
}

/// A statement that goes to the primary though it may be a read, or that a replica refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementView {
    /// The cluster.
    pub cluster: Arc<str>,
    /// The database, by the name that clients use.
    pub database: Arc<str>,
    /// What texts that differ in literals alone have in common, as long as Weir runs.
    pub fingerprint: u128,
    /// The text, without literals.
    pub text: Box<str>,
    /// What it may do.
    pub class: Class,
    /// Why.
    pub why: Why,
    /// How often clients ran it since it was noted.
    pub runs: u64,
    /// What a replica taught of it.
    pub lesson: Option<Lesson>,
}

/// That a replica refused what was taken for a read, and the primary ran it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lesson {
    /// With what.
    pub code: SqlState,
    /// How often.
    pub times: u32,
    /// How much longer the statement goes to the primary for it.
    pub believed_for: Duration,
}

impl StatementView {
    /// Adds what another worker has noted of the same statement.
    fn add(&mut self, other: &Self) {
        self.runs = self.runs.saturating_add(other.runs);
        self.lesson = match (self.lesson, other.lesson) {
            (Some(one), Some(other)) => Some(Lesson {
                times: one.times.saturating_add(other.times),
                believed_for: one.believed_for.max(other.believed_for),
                ..one
            }),
            (one, other) => one.or(other),
        };
    }
}

/// A worker did not answer in time: it is busy, and what the others said is not the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silent {
    /// Which one, counted from 0.
    pub worker: usize,
}

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {} did not answer within {} s", self.worker, PATIENCE.as_secs())
    }
}

/// All workers, to be asked. One that has ended has nothing to tell.
#[derive(Debug, Clone)]
pub struct Workers(Arc<[mpsc::UnboundedSender<Inquiry>]>);

impl Workers {
    /// Workers that read these inboxes.
    #[must_use]
    pub fn new(inboxes: Vec<mpsc::UnboundedSender<Inquiry>>) -> Self {
        Self(inboxes.into())
    }

    /// The sessions that `filter` asks for.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`Silent`]: ask again.
    pub async fn sessions(&self, filter: Filter) -> Result<Sessions, Silent> {
        let limit = filter.limit;
        let filter = Arc::new(filter);
        let parts = self.ask(|reply| Inquiry::Sessions(Arc::clone(&filter), reply)).await?;
        let mut all = Sessions::default();
        for part in parts {
            all.matched = all.matched.saturating_add(part.matched);
            all.shown.extend(part.shown);
        }
        all.shown.sort_by_key(|session| (std::cmp::Reverse(session.state_for), session.id));
        all.shown.truncate(limit);
        Ok(all)
    }

    /// All pools, by name.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`Silent`]: ask again.
    pub async fn pools(&self) -> Result<Vec<PoolView>, Silent> {
        let parts = self.ask(Inquiry::Pools).await?;
        let mut all: BTreeMap<_, PoolView> = BTreeMap::new();
        for pool in parts.into_iter().flatten() {
            let PoolView { cluster, database, user, node, .. } = pool.clone();
            all.entry((cluster, database, user, node))
                .and_modify(|known| known.add(&pool))
                .or_insert(pool);
        }
        Ok(all.into_values().collect())
    }

    /// All statements that are noted, those first that are run most.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`Silent`]: ask again.
    pub async fn statements(&self) -> Result<Vec<StatementView>, Silent> {
        let parts = self.ask(Inquiry::Statements).await?;
        let mut all: BTreeMap<_, StatementView> = BTreeMap::new();
        for statement in parts.into_iter().flatten() {
            let StatementView { cluster, database, fingerprint, .. } = statement.clone();
            all.entry((cluster, database, fingerprint))
                .and_modify(|known| known.add(&statement))
                .or_insert(statement);
        }
        let mut all: Vec<_> = all.into_values().collect();
        all.sort_by_key(|statement| std::cmp::Reverse(statement.runs));
        Ok(all)
    }

    /// Ends a session, whatever it does; says whether there was one of this id.
    ///
    /// Cancel-safe, but the session ends all the same.
    ///
    /// # Errors
    ///
    /// [`Silent`]: it ends as soon as its worker reads its mail.
    pub async fn end(&self, id: u64) -> Result<bool, Silent> {
        let ended = self.ask(|reply| Inquiry::End(id, reply)).await?;
        Ok(ended.contains(&true))
    }

    async fn ask<T>(
        &self,
        question: impl Fn(oneshot::Sender<T>) -> Inquiry,
    ) -> Result<Vec<T>, Silent> {
        let ask = |inbox: &mpsc::UnboundedSender<Inquiry>| {
            let (reply, answer) = oneshot::channel();
            inbox.send(question(reply)).is_ok().then_some(answer)
        };
        let asked: Vec<_> = self.0.iter().map(ask).collect();
        let mut answers = Vec::with_capacity(asked.len());
        let mut patience = std::pin::pin!(tokio::time::sleep(PATIENCE));
        for (worker, answer) in asked.into_iter().enumerate() {
            let Some(answer) = answer else { continue };
            tokio::select! {
                biased;
                answer = answer => answers.extend(answer),
                () = &mut patience => return Err(Silent { worker }),
            }
        }
        Ok(answers)
    }
}
