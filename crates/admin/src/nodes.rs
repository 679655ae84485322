//! `/v1/clusters/{c}/nodes`: membership at run time.
//!
//! Changes go to control, which owns the cluster, and are answered once its next snapshot shows
//! them. They last until Weir is restarted: the configuration file is not written.

use axum::Json;
use axum::extract::{Path, State as Extract};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use control::{Command, Reply};
use policy::Gate;
use policy::cluster::{NodePatch, NodeSpec};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::body::Body;
use crate::clusters::{NodeBody, now};
use crate::problem::Problem;
use crate::state::State;

/// A node to be added.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewNode {
    name: String,
    host: String,
    #[serde(default = "default_port")]
    port: u16,
    #[serde(default = "default_weight")]
    weight: u32,
}

const fn default_port() -> u16 {
    5432
}

const fn default_weight() -> u32 {
    1
}

/// A change to a node; what is absent stays as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    weight: Option<u32>,
    gate: Option<GateWord>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GateWord {
    Open,
    Draining,
}

impl From<GateWord> for Gate {
    fn from(word: GateWord) -> Self {
        match word {
            GateWord::Open => Self::Open,
            GateWord::Draining => Self::Draining,
        }
    }
}

/// All nodes of a cluster.
#[derive(Serialize)]
pub(crate) struct Nodes {
    nodes: Vec<NodeBody>,
}

pub(crate) async fn list(
    Extract(state): Extract<State>,
    Path(cluster): Path<String>,
) -> Result<Json<Nodes>, Problem> {
    let topology = state.topology(&cluster)?;
    let nodes = topology.nodes.iter().map(|node| NodeBody::new(node, now())).collect();
    Ok(Json(Nodes { nodes }))
}

pub(crate) async fn show(
    Extract(state): Extract<State>,
    Path((cluster, node)): Path<(String, String)>,
) -> Result<Json<NodeBody>, Problem> {
    body(&state, &cluster, &node).map(Json)
}

pub(crate) async fn add(
    Extract(state): Extract<State>,
    Path(cluster): Path<String>,
    Body(new): Body<NewNode>,
) -> Result<Response, Problem> {
    let usable = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.');
    if new.name.is_empty() || !new.name.chars().all(usable) {
        return Err(Problem::invalid("name may have letters, digits, and any of - _ . only"));
    }
    if new.host.is_empty() || new.port == 0 {
        return Err(Problem::invalid("host must not be empty, and port not 0"));
    }
    let location = format!("/v1/clusters/{cluster}/nodes/{}", new.name);
    let name = new.name.clone();
    let spec = NodeSpec {
        name: new.name.into_boxed_str(),
        host: new.host.into_boxed_str(),
        port: new.port,
        weight: new.weight,
    };
    carry_out(&state, &cluster, |reply| Command::Add { spec, reply }).await?;
    let node = body(&state, &cluster, &name)?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(node)).into_response())
}

pub(crate) async fn change(
    Extract(state): Extract<State>,
    Path((cluster, node)): Path<(String, String)>,
    Body(change): Body<Change>,
) -> Result<Json<NodeBody>, Problem> {
    let patch = NodePatch { weight: change.weight, gate: change.gate.map(Gate::from) };
    patched(&state, &cluster, &node, patch).await
}

pub(crate) async fn remove(
    Extract(state): Extract<State>,
    Path((cluster, node)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let name = node.into_boxed_str();
    carry_out(&state, &cluster, |reply| Command::Remove { name, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST …/nodes/{n}:drain` and `:resume`; names can't hold a colon.
pub(crate) async fn act(
    Extract(state): Extract<State>,
    Path((cluster, target)): Path<(String, String)>,
) -> Result<Json<NodeBody>, Problem> {
    let (node, gate) = match target.rsplit_once(':') {
        Some((node, "drain")) => (node, Gate::Draining),
        Some((node, "resume")) => (node, Gate::Open),
        Some(_) | None => {
            return Err(Problem::not_found("a node can be told :drain or :resume"));
        }
    };
    patched(&state, &cluster, node, NodePatch { weight: None, gate: Some(gate) }).await
}

async fn patched(
    state: &State,
    cluster: &str,
    node: &str,
    patch: NodePatch,
) -> Result<Json<NodeBody>, Problem> {
    let name = node.into();
    carry_out(state, cluster, |reply| Command::Patch { name, patch, reply }).await?;
    body(state, cluster, node).map(Json)
}

fn body(state: &State, cluster: &str, name: &str) -> Result<NodeBody, Problem> {
    let topology = state.topology(cluster)?;
    let node = topology.nodes.iter().find(|node| *node.name == *name);
    let node =
        node.ok_or_else(|| Problem::not_found(format!("cluster {cluster} has no node {name:?}")))?;
    Ok(NodeBody::new(node, now()))
}

/// Sends a command and waits for its outcome.
async fn carry_out(
    state: &State,
    cluster: &str,
    command: impl FnOnce(Reply) -> Command,
) -> Result<(), Problem> {
    let gone = || Problem::unavailable("control of this cluster has stopped; Weir shuts down");
    let (reply, outcome) = oneshot::channel();
    state.command(cluster)?.send(command(reply)).await.map_err(|_| gone())?;
    outcome.await.map_err(|_| gone())?.map_err(Problem::from)
}
