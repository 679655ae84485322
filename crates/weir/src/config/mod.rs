//! `config.yaml` to what it means, or to all of its mistakes at once.
//!
//! Knows the file's keys, their bounds and defaults; every one is described in
//! `docs/configuration.md`. Opens no socket and starts nothing; the only files it reads are those
//! that the configuration names.
//!
//! Derived serde structs were rejected: they stop at the first mistake and can't see a key that
//! comes twice (`docs/adr/0001-yaml-parser.md`).

mod auth;
mod clusters;
mod databases;
mod env;
mod listen;
mod pool;
mod problem;
mod reads;
mod secret;
mod section;
mod spelling;
mod tls;
mod tree;
mod units;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;

use proxy::config::{AuthMethod, Databases, PoolRules};

pub use auth::{Auth, User};
pub use clusters::{Cluster, Monitor};
pub use listen::{Admin, Log};
pub use problem::Problem;
pub use secret::Secret;
pub use tls::{Identity, Tls};

use databases::Defaults;
use problem::{Path, Problems};
use reads::Reads;
use section::Section;
use tree::Tree;

/// What a configuration means.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Threads of the data path.
    pub workers: NonZeroUsize,
    /// The admin API.
    pub admin: Admin,
    /// Certificates and modes.
    pub tls: Tls,
    /// Who may log in.
    pub auth: Auth,
    /// Sizes and time limits.
    pub pool: PoolRules,
    /// Clusters by name.
    pub clusters: BTreeMap<String, Cluster>,
    /// Databases by name.
    pub databases: Databases,
    /// The log.
    pub log: Log,
    /// What is allowed, and yet worth a word.
    pub warnings: Vec<Problem>,
}

/// Reads a configuration's text; `env` looks up environment variables.
///
/// # Errors
///
/// Every mistake that was found, in the order of reading; never empty. Print them all.
pub fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Settings, Vec<Problem>> {
    let problems = Problems::default();
    let settings = match serde_yaml::from_str::<Tree>(text) {
        Ok(mut tree) => {
            tree.expand(&Path::default(), env, &problems);
            Some(settings(Section::open(Path::default(), tree, &problems)))
        }
        Err(cause) => {
            problems.add(&Path::default(), format!("not YAML: {cause}"));
            None
        }
    };
    let problems = problems.into_list();
    settings.filter(|_| problems.is_empty()).ok_or(problems)
}

fn settings(mut root: Section<'_>) -> Settings {
    let listen = listen::listen(&mut root);
    let workers = listen::workers(&mut root);
    let admin = listen::admin(&mut root);
    let tls = tls::tls(&mut root);
    let auth = auth::auth(&mut root);
    let (pool, keeping) = pool::pool(&mut root);
    let lag_from = root.at(if root.has("reads") { "reads" } else { "clusters" });
    let reads = reads::reads(&mut root, &Reads::default());
    let clusters = clusters::clusters(&mut root);
    let defaults = Defaults { clusters: &clusters, keeping, reads, lag_from };
    let databases = databases::databases(&mut root, &defaults);
    databases::check_users(&root, &auth, &defaults);
    let log = listen::log(&mut root);
    let warnings = warnings(&root, listen, auth.method);
    root.close();
    Settings { listen, workers, admin, tls, auth, pool, clusters, databases, log, warnings }
}

fn warnings(root: &Section<'_>, listen: SocketAddr, method: AuthMethod) -> Vec<Problem> {
    let warnings = Problems::default();
    if method == AuthMethod::Trust && !listen.ip().is_loopback() {
        let text = format!("trust lets everybody in who reaches {listen}; use scram-sha-256");
        warnings.add(&root.at("auth").key("method"), text);
    }
    warnings.into_list()
}
