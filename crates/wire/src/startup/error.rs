//! What can be wrong with a startup packet, in words that help.

use std::{error, fmt};

/// Why a connection can't begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartupError {
    /// Too short to hold a length and a version.
    BadLength {
        /// The length field as sent.
        length: usize,
    },
    /// Longer than accepted; most often not this protocol at all.
    TooLong {
        /// The length field as sent.
        length: u32,
        /// Bytes that would be accepted.
        limit: usize,
    },
    /// A recognised protocol, but not Postgres's.
    Stranger(Stranger),
    /// Neither protocol 3 nor one of the special requests.
    UnsupportedVersion {
        /// Major version asked for.
        major: u16,
        /// Minor version asked for.
        minor: u16,
    },
    /// The layout is wrong: the part that is, as a noun phrase.
    Malformed(&'static str),
    /// The `options` parameter holds something other than a setting.
    BadOption {
        /// The word that is not understood.
        option: String,
    },
}

/// Who else connects to a port by mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stranger {
    /// A browser, a health check, a wrong port in a URL.
    Http,
    /// TLS that was not negotiated by `SSLRequest` first.
    Tls,
    /// An SSH client.
    Ssh,
}

impl Stranger {
    pub(super) fn recognise(buf: &[u8]) -> Option<Self> {
        const HTTP: [&[u8]; 9] =
            [b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"OPTI", b"PATC", b"CONN", b"PRI "];
        let start = buf.get(..4)?;
        match start {
            [super::DIRECT_TLS, 3, ..] => Some(Self::Tls),
            b"SSH-" => Some(Self::Ssh),
            _ => HTTP.contains(&start).then_some(Self::Http),
        }
    }
}

impl fmt::Display for StartupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadLength { length } => {
                write!(f, "startup packet has the invalid length {length}")
            }
            Self::TooLong { length, limit } => write!(
                f,
                "startup packet has {length} bytes, more than the {limit} accepted: \
                 this is probably not the PostgreSQL protocol"
            ),
            Self::Stranger(stranger) => write!(f, "{stranger}"),
            Self::UnsupportedVersion { major, minor } => write!(
                f,
                "unsupported frontend protocol {major}.{minor}: \
                 only 3.0 and its successors up to 3.2 are spoken here"
            ),
            Self::Malformed(what) => write!(f, "malformed startup packet: {what}"),
            Self::BadOption { option } => write!(
                f,
                "unsupported startup option \"{option}\": only -c name=value and \
                 --name=value are understood"
            ),
        }
    }
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "this is a PostgreSQL port, and the client speaks HTTP",
            Self::Tls => "this is a PostgreSQL port, and the client began TLS without SSLRequest",
            Self::Ssh => "this is a PostgreSQL port, and the client speaks SSH",
        })
    }
}

impl error::Error for StartupError {}
