//! Many clients at once: they log in, live a little and fall idle, or all work.
//!
//! All on the caller's runtime; each holds a socket and a few bytes.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use wire::{Authentication, ClientExchange, Credentials, tag};

use crate::{now, say};

/// Files for what else goes on in the process: other tests, and its own.
const OTHER_FILES: usize = 600;

/// Logins under way at a time: a crowd gathers, it does not rush.
const AT_A_TIME: usize = 32;

/// How many clients this process may have, by its limit of open files.
///
/// # Panics
///
/// When `/proc` does not say.
#[must_use]
#[expect(clippy::expect_used, reason = "a test on another system than Linux has failed")]
pub fn most() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("Linux");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()).expect("a limit of files");
    soft.parse().unwrap_or(usize::MAX).saturating_sub(OTHER_FILES)
}

/// How a crowd comes in.
#[derive(Clone)]
pub struct Door {
    port: u16,
    tls: Option<TlsConnector>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Door {
    /// Unencrypted, to a port of this machine.
    #[must_use]
    pub fn plain(port: u16) -> Self {
        Self { port, tls: None }
    }

    /// With TLS, trusting the authority in a PEM file.
    ///
    /// # Errors
    ///
    /// The file is no certificate.
    pub fn tls(port: u16, authority: &std::path::Path) -> io::Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(authority).map_err(io::Error::other)?;
        roots.add(certificate).map_err(io::Error::other)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { port, tls: Some(Arc::new(config).into()) })
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One of them.
struct Client {
    stream: Box<dyn Stream>,
    inbox: Vec<u8>,
}

impl Client {
    async fn login(door: &Door) -> io::Result<Self> {
        let mut tcp = TcpStream::connect(("127.0.0.1", door.port)).await?;
        tcp.set_nodelay(true)?;
        let mut out = Vec::new();
        let stream: Box<dyn Stream> = match &door.tls {
            None => Box::new(tcp),
            Some(tls) => {
                wire::put_ssl_request(&mut out);
                tcp.write_all(&out).await?;
                if tcp.read_u8().await? != b'S' {
                    return Err(io::Error::other("no TLS here"));
                }
                let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                Box::new(tls.connect(name, tcp).await?)
            }
        };
        let mut client = Self { stream, inbox: Vec::new() };
        out.clear();
        wire::put_startup(&mut out, 0, &[("user", "app"), ("database", "app")]);
        client.stream.write_all(&out).await?;
        client.authenticate().await?;
        client.until_ready().await?;
        Ok(client)
    }

    async fn authenticate(&mut self) -> io::Result<()> {
        let mut exchange = None;
        let mut last = None;
        loop {
            let body = self.message(tag::AUTHENTICATION).await?;
            let mut out = Vec::new();
            match wire::parse_authentication(&body).map_err(io::Error::other)? {
                Authentication::Ok => return Ok(()),
                Authentication::Sasl { .. } => {
                    let password = Credentials::Password("app".to_owned());
                    let (begun, first) =
                        ClientExchange::start(password, "abcdefghijklmnopqrstuvwx");
                    wire::put_sasl_initial(&mut out, wire::SCRAM_SHA_256, &first);
                    exchange = Some(begun);
                }
                Authentication::SaslContinue(challenge) => {
                    let begun = exchange.take().ok_or(io::ErrorKind::InvalidData)?;
                    let (end, answer) = begun.respond(challenge).map_err(io::Error::other)?;
                    wire::put_sasl_response(&mut out, &answer);
                    last = Some(end);
                }
                Authentication::SaslFinal(proof) => {
                    let end = last.take().ok_or(io::ErrorKind::InvalidData)?;
                    end.verify(proof).map_err(io::Error::other)?;
                }
                Authentication::Cleartext
                | Authentication::Md5 { .. }
                | Authentication::Unsupported(_) => return Err(io::ErrorKind::Unsupported.into()),
            }
            self.stream.write_all(&out).await?;
        }
    }

    /// The body of the next message, which must be of this kind.
    async fn message(&mut self, expected: u8) -> io::Result<Vec<u8>> {
        let (kind, body) = self.any().await?;
        if kind != expected {
            let told = String::from_utf8_lossy(&body).into_owned();
            return Err(io::Error::other(told));
        }
        Ok(body)
    }

    async fn any(&mut self) -> io::Result<(u8, Vec<u8>)> {
        loop {
            let next = wire::next_frame(&self.inbox, usize::MAX).map_err(io::Error::other)?;
            if let Some((frame, _)) = next {
                let found = (frame.tag, frame.body.to_vec());
                let length = frame.bytes.len();
                self.inbox.drain(..length);
                return Ok(found);
            }
            if self.stream.read_buf(&mut self.inbox).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn until_ready(&mut self) -> io::Result<()> {
        loop {
            match self.any().await? {
                (tag::READY, _) => break,
                (tag::ERROR, body) => {
                    return Err(io::Error::other(wire::parse_error(&body).to_string()));
                }
                _ => {}
            }
        }
        if self.inbox.is_empty() {
            self.inbox = Vec::new();
        }
        Ok(())
    }

    async fn talk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.until_ready().await
    }

    /// A simple query, and a prepared one.
    async fn live(&mut self) -> io::Result<()> {
        self.talk(&say::query("SELECT count(*) FROM pg_class WHERE oid = 1")).await?;
        let prepared = [
            say::parse("s", "SELECT relname FROM pg_class WHERE oid = 1259"),
            say::bind("", "s"),
            say::execute("", 0),
            say::sync(),
        ];
        self.talk(&prepared.concat()).await
    }

    /// Asks again and again, and notes how long each answer took.
    async fn work(&mut self, shift: Shift) -> io::Result<Vec<Duration>> {
        let query = say::query("SELECT relname FROM pg_class WHERE oid = 1259");
        let mut took = Vec::new();
        loop {
            let asked = now();
            if asked >= shift.until {
                return Ok(took);
            }
            self.talk(&query).await?;
            if asked >= shift.from {
                took.push(asked.elapsed());
            }
        }
    }
}

/// When work counts, and when it ends.
#[derive(Debug, Clone, Copy)]
struct Shift {
    from: Instant,
    until: Instant,
}

/// How long clients waited for answers.
#[derive(Debug, Clone)]
pub struct Waits {
    /// All answers', in order.
    all: Vec<Duration>,
    /// How long was counted.
    during: Duration,
    /// Answers of the client that got fewest, and of the one that got most.
    pub answers: (usize, usize),
}

impl Waits {
    fn of(mut clients: Vec<Vec<Duration>>, during: Duration) -> Self {
        let counts = || clients.iter().map(Vec::len);
        let answers = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
        let mut all: Vec<_> = clients.iter_mut().flat_map(std::mem::take).collect();
        all.sort_unstable();
        Self { all, during, answers }
    }

    /// Answers per second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        let count = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        f64::from(count) / self.during.as_secs_f64()
    }

    /// What so many of a thousand waits do not exceed.
    #[must_use]
    pub fn permille(&self, share: usize) -> Duration {
        let last = self.all.len().saturating_sub(1);
        let index = last.saturating_mul(share) / 1000;
        self.all.get(index).copied().unwrap_or_default()
    }
}

/// Clients that are logged in.
#[derive(Default)]
pub struct Crowd {
    clients: Vec<Client>,
}

impl std::fmt::Debug for Crowd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Crowd({})", self.clients.len())
    }
}

impl Crowd {
    /// Lets so many more log in, each of which runs a simple and a prepared query.
    ///
    /// # Errors
    ///
    /// What the first who failed was told.
    pub async fn gather(&mut self, door: &Door, count: usize) -> io::Result<()> {
        let mut coming = JoinSet::new();
        for _ in 0..count {
            if coming.len() >= AT_A_TIME {
                self.admit(coming.join_next().await)?;
            }
            let door = door.clone();
            coming.spawn(async move {
                let mut client = Client::login(&door).await?;
                client.live().await?;
                Ok(client)
            });
        }
        while !coming.is_empty() {
            self.admit(coming.join_next().await)?;
        }
        Ok(())
    }

    fn admit(
        &mut self,
        came: Option<Result<io::Result<Client>, tokio::task::JoinError>>,
    ) -> io::Result<()> {
        if let Some(came) = came {
            self.clients.push(came.map_err(io::Error::other)??);
        }
        Ok(())
    }

    /// Lets all work at once, each with one query at a time; what happens before `from` does not count.
    ///
    /// # Errors
    ///
    /// What the first who failed was told.
    pub async fn work(&mut self, warm_up: Duration, counted: Duration) -> io::Result<Waits> {
        let from = now().checked_add(warm_up).unwrap_or_else(now);
        let shift = Shift { from, until: from.checked_add(counted).unwrap_or(from) };
        let mut working = JoinSet::new();
        for mut client in self.clients.drain(..) {
            working.spawn(async move { client.work(shift).await.map(|took| (client, took)) });
        }
        let mut waits = Vec::new();
        while let Some(done) = working.join_next().await {
            let (client, took) = done.map_err(io::Error::other)??;
            self.clients.push(client);
            waits.push(took);
        }
        Ok(Waits::of(waits, counted))
    }
}
