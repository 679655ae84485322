//! How often each node is asked.

use std::time::Duration;

use super::stage::{Stage, standby, writable};
use crate::testing::ms;
use crate::topology::NodeId;

fn pause(stage: &Stage, node: u32) -> Duration {
    stage.cluster.probe_after(NodeId(node), stage.now)
}

#[test]
fn a_node_that_was_never_asked_is_asked_at_once() {
    assert_eq!(pause(&Stage::new(1), 0), ms(0));
}

#[test]
fn nodes_of_which_nothing_new_is_expected_are_asked_at_leisure() {
    let stage = Stage::led(2);
    assert_eq!((pause(&stage, 0), pause(&stage, 1)), (ms(250), ms(250)));
}

#[test]
fn a_replica_that_a_fence_waits_for_is_asked_often_and_then_ever_less() {
    let mut stage = Stage::led(2);
    stage.answers(1, 1100);
    assert_eq!((pause(&stage, 0), pause(&stage, 1)), (ms(250), ms(2)));
    let mut pauses = Vec::new();
    for _ in 0..16 {
        let pause = pause(&stage, 1);
        pauses.push(pause.as_millis());
        stage.wait(pause);
    }
    assert_eq!(pauses, [2, 2, 2, 3, 4, 6, 10, 15, 22, 34, 51, 76, 115, 172, 250, 250]);
}

#[test]
fn a_replica_that_reached_the_fence_is_asked_at_leisure() {
    let mut stage = Stage::led(2);
    stage.answers(1, 1100);
    stage.says(1, standby(1, 1099));
    assert_eq!(pause(&stage, 1), ms(5));
    stage.says(1, standby(1, 1100));
    assert_eq!(pause(&stage, 1), ms(250));
}

#[test]
fn each_new_fence_hurries_the_replicas_that_keep_up() {
    let mut stage = Stage::led(3);
    stage.answers(1, 1100);
    stage.says(1, standby(1, 1050));
    stage.wait(ms(1000));
    assert_eq!((pause(&stage, 1), pause(&stage, 2)), (ms(250), ms(250)));
    stage.answers(1, 1200);
    assert_eq!(pause(&stage, 1), ms(2), "it moved");
    assert_eq!(pause(&stage, 2), ms(250), "it stands still, perhaps paused");
    stage.says(2, standby(1, 1060));
    stage.answers(1, 1300);
    assert_eq!(pause(&stage, 2), ms(2), "it moves again");
}

#[test]
fn an_answer_that_says_nothing_new_hurries_nobody() {
    let mut stage = Stage::led(2);
    stage.answers(1, 1100);
    stage.says(1, standby(1, 1050));
    stage.wait(ms(100));
    let before = pause(&stage, 1);
    stage.answers(1, 1100);
    assert_eq!(pause(&stage, 1), before + ms(5));
}

#[test]
fn a_replica_whose_timeline_is_unknown_is_not_hurried_in_vain() {
    let mut stage = Stage::new(2);
    stage.says(1, standby(None, 1000));
    stage.says(0, writable(1, 1000));
    stage.answers(1, 1100);
    assert_eq!(pause(&stage, 1), ms(250));
}

#[test]
fn a_failing_node_is_asked_ever_less_up_to_two_seconds() {
    let mut stage = Stage::led(2);
    stage.fails(1);
    let mut pauses = Vec::new();
    for _ in 0..7 {
        let pause = pause(&stage, 1);
        pauses.push(pause);
        stage.now += pause;
        stage.cluster.failed(NodeId(1), stage.now);
    }
    assert_eq!(pauses, [100, 100, 200, 400, 800, 1600, 2000].map(ms));
    stage.says(1, standby(1, 1000));
    assert_eq!(pause(&stage, 1), ms(250));
}

#[test]
fn without_a_primary_every_node_is_asked_within_a_tenth_of_a_second() {
    let mut stage = Stage::led(3);
    stage.dies(2);
    stage.wait(ms(10_000));
    assert_eq!(pause(&stage, 2), ms(2000));
    stage.dies(0);
    stage.wait(ms(10_000));
    assert_eq!([0, 1, 2].map(|node| pause(&stage, node)), [ms(100); 3]);
}

#[test]
fn while_two_claim_to_be_primary_every_node_is_asked_within_a_tenth_of_a_second() {
    let mut stage = Stage::led(3);
    stage.says(1, writable(1, 1000).run(2));
    assert!(stage.is_split());
    assert_eq!([0, 1, 2].map(|node| pause(&stage, node)), [ms(100); 3]);
}

#[test]
fn a_fence_of_the_old_primary_hurries_nobody_after_a_promotion() {
    let mut stage = Stage::led(3);
    stage.answers(1, 5000);
    stage.says(1, writable(2, 1000));
    stage.wait(ms(100));
    assert_eq!(pause(&stage, 2), ms(250));
}

#[test]
fn a_node_that_is_slow_to_answer_is_asked_less_often_whoever_waits() {
    let mut stage = Stage::led(2);
    for (took, expected) in [(0, 5), (1, 20), (100, 250)] {
        stage.took = ms(took);
        stage.answers(1, 1100 + took);
        stage.says(1, standby(1, 1050 + took));
        assert_eq!(pause(&stage, 1), ms(expected), "{took} ms");
    }
}
