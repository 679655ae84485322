//! Reads that carry their proof, and reads that wait until one is likely.

use super::super::{Guarding, Wait};
use super::world::*;
use crate::clock::{Answer, Answers, Configured, Ticket};
use crate::decide::{Ask, Decision, Reason, Target, decide};
use crate::guard::{Guard, Guards, Proof};
use crate::lsn::{Fence, Lsn, Timeline};
use crate::rules::Consistency;
use crate::testing::ms;
use crate::topology::{Epoch, NodeId, NodeView, Sampled};

/// Guards of node 1 pass from this age on, in milliseconds.
fn passing_from(age: u64) -> Guards {
    let mut guards = Guards::default();
    for _ in 0..40 {
        guards.note(NodeId(1), ms(age), Proof::Passed);
        if age > 0 {
            guards.note(NodeId(1), ms(age - 1), Proof::Behind);
        }
    }
    guards
}

/// The primary was seen to have flushed up to `flush`, so many milliseconds ago.
fn flushed(world: &World, flush: u64, ago: u64) -> Answers {
    let mut answers = Answers::default();
    for (age, lsn) in [(ago + 50, 1), (ago, flush)] {
        answers.push(Answer {
            through: Ticket(1),
            sent: before(world.now, age),
            epoch: Epoch(1),
            timeline: Timeline(1),
            insert: Lsn(lsn),
            flush: Lsn(lsn),
            mark: Lsn(lsn),
            took: ms(1),
            configured: Configured {
                since: world.now,
                after: Ticket(0),
                loaded: 1,
                covers: Some(Lsn(0)),
            },
        });
    }
    answers
}

struct Guarded<'a> {
    world: &'a World,
    odds: Guards,
    answers: Answers,
    waited: u64,
}

impl Guarded<'_> {
    fn decide(&self) -> Decision {
        let waited = ms(self.waited);
        let guards = Some(Guarding { odds: &self.odds, answers: &self.answers, waited });
        // No curiosity: the high half of the draw is 1.
        let draw = 1 << 32;
        decide(&Ask { guards, ..self.world.ask() }, &self.world.topology, &Idle, draw)
    }
}

/// Replica 1 is at 1000, the read needs 1001.
fn behind() -> World {
    World::new([replica(1, 0)]).fence(1, 1001)
}

fn guarded(world: &World) -> Guarded<'_> {
    Guarded { world, odds: passing_from(2), answers: flushed(world, 1001, 5), waited: 0 }
}

#[test]
fn a_replica_that_very_likely_caught_up_serves_and_has_to_prove_it() {
    let world = behind();
    let decision = guarded(&world).decide();
    assert_eq!((decision.target, decision.reason), on(1, Reason::Read));
    let fence = Fence { timeline: Timeline(1), lsn: Lsn(1001) };
    assert_eq!(decision.guard, Some(Guard { fence, flushed: before(world.now, 5), waits: None }));
    assert_eq!(decision.fence, Some(fence));
}

#[test]
fn a_replica_that_was_measured_past_the_fence_proves_nothing() {
    let world = World::new([replica(1, 0)]).fence(1, 1000);
    assert_eq!(guarded(&world).decide().guard, None);
}

#[test]
fn no_guard_is_tried_for_wal_that_was_not_flushed() {
    let world = behind();
    let answers = flushed(&world, 1000, 5);
    let decision = Guarded { answers, ..guarded(&world) }.decide();
    assert_eq!((decision.target, decision.reason), primary(Reason::FenceNotReached));
}

#[test]
fn no_guard_is_tried_where_none_is_known_to_pass() {
    let world = behind();
    let to_primary = primary(Reason::FenceNotReached);
    for odds in [Guards::default(), passing_from(500)] {
        let decision = Guarded { odds, ..guarded(&world) }.decide();
        assert_eq!((decision.target, decision.reason), to_primary);
    }
}

#[test]
fn a_guard_is_no_remedy_for_what_it_can_not_prove() {
    let drained = |node: NodeView| NodeView { gate: crate::topology::Gate::Draining, ..node };
    let worlds = [
        World::new([replica(1, 5000)]).fence(1, 1001),
        World::new([drained(replica(1, 0))]).fence(1, 1001),
        World::new([at(1, 2, 1000)]).fence(1, 1001),
        World::new([at(1, None, 1000)]).fence(1, 1001),
        World::new([NodeView { position: None, ..replica(1, 0) }]).fence(1, 1001),
        World::new([replica(1, 0)]).fence(2, 1001),
        World::new([replica(1, 0)]).fence(1, 1001).missing(),
        World::new([replica(1, 0)]).pending(),
    ];
    for world in worlds {
        let decision = guarded(&world).decide();
        assert!(!matches!(decision.target, Target::Replica(_)), "{world:?}");
        assert_eq!(decision.guard, None);
    }
}

#[test]
fn a_guard_proves_what_the_last_read_showed_too() {
    let moving = |shown| {
        let mut world = World::new([replica(1, 0), at(2, 1, shown)]).last_read(2, 1);
        world.topology.nodes[2].gate = crate::topology::Gate::Draining;
        world
    };
    let world = moving(1001);
    let proves = guarded(&world).decide().guard.map(|guard| guard.fence.lsn);
    assert_eq!(proves, Some(Lsn(1001)));
    // What it showed is not known, so neither is what would have to be proved.
    let mut world = moving(1001);
    world.topology.nodes[2].position = None;
    assert_eq!(guarded(&world).decide().reason, Reason::NotMonotonic);
    // It can't have shown more than the primary had flushed later.
    let flush = Fence { timeline: Timeline(1), lsn: Lsn(1001) };
    world.topology.sampled = Some(Sampled { sent: world.now, flush });
    let proves = guarded(&world).decide().guard.map(|guard| guard.fence.lsn);
    assert_eq!(proves, Some(Lsn(1001)));
}

#[test]
fn a_read_waits_until_a_guard_is_likely_if_that_is_soon() {
    let world = behind();
    let at = |ago, waited| {
        let answers = flushed(&world, 1001, ago);
        Guarded { answers, waited, ..guarded(&world) }.decide().target
    };
    assert_eq!(at(1, 0), Target::Wait(Wait::Replay(ms(1))));
    assert_eq!(at(0, 0), Target::Wait(Wait::Replay(ms(2))));
    assert_eq!(at(1, 4), Target::Primary(NodeId(0)), "it has waited long enough");
    assert_eq!(at(2, 2), Target::Replica(NodeId(1)));
}

#[test]
fn a_ticket_is_worth_waiting_for_where_a_guard_will_pass_behind_it() {
    let world = World::new([at(1, 1, 99)]).pending().pace(100, 1);
    let waits = |odds| {
        let target = Guarded { odds, ..guarded(&world) }.decide().target;
        target == Target::Wait(Wait::Ticket)
    };
    assert!(waits(passing_from(1)));
    assert!(!waits(passing_from(5)));
    assert!(!waits(Guards::default()));
}

#[test]
fn a_strong_read_waits_longer_than_another() {
    let mut world = World::new([at(1, 1, 99)]).pending().pace(100, 5);
    let target =
        |world: &World| Guarded { odds: passing_from(5), ..guarded(world) }.decide().target;
    assert_eq!(target(&world), Target::Primary(NodeId(0)));
    world.wishes.consistency = Consistency::Strong;
    assert_eq!(target(&world), Target::Wait(Wait::Ticket));
}

#[test]
fn a_replica_that_can_wait_is_asked_sooner_and_for_as_long_as_the_read_may_wait() {
    let mut world = behind();
    world.topology.nodes[1].version = Some(190_000);
    let at = |ago, waited| {
        let answers = flushed(&world, 1001, ago);
        Guarded { answers, waited, ..guarded(&world) }.decide()
    };
    assert_eq!(at(0, 0).guard.map(|guard| guard.waits), Some(Some(ms(4))));
    assert_eq!(at(1, 1).guard.map(|guard| guard.waits), Some(Some(ms(3))));
    assert_eq!(at(1, 4).guard, None, "it has waited long enough");
    world.topology.nodes[1].version = Some(189_999);
    let answers = flushed(&world, 1001, 2);
    let decision = Guarded { answers, ..guarded(&world) }.decide();
    assert_eq!(decision.guard.map(|guard| guard.waits), Some(None));
}

#[test]
fn a_read_that_may_wait_for_a_replica_waits_until_its_guard_is_likely() {
    let mut world = behind().wish("on_stale", "wait").wish("stale_wait", "20ms");
    let at = |world: &World, ago, waited| {
        let (odds, answers) = (passing_from(10), flushed(world, 1001, ago));
        Guarded { odds, answers, waited, ..guarded(world) }.decide()
    };
    assert_eq!(at(&world, 1, 0).target, Target::Wait(Wait::Replay(ms(9))));
    assert_eq!(at(&world, 10, 9).target, Target::Replica(NodeId(1)));
    assert_eq!(at(&world, 1, 12).target, Target::Wait(Wait::Fresh), "that would be too long");
    world.topology.nodes[1].version = Some(190_000);
    assert_eq!(at(&world, 1, 0).guard.and_then(|guard| guard.waits), Some(ms(20)));
    let world = world.wish("stale_wait", "60s");
    assert_eq!(at(&world, 1, 0).guard.and_then(|guard| guard.waits), Some(ms(100)));
}
