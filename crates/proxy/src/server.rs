//! One server: a connection to PostgreSQL that Weir logged in to.
//!
//! Knows how to connect and log in. Who may use it when is the pool's business; what flows through
//! it is the relay's.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use policy::prepared::ServerStatements;
use policy::replies::Replies;
use policy::reports::Reports;
use policy::session::CommitDefault;
use policy::settings::Settings;
use policy::{Epoch, Gate, Health, NodeId, NodeView, Role, Topology};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use wire::{ReplyScanner, SqlState, tag};

use crate::buffer::{Buffer, Buffers, CHUNK, Outbox};
use crate::config::ServerTls;
use crate::greeting;
use crate::login::{LoggedIn, Login};
use crate::peer::Running;
use crate::stream::Stream;
use crate::worker::{Worker, now};

/// Where a node is, and what it was when we connected.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) node: NodeId,
    pub(crate) name: Rc<str>,
    pub(crate) host: Rc<str>,
    pub(crate) port: u16,
    pub(crate) role: Role,
    pub(crate) epoch: Epoch,
}

impl Address {
    /// Whether this is still where and what the node is.
    pub(crate) fn is_of(&self, node: &NodeView, epoch: Epoch) -> bool {
        (self.role, self.epoch, self.port) == (node.role, epoch, node.port)
            && *self.host == *node.host
    }

    /// The address of a node as the topology shows it now.
    pub(crate) fn of(node: &NodeView, epoch: Epoch) -> Self {
        Self {
            node: node.id,
            name: Rc::from(&*node.name),
            host: Rc::from(&*node.host),
            port: node.port,
            role: node.role,
            epoch,
        }
    }

    /// Whether it is worth waiting for a server of this node, as what it was.
    pub(crate) fn serves_in(&self, topology: &Topology) -> bool {
        let here = |node: &&NodeView| self.is_of(node, topology.epoch);
        let Some(node) = topology.node(self.node).filter(here) else { return false };
        match self.role {
            Role::Primary => topology.primary().is_some_and(|primary| primary.id == self.node),
            Role::Replica | Role::Unknown => node.gate == Gate::Open && node.health != Health::Down,
        }
    }

    /// Whether a server opened under `self` may serve what now needs `other`.
    ///
    /// A primary's servers are worth nothing after a failover; a replica's outlive one.
    pub(crate) fn still_good_for(&self, other: &Self) -> bool {
        self.role == other.role && (self.role != Role::Primary || self.epoch == other.epoch)
    }
}

/// As whom, and to which database, a server is opened.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) user: Rc<str>,
    pub(crate) database: Rc<str>,
    pub(crate) password: Option<Rc<str>>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.user, self.database)
    }
}

/// Why a server could not be opened.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// The network, or the time limit.
    Io(io::Error),
    /// PostgreSQL refused: its ErrorResponse, byte for byte, and the parts that we need.
    Refused { message: Vec<u8>, code: SqlState, text: String },
    /// The server speaks what we do not.
    Protocol(&'static str),
}

impl ConnectError {
    /// Whether the node itself is in doubt, rather than the user or the database.
    pub(crate) fn blames_node(&self) -> bool {
        match self {
            Self::Io(_) | Self::Protocol(_) => true,
            Self::Refused { code, .. } => code.as_str().starts_with("57P"),
        }
    }
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Refused { text, .. } => f.write_str(text),
            Self::Protocol(problem) => f.write_str(problem),
        }
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Tells apart the sessions of all workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionNumber(pub(crate) u64);

/// Tells apart the servers of one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServerNumber(pub(crate) std::num::NonZeroU64);

/// Whose unnamed statement a server holds, and the how manieth.
pub(crate) type UnnamedOf = (SessionNumber, u64);

/// One logged-in server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) stream: Stream,
    pub(crate) address: Rc<Address>,
    /// How to cancel whatever runs on it, if it gave out a key.
    pub(crate) running: Option<Rc<Running>>,
    /// Bytes from the server.
    pub(crate) inbox: Buffer,
    pub(crate) scanner: ReplyScanner,
    /// The bytes that the scanner still passes of a message are not for the client.
    pub(crate) hides_rest: bool,
    /// Bytes to the server.
    pub(crate) outbox: Outbox,
    pub(crate) replies: Replies,
    pub(crate) statements: ServerStatements,
    pub(crate) unnamed: Option<UnnamedOf>,
    /// What it is set to; `None` if nobody knows.
    pub(crate) settings: Option<Rc<Settings>>,
    /// What it reported of itself so far.
    pub(crate) reports: Rc<Reports>,
    /// Which server of its worker it is.
    pub(crate) number: ServerNumber,
    /// Who has used it since it was idle.
    pub(crate) used_by: Option<SessionNumber>,
    /// Who may have drawn a sequence value on it last.
    pub(crate) drawn_by: Option<SessionNumber>,
    /// It must not serve another session: what is prepared on it is not known any more.
    pub(crate) spoiled: bool,
    /// Which logins it is of: see `Shared::logins`.
    logins: u32,
    /// How it commits as long as the configuration of the moment when it was opened holds.
    pub(crate) commits: CommitDefault,
    pub(crate) opened: Instant,
    pub(crate) idle_since: Instant,
}

impl Server {
    /// Connects and logs in.
    ///
    /// Cancel-safe: dropping the future closes the connection.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]; the caller tells its client, and control if the node is to blame.
    pub(crate) async fn connect(
        address: Rc<Address>,
        identity: &Identity,
        worker: &Worker,
    ) -> Result<Self, ConnectError> {
        let params = [("user", &*identity.user), ("database", &*identity.database)];
        let logged_in = log_in(&address, identity, &params, worker).await?;
        let mut server = Self::new(address, logged_in, worker);
        if server.address.role == Role::Primary {
            if server.reports.value(b"in_hot_standby") == Some(b"on") {
                // What is read there as on the primary would be stale, and nothing would say so.
                return Err(ConnectError::Protocol("the node is a standby by now"));
            }
            server.learn_commits(worker).await?;
        }
        Ok(server)
    }

    /// Asks how the server's sessions commit: a role or database may have a default of its own.
    async fn learn_commits(&mut self, worker: &Worker) -> Result<(), ConnectError> {
        let asked = greeting::ask(self, "SHOW synchronous_commit", worker).await;
        let value = asked.map_err(|_| io::Error::from(io::ErrorKind::ConnectionReset))?;
        self.commits = CommitDefault::of(&value.unwrap_or_default());
        Ok(())
    }

    fn new(address: Rc<Address>, logged_in: LoggedIn, worker: &Worker) -> Self {
        let now = now();
        let LoggedIn { stream, key, greeting } = logged_in;
        let reports = greeting.iter().fold(Rc::default(), |reports, (name, value)| {
            worker.reports.with(&reports, name.as_bytes(), value.as_bytes())
        });
        Self {
            stream,
            running: key.map(|key| Rc::new(Running::new(&address, key))),
            address,
            inbox: Buffer::default(),
            scanner: ReplyScanner::default(),
            hides_rest: false,
            outbox: Outbox::default(),
            replies: Replies::default(),
            statements: ServerStatements::default(),
            unnamed: None,
            settings: Some(worker.settings.none()),
            reports,
            number: worker.next_server(),
            used_by: None,
            drawn_by: None,
            spoiled: false,
            logins: worker.shared.logins.load(Ordering::Relaxed),
            commits: CommitDefault::Unknown,
            opened: now,
            idle_since: now,
        }
    }

    /// Whether a cancel request for it is under way: it may not change hands meanwhile.
    pub(crate) fn is_being_cancelled(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.requests() > 0)
    }

    /// Whether it must not serve another session: it is spoiled, or a cancel request may still arrive.
    pub(crate) fn is_doomed(&self) -> bool {
        self.spoiled || self.running.as_ref().is_some_and(|running| running.is_doomed())
    }

    /// Whether a login would still begin as this one did, and nothing arrived since the server was
    /// last used; else it must not be used again.
    ///
    /// Costs no system call unless something did arrive. A ParameterStatus or a notice at idle
    /// (a reloaded configuration) is taken note of; everything else, and the end of the
    /// stream, means that the server is gone.
    pub(crate) fn is_quiet(&mut self, worker: &Worker) -> bool {
        if self.logins != worker.shared.logins.load(Ordering::Relaxed) {
            return false;
        }
        let buffers = &worker.buffers;
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        loop {
            if self.stream.poll_readable(&mut cx).is_pending() {
                break;
            }
            let room = self.inbox.room(buffers, CHUNK);
            match self.stream.poll_read(&mut cx, room) {
                std::task::Poll::Pending => break,
                std::task::Poll::Ready(Ok(count)) if count > 0 => self.inbox.filled(count),
                std::task::Poll::Ready(_) => return false,
            }
        }
        while let Ok(Some((frame, _))) = wire::next_frame(self.inbox.unread(), CHUNK) {
            let length = frame.bytes.len();
            match (frame.tag, wire::parameter_status(frame.body)) {
                (tag::PARAMETER_STATUS, Ok((name, value))) => {
                    self.reports = worker.reports.with(&self.reports, name, value);
                }
                (tag::NOTICE, _) => {}
                _ => return false,
            }
            self.inbox.consume(length);
        }
        let quiet = self.inbox.is_empty();
        self.inbox.release(buffers);
        quiet
    }

    /// Gives buffers back and forgets what belonged to the last user only.
    pub(crate) fn rest(&mut self, buffers: &Buffers, now: Instant) {
        self.inbox.release(buffers);
        self.outbox.rest();
        self.idle_since = now;
        self.used_by = None;
    }
}

/// Connects and logs in with a startup packet of these parameters, within `server_connect_timeout`.
///
/// Cancel-safe: dropping the future closes the connection.
///
/// # Errors
///
/// [`ConnectError`]; the caller tells its client, and control if the node is to blame.
pub(crate) async fn log_in(
    address: &Address,
    identity: &Identity,
    params: &[(&str, &str)],
    worker: &Worker,
) -> Result<LoggedIn, ConnectError> {
    let live = worker.live();
    let limit = live.pool.server_connect_timeout;
    let login = async {
        let stream = open(&address.host, address.port, &live.server_tls).await?;
        Login::new(stream).run(identity, params).await
    };
    if limit.is_zero() {
        return login.await;
    }
    let timed_out = |_| Err(ConnectError::Io(io::ErrorKind::TimedOut.into()));
    tokio::time::timeout(limit, login).await.unwrap_or_else(timed_out)
}

pub(crate) async fn open(host: &str, port: u16, tls: &ServerTls) -> Result<Stream, ConnectError> {
    let mut tcp = TcpStream::connect((host, port)).await?;
    prepare(&tcp)?;
    let (connector, must) = match tls {
        ServerTls::Disable => return Ok(Stream::Plain(tcp)),
        ServerTls::Prefer(config) => (config, false),
        ServerTls::Require(config) | ServerTls::VerifyFull(config) => (config, true),
    };
    let mut request = Vec::with_capacity(8);
    wire::put_ssl_request(&mut request);
    let mut plain = Stream::Plain(tcp);
    plain.write_all(&request).await?;
    // Exactly one byte is read: whatever an attacker stuffed in behind it ends up in the TLS
    // handshake, which fails (CVE-2021-23222).
    let mut answer = [0_u8; 1];
    let count = std::future::poll_fn(|cx| plain.poll_read(cx, &mut answer)).await?;
    let Stream::Plain(back) = plain else {
        return Err(ConnectError::Protocol("TLS before it was asked for"));
    };
    tcp = back;
    match (count, answer) {
        (1, [b'S']) => {
            let name = ServerName::try_from(host.to_owned()).map_err(|_| {
                ConnectError::Protocol("the node's host is no valid TLS server name")
            })?;
            let tls = TlsConnector::from(Arc::clone(connector)).connect(name, tcp).await?;
            Ok(Stream::Tls(Box::new(tls.into())))
        }
        (1, [b'N']) if !must => Ok(Stream::Plain(tcp)),
        (1, [b'N']) => {
            Err(ConnectError::Protocol("the server has no TLS, and tls.server requires it"))
        }
        (0, _) => Err(ConnectError::Io(io::ErrorKind::UnexpectedEof.into())),
        _ => Err(ConnectError::Protocol("the answer to SSLRequest is neither S nor N")),
    }
}

/// Small writes go out at once, and a dead peer is noticed.
pub(crate) fn prepare(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let socket = socket2::SockRef::from(tcp);
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(5))
        .with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(Duration::from_secs(45)))
}
