//! Byte buffers that idle sessions do not hold.
//!
//! A worker keeps a free list; a [`Buffer`] takes its memory at the first byte and gives it back
//! when it is empty, so that an idle client costs no buffer at all.

use std::cell::{Cell, RefCell};

/// Size of a pooled buffer, bytes: large enough that big results need few system calls.
pub(crate) const CHUNK: usize = 32 * 1024;
/// Memory that a resting server keeps for its next cycle, bytes.
const SMALL: usize = 4 * 1024;
/// Free buffers that a worker keeps.
const KEPT: usize = 256;

/// A worker's free list.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    free: RefCell<Vec<Vec<u8>>>,
    /// The fewest that were free at a time since the last [`Self::trim`].
    spare: Cell<usize>,
}

impl Buffers {
    fn take(&self) -> Vec<u8> {
        let mut free = self.free.borrow_mut();
        let taken = free.pop();
        self.spare.set(self.spare.get().min(free.len()));
        taken.unwrap_or_else(|| vec![0; CHUNK])
    }

    /// Gives back what nobody needed since the last call: a rush must not be paid for for ever.
    pub(crate) fn trim(&self) {
        let mut free = self.free.borrow_mut();
        let kept = free.len().saturating_sub(self.spare.get());
        free.truncate(kept);
        self.spare.set(kept);
    }

    fn give(&self, bytes: Vec<u8>) {
        let mut free = self.free.borrow_mut();
        // Grown buffers go back to the allocator, or one large message would be paid for for ever.
        if bytes.len() == CHUNK && free.len() < KEPT {
            free.push(bytes);
        }
    }
}

/// Bytes that were read and not yet used: `bytes[start..end]`.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// What was read and not yet used.
    pub(crate) fn unread(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// How much was read and not yet used.
    pub(crate) fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether all was used.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Marks the first `count` bytes as used.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        if self.is_empty() {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Whether no byte can be added without growing beyond `limit`.
    pub(crate) fn is_full(&self, limit: usize) -> bool {
        self.len() >= limit.max(CHUNK)
    }

    /// Room behind the unread bytes, at least one byte; grows up to `limit`.
    ///
    /// Empty when the unread bytes already reach the limit.
    pub(crate) fn room(&mut self, buffers: &Buffers, limit: usize) -> &mut [u8] {
        if self.bytes.is_empty() {
            self.bytes = buffers.take();
        }
        if self.end == self.bytes.len() {
            if self.start > 0 {
                self.bytes.copy_within(self.start..self.end, 0);
                self.end = self.len();
                self.start = 0;
            } else if self.bytes.len() < limit {
                let grown = self.bytes.len().saturating_mul(2).min(limit);
                self.bytes.resize(grown, 0);
            }
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// Appends `bytes`, which are few.
    pub(crate) fn put(&mut self, buffers: &Buffers, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let limit = self.len().saturating_add(rest.len());
            let room = self.room(buffers, limit.max(CHUNK));
            let count = rest.len().min(room.len());
            let (now, later) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            room.iter_mut().zip(now).for_each(|(to, from)| *to = *from);
            self.filled(count);
            rest = later;
            if count == 0 {
                return;
            }
        }
    }

    /// Takes note that `count` bytes were put into [`Self::room`].
    pub(crate) fn filled(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.bytes.len());
    }

    /// Gives the memory back if nothing is unread.
    pub(crate) fn release(&mut self, buffers: &Buffers) {
        if self.is_empty() && !self.bytes.is_empty() {
            self.start = 0;
            self.end = 0;
            buffers.give(std::mem::take(&mut self.bytes));
        }
    }
}

/// Bytes to be written: `bytes[sent..]`.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    /// What is still to be written.
    pub(crate) fn unsent(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    /// Whether all was written.
    pub(crate) fn is_empty(&self) -> bool {
        self.sent >= self.bytes.len()
    }

    /// Takes note that `count` bytes were written.
    pub(crate) fn sent(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count);
        if self.is_empty() {
            self.sent = 0;
            self.bytes.clear();
            // A large message must not be paid for once it is gone.
            self.bytes.shrink_to(CHUNK);
        }
    }

    /// Forgets what was not written, but for its first `count` bytes.
    pub(crate) fn keep(&mut self, count: usize) {
        self.bytes.truncate(self.sent.saturating_add(count));
    }

    /// Forgets what was not written.
    pub(crate) fn clear(&mut self) {
        self.sent = 0;
        self.bytes.clear();
    }

    /// Gives the memory back if nothing is unsent.
    pub(crate) fn release(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }

    /// The same, but for a little that is kept for the next cycle: servers are few, unlike clients.
    pub(crate) fn rest(&mut self) {
        if self.is_empty() && self.bytes.capacity() > SMALL {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(buffer: &mut Buffer, buffers: &Buffers, bytes: &[u8], limit: usize) -> usize {
        let room = buffer.room(buffers, limit);
        let count = bytes.len().min(room.len());
        room[..count].copy_from_slice(&bytes[..count]);
        buffer.filled(count);
        count
    }

    #[test]
    fn an_emptied_buffer_goes_back_to_the_free_list() {
        let (buffers, mut buffer) = (Buffers::default(), Buffer::default());
        put(&mut buffer, &buffers, b"abc", CHUNK);
        buffer.release(&buffers);
        assert_eq!(buffer.unread(), b"abc", "unread bytes are never given away");
        buffer.consume(3);
        buffer.release(&buffers);
        assert_eq!(buffers.free.borrow().len(), 1);
    }

    #[test]
    fn buffers_that_nobody_needed_for_a_while_are_given_back() {
        let (buffers, mut one, mut two) =
            (Buffers::default(), Buffer::default(), Buffer::default());
        for buffer in [&mut one, &mut two] {
            put(buffer, &buffers, b"a", CHUNK);
        }
        for buffer in [&mut one, &mut two] {
            buffer.consume(1);
            buffer.release(&buffers);
        }
        buffers.trim();
        assert_eq!(buffers.free.borrow().len(), 2, "both were needed since the start");
        put(&mut one, &buffers, b"a", CHUNK);
        one.consume(1);
        one.release(&buffers);
        buffers.trim();
        assert_eq!(buffers.free.borrow().len(), 1, "one was enough");
        buffers.trim();
        assert_eq!(buffers.free.borrow().len(), 0);
    }

    #[test]
    fn room_is_made_by_moving_before_growing() {
        let (buffers, mut buffer) = (Buffers::default(), Buffer::default());
        assert_eq!(put(&mut buffer, &buffers, &vec![7; CHUNK], CHUNK), CHUNK);
        assert!(buffer.room(&buffers, CHUNK).is_empty());
        buffer.consume(10);
        assert_eq!(buffer.room(&buffers, CHUNK).len(), 10);
        assert_eq!(buffer.len(), CHUNK - 10);
    }

    #[test]
    fn growth_stops_at_the_limit() {
        let (buffers, mut buffer) = (Buffers::default(), Buffer::default());
        let limit = CHUNK + 100;
        let mut total = 0;
        loop {
            let count = put(&mut buffer, &buffers, &vec![7; CHUNK], limit);
            if count == 0 {
                break;
            }
            total += count;
        }
        assert_eq!(total, limit);
        assert!(buffer.is_full(limit));
    }
}
