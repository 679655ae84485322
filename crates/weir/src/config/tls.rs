//! `tls`: certificates for clients, and how servers are spoken to.

use std::path::PathBuf;
use std::sync::Arc;

use proxy::config::{ClientTls, ServerTls};
use rustls::sign::CertifiedKey;

use super::section::Section;
use crate::tls;

/// The `tls` part. Holds what was read from files, so that a reload notices renewed ones.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Whether clients may, must or can't.
    pub client: ClientTls,
    /// Certificate and key for clients.
    pub identity: Option<Identity>,
    /// How servers are spoken to.
    pub server: ServerTls,
    /// The roots that servers' certificates must lead to, PEM.
    pub ca: Option<Vec<u8>>,
}

/// Certificate and key, as files and as what rustls makes of them.
#[derive(Clone)]
pub struct Identity {
    certificate: Vec<u8>,
    key: Vec<u8>,
    /// Ready to be used.
    pub certified: Arc<CertifiedKey>,
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.certificate == other.certificate && self.key == other.key
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// libpq's `sslmode`, as far as it is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyFull,
}

const CLIENT: [(&str, ClientTls); 3] = [
    ("disable", ClientTls::Disable),
    ("prefer", ClientTls::Prefer),
    ("require", ClientTls::Require),
];
const SERVER: [(&str, Mode); 4] = [
    ("disable", Mode::Disable),
    ("prefer", Mode::Prefer),
    ("require", Mode::Require),
    ("verify-full", Mode::VerifyFull),
];

pub(super) fn tls(root: &mut Section<'_>) -> Tls {
    let mut at = root.section("tls");
    let both = at.has("certificate") && at.has("key");
    let asked = at.choice("client", &CLIENT);
    let identity = identity(&mut at);
    if !both && matches!(asked, Some(ClientTls::Prefer | ClientTls::Require)) {
        at.problem(
            "client",
            "needs tls.certificate and tls.key: without them no client can use TLS",
        );
    }
    let client =
        asked.unwrap_or(if identity.is_some() { ClientTls::Prefer } else { ClientTls::Disable });
    let server = at.choice("server", &SERVER).unwrap_or(Mode::Prefer);
    let ca = roots(&mut at, server);
    let server = server_tls(server, ca.as_deref()).unwrap_or_else(|cause| {
        at.problem("ca", cause.to_string());
        ServerTls::Disable
    });
    at.close();
    Tls { client, identity, server, ca }
}

fn identity(at: &mut Section<'_>) -> Option<Identity> {
    match (at.has("certificate"), at.has("key")) {
        (true, false) => at.problem("key", "is required: tls.certificate is given"),
        (false, true) => at.problem("certificate", "is required: tls.key is given"),
        (true, true) | (false, false) => {}
    }
    let certificate = file(at, "certificate");
    let key = file(at, "key");
    let (certificate, key) = certificate.zip(key)?;
    match tls::certified(&certificate, &key) {
        Ok(certified) => Some(Identity { certificate, key, certified }),
        Err(tls::TlsError::Key(cause)) => {
            at.problem("key", cause.to_string());
            None
        }
        Err(other) => {
            at.problem("certificate", other.to_string());
            None
        }
    }
}

fn roots(at: &mut Section<'_>, mode: Mode) -> Option<Vec<u8>> {
    match (mode, at.has("ca")) {
        (Mode::Disable | Mode::Prefer | Mode::Require, true) => {
            let text =
                "is used with tls.server: verify-full only; otherwise no certificate is checked";
            at.problem("ca", text);
        }
        (Mode::VerifyFull, false) => at.problem("ca", "is required for tls.server: verify-full"),
        (Mode::VerifyFull, true) | (Mode::Disable | Mode::Prefer | Mode::Require, false) => {}
    }
    file(at, "ca")
}

fn server_tls(mode: Mode, ca: Option<&[u8]>) -> Result<ServerTls, tls::TlsError> {
    Ok(match (mode, ca) {
        (Mode::Prefer, _) => ServerTls::Prefer(tls::unverified()?),
        (Mode::Require, _) => ServerTls::Require(tls::unverified()?),
        (Mode::VerifyFull, Some(ca)) => ServerTls::VerifyFull(tls::verified(ca)?),
        // A missing file was reported: nothing is started with this.
        (Mode::Disable, _) | (Mode::VerifyFull, None) => ServerTls::Disable,
    })
}

fn file(at: &mut Section<'_>, key: &'static str) -> Option<Vec<u8>> {
    let path = PathBuf::from(at.text(key)?);
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(cause) => {
            at.problem(key, format!("can't read {}: {cause}", path.display()));
            None
        }
    }
}
