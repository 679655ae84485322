//! What is wrong with one message whose frame was fine.

use std::{error, fmt};

/// A message that does not follow the manual's "Message Formats".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageError {
    /// No message of this direction begins with this byte.
    UnknownTag(u8),
    /// The body is not laid out as its tag demands.
    Malformed {
        /// First byte of the message.
        tag: u8,
        /// The part that is wrong, as a noun phrase.
        what: &'static str,
    },
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::UnknownTag(tag) => {
                write!(f, "unknown message type {}", tag.escape_ascii())
            }
            Self::Malformed { tag, what } => {
                write!(f, "malformed message of type {}: {what}", tag.escape_ascii())
            }
        }
    }
}

impl error::Error for MessageError {}
