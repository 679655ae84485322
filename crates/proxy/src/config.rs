//! What the data path needs to know, already meant: no YAML, no files, no environment.
//!
//! [`Config`] is fixed for the life of the process; [`Live`] can be replaced at any moment and is
//! read once per cycle.

mod databases;
mod limits;

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use policy::{Answers, Preferences, Signal, Ticket, Topology};
use tokio::sync::{mpsc, watch};
use wire::Verifier;

pub use self::databases::{DatabaseRules, Databases, PinRule, PoolMode};
pub(crate) use self::limits::limit;
pub use self::limits::{DatabaseLimits, PoolRules, Sizes, UserLimits};

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
    pub databases: Databases,
    /// The ends of the channels to each cluster's control, by cluster name.
    pub clusters: HashMap<String, ClusterLink>,
}

impl Live {
    /// The rules for a database name: its own entry, else the longest pattern that fits.
    #[must_use]
    pub fn database(&self, name: &str) -> Option<&DatabaseRules> {
        self.databases.of(name)
    }

    /// How many servers the pools of a user in a database may have.
    #[must_use]
    pub fn sizes(&self, user: &str, database: &str) -> Sizes {
        let of_user = self.auth.users.get(user).map_or_else(UserLimits::default, |it| it.limits);
        let of_database = self.database(database).map(|it| it.limits).unwrap_or_default();
        Sizes::new(&self.pool, &of_database, &of_user)
    }
}

impl Live {
    /// How a user's reads of a database are routed unless a session says otherwise.
    #[must_use]
    pub fn reads<'a>(&self, user: &str, database: &'a Preferences) -> Cow<'a, Preferences> {
        let own = self.auth.users.get(user).filter(|user| !user.reads.is_empty());
        let Some(own) = own else { return Cow::Borrowed(database) };
        let mut merged = database.clone();
        for (name, value) in &own.reads {
            // Whoever made the rules has read them already.
            let _understood = merged.set(name, value).is_ok();
        }
        Cow::Owned(merged)
    }
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
    /// How much of Weir the user may take.
    pub limits: UserLimits,
    /// Wishes by name, instead of the database's.
    pub reads: Vec<(&'static str, String)>,
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
