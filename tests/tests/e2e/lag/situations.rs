//! The situations, one function each: it comes about, is looked at, and is judged.

use std::time::Duration;

use testkit::Cluster;
use tokio_postgres::Client;
use weir_tests::{Config, Weir, now};

use super::row::{Promise, Row};
use super::stage::{INTERVAL, SOON, Stage};
use crate::WEIR;

/// Between two marks.
const PACE: Duration = Duration::from_millis(20);

/// How often a situation is looked at; about a second.
const LOOKS: usize = 21;

/// For how long nobody writes.
const IDLE: Duration = Duration::from_secs(3);

/// How far behind a replica shall be.
const BEHIND: Duration = Duration::from_secs(1);

pub(super) async fn idle() -> Row {
    let stage = Stage::new(1).await;
    tokio::time::sleep(IDLE).await;
    let readings = stage.watch(&stage.replica(), LOOKS).await;
    let why = "The last commit is old because there is none since: nothing is missing.";
    Row::judge("Nobody writes for 3 s", Promise::Within(1), &readings, why)
}

pub(super) async fn busy() -> Row {
    let stage = Stage::new(1).await;
    let _writing = stage.marks.keep_putting(PACE);
    let readings = stage.watch(&stage.replica(), LOOKS).await;
    let why = "Nothing, here.";
    Row::judge("Steady writes, the replica keeps up", Promise::Within(2), &readings, why)
}

/// The WAL writer sleeps, and nobody commits.
pub(super) async fn unflushed() -> Row {
    let stage = Stage::new(1).await;
    let slow = "ALTER SYSTEM SET wal_writer_delay = '10s'; SELECT pg_reload_conf()";
    stage.cluster.primary().psql(slow).unwrap();
    let _open = open_transaction(&stage, 1, Duration::ZERO).await;
    tokio::time::sleep(IDLE).await;
    let ahead = "SELECT pg_current_wal_insert_lsn() > pg_current_wal_flush_lsn()";
    assert_eq!(stage.cluster.primary().psql(ahead).unwrap(), "t", "nothing is unflushed");
    let readings = stage.watch(&stage.replica(), LOOKS).await;
    let why = "As when idle. Who compares with the primary's insert position sees bytes that no commit needs.";
    let name = "An open transaction, its WAL not flushed";
    Row::judge(name, Promise::Within(1), &readings, why)
}

/// A transaction that has written so many rows of 200 bytes, and thinks.
async fn open_transaction(stage: &Stage, rows: u32, quiet: Duration) -> Client {
    let client = stage.cluster.primary().connect("app", "app").await.unwrap();
    client.batch_execute("CREATE TABLE open (id int, filler text)").await.unwrap();
    tokio::time::sleep(quiet).await;
    let insert = format!(
        "BEGIN; INSERT INTO open SELECT id, repeat('x', 200) FROM generate_series(1, {rows}) id"
    );
    client.batch_execute(&insert).await.unwrap();
    client
}

/// The WAL writer flushes whole pages, and the last one ends within a record.
pub(super) async fn half_flushed() -> Row {
    let stage = Stage::new(1).await;
    let _open = open_transaction(&stage, 90, INTERVAL * 2).await;
    tokio::time::sleep(IDLE).await;
    assert!(ends_within_a_record(&stage), "all is flushed");
    let readings = stage.watch(&stage.replica(), LOOKS).await;
    let why = "Nothing is missing, and yet both say so: the flushed WAL ends within a record, which nobody can replay.";
    let name = "An open transaction, its WAL flushed in part";
    Row::judge(name, Promise::Within(1), &readings, why)
}

/// The same right behind a commit: Weir sees both with one probe, and can't tell them apart.
pub(super) async fn half_flushed_at_once() -> Row {
    let stage = Stage::new(1).await;
    let _open = open_transaction(&stage, 90, Duration::ZERO).await;
    tokio::time::sleep(IDLE).await;
    assert!(ends_within_a_record(&stage), "all is flushed");
    let readings = stage.watch(&stage.replica(), LOOKS).await;
    let why = "As above. Weir may say more than the truth here, until a transaction ends.";
    let name = "The same, begun right after a commit";
    Row::judge(name, Promise::NotBelow, &readings, why)
}

/// Whether the primary has flushed up to a page's end that no replica gets to.
fn ends_within_a_record(stage: &Stage) -> bool {
    let flushed = stage.cluster.primary().psql("SELECT pg_current_wal_flush_lsn()").unwrap();
    let behind = format!("SELECT pg_last_wal_replay_lsn() < '{flushed}'");
    stage.replica().psql(&behind).unwrap() == "t"
}

pub(super) async fn paused() -> Row {
    let stage = Stage::new(1).await;
    let _writing = stage.marks.keep_putting(PACE);
    let replica = stage.replica();
    replica.pause_replay().unwrap();
    stage.wait_behind(&replica, BEHIND).await;
    let readings = stage.watch(&replica, LOOKS).await;
    let why = "Nothing, as long as somebody writes all the time.";
    Row::judge("Replay paused under steady writes", Promise::Within(1), &readings, why)
}

pub(super) async fn receiver_dead() -> Row {
    let stage = Stage::new(1).await;
    let _writing = stage.marks.keep_putting(PACE);
    let replica = stage.replica();
    replica.cut_off().unwrap();
    stage.wait_behind(&replica, BEHIND).await;
    let readings = stage.watch(&replica, LOOKS).await;
    assert!(readings.iter().all(|reading| reading.all_replayed == Some(true)), "{readings:#?}");
    let why = "All that was received is replayed, but nothing is received any more: who takes `true` for zero lag reads \
               ever older data.";
    Row::judge("Receiver dead", Promise::Within(1), &readings, why)
}

/// Weir has not seen the standby with a receiver, so it can't know its timeline.
pub(super) async fn receiver_dead_at_start() -> Row {
    let mut stage = Stage::new(1).await;
    let _writing = stage.marks.keep_putting(PACE);
    let replica = stage.replica();
    replica.cut_off().unwrap();
    stage.weir = Weir::launch(WEIR, &stage.cluster, &Config::default());
    stage.wait_known(&replica);
    stage.wait_behind(&replica, BEHIND).await;
    let readings = stage.watch(&replica, LOOKS).await;
    let why = "As above. Weir knows positions only together with their timeline, and only a receiver tells it: the \
               standby serves nothing.";
    let name = "Receiver dead since before Weir started";
    Row::judge(name, Promise::Unknown, &readings, why)
}

pub(super) async fn archive_only() -> Row {
    let stage = Stage::of(Cluster::builder().replicas(1).archive(), &Config::default()).await;
    let _writing = stage.marks.keep_putting(PACE);
    let replica = stage.replica();
    replica.restore_from_archive().unwrap();
    stage.wait_behind(&replica, BEHIND).await;
    // A segment comes: it catches up with what is in it, and falls behind again.
    stage.cluster.primary().psql("SELECT pg_switch_wal()").unwrap();
    stage.wait_fresher(&replica, BEHIND).await;
    let readings = stage.watch(&replica, LOOKS).await;
    let why = "The received position stands where streaming ended, so it is never equal again and says nothing.";
    let name = "Standby that goes on from the archive";
    Row::judge(name, Promise::Within(1), &readings, why)
}

pub(super) async fn archive_only_at_start() -> Row {
    let mut stage = Stage::of(Cluster::builder().replicas(1).archive(), &Config::default()).await;
    let replica = stage.replica();
    replica.restore_from_archive().unwrap();
    replica.restart().unwrap();
    let _writing = stage.marks.keep_putting(PACE);
    stage.weir = Weir::launch(WEIR, &stage.cluster, &Config::default());
    stage.wait_known(&replica);
    stage.wait_behind(&replica, BEHIND).await;
    let readings = stage.watch(&replica, LOOKS).await;
    let why =
        "Nothing was ever received. Weir does not know the standby's timeline: it serves nothing.";
    let name = "Archive-only standby since before Weir started";
    Row::judge(name, Promise::Unknown, &readings, why)
}

pub(super) async fn delayed() -> Row {
    let stage = Stage::new(1).await;
    let replica = stage.replica();
    replica.delay_replay(2 * BEHIND).unwrap();
    let _writing = stage.marks.keep_putting(PACE);
    stage.wait_behind(&replica, BEHIND * 3 / 2).await;
    let readings = stage.watch(&replica, LOOKS).await;
    let why = "Nothing, as long as somebody writes all the time.";
    Row::judge("`recovery_min_apply_delay = 2s`", Promise::Within(2), &readings, why)
}

pub(super) async fn cascading() -> Row {
    let stage = Stage::new(2).await;
    let (middle, last) = (stage.replica(), stage.cluster.replicas()[1].clone());
    last.follow(&middle).unwrap();
    let _writing = stage.marks.keep_putting(PACE);
    let readings = stage.watch(&last, LOOKS).await;
    let why = "Nothing, here.";
    Row::judge("Standby of a standby, keeping up", Promise::Within(2), &readings, why)
}

pub(super) async fn cascading_cut() -> Row {
    let stage = Stage::new(2).await;
    let (middle, last) = (stage.replica(), stage.cluster.replicas()[1].clone());
    last.follow(&middle).unwrap();
    let _writing = stage.marks.keep_putting(PACE);
    middle.cut_off().unwrap();
    stage.wait_behind(&last, BEHIND).await;
    let readings = stage.watch(&last, LOOKS).await;
    let streams = "SELECT status FROM pg_stat_wal_receiver";
    assert_eq!(last.psql(streams).unwrap(), "streaming");
    assert!(readings.iter().all(|reading| reading.all_replayed == Some(true)), "{readings:#?}");
    let why = "Its own receiver streams, from a standby that gets nothing: even a look at `pg_stat_wal_receiver` finds \
               nothing wrong.";
    let name = "Standby of a standby that was cut off";
    Row::judge(name, Promise::Within(1), &readings, why)
}

/// The replica stands still when the first write in a while comes.
pub(super) async fn burst() -> Row {
    let stage = Stage::new(1).await;
    let replica = stage.replica();
    tokio::time::sleep(IDLE).await;
    replica.pause_replay().unwrap();
    let since = now();
    let writing = stage.marks.keep_putting(Duration::ZERO);
    let readings = stage.watch(&replica, 7).await;
    assert!(since.elapsed() < SOON);
    writing.stop().await;
    replica.resume_replay().unwrap();
    stage.caught_up();
    let why = "The age of the last commit jumps to the length of the quiet time, and a replica that lacks some \
               milliseconds is thrown out.";
    let name = "3 s quiet, then a burst that is not replayed yet";
    Row::judge(name, Promise::Within(1), &readings, why)
}
