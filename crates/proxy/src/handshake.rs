//! From an accepted connection to a session: TLS, startup packet, authentication, greeting.

mod authenticate;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use policy::prepared::ClientStatements;
use policy::reports::Reports;
use policy::settings::Settings;
use policy::{Fence, Reason, Role, Token};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use wire::{StartupError, StartupMessage, StartupPacket, TxStatus};

use crate::admission::Admission;
use crate::buffer::{Buffer, Outbox};
use crate::config::ClientTls;
use crate::database::Database;
use crate::error::Cause;
use crate::metrics::Side;
use crate::pool::AcquireError;
use crate::pools::Pools;
use crate::replication;
use crate::server::ConnectError;
use crate::session::{Changed, LastRoute, Session};
use crate::shown::{Login, Shown};
use crate::stream::Stream;
use crate::worker::Worker;

/// The largest startup packet, as in the server.
const MAX_STARTUP: usize = 10_000;
/// The newest minor protocol version that Weir speaks with clients.
const NEWEST_MINOR: u16 = 2;

/// Names and values of `weir.*` settings.
type Wishes = Vec<(String, String)>;

/// A client on its way to the worker that its database lives on.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) tcp: std::net::TcpStream,
    pub(crate) from: SocketAddr,
    pub(crate) startup: StartupMessage,
}

/// Why a login came to nothing.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The client is gone, or was served without a session (cancel, move).
    Silently,
    /// The client must be told.
    Told(Cause),
    /// A server refused: its own words, byte for byte.
    Passed(Vec<u8>),
}

impl From<Cause> for Refused {
    fn from(cause: Cause) -> Self {
        Self::Told(cause)
    }
}

impl From<std::io::Error> for Refused {
    fn from(_: std::io::Error) -> Self {
        Self::Silently
    }
}

/// One connection that is not a session yet.
pub(crate) struct Handshake {
    worker: Rc<Worker>,
    stream: Stream,
    from: SocketAddr,
    inbox: Vec<u8>,
}

impl Handshake {
    pub(crate) fn new(worker: Rc<Worker>, tcp: TcpStream, from: SocketAddr) -> Self {
        Self { worker, stream: Stream::Plain(tcp), from, inbox: Vec::new() }
    }

    /// Serves the connection: login, then the session until it ends.
    pub(crate) async fn run(mut self, moved: Option<StartupMessage>) {
        let limit = self.worker.live().pool.client_login_timeout;
        let login = self.login(moved);
        let login = if limit.is_zero() {
            login.await
        } else {
            tokio::time::timeout(limit, login)
                .await
                .unwrap_or(Err(Refused::Told(Cause::LoginTimeout)))
        };
        match login {
            Ok((startup, admission)) => self.serve(startup, admission).await,
            Err(refused) => self.refuse(refused).await,
        }
    }

    async fn refuse(mut self, refused: Refused) {
        let mut out = Vec::new();
        match refused {
            Refused::Silently => return,
            Refused::Told(cause) => {
                tracing::info!(client = %self.from, %cause, "login refused");
                let _told = cause.put_to_stranger(&mut out);
            }
            Refused::Passed(message) => out = message,
        }
        self.worker.metrics.logins_refused.inc();
        let told = self.stream.write_all(&out);
        drop(tokio::time::timeout(std::time::Duration::from_secs(5), told).await);
        self.stream.close().await;
    }

    /// Everything up to a proven identity.
    async fn login(
        &mut self,
        moved: Option<StartupMessage>,
    ) -> Result<(StartupMessage, Admission), Refused> {
        let startup = match moved {
            Some(startup) => startup,
            None => self.startup().await?,
        };
        if self.worker.closing() {
            return Err(Cause::Shutdown.into());
        }
        let mut admission = Admission::new(&self.worker)?;
        self.negotiate(&startup).await?;
        self.authenticate(&startup).await?;
        admission.take_places(&self.worker, startup.user(), startup.database())?;
        Ok((startup, admission))
    }

    async fn more(&mut self) -> Result<(), Refused> {
        let mut chunk = [0_u8; 1024];
        let count = std::future::poll_fn(|cx| self.stream.poll_read(cx, &mut chunk)).await?;
        if count == 0 {
            return Err(Refused::Silently);
        }
        self.inbox.extend_from_slice(chunk.get(..count).unwrap_or_default());
        Ok(())
    }

    async fn startup(&mut self) -> Result<StartupMessage, Refused> {
        loop {
            let (packet, length) = match wire::next_startup(&self.inbox, MAX_STARTUP) {
                Ok(Some(found)) => found,
                Ok(None) => {
                    self.more().await?;
                    continue;
                }
                Err(error) => return Err(stranger(&error)),
            };
            self.inbox.drain(..length);
            match packet {
                StartupPacket::Ssl => self.tls().await?,
                StartupPacket::GssEnc => self.stream.write_all(b"N").await?,
                StartupPacket::Cancel(key) => {
                    self.worker.cancel(key);
                    return Err(Refused::Silently);
                }
                StartupPacket::Start(startup) => return self.started(startup),
            }
        }
    }

    /// Hands the client to the worker on which its database lives, if that is another one.
    fn started(&mut self, startup: StartupMessage) -> Result<StartupMessage, Refused> {
        if self.worker.live().client_tls == ClientTls::Require && !self.stream.is_tls() {
            return Err(Cause::TlsRequired.into());
        }
        let home = self.worker.home(startup.user(), startup.database());
        // A TLS session's state can't be moved; its servers' permits can.
        let Stream::Plain(tcp) = &self.stream else { return Ok(startup) };
        if home == self.worker.index {
            return Ok(startup);
        }
        let tcp = socket2::SockRef::from(tcp).try_clone()?.into();
        let moved = Moved { tcp, from: self.from, startup };
        self.worker.shared.registry.mail(home, crate::permits::Mail::Login(Box::new(moved)));
        Err(Refused::Silently)
    }

    async fn tls(&mut self) -> Result<(), Refused> {
        let config = match self.worker.live().client_tls {
            ClientTls::Disable => None,
            ClientTls::Prefer | ClientTls::Require => self.worker.config.client_tls.clone(),
        };
        let Some(config) = config.filter(|_| !self.stream.is_tls()) else {
            self.stream.write_all(b"N").await?;
            return Ok(());
        };
        // What was sent before the answer was sent by somebody else (CVE-2021-23214).
        if !self.inbox.is_empty() {
            return Err(Cause::Protocol("unencrypted bytes behind SSLRequest".into()).into());
        }
        self.stream.write_all(b"S").await?;
        let Stream::Plain(tcp) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            return Err(Refused::Silently);
        };
        let tls = TlsAcceptor::from(config).accept(tcp).await?;
        self.stream = Stream::Tls(Box::new(tls.into()));
        Ok(())
    }

    async fn negotiate(&mut self, startup: &StartupMessage) -> Result<(), Refused> {
        let unknown: Vec<_> = startup.protocol_options().collect();
        if startup.minor > NEWEST_MINOR || !unknown.is_empty() {
            let mut out = Vec::new();
            wire::put_negotiate(&mut out, u32::from(startup.minor.min(NEWEST_MINOR)), &unknown);
            self.stream.write_all(&out).await?;
        }
        Ok(())
    }

    /// Greets the client, and serves its session in a task of its own: an idle client must not pay
    /// for the memory that its login took.
    async fn serve(self, startup: StartupMessage, admission: Admission) {
        let worker = Rc::clone(&self.worker);
        worker.enter(&admission.peer);
        if replication::is_asked_for(&startup) {
            return Box::pin(self.replicate(&startup, admission)).await;
        }
        match self.session(startup, &admission).await {
            Ok(session) => {
                let session = Box::new(session);
                tokio::task::spawn_local(async move {
                    worker.metrics.logins.inc();
                    worker.metrics.clients.inc();
                    session.run().await;
                    worker.metrics.clients.dec();
                    admission.peer.gone(&worker.metrics);
                    worker.leave(&admission.peer);
                });
            }
            Err((handshake, refused)) => {
                worker.leave(&admission.peer);
                handshake.refuse(refused).await;
            }
        }
    }

    /// Opens a server for a replication connection, greets the client, and joins them.
    async fn replicate(mut self, startup: &StartupMessage, admission: Admission) {
        let worker = Rc::clone(&self.worker);
        let opened = match replication::Opened::of(&worker, startup).await {
            Ok(opened) => opened,
            Err(refused) => {
                worker.leave(&admission.peer);
                return self.refuse(refused).await;
            }
        };
        let greeting = opened.greeting(&admission, startup.minor);
        if self.stream.write_all(&greeting).await.is_ok() {
            worker.metrics.logins.inc();
            worker.metrics.clients.inc();
            opened.with(&worker, &admission.peer, self.stream, &self.inbox).run().await;
            worker.metrics.clients.dec();
        }
        worker.leave(&admission.peer);
    }

    async fn session(
        mut self,
        startup: StartupMessage,
        admission: &Admission,
    ) -> Result<Session, (Self, Refused)> {
        match self.open(&startup, admission).await {
            Ok(parts) => Ok(parts.into_session(self, admission)),
            Err(refused) => Err((self, refused)),
        }
    }

    /// Finds database, pools and settings, and writes the greeting.
    async fn open(
        &mut self,
        startup: &StartupMessage,
        admission: &Admission,
    ) -> Result<Opened, Refused> {
        let (database, pools) = self.worker.database(startup.user(), startup.database())?;
        let (settings, wishes) = self.settings(startup)?;
        let reads = match self.worker.live().reads(startup.user(), &database.reads) {
            Cow::Borrowed(_) => Rc::clone(&database.reads),
            Cow::Owned(own) => Rc::new(own),
        };
        let mut meaning = policy::session::Session::new(reads, Rc::clone(&settings));
        for (name, value) in wishes {
            let name = name.trim_start_matches("weir.");
            if name == "min_lsn" {
                meaning.raise_floor(self.token(&value, &database).await?);
                continue;
            }
            meaning
                .set(name, Some(&value), sql::SetScope::Session)
                .map_err(|error| Cause::bad_setting(name, error))?;
        }
        meaning.started();
        let reports = self.greeting(&database, &pools, &settings).await?;
        let mut out = Vec::with_capacity(512);
        wire::put_auth_ok(&mut out);
        crate::greeting::put(&mut out, &reports);
        wire::put_backend_key(&mut out, &admission.peer.key_for(startup.minor));
        wire::put_ready(&mut out, TxStatus::Idle);
        self.stream.write_all(&out).await?;
        let scope_of = startup.user().into();
        Ok(Opened { database, pools, reports, meaning, scope_of })
    }

    /// What a token in the startup options asks of every read.
    async fn token(&self, text: &str, database: &Database) -> Result<Fence, Cause> {
        let token: Token = text.parse().map_err(|error| Cause::bad_setting("min_lsn", error))?;
        let verdict = crate::token::judge(token, &database.cluster, &self.worker).await;
        match verdict.refusal() {
            Some(problem) => Err(Cause::bad_setting("min_lsn", problem)),
            None => Ok(token.fence),
        }
    }

    /// The startup settings: those for servers, and the `weir.*` ones.
    fn settings(&self, startup: &StartupMessage) -> Result<(Rc<Settings>, Wishes), Refused> {
        let mut all: Vec<(String, String)> = Vec::new();
        let mut set = |name: String, value: String| {
            all.retain(|(known, _)| *known != name);
            all.push((name, value));
        };
        if let Some(options) = startup.get("options") {
            for (name, value) in wire::parse_options(options).map_err(protocol)? {
                set(name.to_ascii_lowercase(), value);
            }
        }
        for (name, value) in &startup.params {
            let reserved = matches!(name.as_str(), "user" | "database" | "options" | "replication");
            if !reserved && !name.starts_with("_pq_.") {
                set(name.to_ascii_lowercase(), value.clone());
            }
        }
        let (own, servers): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(name, _)| name.starts_with("weir."));
        let pairs = servers.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Ok((self.worker.settings.intern(pairs), own))
    }

    /// What servers report to a session of these settings.
    async fn greeting(
        &self,
        database: &Database,
        pools: &Pools,
        settings: &Rc<Settings>,
    ) -> Result<Rc<Reports>, Refused> {
        if let Some(reports) = pools.greeting(settings) {
            return Ok(reports);
        }
        let topology = database.cluster.topology.newest();
        let up = |role| {
            topology
                .nodes
                .iter()
                .find(move |node| node.role == role && node.health == policy::Health::Up)
        };
        let mut node = topology.primary().or_else(|| up(Role::Replica)).cloned();
        let mut changes = database.cluster.topology.receiver();
        let hold = self.worker.live().pool.failover_hold;
        let appears = async {
            while node.is_none() && changes.changed().await.is_ok() {
                node = changes.borrow_and_update().primary().cloned();
            }
        };
        if tokio::time::timeout(hold, appears).await.is_err() {
            return Err(Cause::NoPrimary { waited: hold }.into());
        }
        let Some(node) = node else { return Err(Refused::Silently) };
        let address = pools.address(&node, database.cluster.topology.newest().epoch);
        let pool = pools.of(node.id, &self.worker.shared.registry);
        let mut lease = pool.acquire(&self.worker, &address).await.map_err(passed)?;
        crate::greeting::bring(lease.server(), settings, &self.worker)
            .await
            .map_err(Refused::Passed)?;
        let reports = Rc::clone(&lease.server().reports);
        lease.give_back();
        pools.greets(settings, &reports);
        Ok(reports)
    }
}

/// A login's result, before it is a session.
struct Opened {
    database: Rc<Database>,
    pools: Rc<Pools>,
    reports: Rc<Reports>,
    meaning: policy::session::Session,
    scope_of: Arc<str>,
}

impl Opened {
    fn into_session(self, handshake: Handshake, admission: &Admission) -> Session {
        let worker = handshake.worker;
        let who = (handshake.from.ip(), &self.scope_of, &self.database.name);
        let scope =
            worker.shared.scopes.of(self.meaning.wishes().scope, &self.database.cluster.name, who);
        let number = worker.next_session();
        let login = Login {
            number,
            client: handshake.from,
            transport: handshake.stream.transport(),
            mode: self.database.mode(),
            pools: Rc::clone(&self.pools),
            at: worker.second(),
        };
        let route = LastRoute { side: Side::Weir, node: None, reason: Reason::Local };
        admission.peer.shows(Shown::new(login, Rc::clone(self.meaning.settings()), route));
        let mut inbound = Buffer::default();
        // A client may have pipelined its first cycle behind its password.
        inbound.put(&worker.buffers, &handshake.inbox);
        Session {
            stream: handshake.stream,
            inbound,
            outbound: Outbox::default(),
            peer: Rc::clone(&admission.peer),
            number,
            schema_seen: self.database.schema.newest(),
            database: self.database,
            meaning: self.meaning,
            statements: ClientStatements::default(),
            scope,
            greeted: Rc::clone(&self.reports),
            told: self.reports,
            drawn_on: None,
            lease: None,
            begin: None,
            status: TxStatus::Idle,
            group: crate::group::Group::default(),
            changed: Changed::default(),
            said: None,
            noticed: crate::noticed::Noticed::default(),
            skipping: false,
            held: 0,
            discard: 0,
            pools: self.pools,
            worker,
        }
    }
}

fn protocol(problem: impl std::fmt::Display) -> Refused {
    Refused::Told(Cause::Protocol(problem.to_string()))
}

/// What a login is told whose server could not be had: the server's own words, if it said any.
pub(crate) fn passed(error: AcquireError) -> Refused {
    if let AcquireError::Connect { error: ConnectError::Refused { message, .. }, .. } = error {
        return Refused::Passed(message);
    }
    Refused::Told(error.cause())
}

fn stranger(error: &StartupError) -> Refused {
    if matches!(error, StartupError::UnsupportedVersion { .. }) {
        return Cause::Unsupported("this protocol version").into();
    }
    Cause::NotPostgres(error.to_string()).into()
}
