//! What a client sends before the first tagged message ("Start-up" in the manual).

mod cancel;
mod error;
mod options;

use crate::{
    cursor::Cursor,
    encode::{text, untagged},
};

pub use cancel::{CancelKey, put_cancel};
pub use error::{StartupError, Stranger};
pub use options::parse_options;

/// First byte of a TLS `ClientHello`: the client skipped `SSLRequest`
/// (`sslnegotiation=direct`, Postgres 17).
pub const DIRECT_TLS: u8 = 0x16;

const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;
const MAJOR: u16 = 3;

/// One packet of the startup family; it has a length but no tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartupPacket {
    /// `SSLRequest`: answer `S` or `N`, one byte; another packet follows.
    Ssl,
    /// `GSSENCRequest`: answer `G` or `N`, one byte; another packet follows.
    GssEnc,
    /// `CancelRequest`: no answer, the connection ends.
    Cancel(CancelKey),
    /// `StartupMessage`: authentication follows.
    Start(StartupMessage),
}

/// Who wants to use which database, and with which settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartupMessage {
    /// Always 3; other majors are refused by [`next_startup`].
    pub major: u16,
    /// Minor version asked for; above 2, answer with [`put_negotiate`](crate::put_negotiate).
    pub minor: u16,
    /// Names and values in the order sent; `user` is among them and not empty.
    pub params: Vec<(String, String)>,
}

impl StartupMessage {
    /// The value of `name`, case-sensitive; the last one counts, as in the server.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.params.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The role to log in as.
    #[must_use]
    pub fn user(&self) -> &str {
        self.get("user").unwrap_or_default()
    }

    /// The database asked for; without one it is named like the user.
    #[must_use]
    pub fn database(&self) -> &str {
        self.get("database").filter(|name| !name.is_empty()).unwrap_or_else(|| self.user())
    }

    /// Names of the protocol extensions asked for (`_pq_.…`).
    ///
    /// Those that are not understood are reported with `NegotiateProtocolVersion`.
    pub fn protocol_options(&self) -> impl Iterator<Item = &str> {
        self.params.iter().map(|(name, _)| name.as_str()).filter(|name| name.starts_with("_pq_."))
    }
}

/// Reads the startup packet at the start of `buf`; returns it and its length.
///
/// `Ok(None)` means "read more". `max` bounds the packet in bytes, its length
/// field included; the server takes 10,000.
///
/// # Errors
///
/// [`StartupError`]: answer it with an error and close. A [`Stranger`] would not
/// understand the answer.
pub fn next_startup(
    buf: &[u8],
    max: usize,
) -> Result<Option<(StartupPacket, usize)>, StartupError> {
    let mut cursor = Cursor::new(buf);
    let Some(length) = cursor.i32() else { return Ok(None) };
    let Some(length) = usize::try_from(length).ok().filter(|length| *length <= max) else {
        return Err(Stranger::recognise(buf).map_or_else(
            || {
                let length = u32::from_be_bytes(length.to_be_bytes());
                StartupError::TooLong { length, limit: max }
            },
            StartupError::Stranger,
        ));
    };
    if length < 8 {
        return Err(StartupError::BadLength { length });
    }
    let Some(packet) = buf.get(..length) else { return Ok(None) };
    Ok(Some((parse(packet)?, length)))
}

fn parse(packet: &[u8]) -> Result<StartupPacket, StartupError> {
    let mut cursor = Cursor::new(packet);
    let (Some(_), Some(major), Some(minor)) = (cursor.i32(), cursor.u16(), cursor.u16()) else {
        return Err(StartupError::BadLength { length: packet.len() });
    };
    let bare = |packet| {
        let empty = cursor.is_empty().then_some(packet);
        empty.ok_or(StartupError::Malformed("bytes after an encryption request"))
    };
    match u32::from(major) << 16 | u32::from(minor) {
        SSL_REQUEST => bare(StartupPacket::Ssl),
        GSSENC_REQUEST => bare(StartupPacket::GssEnc),
        CANCEL_REQUEST => CancelKey::parse(cursor)
            .map(StartupPacket::Cancel)
            .ok_or(StartupError::Malformed("cancel key shorter than 4 or longer than 256 bytes")),
        _ if major == MAJOR => {
            let params = params(cursor)?;
            let message = StartupMessage { major, minor, params };
            if message.user().is_empty() {
                return Err(StartupError::Malformed("no user name"));
            }
            Ok(StartupPacket::Start(message))
        }
        _ => Err(StartupError::UnsupportedVersion { major, minor }),
    }
}

fn params(mut cursor: Cursor<'_>) -> Result<Vec<(String, String)>, StartupError> {
    let mut params = Vec::new();
    loop {
        let name = string(&mut cursor)?;
        if name.is_empty() {
            break;
        }
        params.push((name, string(&mut cursor)?));
    }
    let whole = cursor.is_empty().then_some(params);
    whole.ok_or(StartupError::Malformed("bytes after the last parameter"))
}

fn string(cursor: &mut Cursor<'_>) -> Result<String, StartupError> {
    let bytes = cursor.cstr().ok_or(StartupError::Malformed("parameter without an end"))?;
    let text = str::from_utf8(bytes).map_err(|_| StartupError::Malformed("text not in UTF-8"))?;
    Ok(text.to_owned())
}

/// Appends a `StartupMessage` of protocol 3.`minor`.
///
/// `params` must hold `user`. An empty name would end the list and is left out; a
/// name or value is cut at a NUL, which would otherwise smuggle in another parameter.
pub fn put_startup(out: &mut Vec<u8>, minor: u16, params: &[(&str, &str)]) {
    untagged(out, |out| {
        out.extend_from_slice(&MAJOR.to_be_bytes());
        out.extend_from_slice(&minor.to_be_bytes());
        for (name, value) in params {
            if !name.is_empty() && !name.starts_with('\0') {
                text(out, name);
                text(out, value);
            }
        }
        out.push(0);
    });
}

/// Appends an `SSLRequest`; the server answers with one byte, `S` or `N`.
pub fn put_ssl_request(out: &mut Vec<u8>) {
    untagged(out, |out| out.extend_from_slice(&SSL_REQUEST.to_be_bytes()));
}
