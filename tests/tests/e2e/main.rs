//! End to end: the real binary in front of real clusters.
#![cfg(test)]
#![expect(clippy::arithmetic_side_effects, reason = "tests fail by panicking")]

mod admin;
mod bad_input;
mod builtin;
mod cancel;
mod checker;
mod commands;
mod consistency;
mod conversations;
mod crowd;
mod drivers;
mod failover;
mod fences;
mod groups;
mod guards;
mod lag;
mod learned;
mod limits;
mod newest;
mod own;
mod pitfalls;
mod pooling;
mod prepared;
mod programs;
mod replication;
mod routing;
mod sessions;
mod shares;
mod shutdown;
mod standbys;
mod state;
mod statement;
mod strong;
mod tenants;
mod timeouts;
mod tls;
mod tokens;
mod tools;

use std::time::Duration;

use testkit::Cluster;
use weir_tests::{Config, Weir, now};

/// The binary under test.
pub(crate) const WEIR: &str = env!("CARGO_BIN_EXE_weir-under-test");

/// How long a test waits for what takes a fraction of a second.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A primary with so many replicas, and Weir in front of them.
pub(crate) fn rig(replicas: usize, config: &Config) -> (Cluster, Weir) {
    let cluster = Cluster::builder().replicas(replicas).start().unwrap();
    let weir = Weir::start(WEIR, &cluster, config);
    (cluster, weir)
}

/// Waits until `what` holds, while the test's own connections go on.
pub(crate) async fn soon(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let since = now();
    while !holds().await {
        assert!(since.elapsed() < SOON, "not within {SOON:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Settings of the section `pool`.
pub(crate) fn pool(pairs: &[(&'static str, &str)]) -> Config {
    let pool = pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Config { pool, ..Config::default() }
}

/// The first value that `sql` answers with.
pub(crate) async fn one(client: &tokio_postgres::Client, sql: &str) -> String {
    weir_tests::value(client, sql).await.unwrap().expect("a value")
}

/// SQLSTATE, message and hint that `sql` fails with.
pub(crate) async fn failure(
    client: &tokio_postgres::Client,
    sql: &str,
) -> (String, String, String) {
    match client.batch_execute(sql).await {
        Ok(()) => panic!("it should have failed: {sql}"),
        Err(error) => told(&error),
    }
}

/// SQLSTATE, message and hint of an error.
pub(crate) fn told(error: &tokio_postgres::Error) -> (String, String, String) {
    let Some(told) = error.as_db_error() else { panic!("not told by a server: {error:?}") };
    let hint = told.hint().unwrap_or_default();
    (told.code().code().to_owned(), told.message().to_owned(), hint.to_owned())
}
