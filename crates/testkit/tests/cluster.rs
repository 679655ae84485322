//! What a cluster is like once it is up.

use std::time::{Duration, Instant};

use testkit::{Cluster, Error};

const SOON: Duration = Duration::from_secs(10);

#[expect(clippy::disallowed_methods, reason = "servers keep real time")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn a_primary_and_two_streaming_replicas_are_up_within_ten_seconds() {
    drop(Cluster::builder().start().unwrap()); // the template may have to be made first
    let begun = now();
    let cluster = Cluster::builder().replicas(2).start().unwrap();
    let taken = begun.elapsed();

    let streams = "SELECT application_name, state, slot_name \
                   FROM pg_stat_replication JOIN pg_replication_slots ON active_pid = pid \
                   ORDER BY 1";
    assert_eq!(cluster.primary().psql(streams).unwrap(), "b|streaming|b\nc|streaming|c");
    assert!(taken < SOON, "{taken:?}");
}

#[test]
fn what_the_primary_commits_can_be_read_on_every_replica() {
    let cluster = Cluster::builder().replicas(2).start().unwrap();
    cluster.primary().psql("CREATE TABLE t (id int); INSERT INTO t VALUES (42)").unwrap();
    for replica in cluster.replicas() {
        cluster.wait_caught_up(replica, SOON).unwrap();
        assert_eq!(replica.psql("SELECT id FROM t").unwrap(), "42");
        assert!(replica.is_in_recovery().unwrap());
    }
    assert!(!cluster.primary().is_in_recovery().unwrap());
}

/// Hint bits go to the WAL; an aborted read has nobody flush them, and the WAL writer by itself writes whole pages only.
#[test]
fn a_replica_is_caught_up_although_a_read_was_rolled_back() {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let primary = cluster.primary();
    let rows = "SELECT n, repeat('x', 500) FROM generate_series(1, 100) n";
    primary.psql(&format!("CREATE TABLE t AS {rows}; CHECKPOINT")).unwrap();
    primary.psql("BEGIN READ ONLY; SELECT count(*) FROM t; ROLLBACK").unwrap();
    let stuck = "SELECT pg_current_wal_flush_lsn() < pg_current_wal_insert_lsn() \
                 AND (pg_current_wal_flush_lsn() - '0/0') % 8192 = 0";
    let since = now();
    while primary.psql(stuck).unwrap() != "t" {
        assert!(since.elapsed() < SOON, "the flush position never stands at the end of a page");
    }
    cluster.wait_caught_up(cluster.replicas()[0], Duration::from_secs(5)).unwrap();
}

#[test]
fn two_clusters_have_nothing_in_common() {
    let clusters = [(); 2].map(|()| Cluster::builder().replicas(1).start().unwrap());
    let identity = "SELECT system_identifier FROM pg_control_system()";
    let [one, two] = &clusters;
    let of = |cluster: &Cluster| {
        cluster.nodes().iter().map(|n| n.psql(identity).unwrap()).collect::<Vec<_>>()
    };
    let (ones, twos) = (of(one), of(two));
    assert_eq!(ones[0], ones[1]);
    assert_ne!(ones[0], twos[0]);
    assert_ne!(one.folder(), two.folder());
    assert!(one.nodes().iter().all(|n| two.nodes().iter().all(|m| m.port() != n.port())));
}

#[test]
fn threads_of_one_process_start_and_drop_clusters_at_once() {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2 {
                    let cluster = Cluster::builder().start().unwrap();
                    assert_eq!(cluster.primary().psql("SELECT 1").unwrap(), "1");
                }
            });
        }
    });
}

#[test]
fn its_own_wal_is_still_read_after_a_crash() {
    // The identifier is stamped into WAL too: recovery would refuse foreign pages.
    let cluster = Cluster::builder().start().unwrap();
    let a = cluster.primary();
    a.psql("CREATE TABLE t AS SELECT generate_series(1, 10000)").unwrap();
    a.kill().unwrap();
    assert!(!a.is_running());
    a.start().unwrap();
    assert_eq!(a.psql("SELECT count(*) FROM t").unwrap(), "10000");
}

#[tokio::test]
async fn every_role_logs_in_by_the_method_it_is_there_for() {
    let cluster = Cluster::builder().superuser_password("it's secret").start().unwrap();
    let a = cluster.primary();
    for user in ["postgres", "app", "weir_monitor", "md5user", "plainuser"] {
        let client = a.connect(user, "app").await.unwrap();
        let row = client.query_one("SELECT current_user::text", &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), user);
    }
    let methods = "SELECT user_name[1] || ' ' || auth_method FROM pg_hba_file_rules \
                   WHERE type = 'host' AND NOT 'replication' = ANY (database) ORDER BY line_number";
    let rules = a.psql(methods).unwrap();
    assert_eq!(rules, "plainuser password\nmd5user md5\nall scram-sha-256");
    let stored = "SELECT left(rolpassword, 3) FROM pg_authid WHERE rolname IN ('md5user', 'app') \
                  ORDER BY rolname";
    assert_eq!(a.psql(stored).unwrap(), "SCR\nmd5");
}

#[tokio::test]
async fn a_wrong_password_is_refused_unless_everybody_is_trusted() {
    for (builder, welcome) in [(Cluster::builder(), false), (Cluster::builder().trust(), true)] {
        let cluster = builder.start().unwrap();
        let mut config = cluster.primary().config_for("app", "app");
        let answer = config.password("wrong").connect(tokio_postgres::NoTls).await;
        assert_eq!(answer.is_ok(), welcome);
    }
}

#[test]
fn the_owner_of_app_may_make_tables_there_and_the_monitor_sees_the_standbys() {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let a = cluster.primary();
    a.psql_in("app", "SET ROLE app; CREATE TABLE t (id int)").unwrap();
    let seen = "SET ROLE weir_monitor; SELECT count(replay_lsn) FROM pg_stat_replication";
    assert_eq!(a.psql(seen).unwrap(), "1");
}

#[test]
fn a_setting_of_the_test_wins_on_all_nodes() {
    let cluster = Cluster::builder()
        .replicas(1)
        .setting("wal_level", "logical")
        .setting("max_connections", "33")
        .start()
        .unwrap();
    for node in cluster.nodes() {
        assert_eq!(node.psql("SHOW wal_level; SHOW max_connections").unwrap(), "logical\n33");
    }
}

#[test]
fn a_synchronous_commit_waits_for_a_replica() {
    let mut cluster = Cluster::builder().replicas(2).synchronous(1).start().unwrap();
    let a = cluster.primary().clone();
    assert_eq!(a.psql("SHOW synchronous_standby_names").unwrap(), "ANY 1 (b, c)");
    a.psql("CREATE TABLE t (id int)").unwrap();
    for replica in cluster.replicas() {
        replica.kill().unwrap();
    }
    let writer = a.clone();
    let insert = std::thread::spawn(move || writer.psql("INSERT INTO t VALUES (1)"));
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    while a.psql(waiting).unwrap() == "0" {} // nobody is left to confirm

    cluster.nodes()[1].start().unwrap();
    insert.join().unwrap().unwrap();
    cluster.add_replica().unwrap();
    assert_eq!(a.psql("SHOW synchronous_standby_names").unwrap(), "ANY 1 (b, c, d)");
}

#[test]
fn tls_is_offered_with_a_certificate_that_the_ca_vouches_for() {
    let cluster = Cluster::builder().tls().start().unwrap();
    let a = cluster.primary();
    let ca = cluster.ca().unwrap();
    let login = |ca: &str| {
        let conninfo = a.conninfo("app", "app");
        std::process::Command::new(testkit::Binaries::find().unwrap().program("psql"))
            .arg(format!("{conninfo} sslmode=verify-full sslrootcert={ca}"))
            .args(["-XAtc", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"])
            .output()
            .unwrap()
    };
    let vouched = login(&ca.to_string_lossy());
    assert_eq!(String::from_utf8_lossy(&vouched.stdout).trim(), "t", "{vouched:?}");
    let other = Cluster::builder().tls().start().unwrap();
    assert!(!login(&other.ca().unwrap().to_string_lossy()).status.success());
}

#[test]
fn failing_sql_is_told_in_the_servers_words() {
    let cluster = Cluster::builder().start().unwrap();
    let refusal = cluster.primary().psql("SELECT 1/0; SELECT 2").unwrap_err().to_string();
    assert!(refusal.contains("division by zero"), "{refusal}");
}

#[test]
fn a_setting_that_no_server_knows_is_told_with_the_servers_log() {
    let refusal = Cluster::builder().setting("no_such_setting", "1").start().unwrap_err();
    assert!(matches!(refusal, Error::NotStarted { .. }));
    assert!(refusal.to_string().contains("no_such_setting"), "{refusal}");
}

#[test]
fn a_folder_with_something_in_it_is_left_alone() {
    let folder = std::env::temp_dir().join(format!("testkit-occupied-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("precious"), "").unwrap();
    let refusal = Cluster::builder().dir(&folder).start().unwrap_err();
    assert!(folder.join("precious").exists());
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(matches!(refusal, Error::FolderInUse { .. }), "{refusal}");
}
