//! Replication connections lead to the primary, byte for byte.

use std::process::{Command, Stdio};
use std::time::Duration;

use testkit::{Cluster, Node, Stop};
use weir_tests::say::query;
use weir_tests::{Config, Message, Raw, Said, Weir, eventually, tags};

use crate::{SOON, WEIR, pool, rig};

/// A primary whose `app` may replicate, also by logical decoding, and Weir in front of it.
fn replicating(replicas: usize, config: &Config) -> (Cluster, Weir) {
    let builder = Cluster::builder().replicas(replicas).setting("wal_level", "logical");
    let cluster = builder.start().unwrap();
    cluster.primary().psql("ALTER ROLE app REPLICATION").unwrap();
    let weir = Weir::start(WEIR, &cluster, config);
    (cluster, weir)
}

fn physical(weir: &Weir) -> Raw {
    Raw::login(weir.port(), "app", &[("replication", "true")]).unwrap()
}

/// What a login is refused with.
fn refused(weir: &Weir, user: &str, options: &[(&str, &str)]) -> (String, String, String) {
    Raw::login(weir.port(), user, options).expect_err("it is refused").error()
}

/// Columns of the first row.
fn row(messages: &[Message]) -> Vec<String> {
    let row = messages.iter().find(|message| message.tag == wire::tag::DATA_ROW).expect("a row");
    let mut rest = &row.body[2..];
    let mut columns = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
        columns.push(String::from_utf8_lossy(&after[..length]).into_owned());
        rest = &after[length..];
    }
    columns
}

/// Walsenders of `app` on a node.
fn senders(node: &Node) -> usize {
    let sql = "SELECT count(*) FROM pg_stat_activity \
               WHERE backend_type = 'walsender' AND usename = 'app'";
    node.psql(sql).unwrap().parse().unwrap()
}

/// The connection is told 57P01, between two messages, and over.
fn shown_out(raw: &mut Raw) -> String {
    loop {
        let message = raw.message().expect("a word before the end");
        if message.tag == wire::tag::ERROR {
            let (code, text, hint) = message.error();
            assert_eq!(code, "57P01", "{text}");
            assert!(!hint.is_empty());
            assert_eq!(raw.message(), None);
            return text;
        }
    }
}

/// A base backup by `pg_basebackup`, checked by `pg_verifybackup`.
fn back_up(weir: &Weir, configure: impl Fn(&mut Command)) {
    let folder = weir.folder().join("copy");
    let mut command = weir.program("pg_basebackup");
    command.args(["-X", "stream", "-c", "fast", "-D"]).arg(&folder);
    configure(&mut command);
    Said::by(&mut command).well();
    // It reads the WAL, too, which came by a connection of its own.
    let said = Said::by(weir.program("pg_verifybackup").arg(&folder));
    assert!(said.out.contains("backup successfully verified"), "{}{}", said.out, said.err);
}

#[test]
fn pg_basebackup_through_weir_makes_a_backup_that_verifies() {
    let (_cluster, weir) = replicating(1, &Config::default());
    weir.psql("CREATE TABLE t AS SELECT md5(g::text) FROM generate_series(1, 200000) g").well();
    back_up(&weir, |_| {});
}

#[test]
fn a_backup_passes_through_tls_on_both_sides() {
    let cluster = Cluster::builder().tls().start().unwrap();
    cluster.primary().psql("ALTER ROLE app REPLICATION").unwrap();
    let folder = cluster.ca().unwrap().parent().unwrap().to_owned();
    let path = |name: &str| folder.join(name).display().to_string();
    let tls = vec![
        ("client", "require".to_owned()),
        ("certificate", path("server.pem")),
        ("key", path("server.key")),
        ("server", "require".to_owned()),
    ];
    let weir = Weir::start(WEIR, &cluster, &Config { tls, ..Config::default() });
    back_up(&weir, |command| {
        command.env("PGSSLMODE", "require");
    });
}

#[test]
fn pg_receivewal_receives_from_a_slot() {
    let (cluster, weir) = replicating(0, &Config::default());
    let folder = weir.folder().join("wal");
    std::fs::create_dir(&folder).unwrap();
    weir.run("pg_receivewal", &["--create-slot", "--slot", "archive"]).well();
    let mut receive = weir.program("pg_receivewal");
    receive.args(["--slot", "archive", "-D"]).arg(&folder).stderr(Stdio::piped());
    let child = receive.spawn().unwrap();
    let primary = cluster.primary();
    eventually("it streams", SOON, || senders(primary) == 1);
    let name = primary.psql("SELECT pg_walfile_name(pg_current_wal_lsn())").unwrap();
    primary
        .psql("CREATE TABLE t AS SELECT generate_series(1, 50000); SELECT pg_switch_wal()")
        .unwrap();
    eventually("the segment is whole", SOON, || folder.join(&name).exists());
    let original = std::fs::read(primary.data_folder().join("pg_wal").join(&name)).unwrap();
    assert!(std::fs::read(folder.join(&name)).unwrap() == original, "{name} differs");
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn pg_recvlogical_sees_what_was_written_through_weir() {
    let (cluster, weir) = replicating(1, &Config::default());
    let slot = ["--slot", "changes", "-d", "app"];
    let create = [&slot[..], &["--create-slot", "-P", "test_decoding"]].concat();
    weir.run("pg_recvlogical", &create).well();
    weir.psql("CREATE TABLE t (id int); INSERT INTO t VALUES (7)").well();
    let end = cluster.primary().psql("SELECT pg_current_wal_insert_lsn()").unwrap();
    let start = [&slot[..], &["--start", "--no-loop", "--endpos", &end, "-f", "-"]].concat();
    let changes = weir.run("pg_recvlogical", &start).well();
    assert!(changes.contains("table public.t: INSERT: id[integer]:7"), "{changes}");
    weir.run("pg_recvlogical", &[&slot[..], &["--drop-slot"]].concat()).well();
}

#[test]
fn the_server_answers_itself_and_gets_the_clients_startup_parameters() {
    let (cluster, weir) = replicating(1, &Config::default());
    let mut raw = physical(&weir);
    let answer = raw.talk(&query("IDENTIFY_SYSTEM"));
    let system = "SELECT system_identifier FROM pg_control_system()";
    assert_eq!(row(&answer)[0], cluster.primary().psql(system).unwrap());

    let options = [
        ("replication", "database"),
        ("application_name", "decoder"),
        ("options", "-c work_mem=7MB -c weir.note=x"),
        ("DateStyle", "German"),
    ];
    let mut raw = Raw::login(weir.port(), "app", &options).unwrap();
    let status = |name: &str| {
        let body = [name.as_bytes(), b"\0"].concat();
        let mut greeting = raw.greeting().iter();
        let found = greeting.find(|message| message.body.starts_with(&body)).expect("a status");
        String::from_utf8_lossy(&found.body[body.len()..]).trim_end_matches('\0').to_owned()
    };
    assert_eq!(status("application_name"), "decoder");
    assert_eq!(status("DateStyle"), "German, DMY");
    let sql = "SELECT current_database(), current_user, current_setting('work_mem'), \
               current_setting('weir.note'), pg_is_in_recovery()";
    assert_eq!(row(&raw.talk(&query(sql))), ["app", "app", "7MB", "x", "f"]);
}

#[test]
fn a_cancel_request_stops_what_a_replication_connection_runs() {
    let (cluster, weir) = replicating(0, &Config::default());
    let mut raw = Raw::login(weir.port(), "app", &[("replication", "database")]).unwrap();
    let key = raw.greeting().iter().find(|message| message.tag == wire::tag::BACKEND_KEY);
    let key = wire::backend_key(&key.unwrap().body).unwrap();
    raw.send(&query("SELECT pg_sleep(60)"));
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    eventually("the query runs", SOON, || cluster.primary().psql(sleeping).unwrap() == "1");
    let mut out = Vec::new();
    wire::put_cancel(&mut out, &key);
    Raw::connect(weir.port()).send(&out);
    let heard = raw.until_ready();
    let error = heard.iter().find(|message| message.tag == wire::tag::ERROR).unwrap();
    assert_eq!(error.error().0, "57014");
}

#[test]
fn replication_needs_a_password_and_the_servers_permission() {
    let (cluster, weir) = rig(0, &Config::default());
    let denied = refused(&weir, "app", &[("replication", "database")]);
    assert_eq!(denied.0, "42501", "the server's own words: {denied:?}");
    assert!(!denied.1.starts_with("weir"), "{denied:?}");
    let nonsense = refused(&weir, "app", &[("replication", "perhaps")]);
    assert_eq!(nonsense.0, "22023", "{nonsense:?}");
    assert_eq!(refused(&weir, "nobody", &[("replication", "true")]).0, "28P01");

    cluster.primary().psql("ALTER ROLE app REPLICATION").unwrap();
    let mut psql = weir.program("psql");
    psql.args(["-X", "-c", "IDENTIFY_SYSTEM", "replication=true dbname=app"]);
    Said::by(psql.env("PGPASSWORD", "app")).well();
    let wrong = Said::by(psql.env("PGPASSWORD", "wrong"));
    assert!(wrong.err.contains("password authentication failed for user \"app\""), "{}", wrong.err);
    let mut ordinary = Raw::login(weir.port(), "app", &[("replication", "off")]).unwrap();
    assert_eq!(ordinary.query("SHOW weir.last_route").as_deref(), Some("weir - local"));
}

#[test]
fn replication_counts_as_a_client_and_takes_no_server_of_a_pool() {
    let config = pool(&[("default_pool_size", "1"), ("max_client_conn", "3")]);
    let (_cluster, weir) = replicating(0, &config);
    let (mut one, mut two) = (physical(&weir), physical(&weir));
    let mut ordinary = Raw::login(weir.port(), "app", &[]).unwrap();
    assert_eq!(ordinary.query("SELECT 1").as_deref(), Some("1"));
    assert_eq!(refused(&weir, "app", &[("replication", "true")]).0, "53300");
    for raw in [&mut one, &mut two] {
        assert_eq!(tags(&raw.talk(&query("IDENTIFY_SYSTEM"))), "TDCZ");
    }
    drop(one);
    eventually("its place is free", SOON, || Raw::login(weir.port(), "app", &[]).is_ok());
}

#[test]
fn without_a_primary_replication_is_refused_after_the_hold() {
    let (cluster, weir) = replicating(1, &pool(&[("failover_hold", "300ms")]));
    cluster.primary().stop(Stop::Fast).unwrap();
    eventually("the primary is missed", SOON, || weir.primary().is_none());
    let (code, message, _) = refused(&weir, "app", &[("replication", "true")]);
    assert_eq!(code, "53000", "{message}");
    assert!(message.contains("no primary"), "{message}");
}

#[test]
fn a_shutdown_ends_replication_with_a_word() {
    let (cluster, mut weir) = replicating(0, &Config::default());
    let mut idle = physical(&weir);
    let mut streaming = physical(&weir);
    let at = row(&streaming.talk(&query("IDENTIFY_SYSTEM")))[2].clone();
    streaming.send(&query(&format!("START_REPLICATION {at}")));
    assert_eq!(streaming.message().unwrap().tag, wire::tag::COPY_BOTH);
    cluster.primary().psql("CREATE TABLE t AS SELECT generate_series(1, 300000)").unwrap();
    weir.signal("TERM");
    for raw in [&mut idle, &mut streaming] {
        let text = shown_out(raw);
        assert!(text.contains("shutting down"), "{text}");
    }
    assert!(weir.wait_ended(SOON), "{}", weir.log());
    eventually("no server is left", SOON, || senders(cluster.primary()) == 0);
    assert!(!weir.log().contains("panicked"), "{}", weir.log());
}

#[test]
fn another_primary_ends_replication_with_a_word() {
    let (cluster, weir) = replicating(1, &Config::default());
    let (old, heir) = (cluster.primary().clone(), cluster.replicas()[0].clone());
    let mut raw = physical(&weir);
    cluster.wait_caught_up(&heir, SOON).unwrap();
    // The old primary goes on, as when the network between them is cut.
    heir.promote().unwrap();
    let text = shown_out(&mut raw);
    assert!(text.contains("the primary changed"), "{text}");
    eventually("its server is closed", SOON, || senders(&old) == 0);
    let mut next = physical(&weir);
    assert_eq!(row(&next.talk(&query("IDENTIFY_SYSTEM")))[1], "2", "the new timeline");
}

#[test]
fn a_client_that_does_not_read_costs_no_memory() {
    let (_cluster, weir) = replicating(0, &Config::default());
    let mut raw = Raw::login(weir.port(), "app", &[("replication", "database")]).unwrap();
    let before = weir.resident();
    raw.send(&query("SELECT repeat('x', 1000) FROM generate_series(1, 100000)"));
    let first = raw.message().unwrap();
    assert_eq!(first.tag, wire::tag::ROW_DESCRIPTION);
    std::thread::sleep(Duration::from_millis(500));
    let rows = raw.until_ready().iter().filter(|row| row.tag == wire::tag::DATA_ROW).count();
    assert_eq!(rows, 100_000);
    let grown = weir.peak_resident().saturating_sub(before);
    assert!(grown < 8 << 20, "resident memory grew by {grown} bytes");
}

#[test]
fn a_client_that_is_killed_leaves_no_server_behind() {
    let (cluster, weir) = replicating(0, &Config::default());
    let folder = weir.folder().join("wal");
    std::fs::create_dir(&folder).unwrap();
    let mut receive = weir.program("pg_receivewal");
    receive.arg("-D").arg(&folder).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = receive.spawn().unwrap();
    eventually("it streams", SOON, || senders(cluster.primary()) == 1);
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("its server is gone", SOON, || senders(cluster.primary()) == 0);
    drop(weir);
}
