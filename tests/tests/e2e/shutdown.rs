//! Ends and changes: SIGTERM and SIGHUP.

use std::net::TcpStream;

use weir_tests::say::query;
use weir_tests::{Config, Raw, eventually};

use crate::{SOON, failure, one, pool, rig, soon};

/// The session is told of the shutdown, and over.
#[track_caller]
fn shown_out(raw: &mut Raw) {
    let (code, message, hint) = raw.message().expect("a word before the end").error();
    assert_eq!(code, "57P01", "{message}");
    assert!(!hint.is_empty());
    assert_eq!(raw.message(), None);
}

#[test]
fn a_shutdown_lets_transactions_end_and_tells_everybody() {
    let (cluster, mut weir) = rig(1, &Config::default());
    let mut idle = Raw::login(weir.port(), "app", &[]).unwrap();
    let mut pinned = Raw::login(weir.port(), "app", &[]).unwrap();
    drop(pinned.talk(&query("LISTEN news")));
    let mut busy = Raw::login(weir.port(), "app", &[]).unwrap();
    drop(busy.talk(&query("CREATE TABLE t (id int)")));
    drop(busy.talk(&query("BEGIN; INSERT INTO t VALUES (1)")));
    let mut deferred = Raw::login(weir.port(), "app", &[]).unwrap();
    drop(deferred.talk(&query("BEGIN READ ONLY")));

    weir.signal("TERM");
    shown_out(&mut idle);
    shown_out(&mut pinned);
    eventually("nobody listens any more", SOON, || {
        TcpStream::connect(("127.0.0.1", weir.port())).is_err()
    });
    assert_eq!(weir.admin("GET /livez", "").status, 200);
    assert_eq!(weir.admin("GET /readyz", "").status, 503);
    assert_eq!(deferred.query("SELECT 7").as_deref(), Some("7"));
    assert_eq!(weir_tests::tags(&deferred.talk(&query("COMMIT"))), "CZ");
    assert_eq!(weir_tests::tags(&busy.talk(&query("INSERT INTO t VALUES (2)"))), "CZ");
    assert_eq!(weir_tests::tags(&busy.talk(&query("COMMIT"))), "CZ");
    shown_out(&mut busy);
    shown_out(&mut deferred);
    assert!(weir.wait_ended(SOON), "{}", weir.log());
    let sql = "SET search_path = public; SELECT count(*) FROM pg_stat_activity \
               WHERE usename IN ('app', 'weir_monitor')";
    for node in cluster.nodes() {
        eventually("no server is left", SOON, || node.psql(sql).unwrap().ends_with('0'));
    }
    assert!(!weir.log().contains("panicked"), "{}", weir.log());
}

#[test]
fn a_shutdown_that_takes_too_long_ends_all_the_same() {
    let (_cluster, mut weir) = rig(0, &pool(&[("shutdown_timeout", "300ms")]));
    let mut busy = Raw::login(weir.port(), "app", &[]).unwrap();
    drop(busy.talk(&query("BEGIN; SELECT 1")));
    let mut working = Raw::login(weir.port(), "app", &[]).unwrap();
    working.send(&query("SELECT pg_sleep(60)"));
    weir.signal("TERM");
    assert_eq!(busy.message().expect("a word before the end").error().0, "57P01");
    assert!(weir.wait_ended(SOON), "{}", weir.log());
    assert!(!weir.log().contains("panicked"), "{}", weir.log());
}

#[test]
fn a_second_signal_ends_at_once() {
    let (_cluster, mut weir) = rig(0, &Config::default());
    let mut busy = Raw::login(weir.port(), "app", &[]).unwrap();
    drop(busy.talk(&query("BEGIN; SELECT 1")));
    weir.signal("INT");
    eventually("the shutdown is logged", SOON, || weir.log().contains("shutting down"));
    weir.signal("INT");
    assert!(weir.wait_ended(SOON), "{}", weir.log());
}

#[tokio::test]
async fn a_reload_changes_limits_and_drops_nobody() {
    let small = pool(&[("default_pool_size", "1"), ("query_wait_timeout", "200ms")]);
    let large = pool(&[("default_pool_size", "2"), ("query_wait_timeout", "200ms")]);
    let (cluster, weir) = rig(0, &small);
    let (holder, waiter) = (weir.client().await, weir.client().await);
    holder.batch_execute("BEGIN").await.unwrap();
    assert_eq!(failure(&waiter, "SELECT 1").await.0, "53300");
    weir.reload(&cluster, &large);
    soon("the pool has grown", async || waiter.batch_execute("SELECT 1").await.is_ok()).await;
    holder.batch_execute("COMMIT").await.unwrap();
    weir.reload(&cluster, &small);
    soon("the pool has shrunk", async || {
        holder.batch_execute("BEGIN").await.unwrap();
        let full = waiter.batch_execute("SELECT 1").await.is_err();
        holder.batch_execute("COMMIT").await.unwrap();
        full
    })
    .await;
    assert_eq!(one(&waiter, "SELECT 1").await, "1");
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_all_its_mistakes_are_logged() {
    let (cluster, weir) = rig(0, &Config::default());
    let client = weir.client().await;
    weir.reload_text("listen: here\nworkers: 0\npool: { default_pool_size: none }\n");
    let mistakes = ["listen", "workers", "pool.default_pool_size", "clusters"];
    soon("all mistakes are logged", async || {
        mistakes.iter().all(|path| weir.log().contains(&format!("{path}: ")))
    })
    .await;
    weir.reload_text("clusters: [\n");
    assert!(weir.log().contains("not YAML"), "{}", weir.log());
    assert_eq!(one(&client, "SELECT 1").await, "1");
    assert_eq!(one(&weir.client().await, "SELECT 1").await, "1");
    weir.reload(&cluster, &Config::default());
    assert_eq!(one(&client, "SELECT 1").await, "1");
}

#[tokio::test]
async fn a_reload_adds_and_removes_nodes() {
    let without = Config { without: vec!["b".into()], ..Config::default() };
    let (cluster, weir) = rig(1, &without);
    let client = weir.client().await;
    client.batch_execute("SELECT 1").await.unwrap();
    assert_eq!(one(&client, "SHOW weir.last_route").await, "primary a no_replica");
    weir.reload(&cluster, &Config::default());
    soon("the new replica serves", async || {
        client.batch_execute("SELECT 1").await.unwrap();
        one(&client, "SHOW weir.last_route").await == "replica b read"
    })
    .await;
    weir.reload(&cluster, &without);
    soon("it is gone again", async || {
        client.batch_execute("SELECT 1").await.unwrap();
        one(&client, "SHOW weir.last_route").await == "primary a no_replica"
    })
    .await;
}
