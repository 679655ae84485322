//! Moves bytes between one client and its server until the cycle has ended.
//!
//! Runs of rows are passed on as they were read; only the few messages named by
//! [`policy::replies`] are looked at. Both directions move at once, or a client that pipelines more
//! than the sockets hold would wait for a server that waits for it. Memory is bounded: nothing is
//! read from a side before what it said last was passed on.

mod input;

use std::io;
use std::task::{Context, Poll};

use policy::prepared::ClientStatements;
use policy::replies::{Learned, Show};
use policy::standby::may_succeed_elsewhere;
use wire::{FrameError, ReplyScanner, SqlState, Step, TxStatus, tag};

use self::input::Input;
use crate::buffer::{Buffer, Buffers, CHUNK, Outbox};
use crate::intake::End;
use crate::noticed::Noticed;
use crate::server::Server;
use crate::stream::Stream;

/// Why the relay stopped.
#[derive(Debug)]
pub(crate) enum Event {
    /// All that was sent is answered and the client has all of it.
    Ended,
    /// The client has more messages for the group that is open on the server.
    More,
    /// The server refused the cycle in a way that another node may not; the client saw nothing.
    Refused(SqlState),
    /// The client is gone.
    ClientGone,
    /// The server is gone.
    ServerLost,
    /// The server's stream can't be trusted any more.
    Garbled(FrameError),
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ended => f.write_str("the cycle ended"),
            Self::More => f.write_str("the client has more"),
            Self::Refused(code) => write!(f, "refused with {}", code.as_str()),
            Self::ClientGone => f.write_str("the client is gone"),
            Self::ServerLost => f.write_str("the server closed the connection"),
            Self::Garbled(error) => write!(f, "{error}"),
        }
    }
}

/// One cycle's way through.
pub(crate) struct Relay<'a> {
    pub(crate) client: &'a mut Stream,
    pub(crate) inbound: &'a mut Buffer,
    pub(crate) outbound: &'a mut Outbox,
    pub(crate) server: &'a mut Server,
    pub(crate) statements: &'a mut ClientStatements,
    pub(crate) buffers: &'a Buffers,
    pub(crate) noticed: &'a mut Noticed,
    /// Bytes of `inbound` that stay until the cycle has ended, so that it can be run elsewhere.
    kept: &'a mut usize,
    /// Whether a first reply that is an error may be hidden, for a retry elsewhere.
    pub(crate) retry: bool,
    /// Bytes of `inbound` that are known to be no whole message yet.
    pub(crate) looked_at: usize,
    input: Input,
    /// Bytes at the start of the server's inbox that are cleared for the client.
    cleared: usize,
    /// The cycle's reply is a refusal that the client does not see.
    refused: Option<SqlState>,
    copy: ReplyScanner,
    flushing: bool,
}

/// What a caller is told when the last `ReadyForQuery` was read and before the client is.
pub(crate) trait Settle {
    /// The cycle ended.
    fn ended(&mut self, noticed: &Noticed, status: TxStatus);
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
        statements: &'a mut ClientStatements,
        buffers: &'a Buffers,
        noticed: &'a mut Noticed,
    ) -> Self {
        let input = if server.replies.ends() { Input::Held } else { Input::Group };
        Self {
            client,
            inbound,
            outbound,
            server,
            statements,
            buffers,
            noticed,
            kept,
            retry: false,
            looked_at: 0,
            input,
            cleared: 0,
            refused: None,
            copy: ReplyScanner::default(),
            flushing: false,
        }
    }

    /// Says how the forwarded messages end: only a whole cycle's bytes are kept for a retry.
    pub(crate) fn ends(&mut self, end: End) {
        if !matches!(end, End::Query | End::Sync) {
            self.inbound.consume(*self.kept);
            *self.kept = 0;
            self.retry = false;
        }
        if let End::Cut { missing } = end {
            self.input = Input::Body(missing);
        }
    }

    /// Runs until something has to be decided.
    ///
    /// Not cancel-safe: after a drop the server is in an unknown state and must be closed.
    pub(crate) async fn run(mut self, settle: &mut impl Settle) -> Event {
        self.pay();
        std::future::poll_fn(|cx| self.poll(cx, settle)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>, settle: &mut impl Settle) -> Poll<Event> {
        loop {
            let mut moved = match self.write_server(cx) {
                Ok(moved) => moved,
                Err(_) if self.server.outbox.is_empty() => return Poll::Ready(Event::ServerLost),
                // What the server still says counts: an ErrorResponse usually precedes the end.
                Err(_) => {
                    self.server.outbox.clear();
                    true
                }
            };
            match self.write_client(cx) {
                Ok(written) => moved |= written,
                Err(_) => return Poll::Ready(Event::ClientGone),
            }
            if self.nothing_for_client() {
                if let Some(event) = self.finished() {
                    return Poll::Ready(event);
                }
                match self.read_server(cx, settle) {
                    Ok(read) => moved |= read,
                    Err(event) => return Poll::Ready(event),
                }
            }
            match self.read_client(cx) {
                Ok(Some(event)) => return Poll::Ready(event),
                Ok(None) => {}
                Err(_) => return Poll::Ready(Event::ClientGone),
            }
            moved |= self.copy_on();
            if !moved {
                return Poll::Pending;
            }
        }
    }

    fn nothing_for_client(&self) -> bool {
        self.cleared == 0 && self.outbound.is_empty() && !self.flushing
    }

    fn finished(&self) -> Option<Event> {
        if !self.server.replies.is_empty()
            || !self.server.outbox.is_empty()
            || !self.server.inbox.is_empty()
        {
            return None;
        }
        match (self.refused, self.input) {
            (Some(code), _) => Some(Event::Refused(code)),
            (None, Input::Held) => Some(Event::Ended),
            (None, Input::Group | Input::Copy { .. } | Input::Body(_)) => None,
        }
    }

    fn write_server(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut moved = false;
        while !self.server.outbox.is_empty() {
            match self.server.stream.poll_write(cx, self.server.outbox.unsent()) {
                Poll::Ready(count) => {
                    self.server.outbox.sent(count?);
                    moved = true;
                }
                Poll::Pending => return Ok(moved),
            }
        }
        if let Poll::Ready(Err(error)) = self.server.stream.poll_flush(cx) {
            return Err(error);
        }
        Ok(moved)
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
            if own {
                self.outbound.sent(count);
            } else {
                self.server.inbox.consume(count);
                self.cleared = self.cleared.saturating_sub(count);
            }
            self.noticed.shown = true;
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
        let room = self.server.inbox.room(self.buffers, CHUNK);
        match self.server.stream.poll_read(cx, room) {
            Poll::Pending => {
                // A half of a message stays; nothing else holds a buffer while the server works.
                self.server.inbox.release(self.buffers);
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
                Step::Message { frame, missing: _ } => {
                    let length = frame.bytes.len();
                    let tag = frame.tag;
                    let status = frame.body.first().copied().and_then(TxStatus::from_byte);
                    let code = (tag == tag::ERROR).then(|| wire::parse_error(frame.body).code);
                    self.noticed.notice(self.server, &frame);
                    let (show, learned) = self.server.replies.see(tag);
                    if let Some(learned) = learned {
                        self.learn(learned);
                    }
                    match tag {
                        tag::READY => self.ready(status, settle),
                        tag::COPY_IN => self.copy_in(),
                        _ => {}
                    }
                    match code {
                        Some(code) if self.refuses(code, own) => self.take_back(code, length),
                        _ => self.show(show, length, as_is),
                    }
                }
            }
        }
    }

    fn ready(&mut self, status: Option<TxStatus>, settle: &mut impl Settle) {
        let Some(status) = status else { return };
        self.noticed.status = Some(status);
        if self.server.replies.is_empty() && self.refused.is_none() {
            // A COPY that failed is over; what the client still sends of it is dropped by intake.
            if matches!(self.input, Input::Copy { .. }) {
                self.input = Input::Held;
            }
            settle.ended(self.noticed, status);
        }
    }

    fn copy_in(&mut self) {
        let sync = self.server.replies.copy_in();
        self.input = Input::Copy { sync };
        // The data is not kept, so the cycle can't be run elsewhere any more.
        self.retry = false;
        self.inbound.consume(*self.kept);
        *self.kept = 0;
    }

    /// Whether an error makes another node try instead, because the client saw nothing yet.
    #[expect(clippy::fn_params_excessive_bools, reason = "a fact of the reply, not a mode")]
    fn refuses(&self, code: SqlState, own: bool) -> bool {
        self.retry
            && !own
            && !self.noticed.shown
            && self.refused.is_none()
            && may_succeed_elsewhere(code)
    }

    /// Hides this reply, from its first byte to its last.
    fn take_back(&mut self, code: SqlState, length: usize) {
        self.refused = Some(code);
        self.outbound.clear();
        self.server.inbox.consume(self.cleared.saturating_add(length));
        self.cleared = 0;
        for name in self.noticed.named.drain(..) {
            self.statements.remove(&name);
        }
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "facts of the reply, not modes")]
    fn pass(&mut self, count: usize, as_is: bool, own: bool) {
        if as_is {
            self.cleared = self.cleared.saturating_add(count);
            return;
        }
        if !own && self.refused.is_none() {
            self.copy_out(count);
        }
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
                    Learned::Forgotten(_) => wire::put_close_complete(&mut self.outbound.bytes),
                    Learned::Prepared(_) | Learned::OnServer(_) | Learned::OffServer(_) => {
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
            Learned::Forgotten(name) => self.statements.remove(&name),
        }
    }
}
