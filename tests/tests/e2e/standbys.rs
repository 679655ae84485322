//! Standbys that are not plain streaming replicas, and reads that they cancel.

use std::time::Duration;

use testkit::{Cluster, Node};
use tokio_postgres::Client;
use weir_tests::{Config, Route, Weir, eventually, now, value};

use crate::WEIR;

const SOON: Duration = Duration::from_secs(20);

/// Two replicas that cancel what stands in the way of replay at once, and a table that Weir knows.
async fn stage() -> (Cluster, Weir, Client) {
    let cluster =
        Cluster::builder().replicas(2).setting("max_standby_streaming_delay", "0").start().unwrap();
    let reads = vec![("consistency", "eventual".to_owned())];
    let weir = Weir::start(WEIR, &cluster, &Config { reads, ..Config::default() });
    let client = weir.client().await;
    let sql = "CREATE TABLE crowd AS SELECT generate_series(1, 1000) AS n";
    client.batch_execute(sql).await.unwrap();
    eventually("the table is known", SOON, || {
        weir.explain("app", "SELECT n FROM crowd").json()["class"] == "read"
    });
    for replica in cluster.replicas() {
        cluster.wait_caught_up(replica, SOON).unwrap();
    }
    (cluster, weir, client)
}

fn eligibility(weir: &Weir, node: &Node) -> String {
    let answer = weir.explain("app", "SELECT n FROM crowd").json();
    let candidates = answer["candidates"].as_array().unwrap();
    let found = candidates.iter().find(|candidate| candidate["node"] == node.name());
    found.unwrap()["eligibility"].as_str().unwrap().to_owned()
}

/// Reads until this node has served.
async fn wait_served_by(client: &Client, node: &Node) {
    for _ in 0..1_000 {
        client.batch_execute("SELECT count(*) FROM crowd").await.unwrap();
        if Route::last(client).await.node == node.name() {
            return;
        }
    }
    panic!("{} never serves", node.name());
}

/// Has rows that a read on a replica still sees removed there, once it runs.
fn remove_what_is_read(cluster: &Cluster) {
    let running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(2)%' \
                   AND pid <> pg_backend_pid()";
    eventually("a replica runs the read", SOON, || {
        cluster.replicas().iter().any(|node| node.psql(running).unwrap() == "1")
    });
    cluster.primary().psql_in("app", "DELETE FROM crowd").unwrap();
    cluster.primary().psql_in("app", "VACUUM crowd").unwrap();
}

const SLOW_READ: &str = "SELECT (SELECT count(*) FROM crowd), pg_sleep(2)";

#[tokio::test]
async fn a_read_that_replay_cancels_is_answered_by_the_primary() {
    let (cluster, _weir, client) = stage().await;
    let removed = tokio::task::spawn_blocking(move || {
        remove_what_is_read(&cluster);
        cluster
    });
    let seen = value(&client, SLOW_READ).await.unwrap();
    let cluster = removed.await.unwrap();
    let route = Route::last(&client).await;
    assert_eq!((&*route.node, &*route.reason), (cluster.primary().name(), "retried"));
    assert_eq!(seen.as_deref(), Some("0"), "it ran anew, on what is there now");
}

#[tokio::test]
async fn within_a_transaction_the_client_hears_that_replay_cancelled_its_read() {
    let (cluster, _weir, client) = stage().await;
    client.batch_execute("BEGIN READ ONLY").await.unwrap();
    assert_eq!(value(&client, "SELECT count(*) FROM crowd").await.unwrap().unwrap(), "1000");
    let removed = tokio::task::spawn_blocking(move || {
        remove_what_is_read(&cluster);
        cluster
    });
    let refused = value(&client, SLOW_READ).await.unwrap_err();
    assert_eq!(crate::told(&refused).0, "40001", "{refused}");
    let _cluster = removed.await.unwrap();
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(value(&client, "SELECT 1").await.unwrap().unwrap(), "1");
}

#[tokio::test]
async fn a_standby_that_applies_late_by_will_is_too_far_behind() {
    let (cluster, weir, client) = stage().await;
    let (late, other) = (cluster.replicas()[0], cluster.replicas()[1]);
    late.psql("ALTER SYSTEM SET recovery_min_apply_delay = '1h'").unwrap();
    late.psql("SELECT pg_reload_conf()").unwrap();
    // It replays at once what comes before its startup process has read the file.
    eventually("the late one is left out", SOON, || {
        cluster.primary().psql_in("app", "INSERT INTO crowd VALUES (1)").unwrap();
        eligibility(&weir, late) == "too_far_behind"
    });
    assert_eq!(eligibility(&weir, other), "eligible");
    for _ in 0..20 {
        client.batch_execute("SELECT n FROM crowd").await.unwrap();
        assert_ne!(Route::last(&client).await.node, late.name());
    }
}

#[tokio::test]
async fn a_standby_of_a_standby_is_measured_like_any_other() {
    let (cluster, weir, client) = stage().await;
    let (middle, last) = (cluster.replicas()[0], cluster.replicas()[1]);
    last.follow(middle).unwrap();
    client.batch_execute("DELETE FROM crowd").await.unwrap();
    cluster.wait_caught_up(last, SOON).unwrap();
    eventually("the last one is measured", SOON, || eligibility(&weir, last) == "eligible");
    wait_served_by(&client, last).await;
    middle.pause_replay().unwrap();
    last.pause_replay().unwrap();
    client.batch_execute("INSERT INTO crowd VALUES (1)").await.unwrap();
    eventually("its lag is seen", SOON, || eligibility(&weir, last) == "too_far_behind");
}

/// A read that is rolled back may leave hint bits in the WAL, up to a page's end flushed and not beyond, until somebody commits.
#[tokio::test]
async fn a_read_that_was_rolled_back_makes_no_replica_late() {
    let (cluster, _weir, client) = stage().await;
    let primary = cluster.primary();
    let rows = "SELECT n, repeat('x', 500) FROM generate_series(1, 100) n";
    primary.psql_in("app", &format!("CREATE TABLE hinted AS {rows}; CHECKPOINT")).unwrap();
    let sql =
        "INSERT INTO hinted VALUES (0); BEGIN READ ONLY; SELECT count(*) FROM hinted; ROLLBACK";
    primary.psql_in("app", sql).unwrap();
    let since = now();
    while since.elapsed() < Duration::from_secs(4) {
        client.batch_execute("SELECT count(*) FROM crowd").await.unwrap();
        let route = Route::last(&client).await;
        assert_eq!(route.side, "replica", "{route:?} after {:?}", since.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let positions = "SELECT pg_current_wal_flush_lsn(), pg_current_wal_insert_lsn()";
    let positions = primary.psql(positions).unwrap();
    let (flush, insert) = positions.split_once('|').unwrap();
    assert_ne!(flush, insert, "all was flushed: this showed nothing");
}
