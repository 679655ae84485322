//! Finds the few messages of a server's reply that matter, and passes the rest.
//!
//! The hottest code of Weir: rows are never copied or looked into, and a run of
//! them is one [`Step::Pass`], so one write.

use crate::frame::{Frame, FrameError, HEADER, body_len};

/// A set of message tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interest(u128);

impl Interest {
    /// The set of `tags`; what is not ASCII can't be in it.
    #[must_use]
    pub const fn of(tags: &[u8]) -> Self {
        let mut set = Self(0);
        let mut rest = tags;
        while let [tag, after @ ..] = rest {
            set = set.with(*tag);
            rest = after;
        }
        set
    }

    /// This set and `tag`.
    #[must_use]
    pub const fn with(self, tag: u8) -> Self {
        Self(self.0 | bit(tag))
    }

    /// Whether `tag` is in the set.
    #[must_use]
    #[inline]
    pub const fn has(self, tag: u8) -> bool {
        self.0 & bit(tag) != 0
    }
}

#[inline]
const fn bit(tag: u8) -> u128 {
    if tag.is_ascii() { 1_u128.wrapping_shl(tag as u32) } else { 0 }
}

/// What to do with the start of the buffer; then advance it by as much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Step<'b> {
    /// The next bytes (at least one) belong to messages of no interest.
    Pass(usize),
    /// A message of interest; advance by `frame.bytes.len()`.
    Message {
        /// The message, or its beginning when the buffer can't hold it.
        frame: Frame<'b>,
        /// Bytes of it that are yet to come, which later steps report as passed.
        missing: usize,
    },
    /// Nothing to decide on: read more.
    More,
}

/// Walks a server's reply stream, however it was cut into reads.
///
/// Between two calls it holds only how much of a message is still to come, so
/// the buffer may be moved, and given back when it is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplyScanner {
    /// Body bytes of the message being passed that were not in a buffer yet.
    owed: usize,
}

impl ReplyScanner {
    /// Decides on the bytes at the start of `buf`.
    ///
    /// `full` says that `buf` can't grow: a message of interest is then returned
    /// as far as it is there instead of asking for more. Only a buffer of five
    /// bytes (a header) or more may be `full`.
    ///
    /// # Errors
    ///
    /// [`FrameError::BadLength`] when the server's stream can no longer be trusted;
    /// all before it was passed. Drop the server.
    #[inline]
    #[expect(clippy::fn_params_excessive_bools, reason = "a fact about the buffer, not a mode")]
    pub fn next<'b>(
        &mut self,
        buf: &'b [u8],
        interest: Interest,
        full: bool,
    ) -> Result<Step<'b>, FrameError> {
        let mut rest = buf;
        if self.owed > 0 {
            match rest.split_at_checked(self.owed) {
                Some((_, after)) => {
                    self.owed = 0;
                    rest = after;
                }
                None => return Ok(self.pass_all(buf, self.owed)),
            }
        }
        while let Some(&[tag, a, b, c, d]) = rest.first_chunk::<HEADER>() {
            let length = i32::from_be_bytes([a, b, c, d]);
            let known = body_len(length);
            if known.is_none() || interest.has(tag) {
                // Whole messages before this one go first.
                if rest.len() < buf.len() {
                    break;
                }
                let body = known.ok_or(FrameError::BadLength { tag, length })?;
                return Ok(match buf.get(..body.saturating_add(HEADER)) {
                    Some(bytes) => Step::Message { frame: Frame::new(tag, bytes), missing: 0 },
                    None if full => self.cut(tag, body, buf),
                    None => Step::More,
                });
            }
            let total = known.unwrap_or(0).saturating_add(HEADER);
            let Some((_, after)) = rest.split_at_checked(total) else {
                self.owed = total.saturating_sub(rest.len());
                return Ok(Step::Pass(buf.len()));
            };
            rest = after;
        }
        match buf.len().saturating_sub(rest.len()) {
            0 => Ok(Step::More),
            passed => Ok(Step::Pass(passed)),
        }
    }

    /// Whether the bytes given so far ended where a message ends.
    ///
    /// Bytes that the caller still buffers (an incomplete header) don't count.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.owed == 0
    }

    fn pass_all<'b>(&mut self, buf: &'b [u8], owed: usize) -> Step<'b> {
        if buf.is_empty() {
            return Step::More;
        }
        self.owed = owed.saturating_sub(buf.len());
        Step::Pass(buf.len())
    }

    fn cut<'b>(&mut self, tag: u8, body: usize, buf: &'b [u8]) -> Step<'b> {
        self.owed = body.saturating_add(HEADER).saturating_sub(buf.len());
        Step::Message { frame: Frame::new(tag, buf), missing: self.owed }
    }
}
