//! A lag storm must not drown the primary: reads that fall back to it for want of a fresh replica have
//! a share of its pool (`max_primary_read_share`).

use std::time::Duration;

use testkit::{Cluster, Node};
use tokio_postgres::Client;
use weir_tests::{Config, Route, Weir, eventually, now, value};

use crate::WEIR;

const SOON: Duration = Duration::from_secs(20);

/// A pool of four, of which half is for reads that fall back; replicas that are too far behind.
async fn storm(query_wait_timeout: &str) -> (Cluster, Weir) {
    let cluster = Cluster::builder().replicas(2).start().unwrap();
    let reads = [("scope", "connection"), ("max_lag", "500ms"), ("max_primary_read_share", "50%")];
    let pool = [("default_pool_size", "4"), ("query_wait_timeout", query_wait_timeout)];
    let owned = |pairs: &[(&'static str, &str)]| {
        pairs.iter().map(|(key, word)| (*key, (*word).to_owned())).collect()
    };
    let config = Config { reads: owned(&reads), pool: owned(&pool), ..Config::default() };
    let weir = Weir::start(WEIR, &cluster, &config);
    let client = weir.client().await;
    client.batch_execute("CREATE TABLE own (id int PRIMARY KEY)").await.unwrap();
    eventually("the table is known", SOON, || {
        weir.explain("app", "SELECT * FROM own").json()["class"] == "read"
    });
    for replica in cluster.replicas() {
        cluster.wait_caught_up(replica, SOON).unwrap();
        replica.pause_replay().unwrap();
    }
    client.batch_execute("INSERT INTO own VALUES (-1)").await.unwrap();
    eventually("both replicas are left out", SOON, || {
        let question = serde_json::json!({
            "database": "app", "sql": "SELECT 1", "consistency": "eventual"
        });
        let answer = weir.admin("POST /v1/explain", &question.to_string()).json();
        answer["reason"] == "too_far_behind"
    });
    (cluster, weir)
}

/// Begins a read that lasts so long, and ends with where it was served.
async fn read(weir: &Weir, seconds: u32) -> tokio::task::JoinHandle<Route> {
    let client = weir.client().await;
    client.batch_execute("SET weir.consistency = eventual").await.unwrap();
    tokio::spawn(async move {
        value(&client, &format!("SELECT pg_sleep({seconds})")).await.unwrap();
        Route::last(&client).await
    })
}

/// How many such reads the node runs now.
fn running(node: &Node) -> u64 {
    let count = "SELECT count(*) FROM pg_stat_activity \
                 WHERE state = 'active' AND usename = 'app' AND query LIKE 'SELECT pg_sleep%'";
    node.psql(count).unwrap().parse().unwrap()
}

async fn write_and_read_back(client: &Client, id: i32) {
    client.execute("INSERT INTO own VALUES ($1)", &[&id]).await.unwrap();
    let rows = client.query("SELECT id FROM own WHERE id = $1", &[&id]).await.unwrap();
    assert_eq!(rows.len(), 1, "row {id} was written and not read back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_fall_back_keep_to_their_share_and_go_to_replicas_that_have_caught_up() {
    let (cluster, weir) = storm("60s").await;
    let mut reads = Vec::new();
    for _ in 0..6 {
        reads.push(read(&weir, 5).await);
    }
    eventually("the share is used up", SOON, || running(cluster.primary()) == 2);
    // Who reads what it wrote has the rest of the pool, and never waits for those.
    let clients = [weir.client().await, weir.client().await];
    for (first, client) in [0, 1000].into_iter().zip(&clients) {
        for id in first..first + 20 {
            write_and_read_back(client, id).await;
            let route = Route::last(client).await;
            assert_eq!(route.side, "primary", "{route:?}");
        }
    }
    assert_eq!(running(cluster.primary()), 2, "they are as many as before, and not done yet");

    for replica in cluster.replicas() {
        replica.resume_replay().unwrap();
    }
    let mut sides = Vec::new();
    for read in reads {
        sides.push(read.await.unwrap().side);
    }
    let on = |wanted: &str| sides.iter().filter(|side| *side == wanted).count();
    assert_eq!((on("primary"), on("replica")), (2, 4), "{sides:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_beyond_the_share_takes_the_place_of_one_that_ended_or_is_told_so_in_time() {
    let (cluster, weir) = storm("2s").await;
    let mut reads = Vec::new();
    for _ in 0..4 {
        reads.push(read(&weir, 1).await);
    }
    let mut most = 0;
    while !reads.iter().all(tokio::task::JoinHandle::is_finished) {
        most = most.max(running(cluster.primary()));
    }
    assert_eq!(most, 2);
    for read in reads {
        let route = read.await.unwrap();
        assert_eq!((&*route.side, &*route.reason), ("primary", "too_far_behind"));
    }

    let long = [read(&weir, 6).await, read(&weir, 6).await];
    eventually("the share is used up", SOON, || running(cluster.primary()) == 2);
    let client = weir.client().await;
    client.batch_execute("SET weir.consistency = eventual").await.unwrap();
    let since = now();
    let refused = client.simple_query("SELECT 1").await.unwrap_err();
    let (told, waited) = (refused.as_db_error().unwrap(), since.elapsed());
    assert_eq!(told.code().code(), "53300", "{told}");
    assert!(told.message().contains("max_primary_read_share"), "{told}");
    assert!(waited >= Duration::from_secs(2) && waited < Duration::from_secs(5), "{waited:?}");
    // The session lives, and what was written through it is read back at once.
    client.batch_execute("SET weir.consistency = session").await.unwrap();
    write_and_read_back(&client, 1).await;
    for read in long {
        assert_eq!(read.await.unwrap().side, "primary");
    }
}
