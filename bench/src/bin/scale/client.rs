//! A client that logs in, asks, and reads no more of the answers than it must.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use weir_bench::weir::USER;
use wire::tag;

/// Clients that share an address of their own: far fewer than it has ports.
const PER_ADDRESS: usize = 8_000;

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    inbox: Vec<u8>,
}

impl Client {
    /// Logs in as the so-manieth, which decides the address that it comes from.
    ///
    /// # Errors
    ///
    /// The network's or Weir's words.
    pub(crate) async fn login(port: u16, number: usize, database: &str) -> io::Result<Self> {
        let host = u8::try_from(number / PER_ADDRESS).unwrap_or(u8::MAX).saturating_add(2);
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0)))?;
        let stream = socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream, inbox: Vec::new() };
        let mut out = Vec::new();
        wire::put_startup(&mut out, 0, &[("user", USER), ("database", database)]);
        client.talk(&out).await?;
        Ok(client)
    }

    /// Sends this and reads up to the `ReadyForQuery`.
    ///
    /// # Errors
    ///
    /// The connection's, or what Weir or the server told.
    pub(crate) async fn talk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        loop {
            while let Some((frame, _)) =
                wire::next_frame(&self.inbox, usize::MAX).map_err(io::Error::other)?
            {
                let (kind, length) = (frame.tag, frame.bytes.len());
                if kind == tag::ERROR {
                    let told = String::from_utf8_lossy(frame.body).into_owned();
                    return Err(io::Error::other(told));
                }
                self.inbox.drain(..length);
                if kind == tag::READY {
                    // An idle client holds nothing.
                    self.inbox = Vec::new();
                    return Ok(());
                }
            }
            if self.stream.read_buf(&mut self.inbox).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// A simple query.
pub(crate) fn query(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_query(&mut out, text.as_bytes());
    out
}

/// Clients that all ask the same, again and again, until they are dropped.
#[derive(Debug)]
pub(crate) struct Crowd {
    asked: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    working: JoinSet<io::Result<Client>>,
}

impl Crowd {
    /// Sets them to work.
    pub(crate) fn work(clients: Vec<Client>, question: &[u8]) -> Self {
        let (asked, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let mut working = JoinSet::new();
        let question: Arc<[u8]> = question.into();
        for mut client in clients {
            let (asked, over, question) =
                (Arc::clone(&asked), Arc::clone(&over), Arc::clone(&question));
            working.spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    client.talk(&question).await?;
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                Ok(client)
            });
        }
        Self { asked, over, working }
    }

    /// Answers so far.
    pub(crate) fn answers(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Lets them finish their last question.
    ///
    /// # Errors
    ///
    /// What the first who failed was told.
    pub(crate) async fn rest(mut self) -> io::Result<Vec<Client>> {
        self.over.store(true, Ordering::Relaxed);
        let mut clients = Vec::new();
        while let Some(done) = self.working.join_next().await {
            clients.push(done.map_err(io::Error::other)??);
        }
        Ok(clients)
    }
}
