//! Moves bytes between one client and its server until the cycle has ended.
//!
//! Runs of rows are passed on as they were read; only the few messages named by
//! [`policy::replies`] are looked at. Both directions move at once, or a client that pipelines more
//! than the sockets hold would wait for a server that waits for it. Memory is bounded: nothing is
//! read from a side before what it said last was passed on.

mod event;
mod input;

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use policy::Proof;
use policy::prepared::{ClientStatements, SchemaNumber, columns_of};
use policy::replies::{Learned, Show};
use policy::reports::{KnownReports, Reports};
use policy::standby::{is_stale_plan, may_succeed_elsewhere};
use wire::{ErrorFields, Frame, FrameError, ReplyScanner, SqlState, Step, TxStatus, tag};

pub(crate) use self::event::{Event, Refusal, Retries};
use self::input::Input;
use crate::buffer::{Buffer, CHUNK, Outbox};
use crate::error::Cause;
use crate::guarded::Guarded;
use crate::intake::End;
use crate::noticed::Noticed;
use crate::server::Server;
use crate::stream::Stream;
use crate::view::ClusterView;
use crate::worker::Worker;

/// Steps that a relay takes before the worker's other sessions have theirs, each of a full buffer at most: half a
/// megabyte, well below a millisecond.
const TURN: u32 = 16;

/// When a relay asks whether its session must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// It was woken: there may be something to move.
    Woken,
    /// It moved what there was, or as much as its turn allows.
    Resting,
}

/// One cycle's way through.
pub(crate) struct Relay<'a> {
    pub(crate) client: &'a mut Stream,
    pub(crate) inbound: &'a mut Buffer,
    pub(crate) outbound: &'a mut Outbox,
    pub(crate) server: &'a mut Server,
    pub(crate) statements: &'a mut ClientStatements,
    pub(crate) worker: &'a Worker,
    /// What the client was told last of its server.
    pub(crate) told: &'a mut Rc<Reports>,
    pub(crate) noticed: &'a mut Noticed,
    /// Bytes of `inbound` that stay until the cycle has ended, so that it can be run elsewhere.
    kept: &'a mut usize,
    /// Which first reply, if it is an error, may be hidden for a retry.
    pub(crate) retries: Retries,
    /// What the server must prove before anything is shown, and in which cluster.
    pub(crate) guarded: Option<(Guarded, &'a ClusterView)>,
    /// Bytes of `inbound` that are known to be no whole message yet.
    pub(crate) looked_at: usize,
    input: Input,
    /// Bytes at the start of the server's inbox that are cleared for the client.
    cleared: usize,
    /// Bytes at the start of `outbound` that are no reply: what the server reports otherwise.
    news: usize,
    /// The cycle's reply is a refusal that the client does not see.
    refused: Option<Refusal>,
    copy: ReplyScanner,
    flushing: bool,
    /// The database's schema when the relay began.
    schema: SchemaNumber,
}

/// What a caller is told when the last `ReadyForQuery` was read and before the client is.
pub(crate) trait Settle {
    /// The cycle ended with this status, and these reports of its server; what is appended to `out` comes to the client before its `ReadyForQuery`.
    fn ended(&mut self, noticed: &Noticed, how: (TxStatus, &Reports), out: &mut Vec<u8>);
}

impl<'a> Relay<'a> {
    /// A relay for bytes that stand in the server's outbox and replies that stand in its queue.
    #[expect(
        clippy::too_many_arguments,
        reason = "the two ends, their buffers, and what is noticed; no two belong together"
    )]
    pub(crate) fn new(
        client: &'a mut Stream,
        (inbound, kept, outbound): (&'a mut Buffer, &'a mut usize, &'a mut Outbox),
        server: &'a mut Server,
        (statements, told, schema): (&'a mut ClientStatements, &'a mut Rc<Reports>, SchemaNumber),
        worker: &'a Worker,
        noticed: &'a mut Noticed,
    ) -> Self {
        let input = if server.replies.ends() { Input::Held } else { Input::Group };
        Self {
            client,
            inbound,
            outbound,
            server,
            statements,
            worker,
            told,
            noticed,
            kept,
            retries: Retries::default(),
            guarded: None,
            looked_at: 0,
            input,
            cleared: 0,
            news: 0,
            refused: None,
            copy: ReplyScanner::default(),
            flushing: false,
            schema,
        }
    }

    /// Says how the forwarded messages end: only a whole cycle's bytes are kept for a retry.
    pub(crate) fn ends(&mut self, end: End) {
        if matches!(end, End::Open | End::Cut { .. }) {
            self.inbound.consume(*self.kept);
            *self.kept = 0;
            self.retries = Retries::default();
        }
        if let End::Cut { missing } = end {
            self.input = Input::Body(missing);
        }
    }

    /// Runs until something has to be decided, unless the session must end before: `must_end` is asked whenever
    /// it is woken, and again when it rests.
    ///
    /// One future for all of that, which borrows: a cycle's memory is written anew for each.
    /// Not cancel-safe: after a drop the server is in an unknown state and must be closed.
    ///
    /// # Errors
    ///
    /// What `must_end` said; the server is in an unknown state.
    pub(crate) async fn run(
        &mut self,
        settle: &mut impl Settle,
        must_end: impl Fn(&Context<'_>, Moment) -> Option<Cause>,
    ) -> Result<Event, Cause> {
        self.turn_to_client();
        self.pay();
        loop {
            let turn = std::future::poll_fn(|cx| {
                if let Some(cause) = must_end(cx, Moment::Woken) {
                    return Poll::Ready(Err(cause));
                }
                let moved = self.poll(cx, settle).map(Ok);
                // A stream that never pauses must not keep a session that has to go.
                let rests = !matches!(moved, Poll::Ready(Ok(Some(_))));
                let cause = if rests { must_end(cx, Moment::Resting) } else { None };
                cause.map_or(moved, |cause| Poll::Ready(Err(cause)))
            });
            match turn.await? {
                Some(event) => return Ok(event),
                // Sockets are looked at before it goes on.
                None => tokio::task::yield_now().await,
            }
        }
    }

    /// Moves what can be moved; `None` when it had its turn and others have to have theirs.
    fn poll(&mut self, cx: &mut Context<'_>, settle: &mut impl Settle) -> Poll<Option<Event>> {
        for _ in 0..TURN {
            match self.step(cx, settle) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(event) => return Poll::Ready(Some(event)),
            }
        }
        Poll::Ready(None)
    }

    /// Tries each direction once; says whether anything came of it that lets another one go on.
    ///
    /// # Errors
    ///
    /// The event that ends the relay, be it as it should.
    fn step(&mut self, cx: &mut Context<'_>, settle: &mut impl Settle) -> Result<bool, Event> {
        if self.write_server(cx).is_err() {
            if self.server.outbox.is_empty() {
                return Err(Event::ServerLost);
            }
            // What the server still says counts: an ErrorResponse usually precedes the end.
            self.server.outbox.clear();
        }
        let mut moved = self.write_client(cx).map_err(|_| Event::ClientGone)?;
        if self.nothing_for_client() {
            if let Some(event) = self.finished() {
                return Err(event);
            }
            moved |= self.read_server(cx, settle)?;
        }
        // Nearly always the next step ends the cycle; the client is heard when all else waits, or when it has COPY data.
        if !moved || !matches!(self.input, Input::Held) {
            match self.read_client(cx) {
                Ok(Some(event)) => return Err(event),
                Ok(None) => {}
                Err(_) => return Err(Event::ClientGone),
            }
            moved |= self.copy_on();
        }
        Ok(moved)
    }

    fn nothing_for_client(&self) -> bool {
        self.cleared == 0 && self.outbound.is_empty() && !self.flushing
    }

    fn finished(&self) -> Option<Event> {
        if self.refused == Some(Refusal::Unproven) {
            return Some(Event::Refused(Refusal::Unproven));
        }
        if !self.server.replies.is_empty()
            || !self.server.outbox.is_empty()
            || !self.server.inbox.is_empty()
        {
            return None;
        }
        match (self.refused, self.input) {
            (Some(refusal), _) => Some(Event::Refused(refusal)),
            (None, Input::Held) => Some(Event::Ended),
            (None, Input::Group | Input::Copy { .. } | Input::Body(_)) => None,
        }
    }

    fn write_server(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while !self.server.outbox.is_empty() {
            match self.server.stream.poll_write(cx, self.server.outbox.unsent()) {
                Poll::Ready(count) => self.server.outbox.sent(count?),
                Poll::Pending => return Ok(()),
            }
        }
        match self.server.stream.poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    fn write_client(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut moved = false;
        loop {
            // What Weir itself owes was put there before anything behind it was cleared.
            let (own, bytes) = if self.outbound.is_empty() {
                (false, self.server.inbox.unread().get(..self.cleared).unwrap_or_default())
            } else {
                (true, self.outbound.unsent())
            };
            if bytes.is_empty() {
                break;
            }
            let Poll::Ready(count) = self.client.poll_write(cx, bytes) else { return Ok(moved) };
            let count = count?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.noticed.shown |= !own || count > self.news;
            if own {
                self.outbound.sent(count);
                self.news = self.news.saturating_sub(count);
            } else {
                self.server.inbox.consume(count);
                self.cleared = self.cleared.saturating_sub(count);
            }
            self.flushing = true;
            moved = true;
        }
        if self.flushing && self.client.poll_flush(cx)?.is_ready() {
            self.flushing = false;
        }
        Ok(moved)
    }

    fn read_server(
        &mut self,
        cx: &mut Context<'_>,
        settle: &mut impl Settle,
    ) -> Result<bool, Event> {
        let room = self.server.inbox.room(&self.worker.buffers, CHUNK);
        match self.server.stream.poll_read(cx, room) {
            Poll::Pending => {
                // A half of a message stays; nothing else holds a buffer while the server works.
                self.server.inbox.release(&self.worker.buffers);
                Ok(false)
            }
            Poll::Ready(Ok(count)) if count > 0 => {
                self.server.inbox.filled(count);
                self.digest(settle).map_err(Event::Garbled)?;
                Ok(true)
            }
            Poll::Ready(_) => Err(Event::ServerLost),
        }
    }

    /// Looks at what arrived: clears it for the client, keeps it back, or answers in its place.
    fn digest(&mut self, settle: &mut impl Settle) -> Result<(), FrameError> {
        loop {
            self.pay();
            let as_is =
                self.server.replies.as_is() && self.outbound.is_empty() && self.refused.is_none();
            let own = self.server.replies.own();
            let interest = self.server.replies.interest();
            let full = self.server.inbox.is_full(CHUNK);
            let unread = self.server.inbox.unread().get(self.cleared..).unwrap_or_default();
            match self.server.scanner.next(unread, interest, full)? {
                Step::More => return Ok(()),
                Step::Pass(count) => self.pass(count, as_is, own),
                Step::Message { frame, missing } => {
                    let (tag, length) = (frame.tag, frame.bytes.len());
                    let status = frame.body.first().copied().and_then(TxStatus::from_byte);
                    let refusal = match tag {
                        tag::ERROR if !own => self.refusal(&wire::parse_error(frame.body)),
                        _ => None,
                    };
                    self.noticed.notice(self.server, &frame);
                    let reports = &mut self.server.reports;
                    if reported(&frame, reports, &self.worker.reports)
                        && !own
                        && self.refused.is_none()
                    {
                        *self.told = Rc::clone(reports);
                    }
                    let proves = self.server.replies.proves();
                    let (show, learned) = self.server.replies.see(tag);
                    if missing == 0 {
                        described(learned.as_ref(), &frame, self.schema);
                    }
                    if proves && self.is_disproved(tag) {
                        self.server.inbox.consume(length);
                        return Ok(());
                    }
                    if missing > 0 {
                        // The beginning of an answer is none.
                        self.noticed.answer = None;
                        self.server.hides_rest = show != Show::AsIs;
                    }
                    if let Some(learned) = learned {
                        self.learn(learned);
                    }
                    match tag {
                        tag::READY => self.ready(status, settle),
                        tag::COPY_IN => self.copy_in(),
                        _ => {}
                    }
                    match refusal {
                        Some(refusal) => self.take_back(refusal, length),
                        None if tag == tag::ERROR && !own && missing == 0 => {
                            self.show_error(show, length, as_is);
                        }
                        None => self.show(show, length, as_is),
                    }
                    if own && tag == tag::READY {
                        self.turn_to_client();
                    }
                }
            }
        }
    }

    /// Whether a reply to the guard says that the read must not be served here.
    fn is_disproved(&mut self, reply: u8) -> bool {
        let Some((guarded, cluster)) = self.guarded else { return false };
        match reply {
            tag::PARSE_COMPLETE => guarded.parsed(self.server),
            // It may not be prepared as was thought: let the next session have another server.
            tag::ERROR => self.server.spoiled = true,
            _ => {}
        }
        if reply != tag::READY {
            return false;
        }
        let value = self.noticed.proof.take();
        let proof = guarded.judge(value.as_deref(), cluster, &self.worker.metrics);
        if proof == Proof::Passed {
            return false;
        }
        self.refused = Some(Refusal::Unproven);
        true
    }

    /// Tells the client, before it sees the first reply, what its server reports otherwise than what
    /// it was told last (manual, 55.2.7).
    fn turn_to_client(&mut self) {
        if self.server.replies.own() || Rc::ptr_eq(self.told, &self.server.reports) {
            return;
        }
        crate::greeting::put_news(&mut self.outbound.bytes, &self.server.reports, self.told);
        self.news = self.outbound.unsent().len();
        *self.told = Rc::clone(&self.server.reports);
    }

    fn ready(&mut self, status: Option<TxStatus>, settle: &mut impl Settle) {
        let Some(status) = status else { return };
        self.noticed.status = Some(status);
        if self.server.replies.is_empty() && self.refused.is_none() {
            // A COPY that failed is over; what the client still sends of it is dropped by intake.
            if matches!(self.input, Input::Copy { .. }) {
                self.input = Input::Held;
            }
            let mut more = Vec::new();
            settle.ended(self.noticed, (status, &self.server.reports), &mut more);
            self.tell(&more);
        }
    }

    fn copy_in(&mut self) {
        let sync = self.server.replies.copy_in();
        self.input = Input::Copy { sync };
        // The data is not kept, so the cycle can't be run elsewhere any more.
        self.retries = Retries::default();
        self.inbound.consume(*self.kept);
        *self.kept = 0;
    }

    /// Tells the client something of Weir's own behind the replies that it was cleared for.
    fn tell(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.copy_out(self.cleared);
        self.server.inbox.consume(std::mem::take(&mut self.cleared));
        self.outbound.bytes.extend_from_slice(bytes);
    }

    /// Whether the cycle may be run again after this error: the client saw nothing yet.
    fn refusal(&self, error: &ErrorFields<'_>) -> Option<Refusal> {
        if self.noticed.shown || self.refused.is_some() {
            return None;
        }
        let stale = is_stale_plan(error);
        if stale && self.retries.stale_plan {
            return Some(Refusal::StalePlan);
        }
        let elsewhere = self.retries.node && !stale && may_succeed_elsewhere(error.code);
        elsewhere.then_some(Refusal::Node(error.code))
    }

    /// Hides this reply, from its first byte to its last.
    fn take_back(&mut self, refusal: Refusal, length: usize) {
        self.refused = Some(refusal);
        self.outbound.keep(self.news);
        self.server.inbox.consume(self.cleared.saturating_add(length));
        self.cleared = 0;
        for name in self.noticed.named.drain(..) {
            self.statements.remove(&name);
        }
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "facts of the reply, not modes")]
    fn pass(&mut self, count: usize, as_is: bool, own: bool) {
        self.noticed.answered |= !own && self.noticed.error.is_none();
        if as_is {
            self.cleared = self.cleared.saturating_add(count);
            return;
        }
        let hidden = own || std::mem::take(&mut self.server.hides_rest);
        if !hidden && self.refused.is_none() {
            self.copy_out(count);
        }
        // The rest may come in several parts.
        self.server.hides_rest = hidden && !own && !self.server.scanner.is_idle();
        self.server.inbox.consume(count);
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "a fact of the reply, not a mode")]
    fn show(&mut self, show: Show, length: usize, as_is: bool) {
        match show {
            _ if self.refused.is_some() => {}
            Show::AsIs if as_is => {
                self.cleared = self.cleared.saturating_add(length);
                return;
            }
            Show::AsIs => self.copy_out(length),
            Show::Instead(message) => self.outbound.bytes.extend_from_slice(&message),
            Show::Nothing => {}
        }
        self.server.inbox.consume(length);
    }

    /// Shows an error; in words of Weir's own if it was Weir that had the statement cancelled.
    #[expect(clippy::fn_params_excessive_bools, reason = "a fact of the reply, not a mode")]
    fn show_error(&mut self, show: Show, length: usize, as_is: bool) {
        let cancelled = self.noticed.error == Some(SqlState::QUERY_CANCELED);
        let running = self.server.running.as_ref().filter(|_| cancelled);
        let stopped = running.and_then(|running| running.stopped());
        let Some(cause) = stopped else { return self.show(show, length, as_is) };
        // What was cleared before goes first.
        self.copy_out(self.cleared);
        self.server.inbox.consume(self.cleared);
        self.cleared = 0;
        let mut told = Vec::new();
        let _told = cause.put(&mut told);
        self.show(Show::Instead(told.into()), length, false);
    }

    /// Copies from the inbox: only for replies that Weir edits. Nothing is cleared at that time.
    fn copy_out(&mut self, count: usize) {
        let bytes = self.server.inbox.unread().get(..count).unwrap_or_default();
        self.outbound.bytes.extend_from_slice(bytes);
    }

    /// Pays the replies that Weir owes without having asked the server.
    fn pay(&mut self) {
        while let Some(learned) = self.server.replies.owed() {
            if self.refused.is_none() {
                match &learned {
                    Learned::Closed(_) => wire::put_close_complete(&mut self.outbound.bytes),
                    Learned::Forgotten(_) => {}
                    Learned::Prepared(_)
                    | Learned::OnServer(_)
                    | Learned::OffServer(_)
                    | Learned::Described(_) => {
                        wire::put_parse_complete(&mut self.outbound.bytes);
                    }
                }
            }
            self.learn(learned);
        }
    }

    fn learn(&mut self, learned: Learned) {
        match learned {
            Learned::Prepared(named) => {
                self.server.statements.insert(named.statement.id);
                self.noticed.named.push(named.name.clone());
                self.statements.insert(&named.name, named.statement);
            }
            Learned::OnServer(id) => self.server.statements.insert(id),
            Learned::OffServer(id) => self.server.statements.remove(id),
            Learned::Described(_) => {}
            Learned::Closed(name) | Learned::Forgotten(name) => self.statements.remove(&name),
        }
    }
}

/// Takes note of what a server reports of itself, if that is what the message does.
fn reported(frame: &Frame<'_>, reports: &mut Rc<Reports>, known: &KnownReports) -> bool {
    if frame.tag != tag::PARAMETER_STATUS {
        return false;
    }
    let Ok((name, value)) = wire::parameter_status(frame.body) else { return false };
    *reports = known.with(reports, name, value);
    true
}

/// Takes note of a statement's columns, if that is what the message says.
fn described(learned: Option<&Learned>, frame: &Frame<'_>, schema: SchemaNumber) {
    if let Some(Learned::Described(statement)) = learned {
        // A change shows where it matters: the next server's answer differs again.
        let _columns = statement.describes(columns_of(frame.body), schema);
    }
}
