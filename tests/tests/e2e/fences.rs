//! Which position of the primary a session's reads wait for: the flushed one behind a commit that is known
//! to be on disk, the inserted one behind any other.

use std::time::Duration;

use testkit::Cluster;
use tokio_postgres::Client;
use weir_tests::{Config, Route, Weir, eventually, value};

use crate::WEIR;

const SOON: Duration = Duration::from_secs(20);

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

/// Writes once and reads until a replica answers; whether one does within `limit`.
async fn replica_answers(client: &Client, limit: Duration) -> bool {
    client.batch_execute("UPDATE own SET n = n + 1 WHERE id = 1").await.unwrap();
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

/// An open transaction of somebody else, with WAL that is inserted and not flushed.
async fn standing(cluster: &Cluster) -> Client {
    let other = cluster.primary().connect("app", "app").await.unwrap();
    let rows = "BEGIN; INSERT INTO other SELECT repeat('x', 200) FROM generate_series(1, 20)";
    other.batch_execute(rows).await.unwrap();
    other
}

#[tokio::test]
async fn another_s_open_transaction_does_not_keep_reads_on_the_primary() {
    let (cluster, weir) = rig("");
    let client = weir.client().await;
    assert!(replica_answers(&client, SOON).await, "even without anybody else");
    let other = standing(&cluster).await;
    let row = "SELECT pg_current_wal_insert_lsn() > pg_current_wal_flush_lsn()";
    for _ in 0..20 {
        // Its WAL stands behind this session's commit, too.
        other.batch_execute("INSERT INTO other VALUES ('y')").await.unwrap();
        assert!(replica_answers(&client, Duration::from_secs(5)).await);
    }
    other.batch_execute("INSERT INTO other VALUES ('y')").await.unwrap();
    assert_eq!(cluster.primary().psql(row).unwrap(), "t", "nothing stood in the way");
}

/// Writes and reads back at once, many times.
async fn reads_back(client: &Client, times: usize) {
    for _ in 0..times {
        let written =
            value(client, "UPDATE own SET n = n + 1 WHERE id = 1 RETURNING n").await.unwrap();
        let read = value(client, "SELECT n FROM own WHERE id = 1").await.unwrap();
        assert_eq!(read, written, "an own write was not read back");
    }
}

#[tokio::test]
async fn what_a_trigger_makes_asynchronous_is_read_back() {
    let (_cluster, weir) = rig("CREATE FUNCTION hasty() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM set_config('synchronous_commit', 'off', true); RETURN NEW; END $$;\
         CREATE TRIGGER hasty BEFORE UPDATE ON own FOR EACH ROW EXECUTE FUNCTION hasty()");
    reads_back(&weir.client().await, 500).await;
}

#[tokio::test]
async fn what_a_transaction_makes_asynchronous_for_itself_is_read_back() {
    let (_cluster, weir) = rig("");
    let client = weir.client().await;
    for turn in 0..300 {
        let off = if turn % 2 == 0 {
            "SET LOCAL synchronous_commit = off"
        } else {
            "SELECT set_config('synchronous_commit', 'off', true)"
        };
        client.batch_execute("BEGIN").await.unwrap();
        client.simple_query(off).await.unwrap();
        client.batch_execute("UPDATE own SET n = n + 1 WHERE id = 1").await.unwrap();
        client.batch_execute("COMMIT").await.unwrap();
        let read = value(&client, "SELECT n FROM own WHERE id = 1").await.unwrap();
        assert_eq!(read, Some((turn + 1).to_string()), "an own write was not read back");
    }
}

#[tokio::test]
async fn what_a_role_s_default_makes_asynchronous_is_read_back() {
    let (_cluster, weir) = rig("ALTER ROLE app SET synchronous_commit = off");
    reads_back(&weir.client().await, 500).await;
}

#[tokio::test]
async fn what_a_reload_makes_asynchronous_is_read_back() {
    let (cluster, weir) = rig("");
    let client = weir.client().await;
    reads_back(&client, 100).await;
    let off = "ALTER SYSTEM SET synchronous_commit = off; SELECT pg_reload_conf()";
    cluster.primary().psql(off).unwrap();
    eventually("it is off", SOON, || {
        cluster.primary().psql("SHOW synchronous_commit").unwrap() == "off"
    });
    reads_back(&client, 500).await;
}

#[tokio::test]
async fn what_others_commit_asynchronously_is_no_news_that_goes_away() {
    let (cluster, weir) = rig("");
    let client = weir.client().await;
    let other = cluster.primary().connect("app", "app").await.unwrap();
    other.batch_execute("SET synchronous_commit = off").await.unwrap();
    for turn in 1..=300 {
        other.batch_execute("UPDATE own SET n = n + 1 WHERE id = 1").await.unwrap();
        let sql = "/* weir: route=primary */ SELECT n FROM own WHERE id = 1";
        assert_eq!(value(&client, sql).await.unwrap(), Some(turn.to_string()));
        let read = value(&client, "SELECT n FROM own WHERE id = 1").await.unwrap();
        assert_eq!(read, Some(turn.to_string()), "what was read before is gone");
    }
}
