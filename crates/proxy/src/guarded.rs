//! Guarded reads: Weir's proof in front of a client's read, and what becomes of a server that failed it.
//!
//! When a guard is worth trying, and whether it held, is decided in [`policy::guard`]. It stands in a `Sync` group
//! of its own, in the same write: its position was read in an earlier transaction than the client's
//! snapshot is taken in, whatever the isolation level, and its failure touches nothing of the client's.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use policy::prepared::StatementId;
use policy::replies::{Expect, Learned};
use policy::{Epoch, Guard, NodeId, Proof};
use wire::{Described, Step, TxStatus, tag};

use crate::buffer::CHUNK;
use crate::metrics::Metrics;
use crate::pool::Lease;
use crate::server::Server;
use crate::view::ClusterView;
use crate::worker::Worker;

/// The question among the statements that are prepared on a server; no client's has its number.
const STATEMENT: StatementId = StatementId::MAX;

/// The same of the one that waits, which is made anew each time.
const WAIT: StatementId = StatementId::MAX - 1;

/// A `Bind` without parameters and formats: text comes back.
const NO_VALUES: &[u8] = &[0; 6];

/// How long a server that failed its guard may go on with the read that nobody waits for.
const GRACE: Duration = Duration::from_millis(200);

/// How long a cancelled one may take to end.
const MOST: Duration = Duration::from_secs(5);

/// A guard that travels with a cycle.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guarded {
    pub(crate) node: NodeId,
    pub(crate) guard: Guard,
    /// The cluster's epoch when the replica was chosen.
    pub(crate) epoch: Epoch,
    /// How long ago the WAL was flushed that the replica must have, when the guard was sent; `None` where
    /// only a new server is to prove that its node is what was measured.
    pub(crate) age: Option<Duration>,
}

impl Guarded {
    /// Puts the question in front of the cycle.
    pub(crate) fn put(&self, server: &mut Server) {
        let out = &mut server.outbox.bytes;
        let name = if let Some(limit) = self.guard.waits {
            // The position is part of the text. Named all the same: a query would drop the client's
            // unnamed statement.
            let name = wire::server_name(WAIT);
            wire::put_close(out, Described::Statement, &name);
            wire::put_parse(out, &name, self.guard.wait(limit).as_bytes(), b"");
            name
        } else {
            let name = wire::server_name(STATEMENT);
            if !server.statements.touch(STATEMENT) {
                wire::put_parse(out, &name, Guard::QUESTION.as_bytes(), b"");
            }
            name
        };
        wire::put_bind(out, b"", &name, NO_VALUES);
        wire::put_execute(out, b"", 0);
        wire::put_sync(out);
        server.replies.push(Expect::Guard);
    }

    /// Takes note of what was prepared.
    pub(crate) fn parsed(&self, server: &mut Server) {
        if self.guard.waits.is_none() {
            server.statements.insert(STATEMENT);
        }
    }

    /// Judges the answer; teaches when to try the next.
    pub(crate) fn judge(
        &self,
        value: Option<&[u8]>,
        cluster: &ClusterView,
        metrics: &Metrics,
    ) -> Proof {
        let proof = self.guard.judge(value, self.epoch, cluster.topology.newest().epoch);
        match self.age {
            Some(age) => {
                let age = age.saturating_add(self.guard.waits.unwrap_or_default());
                cluster.guards.borrow_mut().note(self.node, age, proof);
            }
            None if proof == Proof::Passed => {}
            None => cluster.lost(self.node),
        }
        metrics.guarded(proof);
        proof
    }
}

/// Lets a server finish a read whose guard failed, and gives it back; cancels what takes too long.
pub(crate) fn drain(mut lease: Lease, worker: Rc<Worker>) {
    tokio::task::spawn_local(async move {
        let ended = tokio::time::timeout(GRACE, rest(&mut lease, &worker)).await;
        let clean = match ended {
            Ok(clean) => clean,
            Err(_elapsed) => {
                if let Some(running) = lease.server().running.clone() {
                    running.cancel(Rc::clone(&worker)).await;
                }
                tokio::time::timeout(MOST, rest(&mut lease, &worker)).await.unwrap_or(false)
            }
        };
        if clean {
            lease.give_back();
        }
    });
}

/// Waits for the last `ReadyForQuery`; whether the server is as good as before.
///
/// Cancel-safe: what was read is taken note of.
async fn rest(lease: &mut Lease, worker: &Worker) -> bool {
    let server = lease.server();
    loop {
        match std::future::poll_fn(|cx| poll(server, worker, cx)).await {
            Some(TxStatus::Idle) => return true,
            // A transaction that was to be read only: nothing is lost by ending it.
            Some(TxStatus::Open | TxStatus::Failed) => {
                wire::put_query(&mut server.outbox.bytes, b"ROLLBACK");
                server.replies.push(Expect::OwnQuery);
            }
            None => return false,
        }
    }
}

fn poll(server: &mut Server, worker: &Worker, cx: &mut Context<'_>) -> Poll<Option<TxStatus>> {
    loop {
        while !server.outbox.is_empty() {
            match server.stream.poll_write(cx, server.outbox.unsent()) {
                Poll::Ready(Ok(count)) => server.outbox.sent(count),
                Poll::Ready(Err(_)) => return Poll::Ready(None),
                Poll::Pending => break,
            }
        }
        if let Poll::Ready(Err(_)) = server.stream.poll_flush(cx) {
            return Poll::Ready(None);
        }
        match digest(server, worker) {
            Ok(None) => {}
            Ok(Some(status)) => return Poll::Ready(Some(status)),
            Err(_) => return Poll::Ready(None),
        }
        let room = server.inbox.room(&worker.buffers, CHUNK);
        match server.stream.poll_read(cx, room) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(count)) if count > 0 => server.inbox.filled(count),
            Poll::Ready(_) => return Poll::Ready(None),
        }
    }
}

/// Throws replies away; the status behind the last one. What they teach of the server is kept.
fn digest(server: &mut Server, worker: &Worker) -> Result<Option<TxStatus>, wire::FrameError> {
    let mut ended = None;
    loop {
        drop(server.replies.owed());
        let interest = server.replies.interest();
        let full = server.inbox.is_full(CHUNK);
        let count = match server.scanner.next(server.inbox.unread(), interest, full)? {
            Step::More => return Ok(ended.filter(|_| server.replies.is_empty())),
            Step::Pass(count) => count,
            Step::Message { frame, .. } => {
                let (tag, length) = (frame.tag, frame.bytes.len());
                match tag {
                    tag::READY => ended = frame.body.first().copied().and_then(TxStatus::from_byte),
                    tag::PARAMETER_STATUS => {
                        if let Ok((name, value)) = wire::parameter_status(frame.body) {
                            server.reports = worker.reports.with(&server.reports, name, value);
                        }
                    }
                    _ => {}
                }
                match server.replies.see(tag).1 {
                    Some(Learned::Prepared(named)) => {
                        server.statements.insert(named.statement.id);
                    }
                    Some(Learned::OnServer(id)) => server.statements.insert(id),
                    Some(Learned::OffServer(id)) => server.statements.remove(id),
                    Some(Learned::Described(_) | Learned::Closed(_) | Learned::Forgotten(_))
                    | None => {}
                }
                length
            }
        };
        server.inbox.consume(count);
    }
}
