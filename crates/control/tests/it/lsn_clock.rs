//! An answered ticket covers the write that it was taken for.

use std::sync::Arc;

use policy::{Ticket, Topology};
use testkit::{Cluster, Node};

use crate::gate::Gate;
use crate::rig::{Plan, view};

fn has_passed(topology: &Topology, node: &Node, fence: policy::Fence) -> bool {
    view(topology, node.name()).position.is_some_and(|position| position.has_passed(fence))
}

#[tokio::test]
async fn a_replica_that_passed_a_tickets_fence_shows_its_write() {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let (primary, replicas) = (cluster.primary(), cluster.replicas());
    let replica = replicas[0];
    let mut rig = Plan::of(&cluster).start();
    rig.until_led_by(primary, &replicas).await;
    let writer = primary.connect("app", "app").await.unwrap();
    let reader = replica.connect("app", "app").await.unwrap();
    writer.batch_execute("CREATE TABLE t (id int)").await.unwrap();
    for id in 0..60_i32 {
        // An asynchronous commit is acknowledged before it is flushed: the fence must not be.
        let mode = if id % 6 == 0 { "off" } else { "on" };
        let sql = format!("SET synchronous_commit = {mode}; INSERT INTO t VALUES ({id})");
        writer.batch_execute(&sql).await.unwrap();
        let ticket = rig.take_ticket();
        let fence = rig.answer(ticket).await.fence();
        rig.until("replay up to the fence", |seen| has_passed(seen, replica, fence)).await;
        let rows = reader.query("SELECT FROM t WHERE id = $1", &[&id]).await.unwrap();
        assert_eq!(rows.len(), 1, "write {id} is missing behind {fence:?}; log:\n{}", rig.log());
    }
}

#[tokio::test]
async fn a_replica_is_probed_sooner_while_a_fence_waits_for_it() {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let (primary, replicas) = (cluster.primary(), cluster.replicas());
    let mut rig = Plan::of(&cluster).start();
    rig.until_led_by(primary, &replicas).await;
    let writer = primary.connect("app", "app").await.unwrap();
    writer.batch_execute("CREATE TABLE t (id int)").await.unwrap();
    let mut waits = Vec::new();
    for _ in 0..21 {
        writer.batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
        let begun = tokio::time::Instant::now();
        let ticket = rig.take_ticket();
        let fence = rig.answer(ticket).await.fence();
        rig.until("replay up to the fence", |seen| has_passed(seen, replicas[0], fence)).await;
        waits.push(begun.elapsed());
    }
    waits.sort();
    // At the idle pace half of them would wait for more than half of its pause.
    let idle = policy::cluster::Timing::default().probe_idle;
    assert!(waits[10] < idle / 4, "{waits:?}");
}

#[tokio::test]
async fn a_paused_replica_does_not_pass_the_fence_of_a_later_write() {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let (primary, replicas) = (cluster.primary(), cluster.replicas());
    let replica = replicas[0];
    let mut rig = Plan::of(&cluster).start();
    rig.until_led_by(primary, &replicas).await;
    replica.pause_replay().unwrap();
    primary.psql_in("app", "CREATE TABLE t (id int)").unwrap();
    let ticket = rig.take_ticket();
    let answer = rig.answer(ticket).await;
    let later = rig
        .until("a look after the answer", |seen| {
            view(seen, replica.name()).observed.is_some_and(|at| at > answer.sent)
        })
        .await;
    assert!(!has_passed(&later, replica, answer.fence()));
    replica.resume_replay().unwrap();
    rig.until("replay", |seen| has_passed(seen, replica, answer.fence())).await;
}

#[tokio::test]
async fn a_burst_of_tickets_shares_answers() {
    let cluster = Cluster::builder().start().unwrap();
    let mut rig = Plan::of(&cluster).start();
    let first = rig.answer(Ticket(0)).await;
    for _ in 0..100_000 {
        rig.take_ticket();
    }
    let last = *rig.tickets.borrow();
    let newest = rig.answer(last).await;
    assert_eq!(newest.through, last);
    let answers = Arc::clone(&rig.answers.borrow());
    let mut questions: Vec<_> =
        (0..=last.0).filter_map(|ticket| Some(answers.covering(Ticket(ticket))?.sent)).collect();
    questions.dedup();
    let millis = (newest.sent - first.sent).as_millis();
    let asked = u128::try_from(questions.len()).unwrap();
    assert!(asked <= millis + 1, "{asked} questions in {millis} ms");
}

/// Waits in the server until it has answered a question of the clock that came after `since`.
fn wait_for_question(node: &Node, since: &str) {
    let asked = format!(
        "SET statement_timeout = '20s'; DO $$ BEGIN
            WHILE NOT EXISTS (SELECT FROM pg_stat_activity
                WHERE application_name = 'weir_probe' AND state = 'idle' AND query_start > '{since}'
                  AND query LIKE '%pg_current_wal_insert_lsn%' AND query NOT LIKE '%standby%') LOOP
                PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
            END LOOP; END $$"
    );
    node.psql(&asked).unwrap();
}

#[tokio::test]
async fn a_ticket_taken_while_a_question_is_under_way_waits_for_the_next() {
    let cluster = Cluster::builder().start().unwrap();
    let primary = cluster.primary();
    let gate = Gate::new(primary);
    let mut plan = Plan::of(&cluster);
    plan.nodes = vec![gate.spec(primary)];
    let mut rig = plan.start();
    rig.answer(Ticket(0)).await;
    let writer = primary.connect("app", "app").await.unwrap();

    gate.hold();
    let since = primary.psql("SELECT clock_timestamp()").unwrap();
    let early = rig.take_ticket();
    wait_for_question(primary, &since);
    writer.batch_execute("CREATE TABLE t (id int)").await.unwrap();
    let late = rig.take_ticket();
    gate.open();

    let position: policy::Lsn =
        primary.psql("SELECT pg_current_wal_flush_lsn()").unwrap().parse().unwrap();
    let (first, second) = (rig.answer(early).await, rig.answer(late).await);
    assert_eq!(first.through, early, "the position was read before the later write");
    assert!(first.insert < position, "{first:?}");
    assert!(second.insert >= position, "{second:?} {position}");
}

#[tokio::test]
async fn tickets_taken_while_nobody_led_are_answered_by_the_next_primary() {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let (old, replicas) = (cluster.primary().clone(), cluster.replicas());
    let new = replicas[0].clone();
    let mut rig = Plan::of(&cluster).start();
    rig.until_led_by(&old, &replicas).await;
    let first = rig.take_ticket();
    let before = rig.answer(first).await;

    old.kill().unwrap();
    let in_the_gap = rig.take_ticket();
    new.promote().unwrap();
    let after = rig.answer(in_the_gap).await;
    assert!(after.epoch > before.epoch);
    assert!(after.timeline > before.timeline);
    assert_eq!(after.epoch, rig.now().epoch);
    assert!(rig.answers.borrow().covering(first).is_some_and(|answer| answer.epoch == after.epoch));
}

#[tokio::test]
async fn the_clock_comes_back_after_its_connection_was_ended() {
    let cluster = Cluster::builder().start().unwrap();
    let mut rig = Plan::of(&cluster).start();
    rig.answer(Ticket(0)).await;
    for _ in 0..3 {
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE application_name = 'weir_probe'";
        cluster.primary().psql(end).unwrap();
        let ticket = rig.take_ticket();
        assert!(rig.answer(ticket).await.through >= ticket);
    }
}
