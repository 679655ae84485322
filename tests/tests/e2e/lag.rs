//! How old does Weir say that a replica is, how old is it, and what would others say?
//!
//! The truth is measured with rows whose commits were timed: a replica is as old as the first
//! commit that it lacks. Weir may never say less.

mod bounds;
mod clock;
mod marks;
mod missing;
mod row;
mod situations;
mod stage;

use std::time::Duration;

use row::{Promise, Row};
use stage::{INTERVAL, Stage};

#[tokio::test]
async fn an_idle_primary_makes_nobody_late() {
    let row = situations::idle().await;
    assert!(
        row.reading().since_commit > Some(3.0),
        "the other measure is not fooled: {}",
        row.line()
    );
}

#[tokio::test]
async fn a_replica_that_keeps_up_is_two_probe_intervals_old_at_most() {
    situations::busy().await;
}

#[tokio::test]
async fn wal_that_no_commit_needs_makes_nobody_late() {
    situations::unflushed().await;
}

#[tokio::test]
async fn a_flush_that_ends_within_a_record_makes_nobody_late() {
    situations::half_flushed().await;
}

#[tokio::test]
async fn a_flush_that_ends_within_a_record_makes_nobody_fresher() {
    situations::half_flushed_at_once().await;
}

#[tokio::test]
async fn a_paused_replica_ages() {
    situations::paused().await;
}

#[tokio::test]
async fn a_replica_without_a_receiver_ages() {
    situations::receiver_dead().await;
}

#[tokio::test]
async fn a_replica_that_never_had_a_receiver_in_sight_is_unknown() {
    situations::receiver_dead_at_start().await;
}

#[tokio::test]
async fn a_standby_that_goes_on_from_the_archive_is_measured() {
    situations::archive_only().await;
}

#[tokio::test]
async fn a_standby_that_only_reads_the_archive_is_unknown() {
    situations::archive_only_at_start().await;
}

#[tokio::test]
async fn a_standby_that_delays_replay_is_as_old_as_it_says() {
    situations::delayed().await;
}

#[tokio::test]
async fn a_standby_of_a_standby_is_measured_like_any_other() {
    situations::cascading().await;
}

#[tokio::test]
async fn a_standby_of_a_standby_that_gets_nothing_ages() {
    situations::cascading_cut().await;
}

#[tokio::test]
async fn a_burst_after_a_quiet_time_counts_from_its_beginning() {
    situations::burst().await;
}

#[tokio::test]
async fn weirs_wall_clock_is_not_looked_at() {
    clock::jumped().await;
}

#[tokio::test]
async fn a_replicas_wall_clock_is_not_looked_at() {
    let row = clock::wrong_on_the_replica().await;
    assert!(row.reading().since_commit > Some(3_500.0), "its clock is right: {}", row.line());
}

/// The primary answers what it was asked long ago; Weir hears it even later.
#[tokio::test]
async fn an_answer_is_as_old_as_its_question() {
    let stage = Stage::new(1).await;
    let replica = stage.replica();
    let primary = stage.cluster.primary();
    // Both the probe and the answer must be under way: Weir is halted after asking and before hearing.
    primary.freeze().unwrap();
    tokio::time::sleep(INTERVAL * 2).await;
    stage.weir.signal("STOP");
    primary.thaw().unwrap();
    stage.caught_up();
    replica.pause_replay().unwrap();
    let writing = stage.marks.keep_putting(Duration::from_millis(20));
    stage.wait_behind(&replica, Duration::from_secs(1)).await;
    stage.weir.signal("CONT");
    let readings = stage.watch(&replica, 7).await;
    writing.stop().await;
    Row::judge("An answer under way", Promise::NotBelow, &readings, "");
}

/// All of the above as a table for docs/lag.md, in target/lag.md.
#[tokio::test]
#[ignore = "prints what the others check, one after another: a minute"]
async fn the_table_of_the_manual() {
    let rows = [
        situations::idle().await,
        situations::busy().await,
        situations::burst().await,
        situations::unflushed().await,
        situations::half_flushed().await,
        situations::half_flushed_at_once().await,
        situations::paused().await,
        situations::delayed().await,
        situations::receiver_dead().await,
        situations::receiver_dead_at_start().await,
        situations::archive_only().await,
        situations::archive_only_at_start().await,
        situations::cascading().await,
        situations::cascading_cut().await,
        clock::wrong_on_the_replica().await,
        clock::jumped().await,
    ];
    let head = "| situation | truth | Weir | `now()` − last replayed commit | receive = replay | what is wrong with them |\n\
                |---|---|---|---|---|---|\n";
    let lines: Vec<String> = rows.iter().map(Row::line).collect();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/lag.md");
    std::fs::write(file, format!("{head}{}\n", lines.join("\n"))).unwrap();
}
