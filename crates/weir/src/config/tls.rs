//! `tls`: certificates for clients, and how servers are spoken to.

use std::path::PathBuf;
use std::sync::Arc;

use proxy::config::ClientTls;

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
    pub server: ServerMode,
    /// Made from `server` and `ca`; `None` where TLS is off.
    pub server_config: Option<Arc<rustls::ClientConfig>>,
    /// The roots that servers' certificates must lead to, PEM.
    pub ca: Option<Vec<u8>>,
}

/// Certificate and key, as files and as what rustls makes of them.
#[derive(Clone)]
pub struct Identity {
    certificate: Vec<u8>,
    key: Vec<u8>,
    /// Ready to be used.
    pub config: Arc<rustls::ServerConfig>,
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
pub enum ServerMode {
    /// Never TLS.
    Disable,
    /// TLS if the server has it; its certificate is not checked.
    Prefer,
    /// TLS or nothing; the certificate is not checked.
    Require,
    /// TLS, with a certificate signed by `ca` for the node's host.
    VerifyFull,
}

const CLIENT: [(&str, ClientTls); 3] = [
    ("disable", ClientTls::Disable),
    ("prefer", ClientTls::Prefer),
    ("require", ClientTls::Require),
];
const SERVER: [(&str, ServerMode); 4] = [
    ("disable", ServerMode::Disable),
    ("prefer", ServerMode::Prefer),
    ("require", ServerMode::Require),
    ("verify-full", ServerMode::VerifyFull),
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
    let server = at.choice("server", &SERVER).unwrap_or(ServerMode::Prefer);
    let (ca, server_config) = roots(&mut at, server);
    at.close();
    Tls { client, identity, server, server_config, ca }
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
    match tls::server_config(&certificate, &key) {
        Ok(config) => Some(Identity { certificate, key, config }),
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

fn roots(
    at: &mut Section<'_>,
    server: ServerMode,
) -> (Option<Vec<u8>>, Option<Arc<rustls::ClientConfig>>) {
    let given = at.has("ca");
    let ca = file(at, "ca");
    match (server, &ca) {
        (ServerMode::Disable | ServerMode::Prefer | ServerMode::Require, _) if given => {
            at.problem(
                "ca",
                "is used with tls.server: verify-full only; otherwise no certificate is checked",
            );
        }
        (ServerMode::VerifyFull, None) if !given => {
            at.problem("ca", "is required for tls.server: verify-full");
        }
        _ => {}
    }
    let config = match (server, &ca) {
        (ServerMode::Disable, _) | (ServerMode::VerifyFull, None) => None,
        (ServerMode::Prefer | ServerMode::Require, _) => Some(tls::unverified()),
        (ServerMode::VerifyFull, Some(ca)) => Some(tls::verified(ca)),
    };
    let config =
        config.and_then(|made| made.map_err(|cause| at.problem("ca", cause.to_string())).ok());
    (ca, config)
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
