//! `weir explain` and `weir classify` in front of a cluster where no Weir runs yet.

use std::fmt::Write as _;
use std::process::Command;

use testkit::{Cluster, Stop};
use weir_tests::Said;

use crate::{SOON, WEIR};

/// What a file of statements is judged by.
const SCHEMA: &str = "CREATE TABLE t (a int, b text);
CREATE FUNCTION stab(int) RETURNS int LANGUAGE sql STABLE AS 'SELECT $1';
CREATE FUNCTION vol() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE FUNCTION vouched() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE VIEW v_vol AS SELECT vol();
GRANT SELECT ON t, v_vol TO PUBLIC;";

/// One statement for each way, by the catalog's word alone.
const SCRIPT: &str = "SELECT stab(a) FROM t;
SELECT vouched();
SELECT * FROM v_vol;
SELECT * FROM not_there;
";

/// A cluster with the schema, and a configuration whose database `shop` is its `app`.
fn stage() -> Cluster {
    let cluster = Cluster::builder()
        .replicas(1)
        .setting("shared_preload_libraries", "pg_stat_statements")
        .start()
        .unwrap();
    cluster.primary().psql_in("app", SCHEMA).unwrap();
    cluster.wait_caught_up(cluster.replicas()[0], SOON).unwrap();
    let mut text = String::from("auth: { method: trust }\nclusters:\n  main:\n    nodes:\n");
    for node in cluster.nodes() {
        let (name, host, port) = (node.name(), node.host(), node.port());
        writeln!(text, "      - {{ name: {name}, host: {host}, port: {port} }}").unwrap();
    }
    text.push_str("    monitor: { user: weir_monitor, password: weir_monitor }\n");
    text.push_str("    read_only_functions: [vouched]\n");
    text.push_str("databases: { shop: { cluster: main, dbname: app } }\n");
    std::fs::write(cluster.folder().join("weir.yaml"), text).unwrap();
    cluster
}

fn weir(cluster: &Cluster, command: &str, arguments: &[&str]) -> Command {
    let mut weir = Command::new(WEIR);
    let config = cluster.folder().join("weir.yaml");
    weir.arg(command).arg("-c").arg(config).args(["-d", "shop"]).args(arguments);
    weir
}

fn explain(cluster: &Cluster, sql: &str) -> String {
    Said::by(&mut weir(cluster, "explain", &[sql])).well()
}

/// The figures of a file, by the catalog of `shop`.
fn classify(cluster: &Cluster, text: &str) -> serde_json::Value {
    let file = cluster.folder().join("statements");
    std::fs::write(&file, text).unwrap();
    let mut command = weir(cluster, "classify", &["--format", "json"]);
    serde_json::from_str(&Said::by(command.arg(file)).well()).unwrap()
}

/// Target and statements of each cause, in words.
fn causes(report: &serde_json::Value) -> Vec<String> {
    let causes = report["causes"].as_array().unwrap().iter();
    let word = |cause: &serde_json::Value, key: &str| cause[key].as_str().unwrap().to_owned();
    let mut all: Vec<String> = causes
        .map(|cause| {
            format!("{} {} {}", cause["statements"], word(cause, "target"), word(cause, "cause"))
        })
        .collect();
    all.sort();
    all
}

#[test]
fn both_judge_by_the_catalog_of_a_database_that_no_weir_serves_yet() {
    let cluster = stage();
    let read = explain(&cluster, "SELECT stab(a), vouched() FROM t");
    assert!(read.contains("target     replica") && read.contains("class      read"), "{read}");
    let view = explain(&cluster, "SELECT * FROM v_vol");
    assert!(view.contains("class      write (volatile_view)"), "{view}");

    let report = classify(&cluster, SCRIPT);
    assert_eq!(report["catalog"], "the database's own, read on node a");
    assert!(report["assumed"].is_null(), "{report}");
    let expected = ["1 primary unknown_relation", "1 primary volatile_view", "2 replica read_only"];
    assert_eq!(causes(&report), expected);
}

#[test]
fn an_export_of_a_server_is_weighed_by_its_calls() {
    let cluster = stage();
    let primary = cluster.primary();
    primary.psql_in("app", "CREATE EXTENSION pg_stat_statements").unwrap();
    primary.psql_in("app", "SELECT pg_stat_statements_reset()").unwrap();
    for _ in 0..9 {
        primary.psql_in("app", "SELECT stab(a) FROM t WHERE a = 4711 AND b = 'secret'").unwrap();
    }
    primary.psql_in("app", "INSERT INTO t VALUES (1, 'secret')").unwrap();
    let wanted = "query LIKE '%FROM t WHERE%' OR query LIKE 'INSERT%'";
    let select =
        format!("SELECT calls, query, total_exec_time FROM pg_stat_statements WHERE {wanted}");
    let csv = primary.psql_in("app", &format!("COPY ({select}) TO STDOUT CSV HEADER")).unwrap();
    let report = classify(&cluster, &csv);
    assert_eq!(report["calls"], 10, "{csv}");
    assert_eq!(report["targets"][0]["name"], "replica");
    assert_eq!(report["targets"][0]["calls"], 9);
    assert!(report["time_ms"].as_f64().unwrap() > 0.0, "{report}");
}

#[test]
fn a_node_that_is_gone_is_passed_over_and_a_catalog_that_nobody_gives_is_told() {
    let cluster = stage();
    let revoke = "REVOKE CONNECT ON DATABASE app FROM PUBLIC";
    cluster.primary().psql(revoke).unwrap();
    cluster.wait_caught_up(cluster.replicas()[0], SOON).unwrap();
    let text = explain(&cluster, "SELECT 1");
    assert!(text.contains("catalog    none: node a: ") && text.contains("(CONNECT"), "{text}");
    let report = classify(&cluster, SCRIPT);
    let why = report["catalog"].as_str().unwrap();
    assert!(why.starts_with("none, since no node gave it: node a: "), "{report}");
    assert!(report["assumed"].is_string(), "{report}");

    cluster.primary().psql("GRANT CONNECT ON DATABASE app TO PUBLIC").unwrap();
    cluster.wait_caught_up(cluster.replicas()[0], SOON).unwrap();
    cluster.primary().stop(Stop::Fast).unwrap();
    let report = classify(&cluster, SCRIPT);
    assert_eq!(report["catalog"], "the database's own, read on node b");
    let text = explain(&cluster, "SELECT stab(1)");
    assert!(text.contains("class      read (read_only)"), "{text}");
}
