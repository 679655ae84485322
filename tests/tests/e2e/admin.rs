//! Operators ask and steer over HTTP while clients work.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use testkit::{Cluster, Node};
use tokio::task::JoinSet;
use tokio_postgres::NoTls;
use weir_tests::{Config, Weir, http, now};

use crate::{WEIR, one, rig, soon};

#[test]
fn explain_tells_where_statements_go_and_why() {
    let (_cluster, weir) = rig(2, &Config::default());
    for (sql, target, reason, class) in [
        ("TABLE pg_class", "replica", "read", "read"),
        ("SELECT * FROM pg_class FOR UPDATE", "primary", "write", "write"),
        ("WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d", "primary", "write", "write"),
        ("SELECT nextval('s')", "primary", "write", "write"),
        ("SELECT random(), now()", "replica", "read", "read"),
        ("COPY (SELECT 1) TO STDOUT", "replica", "read", "read"),
        ("COPY pg_class TO PROGRAM 'cat'", "primary", "write", "write"),
        ("SELECT 1; INSERT INTO t VALUES (1)", "primary", "write", "write"),
        ("SELECT '/* INSERT */ FOR UPDATE'", "replica", "read", "read"),
        ("SELECT pg_advisory_lock(1)", "primary", "write", "write"),
        ("ALTER SYSTEM SET work_mem = '1MB'", "primary", "write", "write"),
        ("SELECT pg_is_in_recovery()", "primary", "primary_read", "primary_read"),
        ("PREPARE x AS INSERT INTO t VALUES (1)", "primary", "write", "write"),
        ("/* weir: route=primary */ SELECT 1", "primary", "hint", "read"),
        ("SHOW weir.lsn", "weir", "local", "primary_read"),
        ("SELEC 1", "primary", "write", "write"),
    ] {
        let answer = weir.explain("app", sql);
        assert_eq!(answer.status, 200, "{sql}: {}", answer.body);
        let known = answer.json();
        assert_eq!(known["target"], target, "{sql}: {known}");
        assert_eq!(known["reason"], reason, "{sql}: {known}");
        assert_eq!(known["class"], class, "{sql}: {known}");
        assert!(known["why"].is_string(), "{sql}: {known}");
        let candidates = known["candidates"].as_array().unwrap();
        assert_eq!(candidates.len(), 3, "{sql}: {known}");
        assert!(candidates.iter().all(|node| node["eligibility"].is_string()), "{known}");
    }
}

#[test]
fn without_the_token_nothing_is_told_but_health_and_metrics() {
    let (_cluster, weir) = rig(0, &Config::default());
    let port = weir.admin_port();
    for line in [
        "GET /v1/clusters",
        "GET /v1/clusters/main/nodes",
        "POST /v1/explain",
        "DELETE /v1/clusters/main/nodes/a",
        "POST /v1/clusters/main/nodes/a:drain",
    ] {
        for token in [None, Some(""), Some("a-token-for-test"), Some("a-token-for-tests2")] {
            let answer = http(port, line, token, "{}");
            assert_eq!(answer.status, 401, "{line} with {token:?}");
            assert!(answer.head.to_lowercase().contains("application/problem+json"), "{line}");
            assert!(answer.json()["detail"].as_str().unwrap().contains("Authorization"));
        }
    }
    for line in ["GET /livez", "GET /readyz", "GET /metrics"] {
        assert_eq!(http(port, line, None, "").status, 200, "{line}");
    }
}

#[tokio::test]
async fn promtool_finds_no_fault_with_the_metrics() {
    let (_cluster, weir) = rig(1, &Config::default());
    let client = weir.client().await;
    client.batch_execute("SELECT 1; CREATE TABLE t ()").await.unwrap();
    client.batch_execute("SELECT 1").await.unwrap();
    let metrics = weir.admin("GET /metrics", "");
    assert_eq!(metrics.status, 200);
    for name in ["weir_cycles_total", "weir_node_lag_seconds", "weir_server_wait_seconds_bucket"] {
        assert!(metrics.body.contains(name), "{}", metrics.body);
    }
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        let mut stderr = std::io::stderr();
        writeln!(stderr, "SKIPPED: promtool is not installed (Debian package prometheus)").unwrap();
        return;
    };
    child.stdin.take().unwrap().write_all(metrics.body.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "promtool: {said}");
}

#[test]
fn health_follows_what_is_known_of_nodes() {
    let cluster = Cluster::builder().start().unwrap();
    let port = cluster.primary().port();
    cluster.primary().kill().unwrap();
    let weir = Weir::launch(WEIR, &cluster, &Config::default());
    assert_eq!(weir.admin("GET /livez", "").status, 200);
    let answer = weir.admin("GET /readyz", "");
    assert_eq!(answer.status, 503);
    assert!(answer.json()["detail"].as_str().unwrap().contains("main"), "{}", answer.body);
    cluster.primary().start().unwrap();
    assert_eq!(port, cluster.primary().port());
    weir_tests::eventually("Weir is ready", crate::SOON, || {
        weir.admin("GET /readyz", "").status == 200
    });
}

/// Clients that read and write until they are told to stop; a single error fails the test.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    clients: JoinSet<()>,
}

impl Load {
    fn start(weir: &Weir, clients: usize) -> Self {
        let mut load = Self { stop: Arc::default(), done: Arc::default(), clients: JoinSet::new() };
        for number in 0..clients {
            let (stop, done) = (Arc::clone(&load.stop), Arc::clone(&load.done));
            let config = weir.config("app", "app");
            load.clients.spawn(async move {
                let (client, connection) = config.connect(NoTls).await.unwrap();
                drop(tokio::spawn(connection));
                let statement = client.prepare("SELECT $1::int").await.unwrap();
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) {
                    round += 1;
                    let row = client.query_one(&statement, &[&round]).await.unwrap();
                    assert_eq!(row.get::<_, i32>(0), round);
                    client.batch_execute("BEGIN READ ONLY").await.unwrap();
                    client.batch_execute("SELECT 1").await.unwrap();
                    client.batch_execute("SELECT 2").await.unwrap();
                    client.batch_execute("COMMIT").await.unwrap();
                    if number == 0 && round % 50 == 0 {
                        client.batch_execute("INSERT INTO log VALUES (1)").await.unwrap();
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        load
    }

    /// Waits until so many more rounds are through.
    async fn goes_on(&self, rounds: usize) {
        let until = self.done.load(Ordering::Relaxed) + rounds;
        soon("the load goes on", async || self.done.load(Ordering::Relaxed) >= until).await;
    }

    async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
    }
}

/// Servers that the application's clients have on a node.
fn servers(node: &Node) -> u64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'";
    node.psql(sql).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_replica_comes_serves_is_drained_and_goes_while_no_client_notices() {
    let mut cluster = Cluster::builder().replicas(1).start().unwrap();
    cluster.add_replica().unwrap();
    let config = Config { without: vec!["c".into()], ..Config::default() };
    let weir = Weir::start(WEIR, &cluster, &config);
    let client = weir.client().await;
    client.batch_execute("CREATE TABLE log (id int)").await.unwrap();
    let load = Load::start(&weir, 6);
    load.goes_on(50).await;
    let added = cluster.nodes().iter().find(|node| node.name() == "c").unwrap();
    assert_eq!(servers(added), 0);

    let port = added.port();
    let body = format!("{{\"name\": \"c\", \"host\": \"127.0.0.1\", \"port\": {port}}}");
    let since = now();
    let answer = weir.admin("POST /v1/clusters/main/nodes", &body);
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert!(answer.head.to_lowercase().contains("location: /v1/clusters/main/nodes/c"));
    soon("the new replica serves", async || servers(added) > 0).await;
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    assert_eq!(weir.admin("POST /v1/clusters/main/nodes", &body).status, 409);

    let answer = weir.admin("PATCH /v1/clusters/main/nodes/c", "{\"weight\": 5}");
    assert_eq!((answer.status, answer.json()["weight"].as_u64()), (200, Some(5)));

    let answer = weir.admin("POST /v1/clusters/main/nodes/c:drain", "");
    assert_eq!((answer.status, answer.json()["gate"].as_str()), (200, Some("draining")));
    soon("its servers are closed", async || servers(added) == 0).await;
    load.goes_on(200).await;
    assert_eq!(servers(added), 0, "a drained node takes no more");
    let known = weir.explain("app", "SELECT 1").json();
    let drained = known["candidates"].as_array().unwrap().iter().find(|node| node["node"] == "c");
    assert_eq!(drained.unwrap()["eligibility"], "draining");

    assert_eq!(weir.admin("POST /v1/clusters/main/nodes/c:resume", "").status, 200);
    soon("it serves again", async || servers(added) > 0).await;

    assert_eq!(weir.admin("DELETE /v1/clusters/main/nodes/c", "").status, 204);
    soon("its servers are closed", async || servers(added) == 0).await;
    load.goes_on(100).await;
    assert_eq!(weir.admin("GET /v1/clusters/main/nodes/c", "").status, 404);
    assert_eq!(weir.admin("DELETE /v1/clusters/main/nodes/c", "").status, 404);
    load.end().await;
    assert_eq!(one(&client, "SELECT 1").await, "1");
}

#[tokio::test]
async fn a_drained_node_lets_a_transaction_end() {
    let (cluster, weir) = rig(1, &Config::default());
    let client = weir.client().await;
    client.batch_execute("BEGIN READ ONLY").await.unwrap();
    client.batch_execute("SELECT 1").await.unwrap();
    assert_eq!(one(&client, "SHOW weir.last_route").await, "replica b read");
    assert_eq!(weir.admin("POST /v1/clusters/main/nodes/b:drain", "").status, 200);
    for _ in 0..3 {
        client.batch_execute("SELECT 1").await.unwrap();
        assert_eq!(one(&client, "SHOW weir.last_route").await, "replica b transaction");
    }
    client.batch_execute("COMMIT").await.unwrap();
    client.batch_execute("SELECT 1").await.unwrap();
    assert_eq!(one(&client, "SHOW weir.last_route").await, "primary a no_replica");
    soon("its server is closed", async || servers(cluster.replicas()[0]) == 0).await;
}

#[test]
fn requests_that_make_no_sense_are_told_so() {
    let (_cluster, weir) = rig(0, &Config::default());
    for (line, body, status) in [
        ("GET /v1/nothing", "", 404),
        ("GET /v1/clusters/other", "", 404),
        ("DELETE /v1/explain", "", 405),
        ("POST /v1/explain", "", 400),
        ("POST /v1/explain", "{\"database\": \"app\"}", 422),
        (
            "POST /v1/explain",
            "{\"database\": \"app\", \"sql\": \"SELECT 1\", \"nonsense\": 1}",
            422,
        ),
        ("POST /v1/clusters/main/nodes", "{\"name\": \"x y\", \"host\": \"h\"}", 422),
        ("POST /v1/clusters/main/nodes/a:explode", "", 404),
        ("PATCH /v1/clusters/main/nodes/nobody", "{\"weight\": 1}", 404),
    ] {
        let answer = weir.admin(line, body);
        assert_eq!(answer.status, status, "{line} {body}: {}", answer.body);
        assert!(answer.head.to_lowercase().contains("application/problem+json"), "{line} {body}");
        assert!(answer.json()["detail"].is_string(), "{line} {body}: {}", answer.body);
    }
}
