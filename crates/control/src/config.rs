//! What control needs to know of a cluster, already meant: no YAML, no files, no environment.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use policy::cluster::{NodeSpec, Timing};

/// One `clusters:` entry.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// Its name in the configuration.
    pub name: String,
    /// The members at start; the admin API can add and remove others later.
    pub nodes: Vec<NodeSpec>,
    /// Who probes.
    pub monitor: Monitor,
    /// How often, and how patiently.
    pub timing: Timing,
    /// Functions that the operator vouches for: they may run on a replica.
    pub read_only_functions: Vec<String>,
    /// Functions that write although their catalog entry does not say so.
    pub write_functions: Vec<String>,
    /// How long the catalog of a database stays that nobody uses; zero is for ever.
    pub forget_after: Duration,
}

/// The login that probes, asks for positions and reads catalogs.
///
/// It needs `LOGIN`, `CONNECT` on each database, and membership in `pg_monitor` (manual, 21.5
/// "Predefined Roles") so that a standby's timeline can be read; without it lag stays unknown.
#[derive(Clone)]
pub struct Monitor {
    /// Role name.
    pub user: String,
    /// Password, unless the server asks for none.
    pub password: Option<String>,
    /// Where probes log in; `postgres` exists nearly everywhere.
    pub database: String,
    /// Whether probes use TLS.
    pub tls: ServerTls,
}

impl Default for Monitor {
    fn default() -> Self {
        Self {
            user: "weir_monitor".into(),
            password: None,
            database: "postgres".into(),
            tls: ServerTls::Disable,
        }
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, password: _, database, tls } = self;
        let mut out = f.debug_struct("Monitor");
        out.field("user", user).field("database", database).field("tls", tls);
        out.finish_non_exhaustive()
    }
}

/// How nodes are spoken to; libpq's `sslmode` names.
///
/// What is verified is the business of the `ClientConfig`, which is made outside: this crate
/// chooses no roots.
#[derive(Debug, Clone)]
pub enum ServerTls {
    /// Never TLS.
    Disable,
    /// TLS if the server has it; the certificate is not checked.
    Prefer(Arc<rustls::ClientConfig>),
    /// TLS or nothing; the certificate is not checked.
    Require(Arc<rustls::ClientConfig>),
    /// TLS, and the certificate must be signed by a known root for the node's host.
    VerifyFull(Arc<rustls::ClientConfig>),
}
