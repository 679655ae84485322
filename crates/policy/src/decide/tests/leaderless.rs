//! Reads while nobody, or more than one, is primary.

use sql::Class;

use super::super::{Reason, Refusal, Target, Wait};
use super::world::{World, at, before, on, primary, replica};
use crate::topology::{Health, Leader, NodeView};

#[test]
fn eventual_reads_go_on_whatever_their_lag() {
    assert_eq!(
        World::new([replica(1, 59_000)]).missing().eventual().goes(),
        on(1, Reason::NoPrimary)
    );
    let split = World::new([replica(1, 59_000)]).leader(Leader::SplitBrain);
    assert_eq!(split.eventual().goes(), on(1, Reason::NoPrimary));
}

#[test]
fn only_the_most_advanced_replicas_serve() {
    let world = World::new([at(1, 1, 999), at(2, 1, 1000), at(3, 1, 998)]).missing().eventual();
    assert_eq!(world.goes(), on(2, Reason::NoPrimary));
    let newer_timeline = World::new([at(1, 2, 10), at(2, 1, 1000), at(3, None, 9999)]);
    assert_eq!(newer_timeline.missing().eventual().goes(), on(1, Reason::NoPrimary));
    let down = NodeView { health: Health::Down, ..at(2, 1, 2000) };
    let world = World::new([at(1, 1, 999), down]).missing().eventual();
    assert_eq!(world.goes(), on(1, Reason::NoPrimary), "a dead node's position bars nobody");
}

#[test]
fn a_replica_that_was_never_measured_is_not_the_most_advanced() {
    let world = World::new([NodeView { position: None, ..replica(1, 0) }]).missing().eventual();
    assert_eq!(world.goes(), (Target::Wait(Wait::Primary), Reason::NoPrimary));
}

#[test]
fn reads_are_refused_if_the_operator_says_so_and_their_lag_is_beyond_the_bound() {
    let world = |lag| World::new([replica(1, lag)]).missing().wish("on_no_primary", "error");
    let refused = (Target::Refuse(Refusal::NoPrimary), Reason::NoPrimary);
    assert_eq!(world(1001).goes(), refused);
    assert_eq!(world(1001).eventual().goes(), refused);
    assert_eq!(world(1000).eventual().goes(), on(1, Reason::NoPrimary));
    assert_eq!(world(59_000).max_lag(None).eventual().goes(), on(1, Reason::NoPrimary));
}

#[test]
fn fenced_reads_keep_their_fence() {
    let passed = World::new([replica(1, 59_000)]).missing().fence(1, 1000);
    assert_eq!(passed.goes(), on(1, Reason::NoPrimary));
    let waits = (Target::Wait(Wait::Primary), Reason::NoPrimary);
    assert_eq!(World::new([replica(1, 0)]).missing().fence(1, 1001).goes(), waits);
    assert_eq!(World::new([replica(1, 0)]).missing().fence(2, 1).goes(), waits);
    assert_eq!(World::new([replica(1, 0)]).missing().pending().goes(), waits);
}

#[test]
fn reads_stay_monotonic() {
    let down = NodeView { health: Health::Down, ..at(1, 1, 500) };
    let world = World::new([down.clone(), at(2, 1, 499)]).missing().last_read(1, 1);
    assert_eq!(world.goes(), (Target::Wait(Wait::Primary), Reason::NoPrimary));
    let world = World::new([down, at(2, 1, 500)]).missing().last_read(1, 1);
    assert_eq!(world.goes(), on(2, Reason::NoPrimary));
}

#[test]
fn a_fenced_read_that_no_replica_may_serve_waits_also_while_two_claim_to_be_primary() {
    let world = World::new([replica(1, 0)]).leader(Leader::SplitBrain).pending();
    assert_eq!(world.goes(), (Target::Wait(Wait::Primary), Reason::SplitBrain));
}

#[test]
fn a_named_replica_serves_as_far_as_it_is_the_most_advanced() {
    let world = World::new([at(1, 1, 999), at(2, 1, 1000)]).missing().wish("route", "replica");
    assert_eq!(world.goes(), on(2, Reason::NoPrimary));
}

/// The primary said its last word so long ago, in milliseconds; the replica was `late` then.
fn silent_for(millis: u64, late: u64) -> World {
    let mut world = World::new([replica(1, millis + late)]);
    world.topology.silent_since = Some(before(world.now, millis));
    world
}

#[test]
fn reads_do_not_follow_a_primary_into_its_silence() {
    assert_eq!(silent_for(1000, 0).goes(), on(1, Reason::Read));
    assert_eq!(silent_for(1001, 0).goes(), on(1, Reason::NoPrimary));
    assert_eq!(silent_for(1001, 0).fence(1, 1000).goes(), on(1, Reason::NoPrimary));
    let waits = (Target::Wait(Wait::Primary), Reason::NoPrimary);
    assert_eq!(silent_for(1001, 0).fence(1, 1001).goes(), waits);
    let refused = (Target::Refuse(Refusal::NoPrimary), Reason::NoPrimary);
    assert_eq!(silent_for(1001, 0).wish("on_no_primary", "error").goes(), refused);
    assert_eq!(silent_for(1001, 0).class(Class::Write).goes(), primary(Reason::Write));
}

#[test]
fn a_silence_excuses_no_replica_that_was_late_before_it() {
    assert_eq!(silent_for(3000, 1000).goes(), on(1, Reason::NoPrimary));
    let waits = (Target::Wait(Wait::Primary), Reason::NoPrimary);
    assert_eq!(silent_for(3000, 1001).goes(), waits);
}

#[test]
fn a_replica_that_is_late_by_itself_does_not_make_the_primary_silent() {
    let world = World::new([replica(1, 1001)]);
    assert_eq!(world.goes(), primary(Reason::TooFarBehind));
}
