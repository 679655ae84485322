//! Messages of tag `p`: one letter, three layouts, told apart by what was asked.

use crate::{
    MessageError,
    cursor::Cursor,
    encode::{cstr, message, text},
    ftag,
};

/// The first message of a SASL exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaslInitial<'a> {
    /// The mechanism that the client chose.
    pub mechanism: &'a [u8],
    /// The mechanism's first message, if it came along; SCRAM's always does.
    pub response: Option<&'a [u8]>,
}

/// Reads the body of a `SASLInitialResponse`.
///
/// # Errors
///
/// [`MessageError`] when the layout is wrong: answer 08P01 and close.
pub fn parse_sasl_initial(body: &[u8]) -> Result<SaslInitial<'_>, MessageError> {
    let malformed = |what| MessageError::Malformed { tag: ftag::PASSWORD, what };
    let mut cursor = Cursor::new(body);
    let (Some(mechanism), Some(length)) = (cursor.cstr(), cursor.i32()) else {
        return Err(malformed("no SASL mechanism"));
    };
    let response = cursor.rest();
    match usize::try_from(length) {
        Ok(length) if length == response.len() => {
            Ok(SaslInitial { mechanism, response: Some(response) })
        }
        Err(_) if length == -1 && response.is_empty() => {
            Ok(SaslInitial { mechanism, response: None })
        }
        _ => Err(malformed("SASL response of the wrong length")),
    }
}

/// Reads the body of a `PasswordMessage`: the password without its NUL.
///
/// # Errors
///
/// [`MessageError`] when there is not exactly one NUL, at the end: answer 08P01.
pub fn parse_password(body: &[u8]) -> Result<&[u8], MessageError> {
    let mut cursor = Cursor::new(body);
    cursor.cstr().filter(|_| cursor.is_empty()).ok_or(MessageError::Malformed {
        tag: ftag::PASSWORD,
        what: "password without a proper end",
    })
}

/// Appends a `PasswordMessage`; its NUL is added.
pub fn put_password(out: &mut Vec<u8>, password: &[u8]) {
    message(out, ftag::PASSWORD, |out| text(out, password));
}

/// Appends a `SASLInitialResponse`.
pub fn put_sasl_initial(out: &mut Vec<u8>, mechanism: &str, response: &[u8]) {
    message(out, ftag::PASSWORD, |out| {
        cstr(out, mechanism.as_bytes());
        let length = i32::try_from(response.len()).unwrap_or(i32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(response);
    });
}

/// Appends a `SASLResponse`.
pub fn put_sasl_response(out: &mut Vec<u8>, response: &[u8]) {
    message(out, ftag::PASSWORD, |out| out.extend_from_slice(response));
}
