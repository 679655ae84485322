//! One server: a connection to PostgreSQL that Weir logged in to.
//!
//! Knows how to connect and log in. Who may use it when is the pool's business; what flows through
//! it is the relay's.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use policy::prepared::ServerStatements;
use policy::replies::Replies;
use policy::{Epoch, NodeId, NodeView, Role};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use wire::{Authentication, ClientExchange, Credentials, Frame, ReplyScanner, SqlState, tag};

use crate::buffer::{Buffer, Buffers, CHUNK, Outbox};
use crate::config::ServerTls;
use crate::peer::Running;
use crate::settings::SettingsId;
use crate::stream::Stream;

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

/// Tells apart the sessions of one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionNumber(pub(crate) u64);

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
    /// Bytes to the server.
    pub(crate) outbox: Outbox,
    pub(crate) replies: Replies,
    pub(crate) statements: ServerStatements,
    pub(crate) unnamed: Option<UnnamedOf>,
    pub(crate) settings: SettingsId,
    pub(crate) opened: Instant,
    pub(crate) idle_since: Instant,
    /// What it said of itself at login.
    pub(crate) greeting: Rc<[(String, String)]>,
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
        tls: &ServerTls,
        limit: Duration,
    ) -> Result<Self, ConnectError> {
        let login = async {
            let stream = open(&address.host, address.port, tls).await?;
            Login { stream, inbox: Vec::new(), used: 0 }.run(address, identity).await
        };
        if limit.is_zero() {
            return login.await;
        }
        tokio::time::timeout(limit, login)
            .await
            .unwrap_or_else(|_| Err(ConnectError::Io(io::ErrorKind::TimedOut.into())))
    }

    /// Whether a cancel request for it is under way: it may not change hands meanwhile.
    pub(crate) fn is_being_cancelled(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.requests() > 0)
    }

    /// Whether nothing arrived since the server was last used; else it must not be used again.
    ///
    /// Costs no system call unless something did arrive. A ParameterStatus or a notice at idle
    /// (a reloaded configuration) is read and ignored; everything else, and the end of the
    /// stream, means that the server is gone.
    pub(crate) fn is_quiet(&mut self, buffers: &Buffers) -> bool {
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
            if !matches!(frame.tag, tag::PARAMETER_STATUS | tag::NOTICE) {
                return false;
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
        self.outbox.release();
        self.idle_since = now;
    }
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

/// A connection on which the server has not yet said `ReadyForQuery`.
struct Login {
    stream: Stream,
    inbox: Vec<u8>,
    used: usize,
}

/// The largest message that a server may send before it is ready, bytes.
const MAX_LOGIN_MESSAGE: usize = 64 * 1024;

impl Login {
    async fn run(
        mut self,
        address: Rc<Address>,
        identity: &Identity,
    ) -> Result<Server, ConnectError> {
        let mut out = Vec::with_capacity(64);
        wire::put_startup(
            &mut out,
            0,
            &[("user", &identity.user), ("database", &identity.database)],
        );
        self.stream.write_all(&out).await?;
        self.authenticate(identity).await?;
        let mut key = None;
        let mut greeting = Vec::new();
        loop {
            let (tag, body) = self.next().await?;
            match tag {
                tag::PARAMETER_STATUS => {
                    if let Ok((name, value)) = wire::parameter_status(&body) {
                        greeting.push((
                            String::from_utf8_lossy(name).into_owned(),
                            String::from_utf8_lossy(value).into_owned(),
                        ));
                    }
                }
                tag::BACKEND_KEY => key = wire::backend_key(&body).ok(),
                tag::READY => break,
                _ => {}
            }
        }
        let now = tokio::time::Instant::now().into_std();
        Ok(Server {
            stream: self.stream,
            running: key.map(|key| Rc::new(Running::new(&address, key))),
            address,
            inbox: Buffer::default(),
            scanner: ReplyScanner::default(),
            outbox: Outbox::default(),
            replies: Replies::default(),
            statements: ServerStatements::default(),
            unnamed: None,
            settings: SettingsId::default(),
            opened: now,
            idle_since: now,
            greeting: greeting.into(),
        })
    }

    /// The next message; errors of the server end the login.
    async fn next(&mut self) -> Result<(u8, Vec<u8>), ConnectError> {
        loop {
            let unread = self.inbox.get(self.used..).unwrap_or_default();
            let next = wire::next_frame(unread, MAX_LOGIN_MESSAGE).map_err(|_| {
                ConnectError::Protocol("a message of the server has an impossible length")
            })?;
            if let Some((frame, _)) = next {
                let found = (frame.tag, frame.body.to_vec());
                let refused = refusal(&frame);
                self.used = self.used.saturating_add(frame.bytes.len());
                return refused.map_or(Ok(found), Err);
            }
            let mut chunk = [0_u8; 2048];
            let count = std::future::poll_fn(|cx| self.stream.poll_read(cx, &mut chunk)).await?;
            if count == 0 {
                return Err(ConnectError::Io(io::ErrorKind::UnexpectedEof.into()));
            }
            self.inbox.drain(..self.used);
            self.used = 0;
            self.inbox.extend_from_slice(chunk.get(..count).unwrap_or_default());
        }
    }

    async fn authentication(&mut self) -> Result<Vec<u8>, ConnectError> {
        loop {
            let (tag, body) = self.next().await?;
            match tag {
                tag::AUTHENTICATION => return Ok(body),
                tag::NEGOTIATE | tag::NOTICE => {}
                _ => {
                    return Err(ConnectError::Protocol(
                        "an unexpected message during authentication",
                    ));
                }
            }
        }
    }

    async fn authenticate(&mut self, identity: &Identity) -> Result<(), ConnectError> {
        let need = || {
            identity.password.clone().ok_or(ConnectError::Protocol(
                "the server asks for a password and the user has none in auth.users",
            ))
        };
        let mut out = Vec::new();
        let body = self.authentication().await?;
        match parse(&body)? {
            Authentication::Ok => return Ok(()),
            Authentication::Cleartext => wire::put_password(&mut out, need()?.as_bytes()),
            Authentication::Md5 { salt } => {
                let answer = wire::md5_password(&identity.user, &need()?, salt);
                wire::put_password(&mut out, answer.as_bytes());
            }
            Authentication::Sasl { mechanisms } => {
                if !mechanisms.offers(wire::SCRAM_SHA_256) {
                    return Err(ConnectError::Protocol("the server offers no SCRAM-SHA-256"));
                }
                return self.scram(&need()?).await;
            }
            Authentication::SaslContinue(_)
            | Authentication::SaslFinal(_)
            | Authentication::Unsupported(_) => {
                return Err(ConnectError::Protocol(
                    "the server's authentication method is not supported; use scram-sha-256, md5 or password",
                ));
            }
        }
        self.stream.write_all(&out).await?;
        self.expect_ok().await
    }

    async fn scram(&mut self, password: &str) -> Result<(), ConnectError> {
        let failed = |_| ConnectError::Protocol("the SCRAM exchange with the server failed");
        let (exchange, first) =
            ClientExchange::start(Credentials::Password(password.to_owned()), &nonce()?);
        let mut out = Vec::new();
        wire::put_sasl_initial(&mut out, wire::SCRAM_SHA_256, &first);
        self.stream.write_all(&out).await?;
        let body = self.authentication().await?;
        let Authentication::SaslContinue(challenge) = parse(&body)? else {
            return Err(ConnectError::Protocol("the server left the SCRAM exchange"));
        };
        let (last, answer) = exchange.respond(challenge).map_err(failed)?;
        out.clear();
        wire::put_sasl_response(&mut out, &answer);
        self.stream.write_all(&out).await?;
        let body = self.authentication().await?;
        let Authentication::SaslFinal(proof) = parse(&body)? else {
            return Err(ConnectError::Protocol("the server did not prove itself"));
        };
        last.verify(proof).map_err(failed)?;
        self.expect_ok().await
    }

    async fn expect_ok(&mut self) -> Result<(), ConnectError> {
        let body = self.authentication().await?;
        if matches!(parse(&body)?, Authentication::Ok) {
            return Ok(());
        }
        Err(ConnectError::Protocol("the server did not accept the password"))
    }
}

fn parse(body: &[u8]) -> Result<Authentication<'_>, ConnectError> {
    wire::parse_authentication(body)
        .map_err(|_| ConnectError::Protocol("a malformed authentication request"))
}

fn refusal(frame: &Frame<'_>) -> Option<ConnectError> {
    (frame.tag == tag::ERROR).then(|| {
        let fields = wire::parse_error(frame.body);
        let text =
            format!("{} ({})", String::from_utf8_lossy(fields.message), fields.code.as_str());
        ConnectError::Refused { message: frame.bytes.to_vec(), code: fields.code, text }
    })
}

/// 18 random bytes as printable text.
pub(crate) fn nonce() -> io::Result<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut random = [0_u8; 24];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(random
        .iter()
        .filter_map(|byte| ALPHABET.get(usize::from(byte & 63)))
        .map(|byte| char::from(*byte))
        .collect())
}
