//! Messages that clients send after startup ("Message Formats" in the manual).

mod bind;
mod password;
mod put;

use crate::{Frame, MessageError, cursor::Cursor, ftag};

pub use bind::{Formats, bind_result_formats, bind_values};
pub use password::{
    SaslInitial, parse_password, parse_sasl_initial, put_password, put_sasl_initial,
    put_sasl_response,
};
pub use put::{
    put_bind, put_close, put_copy_fail, put_describe, put_execute, put_flush, put_parse, put_query,
    put_sync, put_terminate,
};

/// One client message, borrowed; text and names come without their NUL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frontend<'a> {
    /// A simple query: any number of statements, one `ReadyForQuery`.
    Query {
        /// In the client's encoding.
        sql: &'a [u8],
    },
    /// Makes a prepared statement.
    Parse {
        /// Empty for the unnamed statement.
        name: &'a [u8],
        /// In the client's encoding.
        sql: &'a [u8],
        /// OIDs of parameter types, 4 bytes each, without their count.
        types: &'a [u8],
    },
    /// Makes a portal of a prepared statement.
    Bind {
        /// Empty for the unnamed portal.
        portal: &'a [u8],
        /// Empty for the unnamed statement.
        statement: &'a [u8],
        /// Formats and values, as they are: only the server reads them.
        rest: &'a [u8],
    },
    /// Asks for the columns that a statement or portal returns.
    Describe {
        /// Which of the two name spaces.
        kind: Described,
        /// Empty for the unnamed one.
        name: &'a [u8],
    },
    /// Runs a portal.
    Execute {
        /// Empty for the unnamed portal.
        portal: &'a [u8],
        /// Rows to return at most; 0 means all.
        max_rows: i32,
    },
    /// Drops a statement or portal.
    Close {
        /// Which of the two name spaces.
        kind: Described,
        /// Empty for the unnamed one.
        name: &'a [u8],
    },
    /// Asks the server to send what it holds back.
    Flush,
    /// Ends a group of extended messages; answered by `ReadyForQuery`.
    Sync,
    /// A part of COPY's data.
    CopyData,
    /// The end of COPY's data.
    CopyDone,
    /// COPY given up by the client.
    CopyFail,
    /// A function called by OID (obsolete, but spoken).
    FunctionCall,
    /// The client leaves.
    Terminate,
    /// A password or a SASL step; which one, only the exchange knows.
    Password {
        /// See [`parse_password`] and [`parse_sasl_initial`].
        body: &'a [u8],
    },
}

/// What Describe and Close are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Described {
    /// A prepared statement (`S`).
    Statement,
    /// A portal (`P`).
    Portal,
}

impl Described {
    /// The byte that stands for it in a message.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Statement => b'S',
            Self::Portal => b'P',
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'S' => Some(Self::Statement),
            b'P' => Some(Self::Portal),
            _ => None,
        }
    }
}

/// Reads a client's message; nothing is copied.
///
/// # Errors
///
/// [`MessageError`]: answer 08P01. After an unknown tag the connection can't go on.
pub fn parse_frontend<'a>(frame: &Frame<'a>) -> Result<Frontend<'a>, MessageError> {
    let mut cursor = Cursor::new(frame.body);
    let message = match frame.tag {
        ftag::QUERY => cursor.cstr().map(|sql| Frontend::Query { sql }),
        ftag::PARSE => parse(&mut cursor),
        ftag::BIND => bind(&mut cursor),
        ftag::DESCRIBE => named(&mut cursor).map(|(kind, name)| Frontend::Describe { kind, name }),
        ftag::EXECUTE => execute(&mut cursor),
        ftag::CLOSE => named(&mut cursor).map(|(kind, name)| Frontend::Close { kind, name }),
        ftag::FLUSH => Some(Frontend::Flush),
        ftag::SYNC => Some(Frontend::Sync),
        ftag::TERMINATE => return Ok(Frontend::Terminate),
        ftag::COPY_DATA => return Ok(Frontend::CopyData),
        ftag::COPY_DONE => Some(Frontend::CopyDone),
        ftag::COPY_FAIL => cursor.cstr().map(|_| Frontend::CopyFail),
        ftag::FUNCTION_CALL => return Ok(Frontend::FunctionCall),
        ftag::PASSWORD => return Ok(Frontend::Password { body: frame.body }),
        tag => return Err(MessageError::UnknownTag(tag)),
    };
    let malformed = |what| MessageError::Malformed { tag: frame.tag, what };
    let message = message.ok_or(malformed("a field is missing or cut off"))?;
    if cursor.is_empty() { Ok(message) } else { Err(malformed("bytes after the last field")) }
}

fn parse<'a>(cursor: &mut Cursor<'a>) -> Option<Frontend<'a>> {
    let (name, sql) = (cursor.cstr()?, cursor.cstr()?);
    let types = usize::from(cursor.u16()?).checked_mul(4)?;
    Some(Frontend::Parse { name, sql, types: cursor.take(types)? })
}

fn bind<'a>(cursor: &mut Cursor<'a>) -> Option<Frontend<'a>> {
    let (portal, statement) = (cursor.cstr()?, cursor.cstr()?);
    let rest = cursor.take(cursor.rest().len())?;
    Some(Frontend::Bind { portal, statement, rest })
}

fn execute<'a>(cursor: &mut Cursor<'a>) -> Option<Frontend<'a>> {
    Some(Frontend::Execute { portal: cursor.cstr()?, max_rows: cursor.i32()? })
}

fn named<'a>(cursor: &mut Cursor<'a>) -> Option<(Described, &'a [u8])> {
    Some((Described::from_byte(cursor.byte()?)?, cursor.cstr()?))
}
