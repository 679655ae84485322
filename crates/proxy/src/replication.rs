//! Replication connections: a server of the client's own on the primary, and bytes both ways.
//!
//! Knows who asks for one, how it is opened and when it must end. Of what flows through it only
//! where a message of the server's ends, so that a last word comes between two of them.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use wire::{Interest, ReplyScanner, StartupMessage, Step, TxStatus};

use crate::admission::Admission;
use crate::buffer::{Buffer, CHUNK};
use crate::error::Cause;
use crate::handshake::{Refused, passed};
use crate::login::LoggedIn;
use crate::peer::{Peer, Running};
use crate::pool::AcquireError;
use crate::server::{Address, ConnectError, Identity, log_in};
use crate::stream::Stream;
use crate::view::ClusterView;
use crate::worker::{Worker, now};

/// How long a client has to take the last word.
const LAST_WORD: Duration = Duration::from_secs(5);
/// How soon a primary that could not be reached is tried again.
const AGAIN: Duration = Duration::from_millis(100);
/// Every message stops the scanner: where one begins, the one before has ended.
const EVERYTHING: Interest = {
    let (mut all, mut tag) = (Interest::of(&[]), b'!');
    while tag < b'~' {
        all = all.with(tag);
        tag = tag.wrapping_add(1);
    }
    all
};

/// Whether a startup packet asks for a replication connection.
///
/// As the server does, what is false in any spelling does not; what is nonsense does, and the
/// server says so.
pub(crate) fn is_asked_for(startup: &StartupMessage) -> bool {
    startup.get("replication").is_some_and(|value| {
        let value = value.to_ascii_lowercase();
        let is_false = ["false", "no"].iter().any(|word| word.starts_with(&value));
        value.is_empty() || !(is_false || matches!(value.as_str(), "of" | "off" | "0"))
    })
}

/// One replication connection whose server is logged in.
pub(crate) struct Replication {
    worker: Rc<Worker>,
    cluster: Rc<ClusterView>,
    peer: Rc<Peer>,
    address: Rc<Address>,
    client: Stream,
    server: Stream,
    /// From the client, for the server.
    up: Buffer,
    /// From the server, for the client; the first `cleared` bytes may go.
    down: Buffer,
    cleared: usize,
    scanner: ReplyScanner,
    flushing: Flushing,
}

/// Whom something was written to that TLS may hold back.
#[derive(Debug, Default)]
struct Flushing {
    client: bool,
    server: bool,
}

/// Why no more bytes are passed on.
enum End {
    /// One side is gone.
    Gone,
    /// The client must be told.
    Parting(Cause),
}

/// What is known once the server has let us in; greets the client.
pub(crate) struct Opened {
    cluster: Rc<ClusterView>,
    address: Rc<Address>,
    server: LoggedIn,
}

impl Opened {
    /// Opens the server as the client asked, on the primary; waits `failover_hold` for one.
    ///
    /// Cancel-safe: dropping the future closes the connection.
    ///
    /// # Errors
    ///
    /// [`Refused`]: tell the client and close.
    pub(crate) async fn of(worker: &Rc<Worker>, startup: &StartupMessage) -> Result<Self, Refused> {
        let (cluster, database) = place(worker, startup)?;
        let user = startup.user();
        let password = worker.live().auth.users.get(user).map(|user| user.password.as_str().into());
        let identity = Identity { user: user.into(), database: database.as_str().into(), password };
        let since = now();
        loop {
            let address = primary(worker, &cluster, since).await?;
            match connect(worker, &address, &identity, startup).await {
                Ok(server) => return Ok(Self { cluster, address, server }),
                Err(error) => {
                    // What the server refuses, or can't speak, it will not accept a moment later.
                    let again = error.blames_node() && !matches!(error, ConnectError::Protocol(_));
                    if again {
                        worker.lost(&cluster.name, address.node);
                    }
                    if !again || expired(worker, since) {
                        let node = Rc::clone(&address.name);
                        return Err(passed(AcquireError::Connect { node, error }));
                    }
                    let mut changes = cluster.topology.receiver();
                    drop(tokio::time::timeout(AGAIN, changes.changed()).await);
                }
            }
        }
    }

    /// What the client is told: the server's own statuses, and Weir's key.
    pub(crate) fn greeting(&self, admission: &Admission, minor: u16) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        wire::put_auth_ok(&mut out);
        for (name, value) in &*self.server.greeting {
            wire::put_parameter_status(&mut out, name.as_bytes(), value.as_bytes());
        }
        wire::put_backend_key(&mut out, &admission.peer.key_for(minor));
        wire::put_ready(&mut out, TxStatus::Idle);
        out
    }

    /// Joins it with its client, which may have said something already.
    pub(crate) fn with(
        self,
        worker: &Rc<Worker>,
        peer: &Rc<Peer>,
        client: Stream,
        said: &[u8],
    ) -> Replication {
        let running = self.server.key.map(|key| Rc::new(Running::new(&self.address, key)));
        peer.runs_on(running);
        let mut up = Buffer::default();
        up.put(&worker.buffers, said);
        Replication {
            worker: Rc::clone(worker),
            cluster: self.cluster,
            peer: Rc::clone(peer),
            address: self.address,
            client,
            server: self.server.stream,
            up,
            down: Buffer::default(),
            cleared: 0,
            scanner: ReplyScanner::default(),
            flushing: Flushing::default(),
        }
    }
}

/// The cluster, and the database's name on its servers.
///
/// Physical replication belongs to no database (libpq names one `replication`): where there is but
/// one cluster, any name will do.
fn place(
    worker: &Rc<Worker>,
    startup: &StartupMessage,
) -> Result<(Rc<ClusterView>, String), Refused> {
    let live = worker.live();
    let name = startup.database();
    if let Some(rules) = live.database(name) {
        let database = rules.dbname.clone().unwrap_or_else(|| name.to_owned());
        return Ok((worker.cluster(&live, &rules.cluster)?, database));
    }
    let logical = startup.get("replication") == Some("database");
    let mut clusters = live.clusters.keys();
    match (clusters.next(), clusters.next()) {
        (Some(only), None) if !logical => Ok((worker.cluster(&live, only)?, name.to_owned())),
        _ => Err(Cause::NoDatabase { name: name.to_owned() }.into()),
    }
}

/// The primary, once there is one.
async fn primary(
    worker: &Rc<Worker>,
    cluster: &ClusterView,
    since: Instant,
) -> Result<Rc<Address>, Refused> {
    let mut changes = cluster.topology.receiver();
    let hold = worker.live().pool.failover_hold;
    let until = tokio::time::Instant::from_std(since.checked_add(hold).unwrap_or(since));
    loop {
        let topology = cluster.topology.newest();
        if let Some(node) = topology.primary() {
            return Ok(Rc::new(Address::of(node, topology.epoch)));
        }
        if worker.closing() {
            return Err(Cause::Shutdown.into());
        }
        match tokio::time::timeout_at(until, changes.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Cause::Shutdown.into()),
            Err(_) => return Err(Cause::NoPrimary { waited: hold }.into()),
        }
    }
}

fn expired(worker: &Rc<Worker>, since: Instant) -> bool {
    worker.closing() || now().saturating_duration_since(since) >= worker.live().pool.failover_hold
}

/// Logs in with the client's own startup packet, but for what Weir answered in the server's place.
async fn connect(
    worker: &Rc<Worker>,
    address: &Rc<Address>,
    identity: &Identity,
    startup: &StartupMessage,
) -> Result<LoggedIn, ConnectError> {
    let mut params = vec![("user", &*identity.user), ("database", &*identity.database)];
    params.extend(
        startup
            .params
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| !matches!(*name, "user" | "database"))
            .filter(|(name, _)| !name.starts_with("_pq_.")),
    );
    log_in(address, identity, &params, worker).await
}

impl Replication {
    /// Passes bytes both ways until one side ends, or the connection must.
    pub(crate) async fn run(mut self) {
        self.worker.metrics.servers_opened.inc();
        tracing::info!(node = %self.address.name, "a replication connection was opened");
        if let End::Parting(cause) = self.relay().await {
            tracing::info!(node = %self.address.name, %cause, "a replication connection was ended");
            drop(tokio::time::timeout(LAST_WORD, self.part(&cause)).await);
        }
        self.peer.runs_on(None);
        self.server.close().await;
        self.client.close().await;
        self.worker.metrics.servers_closed.inc();
    }

    async fn relay(&mut self) -> End {
        let epoch = self.address.epoch;
        let mut topology = self.cluster.topology.receiver();
        let changed = topology.wait_for(|newest| newest.epoch != epoch);
        let mut changed = std::pin::pin!(changed);
        std::future::poll_fn(|cx| {
            self.peer.waits(cx);
            if self.worker.closing() {
                return Poll::Ready(End::Parting(Cause::Shutdown));
            }
            if changed.as_mut().poll(cx).is_ready() {
                let node = self.address.name.to_string();
                return Poll::Ready(End::Parting(Cause::PrimaryReplaced { node }));
            }
            // A server that takes nothing more may still have said why.
            if self.poll_up(cx) == Poll::Ready(Side::Client)
                || self.poll_down(cx, Interest::default()).is_ready()
            {
                return Poll::Ready(End::Gone);
            }
            Poll::Pending
        })
        .await
    }

    /// Waits for the end of the server's message, and tells the client why it was the last.
    async fn part(&mut self, cause: &Cause) {
        std::future::poll_fn(|cx| {
            if self.cleared == 0 && self.scanner.is_idle() {
                return Poll::Ready(());
            }
            self.poll_down(cx, EVERYTHING)
        })
        .await;
        if self.cleared == 0 && self.scanner.is_idle() {
            let mut out = Vec::new();
            let _told = cause.put(&mut out);
            drop(self.client.write_all(&out).await);
        }
    }

    /// Client to server; ready with the side that is gone.
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<Side> {
        loop {
            while !self.up.is_empty() {
                match std::task::ready!(self.server.poll_write(cx, self.up.unread())) {
                    Ok(count) if count > 0 => self.up.consume(count),
                    Ok(_) | Err(_) => return Poll::Ready(Side::Server),
                }
                self.flushing.server = true;
            }
            if self.flushing.server {
                if std::task::ready!(self.server.poll_flush(cx)).is_err() {
                    return Poll::Ready(Side::Server);
                }
                self.flushing.server = false;
            }
            let room = self.up.room(&self.worker.buffers, CHUNK);
            match self.client.poll_read(cx, room) {
                Poll::Pending => {
                    self.up.release(&self.worker.buffers);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(count)) if count > 0 => self.up.filled(count),
                Poll::Ready(_) => return Poll::Ready(Side::Client),
            }
        }
    }

    /// Server to client; ready when one of both is gone, or a message of interest begins.
    fn poll_down(&mut self, cx: &mut Context<'_>, interest: Interest) -> Poll<()> {
        loop {
            while self.cleared > 0 {
                let bytes = self.down.unread().get(..self.cleared).unwrap_or_default();
                match std::task::ready!(self.client.poll_write(cx, bytes)) {
                    Ok(count) if count > 0 => {
                        self.down.consume(count);
                        self.cleared = self.cleared.saturating_sub(count);
                    }
                    Ok(_) | Err(_) => return Poll::Ready(()),
                }
                self.flushing.client = true;
            }
            if self.flushing.client {
                if std::task::ready!(self.client.poll_flush(cx)).is_err() {
                    return Poll::Ready(());
                }
                self.flushing.client = false;
            }
            match self.scanner.next(self.down.unread(), interest, false) {
                Ok(Step::Pass(count)) => {
                    self.cleared = count;
                    continue;
                }
                Ok(Step::More) => {}
                Ok(Step::Message { .. }) | Err(_) => return Poll::Ready(()),
            }
            if interest != Interest::default() && self.scanner.is_idle() {
                return Poll::Ready(());
            }
            let room = self.down.room(&self.worker.buffers, CHUNK);
            match self.server.poll_read(cx, room) {
                Poll::Pending => {
                    self.down.release(&self.worker.buffers);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(count)) if count > 0 => self.down.filled(count),
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    }
}

/// Which end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replication_is_asked_for_by_everything_but_a_false_value() {
        let asked = |value: &str| {
            let params = vec![("replication".to_owned(), value.to_owned())];
            is_asked_for(&StartupMessage { major: 3, minor: 0, params })
        };
        for value in ["true", "on", "yes", "1", "database", "T", "nonsense", ""] {
            assert!(asked(value), "{value}");
        }
        for value in ["false", "off", "no", "0", "F", "No", "OFF", "of"] {
            assert!(!asked(value), "{value}");
        }
        assert!(!is_asked_for(&StartupMessage { major: 3, minor: 0, params: Vec::new() }));
    }
}
