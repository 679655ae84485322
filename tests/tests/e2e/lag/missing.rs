//! What happens when something is missing: the replicas, the primary, or a bound that can be kept.
//!
//! That all replicas lag is tested where `on_stale` is.

use std::time::Duration;

use testkit::Cluster;
use tokio_postgres::Client;
use weir_tests::{Config, Route, Weir, eventually, now};

use super::stage::SOON;
use crate::{WEIR, failure, one};

const READ: &str = "SELECT relname FROM pg_class WHERE oid = 1259";

fn rig(reads: &[(&'static str, &str)]) -> (Cluster, Weir) {
    let cluster = Cluster::builder().replicas(2).start().unwrap();
    let weir = Weir::start(WEIR, &cluster, &reading(reads));
    (cluster, weir)
}

fn reading(reads: &[(&'static str, &str)]) -> Config {
    Config {
        reads: reads.iter().map(|(key, word)| (*key, (*word).to_owned())).collect(),
        pool: vec![("failover_hold", "1s".to_owned())],
        ..Config::default()
    }
}

/// Side and reason of a read that succeeds.
async fn routed(client: &Client) -> (String, String) {
    assert_eq!(one(client, READ).await, "pg_class");
    let route = Route::last(client).await;
    (route.side, route.reason)
}

fn to(side: &str, reason: &str) -> (String, String) {
    (side.to_owned(), reason.to_owned())
}

#[tokio::test]
async fn without_replicas_the_primary_serves_and_on_stale_error_refuses() {
    let (cluster, weir) = rig(&[]);
    let client = weir.client().await;
    for replica in cluster.replicas() {
        replica.kill().unwrap();
    }
    eventually("both are down", SOON, || {
        let nodes = weir.admin("GET /v1/clusters/main", "").json()["nodes"].clone();
        let down = |node: &&serde_json::Value| node["health"] == "down";
        nodes.as_array().unwrap().iter().filter(down).count() == 2
    });
    for level in ["session", "eventual"] {
        client.batch_execute(&format!("SET weir.consistency = {level}")).await.unwrap();
        client.batch_execute("SET weir.on_stale = primary").await.unwrap();
        assert_eq!(routed(&client).await, to("primary", "no_replica"), "{level}");

        // Nobody becomes fresh by waiting.
        client.batch_execute("SET weir.on_stale = wait; SET weir.stale_wait = '1h'").await.unwrap();
        assert_eq!(routed(&client).await, to("primary", "no_replica"), "{level}");

        client.batch_execute("SET weir.on_stale = error").await.unwrap();
        assert_eq!(failure(&client, READ).await.0, "53000", "{level}");
    }
    cluster.replicas()[0].start().unwrap();
    crate::soon("the one that is back serves", async || {
        client.batch_execute(READ).await.is_ok() && Route::last(&client).await.side == "replica"
    })
    .await;
}

#[tokio::test]
async fn behind_a_frozen_primary_reads_go_on_and_writes_wait_and_fail() {
    let (cluster, weir) = rig(&[("scope", "connection")]);
    let (client, careless) = (weir.client().await, weir.client().await);
    client.batch_execute("SELECT 1").await.unwrap();
    careless.batch_execute("SET weir.consistency = eventual").await.unwrap();
    cluster.primary().freeze().unwrap();
    eventually("the primary is missed", SOON, || weir.primary().is_none());

    for client in [&client, &careless] {
        let since = now();
        assert_eq!(routed(client).await, to("replica", "no_primary"));
        assert!(since.elapsed() < Duration::from_secs(1), "a read waited for the primary");
    }
    careless.batch_execute("SET weir.on_no_primary = error").await.unwrap();
    eventually("the bound has grown past max_lag", SOON, || {
        let node = weir.admin("GET /v1/clusters/main/nodes/b", "").json();
        node["lag_seconds"].as_f64().unwrap() > 1.0
    });
    assert_eq!(failure(&careless, READ).await.0, "53000");
    let since = now();
    let (code, message, _) = failure(&client, "CREATE TABLE t (id int)").await;
    assert_eq!(code, "53000", "{message}");
    assert!(since.elapsed() >= Duration::from_secs(1), "a write did not wait: {message}");

    cluster.primary().thaw().unwrap();
    eventually("the primary is back", SOON, || weir.primary().is_some());
    client.batch_execute("CREATE TABLE t (id int)").await.unwrap();
    crate::soon("its samples make replicas fresh again", async || {
        routed(&careless).await == to("replica", "read")
    })
    .await;
}

#[tokio::test]
async fn a_bound_that_no_replica_can_keep_is_kept_by_the_primary() {
    let (_cluster, weir) = rig(&[("consistency", "eventual")]);
    let client = weir.client().await;
    for bound in ["0ms", "1us"] {
        client.batch_execute(&format!("SET weir.max_lag = '{bound}'")).await.unwrap();
        for _ in 0..50 {
            assert_eq!(routed(&client).await, to("primary", "too_far_behind"), "{bound}");
        }
    }
    // So may one query alone.
    client.batch_execute("RESET weir.max_lag").await.unwrap();
    let hinted = format!("/* weir: max_lag=0ms */ {READ}");
    client.batch_execute(&hinted).await.unwrap();
    assert_eq!(Route::last(&client).await.reason, "too_far_behind");
    crate::soon("the next one is served by a replica", async || {
        routed(&client).await == to("replica", "read")
    })
    .await;
}

#[tokio::test]
async fn a_file_with_a_bound_that_can_not_be_kept_is_refused() {
    let (cluster, weir) = rig(&[]);
    weir.reload(&cluster, &reading(&[("max_lag", "499ms")]));
    assert!(weir.log().contains("max_lag must be at least 500ms"), "{}", weir.log());
    let client = weir.client().await;
    assert_eq!(one(&client, "SHOW weir.max_lag").await, "1s");
    weir.reload(&cluster, &reading(&[("max_lag", "500ms")]));
    let client = weir.client().await;
    assert_eq!(one(&client, "SHOW weir.max_lag").await, "500ms");
}

/// Replicas are as good as they were; that nobody can say so any more is no reason to wait for a
/// primary that says nothing.
#[tokio::test]
async fn a_read_does_not_hang_on_a_frozen_primary() {
    let (cluster, weir) = rig(&[("consistency", "eventual")]);
    let mut clients = Vec::new();
    for _ in 0..60 {
        clients.push(weir.client().await);
    }
    cluster.primary().freeze().unwrap();
    let mut reading = Vec::new();
    for client in clients {
        reading.push(tokio::spawn(async move { client.batch_execute(READ).await }));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let answered = async {
        for read in reading {
            read.await.unwrap().unwrap();
        }
    };
    let late = tokio::time::timeout(Duration::from_secs(2), answered).await;
    cluster.primary().thaw().unwrap();
    assert!(late.is_ok(), "a read still waits for the frozen primary");
}
