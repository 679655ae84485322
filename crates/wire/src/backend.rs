//! Messages that servers send ("Message Formats" in the manual).

mod auth;
mod put;
mod report;

use crate::{CancelKey, MessageError, cursor::Cursor, tag};

pub use auth::{
    Authentication, Mechanisms, parse_authentication, put_auth_cleartext, put_auth_md5,
    put_auth_ok, put_auth_sasl, put_auth_sasl_continue, put_auth_sasl_final,
};
pub use put::{
    put_backend_key, put_bind_complete, put_close_complete, put_command_complete, put_data_row,
    put_empty_query, put_negotiate, put_no_data, put_parameter_description_empty,
    put_parameter_status, put_parse_complete, put_portal_suspended, put_ready, put_row_description,
};
pub use report::{ErrorFields, Report, Severity, parse_error, put_error, put_notice};

/// Where a server stands between two cycles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TxStatus {
    /// No transaction (`I`).
    Idle,
    /// Inside a transaction (`T`).
    Open,
    /// Inside a failed transaction: only its end is accepted (`E`).
    Failed,
}

impl TxStatus {
    /// The status that `byte` stands for in `ReadyForQuery`.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'I' => Some(Self::Idle),
            b'T' => Some(Self::Open),
            b'E' => Some(Self::Failed),
            _ => None,
        }
    }

    /// The byte that stands for it in `ReadyForQuery`.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::Open => b'T',
            Self::Failed => b'E',
        }
    }
}

/// Reads the body of a `ReadyForQuery`.
///
/// # Errors
///
/// [`MessageError`]: the server's state is unknown; drop the server.
pub fn ready_status(body: &[u8]) -> Result<TxStatus, MessageError> {
    match body {
        [byte] => TxStatus::from_byte(*byte),
        _ => None,
    }
    .ok_or(MessageError::Malformed { tag: tag::READY, what: "no transaction status" })
}

/// Reads the body of a `ParameterStatus`: name and value.
///
/// # Errors
///
/// [`MessageError`] when it is not two C strings; drop the server.
pub fn parameter_status(body: &[u8]) -> Result<(&[u8], &[u8]), MessageError> {
    let mut cursor = Cursor::new(body);
    match (cursor.cstr(), cursor.cstr()) {
        (Some(name), Some(value)) if cursor.is_empty() => Ok((name, value)),
        _ => Err(MessageError::Malformed { tag: tag::PARAMETER_STATUS, what: "not two strings" }),
    }
}

/// Reads the body of a `BackendKeyData`.
///
/// # Errors
///
/// [`MessageError`] when the secret has less than 4 or more than 256 bytes; drop
/// the server.
pub fn backend_key(body: &[u8]) -> Result<CancelKey, MessageError> {
    CancelKey::parse(Cursor::new(body)).ok_or(MessageError::Malformed {
        tag: tag::BACKEND_KEY,
        what: "cancel key shorter than 4 or longer than 256 bytes",
    })
}

/// The command tag in a `CommandComplete`'s body, without its NUL.
#[must_use]
pub fn command_tag(body: &[u8]) -> &[u8] {
    Cursor::new(body).cstr().unwrap_or(body)
}

/// What a server says it can't do of what the startup packet asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiation<'a> {
    /// The minor version to go on with.
    pub minor: u16,
    /// Names of the `_pq_.` options that were not understood.
    pub unsupported: Vec<&'a [u8]>,
}

/// Reads the body of a `NegotiateProtocolVersion`.
///
/// # Errors
///
/// [`MessageError`] when the layout is wrong; drop the server.
pub fn parse_negotiate(body: &[u8]) -> Result<Negotiation<'_>, MessageError> {
    let malformed = MessageError::Malformed { tag: tag::NEGOTIATE, what: "a field is cut off" };
    let mut cursor = Cursor::new(body);
    // Servers send the whole version number, major and minor, whatever the manual says.
    let (Some(_major), Some(minor), Some(count)) = (cursor.u16(), cursor.u16(), cursor.i32())
    else {
        return Err(malformed);
    };
    let mut unsupported = Vec::new();
    for _ in 0..count {
        unsupported.push(cursor.cstr().ok_or(malformed)?);
    }
    Ok(Negotiation { minor, unsupported })
}
