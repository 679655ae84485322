//! What goes to the primary though it may be a read is shown, and a read that a replica refuses is refused but once.

use std::time::Duration;

use testkit::{Cluster, Node};
use tokio_postgres::Client;
use weir_tests::{Config, Route, Weir, eventually, value};

use crate::WEIR;

const SOON: Duration = Duration::from_secs(20);

/// A function that says that it only reads, and writes a row; and one that lies in each of two schemas.
const SCHEMA: &str = "
    CREATE TABLE kept (id int);
    CREATE FUNCTION put(id int) RETURNS int LANGUAGE sql VOLATILE AS
        'INSERT INTO kept VALUES (id) RETURNING id';
    CREATE FUNCTION lies(id int) RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN RETURN put(id); END';
    CREATE SCHEMA calm; CREATE SCHEMA wild;
    CREATE FUNCTION calm.f() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1';
    CREATE FUNCTION wild.f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 2; END';
    CREATE FOREIGN DATA WRAPPER nowhere;
    CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere;
    CREATE FOREIGN TABLE remote (a int) SERVER elsewhere;
    CREATE TABLE last_of_all (a int)";

async fn rig(reads: &[(&'static str, &str)]) -> (Cluster, Weir) {
    let cluster = Cluster::builder().replicas(2).start().unwrap();
    let reads = reads.iter().map(|(key, word)| (*key, (*word).to_owned())).collect();
    let weir = Weir::start(WEIR, &cluster, &Config { reads, ..Config::default() });
    let owner = weir.connect(&weir.config("postgres", "app")).await;
    owner.batch_execute(SCHEMA).await.unwrap();
    eventually("Weir has read the new schema", SOON, || {
        weir.explain("app", "SELECT a FROM last_of_all").json()["class"] == "read"
    });
    for replica in cluster.replicas() {
        cluster.wait_caught_up(replica, SOON).unwrap();
    }
    (cluster, weir)
}

async fn connect(weir: &Weir) -> Client {
    weir.connect(&weir.config("postgres", "app")).await
}

/// The side and the reason of the session's last cycle.
async fn last(client: &Client) -> (String, String) {
    let route = Route::last(client).await;
    (route.side, route.reason)
}

fn words(side: &str, reason: &str) -> (String, String) {
    (side.to_owned(), reason.to_owned())
}

fn statements(weir: &Weir, filter: &str) -> serde_json::Value {
    weir.admin(&format!("GET /v1/statements?{filter}"), "").json()
}

#[tokio::test]
async fn a_read_that_a_replica_refuses_goes_to_the_primary_from_then_on() {
    let (_cluster, weir) = rig(&[("scope", "connection")]).await;
    let client = connect(&weir).await;
    assert_eq!(value(&client, "SELECT lies(1)").await.unwrap().as_deref(), Some("1"));
    assert_eq!(last(&client).await, words("primary", "retried"));
    // Other sessions, other literals, the other protocol: nobody is refused again.
    let other = connect(&weir).await;
    assert_eq!(value(&other, "select lies(  2 ) -- again").await.unwrap().as_deref(), Some("2"));
    assert_eq!(last(&other).await, words("primary", "write"));
    other.query_one("SELECT lies(3)", &[]).await.unwrap();
    assert_eq!(last(&other).await, words("primary", "write"));
    assert_eq!((weir.sum("weir_retried_total"), weir.sum("weir_learned_total")), (1, 1));

    let listed = statements(&weir, "database=app&refused=true");
    assert_eq!(listed["matched"], 1, "{listed}");
    let shown = &listed["statements"][0];
    assert_eq!(
        (&shown["text"], &shown["why"]),
        (&"SELECT lies(?)".into(), &"refused_by_standby".into())
    );
    assert_eq!(
        (&shown["refused"]["code"], &shown["refused"]["times"]),
        (&"25006".into(), &1.into())
    );
    assert!(shown["refused"]["believed_for_seconds"].as_f64().unwrap() > 500.0);
    assert_eq!(shown["runs"], 2, "{shown}");
    assert!(weir.log().contains("a replica refused what was taken for a read"));
}

#[tokio::test]
async fn what_a_refused_read_wrote_is_seen_by_all_connections_of_the_client() {
    let (cluster, weir) = rig(&[]).await;
    let (writer, reader) = (connect(&weir).await, connect(&weir).await);
    cluster.replicas().into_iter().try_for_each(Node::pause_replay).unwrap();
    for id in 1..=20 {
        // The first is refused and retried; the others are known. One text for each, else all are known at once.
        let sql = format!("SELECT lies({id}) AS n{}", id % 10);
        writer.simple_query(&sql).await.unwrap();
        let seen = value(&reader, "SELECT count(*) FROM kept").await.unwrap();
        assert_eq!(seen, Some(id.to_string()), "written by {sql}, not seen by the next connection");
    }
}

#[tokio::test]
async fn what_the_primary_refuses_too_teaches_nothing() {
    let (_cluster, weir) = rig(&[("scope", "connection")]).await;
    let client = connect(&weir).await;
    client.batch_execute("SET default_transaction_read_only = on").await.unwrap();
    for _ in 0..3 {
        let refused = client.simple_query("SELECT lies(1)").await.unwrap_err();
        assert_eq!(refused.code().map(tokio_postgres::error::SqlState::code), Some("25006"));
    }
    // No node has such a function; the primary might, so each is retried.
    for _ in 0..3 {
        client.simple_query("SELECT lies('x'::text)").await.unwrap_err();
    }
    assert_eq!(weir.sum("weir_learned_total"), 0);
    assert_eq!(statements(&weir, "refused=true")["matched"], 0);
}

#[tokio::test]
async fn what_may_act_outside_of_the_database_is_never_run_twice() {
    let (_cluster, weir) = rig(&[("scope", "connection")]).await;
    let client = connect(&weir).await;
    // The wrapper has no handler: 55000, as when a standby can't do what is asked.
    let sql = "/* weir: route=replica */ SELECT a FROM remote";
    let refused = client.simple_query(sql).await.unwrap_err();
    assert_eq!(refused.code().map(tokio_postgres::error::SqlState::code), Some("55000"));
    assert_eq!(last(&client).await, words("replica", "hint"));
    assert_eq!((weir.sum("weir_retried_total"), weir.sum("weir_learned_total")), (0, 0));
}

#[tokio::test]
async fn what_is_not_understood_is_listed_without_its_data() {
    let (_cluster, weir) = rig(&[("scope", "connection")]).await;
    let client = connect(&weir).await;
    for secret in ["a", "b"] {
        client.simple_query(&format!("SELECT '{secret}' WITHOUT DOUBT")).await.unwrap_err();
    }
    client.query("SELECT wild.f()", &[]).await.unwrap();
    client.simple_query("INSERT INTO kept VALUES (1)").await.unwrap();
    let listed = statements(&weir, "");
    let texts: Vec<_> =
        listed["statements"].as_array().unwrap().iter().map(|one| &one["text"]).collect();
    assert_eq!(texts, ["SELECT ? WITHOUT DOUBT", "SELECT wild.f()"], "{listed}");
    assert_eq!(listed["statements"][0]["runs"], 2);
    let unparsed = statements(&weir, "why=unparsed&limit=5");
    assert_eq!((&unparsed["matched"], &unparsed["limit"]), (&1.into(), &5.into()));
    assert_eq!(weir.sum("weir_doubted_total{why=\"unparsed\"}"), 2);
    assert_eq!(weir.sum("weir_doubted_total{why=\"volatile_function\"}"), 1);
    assert_eq!(weir.admin("GET /v1/statements?wy=unparsed", "").status, 400);
}

#[tokio::test]
async fn names_are_those_of_the_search_path_that_the_session_has_now() {
    let (_cluster, weir) = rig(&[("consistency", "eventual")]).await;
    let client = connect(&weir).await;
    let cases = [
        ("SET search_path = calm", "replica", "read", "1"),
        ("SET search_path = wild", "primary", "write", "2"),
        ("SET search_path = calm, wild", "primary", "write", "1"),
        ("SET search_path TO \"calm\"", "replica", "read", "1"),
    ];
    let prepared = {
        client.batch_execute("SET search_path = calm").await.unwrap();
        client.prepare("SELECT f()").await.unwrap()
    };
    for (set, side, reason, answer) in cases {
        client.batch_execute(set).await.unwrap();
        assert_eq!(value(&client, "SELECT f()").await.unwrap().as_deref(), Some(answer), "{set}");
        assert_eq!(last(&client).await, words(side, reason), "{set}");
        let row = client.query_one(&prepared, &[]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0).to_string(), answer, "{set}, prepared");
        assert_eq!(last(&client).await, words(side, reason), "{set}, prepared");
    }
    // A path that changes on the way to the name is not the one that was known.
    let sql = "SET search_path = wild; SELECT f()";
    client.simple_query(sql).await.unwrap();
    assert_eq!(last(&client).await, words("primary", "write"));
    client.batch_execute("SET search_path = pg_temp, calm").await.unwrap();
    assert_eq!(
        value(&client, "SELECT current_schema() ~ '^pg_temp'").await.unwrap().as_deref(),
        Some("t")
    );
    assert_eq!(last(&client).await, words("primary", "primary_read"));
}
