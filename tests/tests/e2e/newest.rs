//! PostgreSQL 19, where `scripts/deps.sh test` could get it; each test says SKIPPED otherwise.
//!
//! First what its `WAIT FOR LSN` does, as far as Weir relies on it, then Weir in front of it.

use testkit::{Cluster, Node};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use weir_tests::say::{bind, close, execute, parse, query, sync};
use weir_tests::{Config, Fetched, Message, Raw, Route, Weir, eventually, tags, value};

use crate::{SOON, WEIR, one};

/// A primary of 19 with so many replicas.
fn cluster(test: &str, replicas: usize) -> Option<Cluster> {
    let binaries = Fetched::V19.binaries(test)?;
    let cluster = Cluster::builder().binaries(binaries).replicas(replicas).start().unwrap();
    let version = cluster.primary().psql("SHOW server_version_num").unwrap();
    assert!(version.starts_with("19"), "{version}");
    Some(cluster)
}

/// As Weir would ask, but for the timeout in milliseconds.
fn wait_for(lsn: &str, timeout: u32) -> String {
    format!("WAIT FOR LSN '{lsn}' WITH (MODE 'standby_replay', TIMEOUT '{timeout}ms', NO_THROW)")
}

/// Writes, and returns the position behind the commit.
fn write(primary: &Node) -> String {
    primary
        .psql("CREATE TABLE IF NOT EXISTS written (n int); INSERT INTO written VALUES (1)")
        .unwrap();
    primary.psql("SELECT pg_current_wal_insert_lsn()").unwrap()
}

fn lines(messages: &[Message]) -> Vec<String> {
    messages.iter().map(Message::line).collect()
}

/// The only value of the only row.
fn status(messages: &[Message]) -> String {
    let rows: Vec<_> = messages.iter().filter(|message| message.tag == b'D').collect();
    let [row] = rows.as_slice() else { panic!("not one row: {:?}", lines(messages)) };
    // Behind the number of columns and a length.
    String::from_utf8(row.body[6..].to_vec()).unwrap()
}

#[test]
fn wait_for_lsn_answers_one_word_and_ends_in_time() {
    let Some(cluster) = cluster("wait_for_lsn_answers_one_word", 1) else { return };
    let (primary, standby) = (cluster.primary(), cluster.replicas()[0].clone());
    let mut raw = Raw::login(standby.port(), "app", &[]).unwrap();
    let whole = lines(&raw.talk(&query(&wait_for(&write(primary), 20_000))));
    let kind = r"T \x00\x01status\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x19\xff\xff\xff\xff\xff\xff\x00\x00";
    assert_eq!(whole, [kind, r"D \x00\x01\x00\x00\x00\x07success", r"C WAIT\x00", "Z I"]);

    let mut ask = |lsn: &str, timeout| status(&raw.talk(&query(&wait_for(lsn, timeout))));
    standby.pause_replay().unwrap();
    let unseen = write(primary);
    assert_eq!(ask(&unseen, 1), "timeout");
    standby.resume_replay().unwrap();
    assert_eq!(ask(&unseen, 20_000), "success");

    // What was replayed stays replayed; what comes after is no replay.
    standby.promote().unwrap();
    let after = write(&standby);
    assert_eq!(ask(&unseen, 20_000), "success");
    assert_eq!(ask(&after, 20_000), "not in recovery");
}

/// Neither by what it answers nor by what it takes away: not even the unnamed statement, which a simple `Query` drops.
#[test]
fn a_named_wait_for_lsn_leaves_the_messages_behind_it_alone() {
    let Some(cluster) = cluster("a_named_wait_for_lsn", 1) else { return };
    let standby = cluster.replicas()[0].clone();
    let mut raw = Raw::login(standby.port(), "app", &[]).unwrap();
    let mut guarded = |lsn: &str, client: &[u8]| {
        let sql = wait_for(lsn, 1);
        let guard =
            [parse("guard", &sql), bind("", "guard"), execute("", 0), close("guard"), sync()];
        raw.send(&[&guard.concat(), client].concat());
        (raw.until_ready(), lines(&raw.until_ready()))
    };
    let mut plain = Raw::login(standby.port(), "app", &[]).unwrap();
    let steps = [
        [parse("", "SELECT 42"), sync()].concat(),
        [bind("", ""), execute("", 0), sync()].concat(),
        query("SELECT 1; SELECT 2"),
        query("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; COMMIT"),
        query("SELECT 1/0"),
    ];
    for step in steps {
        let wanted = lines(&plain.talk(&step));
        for (lsn, word) in [("0/0", "success"), ("FFFFFFFF/0", "timeout")] {
            let (guard, heard) = guarded(lsn, &step);
            assert_eq!(tags(&guard), "12DC3Z", "{:?}", lines(&guard));
            assert_eq!(status(&guard), word);
            assert_eq!(heard, wanted, "behind a guard that says {word}");
        }
    }
}

/// A Weir in front of this cluster, and a table that its catalog has and all replicas show.
async fn rig(cluster: &Cluster) -> (Weir, Client) {
    let config = Config { reads: vec![("scope", "connection".to_owned())], ..Config::default() };
    let weir = Weir::start(WEIR, cluster, &config);
    let client = weir.client().await;
    client.batch_execute("CREATE TABLE own (id int PRIMARY KEY, word text)").await.unwrap();
    eventually("the table is known", SOON, || {
        weir.explain("app", "SELECT * FROM own").json()["class"] == "read"
    });
    for replica in cluster.replicas() {
        cluster.wait_caught_up(replica, SOON).unwrap();
    }
    (weir, client)
}

/// Reads until a replica was fresh enough, and returns what that one said.
async fn read_on_a_replica(client: &Client, sql: &str) -> (Option<String>, Route) {
    let since = weir_tests::now();
    loop {
        let seen = value(client, sql).await.unwrap();
        let route = Route::last(client).await;
        if route.side == "replica" {
            return (seen, route);
        }
        assert!(since.elapsed() < SOON, "no replica ever serves: {route:?}");
    }
}

#[tokio::test]
async fn a_conversation_through_weir_is_split_as_on_any_version() {
    let Some(cluster) = cluster("a_conversation_through_weir", 2) else { return };
    let (weir, client) = rig(&cluster).await;
    let insert = client.prepare("INSERT INTO own VALUES ($1, $2)").await.unwrap();
    let select = client.prepare("SELECT word FROM own WHERE id = $1").await.unwrap();
    for id in 0..500_i32 {
        client.execute(&insert, &[&id, &format!("word {id}")]).await.unwrap();
        let row = client.query_one(&select, &[&id]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), format!("word {id}"));
    }
    let (seen, _) = read_on_a_replica(&client, "SELECT count(*) FROM own").await;
    assert_eq!(seen.as_deref(), Some("500"));

    client.batch_execute("BEGIN; DELETE FROM own WHERE id < 100; ROLLBACK").await.unwrap();
    assert_eq!(one(&client, "SELECT count(*) FROM own").await, "500");
    let again = client.execute(&insert, &[&1_i32, &"again"]).await.unwrap_err();
    assert_eq!(again.code(), Some(&SqlState::UNIQUE_VIOLATION));
    assert_eq!(one(&client, "UPDATE own SET word = 'x' WHERE id = 1 RETURNING word").await, "x");
    assert_eq!(Route::last(&client).await.node, cluster.primary().name());
    assert!(one(&client, "SHOW server_version").await.starts_with("19"));

    // A token is read back, however the server writes positions.
    let other = weir.client().await;
    let token = one(&client, "SHOW weir.lsn").await;
    other.batch_execute(&format!("SET weir.min_lsn = '{token}'")).await.unwrap();
    let (seen, _) = read_on_a_replica(&other, "SELECT word FROM own WHERE id = 1").await;
    assert_eq!(seen.as_deref(), Some("x"));
}

#[tokio::test]
async fn a_promoted_node_is_followed_as_on_any_version() {
    let Some(cluster) = cluster("a_promoted_node", 2) else { return };
    let (weir, client) = rig(&cluster).await;
    let (old, heir, other) =
        (cluster.primary().clone(), cluster.replicas()[0].clone(), cluster.replicas()[1].clone());
    client.batch_execute("INSERT INTO own VALUES (1, 'before')").await.unwrap();
    cluster.wait_caught_up(&heir, SOON).unwrap();
    cluster.wait_caught_up(&other, SOON).unwrap();
    old.kill().unwrap();
    heir.promote().unwrap();
    other.follow(&heir).unwrap();
    eventually("the heir is recognised", SOON, || weir.primary().as_deref() == Some(heir.name()));

    client.batch_execute("INSERT INTO own VALUES (2, 'after')").await.unwrap();
    assert_eq!(one(&client, "SELECT count(*) FROM own").await, "2");
    let (seen, route) = read_on_a_replica(&client, "SELECT word FROM own WHERE id = 2").await;
    assert_eq!((seen.as_deref(), &*route.node), (Some("after"), other.name()));
}

/// Reads right behind writes are served by a replica that waits for its replay, and is not asked how far it is.
#[tokio::test]
async fn a_read_behind_a_write_lets_the_replica_wait_for_its_replay() {
    let Some(cluster) = cluster("a_read_behind_a_write_lets_the_replica_wait", 1) else { return };
    let (weir, client) = rig(&cluster).await;
    client.batch_execute("INSERT INTO own VALUES (0)").await.unwrap();
    let passed = || weir.sum("weir_guards_total{proof=\"passed\"}");
    let mut turns = 0;
    while passed() < 100 {
        turns += 1;
        assert!(turns < 5_000, "guards do not pass: {}", weir.admin("GET /metrics", "").body);
        client.batch_execute("UPDATE own SET id = id + 1").await.unwrap();
        let read = value(&client, "SELECT id FROM own").await.unwrap();
        assert_eq!(read, Some(turns.to_string()), "an own write was not read back");
    }
    let prepared = "/* weir: route=replica, consistency=eventual */ \
                    SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'WAIT FOR LSN%'";
    assert_eq!(value(&client, prepared).await.unwrap().as_deref(), Some("1"));
    // While it stands still, it says so in time, and the primary answers.
    let replica = cluster.replicas()[0].clone();
    replica.pause_replay().unwrap();
    for _ in 0..50 {
        turns += 1;
        client.batch_execute("UPDATE own SET id = id + 1").await.unwrap();
        let read = value(&client, "SELECT id FROM own").await.unwrap();
        assert_eq!(read, Some(turns.to_string()), "an own write was not read back");
    }
    assert_eq!(Route::last(&client).await.side, "primary");
}
