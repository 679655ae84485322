//! What others may do to a session: see what it shows, cancel what it runs, or tell it to end.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wire::CancelKey;

use crate::config::ServerTls;
use crate::error::{Cause, Reached};
use crate::metrics::Metrics;
use crate::server::Address;
use crate::shown::Shown;
use crate::stream::Stream;
use crate::timers::{Limit, Timer};
use crate::worker::{Stage, Worker};

/// How long a cancel request may take, connecting included.
const CANCEL_LIMIT: Duration = Duration::from_secs(10);

/// Length of the secret in a key of protocol 3.0.
const SHORT: usize = 4;
/// Length of the secret in a key of protocol 3.2, as PostgreSQL 18 makes it.
pub(crate) const LONG: usize = 32;

/// A session as the rest of its worker sees it.
pub(crate) struct Peer {
    pid: i32,
    secret: [u8; LONG],
    running: RefCell<Option<Rc<Running>>>,
    waker: RefCell<Option<Waker>>,
    shown: OnceCell<Shown>,
    ended: Cell<bool>,
    pub(crate) timer: Timer,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// How to cancel what one server does.
#[derive(Debug)]
pub(crate) struct Running {
    address: Rc<Address>,
    key: CancelKey,
    /// Cancel requests that are under way.
    requests: Cell<u32>,
    /// One of them may still arrive, nobody knows when.
    doomed: Cell<bool>,
    /// Weir's own reason to cancel what runs, with the limit's length.
    stopped: Cell<Option<(Limit, Duration)>>,
}

impl Running {
    /// For a server of this address that gave out this key.
    pub(crate) fn new(address: &Rc<Address>, key: CancelKey) -> Self {
        Self {
            address: Rc::clone(address),
            key,
            requests: Cell::new(0),
            doomed: Cell::new(false),
            stopped: Cell::new(None),
        }
    }

    /// Takes note that Weir itself cancels what runs, before it does.
    pub(crate) fn stop_for(&self, limit: Limit, after: Duration) {
        self.stopped.set(Some((limit, after)));
    }

    /// What the client is told instead of the server's "due to user request", which it was not.
    pub(crate) fn stopped(&self) -> Option<Cause> {
        self.stopped.take().map(|(limit, after)| Reached::Stopped { limit, after }.into())
    }

    /// Cancel requests that are under way.
    pub(crate) fn requests(&self) -> u32 {
        self.requests.get()
    }

    /// Whether a cancel request may still arrive: the server must not serve anybody else.
    pub(crate) fn is_doomed(&self) -> bool {
        self.doomed.get()
    }

    /// Sends the cancel request and waits until the server has taken it.
    ///
    /// The server closes the connection once it has signalled (manual, 55.2.8); until then its
    /// backend must not change hands, or the next user's statement would be cancelled. That holds
    /// from this call on, not from the first poll: in between the statement may end by itself.
    pub(crate) fn cancel(self: Rc<Self>, worker: Rc<Worker>) -> impl Future<Output = ()> {
        self.requests.set(self.requests.get().saturating_add(1));
        async move {
            let tls = worker.live().server_tls.clone();
            let sent = send(&self.address, &self.key, &tls);
            let sent = tokio::time::timeout(CANCEL_LIMIT, sent).await;
            self.requests.set(self.requests.get().saturating_sub(1));
            worker.cancelled.notify_waiters();
            worker.metrics.cancels.inc();
            if !matches!(sent, Ok(Ok(()))) {
                self.doomed.set(true);
                tracing::warn!(node = %self.address.name, "a cancel request could not be delivered");
            }
        }
    }
}

async fn send(address: &Address, key: &CancelKey, tls: &ServerTls) -> std::io::Result<()> {
    let mut stream = crate::server::open(&address.host, address.port, tls)
        .await
        .map_err(|error| std::io::Error::other(error.to_string()))?;
    let mut out = Vec::new();
    wire::put_cancel(&mut out, key);
    stream.write_all(&out).await?;
    wait_for_end(&mut stream).await;
    Ok(())
}

async fn wait_for_end(stream: &mut Stream) {
    let mut rest = [0_u8; 64];
    while let Ok(count) = std::future::poll_fn(|cx| stream.poll_read(cx, &mut rest)).await {
        if count == 0 {
            return;
        }
    }
}

impl Peer {
    /// A session with this key, which runs nothing.
    pub(crate) fn new(pid: i32, secret: [u8; LONG]) -> Self {
        Self {
            timer: Timer::default(),
            pid,
            secret,
            running: RefCell::default(),
            waker: RefCell::default(),
            shown: OnceCell::new(),
            ended: Cell::new(false),
        }
    }

    /// The process ID that its client was told.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// The key as a client of this minor protocol version may be told it.
    ///
    /// A short secret is the beginning of the long one.
    pub(crate) fn key_for(&self, minor: u16) -> CancelKey {
        let length = if minor >= 2 { LONG } else { SHORT };
        CancelKey { pid: self.pid, secret: self.secret.iter().take(length).copied().collect() }
    }

    /// Whether a secret is the session's, in a time that does not tell where they differ.
    pub(crate) fn knows(&self, secret: &[u8]) -> bool {
        (SHORT..=LONG).contains(&secret.len())
            && secret.iter().zip(&self.secret).fold(0_u8, |differ, (a, b)| differ | (a ^ b)) == 0
    }

    /// Takes note of the server that works for the session now.
    pub(crate) fn runs_on(&self, running: Option<Rc<Running>>) {
        if let Some(running) = &running {
            running.stopped.set(None);
        }
        *self.running.borrow_mut() = running;
    }

    /// The server that works for the session now.
    pub(crate) fn running(&self) -> Option<Rc<Running>> {
        self.running.borrow().clone()
    }

    /// Remembers whom to wake while the session waits for its client.
    pub(crate) fn waits(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    /// Makes it a session that shows something: from the end of its login on.
    pub(crate) fn shows(&self, shown: Shown) {
        // A second one is never made.
        drop(self.shown.set(shown));
    }

    /// What the session shows, once it is logged in.
    pub(crate) fn shown(&self) -> Option<&Shown> {
        self.shown.get()
    }

    /// Tells the session to end, on behalf of an administrator.
    pub(crate) fn end(&self) {
        self.ended.set(true);
        self.wake();
    }

    /// Whether it was told to.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.get()
    }

    /// Takes note that the session has ended.
    pub(crate) fn gone(&self, metrics: &Metrics) {
        if let Some(shown) = self.shown() {
            shown.pinned(None, metrics);
        }
    }

    /// Why the session must go, if it must: from `stage` of a shutdown on, or for a time limit.
    pub(crate) fn must_go(&self, worker: &Worker, stage: Stage) -> Option<Cause> {
        if self.ended.get() {
            return Some(Cause::Terminated);
        }
        let shutdown = worker.has_reached(stage).then_some(Cause::Shutdown);
        shutdown.or_else(|| self.expelled(worker))
    }

    /// Does `work` unless the session is told to end meanwhile: `None`.
    ///
    /// As cancel-safe as `work` is.
    pub(crate) async fn unless_ended<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|cx| {
            self.waits(cx);
            if self.ended.get() { Poll::Ready(None) } else { work.as_mut().poll(cx).map(Some) }
        })
        .await
    }

    /// Wakes the session, so that it sees that its worker is closing.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}
