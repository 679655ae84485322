//! What a client says between two answers: a simple query, or extended messages up to Sync or Flush.

use std::mem;

use wire::Frontend;

/// A statement as the client sent it, with all that goes to a server for it.
pub(crate) struct Request {
    /// The statement's text.
    pub(crate) text: String,
    /// Whole messages.
    pub(crate) bytes: Vec<u8>,
}

/// What to do with what the client has said.
pub(crate) enum Turn {
    /// Nothing yet: the client is not done.
    Gather,
    /// Judge the statement; `ReadyForQuery` follows.
    Judge(Request),
    /// Pass it on; `ReadyForQuery` follows.
    Pass(Vec<u8>),
    /// Pass it on; nobody knows what follows.
    Send(Vec<u8>),
    /// Pass it on; the client leaves.
    Leave(Vec<u8>),
}

/// Extended messages since the last Sync.
#[derive(Default)]
pub(crate) struct Group {
    bytes: Vec<u8>,
    text: Option<String>,
    parses: u32,
    executes: u32,
    flushes: u32,
}

impl Group {
    /// Takes one more message, with its bytes.
    pub(crate) fn take(&mut self, message: &Frontend<'_>, bytes: &[u8]) -> Turn {
        match message {
            Frontend::Query { sql } => match str::from_utf8(sql) {
                Ok(text) => Turn::Judge(Request { text: text.to_owned(), bytes: bytes.to_vec() }),
                Err(_) => Turn::Pass(bytes.to_vec()),
            },
            Frontend::FunctionCall => Turn::Pass(bytes.to_vec()),
            Frontend::Terminate => Turn::Leave(bytes.to_vec()),
            Frontend::CopyData
            | Frontend::CopyDone
            | Frontend::CopyFail
            | Frontend::Password { .. } => Turn::Send(bytes.to_vec()),
            Frontend::Sync => self.close(bytes),
            Frontend::Flush => {
                self.flushes = self.flushes.saturating_add(1);
                self.bytes.extend_from_slice(bytes);
                Turn::Send(mem::take(&mut self.bytes))
            }
            Frontend::Parse { sql, .. } => {
                self.parses = self.parses.saturating_add(1);
                self.text = str::from_utf8(sql).ok().map(str::to_owned);
                self.add(bytes)
            }
            Frontend::Execute { .. } => {
                self.executes = self.executes.saturating_add(1);
                self.add(bytes)
            }
            Frontend::Bind { .. } | Frontend::Describe { .. } | Frontend::Close { .. } => {
                self.add(bytes)
            }
        }
    }

    fn add(&mut self, bytes: &[u8]) -> Turn {
        self.bytes.extend_from_slice(bytes);
        Turn::Gather
    }

    /// One statement that is prepared and run at once is judged like a query.
    fn close(&mut self, sync: &[u8]) -> Turn {
        let mut group = mem::take(self);
        group.bytes.extend_from_slice(sync);
        match group.text {
            Some(text) if (group.parses, group.executes, group.flushes) == (1, 1, 0) => {
                Turn::Judge(Request { text, bytes: group.bytes })
            }
            _ => Turn::Pass(group.bytes),
        }
    }
}
