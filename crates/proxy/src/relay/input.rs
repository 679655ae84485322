//! What becomes of the client's bytes while its server works: held, told of, or passed straight on.

use std::io;
use std::task::{Context, Poll};

use wire::{Interest, Step};

use super::{Event, Relay};
use crate::buffer::CHUNK;
use crate::intake::GATHER_PARSE;

/// Bytes towards the server that may wait before the client is not read any more (COPY FROM STDIN).
const COPY_AHEAD: usize = 2 * CHUNK;

const COPY_ENDS: Interest = Interest::of(b"cfS");

/// Where the client's bytes go while the relay runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// Nowhere: they are the next cycle's.
    Held,
    /// Into the group that is open on the server: tell the caller.
    Group,
    /// Straight through: COPY data.
    Copy {
        /// Whether a `Sync` must follow (extended protocol).
        sync: bool,
    },
    /// Straight through, this many bytes: the rest of a message too large to be gathered.
    Body(usize),
}

impl Relay<'_> {
    pub(super) fn read_client(&mut self, cx: &mut Context<'_>) -> io::Result<Option<Event>> {
        let ahead = self.server.outbox.unsent().len() >= COPY_AHEAD;
        let limit = match self.input {
            // What is there may be the beginning of one large message.
            Input::Group => GATHER_PARSE,
            Input::Held | Input::Copy { .. } | Input::Body(_) => (*self.kept).saturating_add(CHUNK),
        };
        let wanted = match self.input {
            Input::Group if self.inbound.len() > self.looked_at => {
                return Ok(self.nothing_for_client().then_some(Event::More));
            }
            Input::Held | Input::Group => self.inbound.len() < limit,
            Input::Copy { .. } | Input::Body(_) => !ahead,
        };
        if !wanted {
            return Ok(None);
        }
        if let Poll::Ready(ready) = self.client.poll_readable(cx) {
            ready?;
            let room = self.inbound.room(&self.worker.buffers, limit);
            if room.is_empty() {
                return Ok(None);
            }
            match self.client.poll_read(cx, room) {
                Poll::Ready(count) => {
                    let count = count?;
                    if count == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    self.inbound.filled(count);
                    if self.input == Input::Group && self.nothing_for_client() {
                        return Ok(Some(Event::More));
                    }
                }
                Poll::Pending => self.inbound.release(&self.worker.buffers),
            }
        }
        Ok(None)
    }

    /// Passes COPY data, or the rest of a large message, straight on.
    pub(super) fn copy_on(&mut self) -> bool {
        let mut moved = false;
        while self.server.outbox.unsent().len() < COPY_AHEAD {
            let unread = self.inbound.unread();
            let (count, next) = match self.input {
                Input::Body(left) => {
                    let count = left.min(unread.len());
                    let rest = left.saturating_sub(count);
                    let done = if self.server.replies.ends() { Input::Held } else { Input::Group };
                    (count, if rest == 0 { done } else { Input::Body(rest) })
                }
                Input::Copy { sync } => {
                    match self.copy.next(unread, COPY_ENDS, self.inbound.is_full(CHUNK)) {
                        Ok(Step::Pass(count)) => (count, self.input),
                        Ok(Step::Message { frame, .. }) if frame.tag == b'S' => {
                            // A Sync within COPY data is ignored by the server; behind an error it ends the group.
                            match (sync, self.noticed.error) {
                                (true, Some(_)) => {
                                    self.input = Input::Group;
                                    return moved;
                                }
                                _ => (frame.bytes.len(), self.input),
                            }
                        }
                        Ok(Step::Message { frame, .. }) => {
                            (frame.bytes.len(), if sync { Input::Group } else { Input::Held })
                        }
                        Ok(Step::More) | Err(_) => break,
                    }
                }
                Input::Held | Input::Group => break,
            };
            if count == 0 {
                break;
            }
            self.server.outbox.bytes.extend_from_slice(unread.get(..count).unwrap_or_default());
            self.inbound.consume(count);
            self.input = next;
            moved = true;
        }
        moved
    }
}
