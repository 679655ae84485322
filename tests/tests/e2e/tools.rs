//! PostgreSQL's own programs, and COPY, do not notice Weir.

use bytes::Bytes;
use futures_util::SinkExt as _;
use weir_tests::{Config, Said, Weir};

use crate::{one, rig, told};

/// Runs pgbench and fails unless every transaction succeeded.
fn bench(weir: &Weir, arguments: &[&str]) {
    let common = ["-n", "-c", "16", "-j", "2", "-T", "3"];
    let said = weir.run("pgbench", &[&common, arguments].concat());
    assert!(said.ok, "{arguments:?}: {}{}", said.out, said.err);
    assert!(said.out.contains("number of failed transactions: 0 (0.000%)"), "{}", said.out);
    assert!(!said.out.contains("transactions actually processed: 0"), "{}", said.out);
    assert!(!said.err.contains("error"), "{}", said.err);
}

fn initialized(weir: &Weir) {
    let said = weir.run("pgbench", &["-i", "-q", "-s", "2"]);
    assert!(said.ok, "{}", said.err);
}

#[test]
fn pgbench_writes_in_all_query_modes_without_an_error() {
    let (_cluster, weir) = rig(1, &Config::default());
    initialized(&weir);
    for mode in ["simple", "extended", "prepared"] {
        bench(&weir, &["-M", mode]);
    }
    let sums = "SELECT count(*) > 0 AND (SELECT sum(abalance) FROM pgbench_accounts) = sum(delta) \
                FROM pgbench_history";
    assert_eq!(weir.psql(&format!("/* weir: route=primary */ {sums}")).well(), "t\n");
}

#[test]
fn pgbench_reads_in_all_query_modes_without_an_error() {
    let (_cluster, weir) = rig(2, &Config::default());
    initialized(&weir);
    for mode in ["simple", "extended", "prepared"] {
        bench(&weir, &["-S", "-M", mode]);
    }
    let metrics = weir.admin("GET /metrics", "").body;
    assert!(
        metrics.contains("weir_cycles_total{target=\"replica\",reason=\"read\"}"),
        "reads were spread: {metrics}"
    );
}

#[test]
fn psql_describes_relations() {
    let (_cluster, weir) = rig(1, &Config::default());
    initialized(&weir);
    let list = weir.run("psql", &["-X", "-c", "\\d"]).well();
    for table in ["pgbench_accounts", "pgbench_branches", "pgbench_history", "pgbench_tellers"] {
        assert!(list.contains(table), "{list}");
    }
    let table = weir.run("psql", &["-X", "-c", "\\d pgbench_accounts"]).well();
    assert!(table.contains("filler") && table.contains("pgbench_accounts_pkey"), "{table}");
}

#[test]
fn psql_copies_out_and_in_again() {
    let (_cluster, weir) = rig(1, &Config::default());
    let script = "CREATE TABLE there (id int, word text);
        INSERT INTO there SELECT g, md5(g::text) FROM generate_series(1, 20000) g;
        CREATE TABLE back (LIKE there);
        \\copy there TO 'rows'
        \\copy back FROM 'rows'
        SELECT count(*) FROM (TABLE there EXCEPT TABLE back) AS lost;
        SELECT count(*) FROM back;\n";
    std::fs::write(weir.folder().join("script"), script).unwrap();
    let said = weir.run("psql", &["-XAtq", "-v", "ON_ERROR_STOP=1", "-f", "script"]);
    assert_eq!(said.well(), "0\n20000\n");
}

#[test]
fn a_hundred_megabytes_pass_in_flat_memory() {
    let (_cluster, weir) = rig(1, &Config::default());
    weir.psql("SELECT 1").well();
    let before = weir.resident();
    let sql = "SELECT repeat('x', 1000) FROM generate_series(1, 100000)";
    let size = weir.psql(sql).well().len();
    assert_eq!(size, 100_100_000);
    let grown = weir.peak_resident().saturating_sub(before);
    assert!(grown < 16 << 20, "resident memory grew by {grown} bytes");
}

#[test]
fn a_copy_that_fails_midway_leaves_psql_its_session() {
    let (_cluster, weir) = rig(0, &Config::default());
    let good = "1\n".repeat(50_000);
    std::fs::write(weir.folder().join("rows"), format!("{good}no number\n{good}")).unwrap();
    let script = "CREATE TABLE numbers (id int);
        \\copy numbers FROM 'rows'
        SELECT count(*) FROM numbers;
        INSERT INTO numbers VALUES (1);
        SELECT count(*) FROM numbers;\n";
    std::fs::write(weir.folder().join("script"), script).unwrap();
    let said = weir.run("psql", &["-XAtq", "-f", "script"]);
    assert_eq!(said.out, "0\n1\n", "{}", said.err);
    assert!(said.err.contains("invalid input syntax for type integer"), "{}", said.err);
}

#[tokio::test]
async fn rows_are_copied_in_by_the_extended_protocol() {
    let (_cluster, weir) = rig(0, &Config::default());
    let client = weir.client().await;
    client.batch_execute("CREATE TABLE numbers (id int)").await.unwrap();
    let mut sink = Box::pin(client.copy_in("COPY numbers FROM STDIN").await.unwrap());
    for chunk in 0..100 {
        let rows: Vec<_> = (0..1000).map(|row| (chunk * 1000 + row).to_string()).collect();
        let rows = rows.join("\n") + "\n";
        sink.send(Bytes::from(rows)).await.unwrap();
    }
    assert_eq!(sink.as_mut().finish().await.unwrap(), 100_000);
    assert_eq!(one(&client, "SELECT sum(id) FROM numbers").await, "4999950000");
}

#[tokio::test]
async fn a_copy_that_fails_midway_leaves_a_driver_its_session() {
    let (_cluster, weir) = rig(0, &Config::default());
    let client = weir.client().await;
    client.batch_execute("CREATE TABLE numbers (id int)").await.unwrap();
    for rows in ["1\nno number\n", "1\t2\n"] {
        let mut sink = Box::pin(client.copy_in("COPY numbers FROM STDIN").await.unwrap());
        sink.send(Bytes::from(rows)).await.unwrap();
        // The server refuses early; the driver may notice at once or when it finishes.
        for _ in 0..1000 {
            if sink.send(Bytes::from("3\n".repeat(1000))).await.is_err() {
                break;
            }
        }
        let error = sink.as_mut().finish().await.expect_err("a row is bad");
        assert!(["22P02", "22P04"].contains(&told(&error).0.as_str()), "{error:?}");
        drop(sink);
        assert_eq!(one(&client, "SELECT count(*) FROM numbers").await, "0");
    }
    // One that the client itself gives up.
    let mut sink = Box::pin(client.copy_in("COPY numbers FROM STDIN").await.unwrap());
    sink.send(Bytes::from("1\n")).await.unwrap();
    drop(sink);
    assert_eq!(one(&client, "SELECT count(*) FROM numbers").await, "0");
}

/// What `pg_dump` says of a database, straight or through Weir.
fn dump(weir: &Weir, port: u16, database: &str) -> String {
    let mut command = weir.program("pg_dump");
    let said = Said::by(command.env("PGPORT", port.to_string()).arg(database)).well();
    // Minor versions since August 2025 put a random key into two lines.
    said.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn pg_dump_through_weir_is_pg_dump_of_the_primary() {
    let (cluster, weir) = rig(1, &Config::default());
    initialized(&weir);
    weir.psql("CREATE VIEW v AS SELECT 1 AS one; CREATE SEQUENCE s; SELECT nextval('s')").well();
    let through = dump(&weir, weir.port(), "app");
    let direct = dump(&weir, cluster.primary().port(), "app");
    assert!(through.contains("COPY public.pgbench_accounts"));
    assert!(through == direct, "{} and {} bytes", through.len(), direct.len());
}

#[test]
fn pg_restore_through_weir_brings_back_what_pg_dump_took() {
    let (cluster, weir) = rig(1, &Config::default());
    initialized(&weir);
    let sql = "CREATE TABLE parts (id int, word text) PARTITION BY RANGE (id);
        CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (10);
        CREATE TABLE high PARTITION OF parts FOR VALUES FROM (10) TO (20);
        INSERT INTO parts SELECT g, 'w' || g FROM generate_series(0, 19) g;
        CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT 2 * $1';
        CREATE MATERIALIZED VIEW doubled AS SELECT twice(id) AS id FROM parts;
        CREATE SEQUENCE s; SELECT setval('s', 77)";
    weir.psql(sql).well();
    let primary = cluster.primary();
    primary.psql("CREATE DATABASE back OWNER app").unwrap();
    // Several workers at once each way, as large databases are moved.
    weir.run("pg_dump", &["-Fd", "-j", "2", "-f", "dumped"]).well();
    weir.run("pg_restore", &["-d", "back", "-j", "2", "--exit-on-error", "dumped"]).well();
    let [app, back] = ["app", "back"].map(|database| dump(&weir, primary.port(), database));
    assert!(app == back, "{} and {} bytes", app.len(), back.len());
    // All in one transaction, over what is there.
    weir.run("pg_dump", &["-Fc", "-f", "dumped.custom"]).well();
    let over = ["-d", "back", "--clean", "--if-exists", "--single-transaction", "dumped.custom"];
    weir.run("pg_restore", &over).well();
    assert!(dump(&weir, primary.port(), "back") == back);
}
