//! A session reads its own writes and never steps back, and replicas serve its reads all the same.

use std::time::Duration;

use testkit::{Cluster, Node};
use tokio_postgres::Client;
use weir_tests::{Config, Route, Weir, eventually, value};

use crate::WEIR;

const SOON: Duration = Duration::from_secs(20);

/// A primary, two replicas and a Weir whose `reads:` are these.
fn rig(reads: &[(&'static str, &str)]) -> (Cluster, Weir) {
    let cluster = Cluster::builder().replicas(2).start().unwrap();
    let weir = Weir::start(WEIR, &cluster, &reading(reads));
    (cluster, weir)
}

fn reading(reads: &[(&'static str, &str)]) -> Config {
    let reads = reads.iter().map(|(key, word)| (*key, (*word).to_owned())).collect();
    Config { reads, ..Config::default() }
}

/// Runs `sql` and waits until both replicas have it.
async fn prepare((cluster, weir): (&Cluster, &Weir), client: &Client, sql: &str) {
    client.batch_execute(sql).await.unwrap();
    // A table that the catalog does not have yet is the primary's, whatever the replicas show.
    let table = sql.split_whitespace().nth(2).unwrap();
    eventually("the table is known", SOON, || {
        weir.explain("app", &format!("SELECT * FROM {table}")).json()["class"] == "read"
    });
    for replica in cluster.replicas() {
        cluster.wait_caught_up(replica, SOON).unwrap();
    }
}

fn pause(replicas: &[&Node]) {
    for replica in replicas {
        replica.pause_replay().unwrap();
    }
}

async fn number(client: &Client, sql: &str) -> i64 {
    value(client, sql).await.unwrap().unwrap().parse().unwrap()
}

/// What speaks for or against a node as a replica for an eventual read of a fresh session.
fn eligibility(weir: &Weir, node: &str) -> String {
    let question = serde_json::json!({
        "database": "app", "sql": "SELECT 1", "consistency": "eventual"
    });
    let answer = weir.admin("POST /v1/explain", &question.to_string()).json();
    let candidates = answer["candidates"].as_array().cloned().unwrap_or_default();
    let found = candidates.iter().find(|candidate| candidate["node"] == node);
    found.and_then(|found| found["eligibility"].as_str()).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn ten_thousand_writes_are_read_back_while_replay_is_paused() {
    let (cluster, weir) = rig(&[]);
    let client = weir.client().await;
    prepare((&cluster, &weir), &client, "CREATE TABLE own (id int PRIMARY KEY)").await;
    pause(&cluster.replicas());
    let insert = client.prepare("INSERT INTO own VALUES ($1)").await.unwrap();
    let select = client.prepare("SELECT id FROM own WHERE id = $1").await.unwrap();
    for id in 0..10_000_i32 {
        client.execute(&insert, &[&id]).await.unwrap();
        let rows = client.query(&select, &[&id]).await.unwrap();
        assert_eq!(rows.len(), 1, "row {id} was written and not read back");
    }
}

#[tokio::test]
async fn writes_by_the_simple_protocol_are_read_back_while_replay_is_paused() {
    let (cluster, weir) = rig(&[]);
    let client = weir.client().await;
    prepare((&cluster, &weir), &client, "CREATE TABLE own (id int PRIMARY KEY)").await;
    pause(&cluster.replicas());
    for id in 0..1_000 {
        // Alone, in a transaction of its own, and as the last of several statements.
        let insert = match id % 3 {
            0 => format!("INSERT INTO own VALUES ({id})"),
            1 => format!("BEGIN; INSERT INTO own VALUES ({id}); COMMIT"),
            _ => format!("SELECT 1; INSERT INTO own VALUES ({id})"),
        };
        client.simple_query(&insert).await.unwrap();
        let seen = number(&client, &format!("SELECT count(*) FROM own WHERE id = {id}")).await;
        assert_eq!(seen, 1, "row {id} was written and not read back");
    }
}

#[tokio::test]
async fn another_connection_of_the_same_client_reads_what_one_wrote() {
    let (cluster, weir) = rig(&[]);
    let (writer, reader) = (weir.client().await, weir.client().await);
    prepare((&cluster, &weir), &writer, "CREATE TABLE own (id int PRIMARY KEY)").await;
    pause(&cluster.replicas());
    for id in 0..1_000_i32 {
        writer.execute("INSERT INTO own VALUES ($1)", &[&id]).await.unwrap();
        let rows = reader.query("SELECT id FROM own WHERE id = $1", &[&id]).await.unwrap();
        assert_eq!(rows.len(), 1, "row {id} was written by one connection, not seen by the next");
    }
}

#[tokio::test]
async fn under_scope_database_every_user_reads_what_any_other_wrote() {
    let (cluster, weir) = rig(&[("scope", "database")]);
    let writer = weir.client().await;
    let other = weir.connect(&weir.config("postgres", "app")).await;
    prepare((&cluster, &weir), &writer, "CREATE TABLE own (id int PRIMARY KEY)").await;
    pause(&cluster.replicas());
    for id in 0..300 {
        writer.execute("INSERT INTO own VALUES ($1)", &[&id]).await.unwrap();
        let rows = other.query("SELECT id FROM own WHERE id = $1", &[&id]).await.unwrap();
        assert_eq!(rows.len(), 1, "row {id} was written by one user and not seen by the other");
    }
}

#[tokio::test]
async fn under_scope_client_another_user_is_not_held_back_by_a_write() {
    let (cluster, weir) = rig(&[("max_lag", "off")]);
    let writer = weir.client().await;
    let other = weir.connect(&weir.config("postgres", "app")).await;
    prepare((&cluster, &weir), &writer, "CREATE TABLE own (id int PRIMARY KEY)").await;
    pause(&cluster.replicas());
    writer.execute("INSERT INTO own VALUES (1)", &[]).await.unwrap();
    assert_eq!(number(&writer, "SELECT count(*) FROM own").await, 1);
    assert_eq!(number(&other, "SELECT count(*) FROM own").await, 0);
    assert_eq!(Route::last(&other).await.side, "replica");
}

/// The commit is in nobody's file yet: only the insert position is beyond it.
#[tokio::test]
async fn a_commit_that_was_not_flushed_is_read_back() {
    let (cluster, weir) = rig(&[("scope", "connection")]);
    let client = weir.client().await;
    prepare((&cluster, &weir), &client, "CREATE TABLE own (id int PRIMARY KEY)").await;
    let slow = "ALTER SYSTEM SET wal_writer_delay = '10s'; SELECT pg_reload_conf()";
    cluster.primary().psql(slow).unwrap();
    client.batch_execute("SET synchronous_commit = off").await.unwrap();
    for id in 0..1_000_i32 {
        client.execute("INSERT INTO own VALUES ($1)", &[&id]).await.unwrap();
        let rows = client.query("SELECT id FROM own WHERE id = $1", &[&id]).await.unwrap();
        assert_eq!(rows.len(), 1, "row {id} was written and not read back");
    }
}

/// Sessions that run side by side, and statements of each.
const SESSIONS: i32 = 8;
const STATEMENTS: i32 = 400;
const THINKING: Duration = Duration::from_millis(20);

/// One write in ten; every read must see the last one.
async fn think_and_ask(client: &Client, session: i32) {
    let write = client.prepare("UPDATE own SET n = n + 1 WHERE id = $1").await.unwrap();
    let read = client.prepare("SELECT n FROM own WHERE id = $1").await.unwrap();
    let mut written = 0;
    for turn in 0..STATEMENTS {
        if (turn + session) % 10 == 0 {
            client.execute(&write, &[&session]).await.unwrap();
            written += 1;
        } else {
            let row = client.query_one(&read, &[&session]).await.unwrap();
            assert_eq!(row.get::<_, i32>(0), written, "session {session} missed its own write");
        }
        tokio::time::sleep(THINKING).await;
    }
}

#[tokio::test]
async fn over_nine_reads_in_ten_are_served_by_replicas_when_one_statement_in_ten_writes() {
    let (cluster, weir) = rig(&[("scope", "connection")]);
    let admin = weir.client().await;
    let rows = format!(
        "CREATE TABLE own (id int PRIMARY KEY, n int); \
         INSERT INTO own SELECT id, 0 FROM generate_series(1, {SESSIONS}) id"
    );
    prepare((&cluster, &weir), &admin, &rows).await;
    let mut sessions = Vec::new();
    for session in 1..=SESSIONS {
        let client = weir.client().await;
        sessions.push(tokio::spawn(async move { think_and_ask(&client, session).await }));
    }
    let before = weir.cycles("replica");
    for session in sessions {
        session.await.unwrap();
    }
    let served = weir.cycles("replica") - before;
    let reads = u64::try_from(SESSIONS * STATEMENTS * 9 / 10).unwrap();
    let metrics = weir.admin("GET /metrics", "").body;
    let routes: Vec<&str> =
        metrics.lines().filter(|line| line.starts_with("weir_cycles_total")).collect();
    assert!(served * 10 > reads * 9, "{served} of {reads} reads by replicas: {routes:#?}");
}

/// Counts up on the primary, unknown to Weir's sessions, until `done`.
async fn count_up(primary: &Node, mut done: tokio::sync::oneshot::Receiver<()>) {
    let client = primary.connect("app", "app").await.unwrap();
    while done.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
        client.execute("UPDATE counter SET n = n + 1", &[]).await.unwrap();
    }
}

/// Reads the counter often; how often it went back, and the nodes that answered.
async fn steps_back(client: &Client) -> (usize, Vec<String>) {
    let (mut last, mut steps, mut nodes) = (0, 0, Vec::new());
    for _ in 0..1_000 {
        let seen = number(client, "SELECT n FROM counter").await;
        steps += usize::from(seen < last);
        last = seen;
        let node = Route::last(client).await.node;
        if !nodes.contains(&node) {
            nodes.push(node);
        }
    }
    (steps, nodes)
}

#[tokio::test]
async fn a_session_never_sees_a_counter_go_back_although_one_replica_stands_still() {
    let (cluster, weir) = rig(&[("scope", "connection"), ("max_lag", "off")]);
    let admin = weir.client().await;
    prepare((&cluster, &weir), &admin, "CREATE TABLE counter AS SELECT 0 AS n").await;
    pause(&[cluster.replicas()[0]]);
    let (done, stop) = tokio::sync::oneshot::channel();
    let primary = cluster.primary().clone();
    let writer = tokio::spawn(async move { count_up(&primary, stop).await });

    for _ in 0..5 {
        let (steps, nodes) = steps_back(&weir.client().await).await;
        assert_eq!(steps, 0, "the counter went back on {nodes:?}");
    }
    // The same without the promise: the trap is real.
    let careless = weir.client().await;
    careless.batch_execute("SET weir.consistency = eventual").await.unwrap();
    let (steps, nodes) = steps_back(&careless).await;
    assert!(steps > 0 && nodes.len() == 2, "{steps} steps back on {nodes:?}");
    drop(done);
    writer.await.unwrap();
}

#[tokio::test]
async fn a_session_that_read_on_the_primary_sees_no_less_on_a_replica() {
    let (cluster, weir) = rig(&[("scope", "connection"), ("max_lag", "off")]);
    let client = weir.client().await;
    prepare((&cluster, &weir), &client, "CREATE TABLE counter AS SELECT 0 AS n").await;
    pause(&cluster.replicas());
    let primary = cluster.primary().connect("app", "app").await.unwrap();
    for turn in 1..=100 {
        primary.execute("UPDATE counter SET n = n + 1", &[]).await.unwrap();
        let seen = number(&client, "/* weir: route=primary */ SELECT n FROM counter").await;
        assert_eq!(seen, turn);
        assert_eq!(number(&client, "SELECT n FROM counter").await, turn);
    }
}

#[tokio::test]
async fn a_replica_beyond_max_lag_is_left_out_until_it_has_caught_up() {
    let (cluster, weir) = rig(&[("consistency", "eventual"), ("max_lag", "500ms")]);
    let client = weir.client().await;
    prepare((&cluster, &weir), &client, "CREATE TABLE counter AS SELECT 0 AS n").await;
    let (behind, fresh) = (cluster.replicas()[0], cluster.replicas()[1]);
    pause(&[behind]);
    // An idle primary makes nobody late: only what a replica has not replayed does.
    client.batch_execute("UPDATE counter SET n = n + 1").await.unwrap();
    eventually("the paused replica is left out", SOON, || {
        eligibility(&weir, behind.name()) == "too_far_behind"
    });
    for _ in 0..100 {
        assert_eq!(number(&client, "SELECT n FROM counter").await, 1);
        assert_eq!(Route::last(&client).await.node, fresh.name());
    }
    behind.resume_replay().unwrap();
    eventually("the resumed replica serves again", SOON, || {
        eligibility(&weir, behind.name()) == "eligible"
    });
    let mut nodes = Vec::new();
    while !nodes.contains(&behind.name().to_owned()) {
        assert!(nodes.len() < 1_000, "a replica that is eligible is never chosen");
        client.simple_query("SELECT 1").await.unwrap();
        nodes.push(Route::last(&client).await.node);
    }
}

#[tokio::test]
async fn a_read_that_no_replica_can_serve_does_what_on_stale_says() {
    let (cluster, weir) = rig(&[("consistency", "eventual"), ("max_lag", "500ms")]);
    let client = weir.client().await;
    prepare((&cluster, &weir), &client, "CREATE TABLE counter AS SELECT 0 AS n").await;
    let replicas: Vec<Node> = cluster.replicas().into_iter().cloned().collect();
    pause(&cluster.replicas());
    client.batch_execute("UPDATE counter SET n = n + 1").await.unwrap();
    eventually("both replicas are left out", SOON, || {
        replicas.iter().all(|replica| eligibility(&weir, replica.name()) == "too_far_behind")
    });

    assert_eq!(number(&client, "SELECT n FROM counter").await, 1);
    let route = Route::last(&client).await;
    assert_eq!((&*route.side, &*route.reason), ("primary", "too_far_behind"));

    client.batch_execute("SET weir.on_stale = error").await.unwrap();
    let refused = client.simple_query("SELECT n FROM counter").await.unwrap_err();
    let told = refused.as_db_error().unwrap();
    assert_eq!(told.code().code(), "53000", "{told}");
    // The session lives.
    client.batch_execute("UPDATE counter SET n = n + 1").await.unwrap();

    client.batch_execute("SET weir.on_stale = wait; SET weir.stale_wait = '50ms'").await.unwrap();
    assert_eq!(number(&client, "SELECT n FROM counter").await, 2);
    assert_eq!(Route::last(&client).await.side, "primary");

    client.batch_execute("SET weir.stale_wait = '60s'").await.unwrap();
    let waiting = number(&client, "SELECT n FROM counter");
    let resumed = tokio::task::spawn_blocking(move || {
        for replica in replicas {
            replica.resume_replay().unwrap();
        }
    });
    let (seen, resumed) = tokio::join!(waiting, resumed);
    resumed.unwrap();
    let route = Route::last(&client).await;
    assert_eq!((seen, &*route.side), (2, "replica"), "{route:?}");
}

#[tokio::test]
async fn a_token_makes_another_session_see_what_one_wrote() {
    let (cluster, weir) = rig(&[("scope", "connection"), ("max_lag", "off")]);
    let (writer, reader) = (weir.client().await, weir.client().await);
    prepare((&cluster, &weir), &writer, "CREATE TABLE notes (id int PRIMARY KEY)").await;
    let (behind, fresh) = (cluster.replicas()[0], cluster.replicas()[1]);
    pause(&[behind]);
    let mut by_replica = 0;
    for id in 0..200_i32 {
        writer.execute("INSERT INTO notes VALUES ($1)", &[&id]).await.unwrap();
        let token = value(&writer, "SHOW weir.lsn").await.unwrap().unwrap();
        reader.simple_query(&format!("SET weir.min_lsn = '{token}'")).await.unwrap();
        let sql = format!("SELECT count(*) FROM notes WHERE id = {id}");
        assert_eq!(number(&reader, &sql).await, 1, "row {id} was not seen behind its token");
        let route = Route::last(&reader).await;
        assert_ne!(route.node, behind.name());
        by_replica += u32::from(route.node == fresh.name());
    }
    // With both behind, only the primary is beyond the token.
    fresh.pause_replay().unwrap();
    writer.execute("INSERT INTO notes VALUES (1000)", &[]).await.unwrap();
    let token = value(&writer, "SHOW weir.lsn").await.unwrap().unwrap();
    reader.simple_query(&format!("SET weir.min_lsn = '{token}'")).await.unwrap();
    assert_eq!(number(&reader, "SELECT count(*) FROM notes").await, 201);
    let route = Route::last(&reader).await;
    assert_eq!((&*route.side, &*route.reason), ("primary", "fence_not_reached"));
    // A session without it is served by whoever is there.
    let careless = weir.client().await;
    assert!(number(&careless, "SELECT count(*) FROM notes").await < 201);
    fresh.resume_replay().unwrap();
    while Route::last(&reader).await.node != fresh.name() {
        by_replica += 1;
        assert!(by_replica < 100_000, "a replica that passed the token serves no read");
        assert_eq!(number(&reader, "SELECT count(*) FROM notes").await, 201);
    }
}

#[tokio::test]
async fn a_token_that_can_not_be_honoured_is_refused_or_sends_to_the_primary() {
    let cluster = Cluster::builder().replicas(2).start().unwrap();
    let pool = vec![("failover_hold", "300ms".to_owned())];
    let weir = Weir::start(WEIR, &cluster, &Config { pool, ..Config::default() });
    let client = weir.client().await;
    let token = value(&client, "SHOW weir.lsn").await.unwrap().unwrap();
    let [system, timeline, lsn] = token.splitn(3, ':').collect::<Vec<_>>()[..] else {
        panic!("{token}")
    };
    let own = cluster.primary().psql("SELECT system_identifier FROM pg_control_system()").unwrap();
    assert_eq!((system, timeline), (&*own, "1"));
    let foreign = format!("1:{timeline}:{lsn}");
    for wrong in ["", "0/0", &*foreign] {
        let set = format!("SET weir.min_lsn = '{wrong}'");
        let refused = client.simple_query(&set).await.unwrap_err();
        assert_eq!(refused.as_db_error().unwrap().code().code(), "22023", "{wrong:?}");
    }
    // A timeline that nobody here is on: its primary is not known, and neither is who has what it wrote.
    client.simple_query(&format!("SET weir.min_lsn = '{system}:9:{lsn}'")).await.unwrap();
    let refused = client.simple_query("SELECT 1").await.unwrap_err();
    assert_eq!(refused.as_db_error().unwrap().code().code(), "53000");
}
