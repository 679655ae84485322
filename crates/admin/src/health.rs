//! `/livez` and `/readyz`.

use axum::Json;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use policy::{Health, Role, Topology};
use serde::Serialize;

use crate::problem::Problem;
use crate::state::State;

#[derive(Serialize)]
struct Status {
    status: &'static str,
}

/// The process answers.
pub(crate) async fn livez() -> Response {
    (StatusCode::OK, Json(Status { status: "alive" })).into_response()
}

/// Clients may be sent here.
///
/// Nodes that were seen once and are gone don't make Weir unready: other instances would see the
/// same, and a client is better served by an error that says so than by a refused connection.
pub(crate) async fn readyz(Extract(state): Extract<State>) -> Response {
    let mut missing = Vec::new();
    if !*state.accepting.borrow() {
        missing.push("the SQL listener takes no clients: Weir starts or shuts down".to_owned());
    }
    for (name, topology) in state.topologies() {
        if !has_been_seen(&topology) {
            missing.push(format!("no node of cluster {name} has answered a probe"));
        }
    }
    if missing.is_empty() {
        return (StatusCode::OK, Json(Status { status: "ready" })).into_response();
    }
    Problem::unavailable(missing.join("; ")).into_response()
}

fn has_been_seen(topology: &Topology) -> bool {
    topology.nodes.iter().any(|node| node.health == Health::Up || node.role != Role::Unknown)
}
