//! Connections through Weir, and the pool that an app keeps of them.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::time::Instant;
use tokio_postgres::{Client, Config, NoTls, Statement};
use weir_bench::weir::USER;

use crate::plan::Policy;
use crate::random::Random;

/// A row of one's own and one of somebody else's, and which server says so.
const READ: &str = "SELECT id, value, node() FROM offload WHERE id IN ($1, $2)";
const WRITE: &str = "UPDATE offload SET value = $2 WHERE id = $1";

/// One connection and what is prepared on it.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) client: Client,
    pub(crate) write: Statement,
    read: Statement,
    /// The same with a hint that names the primary.
    pinned: Statement,
    policy: Policy,
    /// When a write on this connection last ended.
    pub(crate) written: Option<Instant>,
}

impl Line {
    /// Connects from `own` address, with the wishes in `options`.
    ///
    /// # Errors
    ///
    /// The network's or Weir's words.
    pub(crate) async fn open(
        (own, port): (Ipv4Addr, u16),
        (policy, options): (Policy, &str),
    ) -> Result<Self, Box<dyn Error>> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((own, 0)))?;
        let stream = socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        stream.set_nodelay(true)?;
        let mut config = Config::new();
        config.user(USER).dbname(USER);
        config.options(options);
        let (client, connection) = config.connect_raw(stream, NoTls).await?;
        // Its error reaches the client's calls; the task ends with the client.
        drop(tokio::spawn(connection));
        let read = client.prepare(READ).await?;
        let pinned = client.prepare(&format!("/* weir: route=primary */ {READ}")).await?;
        let write = client.prepare(WRITE).await?;
        Ok(Self { client, write, read, pinned, policy, written: None })
    }

    /// Which node serves a read.
    ///
    /// # Errors
    ///
    /// Weir's or the server's words.
    pub(crate) async fn node(&self) -> Result<String, tokio_postgres::Error> {
        self.client.query_one(&self.read, &[&0, &0]).await?.try_get(2)
    }

    /// The statement that reads now, as the policy has it.
    pub(crate) fn reading(&self, now: Instant) -> &Statement {
        let held = |written: Instant| now.saturating_duration_since(written) < Policy::PIN;
        let pinned = self.policy == Policy::Pin && self.written.is_some_and(held);
        if pinned { &self.pinned } else { &self.read }
    }
}

/// The connections of one scope: an app's, or the only one of a user.
#[derive(Debug)]
pub(crate) struct Pool {
    free: Mutex<Vec<Line>>,
    /// When a write on any of them last ended.
    written: Mutex<Option<Instant>>,
}

impl Pool {
    pub(crate) fn new(lines: Vec<Line>) -> Self {
        Self { free: Mutex::new(lines), written: Mutex::new(None) }
    }

    /// Takes any of the free connections; there are enough for all users.
    ///
    /// # Errors
    ///
    /// There are not.
    pub(crate) fn take(&self, random: &mut Random) -> Result<Line, &'static str> {
        let mut free = own(&self.free);
        let at = random.below(free.len());
        if at < free.len() { Ok(free.swap_remove(at)) } else { Err("the pool is empty") }
    }

    pub(crate) fn give_back(&self, line: Line) {
        own(&self.free).push(line);
    }

    /// Notes that a write ended.
    pub(crate) fn wrote(&self, now: Instant) {
        *own(&self.written) = Some(now);
    }

    /// For how long nobody in this scope has written.
    pub(crate) fn quiet_for(&self, now: Instant) -> Option<Duration> {
        own(&self.written).map(|written| now.saturating_duration_since(written))
    }
}

/// Nothing is left half done where these locks are held.
fn own<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
