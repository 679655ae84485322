//! Routes, and the limits that hold for all of them.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;

use crate::problem::{Problem, dress};
use crate::state::State;
use crate::{
    advice, body, clusters, explain, guard, health, metrics, nodes, pools, sessions, statements,
};

/// How long a request may take, its body included.
const PATIENCE: Duration = Duration::from_secs(15);

/// Answers on `listener` until `shutdown` is ready, then finishes the requests that it has begun.
///
/// Cancel-safe: dropping it closes the listener and every connection.
///
/// # Errors
///
/// Never in practice: a failing accept is tried again. The signature is axum's.
pub async fn serve(
    listener: TcpListener,
    state: State,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, routes(state)).with_graceful_shutdown(shutdown).await
}

fn routes(state: State) -> Router {
    let v1 = Router::new()
        .route("/v1/clusters", get(clusters::list))
        .route("/v1/clusters/{cluster}", get(clusters::show))
        .route("/v1/clusters/{cluster}/nodes", get(nodes::list).post(nodes::add))
        .route(
            "/v1/clusters/{cluster}/nodes/{node}",
            get(nodes::show).patch(nodes::change).delete(nodes::remove).post(nodes::act),
        )
        .route("/v1/advice", get(advice::list))
        .route("/v1/sessions", get(sessions::list))
        .route("/v1/sessions/{id}", get(sessions::show).delete(sessions::end))
        .route("/v1/pools", get(pools::list))
        .route("/v1/statements", get(statements::list))
        .route("/v1/explain", post(explain::handle))
        .route_layer(middleware::from_fn_with_state(state.clone(), guard::guard));
    Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
        .merge(v1)
        .layer(DefaultBodyLimit::max(body::MOST))
        .layer(middleware::from_fn(in_time))
        .layer(middleware::map_response(dress))
        .with_state(state)
}

async fn in_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(PATIENCE, next.run(request)).await.unwrap_or_else(|_| {
        let detail = format!("not answered within {} s", PATIENCE.as_secs());
        Problem::new(StatusCode::GATEWAY_TIMEOUT, detail).into_response()
    })
}
