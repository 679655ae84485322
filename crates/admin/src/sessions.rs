//! `/v1/sessions`: who is connected, what they do, and what keeps them on their servers.

use axum::Json;
use axum::extract::{Path, State as Extract};
use axum::http::StatusCode;
use proxy::config::PoolMode;
use proxy::inquiry::{Filter, Route, SessionView, Silent, State as Doing, Transport};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::problem::Problem;
use crate::query::{Asked, Limit};
use crate::state::State;

/// Which sessions are asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filters {
    database: Option<String>,
    user: Option<String>,
    pinned: Option<bool>,
    state: Option<StateWord>,
    #[serde(default)]
    limit: Limit,
}

impl From<Filters> for Filter {
    fn from(asked: Filters) -> Self {
        let Filters { database, user, pinned, state, limit } = asked;
        let state = state.map(|StateWord(state)| state);
        Self { id: None, database, user, pinned, state, limit: limit.0 }
    }
}

struct StateWord(Doing);

impl<'de> Deserialize<'de> for StateWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let found = Doing::ALL.into_iter().find(|state| state.as_str() == word);
        found.map(Self).ok_or_else(|| {
            let words = Doing::ALL.map(Doing::as_str).join(", ");
            de::Error::custom(format!("there is no state {word:?}; there are {words}"))
        })
    }
}

/// Some sessions, and how many there are.
#[derive(Serialize)]
pub(crate) struct Listed {
    /// How many match, shown or not.
    matched: usize,
    limit: usize,
    sessions: Vec<SessionBody>,
}

/// A session as JSON shows it.
#[derive(Serialize)]
pub(crate) struct SessionBody {
    id: u64,
    pid: i32,
    user: String,
    database: String,
    cluster: String,
    client: String,
    tls: bool,
    application_name: Option<Box<str>>,
    mode: &'static str,
    state: &'static str,
    state_seconds: u64,
    /// Null while no transaction is open.
    transaction_seconds: Option<u64>,
    connected_seconds: u64,
    /// Why it keeps its server beyond a transaction; null if it does not.
    pin: Option<&'static str>,
    /// The node of the server that it holds; null if it holds none.
    node: Option<Box<str>>,
    last_route: Option<RouteBody>,
}

#[derive(Serialize)]
struct RouteBody {
    target: &'static str,
    node: Box<str>,
    reason: &'static str,
}

impl From<Route> for RouteBody {
    fn from(route: Route) -> Self {
        Self { target: route.target, node: route.node, reason: route.reason.as_str() }
    }
}

impl From<SessionView> for SessionBody {
    fn from(view: SessionView) -> Self {
        Self {
            id: view.id,
            pid: view.pid,
            user: view.user.to_string(),
            database: view.database.to_string(),
            cluster: view.cluster.to_string(),
            client: view.client.to_string(),
            tls: view.transport == Transport::Tls,
            application_name: view.application_name,
            mode: match view.mode {
                PoolMode::Transaction => "transaction",
                PoolMode::Session => "session",
                PoolMode::Statement => "statement",
            },
            state: view.state.as_str(),
            state_seconds: view.state_for.as_secs(),
            transaction_seconds: view.transaction_for.map(|open| open.as_secs()),
            connected_seconds: view.connected_for.as_secs(),
            pin: view.pin.map(sql::Pin::as_str),
            node: view.node,
            last_route: view.route.map(RouteBody::from),
        }
    }
}

impl From<Silent> for Problem {
    fn from(silent: Silent) -> Self {
        Self::unavailable(format!("{silent}; try again"))
    }
}

pub(crate) async fn list(
    Extract(state): Extract<State>,
    Asked(filters): Asked<Filters>,
) -> Result<Json<Listed>, Problem> {
    let filter = Filter::from(filters);
    let limit = filter.limit;
    let found = state.workers.sessions(filter).await?;
    let sessions = found.shown.into_iter().map(SessionBody::from).collect();
    Ok(Json(Listed { matched: found.matched, limit, sessions }))
}

pub(crate) async fn show(
    Extract(state): Extract<State>,
    Path(id): Path<String>,
) -> Result<Json<SessionBody>, Problem> {
    let filter = Filter { id: Some(number(&id)?), limit: 1, ..Filter::default() };
    let found = state.workers.sessions(filter).await?.shown.pop();
    found.map(|view| Json(view.into())).ok_or_else(|| no_session(&id))
}

pub(crate) async fn end(
    Extract(state): Extract<State>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    if state.workers.end(number(&id)?).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(no_session(&id))
}

/// What is no number is no session's id either.
fn number(id: &str) -> Result<u64, Problem> {
    id.parse().map_err(|_| no_session(id))
}

fn no_session(id: &str) -> Problem {
    Problem::not_found(format!("there is no session {id:?}; GET /v1/sessions lists them"))
}
