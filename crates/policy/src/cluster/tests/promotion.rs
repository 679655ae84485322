//! One primary after another.

use super::super::Event;
use super::stage::{Stage, standby, writable};
use crate::lsn::Timeline;
use crate::testing::ms;
use crate::topology::{Epoch, Health, Leader, NodeId, Role};

#[test]
fn one_failed_probe_loses_no_primary() {
    let mut stage = Stage::led(2);
    assert_eq!(stage.fails(0), []);
    assert_eq!(stage.leads(), Some((0, 1)));
    // A success in between starts the count anew.
    stage.says(0, writable(1, 1000));
    stage.fails(0);
    assert_eq!(stage.leads(), Some((0, 1)));
}

#[test]
fn a_primary_that_fails_twice_is_lost_since_then() {
    let mut stage = Stage::led(2);
    let events = stage.dies(0);
    assert_eq!(
        events,
        [Event::NodeDown { node: NodeId(0) }, Event::PrimaryLost { node: NodeId(0) }]
    );
    let since = stage.now;
    stage.fails(0);
    assert_eq!(stage.topology().leader, Leader::Missing { since });
    assert_eq!(stage.view(0).health, Health::Down);
    assert_eq!(stage.roles(), [Role::Unknown, Role::Replica]);
}

#[test]
fn a_primary_that_comes_back_from_the_same_run_leads_in_the_same_epoch() {
    let mut stage = Stage::led(2);
    stage.dies(0);
    let events = stage.says(0, writable(1, 1100));
    let back = Event::PrimaryBack { node: NodeId(0), epoch: Epoch(1) };
    assert_eq!(events, [Event::NodeUp { node: NodeId(0) }, back]);
    assert_eq!((stage.leads(), stage.epoch()), (Some((0, 1)), 1));
}

#[test]
fn a_primary_that_restarted_leads_in_a_new_epoch_even_if_nobody_missed_it() {
    let mut stage = Stage::led(2);
    let events = stage.says(0, writable(1, 1100).run(2));
    assert_eq!(events, [Event::PrimaryRestarted { node: NodeId(0), epoch: Epoch(2) }]);
    assert_eq!((stage.leads(), stage.epoch()), (Some((0, 1)), 2));
    stage.dies(0);
    stage.says(0, writable(1, 1100).run(3));
    assert_eq!((stage.leads(), stage.epoch()), (Some((0, 1)), 3));
}

#[test]
fn a_promoted_standby_leads_after_the_old_primary_died() {
    let mut stage = Stage::led(3);
    stage.dies(0);
    let events = stage.says(1, writable(2, 1100));
    let elected = Event::PrimaryElected { node: NodeId(1), timeline: Timeline(2), epoch: Epoch(2) };
    assert_eq!(events, [elected]);
    assert_eq!((stage.leads(), stage.epoch()), (Some((1, 2)), 2));
    assert_eq!(stage.roles(), [Role::Unknown, Role::Primary, Role::Replica]);
}

#[test]
fn a_promoted_standby_leads_while_the_old_primary_still_takes_writes() {
    let mut stage = Stage::led(3);
    let events = stage.says(1, writable(2, 1100));
    let superseded = Event::Superseded { node: NodeId(0), timeline: Timeline(1) };
    assert_eq!(events.last(), Some(&superseded));
    for _ in 0..2 {
        assert_eq!(stage.says(0, writable(1, 1200)), [], "it is told once");
        assert_eq!((stage.leads(), stage.epoch()), (Some((1, 2)), 2));
        assert_eq!(stage.roles(), [Role::Unknown, Role::Primary, Role::Replica]);
    }
}

#[test]
fn a_promoted_standby_leads_though_nobody_may_read_its_timeline() {
    // Without pg_monitor a standby's timeline is unknown.
    let mut stage = Stage::new(2);
    stage.says(1, standby(None, 1000));
    stage.says(0, writable(1, 1000));
    stage.says(1, writable(2, 1100));
    assert_eq!(stage.leads(), Some((1, 2)));
}

#[test]
fn an_old_primary_that_returns_on_its_timeline_gets_no_leases_until_it_is_a_standby() {
    let mut stage = Stage::led(2);
    stage.dies(0);
    stage.says(1, writable(2, 1100));
    stage.says(0, writable(1, 1200).run(2));
    assert_eq!(stage.roles(), [Role::Unknown, Role::Primary]);
    // Also when its successor is gone in turn.
    stage.dies(1);
    stage.wait(ms(60_000));
    stage.says(0, writable(1, 1200).run(2));
    assert_eq!(stage.leads(), None);
    stage.says(1, writable(2, 1100));
    stage.says(0, standby(2, 1000).run(3));
    assert_eq!(stage.roles(), [Role::Replica, Role::Primary]);
    assert_eq!(stage.epoch(), 2);
}

#[test]
fn primaries_may_follow_each_other_to_and_fro() {
    let mut stage = Stage::led(2);
    for (timeline, new, old) in [(2, 1, 0), (3, 0, 1), (4, 1, 0)] {
        stage.says(new, writable(timeline, 1000));
        stage.says(old, standby(timeline, 1000).run(i64::from(timeline)));
        assert_eq!(stage.leads(), Some((new, timeline)));
        assert_eq!(stage.epoch(), u64::from(timeline));
    }
}

#[test]
fn a_demoted_primary_leaves_its_place_vacant_until_someone_is_promoted() {
    let mut stage = Stage::led(2);
    let events = stage.says(0, standby(1, 1000).run(2));
    assert_eq!(events, [Event::PrimaryLost { node: NodeId(0) }]);
    assert_eq!(stage.roles(), [Role::Replica, Role::Replica]);
    stage.says(1, writable(2, 1000));
    assert_eq!(stage.leads(), Some((1, 2)));
}

#[test]
fn a_primary_that_went_through_an_unseen_recovery_leads_on_its_new_timeline() {
    let mut stage = Stage::led(2);
    stage.dies(0);
    stage.says(0, writable(2, 1100).run(2));
    assert_eq!((stage.leads(), stage.epoch()), (Some((0, 2)), 2));
}

#[test]
fn a_primary_that_went_back_to_an_older_timeline_leads_no_more() {
    let mut stage = Stage::led(2);
    stage.says(1, writable(2, 1000));
    stage.says(0, standby(2, 1000).run(2));
    let events = stage.says(1, writable(1, 500).run(2));
    assert_eq!(events.first(), Some(&Event::PrimaryLost { node: NodeId(1) }));
    assert_eq!(stage.roles(), [Role::Replica, Role::Unknown]);
}

#[test]
fn a_standby_that_followed_an_older_timeline_succeeds_a_primary_that_is_gone() {
    let mut stage = Stage::led(3);
    stage.dies(0);
    stage.says(1, writable(2, 1000));
    // Node 2 was never seen on timeline 2, yet it was promoted after node 1 died.
    stage.dies(1);
    stage.says(2, writable(3, 1000));
    assert_eq!((stage.leads(), stage.epoch()), (Some((2, 3)), 3));
}

#[test]
fn a_primary_that_becomes_another_clusters_is_lost() {
    let mut stage = Stage::led(2);
    let events = stage.says(0, writable(1, 10).of(99));
    assert_eq!(events.first(), Some(&Event::PrimaryLost { node: NodeId(0) }));
    assert_eq!(stage.roles(), [Role::Unknown, Role::Replica]);
}

#[test]
fn a_probe_that_was_sent_before_the_last_one_changes_nothing() {
    let mut stage = Stage::led(2);
    stage.says(1, writable(2, 1000));
    stage.now = stage.start;
    stage.says(1, standby(1, 1000));
    assert_eq!(stage.leads(), Some((1, 2)));
}
