//! Names of the prepared statements that Weir makes on servers.

use std::{fmt, ops::Deref};

const PREFIX: &[u8] = b"weir_";
/// The prefix and the digits of `u64::MAX`.
const CAPACITY: usize = 25;

/// `weir_<id>`, on the stack.
///
/// Renaming a client's statement is re-encoding its Parse, Bind or Describe with
/// this name in place of the client's.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ServerName {
    /// Right-aligned: digits are made from the last to the first.
    bytes: [u8; CAPACITY],
    start: usize,
}

/// The name under which statement `id` is prepared on a server.
#[must_use]
pub fn server_name(id: u64) -> ServerName {
    let mut bytes = [0; CAPACITY];
    let mut start = CAPACITY;
    let mut put = |byte: u8| {
        start = start.saturating_sub(1);
        if let Some(place) = bytes.get_mut(start) {
            *place = byte;
        }
    };
    let mut left = id;
    loop {
        let digit = u8::try_from(left % 10).unwrap_or(0);
        put(b'0' | digit);
        left /= 10;
        if left == 0 {
            break;
        }
    }
    PREFIX.iter().rev().for_each(|&byte| put(byte));
    ServerName { bytes, start }
}

impl Deref for ServerName {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

impl AsRef<[u8]> for ServerName {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.escape_ascii())
    }
}

impl fmt::Debug for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerName({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::server_name;

    #[test]
    fn names_hold_every_id_from_the_smallest_to_the_largest() {
        for id in [0, 1, 9, 10, 12_345, u64::MAX] {
            assert_eq!(&*server_name(id), format!("weir_{id}").as_bytes());
        }
    }
}
