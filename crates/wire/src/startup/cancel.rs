//! The key that lets another connection cancel a query.

use std::fmt;

use crate::{cursor::Cursor, encode::untagged};

use super::CANCEL_REQUEST;

/// What `BackendKeyData` gives and `CancelRequest` brings back.
///
/// The secret has 4 bytes in protocol 3.0 and 4 to 256 in 3.2. `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CancelKey {
    /// The server's process id, or what stands for it.
    pub pid: i32,
    /// Proves that the canceller is who was given the key.
    pub secret: Vec<u8>,
}

impl CancelKey {
    pub(crate) fn parse(mut cursor: Cursor<'_>) -> Option<Self> {
        let pid = cursor.i32()?;
        let secret = cursor.rest();
        (4..=256).contains(&secret.len()).then(|| Self { pid, secret: secret.to_vec() })
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.pid.to_be_bytes());
        out.extend_from_slice(&self.secret);
    }
}

impl fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelKey").field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// Appends a `CancelRequest`: all that is sent on a connection of its own.
pub fn put_cancel(out: &mut Vec<u8>, key: &CancelKey) {
    untagged(out, |out| {
        out.extend_from_slice(&CANCEL_REQUEST.to_be_bytes());
        key.put(out);
    });
}
