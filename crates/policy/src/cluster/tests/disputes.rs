//! More than one node takes writes, and history doesn't tell who is right.

use super::super::Event;
use super::stage::{Stage, spec, standby, writable};
use crate::testing::ms;
use crate::topology::{NodeId, Role};

/// A led cluster that a node joins which was recovered to a point in time: same system.
fn clone_joins(timeline: u32) -> Stage {
    let mut stage = Stage::led(2);
    assert_eq!(stage.cluster.add(spec(9)), Ok(NodeId(2)));
    let events = stage.says(2, writable(timeline, 1000));
    assert_eq!(events, [Event::NodeUp { node: NodeId(2) }, Event::SplitBrain]);
    assert_eq!(stage.roles(), [Role::Unknown, Role::Replica, Role::Unknown]);
    stage
}

#[test]
fn a_clone_first_met_as_a_primary_is_no_successor_and_nobody_takes_writes() {
    for timeline in [1, 2, 9] {
        let mut stage = clone_joins(timeline);
        stage.says(0, writable(1, 1000));
        stage.says(2, writable(timeline, 1000));
        assert!(stage.is_split());
    }
}

#[test]
fn a_clone_on_a_timeline_that_was_succeeded_disturbs_nobody() {
    let mut stage = Stage::led(2);
    stage.says(1, writable(2, 1000));
    assert_eq!(stage.cluster.add(spec(9)), Ok(NodeId(2)));
    stage.says(2, writable(1, 5000));
    assert_eq!(stage.leads(), Some((1, 2)));
}

#[test]
fn when_the_clone_goes_the_primary_goes_on_in_its_epoch() {
    let mut stage = clone_joins(2);
    stage.dies(2);
    assert_eq!((stage.leads(), stage.epoch()), (Some((0, 1)), 1));
    stage.says(2, writable(2, 1000));
    assert!(stage.is_split(), "it is no more welcome than before");
    assert_eq!(stage.cluster.remove("n9"), Ok(()));
    assert_eq!((stage.leads(), stage.epoch()), (Some((0, 1)), 1));
}

#[test]
fn a_short_outage_of_the_primary_does_not_hand_the_writes_to_the_clone() {
    let mut stage = clone_joins(2);
    stage.dies(0);
    stage.says(2, writable(2, 1000));
    assert!(stage.is_split());
    stage.says(0, writable(1, 1000));
    stage.dies(2);
    assert_eq!((stage.leads(), stage.epoch()), (Some((0, 1)), 1));
}

#[test]
fn when_the_primary_has_been_gone_for_long_the_other_side_leads() {
    let mut stage = clone_joins(2);
    stage.dies(0);
    stage.wait(ms(4970));
    stage.says(2, writable(2, 1000));
    assert!(stage.is_split());
    stage.wait(ms(10));
    assert_eq!((stage.leads(), stage.epoch()), (Some((2, 2)), 2));
    stage.says(0, writable(1, 1000));
    assert_eq!(stage.leads(), Some((2, 2)), "it was succeeded");
}

#[test]
fn when_the_primary_becomes_a_standby_the_other_side_leads_at_once() {
    let mut stage = clone_joins(2);
    stage.says(0, standby(2, 900).run(2));
    assert_eq!((stage.leads(), stage.epoch()), (Some((2, 2)), 2));
}

#[test]
fn a_standby_that_takes_writes_on_its_old_timeline_was_not_promoted() {
    // Its standby.signal was removed and it was restarted.
    let mut stage = Stage::led(2);
    stage.says(1, writable(1, 1000).run(2));
    assert!(stage.is_split());
    stage.dies(0);
    assert!(stage.is_split());
}

#[test]
fn two_standbys_promoted_to_the_same_timeline_are_a_split_brain() {
    let mut stage = Stage::led(3);
    stage.dies(0);
    stage.says(1, writable(2, 1000));
    stage.says(2, writable(2, 1000));
    assert!(stage.is_split());
    stage.says(1, standby(2, 1000).run(2));
    assert_eq!((stage.leads(), stage.epoch()), (Some((2, 2)), 3));
}

#[test]
fn a_standby_that_was_not_seen_on_the_primarys_timeline_is_no_heir_while_that_one_lives() {
    let mut stage = Stage::led(3);
    stage.says(1, writable(2, 1000));
    stage.says(2, writable(3, 1000));
    assert!(stage.is_split());
}

#[test]
fn a_timeline_that_was_seen_is_remembered_when_it_can_no_longer_be_read() {
    let mut stage = Stage::led(3);
    stage.says(1, writable(2, 1000));
    stage.says(2, standby(None, 1000).run(2));
    stage.says(2, writable(3, 1000).run(2));
    assert!(stage.is_split());
}

#[test]
fn a_standby_of_another_cluster_is_no_heir() {
    let mut stage = Stage::led(2);
    stage.says(1, standby(1, 1000).of(99));
    stage.says(1, writable(2, 1000));
    assert!(stage.is_split());
}

#[test]
fn a_claim_once_used_up_does_not_come_back() {
    let mut stage = Stage::led(3);
    stage.says(1, writable(2, 1000));
    stage.says(2, standby(2, 1000));
    stage.says(2, writable(3, 1000));
    assert_eq!(stage.leads(), Some((2, 3)));
    // Node 1 was a standby long ago; now it was recovered to a point in time.
    stage.dies(2);
    stage.says(1, writable(4, 1000).run(2));
    assert!(stage.is_split());
}
