//! The loop: one client's cycles, from its first byte to its last.
//!
//! Reads like the data path of the house (ARCHITECTURE.md): gather a cycle, read what it says,
//! decide where it goes, lease a server, forward, relay, settle. Every decision is made elsewhere.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use policy::Reason;
use policy::decide::Attempt;
use policy::prepared::{ClientStatements, SchemaNumber};
use policy::reports::Reports;
use policy::session::Settled;
use wire::{SqlState, TxStatus};

use crate::alone::Alone;
use crate::buffer::{Buffer, Outbox};
use crate::cycle::{Cycle, Reader};
use crate::database::Database;
use crate::error::{Cause, Lost};
use crate::forward::Forward;
use crate::group::Group;
use crate::intake::{End, GATHER_PARSE, Gathered, gather};
use crate::metrics::Side;
use crate::noticed::{News, Noticed};
use crate::peer::Peer;
use crate::place::Placed;
use crate::pool::Lease;
use crate::pools::Pools;
use crate::reading::Reading;
use crate::relay::{Event, Refusal, Relay};
use crate::scope::ScopeFence;
use crate::server::{ServerNumber, SessionNumber};
use crate::settle::Closing;
use crate::stream::Stream;
use crate::worker::{Stage, Worker, now};

/// Why a session ends.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The client said so, or is gone.
    Left,
    /// The client must be told.
    Told(Cause),
}

impl From<Cause> for Ending {
    fn from(cause: Cause) -> Self {
        Self::Told(cause)
    }
}

/// The last cycle's route, for `SHOW weir.last_route`.
#[derive(Debug, Clone)]
pub(crate) struct LastRoute {
    pub(crate) side: Side,
    pub(crate) node: Option<Rc<str>>,
    pub(crate) reason: Reason,
}

/// What a transaction changed that others see once it has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) schema: bool,
    pub(crate) logins: bool,
}

/// One client's session.
pub(crate) struct Session {
    pub(crate) worker: Rc<Worker>,
    pub(crate) stream: Stream,
    pub(crate) inbound: Buffer,
    pub(crate) outbound: Outbox,
    pub(crate) peer: Rc<Peer>,
    pub(crate) number: SessionNumber,
    pub(crate) database: Rc<Database>,
    pub(crate) meaning: policy::session::Session,
    pub(crate) statements: ClientStatements,
    pub(crate) scope: Arc<ScopeFence>,
    /// What the client was told at login of the parameters that servers report.
    pub(crate) greeted: Rc<Reports>,
    /// What it was told last.
    pub(crate) told: Rc<Reports>,
    /// The server on which the session's newest sequence values were drawn, if any were.
    pub(crate) drawn_on: Option<ServerNumber>,
    /// The newest schema under which all of the client's statements are known to be the same.
    pub(crate) schema_seen: SchemaNumber,
    pub(crate) lease: Option<Lease>,
    /// A `BEGIN READ ONLY` that no server has seen yet.
    pub(crate) begin: Option<Vec<u8>>,
    pub(crate) status: TxStatus,
    pub(crate) group: Group,
    /// What the transaction under way changed for others.
    pub(crate) changed: Changed,
    /// What the parts of a group that is open said so far.
    pub(crate) said: Option<Reading>,
    /// What the relay noticed of a group that is open.
    pub(crate) noticed: Noticed,
    /// An error was told in the middle of a group: nothing counts up to the `Sync`.
    pub(crate) skipping: bool,
    /// Bytes at the start of `inbound` that belong to the cycle being served.
    pub(crate) held: usize,
    /// Bytes that the client still owes of a message that was refused.
    pub(crate) discard: usize,
    pub(crate) pools: Rc<Pools>,
}

impl Session {
    /// Serves the client until it leaves.
    ///
    /// Boxed, since a future holds its arguments twice, and those of the futures within it again.
    pub(crate) async fn run(mut self: Box<Self>) {
        let ending = loop {
            if !self.group.open {
                self.peer.timer.rests(self.status);
            }
            let cycle = match self.next_cycle().await {
                Ok(cycle) => cycle,
                Err(ending) => break ending,
            };
            self.shows_work();
            self.peer.timer.begins();
            // An idle client must not pay for the room that a cycle takes.
            if let Err(ending) = Box::pin(self.serve(cycle)).await {
                break ending;
            }
            self.shows_rest();
            self.inbound.consume(std::mem::take(&mut self.held));
            self.inbound.release(&self.worker.buffers);
            self.outbound.release();
        };
        Box::pin(self.leave(ending)).await;
    }

    async fn serve(&mut self, cycle: Cycle) -> Result<(), Ending> {
        self.held = cycle.length;
        if self.skip(cycle) {
            return self.ready_after_skipping(cycle).await;
        }
        let mut reading = self.read(cycle)?;
        let refused = match self.answer_alone(cycle, &reading).await? {
            Alone::Answered => return Ok(()),
            Alone::Refused(told) => Some(told),
            Alone::No => None,
        };
        let (mut attempt, since) = (Attempt::First, now());
        let mut losses = 0_u8;
        let mut lesson = None;
        loop {
            let mut placed = match self.place(&reading, (attempt, since)).await {
                Ok(placed) => placed,
                Err(cause) => return self.tell(&cause, cycle).await,
            };
            if self.must_bring_first() && !Box::pin(self.bring_first()).await {
                // A time limit of the session before, most likely: this server is given up.
                losses = losses.saturating_add(1);
                if losses > MOST_LOSSES {
                    let node = placed.node.to_string();
                    return Err(Cause::ServerLost { node, during: Lost::Read }.into());
                }
                continue;
            }
            placed.refused = refused.clone().or(placed.refused);
            // Nearly always the schema is the one that the session knows.
            if placed.refused.is_none() && self.schema_seen != self.database.schema.newest() {
                placed.refused = Box::pin(self.refresh(cycle, &reading)).await?;
            }
            self.forward(cycle, &reading, &placed)?;
            match self.relay(cycle, &reading, &placed).await? {
                Relayed::Done => {
                    self.said = Some(reading).filter(|_| self.group.open);
                    self.learn(lesson);
                    return Ok(());
                }
                Relayed::Failed => {
                    // The client knows nothing of Weir's Sync: it expects to be skipped to its own.
                    self.skipping = cycle.end == End::Prepared;
                    return Ok(());
                }
                Relayed::Lost if losses < MOST_LOSSES => {
                    losses = losses.saturating_add(1);
                    attempt = Attempt::Elsewhere;
                }
                Relayed::Lost => attempt = Attempt::OnPrimary,
                Relayed::Refused(code) => {
                    lesson = self.lesson(cycle, code);
                    reading.doubt(code);
                    attempt = Attempt::OnPrimary;
                }
                Relayed::Unproven => attempt = placed.unproven(),
                Relayed::Stale => {
                    let stale = self.bound(cycle);
                    self.renew(&stale);
                }
            }
        }
    }

    /// Waits for a whole cycle, or for so much of one that it must be served.
    async fn next_cycle(&mut self) -> Result<Cycle, Ending> {
        let max = usize::try_from(self.worker.live().pool.max_packet_size).unwrap_or(usize::MAX);
        loop {
            if self.discard > 0 {
                let count = self.discard.min(self.inbound.len());
                self.inbound.consume(count);
                self.discard = self.discard.saturating_sub(count);
            }
            if self.discard > 0 {
                self.read_more().await?;
                continue;
            }
            let found = gather(self.inbound.unread(), max).map_err(distrusted)?;
            match found {
                // An open group goes on; only between groups can Weir close one.
                Gathered::Cycle { length, end: End::Prepared } if self.group.open => {
                    return Ok(Cycle { length, end: End::Open });
                }
                Gathered::Cycle { length, end } => return Ok(Cycle { length, end }),
                Gathered::Stray(length) => self.inbound.consume(length),
                Gathered::Terminate => return Err(Ending::Left),
                Gathered::Unknown(tag) => {
                    let tag = tag.escape_ascii();
                    return Err(Cause::Protocol(format!("unknown message type {tag}")).into());
                }
                Gathered::More if self.lease.is_none() => self.read_more().await?,
                Gathered::More => Box::pin(self.relay_kept()).await?,
            }
        }
    }

    /// Reads once; holds no buffer while there is nothing to read.
    pub(crate) async fn read_more(&mut self) -> Result<(), Ending> {
        let (worker, peer) = (&self.worker, &self.peer);
        let stage = self.must_go_from();
        let (stream, inbound) = (&mut self.stream, &mut self.inbound);
        let count = std::future::poll_fn(|cx| {
            peer.waits(cx);
            if let Some(cause) = peer.must_go(worker, stage) {
                return Poll::Ready(Err(Ending::Told(cause)));
            }
            match stream.poll_readable(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Ending::Left)),
                Poll::Ready(Ok(())) => {}
            }
            let room = inbound.room(&worker.buffers, GATHER_PARSE);
            match stream.poll_read(cx, room) {
                Poll::Pending => {
                    inbound.release(&worker.buffers);
                    Poll::Pending
                }
                Poll::Ready(Ok(count)) if count > 0 => Poll::Ready(Ok(count)),
                Poll::Ready(_) => Poll::Ready(Err(Ending::Left)),
            }
        })
        .await?;
        self.inbound.filled(count);
        Ok(())
    }

    /// What the cycle says, behind what its group said so far.
    fn read(&mut self, cycle: Cycle) -> Result<Reading, Ending> {
        let catalog = self.database.catalog();
        let reader = Reader {
            classes: &self.database.classes,
            space: self.space(catalog.as_deref()),
            metrics: &self.worker.metrics,
            now: self.worker.second(),
            statements: &self.statements,
            wishes: self.meaning.wishes(),
            cluster: &self.database.cluster,
            by_sql: self.meaning.pins().has(sql::Pin::Prepare),
        };
        let bytes = self.inbound.unread().get(..cycle.length).unwrap_or_default();
        let mut reading =
            reader.read(bytes, cycle.end).map_err(|error| Cause::Protocol(error.to_string()))?;
        if !self.meaning.settings().is_readable() {
            reading.distrust();
        }
        Ok(match self.said.take() {
            Some(earlier) if self.group.open => reading.after(earlier),
            _ => reading,
        })
    }

    fn forward(&mut self, cycle: Cycle, reading: &Reading, placed: &Placed) -> Result<(), Ending> {
        let max_prepared = self.worker.live().pool.max_prepared_statements;
        self.bring_server();
        if let (Some(guarded), Some(lease)) = (&placed.guarded, self.lease.as_mut()) {
            guarded.put(lease.server());
        }
        let settings = Rc::clone(self.meaning.settings());
        let as_meant = self.as_meant(&settings);
        let Some(lease) = self.lease.as_mut() else { return Ok(()) };
        let server = lease.server();
        if let Some(begin) = &self.begin {
            server.outbox.bytes.extend_from_slice(begin);
            server.replies.push(policy::replies::Expect::OwnQuery);
        }
        let mut forward = Forward {
            server,
            statements: &mut self.statements,
            interner: &mut self.worker.interner.borrow_mut(),
            group: &mut self.group,
            session: self.number,
            max_prepared,
            as_meant,
            by_sql: self.meaning.pins().has(sql::Pin::Prepare),
        };
        if let Some(told) = &placed.refused {
            forward.poison(told.clone());
            wire::put_sync(&mut forward.server.outbox.bytes);
            forward.server.replies.push(policy::replies::Expect::Sync);
            return Ok(());
        }
        let bytes = self.inbound.unread().get(..cycle.length).unwrap_or_default();
        forward.cycle(bytes, cycle.end).map_err(|error| Cause::Protocol(error.to_string()))?;
        self.shows_route(LastRoute {
            side: placed.side,
            node: Some(Rc::clone(&placed.node)),
            reason: placed.reason,
        });
        tracing::debug!(
            node = %placed.node, reason = placed.reason.as_str(), class = reading.class.as_str(), "cycle"
        );
        Ok(())
    }

    async fn relay(
        &mut self,
        cycle: Cycle,
        reading: &Reading,
        placed: &Placed,
    ) -> Result<Relayed, Ending> {
        let Some(lease) = self.lease.as_mut() else { return Ok(Relayed::Done) };
        let server = lease.server();
        self.peer.runs_on(server.running.clone());
        let mut noticed = std::mem::take(&mut self.noticed);
        let mut closing = Closing {
            meaning: &mut self.meaning,
            greeted: &self.greeted,
            reading,
            database: &self.database,
            scope: &self.scope,
            worker: &self.worker,
            by: placed.by,
            server: (server.commits, server.opened),
            settled: None,
        };
        let mut relay = Relay::new(
            &mut self.stream,
            (&mut self.inbound, &mut self.held, &mut self.outbound),
            server,
            (&mut self.statements, &mut self.told, self.database.schema.newest()),
            &self.worker,
            &mut noticed,
        );
        relay.retries = placed.retries;
        relay.guarded = placed.guarded.map(|guarded| (guarded, &*self.database.cluster));
        relay.ends(cycle.end);
        self.peer.timer.works();
        let must_end = |cx: &Context<'_>, moment| self.peer.must_end(&self.worker, cx, moment);
        let event = relay.run(&mut closing, must_end).await;
        let settled = closing.settled;
        self.peer.runs_on(None);
        let event = match event {
            Ok(event) => event,
            Err(cause) => return Err(self.interrupted(cause, &noticed)),
        };
        if noticed.news.contains(&News::StalePlan) {
            self.retire_bound(cycle);
        }
        self.conclude(&event, noticed, (reading, placed, settled))
    }

    /// Draws the consequences of how a cycle's relay ended.
    fn conclude(
        &mut self,
        event: &Event,
        noticed: Noticed,
        (reading, placed, settled): (&Reading, &Placed, Option<Settled>),
    ) -> Result<Relayed, Ending> {
        // It is not what it is taken for: nobody may have it next, whatever becomes of the cycle.
        if noticed.news.contains(&News::OwnFailed)
            && let Some(server) = self.server()
        {
            server.spoiled = true;
        }
        match event {
            Event::Ended => {
                self.served(reading, placed);
                self.settled(reading, &noticed, settled)?;
                Ok(if noticed.error.is_some() { Relayed::Failed } else { Relayed::Done })
            }
            Event::More => {
                self.noticed = noticed;
                Ok(Relayed::Done)
            }
            Event::Refused(Refusal::StalePlan) => {
                tracing::debug!(node = %placed.node, "a statement's tables have changed: prepared anew");
                self.refused(noticed.status);
                Ok(Relayed::Stale)
            }
            Event::Refused(Refusal::Unproven) => {
                self.unproven();
                Ok(Relayed::Unproven)
            }
            Event::Refused(Refusal::Node(code)) => {
                tracing::info!(node = %placed.node, code = code.as_str(), "a replica refused a read: retried elsewhere");
                self.refused(noticed.status);
                let elsewhere = policy::standby::another_standby_will_do(*code);
                Ok(if elsewhere { Relayed::Lost } else { Relayed::Refused(*code) })
            }
            Event::ServerLost if placed.retries.node && !noticed.shown => {
                self.server_lost();
                self.refused(None);
                Ok(Relayed::Lost)
            }
            Event::ServerLost | Event::Garbled(_) => {
                tracing::warn!(node = %placed.node, %event, "a server was lost while it worked for a client");
                let word = self.last_word(&noticed);
                self.server_lost();
                if word == LastWord::Impossible {
                    return Err(Ending::Left);
                }
                let during = if reading.may_have_written() { Lost::Write } else { Lost::Read };
                Err(Cause::ServerLost { node: placed.node.to_string(), during }.into())
            }
            Event::ClientGone => {
                self.abandon();
                Err(Ending::Left)
            }
        }
    }

    /// Counts a cycle that was served where it was placed.
    fn served(&self, reading: &Reading, placed: &Placed) {
        let metrics = &self.worker.metrics;
        if placed.guarded.is_some() {
            metrics.routed(placed.side, placed.reason);
        }
        if reading.class == sql::Class::Read {
            metrics.read(self.wishes(reading).consistency, placed.side);
        }
    }

    pub(crate) fn last_word(&mut self, noticed: &Noticed) -> LastWord {
        let amid = self.lease.as_mut().is_some_and(|lease| !lease.server().scanner.is_idle());
        if amid || noticed.news.contains(&News::Fatal) {
            return LastWord::Impossible;
        }
        LastWord::Owed
    }

    /// From which stage of a shutdown on the session must go.
    pub(crate) fn must_go_from(&self) -> Stage {
        let idle = self.status == TxStatus::Idle && !self.group.open && self.inbound.is_empty();
        if idle { Stage::Closing } else { Stage::Overdue }
    }

    /// Ends what is under way, if anything is. The client is told why unless it is amid a message.
    pub(crate) fn interrupted(&mut self, cause: Cause, noticed: &Noticed) -> Ending {
        let mut word = self.last_word(noticed);
        if let Some(lease) = self.lease.as_mut() {
            let server = lease.server();
            if !server.inbox.is_empty() || !self.outbound.is_empty() {
                word = LastWord::Impossible;
            }
            if !server.replies.is_empty() {
                self.abandon();
            }
        }
        if word == LastWord::Owed { Ending::Told(cause) } else { Ending::Left }
    }

    /// Stops whatever the server does for a client that is gone, and closes it.
    pub(crate) fn abandon(&mut self) {
        let Some(mut lease) = self.lease.take() else { return };
        if let Some(running) = lease.server().running.clone() {
            let cancelled = running.cancel(Rc::clone(&self.worker));
            // The lease lives until the request is delivered, so that its permit is not given away
            // to a server more than PostgreSQL was promised.
            tokio::task::spawn_local(async move {
                cancelled.await;
                drop(lease);
            });
        }
    }

    async fn leave(mut self: Box<Self>, ending: Ending) {
        let word = self.last_word(&Noticed::default());
        if let (Ending::Told(cause), LastWord::Owed) = (ending, word) {
            tracing::info!(session = self.number.0, %cause, "session ended");
            let _told = cause.put(&mut self.outbound.bytes);
            let told = self.stream.write_all(self.outbound.unsent());
            // A client that does not read must not keep its session alive.
            drop(tokio::time::timeout(std::time::Duration::from_secs(5), told).await);
        }
        if let Some(lease) = self.lease.take() {
            self.end_lease(lease);
        }
        self.stream.close().await;
    }
}

/// Replicas' servers that a read may lose before it waits for a primary.
///
/// More than one, since the servers of a node that ends don't all end at once; few, since it may be
/// the read itself that brings them down.
const MOST_LOSSES: u8 = 3;

/// How a relayed cycle ended.
enum Relayed {
    /// It is answered, or goes on with the client's next messages.
    Done,
    /// It is answered, and the answer was an error.
    Failed,
    /// The client saw nothing; the primary must answer.
    Refused(SqlState),
    /// The same, because of the node: another replica may answer, too.
    Lost,
    /// The client saw nothing: the replica could not prove that it has passed the fence.
    Unproven,
    /// The client saw nothing; its statements have to be prepared anew.
    Stale,
}

/// Whether a client whose session ends can be told why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastWord {
    /// It waits for it.
    Owed,
    /// The server told it already, or it is amid a message and would take the word for the rest.
    Impossible,
}

fn distrusted(error: wire::FrameError) -> Cause {
    match error {
        wire::FrameError::TooLong { length, limit, .. } => Cause::TooLong { length, limit },
        wire::FrameError::BadLength { .. } => Cause::Protocol(error.to_string()),
    }
}
