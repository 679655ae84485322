//! How far and how fresh replicas are.

use std::time::Instant;

use super::stage::{Stage, standby, writable};
use crate::cluster::observation::Observed;
use crate::lag::Xid;
use crate::lsn::{Lsn, Position, Timeline};
use crate::testing::ms;
use crate::topology::{NodeId, NodeView, Role};

fn fresh_at(stage: &mut Stage, node: u32) -> Option<Instant> {
    stage.view(node).fresh_at
}

#[test]
fn a_replica_is_as_fresh_as_the_newest_sample_of_the_primary_that_it_reached() {
    let mut stage = Stage::led(2);
    let first = stage.now;
    stage.says(0, writable(1, 1100));
    let second = stage.now;
    stage.says(1, standby(1, 1099));
    assert_eq!(fresh_at(&mut stage, 1), Some(first));
    assert_eq!(stage.view(1).lag_bytes, Some(1));
    stage.says(1, standby(1, 1100));
    assert_eq!(fresh_at(&mut stage, 1), Some(second));
    assert_eq!(stage.view(1).lag_bytes, Some(0));
    assert_eq!(stage.flushed(), Some(Lsn(1100)));
}

#[test]
fn a_replica_of_an_idle_primary_stays_fresh() {
    let mut stage = Stage::led(2);
    stage.says(0, writable(1, 1000));
    let now = stage.now;
    assert_eq!(fresh_at(&mut stage, 1), Some(now));
}

#[test]
fn the_clocks_answers_are_samples_too() {
    let mut stage = Stage::led(2);
    stage.answers(1, 1000);
    let now = stage.now;
    assert_eq!(fresh_at(&mut stage, 1), Some(now));
    assert_eq!(stage.flushed(), Some(Lsn(1000)));
}

#[test]
fn answers_of_another_epoch_or_timeline_are_no_samples() {
    let mut stage = Stage::led(2);
    let fresh = fresh_at(&mut stage, 1);
    for (epoch, timeline) in [(0, 1), (2, 1), (1, 2)] {
        stage.wait(ms(10));
        let answer = stage.answer(epoch, timeline, 1000);
        stage.cluster.answered(&answer);
    }
    assert_eq!(fresh_at(&mut stage, 1), fresh);
    stage.dies(0);
    stage.answers(1, 1000);
    assert_eq!(fresh_at(&mut stage, 1), fresh, "a lost primary's answer came late");
}

#[test]
fn a_replica_on_another_or_an_unknown_timeline_is_of_unknown_age() {
    let mut stage = Stage::new(3);
    stage.says(1, standby(None, 1000));
    stage.says(2, standby(1, 1000));
    stage.says(0, writable(2, 1000));
    for node in [1, 2] {
        let view = stage.view(node);
        assert_eq!((view.role, view.fresh_at, view.lag_bytes), (Role::Replica, None, None));
        assert!(view.position.is_some());
    }
}

#[test]
fn after_a_promotion_replicas_are_measured_anew_on_the_new_timeline() {
    let mut stage = Stage::led(3);
    assert!(fresh_at(&mut stage, 2).is_some());
    stage.says(1, writable(2, 1100));
    assert_eq!(fresh_at(&mut stage, 2), None);
    stage.says(2, standby(2, 1099));
    assert_eq!(fresh_at(&mut stage, 2), None);
    stage.says(2, standby(2, 1100));
    assert!(fresh_at(&mut stage, 2).is_some());
    // The new primary itself has no replay position, though its server still knows one.
    let NodeView { position, observed, fresh_at, .. } = stage.view(1);
    assert_eq!((position, observed, fresh_at), (None, None, None));
}

#[test]
fn a_replica_that_was_ahead_on_the_old_timeline_is_not_fresh_on_the_new_one() {
    let mut stage = Stage::led(3);
    stage.says(1, writable(2, 900));
    stage.says(2, standby(1, 1000));
    assert_eq!(fresh_at(&mut stage, 2), None);
}

#[test]
fn a_replica_that_leaves_the_primarys_timeline_is_of_unknown_age_at_once() {
    let mut stage = Stage::led(3);
    assert!(fresh_at(&mut stage, 2).is_some());
    stage.says(2, standby(2, 1000));
    assert_eq!(fresh_at(&mut stage, 2), None);
}

#[test]
fn a_timeline_sticks_while_the_receiver_is_away() {
    let mut stage = Stage::led(2);
    stage.says(1, standby(None, 1000));
    let position = Position { timeline: Some(Timeline(1)), replay: Lsn(1000) };
    assert_eq!(stage.view(1).position, Some(position));
}

#[test]
fn a_timeline_does_not_stick_over_a_restart() {
    let mut stage = Stage::led(2);
    stage.says(1, standby(None, 1000).run(2));
    stage.says(0, writable(1, 1000));
    assert_eq!((stage.view(1).position, fresh_at(&mut stage, 1)), (None, None));
}

#[test]
fn a_restarted_standbys_position_is_withheld_until_it_is_past_all_that_it_showed() {
    let mut stage = Stage::led(2);
    stage.says(1, standby(1, 900).run(2));
    let view = stage.view(1);
    assert_eq!((view.role, view.position, view.fresh_at), (Role::Replica, None, None));
    // Samples from before the restart prove nothing: it may have shown more than they say.
    stage.says(1, standby(1, 1000).run(2));
    assert_eq!(stage.view(1).position, None);
    stage.says(0, writable(1, 1050));
    assert_eq!(stage.view(1).position, None);
    stage.says(1, standby(1, 1050).run(2));
    assert_eq!(stage.view(1).position.map(|position| position.replay), Some(Lsn(1050)));
}

#[test]
fn replay_that_goes_back_is_another_copy_of_the_data() {
    let mut stage = Stage::led(2);
    stage.says(1, standby(1, 500));
    let view = stage.view(1);
    assert_eq!((view.position, view.fresh_at), (None, None));
    stage.says(0, writable(1, 1000));
    stage.says(1, standby(1, 1000));
    assert!(stage.view(1).position.is_some());
}

#[test]
fn a_standby_that_replayed_nothing_has_no_position() {
    let mut stage = Stage::led(2);
    let mut line = standby(1, 0);
    line.state = Observed::Standby { timeline: Some(Timeline(1)), replay: None, xmin: Xid(0) };
    stage.says(1, line.run(2));
    assert_eq!(stage.view(1).position, None);
}

#[test]
fn samples_survive_a_restart_of_the_primary() {
    let mut stage = Stage::led(2);
    let before = fresh_at(&mut stage, 1);
    assert!(before.is_some());
    stage.dies(0);
    stage.says(0, writable(1, 1100).run(2));
    assert_eq!(fresh_at(&mut stage, 1), before);
}

#[test]
fn a_replica_ages_while_the_primary_is_lost() {
    let mut stage = Stage::led(2);
    let before = fresh_at(&mut stage, 1);
    stage.dies(0);
    stage.says(1, standby(1, 1000));
    assert_eq!(fresh_at(&mut stage, 1), before);
}

#[test]
fn when_a_position_was_asked_for_is_known() {
    let mut stage = Stage::led(2);
    stage.says(1, standby(1, 1000));
    let asked = stage.now;
    stage.says(0, writable(1, 1000));
    assert_eq!(stage.view(1).observed, Some(asked));
}

#[test]
fn a_replica_that_stands_still_is_never_told_to_be_older_than_it_was() {
    let mut stage = Stage::led(2);
    stage.says(0, writable(1, 1001));
    stage.says(1, standby(1, 1001));
    let fresh = fresh_at(&mut stage, 1);
    for flush in 1002..3000 {
        // Old samples are thinned meanwhile.
        stage.says(0, writable(1, flush));
    }
    assert_eq!(fresh_at(&mut stage, 1), fresh);
}

#[test]
fn a_node_whose_connection_broke_shows_nothing_until_it_is_measured_anew() {
    let mut stage = Stage::led(2);
    assert!(stage.view(1).position.is_some());
    let now = stage.now;
    assert!(stage.cluster.lost(NodeId(1), now));
    assert!(!stage.cluster.lost(NodeId(1), now), "it counts no more already");
    assert_eq!(stage.view(1).position, None);
    stage.says(1, standby(1, 1000));
    assert!(stage.view(1).position.is_some());
}

#[test]
fn it_is_remembered_for_a_while_how_far_a_replica_was_behind() {
    let mut stage = Stage::led(2);
    stage.wait(ms(900));
    stage.says(0, writable(1, 2000));
    stage.says(1, standby(1, 2000));
    let worst = |stage: &mut Stage| stage.view(1).worst_lag;
    assert!(worst(&mut stage).is_some_and(|worst| worst >= ms(900)));
    stage.wait(ms(5_000));
    assert_eq!(worst(&mut stage), None);
}

#[test]
fn a_primary_is_silent_once_replicas_were_heard_two_probes_later() {
    let mut stage = Stage::led(2);
    let said = stage.now;
    let silent = |stage: &mut Stage| stage.topology().silent_since;
    stage.wait(ms(490));
    stage.says(1, standby(1, 1000));
    assert_eq!(silent(&mut stage), None, "one probe may be late");
    stage.says(1, standby(1, 1000));
    assert_eq!(silent(&mut stage), Some(said));
    stage.says(0, writable(1, 1000));
    assert_eq!(silent(&mut stage), None);
    // Nobody is heard: it is the asking that is late.
    stage.wait(ms(10_000));
    assert_eq!(silent(&mut stage), None);
}

#[test]
fn a_replica_that_has_seen_all_ends_is_fresh_wherever_the_flushed_wal_ends() {
    let mut stage = Stage::led(2);
    let ended = |xid| Xid(xid);
    let mut writable = writable(1, 8192);
    let mut standby = standby(1, 1000);
    if let Observed::Writable { xmax, .. } = &mut writable.state {
        *xmax = ended(70);
    }
    stage.says(0, writable);
    let said = stage.now;
    for (xid, fresh) in [(69, false), (70, true)] {
        if let Observed::Standby { xmin, .. } = &mut standby.state {
            *xmin = ended(xid);
        }
        stage.says(1, standby);
        assert_eq!(fresh_at(&mut stage, 1) == Some(said), fresh, "{xid}");
    }
}

#[test]
fn a_node_that_was_another_cluster_s_is_withheld_when_it_is_back() {
    let mut stage = Stage::led(2);
    stage.says(1, standby(1, 1000).of(99));
    stage.says(1, standby(1, 900));
    assert_eq!(stage.view(1).position, None, "it may show less than it did");
}

#[test]
fn a_replica_that_is_ahead_of_what_was_flushed_later_is_of_another_branch() {
    let mut stage = Stage::led(2);
    stage.says(1, standby(1, 1200));
    assert!(stage.view(1).position.is_some(), "it may have got that since the primary was asked");
    stage.says(0, writable(1, 1199));
    assert_eq!(stage.view(1).position, None);
    stage.says(0, writable(1, 1200));
    assert!(stage.view(1).position.is_some());
}
