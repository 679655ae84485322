//! What must run on the primary.

use sql::Class;

use super::super::{Reason, Refusal, RouteFrom, Target, Wait};
use super::world::{World, primary, replica};
use crate::topology::Leader;

#[test]
fn a_write_and_a_primary_read_go_to_the_primary() {
    let world = World::new([replica(1, 0)]);
    assert_eq!(world.class(Class::Write).goes(), primary(Reason::Write));
    let world = World::new([replica(1, 0)]);
    assert_eq!(world.class(Class::PrimaryRead).goes(), primary(Reason::PrimaryRead));
}

#[test]
fn a_write_ignores_that_the_session_wants_replicas() {
    let world = World::new([replica(1, 0)]).wish("route", "replica").from(RouteFrom::Hint);
    assert_eq!(world.class(Class::Write).goes(), primary(Reason::Write));
}

#[test]
fn a_named_primary_serves_every_class_and_says_who_named_it() {
    let table = [
        (RouteFrom::Hint, Reason::Hint),
        (RouteFrom::Session, Reason::Setting),
        (RouteFrom::Config, Reason::Config),
    ];
    for (from, reason) in table {
        for class in [Class::Read, Class::PrimaryRead, Class::Write] {
            let world = World::new([replica(1, 0)]).wish("route", "primary").from(from);
            assert_eq!(world.class(class).goes(), primary(reason));
        }
    }
}

#[test]
fn without_a_primary_writes_wait_for_one_however_they_got_there() {
    let waits = (Target::Wait(Wait::Primary), Reason::NoPrimary);
    for class in [Class::Write, Class::PrimaryRead] {
        assert_eq!(World::new([replica(1, 0)]).missing().class(class).goes(), waits);
    }
    assert_eq!(World::new([replica(1, 0)]).missing().wish("route", "primary").goes(), waits);
}

#[test]
fn with_two_primaries_nothing_is_written_and_nothing_waits() {
    let refused = (Target::Refuse(Refusal::SplitBrain), Reason::SplitBrain);
    for class in [Class::Write, Class::PrimaryRead] {
        let world = World::new([replica(1, 0)]).leader(Leader::SplitBrain);
        assert_eq!(world.class(class).goes(), refused);
    }
}

#[test]
fn a_leader_that_is_no_member_any_more_is_a_missing_one() {
    let mut world = World::new([replica(1, 0)]).class(Class::Write);
    world.topology.nodes.remove(0);
    assert_eq!(world.goes(), (Target::Wait(Wait::Primary), Reason::NoPrimary));
}
