//! Operators see who does what and what holds servers, and end sessions that must go.

use std::io::Read as _;
use std::process::Stdio;

use serde_json::{Value, json};
use testkit::Cluster;
use weir_tests::{Config, Raw, Weir};

use crate::{WEIR, one, pool, rig, soon};

/// The sessions that a query string asks for.
fn sessions(weir: &Weir, query: &str) -> Vec<Value> {
    let answer = weir.admin(&format!("GET /v1/sessions?{query}"), "");
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    answer.json()["sessions"].as_array().unwrap().clone()
}

/// The only session that names itself so.
fn session(weir: &Weir, application: &str) -> Value {
    let mut all = sessions(weir, "limit=1000");
    all.retain(|session| session["application_name"] == application);
    assert_eq!(all.len(), 1, "{application}: {all:?}");
    all.remove(0)
}

async fn client(weir: &Weir, application: &str) -> tokio_postgres::Client {
    weir.connect(weir.config("app", "app").application_name(application)).await
}

fn raw(weir: &Weir, application: &str) -> Raw {
    Raw::login(weir.port(), "app", &[("application_name", application)]).unwrap()
}

/// Waits until the session does this.
async fn is_in_state(weir: &Weir, application: &str, state: &str) {
    soon(state, async || session(weir, application)["state"] == state).await;
}

/// Sends a query and waits for no answer.
fn begin(raw: &mut Raw, sql: &str) {
    let mut out = Vec::new();
    wire::put_query(&mut out, sql.as_bytes());
    raw.send(&out);
}

fn end(weir: &Weir, application: &str) {
    let id = &session(weir, application)["id"];
    let answer = weir.admin(&format!("DELETE /v1/sessions/{id}"), "");
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
}

/// The value of a sample; `None` if there is none.
fn metric(weir: &Weir, sample: &str) -> Option<f64> {
    let text = weir.admin("GET /metrics", "").body;
    let found = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    found.map(|value| value.parse().unwrap())
}

#[tokio::test]
async fn a_session_shows_what_it_does_and_what_holds_its_server() {
    let (_cluster, weir) = rig(1, &Config::default());
    let client = client(&weir, "report").await;
    let shown = session(&weir, "report");
    let want = json!({
        "id": shown["id"], "pid": shown["pid"], "client": shown["client"],
        "connected_seconds": shown["connected_seconds"], "state_seconds": shown["state_seconds"],
        "user": "app", "database": "app", "cluster": "main", "tls": false,
        "application_name": "report", "mode": "transaction", "state": "idle",
        "transaction_seconds": null, "pin": null, "node": null, "last_route": null,
    });
    assert_eq!(shown, want);
    assert!(shown["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{shown}");

    client.batch_execute("BEGIN READ ONLY").await.unwrap();
    let shown = session(&weir, "report");
    assert_eq!((&shown["state"], &shown["node"]), (&json!("idle_in_transaction"), &json!(null)));
    client.batch_execute("SELECT 1").await.unwrap();
    let shown = session(&weir, "report");
    assert_eq!((&shown["state"], &shown["node"]), (&json!("idle_in_transaction"), &json!("b")));
    assert!(shown["transaction_seconds"].is_u64(), "{shown}");
    let route = json!({ "target": "replica", "node": "b", "reason": "read" });
    assert_eq!(shown["last_route"], route);
    client.batch_execute("COMMIT").await.unwrap();
    let shown = session(&weir, "report");
    assert_eq!((&shown["state"], &shown["node"]), (&json!("idle"), &json!(null)));
    assert_eq!(shown["transaction_seconds"], json!(null));

    client.batch_execute("SET application_name = 'renamed'").await.unwrap();
    client.batch_execute("LISTEN news").await.unwrap();
    let shown = session(&weir, "renamed");
    assert_eq!((&shown["pin"], &shown["node"]), (&json!("listen"), &json!("a")));
    assert_eq!(shown["state"], "idle");
    assert_eq!(shown["last_route"]["reason"], "write");
    let id = shown["id"].as_u64().unwrap();
    assert_eq!(weir.admin(&format!("GET /v1/sessions/{id}"), "").json()["pin"], "listen");
    drop(client);
    soon("it is gone", async || sessions(&weir, "").is_empty()).await;
    assert_eq!(weir.admin(&format!("GET /v1/sessions/{id}"), "").status, 404);
}

#[tokio::test]
async fn a_failed_transaction_is_one_and_a_running_statement_is_active() {
    let (_cluster, weir) = rig(0, &Config::default());
    let mut failed = raw(&weir, "failed");
    assert_eq!(failed.query("BEGIN; SELECT 1/0"), None);
    assert_eq!(session(&weir, "failed")["state"], "idle_in_transaction");
    let mut busy = raw(&weir, "busy");
    begin(&mut busy, "SELECT pg_sleep(60)");
    is_in_state(&weir, "busy", "active").await;
    assert_eq!(session(&weir, "busy")["transaction_seconds"], json!(null));
    soon("seconds pass", async || session(&weir, "busy")["state_seconds"].as_u64() > Some(0)).await;
    // A group without its Sync: the client is not idle, it has not finished asking.
    let mut open = raw(&weir, "open");
    let mut out = Vec::new();
    wire::put_parse(&mut out, b"", b"SELECT 1", &[]);
    wire::put_bind(&mut out, b"", b"", &[0; 6]);
    wire::put_execute(&mut out, b"", 0);
    wire::put_flush(&mut out);
    open.send(&out);
    while open.message().unwrap().tag != wire::tag::COMMAND_COMPLETE {}
    assert_eq!(session(&weir, "open")["state"], "active");
}

#[tokio::test]
async fn who_waits_for_a_server_shows_with_the_pool_that_is_full() {
    let (_cluster, weir) = rig(0, &pool(&[("default_pool_size", "1"), ("reserve_pool_size", "2")]));
    // Both log in first: the greeting for other settings than known ones needs a server, too.
    let (holder, mut waiter) = (client(&weir, "holder").await, raw(&weir, "waiter"));
    holder.batch_execute("BEGIN").await.unwrap();
    begin(&mut waiter, "SELECT 1");
    is_in_state(&weir, "waiter", "waiting_for_server").await;
    assert_eq!(sessions(&weir, "state=waiting_for_server").len(), 1);
    let pools = weir.admin("GET /v1/pools?database=app", "").json();
    let shown = &pools["pools"][0];
    let want = json!({
        "cluster": "main", "database": "app", "user": "app", "node": "a", "active": 1, "idle": 0,
        "opening": 0, "waiting": 1, "longest_wait_seconds": shown["longest_wait_seconds"],
        "limit": 1, "reserve": 2,
    });
    assert_eq!((&pools["matched"], shown), (&json!(1), &want));
    assert!(shown["longest_wait_seconds"].as_f64() > Some(0.0), "{pools}");
    let place = "cluster=\"main\",node=\"a\",database=\"*\"";
    assert_eq!(metric(&weir, &format!("weir_clients_waiting{{{place}}}")), Some(1.0));
    assert!(metric(&weir, &format!("weir_longest_wait_seconds{{{place}}}")) > Some(0.0));
    holder.batch_execute("COMMIT").await.unwrap();
    assert_eq!(waiter.until_ready().len(), 4);
    assert_eq!(session(&weir, "waiter")["state"], "idle");
    let pools = weir.admin("GET /v1/pools", "").json();
    assert_eq!(pools["pools"][0]["idle"], 1, "{pools}");
    let idle = format!("weir_servers{{{place},state=\"idle\"}}");
    assert_eq!(metric(&weir, &idle), Some(1.0));
}

#[tokio::test]
async fn who_waits_for_a_primary_or_a_fresh_replica_says_so() {
    let reads = [("consistency", "eventual"), ("max_lag", "500ms"), ("stale_wait", "60s")];
    let reads = reads.map(|(name, value)| (name, value.to_owned())).into();
    let (cluster, weir) = rig(1, &Config { reads, ..pool(&[("failover_hold", "60s")]) });
    let mut reader = raw(&weir, "reader");
    assert_eq!(reader.query("CREATE TABLE t (id int)"), None);
    cluster.replicas()[0].pause_replay().unwrap();
    assert_eq!(reader.query("INSERT INTO t VALUES (1)"), None);
    soon("the replica is left out", async || {
        let known = weir.explain("app", "SELECT 1").json();
        known["reason"] == "too_far_behind"
    })
    .await;
    assert_eq!(reader.query("SET weir.on_stale = wait"), None);
    begin(&mut reader, "SELECT 1");
    is_in_state(&weir, "reader", "waiting_for_replica").await;
    cluster.replicas()[0].resume_replay().unwrap();
    let answer = reader.until_ready();
    assert_eq!(answer.last().unwrap().tag, wire::tag::READY);

    // It logs in first, since a greeting may need a server.
    let mut writer = raw(&weir, "writer");
    cluster.primary().kill().unwrap();
    begin(&mut writer, "INSERT INTO t VALUES (2)");
    is_in_state(&weir, "writer", "waiting_for_primary").await;
    end(&weir, "writer");
    assert_eq!(writer.message().unwrap().error().0, "57P01");
}

#[tokio::test]
async fn pins_are_counted_while_they_last_and_when_they_begin() {
    let (_cluster, weir) = rig(0, &Config::default());
    let client = client(&weir, "pinned").await;
    let now = "weir_pinned_sessions{reason=\"advisory_lock\"}";
    let begun = "weir_pins_total{reason=\"advisory_lock\"}";
    let counts = || (metric(&weir, now), metric(&weir, begun));
    assert_eq!(counts(), (Some(0.0), Some(0.0)), "there from the start");
    client.batch_execute("SELECT pg_advisory_lock(1)").await.unwrap();
    // A client is answered first and shown then.
    soon("the pin is counted", async || counts() == (Some(1.0), Some(1.0))).await;
    client.batch_execute("SELECT 1").await.unwrap();
    assert_eq!(counts(), (Some(1.0), Some(1.0)), "it goes on, it does not begin again");
    assert_eq!(sessions(&weir, "pinned=true").len(), 1);
    client.batch_execute("DISCARD ALL").await.unwrap();
    soon("the pin has ended", async || counts() == (Some(0.0), Some(1.0))).await;
    assert!(sessions(&weir, "pinned=true").is_empty());
    client.batch_execute("SELECT pg_advisory_lock(1)").await.unwrap();
    assert_eq!(counts(), (Some(1.0), Some(2.0)));
    drop(client);
    soon("a client that left is not pinned", async || counts() == (Some(0.0), Some(2.0))).await;
}

#[tokio::test]
async fn filters_and_the_limit_hold_over_all_workers() {
    let (_cluster, weir) = rig(0, &Config { more: "workers: 2\n".into(), ..Config::default() });
    let mut crowd: Vec<Raw> = (0..30).map(|_| raw(&weir, "crowd")).collect();
    let other = weir.connect(&weir.config("postgres", "app")).await;
    other.batch_execute("BEGIN").await.unwrap();
    for member in &mut crowd {
        assert_eq!(member.query("SELECT 1").unwrap(), "1");
    }
    let all = sessions(&weir, "");
    let ids: std::collections::BTreeSet<u64> =
        all.iter().map(|session| session["id"].as_u64().unwrap()).collect();
    assert_eq!((all.len(), ids.len()), (31, 31), "{ids:?}");
    assert!(ids.iter().any(|id| id % 2 == 0) && ids.iter().any(|id| id % 2 == 1), "{ids:?}");
    let answer = weir.admin("GET /v1/sessions?user=app&state=idle&limit=5", "").json();
    assert_eq!(answer["matched"], 30);
    assert_eq!(answer["sessions"].as_array().unwrap().len(), 5);
    assert_eq!(sessions(&weir, "user=postgres&state=idle_in_transaction&database=app").len(), 1);
    assert!(sessions(&weir, "database=postgres").is_empty());
    for query in ["limit=0", "limit=1001", "zebra=1", "state=asleep", "pinned=perhaps"] {
        let answer = weir.admin(&format!("GET /v1/sessions?{query}"), "");
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.json()["detail"].is_string(), "{query}");
    }
    assert_eq!(weir_tests::http(weir.admin_port(), "GET /v1/sessions", None, "").status, 401);
    let pools = weir.admin("GET /v1/pools?user=app", "").json();
    let sum = |field: &str| pools["pools"][0][field].as_u64().unwrap();
    assert_eq!((pools["matched"].as_u64(), sum("active"), sum("waiting")), (Some(1), 0, 0));
    assert!((1..=20).contains(&sum("idle")), "{pools}");
}

#[tokio::test]
async fn an_ended_session_is_told_by_whom_and_its_transaction_is_undone() {
    let (cluster, weir) = rig(0, &Config::default());
    let mut client = raw(&weir, "writer");
    assert_eq!(client.query("CREATE TABLE t (id int)"), None);
    assert_eq!(client.query("BEGIN; INSERT INTO t VALUES (1)"), None);
    end(&weir, "writer");
    let (code, message, hint) = client.message().unwrap().error();
    assert_eq!(code, "57P01");
    assert_eq!(message, "weir: terminating connection due to administrator command");
    assert!(hint.contains("admin"), "{hint}");
    assert_eq!(client.message(), None);
    soon("its server is closed", async || {
        let open = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'";
        cluster.primary().psql(open).unwrap() == "0"
    })
    .await;
    let other = self::client(&weir, "other").await;
    assert_eq!(one(&other, "SELECT count(*) FROM t").await, "0");
    let id = session(&weir, "other")["id"].clone();
    for unknown in ["0", "999999", "-1", "x", &format!("{id}0")] {
        let answer = weir.admin(&format!("DELETE /v1/sessions/{unknown}"), "");
        assert_eq!(answer.status, 404, "{unknown}");
        assert!(answer.json()["detail"].as_str().unwrap().contains("/v1/sessions"), "{unknown}");
    }
    assert_eq!(one(&other, "SELECT 1").await, "1");
}

#[tokio::test]
async fn a_session_ends_whatever_it_does() {
    let (cluster, weir) = rig(0, &pool(&[("default_pool_size", "3")]));
    let admin_word = |raw: &mut Raw| raw.message().unwrap().error().0;
    let mut idle = raw(&weir, "idle");
    end(&weir, "idle");
    assert_eq!(admin_word(&mut idle), "57P01");

    let mut busy = raw(&weir, "busy");
    begin(&mut busy, "SELECT pg_sleep(600)");
    is_in_state(&weir, "busy", "active").await;
    end(&weir, "busy");
    assert_eq!(admin_word(&mut busy), "57P01");
    soon("its statement was cancelled", async || {
        let running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)'";
        cluster.primary().psql(running).unwrap() == "0"
    })
    .await;

    let mut pinned = raw(&weir, "pinned");
    assert_eq!(pinned.query("LISTEN news"), None);
    end(&weir, "pinned");
    assert_eq!(admin_word(&mut pinned), "57P01");

    // It asks for more than sockets hold, and reads nothing: amid a row no word can be said.
    let mut stuck = raw(&weir, "stuck");
    begin(&mut stuck, "SELECT repeat('x', 1000000) FROM generate_series(1, 200)");
    is_in_state(&weir, "stuck", "active").await;
    end(&weir, "stuck");
    let left = || sessions(&weir, "").is_empty();
    soon("all are gone", async || left()).await;
    while stuck.some().is_some() {}

    let (mut waiter, last) = (raw(&weir, "waiter"), client(&weir, "last").await);
    let mut holders: Vec<Raw> = (0..3).map(|_| raw(&weir, "holder")).collect();
    for holder in &mut holders {
        assert_eq!(holder.query("BEGIN; SELECT 1").unwrap(), "1");
    }
    begin(&mut waiter, "SELECT 1");
    is_in_state(&weir, "waiter", "waiting_for_server").await;
    end(&weir, "waiter");
    assert_eq!(admin_word(&mut waiter), "57P01");
    assert_eq!(weir.admin("GET /v1/pools", "").json()["pools"][0]["waiting"], 0);
    // Nobody else has noticed, and the place in the line was not lost with it.
    let asked = tokio::spawn(async move { one(&last, "SELECT 7").await });
    is_in_state(&weir, "last", "waiting_for_server").await;
    drop(holders.pop());
    assert_eq!(asked.await.unwrap(), "7");
    assert!(!weir.log().contains("panicked"), "{}", weir.log());
}

#[tokio::test]
async fn psql_by_tls_shows_as_such_and_reads_why_it_was_ended() {
    let cluster = Cluster::builder().tls().start().unwrap();
    let folder = cluster.ca().unwrap().parent().unwrap().to_owned();
    let path = |name: &str| folder.join(name).display().to_string();
    let tls = vec![
        ("client", "prefer".to_owned()),
        ("certificate", path("server.pem")),
        ("key", path("server.key")),
    ];
    let weir = Weir::start(WEIR, &cluster, &Config { tls, ..Config::default() });
    let mut psql = weir.program("psql");
    psql.env("PGSSLMODE", "require").args(["-XAt", "-c", "SELECT pg_sleep(600)"]);
    let mut psql = psql.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    soon("it is connected", async || sessions(&weir, "state=active").len() == 1).await;
    let shown = session(&weir, "psql");
    assert_eq!(shown["tls"], true, "{shown}");
    end(&weir, "psql");
    let mut said = String::new();
    psql.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(!psql.wait().unwrap().success());
    let want = "FATAL:  weir: terminating connection due to administrator command";
    assert!(said.contains(want), "{said}");
}

#[tokio::test]
async fn a_session_pool_shows_its_mode_and_the_server_that_it_keeps() {
    let more = "databases: { app: { cluster: main, mode: session }, \"*\": { cluster: main } }\n";
    let (_cluster, weir) = rig(1, &Config { more: more.into(), ..Config::default() });
    let client = client(&weir, "legacy").await;
    assert_eq!(one(&client, "SELECT 1").await, "1");
    let shown = session(&weir, "legacy");
    assert_eq!((&shown["mode"], &shown["node"]), (&json!("session"), &json!("a")));
    assert_eq!((&shown["pin"], &shown["state"]), (&json!(null), &json!("idle")));
    let named = "weir_servers{cluster=\"main\",node=\"a\",database=\"app\",state=\"active\"}";
    assert_eq!(metric(&weir, named), Some(1.0));
    end(&weir, "legacy");
    soon("the driver has noticed", async || client.is_closed()).await;
}
