//! What is done to the nodes while sessions work; each makes sure that it was really done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use testkit::{Cluster, Node};
use weir_tests::{Raw, eventually, now};

use super::SOON;
use super::sessions::Work;

/// Reads during which each fault lasts.
const WHILE: u64 = 600;

/// Every fault, one after another.
pub(super) fn storm(cluster: &Cluster, work: &Work) {
    let primary = cluster.primary();
    let [one, other] = cluster.replicas()[..] else { panic!("two replicas") };
    work.wait_reads(WHILE);
    paused(primary, &[one], work);
    slowed(primary, other, work);
    for _ in 0..3 {
        receiver_killed(primary, one);
        work.wait_reads(WHILE / 6);
    }
    cut_off(primary, other, work);
    lazy(primary, work);
    paused(primary, &[one, other], work);
    work.wait_reads(WHILE);
}

fn paused(primary: &Node, replicas: &[&Node], work: &Work) {
    for replica in replicas {
        replica.pause_replay().unwrap();
        eventually("a paused replica falls behind", SOON, || behind(primary, replica));
    }
    work.wait_reads(WHILE);
    for replica in replicas {
        assert!(behind(primary, replica), "{} replayed while it was paused", replica.name());
        replica.resume_replay().unwrap();
    }
    for replica in replicas {
        wait_passed(replica, &flushed(primary));
    }
}

fn slowed(primary: &Node, replica: &Node, work: &Work) {
    let set = |sql| set(replica, sql);
    set("ALTER SYSTEM SET recovery_min_apply_delay = '250ms'");
    let shown = || replica.psql("SHOW recovery_min_apply_delay").unwrap();
    eventually("the delay is set", SOON, || shown() == "250ms");
    // What was under way when it was set may be through; what is written from now on is not.
    wait_passed(replica, &flushed(primary));
    let (since, target) = (now(), flushed(primary));
    wait_passed(replica, &target);
    let delay = since.elapsed();
    assert!(delay > Duration::from_millis(100), "replay is not slow: {delay:?}");
    work.wait_reads(WHILE);
    set("ALTER SYSTEM RESET recovery_min_apply_delay");
    wait_passed(replica, &flushed(primary));
}

/// Commits wait for nothing, by the configuration, and later do again.
fn lazy(primary: &Node, work: &Work) {
    let shown = || primary.psql("SHOW synchronous_commit").unwrap();
    set(primary, "ALTER SYSTEM SET synchronous_commit = off");
    eventually("commits wait for nothing", SOON, || shown() == "off");
    work.wait_reads(WHILE);
    set(primary, "ALTER SYSTEM RESET synchronous_commit");
    eventually("commits wait for the disk", SOON, || shown() == "on");
}

fn set(node: &Node, sql: &str) {
    node.psql(sql).unwrap();
    node.psql("SELECT pg_reload_conf()").unwrap();
}

/// The WAL receiver ends with its sender, and another takes its place.
fn receiver_killed(primary: &Node, replica: &Node) {
    let receiver = || replica.psql("SELECT pid FROM pg_stat_wal_receiver").unwrap();
    let (old, name) = (receiver(), replica.name());
    let kill = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE application_name = '{name}'"
    );
    assert_eq!(primary.psql(&kill).unwrap(), "t", "{name} has a sender");
    eventually("another receiver streams", SOON, || {
        let new = receiver();
        !new.is_empty() && new != old
    });
    wait_passed(replica, &flushed(primary));
}

/// No receiver at all: the replica stands where it stood, and nothing tells it so.
fn cut_off(primary: &Node, replica: &Node, work: &Work) {
    let receivers = || replica.psql("SELECT count(*) FROM pg_stat_wal_receiver").unwrap();
    let set = |sql| set(replica, sql);
    set("ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1 user=replicator'");
    eventually("no receiver is left", SOON, || receivers() == "0");
    eventually("a replica without a receiver falls behind", SOON, || behind(primary, replica));
    work.wait_reads(WHILE);
    assert!(behind(primary, replica), "{} replayed while it was cut off", replica.name());
    set("ALTER SYSTEM RESET primary_conninfo");
    eventually("a receiver streams again", SOON, || receivers() == "1");
    wait_passed(replica, &flushed(primary));
}

fn flushed(primary: &Node) -> String {
    primary.psql("SELECT pg_current_wal_flush_lsn()").unwrap()
}

/// Whether the replica has not replayed all that is flushed.
fn behind(primary: &Node, replica: &Node) -> bool {
    !passed(replica, &flushed(primary))
}

fn passed(replica: &Node, lsn: &str) -> bool {
    replica.psql(&format!("SELECT pg_last_wal_replay_lsn() >= '{lsn}'")).unwrap() == "t"
}

fn wait_passed(replica: &Node, lsn: &str) {
    eventually("a replica replays", SOON, || passed(replica, lsn));
}

/// Somebody else's open transaction, whose WAL is inserted and not flushed.
pub(super) struct OpenTransaction {
    over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<usize>>,
}

impl OpenTransaction {
    /// Writes, past Weir, in transactions that it takes back; a few rows at a time.
    pub(super) fn start(primary: &Node) -> Self {
        primary.psql_in("app", "CREATE TABLE held (words text)").unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let (ended, port) = (Arc::clone(&over), primary.port());
        let thread = thread::spawn(move || {
            let mut raw = Raw::login(port, "postgres", &[]).expect("a login");
            let mut unflushed = 0;
            while !ended.load(Ordering::SeqCst) {
                raw.query("BEGIN");
                for _ in 0..20 {
                    raw.query(
                        "INSERT INTO held SELECT repeat('x', 200) FROM generate_series(1, 7)",
                    );
                    let sql = "SELECT pg_current_wal_insert_lsn() > pg_current_wal_flush_lsn()";
                    unflushed += usize::from(raw.query(sql).as_deref() == Some("t"));
                    thread::sleep(Duration::from_millis(5));
                }
                raw.query("ROLLBACK");
                thread::sleep(Duration::from_millis(200));
            }
            unflushed
        });
        Self { over, thread: Some(thread) }
    }

    /// Ends it; how often its own WAL was seen beyond what was flushed.
    pub(super) fn end(mut self) -> usize {
        self.over.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}
