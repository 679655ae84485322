//! `/metrics`: what the data path counts, and topology and pools as gauges.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::extract::State as Extract;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use policy::{Answers, Gate, Health, Leader, NodeView, Topology};
use proxy::config::Live;
use proxy::inquiry::PoolView;
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
    for (name, link) in &state.rules().clusters {
        clock(&mut out, name, &link.answers.borrow());
    }
    // A worker that is silent makes these absent: a part of the sum would look like the whole.
    if let Ok(pools) = state.workers.pools().await {
        for (place, sum) in summed(&state.rules(), &pools) {
            servers(&mut out, place, &sum);
        }
    }
    ([(header::CONTENT_TYPE, Exposition::CONTENT_TYPE)], out.finish()).into_response()
}

/// Cluster, node, and the `databases:` entry.
type Place<'a> = (&'a str, &'a str, &'a str);

/// What the pools of all users in one place sum up to.
#[derive(Default)]
struct Sum {
    active: u64,
    idle: u64,
    opening: u64,
    limit: u64,
    waiting: u64,
    longest_wait: Duration,
}

/// Sums pools up by labels that the configuration bounds: neither users nor, under a pattern such as
/// `"*"`, databases are counted one by one, since any client may bring new ones.
fn summed<'a>(rules: &'a Live, pools: &'a [PoolView]) -> BTreeMap<Place<'a>, Sum> {
    let mut sums: BTreeMap<Place<'_>, Sum> = BTreeMap::new();
    for pool in pools {
        let entry = rules.databases.entry(&pool.database).map_or("*", |(entry, _)| entry);
        let sum = sums.entry((&pool.cluster, &pool.node, entry)).or_default();
        sum.active = sum.active.saturating_add(pool.active.into());
        sum.idle = sum.idle.saturating_add(pool.idle.into());
        sum.opening = sum.opening.saturating_add(pool.opening.into());
        sum.limit = sum.limit.saturating_add(pool.limit.into());
        sum.waiting = sum.waiting.saturating_add(pool.waiting.into());
        sum.longest_wait = sum.longest_wait.max(pool.longest_wait);
    }
    sums
}

fn servers(out: &mut Exposition, (cluster, node, database): Place<'_>, sum: &Sum) {
    let labels = [("cluster", cluster), ("node", node), ("database", database)];
    let [one, two, three] = labels;
    for (state, count) in [("active", sum.active), ("idle", sum.idle), ("opening", sum.opening)] {
        out.family("weir_servers", "Server connections by what they do.", Kind::Gauge)
            .sample(&[one, two, three, ("state", state)], count);
    }
    let limit = "Server connections that the pools in use may have, without their reserves.";
    out.family("weir_servers_limit", limit, Kind::Gauge).sample(&labels, sum.limit);
    let waiting = "Clients in line for a server.";
    out.family("weir_clients_waiting", waiting, Kind::Gauge).sample(&labels, sum.waiting);
    let longest = "How long the first client in line has waited.";
    out.family("weir_longest_wait_seconds", longest, Kind::Gauge)
        .sample(&labels, sum.longest_wait.as_secs_f64());
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

fn clock(out: &mut Exposition, name: &str, answers: &Answers) {
    let labels = [("cluster", name)];
    let queries = "Questions of the LSN clock that the primary answered.";
    out.family("weir_lsn_queries_total", queries, Kind::Counter).sample(&labels, answers.heard());
    if let Some(newest) = answers.newest() {
        let took = "How long the newest answer of the LSN clock took; absent before the first.";
        out.family("weir_lsn_query_seconds", took, Kind::Gauge)
            .sample(&labels, newest.took.as_secs_f64());
    }
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
        let help = "WAL that the replica had not replayed, as last measured; absent while unknown.";
        out.family("weir_node_lag_bytes", help, Kind::Gauge).sample(labels, bytes);
    }
}
