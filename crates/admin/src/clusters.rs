//! `/v1/clusters`: what is known of clusters and nodes.

use std::time::Instant;

use axum::Json;
use axum::extract::{Path, State as Extract};
use policy::{NodeView, Topology};
use serde::Serialize;

use crate::problem::Problem;
use crate::state::State;
use crate::words;

/// A cluster as JSON shows it.
#[derive(Serialize)]
pub(crate) struct ClusterBody {
    name: String,
    /// `system_identifier` of all members, in digits: JSON numbers end at 2^53.
    system: Option<String>,
    /// `elected`, `missing` or `split_brain`.
    leader: &'static str,
    /// The primary's name.
    primary: Option<String>,
    timeline: Option<u32>,
    epoch: u64,
    generation: u64,
    /// The primary's newest measured flush position.
    flush_lsn: Option<String>,
    nodes: Vec<NodeBody>,
}

impl ClusterBody {
    fn new(name: String, topology: &Topology, now: Instant) -> Self {
        Self {
            name,
            system: topology.system.map(|system| system.to_string()),
            leader: words::leader(topology.leader),
            primary: topology.primary().map(|node| node.name.to_string()),
            timeline: topology.timeline().map(|timeline| timeline.0),
            epoch: topology.epoch.0,
            generation: topology.generation,
            flush_lsn: topology.sampled.map(|sampled| sampled.flush.lsn.to_string()),
            nodes: topology.nodes.iter().map(|node| NodeBody::new(node, now)).collect(),
        }
    }
}

/// A node as JSON shows it.
#[derive(Serialize)]
pub(crate) struct NodeBody {
    name: String,
    host: String,
    port: u16,
    weight: u32,
    role: &'static str,
    gate: &'static str,
    health: &'static str,
    timeline: Option<u32>,
    replay_lsn: Option<String>,
    /// At most this old; null while unknown.
    lag_seconds: Option<f64>,
    lag_bytes: Option<u64>,
}

impl NodeBody {
    pub(crate) fn new(node: &NodeView, now: Instant) -> Self {
        Self {
            name: node.name.to_string(),
            host: node.host.to_string(),
            port: node.port,
            weight: node.weight,
            role: words::role(node.role),
            gate: words::gate(node.gate),
            health: words::health(node.health),
            timeline: node
                .position
                .and_then(|position| position.timeline)
                .map(|timeline| timeline.0),
            replay_lsn: node.position.map(|position| position.replay.to_string()),
            lag_seconds: words::seconds(node.lag(now)),
            lag_bytes: node.lag_bytes,
        }
    }
}

/// All clusters.
#[derive(Serialize)]
pub(crate) struct Clusters {
    clusters: Vec<ClusterBody>,
}

pub(crate) async fn list(Extract(state): Extract<State>) -> Json<Clusters> {
    let now = now();
    let topologies = state.topologies().into_iter();
    let clusters = topologies.map(|(name, topology)| ClusterBody::new(name, &topology, now));
    Json(Clusters { clusters: clusters.collect() })
}

pub(crate) async fn show(
    Extract(state): Extract<State>,
    Path(cluster): Path<String>,
) -> Result<Json<ClusterBody>, Problem> {
    let topology = state.topology(&cluster)?;
    Ok(Json(ClusterBody::new(cluster, &topology, now())))
}

pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
