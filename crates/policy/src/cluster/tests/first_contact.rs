//! Whom to believe when nothing is known.

use super::super::Event;
use super::stage::{SYSTEM, Stage, standby, writable};
use crate::lsn::Timeline;
use crate::testing::ms;
use crate::topology::{Epoch, Leader, NodeId, Role};

#[test]
fn the_one_node_that_takes_writes_is_primary_in_epoch_1() {
    let mut stage = Stage::new(3);
    assert_eq!(stage.topology().leader, Leader::Missing { since: stage.start });
    stage.says(1, standby(1, 900));
    stage.says(2, standby(1, 900));
    let events = stage.says(0, writable(1, 1000));
    let elected = Event::PrimaryElected { node: NodeId(0), timeline: Timeline(1), epoch: Epoch(1) };
    assert_eq!(events, [Event::NodeUp { node: NodeId(0) }, elected]);
    assert_eq!(stage.roles(), [Role::Primary, Role::Replica, Role::Replica]);
    assert_eq!((stage.leads(), stage.epoch()), (Some((0, 1)), 1));
}

#[test]
fn nobody_leads_before_every_member_was_tried() {
    // The first that answers may be the one that was succeeded.
    let mut stage = Stage::new(2);
    stage.says(0, writable(1, 1000));
    assert_eq!(stage.leads(), None);
    stage.says(1, writable(2, 1000));
    assert!(stage.is_split());
}

#[test]
fn a_member_that_does_not_answer_delays_the_first_primary_by_one_failed_probe() {
    let mut stage = Stage::new(2);
    stage.says(0, writable(1, 1000));
    stage.fails(1);
    assert_eq!(stage.leads(), Some((0, 1)));
}

#[test]
fn no_role_is_confirmed_before_every_member_was_tried() {
    let mut stage = Stage::new(2);
    stage.says(0, standby(1, 1000).of(99));
    assert_eq!(stage.roles(), [Role::Unknown, Role::Unknown]);
    stage.fails(1);
    assert_eq!(stage.roles(), [Role::Replica, Role::Unknown]);
}

#[test]
fn two_nodes_that_take_writes_are_a_split_brain_whatever_their_timelines() {
    for (one, other) in [(1, 1), (1, 2), (2, 1)] {
        let mut stage = Stage::new(3);
        stage.says(2, standby(1, 1000));
        stage.says(0, writable(one, 1000));
        let events = stage.says(1, writable(other, 1000));
        assert_eq!(events.last(), Some(&Event::SplitBrain));
        assert_eq!(stage.roles(), [Role::Unknown, Role::Unknown, Role::Replica]);
    }
}

#[test]
fn a_split_brain_ends_once_one_side_has_been_gone_for_long() {
    let mut stage = Stage::new(2);
    stage.says(0, writable(1, 1000));
    stage.says(1, writable(1, 1000));
    stage.dies(1);
    stage.says(0, writable(1, 1000));
    assert!(stage.is_split(), "a short outage decides nothing");
    stage.wait(ms(5000));
    stage.says(0, writable(1, 1000));
    assert_eq!(stage.leads(), Some((0, 1)));
}

#[test]
fn a_split_brain_ends_at_once_when_one_side_becomes_a_standby() {
    let mut stage = Stage::new(2);
    stage.says(0, writable(1, 1000));
    stage.says(1, writable(2, 1000));
    stage.says(0, standby(2, 900).run(2));
    assert_eq!(stage.leads(), Some((1, 2)));
    assert_eq!(stage.roles(), [Role::Replica, Role::Primary]);
}

#[test]
fn a_node_whose_standby_follows_a_newer_timeline_was_succeeded_by_someone_unseen() {
    let mut stage = Stage::new(3);
    stage.says(0, writable(1, 1000));
    stage.says(1, standby(2, 1000));
    stage.fails(2);
    assert_eq!(stage.leads(), None);
    stage.says(2, writable(2, 1100));
    assert!(stage.is_split());
}

#[test]
fn most_members_say_which_cluster_it_is() {
    let mut stage = Stage::new(3);
    stage.says(1, standby(1, 1000));
    stage.says(2, standby(1, 1000));
    let events = stage.says(0, writable(1, 1000).of(99));
    assert_eq!(stage.leads(), None, "the wrong cluster's primary takes no writes of this one");
    let wrong = Event::WrongSystem { node: NodeId(0), found: 99, expected: SYSTEM };
    assert_eq!(events.last(), Some(&wrong));
    assert_eq!(stage.roles(), [Role::Unknown, Role::Replica, Role::Replica]);
}

#[test]
fn of_two_clusters_with_as_many_members_the_one_with_a_primary_is_meant() {
    let mut stage = Stage::new(2);
    stage.says(1, standby(1, 1000).of(99));
    stage.says(0, writable(1, 1000));
    assert_eq!(stage.roles(), [Role::Primary, Role::Unknown]);
}

#[test]
fn two_clusters_that_look_alike_are_both_left_alone() {
    let mut stage = Stage::new(2);
    stage.says(0, writable(1, 1000));
    stage.says(1, writable(1, 1000).of(99));
    assert_eq!(stage.leads(), None);
    let mut stage = Stage::new(2);
    stage.says(0, standby(1, 1000));
    stage.says(1, standby(1, 1000).of(99));
    assert_eq!(stage.roles(), [Role::Unknown, Role::Unknown]);
}

#[test]
fn the_first_primary_fixes_the_cluster_for_good() {
    let mut stage = Stage::led(3);
    stage.dies(0);
    stage.says(1, standby(1, 1000).of(99));
    stage.says(2, standby(1, 1000).of(99));
    assert_eq!(stage.roles(), [Role::Unknown, Role::Unknown, Role::Unknown]);
}
