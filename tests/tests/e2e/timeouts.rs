//! Nobody does anything for longer than they may, and what is stopped leaves nothing behind.

use std::time::Duration;

use testkit::Node;
use tokio_postgres::{Client, NoTls};
use weir_tests::say::{bind, execute, flush, parse, query, sync};
use weir_tests::{Config, Raw, now, tags};

use crate::limits::servers;
use crate::{failure, one, pool, rig, soon, told};

/// The limit of most tests: a loaded machine must not reach it by itself.
const TIMEOUT: Duration = Duration::from_secs(1);

fn login(weir: &weir_tests::Weir) -> Raw {
    Raw::login(weir.port(), "app", &[]).unwrap()
}

/// The error that a connection is told before it is closed, out of the blue.
#[track_caller]
fn expelled(raw: &mut Raw) -> (String, String, String) {
    let told = raw.message().expect("a word before the end").error();
    assert_eq!(raw.message(), None, "the connection is closed behind {told:?}");
    told
}

fn signal(pid: &str, name: &str) {
    let sent = std::process::Command::new("kill").args([&format!("-{name}"), pid]).status();
    assert!(sent.unwrap().success());
}

fn active(node: &Node) -> usize {
    servers(node, "usename = 'app' AND state <> 'idle'")
}

#[tokio::test]
async fn a_query_beyond_query_timeout_is_cancelled_and_its_session_lives_on_the_same_server() {
    // Nothing but the node's end sends a read of the replica's elsewhere.
    let reads = [("consistency", "eventual"), ("max_lag", "off")];
    let config = Config {
        reads: reads.map(|(name, value)| (name, value.to_owned())).into(),
        ..pool(&[("query_timeout", "1s"), ("default_pool_size", "1")])
    };
    let (cluster, weir) = rig(1, &config);
    let client = weir.client().await;
    for (node, route) in [(cluster.primary(), "primary"), (cluster.replicas()[0], "replica")] {
        let hint = format!("/* weir: route={route} */");
        let pid = one(&client, &format!("{hint} SELECT pg_backend_pid()")).await;
        let since = now();
        let (code, message, help) = failure(&client, &format!("{hint} SELECT pg_sleep(60)")).await;
        let took = since.elapsed();
        assert_eq!(code, "57014");
        assert_eq!(message, "weir: canceling statement due to query_timeout (1s)");
        assert!(help.contains("query_timeout"), "{help}");
        assert!(took >= TIMEOUT && took < Duration::from_secs(5), "{took:?}");
        assert_eq!(active(node), 0);
        assert_eq!(one(&client, &format!("{hint} SELECT pg_backend_pid()")).await, pid);
        // By the extended protocol too.
        let error = client.query(&format!("{hint} SELECT 1, pg_sleep(60)"), &[]).await;
        let (code, message, _) = told(&error.expect_err("it is cancelled"));
        assert_eq!(code, "57014", "{message}");
        assert!(message.contains("query_timeout"), "{message}");
    }
}

#[test]
fn rows_that_came_before_the_timeout_stand_before_the_error() {
    let (_cluster, weir) = rig(0, &pool(&[("query_timeout", "1s")]));
    let mut raw = login(&weir);
    let heard = raw.talk(&query("SELECT n, pg_sleep(0.02) FROM generate_series(1, 1000) AS n"));
    let words = tags(&heard);
    assert!(words.starts_with("TD") && words.ends_with("DEZ"), "{words}");
    assert!(words.len() > 8 && words.len() < 200, "{words}");
    let (code, message, _) = heard[heard.len() - 2].error();
    assert_eq!(code, "57014");
    assert!(message.contains("query_timeout"), "{message}");
    assert_eq!(raw.query("SELECT 7").as_deref(), Some("7"));
}

#[tokio::test]
async fn a_query_that_waits_for_a_server_beyond_query_timeout_is_refused() {
    let (_cluster, weir) = rig(0, &pool(&[("query_timeout", "1s"), ("default_pool_size", "1")]));
    let (holder, waiter) = (weir.client().await, weir.client().await);
    holder.batch_execute("BEGIN; SELECT 1").await.unwrap();
    let (code, message, hint) = failure(&waiter, "SELECT 1").await;
    assert_eq!(code, "57014");
    assert!(message.contains("query_timeout (1s); nothing was run"), "{message}");
    assert!(hint.contains("pool"), "{hint}");
    holder.batch_execute("COMMIT").await.unwrap();
    assert_eq!(one(&waiter, "SELECT 1").await, "1");
}

/// Runs a short statement: a loaded machine may make it reach the limit by itself, and nothing else
/// may happen to it.
async fn briefly(client: &Client, sql: &str) -> bool {
    let since = now();
    let Err(error) = client.batch_execute(sql).await else { return true };
    assert!(since.elapsed() >= Duration::from_millis(60), "{sql} hit early: {:?}", told(&error));
    false
}

/// Statements around the limit: some are cancelled, some end just before, some are hit too late.
async fn around_the_limit(client: Client, start: f64) -> u32 {
    let mut cancelled = 0;
    for round in 0..40_u32 {
        if !briefly(&client, "BEGIN").await {
            continue;
        }
        let seconds = start + f64::from(round % 20) * 0.001;
        match client.batch_execute(&format!("SELECT pg_sleep({seconds})")).await {
            Ok(()) => drop(briefly(&client, "SELECT pg_sleep(0.01)").await),
            Err(error) => {
                assert_eq!(told(&error).0, "57014");
                cancelled += 1;
            }
        }
        while !briefly(&client, "ROLLBACK").await {}
    }
    cancelled
}

#[tokio::test]
async fn a_late_timeout_never_hits_the_next_statement_of_anybody() {
    let (_cluster, weir) = rig(0, &pool(&[("query_timeout", "60ms"), ("default_pool_size", "4")]));
    let other = weir.client().await;
    let next = tokio::spawn(async move {
        loop {
            briefly(&other, "SELECT pg_sleep(0.01)").await;
        }
    });
    let mut slow = tokio::task::JoinSet::new();
    for number in 0..5_u32 {
        let start = 0.057 + f64::from(number) * 0.000_2;
        slow.spawn(around_the_limit(weir.client().await, start));
    }
    let cancelled: u32 = slow.join_all().await.iter().sum();
    assert!(!next.is_finished(), "nobody else was hit");
    assert!((1..200).contains(&cancelled), "{cancelled} of 200: the limit lies in between");
}

#[test]
fn a_copy_that_stalls_ends() {
    let (cluster, weir) = rig(0, &pool(&[("query_timeout", "1s")]));
    let mut raw = login(&weir);
    raw.query("CREATE TABLE t (x text)");
    assert_eq!(raw.talk_until(&query("COPY t FROM STDIN"), b'G').len(), 1);
    // PostgreSQL heeds no cancel request while it waits for COPY data.
    let (code, message, _) = expelled(&mut raw);
    assert_eq!(code, "08007", "{message}");
    weir_tests::eventually("its server is closed", crate::SOON, || active(cluster.primary()) == 0);
    assert_eq!(login(&weir).query("SELECT count(*) FROM t").as_deref(), Some("0"));
}

#[test]
fn a_server_that_does_not_heed_is_closed_and_the_client_told_that_nobody_knows() {
    let (cluster, weir) = rig(0, &pool(&[("query_timeout", "500ms"), ("default_pool_size", "1")]));
    let mut raw = login(&weir);
    let pid = raw.query("SELECT pg_backend_pid() FROM pg_class LIMIT 1").unwrap();
    signal(&pid, "STOP");
    raw.send(&query("CREATE TABLE t ()"));
    let (code, message, _) = expelled(&mut raw);
    signal(&pid, "CONT");
    assert_eq!(code, "08007");
    assert!(message.contains("query_timeout") && message.contains("unknown"), "{message}");
    let mut other = login(&weir);
    assert_ne!(other.query("SELECT pg_backend_pid() FROM pg_class LIMIT 1"), Some(pid));
    assert_eq!(cluster.primary().psql("SELECT to_regclass('t') IS NULL").unwrap(), "t");
}

#[test]
fn a_group_that_is_left_open_ends() {
    let (cluster, weir) = rig(0, &pool(&[("query_timeout", "500ms")]));
    let mut raw = login(&weir);
    raw.send(&[parse("", "SELECT 1"), bind("", ""), execute("", 0), flush()].concat());
    for tag in [b'1', b'2', b'D', b'C'] {
        assert_eq!(raw.message().map(|message| message.tag), Some(tag));
    }
    assert_eq!(expelled(&mut raw).0, "08007");
    weir_tests::eventually("its server is closed", crate::SOON, || active(cluster.primary()) == 0);
}

/// The limit of silence.
const SILENCE: Duration = Duration::from_millis(500);

#[test]
fn who_is_silent_within_a_transaction_is_closed_and_the_transaction_rolled_back() {
    let (cluster, weir) =
        rig(1, &pool(&[("idle_transaction_timeout", "500ms"), ("default_pool_size", "1")]));
    login(&weir).query("CREATE TABLE t (n int)");
    for (begin, then) in [
        ("BEGIN", "INSERT INTO t VALUES (1)"),
        ("BEGIN", "SELECT 1/0"),
        ("BEGIN READ ONLY", "SELECT 1"),
        ("BEGIN READ ONLY", ""),
    ] {
        let mut raw = login(&weir);
        raw.talk(&query(begin));
        // Active for longer than the limit, and never silent for as long.
        let since = now();
        while since.elapsed() < SILENCE * 2 && !then.is_empty() && then != "SELECT 1/0" {
            raw.query("SELECT pg_sleep(0.05)");
        }
        raw.talk(&query(then));
        let since = now();
        let (code, message, hint) = expelled(&mut raw);
        assert!(since.elapsed() >= SILENCE.mul_f32(0.9), "{begin}, {then}");
        assert_eq!(code, "25P03", "{begin}, {then}: {message}");
        assert!(message.contains("idle_transaction_timeout (500ms)"), "{message}");
        assert!(hint.contains("idle_transaction_timeout"), "{hint}");
    }
    let mut raw = login(&weir);
    assert_eq!(raw.query("SELECT count(*) FROM t").as_deref(), Some("0"));
    assert_eq!(servers(cluster.primary(), "state LIKE 'idle in transaction%'"), 0);
    let metrics = weir.admin("GET /metrics", "").body;
    assert!(metrics.contains("weir_timeouts_total{limit=\"idle_transaction_timeout\"} 4"));
}

#[test]
fn who_is_silent_between_transactions_is_closed_and_who_is_not_is_not() {
    for mode in ["transaction", "session"] {
        let (_cluster, weir) = rig(0, &pool(&[("client_idle_timeout", "500ms"), ("mode", mode)]));
        let (mut silent, mut busy) = (login(&weir), login(&weir));
        assert_eq!(silent.query("SELECT 1").as_deref(), Some("1"));
        let since = now();
        while since.elapsed() < SILENCE * 3 {
            assert!(busy.query("SELECT pg_sleep(0.02)").is_some());
        }
        let (code, message, hint) = expelled(&mut silent);
        assert_eq!(code, "57P05", "{message}");
        assert!(message.contains("client_idle_timeout (500ms)"), "{message}");
        assert!(hint.contains("client_idle_timeout"), "{hint}");
        // A statement that is longer than the limit is no silence.
        assert!(busy.query("SELECT pg_sleep(1.1)").is_some());
        assert_eq!(busy.query("SELECT 2").as_deref(), Some("2"));
    }
}

#[tokio::test]
async fn a_transaction_beyond_its_limit_is_cancelled_and_who_rolls_back_lives() {
    let (cluster, weir) = rig(0, &pool(&[("transaction_timeout", "1s")]));
    let client = weir.client().await;
    client.batch_execute("CREATE TABLE t (n int)").await.unwrap();
    client.batch_execute("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    let (code, message, hint) = failure(&client, "SELECT pg_sleep(60)").await;
    assert_eq!(code, "57014");
    assert_eq!(message, "weir: canceling statement due to transaction_timeout (1s)");
    assert!(hint.starts_with("Roll back"), "{hint}");
    assert_eq!(failure(&client, "SELECT 1").await.0, "25P02");
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(one(&client, "SELECT count(*) FROM t").await, "0");
    // A lone statement is a transaction, too.
    assert_eq!(failure(&client, "SELECT pg_sleep(60)").await.0, "57014");
    // Many short ones are none.
    let since = now();
    while since.elapsed() < TIMEOUT * 2 {
        one(&client, "SELECT 1").await;
    }
    assert_eq!(active(cluster.primary()), 0);
}

#[test]
fn who_does_not_end_a_transaction_beyond_its_limit_is_closed() {
    let (cluster, weir) = rig(0, &pool(&[("transaction_timeout", "1s")]));
    let mut silent = login(&weir);
    silent.talk(&query("BEGIN; SELECT 1"));
    let (code, message, _) = expelled(&mut silent);
    assert_eq!(code, "25P04");
    assert!(message.contains("transaction_timeout (1s)"), "{message}");
    let mut stubborn = login(&weir);
    stubborn.talk(&query("BEGIN"));
    let heard = stubborn.talk(&query("SELECT pg_sleep(60)"));
    assert_eq!(heard[heard.len() - 2].error().0, "57014");
    assert_eq!(expelled(&mut stubborn).0, "25P04");
    weir_tests::eventually("their servers are closed", crate::SOON, || {
        active(cluster.primary()) == 0
    });
}

#[tokio::test]
async fn a_reload_sets_limits_for_those_who_are_there() {
    let (cluster, weir) = rig(0, &Config::default());
    let client = weir.client().await;
    let mut silent = login(&weir);
    let running = tokio::spawn(async move { failure(&client, "SELECT pg_sleep(60)").await });
    soon("the query runs", async || active(cluster.primary()) == 1).await;
    weir.reload(&cluster, &pool(&[("query_timeout", "100ms"), ("client_idle_timeout", "100ms")]));
    assert_eq!(running.await.unwrap().0, "57014");
    assert_eq!(expelled(&mut silent).0, "57P05");
}

#[tokio::test]
async fn a_cancel_request_ends_the_wait_for_a_server_and_the_session_lives() {
    for more in ["", "workers: 2\n"] {
        let config = Config { more: more.into(), ..pool(&[("default_pool_size", "1")]) };
        let (_cluster, weir) = rig(0, &config);
        let (holder, waiter) = (weir.client().await, weir.client().await);
        holder.batch_execute("BEGIN; SELECT 1").await.unwrap();
        let token = waiter.cancel_token();
        let waiting = tokio::spawn(async move {
            let refused = failure(&waiter, "SELECT 1").await;
            (waiter, refused)
        });
        // A cancel request that comes before the statement is none of its business.
        while !waiting.is_finished() {
            token.cancel_query(NoTls).await.unwrap();
        }
        let (waiter, (code, message, hint)) = waiting.await.unwrap();
        assert_eq!(code, "57014");
        assert_eq!(message, "canceling statement due to user request");
        assert!(hint.contains("nothing was run"), "{hint}");
        holder.batch_execute("COMMIT").await.unwrap();
        assert_eq!(one(&waiter, "SELECT 1").await, "1");
        assert_eq!(one(&holder, "SELECT 2").await, "2");
    }
}

#[tokio::test]
async fn a_cancel_request_ends_the_wait_for_a_primary() {
    let (cluster, weir) = rig(0, &pool(&[("failover_hold", "1min")]));
    let client = weir.client().await;
    let token = client.cancel_token();
    cluster.primary().kill().unwrap();
    let waiting = tokio::spawn(async move { failure(&client, "CREATE TABLE t ()").await });
    while !waiting.is_finished() {
        token.cancel_query(NoTls).await.unwrap();
    }
    assert_eq!(waiting.await.unwrap().0, "57014");
}

#[tokio::test]
async fn who_waits_in_line_for_a_primary_that_is_replaced_goes_to_the_new_one() {
    let (cluster, weir) = rig(1, &pool(&[("default_pool_size", "1")]));
    let (holder, waiter) = (weir.client().await, weir.client().await);
    holder.batch_execute("BEGIN; SELECT 1").await.unwrap();
    let waiting = tokio::spawn(async move {
        waiter.batch_execute("CREATE TABLE t ()").await.unwrap();
        one(&waiter, "SHOW weir.last_route").await
    });
    let log = || weir.admin("GET /metrics", "").body;
    soon("it waits", async || log().contains("weir_clients 2")).await;
    let replica = cluster.replicas()[0];
    replica.promote().unwrap();
    // The old primary goes on, and so does the transaction that holds its only server.
    assert_eq!(waiting.await.unwrap(), format!("primary {} write", replica.name()));
    drop(holder);
}

#[tokio::test]
async fn statements_sent_at_once_are_each_timed_by_themselves() {
    let (_cluster, weir) = rig(0, &pool(&[("query_timeout", "1s")]));
    let mut raw = login(&weir);
    let part = |name, seconds| {
        let sql = format!("SELECT pg_sleep({seconds})");
        [parse(name, &sql), bind("", name), execute("", 0), sync()].concat()
    };
    raw.send(&[part("a", 0.6), part("b", 0.6), part("c", 60.0), part("d", 0.0)].concat());
    let words: Vec<String> = (0..4).map(|_| tags(&raw.until_ready())).collect();
    assert_eq!(words, ["12DCZ", "12DCZ", "12EZ", "12DCZ"]);
}
