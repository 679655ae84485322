//! SCRAM messages are `name=value` pairs between commas (RFC 5802 section 5.1).

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{ScramError, keys::KEY};

/// The attributes of a message that were not read yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes<'a>(Option<&'a str>);

impl<'a> Attributes<'a> {
    pub(super) fn new(message: &'a str) -> Self {
        Self(Some(message))
    }

    /// The value of the next attribute, which must be `name`.
    pub(super) fn take(&mut self, name: char) -> Result<&'a str, ScramError> {
        let (attribute, rest) = match self.0.map(|text| text.split_once(',').ok_or(text)) {
            Some(Ok((attribute, rest))) => (attribute, Some(rest)),
            Some(Err(last)) => (last, None),
            None => return Err(ScramError::Malformed("an attribute is missing")),
        };
        if attribute.starts_with("m=") {
            return Err(ScramError::UnknownExtension);
        }
        self.0 = rest;
        attribute
            .strip_prefix(name)
            .and_then(|value| value.strip_prefix('='))
            .ok_or(ScramError::Malformed("an attribute is not the one expected"))
    }
}

/// A message as text; SCRAM is UTF-8.
pub(super) fn utf8(message: &[u8]) -> Result<&str, ScramError> {
    str::from_utf8(message).map_err(|_| ScramError::Malformed("text not in UTF-8"))
}

/// A nonce: printable ASCII but no comma, and not empty.
pub(super) fn nonce(text: &str) -> Result<&str, ScramError> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(text) } else { Err(ScramError::Malformed("nonce empty or not printable")) }
}

pub(super) fn key(text: &str) -> Result<[u8; KEY], ScramError> {
    let bytes = base64(text)?;
    bytes.try_into().map_err(|_| ScramError::Malformed("a key or proof of the wrong length"))
}

pub(super) fn base64(text: &str) -> Result<Vec<u8>, ScramError> {
    BASE64_STANDARD.decode(text).map_err(|_| ScramError::Malformed("not base64"))
}
