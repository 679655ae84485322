//! Which position of the primary a session's reads wait for: the flushed one behind a commit that is known
//! to be on disk, the inserted one behind any other.

use std::time::Duration;

use testkit::{Cluster, Node};
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio_postgres::Client;
use weir_tests::{Config, Route, Weir, eventually, value};

use crate::WEIR;

const SOON: Duration = Duration::from_secs(20);

const WRITE: &str = "UPDATE own SET n = n + 1 WHERE id = 1";

/// The WAL writer flushes what nobody waits for only every ten seconds; each session is a scope.
fn rig(sql: &str) -> (Cluster, Weir) {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let primary = cluster.primary();
    let slow = "ALTER SYSTEM SET wal_writer_delay = '10s'; SELECT pg_reload_conf()";
    primary.psql(slow).unwrap();
    let table = "CREATE TABLE own (id int PRIMARY KEY, n int NOT NULL); INSERT INTO own VALUES (1, 0);\
                 CREATE TABLE other (t text); GRANT ALL ON own, other TO app;";
    primary.psql_in("app", table).unwrap();
    if !sql.is_empty() {
        primary.psql_in("app", sql).unwrap();
    }
    cluster.wait_caught_up(cluster.replicas()[0], SOON).unwrap();
    let reads = vec![("scope", "connection".to_owned())];
    let weir = Weir::start(WEIR, &cluster, &Config { reads, ..Config::default() });
    (cluster, weir)
}

/// Writes once, thinks, and reads until a replica answers; whether one does within `limit`.
async fn replica_answers(client: &Client, limit: Duration) -> bool {
    client.batch_execute(WRITE).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    answered_within(client, limit).await
}

/// Reads until a replica answers; whether one does soon.
async fn answered_by_replica(client: &Client) -> bool {
    answered_within(client, SOON).await
}

async fn answered_within(client: &Client, limit: Duration) -> bool {
    let until = weir_tests::now() + limit;
    while weir_tests::now() < until {
        value(client, "SELECT n FROM own WHERE id = 1").await.unwrap();
        if Route::last(client).await.side == "replica" {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

/// Somebody's transaction that writes on and on without an end: at any moment WAL is inserted that is not
/// flushed.
async fn write_without_end(primary: Node, mut done: oneshot::Receiver<()>) {
    let other = primary.connect("app", "app").await.unwrap();
    other.batch_execute("BEGIN").await.unwrap();
    while done.try_recv() == Err(TryRecvError::Empty) {
        other.batch_execute("INSERT INTO other VALUES ('y')").await.unwrap();
    }
}

#[tokio::test]
async fn another_s_open_transaction_does_not_keep_reads_on_the_primary() {
    let (cluster, weir) = rig("");
    let client = weir.client().await;
    assert!(replica_answers(&client, SOON).await, "even without anybody else");
    let (done, stop) = oneshot::channel();
    let other = tokio::spawn(write_without_end(cluster.primary().clone(), stop));
    let mut answered = 0;
    for _ in 0..20 {
        answered += u32::from(replica_answers(&client, Duration::from_millis(500)).await);
    }
    drop(done);
    other.await.unwrap();
    // The flush position may stand within a record now and then, and then nobody gets there.
    assert!(answered >= 15, "a replica answered behind {answered} of 20 writes");
}

/// Writes and reads back at once, many times; each time a replica serves until then.
async fn reads_back((cluster, client): (&Cluster, &Client), write: &str, times: usize) {
    let flushing = cluster.primary().connect("postgres", "app").await.unwrap();
    flushing.batch_execute("SET synchronous_commit = on").await.unwrap();
    for _ in 0..times {
        flushing.batch_execute("INSERT INTO other VALUES ('z')").await.unwrap();
        assert!(answered_by_replica(client).await, "no replica serves any more");
        let before = value(client, "SELECT n FROM own WHERE id = 1").await.unwrap().unwrap();
        client.simple_query(write).await.unwrap();
        let read = value(client, "SELECT n FROM own WHERE id = 1").await.unwrap().unwrap();
        let written = before.parse::<u32>().unwrap() + 1;
        assert_eq!(read, written.to_string(), "an own write was not read back");
    }
}

#[tokio::test]
async fn what_a_trigger_makes_asynchronous_is_read_back() {
    let (cluster, weir) = rig("CREATE FUNCTION hasty() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM set_config('synchronous_commit', 'off', true); RETURN NEW; END $$;\
         CREATE TRIGGER hasty BEFORE UPDATE ON own FOR EACH ROW EXECUTE FUNCTION hasty()");
    reads_back((&cluster, &weir.client().await), WRITE, 100).await;
}

#[tokio::test]
async fn what_a_transaction_makes_asynchronous_for_itself_is_read_back() {
    let (cluster, weir) = rig("");
    let client = weir.client().await;
    let table = [
        "BEGIN; SET LOCAL synchronous_commit = off; {}; COMMIT",
        "BEGIN; SELECT set_config('synchronous_commit', 'off', true); {}; COMMIT",
        "DO $$ BEGIN SET LOCAL synchronous_commit = off; {}; END $$",
        "SET synchronous_commit = off; {}",
    ];
    for write in table {
        let write = write.replace("{}", WRITE);
        reads_back((&cluster, &client), &write, 25).await;
    }
    // The session's own setting is off by now.
    reads_back((&cluster, &client), WRITE, 25).await;
}

#[tokio::test]
async fn what_a_transaction_makes_asynchronous_step_by_step_is_read_back() {
    let (cluster, weir) = rig("");
    let client = weir.client().await;
    let flushing = cluster.primary().connect("postgres", "app").await.unwrap();
    for turn in 1..=50 {
        flushing.batch_execute("INSERT INTO other VALUES ('z')").await.unwrap();
        assert!(answered_by_replica(&client).await, "no replica serves any more");
        for step in ["BEGIN", "SET LOCAL synchronous_commit = off", WRITE, "COMMIT"] {
            client.batch_execute(step).await.unwrap();
        }
        let read = value(&client, "SELECT n FROM own WHERE id = 1").await.unwrap();
        assert_eq!(read, Some(turn.to_string()), "an own write was not read back");
    }
}

#[tokio::test]
async fn what_a_role_s_default_makes_asynchronous_is_read_back() {
    let (cluster, weir) = rig("ALTER ROLE app SET synchronous_commit = off");
    reads_back((&cluster, &weir.client().await), WRITE, 100).await;
}

#[tokio::test]
async fn what_a_reload_makes_asynchronous_is_read_back() {
    let (cluster, weir) = rig("");
    let client = weir.client().await;
    reads_back((&cluster, &client), WRITE, 20).await;
    let off = "ALTER SYSTEM SET synchronous_commit = off; SELECT pg_reload_conf()";
    cluster.primary().psql(off).unwrap();
    eventually("it is off", SOON, || {
        cluster.primary().psql("SHOW synchronous_commit").unwrap() == "off"
    });
    reads_back((&cluster, &client), WRITE, 100).await;
}

#[tokio::test]
async fn what_others_commit_asynchronously_is_no_news_that_goes_away() {
    let (cluster, weir) = rig("");
    let client = weir.client().await;
    let other = cluster.primary().connect("app", "app").await.unwrap();
    other.batch_execute("SET synchronous_commit = off").await.unwrap();
    let flushing = cluster.primary().connect("postgres", "app").await.unwrap();
    for turn in 1..=50 {
        flushing.batch_execute("INSERT INTO other VALUES ('z')").await.unwrap();
        assert!(answered_by_replica(&client).await, "no replica serves any more");
        other.batch_execute("UPDATE own SET n = n + 1 WHERE id = 1").await.unwrap();
        let sql = "/* weir: route=primary */ SELECT n FROM own WHERE id = 1";
        assert_eq!(value(&client, sql).await.unwrap(), Some(turn.to_string()));
        let read = value(&client, "SELECT n FROM own WHERE id = 1").await.unwrap();
        assert_eq!(read, Some(turn.to_string()), "what was read before is gone");
    }
}
