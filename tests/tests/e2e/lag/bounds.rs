//! Who is left out by `max_lag` and `max_lag_bytes`, and when it is let in again.

use std::time::Duration;

use testkit::{Cluster, Node};
use weir_tests::{Config, Route, Weir, eventually, now};

use super::stage::{INTERVAL, SLACK, SOON, Stage};

async fn stage(replicas: usize, reads: &[(&'static str, &str)]) -> Stage {
    let reads = reads.iter().map(|(key, word)| (*key, (*word).to_owned())).collect();
    let config = Config { reads, ..Config::default() };
    Stage::of(Cluster::builder().replicas(replicas), &config).await
}

/// What speaks for or against a node as a replica for a read of a fresh session.
fn eligibility(weir: &Weir, node: &Node) -> String {
    let answer = weir.explain("app", "SELECT 1").json();
    let candidates = answer["candidates"].as_array().cloned().unwrap_or_default();
    let found = candidates.iter().find(|candidate| candidate["node"] == node.name());
    found.and_then(|found| found["eligibility"].as_str()).unwrap_or_default().to_owned()
}

fn wait_eligibility(weir: &Weir, node: &Node, wanted: &str) {
    eventually(wanted, SOON, || eligibility(weir, node) == wanted);
}

#[tokio::test]
async fn a_replica_with_too_many_bytes_to_replay_is_left_out() {
    let reads = [("consistency", "eventual"), ("max_lag", "off"), ("max_lag_bytes", "1MB")];
    let stage = stage(2, &reads).await;
    let (behind, other) = (stage.replica(), stage.cluster.replicas()[1].clone());
    let client = stage.weir.client().await;
    behind.pause_replay().unwrap();
    stage.marks.put().await;
    // A little is allowed, however old.
    tokio::time::sleep(INTERVAL * 4).await;
    assert_eq!(eligibility(&stage.weir, &behind), "eligible");

    let much = "CREATE TABLE much AS SELECT repeat('x', 1000) FROM generate_series(1, 2000)";
    stage.cluster.primary().psql_in("app", much).unwrap();
    wait_eligibility(&stage.weir, &behind, "too_far_behind");
    stage.cluster.wait_caught_up(&other, SOON).unwrap();
    wait_eligibility(&stage.weir, &other, "eligible");
    for _ in 0..100 {
        client.batch_execute("SELECT 1").await.unwrap();
        assert_eq!(Route::last(&client).await.node, other.name());
    }
    // Who asks for less gets it.
    client.batch_execute("SET weir.max_lag_bytes = '1GB'").await.unwrap();
    crate::soon("the one that is behind serves", async || {
        client.batch_execute("SELECT 1").await.unwrap();
        Route::last(&client).await.node == behind.name()
    })
    .await;

    behind.resume_replay().unwrap();
    wait_eligibility(&stage.weir, &behind, "eligible");
}

#[tokio::test]
async fn a_replica_that_caught_up_serves_with_the_next_probe() {
    let stage = stage(1, &[]).await;
    let replica = stage.replica();
    for _ in 0..3 {
        replica.pause_replay().unwrap();
        stage.marks.put().await;
        wait_eligibility(&stage.weir, &replica, "too_far_behind");
        replica.resume_replay().unwrap();
        stage.caught_up();
        let since = now();
        wait_eligibility(&stage.weir, &replica, "eligible");
        let took = since.elapsed();
        assert!(took <= INTERVAL * 2 + SLACK, "{took:?}: it waits for more than a measurement");
    }
}

/// The figure grows between two probes and falls with the next: the bound lies amid its range.
#[tokio::test]
async fn a_replica_whose_lag_is_about_the_bound_does_not_come_and_go() {
    let stage = stage(1, &[("consistency", "eventual")]).await;
    let replica = stage.replica();
    replica.delay_replay(Duration::from_secs(1)).unwrap();
    let _writing = stage.marks.keep_putting(Duration::from_millis(20));
    stage.wait_behind(&replica, Duration::from_millis(900)).await;
    let mut lags = Vec::new();
    for _ in 0..60 {
        lags.push(stage.lag(&replica).unwrap());
        tokio::time::sleep(Duration::from_millis(19)).await;
    }
    lags.sort_unstable();
    let bound = lags[lags.len() / 2];
    let client = stage.weir.client().await;
    client.batch_execute(&format!("SET weir.max_lag = '{}us'", bound.as_micros())).await.unwrap();

    let (mut beyond, mut within, mut served) = (0, 0, 0);
    let since = now();
    while since.elapsed() < Duration::from_secs(3) {
        let counted = if stage.lag(&replica).unwrap() > bound { &mut beyond } else { &mut within };
        *counted += 1;
        client.batch_execute("SELECT 1").await.unwrap();
        served += usize::from(Route::last(&client).await.side == "replica");
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    assert!(beyond > 0 && within > 0, "never about {bound:?}: {beyond} beyond, {within} within");
    assert_eq!(served, 0, "it came in again: {beyond} beyond, {within} within");
}
