//! `/v1/advice`: what an operator should know of how clusters and databases are set up.
//!
//! Nothing here is broken: each entry names a promise that holds less far than one may think.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State as Extract;
use control::{Setup, Setups};
use policy::{Role, Topology};
use proxy::config::{DatabaseRules, Live};
use serde::Serialize;

use crate::state::State;

/// One piece of advice.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Advice {
    /// A word that stays the same.
    code: &'static str,
    cluster: String,
    /// The node that it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// What is so, what follows, and what to do.
    text: String,
}

const SYNCHRONOUS_STANDBYS: &str = "synchronous_standby_names is set: a standby shows a commit while the primary still hides it. \
    A session that reads it on a replica and then reads on the primary may for a moment not see it again; nobody has been told of \
    that commit yet, acknowledged ones are never affected. Where that matters, read on the primary (weir.route = primary)";

const ASYNCHRONOUS_COMMIT: &str = "synchronous_commit is off by default: a crash of the primary loses commits that clients were told of, \
    and no fence brings them back. Fences are insert positions then, so that replicas serve a session's reads later. Leave it on, \
    and set it off where losing a commit does no harm";

const UNREADABLE_TIMELINE: &str = "this standby's timeline can't be read: its lag is unknown and it serves no fenced read. \
    Grant pg_monitor to the monitor user";

/// `GET /v1/advice`.
pub(crate) async fn list(Extract(state): Extract<State>) -> Json<Vec<Advice>> {
    let mut all = Vec::new();
    for (cluster, topology) in state.topologies() {
        let setups = state.setups.get(&cluster).map(|setups| Arc::clone(&setups.borrow()));
        about_nodes(&mut all, &cluster, (&topology, &setups.unwrap_or_default()));
    }
    about_databases(&mut all, &state.rules());
    Json(all)
}

fn about_nodes(all: &mut Vec<Advice>, cluster: &str, (topology, setups): (&Topology, &Setups)) {
    for node in &topology.nodes {
        let Some(setup) = setups.get(&node.name) else { continue };
        let Setup { synchronous_standbys, asynchronous_commit, timeline_hidden } = *setup;
        let leads = node.role == Role::Primary;
        let found = [
            (leads && synchronous_standbys, "synchronous_standbys", SYNCHRONOUS_STANDBYS),
            (leads && asynchronous_commit, "asynchronous_commit", ASYNCHRONOUS_COMMIT),
            (!leads && timeline_hidden, "unreadable_timeline", UNREADABLE_TIMELINE),
        ];
        all.extend(found.into_iter().filter(|(holds, ..)| *holds).map(|(_, code, text)| Advice {
            code,
            cluster: cluster.to_owned(),
            node: Some(node.name.to_string()),
            text: text.to_owned(),
        }));
    }
}

fn about_databases(all: &mut Vec<Advice>, rules: &Live) {
    let named = rules.databases.named().iter();
    let patterns = rules.databases.patterns().iter().map(|(name, rules)| (name, rules));
    let entries: BTreeMap<&String, &DatabaseRules> = named.chain(patterns).collect();
    let unbound = entries
        .into_iter()
        .filter(|(_, rules)| rules.reads.max_lag.is_none() && rules.reads.max_lag_bytes.is_none());
    all.extend(unbound.map(|(name, rules)| Advice {
        code: "max_lag_off",
        cluster: rules.cluster.clone(),
        node: None,
        text: format!(
            "databases.{name}: reads.max_lag is off: but for a session's own writes, a replica may show data of any age. \
            Set a bound that its apps can live with"
        ),
    }));
}
