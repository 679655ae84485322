//! Where one tagged message ends and the next begins; not what it says.

use std::{error, fmt};

/// Tag and length field.
pub(crate) const HEADER: usize = 5;

/// One whole message, borrowed from the buffer it was read into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// First byte: the kind of message, see [`tag`](crate::tag) and [`ftag`](crate::ftag).
    pub tag: u8,
    /// What follows the length field.
    pub body: &'a [u8],
    /// Header and body: what to forward.
    pub bytes: &'a [u8],
}

/// What the first five bytes of a message say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// First byte: the kind of message.
    pub tag: u8,
    /// Bytes that follow the five of the header.
    pub body_len: usize,
}

/// Splits the first frame off `buf`, returning it and the bytes after it.
///
/// `Ok(None)` means "read more"; no bytes are consumed. A message whose body is
/// longer than `max_body` is refused as soon as its header is there.
///
/// # Errors
///
/// [`FrameError`] when the stream can no longer be trusted; drop the connection.
pub fn next_frame(buf: &[u8], max_body: usize) -> Result<Option<(Frame<'_>, &[u8])>, FrameError> {
    let Some(header) = peek_header(buf, max_body)? else { return Ok(None) };
    let Some((bytes, rest)) = buf.split_at_checked(header.body_len.saturating_add(HEADER)) else {
        return Ok(None);
    };
    Ok(Some((Frame::new(header.tag, bytes), rest)))
}

/// Reads the header at the start of `buf`; five bytes suffice.
///
/// # Errors
///
/// As for [`next_frame`].
pub fn peek_header(buf: &[u8], max_body: usize) -> Result<Option<Header>, FrameError> {
    let Some(&[tag, a, b, c, d]) = buf.first_chunk::<HEADER>() else { return Ok(None) };
    let length = i32::from_be_bytes([a, b, c, d]);
    let body_len = body_len(length).ok_or(FrameError::BadLength { tag, length })?;
    if body_len > max_body {
        return Err(FrameError::TooLong { tag, length: body_len, limit: max_body });
    }
    Ok(Some(Header { tag, body_len }))
}

/// The length field counts itself but not the tag.
#[inline]
pub(crate) fn body_len(length: i32) -> Option<usize> {
    usize::try_from(length.checked_sub(4)?).ok()
}

impl<'a> Frame<'a> {
    /// `bytes` are header and body, or the part of them that is there.
    #[inline]
    pub(crate) fn new(tag: u8, bytes: &'a [u8]) -> Self {
        Self { tag, body: bytes.get(HEADER..).unwrap_or_default(), bytes }
    }
}

/// A length field that can't be followed: the message boundaries are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// The length is smaller than its own field.
    BadLength {
        /// First byte of the message.
        tag: u8,
        /// The length field as sent.
        length: i32,
    },
    /// The body is longer than this connection accepts.
    TooLong {
        /// First byte of the message.
        tag: u8,
        /// Bytes of its body.
        length: usize,
        /// Bytes of a body that would be accepted.
        limit: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BadLength { tag, length } => {
                write!(f, "message of type {} has the invalid length {length}", tag.escape_ascii())
            }
            Self::TooLong { tag, length, limit } => write!(
                f,
                "message of type {} has {length} bytes, more than the {limit} accepted",
                tag.escape_ascii()
            ),
        }
    }
}

impl error::Error for FrameError {}
