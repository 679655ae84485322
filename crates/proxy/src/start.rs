//! Starts the workers and ends them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{mpsc, watch};

use crate::config::{Config, Live};
use crate::inquiry::Workers;
use crate::metrics::{AllMetrics, Metrics};
use crate::permits::Registry;
use crate::worker::{Shared, Stage, Start};

/// A worker's stack, bytes: deep SQL is parsed on it.
const STACK: usize = 8 * 1024 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// How long sessions get to tell their clients once the shutdown is overdue.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The running data path.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    metrics: Arc<AllMetrics>,
    asked: Workers,
    live: watch::Receiver<Arc<Live>>,
    stage: watch::Sender<Stage>,
    threads: Vec<JoinHandle<()>>,
}

impl Proxy {
    /// Binds the listener and starts the workers, each on a thread of its own.
    ///
    /// # Errors
    ///
    /// The address is in use or not ours, or a thread could not be started: nothing runs then.
    pub fn start(config: &Config, live: &watch::Receiver<Arc<Live>>) -> io::Result<Self> {
        let workers = config.workers.get();
        let first = bind(config.listen, workers > 1)?;
        let address = first.local_addr()?;
        let mut listeners = vec![first];
        for _ in 1..workers {
            listeners.push(bind(address, true)?);
        }
        let (mailboxes, mails): (Vec<_>, Vec<_>) =
            (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
        let (asked, inquiries): (Vec<_>, Vec<_>) =
            (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
        let mut seed = [0_u8; 16];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        let seed = u128::from_ne_bytes(seed);
        let shared = Arc::new(Shared {
            schemas: crate::schema::Schemas::default(),
            logins: std::sync::atomic::AtomicU32::new(0),
            registry: Registry::new(mailboxes.into()),
            scopes: crate::scope::Scopes::default(),
            places: crate::places::Places::default(),
            clients: Arc::default(),
            workers,
            seed: [low(seed), low(seed >> 64)],
        });
        let metrics =
            Arc::new(AllMetrics((0..workers).map(|_| Arc::new(Metrics::default())).collect()));
        let (stage, watched) = watch::channel(Stage::Serving);
        let mut threads = Vec::with_capacity(workers);
        let inboxes = mails.into_iter().zip(inquiries);
        for (index, ((listener, (mailbox, inquiries)), metrics)) in
            listeners.into_iter().zip(inboxes).zip(&metrics.0).enumerate()
        {
            let start = Start {
                index,
                config: config.clone(),
                shared: Arc::clone(&shared),
                metrics: Arc::clone(metrics),
                live: live.clone(),
                stage: watched.clone(),
                mailbox,
                inquiries,
                listener,
            };
            threads.push(spawn(start)?);
        }
        let asked = Workers::new(asked);
        Ok(Self { address, metrics, asked, live: live.clone(), stage, threads })
    }

    /// Where clients connect; tells the port if the configuration left it open.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What the data path counts.
    #[must_use]
    pub fn metrics(&self) -> Arc<dyn telemetry::Collect> {
        Arc::clone(&self.metrics) as Arc<dyn telemetry::Collect>
    }

    /// The workers, to be asked what they do.
    #[must_use]
    pub fn workers(&self) -> Workers {
        self.asked.clone()
    }

    /// Whether new clients are let in.
    #[must_use]
    pub fn is_accepting(&self) -> bool {
        *self.stage.borrow() == Stage::Serving
            && self.threads.iter().all(|thread| !thread.is_finished())
    }

    /// Ends the data path: no new clients, cycles and transactions end, then everybody is told 57P01.
    ///
    /// Takes `shutdown_timeout` at most, and a second. Not cancel-safe: drop ends it at once.
    pub async fn shutdown(self) {
        let limit = self.live.borrow().pool.shutdown_timeout;
        self.stage.send_replace(Stage::Closing);
        let ended = || self.threads.iter().all(JoinHandle::is_finished);
        if !within(limit, ended).await {
            self.stage.send_replace(Stage::Overdue);
            within(LAST_WORDS, ended).await;
        }
    }
}

async fn within(limit: Duration, mut ended: impl FnMut() -> bool) -> bool {
    let polled = async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        while !ended() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(limit, polled).await.is_ok()
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
fn low(value: u128) -> u64 {
    value as u64
}

fn spawn(start: Start) -> io::Result<JoinHandle<()>> {
    let name = format!("worker-{}", start.index);
    std::thread::Builder::new().name(name).stack_size(STACK).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(tokio::runtime::LocalOptions::default());
        let ran = runtime.and_then(|runtime| runtime.block_on(start.run()));
        if let Err(error) = ran {
            tracing::error!(%error, "a worker could not start");
        }
    })
}

#[expect(
    clippy::fn_params_excessive_bools,
    reason = "one worker must not share its port with another process"
)]
fn bind(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
