//! What a test can do to a cluster, and that it is really done.

use std::time::Duration;

use testkit::{Cluster, Error, Stop};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_paused_replica_stays_in_the_past_until_it_is_resumed() {
    let cluster = Cluster::builder().replicas(2).start().unwrap();
    let (a, b, c) = (cluster.primary(), &cluster.nodes()[1], &cluster.nodes()[2]);
    a.psql("CREATE TABLE t (id int)").unwrap();
    cluster.wait_caught_up(b, SOON).unwrap();

    b.pause_replay().unwrap();
    a.psql("INSERT INTO t VALUES (1)").unwrap();
    cluster.wait_caught_up(c, SOON).unwrap();
    assert_eq!(c.psql("SELECT count(*) FROM t").unwrap(), "1");
    assert_eq!(b.psql("SELECT count(*) FROM t").unwrap(), "0");
    let late = cluster.wait_caught_up(b, Duration::from_millis(50));
    assert!(matches!(late, Err(Error::Timeout { .. })));

    b.resume_replay().unwrap();
    cluster.wait_caught_up(b, SOON).unwrap();
    assert_eq!(b.psql("SELECT count(*) FROM t").unwrap(), "1");
}

#[test]
fn a_replica_that_is_cut_off_keeps_what_it_received_until_it_follows_again() {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let (a, b) = (cluster.primary(), &cluster.nodes()[1]);
    a.psql("CREATE TABLE t (id int)").unwrap();
    cluster.wait_caught_up(b, SOON).unwrap();

    b.cut_off().unwrap();
    a.psql("INSERT INTO t VALUES (1)").unwrap();
    let late = cluster.wait_caught_up(b, Duration::from_millis(200));
    assert!(matches!(late, Err(Error::Timeout { .. })));
    let done = "SELECT pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()";
    assert_eq!(b.psql(done).unwrap(), "t");

    b.follow(a).unwrap();
    cluster.wait_caught_up(b, SOON).unwrap();
    assert_eq!(b.psql("SELECT count(*) FROM t").unwrap(), "1");
}

#[test]
fn a_standby_that_reads_the_archive_gets_whole_segments() {
    let cluster = Cluster::builder().replicas(1).archive().start().unwrap();
    let (a, b) = (cluster.primary(), &cluster.nodes()[1]);
    a.psql("CREATE TABLE t (id int)").unwrap();
    cluster.wait_caught_up(b, SOON).unwrap();

    b.restore_from_archive().unwrap();
    a.psql("INSERT INTO t VALUES (1)").unwrap();
    let late = cluster.wait_caught_up(b, Duration::from_millis(200));
    assert!(matches!(late, Err(Error::Timeout { .. })));
    let end = a.psql("SELECT pg_current_wal_insert_lsn()").unwrap();
    a.psql("SELECT pg_switch_wal()").unwrap();
    let past = format!("SELECT pg_last_wal_replay_lsn() >= '{end}'");
    let mut tries = 0..2_000;
    while b.psql(&past).unwrap() != "t" {
        assert!(tries.next().is_some(), "{}", b.log().unwrap());
    }
    assert_eq!(b.psql("SELECT count(*) FROM t").unwrap(), "1");
    assert_eq!(b.psql("SELECT count(*) FROM pg_stat_wal_receiver").unwrap(), "0");
}

#[test]
fn a_replica_that_delays_replay_shows_a_commit_later() {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let (a, b) = (cluster.primary(), &cluster.nodes()[1]);
    a.psql("CREATE TABLE t (id int)").unwrap();
    cluster.wait_caught_up(b, SOON).unwrap();
    b.delay_replay(Duration::from_secs(3600)).unwrap();
    let delayed = (0..1_000).any(|_| {
        a.psql("INSERT INTO t VALUES (1)").unwrap();
        cluster.wait_caught_up(b, Duration::from_millis(500)).is_err()
    });
    assert!(delayed, "every commit is replayed at once");
    b.delay_replay(Duration::ZERO).unwrap();
    cluster.wait_caught_up(b, SOON).unwrap();
}

#[test]
fn a_frozen_server_answers_nobody_until_it_is_thawed() {
    let cluster = Cluster::builder().start().unwrap();
    let a = cluster.primary();
    a.freeze().unwrap();
    let other = a.clone();
    let (said, heard) = std::sync::mpsc::channel();
    let asking = std::thread::spawn(move || said.send(other.psql("SELECT 1").unwrap()));
    assert!(heard.recv_timeout(Duration::from_millis(500)).is_err());
    assert!(a.is_running());
    a.thaw().unwrap();
    assert_eq!(heard.recv_timeout(SOON).unwrap(), "1");
    asking.join().unwrap().unwrap();
}

#[test]
fn a_killed_primary_is_replaced_and_rejoins_without_its_lost_writes() {
    let cluster = Cluster::builder().replicas(2).start().unwrap();
    let [a, b, c] = cluster.nodes() else { panic!("three nodes") };
    a.psql("CREATE TABLE t (id int); INSERT INTO t VALUES (1)").unwrap();
    cluster.wait_caught_up(b, SOON).unwrap();
    b.stop(Stop::Immediate).unwrap();
    c.kill().unwrap();
    a.psql("INSERT INTO t VALUES (2)").unwrap(); // reaches no replica
    a.kill().unwrap();
    assert!(a.psql("SELECT 1").is_err());

    b.start().unwrap();
    b.promote().unwrap();
    assert_eq!(cluster.primary().name(), "b");
    b.psql("INSERT INTO t VALUES (3)").unwrap();
    c.follow(b).unwrap();
    a.rejoin(b).unwrap();
    for replica in cluster.replicas() {
        cluster.wait_caught_up(replica, SOON).unwrap();
        assert_eq!(replica.psql("SELECT id FROM t ORDER BY id").unwrap(), "1\n3");
    }
}

#[test]
fn a_replica_follows_another_without_a_restart_and_back() {
    let cluster = Cluster::builder().replicas(2).start().unwrap();
    let [a, b, c] = cluster.nodes() else { panic!("three nodes") };
    let started = "SELECT pg_postmaster_start_time()";
    let before = c.psql(started).unwrap();
    for upstream in [b, a] {
        c.follow(upstream).unwrap();
        a.psql("CREATE TABLE IF NOT EXISTS t (id int)").unwrap();
        cluster.wait_caught_up(c, SOON).unwrap();
        let port = c.psql("SELECT sender_port FROM pg_stat_wal_receiver").unwrap();
        assert_eq!(port, upstream.port().to_string());
    }
    assert_eq!(c.psql(started).unwrap(), before);
}

#[test]
fn a_cleanly_stopped_primary_becomes_a_standby_of_its_successor() {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let [a, b] = cluster.nodes() else { panic!("two nodes") };
    a.stop(Stop::Fast).unwrap(); // a standby that streams gets all of it first
    b.promote().unwrap();
    a.follow(b).unwrap();
    b.psql("CREATE TABLE t AS SELECT 7 AS id").unwrap();
    cluster.wait_caught_up(a, SOON).unwrap();
    assert_eq!(a.psql("SELECT id FROM t").unwrap(), "7");
}

#[test]
fn a_replica_can_be_added_while_the_cluster_runs() {
    let mut cluster = Cluster::builder().replicas(1).start().unwrap();
    cluster.primary().psql("CREATE TABLE t AS SELECT 7 AS id").unwrap();
    let added = cluster.add_replica().unwrap().clone();
    assert_eq!(added.name(), "c");
    cluster.wait_caught_up(&added, SOON).unwrap();
    assert_eq!(added.psql("SELECT id FROM t").unwrap(), "7");
    assert_eq!(cluster.replicas().len(), 2);
}

#[test]
fn a_kill_leaves_no_backend_of_the_server_alive() {
    let cluster = Cluster::builder().start().unwrap();
    let a = cluster.primary();
    let busy = a.clone();
    // Counts for hours and never looks whether its postmaster lives.
    let endless = "SELECT count(*) FROM generate_series(1, 100000), generate_series(1, 100000) x";
    let query = std::thread::spawn(move || busy.psql(endless));
    let find = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%100000%' \
                AND pid <> pg_backend_pid()";
    let pid = loop {
        let found = a.psql(find).unwrap();
        if !found.is_empty() {
            break found;
        }
    };
    a.kill().unwrap();
    assert!(query.join().unwrap().is_err());
    while std::path::Path::new(&format!("/proc/{pid}")).exists() {} // dying takes a moment

    a.start().unwrap();
    assert_eq!(a.psql("SELECT 1").unwrap(), "1");
}
