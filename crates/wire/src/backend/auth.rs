//! How a server asks for proof of identity: all messages of tag `R`.

use std::iter;

use crate::{
    MessageError,
    cursor::Cursor,
    encode::{message, text},
    tag,
};

const OK: i32 = 0;
const CLEARTEXT: i32 = 3;
const MD5: i32 = 5;
const SASL: i32 = 10;
const SASL_CONTINUE: i32 = 11;
const SASL_FINAL: i32 = 12;

/// One authentication message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// The client is who it says it is.
    Ok,
    /// Send the password as it is.
    Cleartext,
    /// Send [`md5_password`](crate::md5_password) of it.
    Md5 {
        /// Differs on every connection.
        salt: [u8; 4],
    },
    /// Choose one of these and begin.
    Sasl {
        /// In the server's order of preference.
        mechanisms: Mechanisms<'a>,
    },
    /// The mechanism's next message.
    SaslContinue(&'a [u8]),
    /// The mechanism's last message; [`Authentication::Ok`] follows.
    SaslFinal(&'a [u8]),
    /// Another method (GSSAPI, SSPI, Kerberos, …), by its number.
    Unsupported(i32),
}

/// The names of SASL mechanisms that a server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mechanisms<'a>(&'a [u8]);

impl<'a> Mechanisms<'a> {
    /// The names, in the server's order of preference.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let mut cursor = Cursor::new(self.0);
        iter::from_fn(move || cursor.cstr().filter(|name| !name.is_empty()))
    }

    /// Whether `mechanism` is among them.
    #[must_use]
    pub fn offers(self, mechanism: &str) -> bool {
        self.iter().any(|name| name == mechanism.as_bytes())
    }
}

/// Reads the body of an authentication message.
///
/// # Errors
///
/// [`MessageError`] when it is cut off; drop the server.
pub fn parse_authentication(body: &[u8]) -> Result<Authentication<'_>, MessageError> {
    let malformed = |what| MessageError::Malformed { tag: tag::AUTHENTICATION, what };
    let mut cursor = Cursor::new(body);
    Ok(match cursor.i32().ok_or(malformed("no method"))? {
        OK => Authentication::Ok,
        CLEARTEXT => Authentication::Cleartext,
        MD5 => Authentication::Md5 { salt: cursor.four().ok_or(malformed("no salt"))? },
        SASL => Authentication::Sasl { mechanisms: Mechanisms(cursor.rest()) },
        SASL_CONTINUE => Authentication::SaslContinue(cursor.rest()),
        SASL_FINAL => Authentication::SaslFinal(cursor.rest()),
        other => Authentication::Unsupported(other),
    })
}

/// Appends an `AuthenticationOk`.
pub fn put_auth_ok(out: &mut Vec<u8>) {
    put(out, OK, |_| {});
}

/// Appends an `AuthenticationCleartextPassword`.
pub fn put_auth_cleartext(out: &mut Vec<u8>) {
    put(out, CLEARTEXT, |_| {});
}

/// Appends an `AuthenticationMD5Password`.
pub fn put_auth_md5(out: &mut Vec<u8>, salt: [u8; 4]) {
    put(out, MD5, |out| out.extend_from_slice(&salt));
}

/// Appends an `AuthenticationSASL` that offers `mechanisms`, best first.
pub fn put_auth_sasl(out: &mut Vec<u8>, mechanisms: &[&str]) {
    put(out, SASL, |out| {
        for name in mechanisms {
            text(out, name);
        }
        out.push(0);
    });
}

/// Appends an `AuthenticationSASLContinue`.
pub fn put_auth_sasl_continue(out: &mut Vec<u8>, data: &[u8]) {
    put(out, SASL_CONTINUE, |out| out.extend_from_slice(data));
}

/// Appends an `AuthenticationSASLFinal`.
pub fn put_auth_sasl_final(out: &mut Vec<u8>, data: &[u8]) {
    put(out, SASL_FINAL, |out| out.extend_from_slice(data));
}

fn put(out: &mut Vec<u8>, method: i32, data: impl FnOnce(&mut Vec<u8>)) {
    message(out, tag::AUTHENTICATION, |out| {
        out.extend_from_slice(&method.to_be_bytes());
        data(out);
    });
}
