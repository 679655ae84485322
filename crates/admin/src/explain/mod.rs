//! Which way would a statement go, and why? Nothing is run.
//!
//! [`explain`] is pure and decides by `policy` alone, for a fresh session without a fence of its own: what
//! the data path would do for a client that has just logged in. [`ask`] finds what it needs to
//! know: the newest topology, and the catalog of the database, for which it waits a little.

mod effect;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use policy::decide::RouteFrom;
use policy::{
    Ask, Decision, Fence, FenceState, Load, NodeId, PreferenceError, Preferences, Reason, Route,
    Signal, Target, Token, TokenVerdict, Topology, Wait,
};
use proxy::config::{ClusterLink, DatabaseRules, Live, PoolMode};
use serde::{Deserialize, Serialize};
use sql::{Catalog, Classifier};

use crate::body::Body;
use crate::clusters::now;
use crate::problem::Problem;
use crate::state::State;
use crate::words;

/// How long a request waits for a catalog that nobody has asked for before.
const CATALOG_WAIT: Duration = Duration::from_secs(3);

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The database by the name that clients use.
    pub database: String,
    /// One or several statements.
    pub sql: String,
    /// Who asks: a user may have `reads` of its own.
    #[serde(default)]
    pub user: Option<String>,
    /// Wishes of the session, by their names without `weir.`: `{"consistency": "eventual"}`.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// The same as in `settings`.
    #[serde(default)]
    pub consistency: Option<String>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// `primary`, `replica`, `wait`, `refuse`, or `weir` for what Weir answers itself.
    pub target: &'static str,
    /// The node, if there is one; of several eligible replicas, one that could be drawn.
    pub node: Option<String>,
    /// Why, as in metrics and `SHOW weir.last_route`.
    pub reason: &'static str,
    /// What a wait waits for, or what a refusal tells the client.
    pub detail: Option<&'static str>,
    /// The strongest class of the statements.
    pub class: &'static str,
    /// Why they have that class.
    pub why: &'static str,
    /// How many statements there are.
    pub statements: u32,
    /// What the session would remember of them.
    pub effects: Vec<String>,
    /// What a read must not be older than, as `timeline/lsn`.
    pub fence: Option<String>,
    /// The cluster that serves the database.
    pub cluster: String,
    /// Whether the database's own functions, views and types are known; without, less is a read.
    pub catalog: bool,
    /// Every node, with what speaks for or against it as a replica for this read.
    pub candidates: Vec<CandidateBody>,
}

/// One node of an explanation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CandidateBody {
    /// Its name.
    pub node: String,
    /// Its confirmed role.
    pub role: &'static str,
    /// How old its data is at most; `None` while unknown.
    pub lag_seconds: Option<f64>,
    /// Bytes that it has not replayed yet.
    pub lag_bytes: Option<u64>,
    /// `eligible`, or the first thing against it.
    pub eligibility: &'static str,
}

/// What an explanation rests on.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The database's rules.
    pub rules: &'a DatabaseRules,
    /// How the user's reads are routed unless the question says otherwise.
    pub reads: &'a Preferences,
    /// The cluster's newest snapshot.
    pub topology: &'a Topology,
    /// The database's catalog, if it is loaded.
    pub catalog: Option<&'a Catalog>,
    /// Now, on the clock of the topology.
    pub now: Instant,
}

/// Explains where a statement would go.
///
/// # Errors
///
/// [`ExplainError::Setting`]: tell who asked; nothing was decided.
pub fn explain(question: &Question, view: &View<'_>) -> Result<Explanation, ExplainError> {
    let classified = Classifier::new().classify(&question.sql, view.catalog);
    let Wanted { wishes, from: route_from, fence } = wishes(question, view)?;
    let ask = Ask {
        class: classified.class,
        why: classified.why,
        wishes: &wishes,
        route_from,
        fence: fence.map_or(FenceState::Open, FenceState::Known),
        last_read: None,
        pace: None,
        guards: None,
        now: view.now,
    };
    let decision = match view.rules.mode {
        PoolMode::Transaction | PoolMode::Statement => {
            policy::decide(&ask, view.topology, &Idle, 0)
        }
        PoolMode::Session => by_session(&ask, view.topology),
    };
    let place = if effect::is_local(&classified) {
        Place { target: "weir", node: None, reason: Reason::Local, detail: None }
    } else {
        Place::of(&decision, view.topology)
    };
    let candidates = policy::candidates(&ask, view.topology);
    Ok(Explanation {
        target: place.target,
        node: place.node,
        reason: place.reason.as_str(),
        detail: place.detail,
        class: classified.class.as_str(),
        why: classified.why.as_str(),
        statements: classified.statements,
        effects: classified.effects.iter().map(effect::word).collect(),
        fence: decision.fence.map(|fence| format!("{}/{}", fence.timeline, fence.lsn)),
        cluster: view.rules.cluster.clone(),
        catalog: view.catalog.is_some(),
        candidates: candidates.iter().map(|one| body(one, view.topology)).collect(),
    })
}

/// Session pooling: every statement goes to the session's server, on the primary.
fn by_session(ask: &Ask<'_>, topology: &Topology) -> Decision {
    let wishes = Preferences { route: Route::Primary, ..ask.wishes.clone() };
    let ask = Ask { wishes: &wishes, route_from: RouteFrom::Config, ..ask.clone() };
    let decision = policy::decide(&ask, topology, &Idle, 0);
    if decision.reason == Reason::Config {
        return Decision { reason: Reason::SessionPool, ..decision };
    }
    decision
}

/// What a question asks for.
struct Wanted {
    wishes: Preferences,
    from: RouteFrom,
    /// Of a token in the hint.
    fence: Option<Fence>,
}

/// Configuration, then the question's settings, then a leading hint.
fn wishes(question: &Question, view: &View<'_>) -> Result<Wanted, ExplainError> {
    let configured = view.reads;
    let mut wishes = configured.clone();
    let consistency = question.consistency.as_ref().map(|value| ("consistency", value));
    let settings = question.settings.iter().map(|(name, value)| (name.as_str(), value));
    for (name, value) in settings.chain(consistency) {
        let name = name.strip_prefix("weir.").unwrap_or(name);
        let refused = |cause| ExplainError::Setting { name: name.to_owned(), cause };
        wishes.set(name, value).map_err(refused)?;
    }
    let mut from =
        if wishes.route == configured.route { RouteFrom::Config } else { RouteFrom::Session };
    let mut fence = None;
    if let Some(hint) = sql::leading_hint(&question.sql) {
        from = RouteFrom::Hint;
        for pair in hint.pairs {
            let understood = match pair {
                Ok(("min_lsn", text)) => {
                    let asked = asked_by(text, view.topology);
                    fence = Fence::strongest(fence, asked);
                    asked.is_some()
                }
                Ok((name, value)) => wishes.set(name, value).is_ok(),
                Err(_) => false,
            };
            // As on the data path: a hint that is not understood sends to the primary.
            if !understood {
                wishes.route = Route::Primary;
            }
        }
    }
    Ok(Wanted { wishes, from, fence })
}

/// What a token asks of reads here, if it is one of this system.
fn asked_by(text: &str, topology: &Topology) -> Option<Fence> {
    let token: Token = text.parse().ok()?;
    let foreign = token.judge(topology, None) == TokenVerdict::OtherSystem;
    (!foreign).then_some(token.fence)
}

/// Where a decision leads, in words.
struct Place {
    target: &'static str,
    node: Option<String>,
    reason: Reason,
    detail: Option<&'static str>,
}

impl Place {
    fn of(decision: &Decision, topology: &Topology) -> Self {
        let named = |id: NodeId| topology.node(id).map(|node| node.name.to_string());
        let (target, node, detail) = match decision.target {
            Target::Primary(id) => ("primary", named(id), None),
            Target::Replica(id) => ("replica", named(id), None),
            Target::Wait(Wait::Primary) => {
                ("wait", None, Some("for a primary, up to failover_hold"))
            }
            Target::Wait(Wait::Fresh | Wait::Ticket | Wait::Replay(_)) => {
                ("wait", None, Some("for a replica to be fresh enough, up to stale_wait"))
            }
            Target::Refuse(refusal) => ("refuse", None, Some(refusal.message())),
        };
        Self { target, node, reason: decision.reason, detail }
    }
}

fn body(candidate: &policy::Candidate, topology: &Topology) -> CandidateBody {
    let node = topology.node(candidate.node);
    CandidateBody {
        node: node.map(|node| node.name.to_string()).unwrap_or_default(),
        role: node.map_or("unknown", |node| words::role(node.role)),
        lag_seconds: words::seconds(candidate.lag),
        lag_bytes: candidate.lag_bytes,
        eligibility: candidate.eligibility.as_str(),
    }
}

/// Nobody is busy: which of several eligible replicas is drawn is not explained.
struct Idle;

impl Load for Idle {
    fn busy(&self, _node: NodeId) -> u32 {
        0
    }
}

/// Why there is no explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExplainError {
    /// The configuration has no such database, nor `"*"`.
    UnknownDatabase,
    /// The database's cluster is not running; a bug, or a reload in between.
    UnknownCluster,
    /// No such setting, or not such a value.
    Setting {
        /// Its name without `weir.`.
        name: String,
        /// What would be accepted.
        cause: PreferenceError,
    },
}

impl fmt::Display for ExplainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownDatabase => {
                f.write_str("the configuration has no such database, and no entry \"*\"")
            }
            Self::UnknownCluster => f.write_str("the database's cluster is not running"),
            Self::Setting { name, cause } => write!(f, "{name}: {cause}"),
        }
    }
}

impl std::error::Error for ExplainError {}

/// Answers `question` from the newest snapshots, waiting up to `patience` for the catalog.
///
/// Without a catalog by then the explanation says so: `catalog` is false.
///
/// Cancel-safe: dropping it changes nothing, except that the catalog may be loaded all the same.
///
/// # Errors
///
/// [`ExplainError`]: tell who asked.
pub async fn ask(
    live: &Live,
    question: &Question,
    patience: Duration,
) -> Result<Explanation, ExplainError> {
    let rules = live.database(&question.database).ok_or(ExplainError::UnknownDatabase)?;
    let link = live.clusters.get(&rules.cluster).ok_or(ExplainError::UnknownCluster)?;
    let dbname = rules.dbname.as_deref().unwrap_or(&question.database);
    let catalog = catalog(link, dbname, patience).await;
    let topology = Arc::clone(&link.topology.borrow());
    let reads = live.reads(question.user.as_deref().unwrap_or_default(), &rules.reads);
    let view =
        View { rules, reads: &reads, topology: &topology, catalog: catalog.as_deref(), now: now() };
    explain(question, &view)
}

async fn catalog(link: &ClusterLink, dbname: &str, patience: Duration) -> Option<Arc<Catalog>> {
    let mut catalogs = link.catalogs.clone();
    if !catalogs.borrow().contains_key(dbname) {
        let _use = Use::begin(link, dbname);
        let loaded = catalogs.wait_for(|catalogs| catalogs.contains_key(dbname));
        drop(tokio::time::timeout(patience, loaded).await);
    }
    catalogs.borrow().get(dbname).map(Arc::clone)
}

/// A database in use; control may forget its catalog some time after this is dropped.
struct Use<'a>(&'a ClusterLink, &'a str);

impl<'a> Use<'a> {
    fn begin(link: &'a ClusterLink, dbname: &'a str) -> Self {
        // Without control there is nobody to load the catalog, and a wait for it ends at once.
        drop(link.signals.send(Signal::Database(dbname.into())));
        Self(link, dbname)
    }
}

impl Drop for Use<'_> {
    fn drop(&mut self) {
        drop(self.0.signals.send(Signal::Left(self.1.into())));
    }
}

/// `POST /v1/explain`.
pub(crate) async fn handle(
    Extract(state): Extract<State>,
    Body(question): Body<Question>,
) -> Result<Json<Explanation>, Problem> {
    let live = state.rules();
    let explained = ask(&live, &question, CATALOG_WAIT).await;
    explained.map(Json).map_err(|error| match error {
        ExplainError::UnknownDatabase => {
            Problem::not_found(format!("database {:?}: {error}", question.database))
        }
        ExplainError::UnknownCluster => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
        }
        ExplainError::Setting { .. } => Problem::invalid(error.to_string()),
    })
}
