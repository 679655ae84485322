//! Why an exchange fails.

use std::{error, fmt};

/// Why a password exchange can't go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScramError {
    /// The password is wrong, or the user unknown: report 28P01.
    WrongPassword,
    /// A message is not laid out as RFC 5802 demands: the part that is wrong.
    Malformed(&'static str),
    /// The client wants channel binding, which was not offered.
    ChannelBinding,
    /// The client wants to act as somebody else (`a=`), which Postgres lacks.
    AuthorizationIdentity,
    /// The peer demands an extension (`m=`) that does not exist yet.
    UnknownExtension,
    /// A nonce is not the one of this exchange: a replay.
    NonceMismatch,
    /// The server asks for more work than it may.
    TooManyIterations {
        /// What it asks for.
        asked: u32,
        /// What it may ask for.
        limit: u32,
    },
    /// The server says that it does not accept the proof.
    ServerRefused,
    /// The server does not know the password either: it is not who it says it is.
    ServerNotProven,
    /// A stored verifier is not in Postgres's format.
    BadVerifier,
}

impl fmt::Display for ScramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::WrongPassword => f.write_str("password authentication failed"),
            Self::Malformed(what) => write!(f, "malformed SCRAM message: {what}"),
            Self::ChannelBinding => {
                f.write_str("client requires SCRAM channel binding, which is not offered")
            }
            Self::AuthorizationIdentity => f.write_str(
                "client uses a SASL authorization identity, which PostgreSQL does not support",
            ),
            Self::UnknownExtension => f.write_str("peer requires an unsupported SCRAM extension"),
            Self::NonceMismatch => f.write_str("SCRAM nonce does not belong to this exchange"),
            Self::TooManyIterations { asked, limit } => write!(
                f,
                "server asks for {asked} SCRAM iterations, more than the {limit} accepted"
            ),
            Self::ServerRefused => f.write_str("server did not accept the SCRAM proof"),
            Self::ServerNotProven => f.write_str("server did not prove that it knows the password"),
            Self::BadVerifier => f.write_str(
                "not a SCRAM verifier (SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey)",
            ),
        }
    }
}

impl error::Error for ScramError {}
