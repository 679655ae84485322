//! The transactions whose whole way through Weir is counted.

use wire::Described;

use crate::client::Request;

/// What is read: one row by its key.
const READ: &[u8] = b"SELECT v FROM counted WHERE id = 7";
/// The same on the primary, and no reason to take a ticket.
const READ_ON_PRIMARY: &[u8] = b"/* weir: route=primary */ SELECT v FROM counted WHERE id = 7";
const READ_BY_PARAMETER: &[u8] = b"SELECT v FROM counted WHERE id = $1";
const WRITE: &[u8] = b"UPDATE counted SET v = v + 1 WHERE id = 7";
/// A thousand rows of a thousand bytes.
const LARGE: &[u8] = b"SELECT repeat('x', 1000) FROM generate_series(1, 1000)";
/// No parameter formats, one parameter, `7`, no result formats.
const SEVEN: &[u8] = b"\0\0\0\x01\0\0\0\x017\0\0";
const NAME: &[u8] = b"counted";

/// Cycles of a pipelined write.
pub(crate) const PIPELINED: u32 = 10;

/// One kind of transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// A read as one `Query`.
    Simple,
    /// Parse, Bind, Describe, Execute, Sync.
    Extended,
    /// Bind, Execute, Sync of the unnamed statement, parsed once.
    Bound,
    /// Bind, Execute, Sync of a named statement.
    Prepared,
    /// Ten of these in one write.
    Pipelined,
    /// A read of a text that was never seen.
    NewText,
    /// A read inside TLS.
    Tls,
    /// A result of a megabyte.
    Large,
    /// A read that a hint sends to the primary.
    OnPrimary,
    /// A write.
    Write,
    /// A write and a read right behind it.
    ReadBehindWrite,
}

impl Path {
    /// All, those first that leave no fence behind.
    pub(crate) const ALL: [Self; 11] = [
        Self::Simple,
        Self::Extended,
        Self::Bound,
        Self::Prepared,
        Self::Pipelined,
        Self::NewText,
        Self::Tls,
        Self::Large,
        Self::OnPrimary,
        Self::Write,
        Self::ReadBehindWrite,
    ];

    /// The name of its row.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Extended => "extended",
            Self::Bound => "unnamed, parsed once",
            Self::Prepared => "prepared",
            Self::Pipelined => "prepared, ten in a write",
            Self::NewText => "simple, new text",
            Self::Tls => "simple, TLS",
            Self::Large => "large result",
            Self::OnPrimary => "simple, hinted to the primary",
            Self::Write => "write",
            Self::ReadBehindWrite => "write and read",
        }
    }

    /// What its number is a number per.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Large => "MB",
            Self::ReadBehindWrite => "pair",
            Self::Simple
            | Self::Extended
            | Self::Bound
            | Self::Prepared
            | Self::Pipelined
            | Self::NewText
            | Self::Tls
            | Self::OnPrimary
            | Self::Write => "transaction",
        }
    }

    /// Why it is shown and not judged, if so.
    pub(crate) fn unsteady(self) -> Option<&'static str> {
        match self {
            Self::Large => Some("the kernel cuts it into reads as it likes"),
            Self::ReadBehindWrite => Some("waits for the LSN clock and the replica"),
            Self::Simple
            | Self::Extended
            | Self::Bound
            | Self::Prepared
            | Self::Pipelined
            | Self::NewText
            | Self::Tls
            | Self::OnPrimary
            | Self::Write => None,
        }
    }

    /// How many of its requests make a batch.
    pub(crate) fn batch(self) -> u32 {
        match self {
            Self::Large => 4,
            Self::Pipelined => 6,
            Self::Simple
            | Self::Extended
            | Self::Bound
            | Self::Prepared
            | Self::NewText
            | Self::Tls
            | Self::OnPrimary
            | Self::Write
            | Self::ReadBehindWrite => 60,
        }
    }

    /// How many of its units one request is.
    pub(crate) fn units(self) -> u32 {
        if self == Self::Pipelined { PIPELINED } else { 1 }
    }

    /// How `SHOW weir.last_route` must begin afterwards, so that nothing else is counted by mistake.
    pub(crate) fn route(self) -> &'static str {
        match self {
            Self::OnPrimary | Self::Write => "primary",
            Self::ReadBehindWrite => "",
            Self::Simple
            | Self::Extended
            | Self::Bound
            | Self::Prepared
            | Self::Pipelined
            | Self::NewText
            | Self::Tls
            | Self::Large => "replica",
        }
    }

    /// What is sent once, before all others.
    pub(crate) fn first(self) -> Option<Request> {
        let name = match self {
            Self::Prepared | Self::Pipelined => NAME,
            Self::Bound => b"",
            Self::Simple
            | Self::Extended
            | Self::NewText
            | Self::Tls
            | Self::Large
            | Self::OnPrimary
            | Self::Write
            | Self::ReadBehindWrite => return None,
        };
        let mut bytes = Vec::new();
        wire::put_parse(&mut bytes, name, READ_BY_PARAMETER, &[]);
        wire::put_sync(&mut bytes);
        Some(Request { bytes, ready: 1, rows: 0 })
    }

    /// The requests of the transaction with that number; each waits for its answer.
    pub(crate) fn requests(self, number: u32) -> Vec<Request> {
        match self {
            Self::Simple | Self::Tls => vec![query(READ, 1)],
            Self::Extended => {
                let mut bytes = Vec::new();
                wire::put_parse(&mut bytes, b"", READ_BY_PARAMETER, &[]);
                wire::put_bind(&mut bytes, b"", b"", SEVEN);
                wire::put_describe(&mut bytes, Described::Portal, b"");
                wire::put_execute(&mut bytes, b"", 0);
                wire::put_sync(&mut bytes);
                vec![Request { bytes, ready: 1, rows: 1 }]
            }
            Self::Bound => vec![bound(b"", 1)],
            Self::Prepared => vec![bound(NAME, 1)],
            Self::Pipelined => vec![bound(NAME, PIPELINED)],
            Self::NewText => {
                // A name is part of what a class is cached by, a literal is not; all are of one length.
                let text = format!("SELECT v AS v{number:07} FROM counted WHERE id = 7");
                vec![query(text.as_bytes(), 1)]
            }
            Self::Large => vec![query(LARGE, 1000)],
            Self::OnPrimary => vec![query(READ_ON_PRIMARY, 1)],
            Self::Write => vec![query(WRITE, 0)],
            Self::ReadBehindWrite => vec![query(WRITE, 0), query(READ, 1)],
        }
    }
}

fn query(sql: &[u8], rows: usize) -> Request {
    let mut bytes = Vec::new();
    wire::put_query(&mut bytes, sql);
    Request { bytes, ready: 1, rows }
}

fn bound(name: &[u8], times: u32) -> Request {
    let mut bytes = Vec::new();
    for _ in 0..times {
        wire::put_bind(&mut bytes, b"", name, SEVEN);
        wire::put_execute(&mut bytes, b"", 0);
        wire::put_sync(&mut bytes);
    }
    let times = usize::try_from(times).unwrap_or(usize::MAX);
    Request { bytes, ready: times, rows: times }
}
