//! What the data path needs to know, already meant: no YAML, no files, no environment.
//!
//! [`Config`] is fixed for the life of the process; [`Live`] can be replaced at any moment and is
//! read once per cycle.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use policy::{Answers, Preferences, Signal, Ticket, Topology};
use tokio::sync::{mpsc, watch};
use wire::Verifier;

/// Fixed settings: changing one needs a restart.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where clients connect. Port 0 takes a free one; see [`crate::Proxy::local_addr`].
    pub listen: SocketAddr,
    /// Threads that share nothing; each owns its clients and servers.
    pub workers: NonZeroUsize,
    /// Certificate and key for clients; `None` answers `SSLRequest` with `N`.
    pub client_tls: Option<Arc<rustls::ServerConfig>>,
}

/// Settings that a reload replaces without touching a client.
#[derive(Debug, Clone)]
pub struct Live {
    /// Who may log in, and how.
    pub auth: Auth,
    /// Sizes and time limits.
    pub pool: PoolRules,
    /// Whether clients must, may or can't use TLS.
    pub client_tls: ClientTls,
    /// How servers are spoken to.
    pub server_tls: ServerTls,
    /// Databases by the name that clients use.
    pub databases: HashMap<String, DatabaseRules>,
    /// The entry `"*"`: any other name.
    pub any_database: Option<DatabaseRules>,
    /// The ends of the channels to each cluster's control, by cluster name.
    pub clusters: HashMap<String, ClusterLink>,
}

impl Live {
    /// The rules for a database name, its own entry first, then `"*"`.
    #[must_use]
    pub fn database(&self, name: &str) -> Option<&DatabaseRules> {
        self.databases.get(name).or(self.any_database.as_ref())
    }
}

/// One `databases:` entry.
#[derive(Debug, Clone)]
pub struct DatabaseRules {
    /// Which cluster serves it.
    pub cluster: String,
    /// The database's name on the servers, if it differs from the client's.
    pub dbname: Option<String>,
    /// When a server goes back to the pool.
    pub mode: PoolMode,
    /// `default_pool_size` for this database, if it differs.
    pub pool_size: Option<u32>,
    /// How its reads are routed unless a session says otherwise.
    pub reads: Preferences,
}

/// The ends of the channels between the data path and one cluster's control.
#[derive(Debug, Clone)]
pub struct ClusterLink {
    /// The newest snapshot.
    pub topology: watch::Receiver<Arc<Topology>>,
    /// The number of the newest ticket; taking one is adding one.
    pub tickets: watch::Sender<Ticket>,
    /// What the primary answered.
    pub answers: watch::Receiver<Arc<Answers>>,
    /// Catalogs by database name; one that is missing is not loaded yet.
    pub catalogs: watch::Receiver<Arc<HashMap<Box<str>, Arc<sql::Catalog>>>>,
    /// What the data path noticed.
    pub signals: mpsc::UnboundedSender<Signal>,
}

/// When a server goes back to the pool (PgBouncer's `pool_mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PoolMode {
    /// After each transaction.
    Transaction,
    /// When the client leaves. Every statement of the session goes to the primary.
    Session,
}

/// How clients prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthMethod {
    /// SCRAM-SHA-256 against the configured users.
    ScramSha256,
    /// Not at all: for loopback and tests. Users need not be listed.
    Trust,
}

/// Who may log in.
#[derive(Debug, Clone)]
pub struct Auth {
    /// How.
    pub method: AuthMethod,
    /// Known users. A user's servers are opened as that user.
    pub users: HashMap<String, UserRules>,
    /// Seeds the exchange shown to unknown users, so that they can't be told from known ones.
    pub mock_seed: [u8; 32],
}

/// One user.
#[derive(Clone)]
pub struct UserRules {
    /// What a client's proof is checked against.
    pub verifier: Verifier,
    /// The password, for servers.
    pub password: String,
}

impl std::fmt::Debug for UserRules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UserRules(..)")
    }
}

/// Whether clients may, must or can't use TLS (`tls.client`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientTls {
    /// `SSLRequest` is answered with `N`.
    Disable,
    /// Both are welcome.
    Prefer,
    /// A client without TLS is refused.
    Require,
}

/// How servers are spoken to (`tls.server`); libpq's `sslmode` names.
#[derive(Debug, Clone)]
pub enum ServerTls {
    /// Never TLS.
    Disable,
    /// TLS if the server has it; the certificate is not checked.
    Prefer(Arc<rustls::ClientConfig>),
    /// TLS or nothing; the certificate is not checked.
    Require(Arc<rustls::ClientConfig>),
    /// TLS, and the certificate must be signed by `tls.ca` for the node's host.
    VerifyFull(Arc<rustls::ClientConfig>),
}

/// Sizes and time limits, by PgBouncer's names where the meaning is the same.
///
/// A `Duration` of zero switches a limit off.
#[derive(Debug, Clone)]
pub struct PoolRules {
    /// Servers per (database, user, node), over all workers.
    pub default_pool_size: u32,
    /// Further servers once a client has waited for `reserve_pool_timeout`.
    pub reserve_pool_size: u32,
    /// How long a client waits before the reserve is opened to it.
    pub reserve_pool_timeout: Duration,
    /// Clients, over all workers; one more is refused with 53300.
    pub max_client_conn: u32,
    /// How long a client may wait for a server before it is refused.
    pub query_wait_timeout: Duration,
    /// How long an unused server is kept.
    pub server_idle_timeout: Duration,
    /// How old a server may get; it is closed when it is next unused.
    pub server_lifetime: Duration,
    /// How long connecting and logging in to a server may take.
    pub server_connect_timeout: Duration,
    /// How long a client's login may take.
    pub client_login_timeout: Duration,
    /// How long a write waits for a primary to appear.
    pub failover_hold: Duration,
    /// The largest message that is accepted from a client, bytes.
    pub max_packet_size: u32,
    /// Statements kept prepared on one server before the least recently used is closed.
    pub max_prepared_statements: u32,
    /// How long a shutdown waits for cycles to end before it closes clients with 57P01.
    pub shutdown_timeout: Duration,
}

impl Default for PoolRules {
    fn default() -> Self {
        Self {
            default_pool_size: 20,
            reserve_pool_size: 0,
            reserve_pool_timeout: Duration::from_secs(5),
            max_client_conn: 10_000,
            query_wait_timeout: Duration::from_secs(120),
            server_idle_timeout: Duration::from_secs(600),
            server_lifetime: Duration::from_secs(3600),
            server_connect_timeout: Duration::from_secs(15),
            client_login_timeout: Duration::from_secs(60),
            failover_hold: Duration::from_secs(10),
            max_packet_size: 1 << 30,
            max_prepared_statements: 200,
            shutdown_timeout: Duration::from_secs(30),
        }
    }
}
