//! `strong`: a read sees every commit that was acknowledged to anybody before it began, and replicas serve
//! it all the same.

use std::time::Duration;

use testkit::Cluster;
use tokio_postgres::Client;
use weir_tests::{Config, Route, Weir, value};

use crate::WEIR;

const SOON: Duration = Duration::from_secs(20);
const READ: &str = "SELECT n FROM own WHERE id = 1";

/// Everybody is a scope of his own, and writes go past Weir: no fence but that of `strong` would help.
async fn rig() -> (Cluster, Weir, Client, Client) {
    let cluster = Cluster::builder().replicas(2).start().unwrap();
    let table = "CREATE TABLE own (id int PRIMARY KEY, n int NOT NULL); INSERT INTO own VALUES (1, 0);\
                 GRANT ALL ON own TO app";
    cluster.primary().psql_in("app", table).unwrap();
    for replica in cluster.replicas() {
        cluster.wait_caught_up(replica, SOON).unwrap();
    }
    let reads = vec![("scope", "connection".to_owned())];
    let weir = Weir::start(WEIR, &cluster, &Config { reads, ..Config::default() });
    let writer = cluster.primary().connect("app", "app").await.unwrap();
    let reader = weir.client().await;
    (cluster, weir, writer, reader)
}

async fn write(client: &Client) {
    client.batch_execute("UPDATE own SET n = n + 1 WHERE id = 1").await.unwrap();
}

#[tokio::test]
async fn a_strong_read_sees_what_anybody_was_told_of() {
    let (_cluster, weir, writer, reader) = rig().await;
    reader.batch_execute("SET weir.consistency = strong").await.unwrap();
    let prepared = reader.prepare(READ).await.unwrap();
    for turn in 1..=600_i32 {
        write(&writer).await;
        let seen: i32 = match turn % 3 {
            0 => reader.query_one(&prepared, &[]).await.unwrap().get(0),
            1 => value(&reader, READ).await.unwrap().unwrap().parse().unwrap(),
            _ => {
                reader
                    .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                    .await
                    .unwrap();
                let seen = value(&reader, READ).await.unwrap().unwrap().parse().unwrap();
                reader.batch_execute("COMMIT").await.unwrap();
                seen
            }
        };
        assert_eq!(seen, turn, "a commit was not seen: {:?}", Route::last(&reader).await);
    }
    let served = weir.sum("weir_reads_total{consistency=\"strong\",target=\"replica\"}");
    assert!(served > 300, "replicas served {served} of 600 strong reads");
}

#[tokio::test]
async fn a_strong_read_leaves_replicas_that_stand_still() {
    let (cluster, _weir, writer, reader) = rig().await;
    let careless = "/* weir: consistency=eventual */ SELECT n FROM own WHERE id = 1";
    let strong = "/* weir: consistency=strong */ SELECT n FROM own WHERE id = 1";
    for replica in cluster.replicas() {
        replica.pause_replay().unwrap();
    }
    write(&writer).await;
    // The trap is real.
    assert_eq!(value(&reader, careless).await.unwrap().as_deref(), Some("0"));
    for turn in 2..=300 {
        assert_eq!(value(&reader, strong).await.unwrap(), Some((turn - 1).to_string()));
        write(&writer).await;
    }
    assert_eq!(Route::last(&reader).await.side, "primary");
}

#[tokio::test]
async fn a_strong_read_waits_for_a_replica_as_long_as_it_may_and_then_does_what_on_stale_says() {
    let (cluster, _weir, writer, reader) = rig().await;
    reader.batch_execute("SET weir.consistency = strong; SET weir.on_stale = error").await.unwrap();
    for replica in cluster.replicas() {
        replica.pause_replay().unwrap();
    }
    write(&writer).await;
    let refused = reader.simple_query(READ).await.unwrap_err();
    assert_eq!(refused.as_db_error().unwrap().code().code(), "53000");
    reader.batch_execute("SET weir.on_stale = wait; SET weir.stale_wait = '60s'").await.unwrap();
    let waiting = value(&reader, READ);
    let replica = cluster.replicas()[0].clone();
    let resumed = tokio::task::spawn_blocking(move || replica.resume_replay().unwrap());
    let (seen, resumed) = tokio::join!(waiting, resumed);
    resumed.unwrap();
    assert_eq!(seen.unwrap().as_deref(), Some("1"));
    assert_eq!(Route::last(&reader).await.node, cluster.replicas()[0].name());
}
