//! `/metrics`: what the data path counts, and the topology as gauges.

use std::time::Instant;

use axum::extract::State as Extract;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use policy::{Gate, Health, Leader, NodeView, Topology};
use telemetry::{Exposition, Kind};

use crate::state::State;
use crate::words;

pub(crate) async fn metrics(Extract(state): Extract<State>) -> Response {
    let mut out = Exposition::new();
    out.family("weir_build_info", "The version that runs; always 1.", Kind::Gauge)
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1_u64);
    for source in &state.metrics {
        source.collect(&mut out);
    }
    let now = tokio::time::Instant::now().into_std();
    for (name, topology) in state.topologies() {
        cluster(&mut out, &name, &topology);
        for view in &topology.nodes {
            node(&mut out, &[("cluster", &name), ("node", &view.name)], view, now);
        }
    }
    ([(header::CONTENT_TYPE, Exposition::CONTENT_TYPE)], out.finish()).into_response()
}

fn cluster(out: &mut Exposition, name: &str, topology: &Topology) {
    let labels = [("cluster", name)];
    let epoch = "Grows with every change of primary since Weir started.";
    out.family("weir_cluster_epoch", epoch, Kind::Gauge).sample(&labels, topology.epoch.0);
    let primary = "Whether a primary takes writes.";
    out.family("weir_cluster_has_primary", primary, Kind::Gauge)
        .sample(&labels, topology.primary().is_some());
    let split = "Whether two nodes claim to be primary, so that nothing is written.";
    out.family("weir_cluster_split_brain", split, Kind::Gauge)
        .sample(&labels, matches!(topology.leader, Leader::SplitBrain));
}

fn node(out: &mut Exposition, labels: &[(&str, &str); 2], view: &NodeView, now: Instant) {
    let up = "Whether the node answers probes.";
    out.family("weir_node_up", up, Kind::Gauge).sample(labels, view.health == Health::Up);
    let draining = "Whether an operator drains the node.";
    out.family("weir_node_draining", draining, Kind::Gauge)
        .sample(labels, view.gate == Gate::Draining);
    let weight = "The node's share of reads relative to other replicas.";
    out.family("weir_node_weight", weight, Kind::Gauge).sample(labels, u64::from(view.weight));
    for role in words::ROLES {
        let [cluster, node] = *labels;
        out.family("weir_node_role", "1 for the confirmed role, 0 for others.", Kind::Gauge)
            .sample(&[cluster, node, ("role", words::role(role))], view.role == role);
    }
    if let Some(lag) = words::seconds(view.lag(now)) {
        let help = "How old the replica's data is at most; absent while unknown.";
        out.family("weir_node_lag_seconds", help, Kind::Gauge).sample(labels, lag);
    }
    if let Some(bytes) = view.lag_bytes {
        let help = "WAL that the replica has not replayed yet; absent while unknown.";
        out.family("weir_node_lag_bytes", help, Kind::Gauge).sample(labels, bytes);
    }
}
