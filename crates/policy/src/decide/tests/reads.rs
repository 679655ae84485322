//! Which replica may serve a read, and what becomes of it if none may.

use sql::Class;

use super::super::{
    Eligibility, Reason, Refusal, RouteFrom, Target, Wait, eligibility, outgrew_bounds,
};
use super::world::{World, at, before, on, primary, replica};
use crate::lsn::{Fence, Lsn, Timeline};
use crate::testing::ms;
use crate::topology::{Gate, Health, NodeId, NodeView, Role};

#[test]
fn a_read_goes_to_a_replica() {
    assert_eq!(World::new([replica(1, 0)]).goes(), on(1, Reason::Read));
    assert_eq!(World::new([replica(1, 0)]).eventual().goes(), on(1, Reason::Read));
}

#[test]
fn a_read_goes_to_the_primary_where_no_replica_takes_reads() {
    let none = primary(Reason::NoReplica);
    assert_eq!(World::new([]).goes(), none);
    let table = [
        NodeView { gate: Gate::Draining, ..replica(1, 0) },
        NodeView { health: Health::Down, ..replica(1, 0) },
        NodeView { health: Health::Unknown, ..replica(1, 0) },
        NodeView { role: Role::Unknown, ..replica(1, 0) },
    ];
    for node in table {
        assert_eq!(World::new([node.clone()]).goes(), none, "{node:?}");
        assert_eq!(World::new([node.clone()]).max_lag(None).eventual().goes(), none, "{node:?}");
    }
}

#[test]
fn lag_exactly_at_the_limit_is_fresh() {
    for world in [World::new([replica(1, 500)]), World::new([replica(1, 500)]).eventual()] {
        assert_eq!(world.max_lag(Some(ms(500))).goes(), on(1, Reason::Read));
    }
    for world in [World::new([replica(1, 501)]), World::new([replica(1, 501)]).eventual()] {
        assert_eq!(world.max_lag(Some(ms(500))).goes(), primary(Reason::TooFarBehind));
    }
}

#[test]
fn lag_that_was_never_measured_is_not_zero() {
    let unmeasured = || NodeView { lag_bytes: None, ..replica(1, 0) };
    assert_eq!(World::new([unmeasured()]).goes(), primary(Reason::NoReplica));
    assert_eq!(World::new([unmeasured()]).eventual().goes(), primary(Reason::NoReplica));
}

#[test]
fn without_a_bound_any_lag_will_do_also_an_unknown_one() {
    let unmeasured = NodeView { lag_bytes: None, ..replica(1, 0) };
    assert_eq!(World::new([unmeasured]).max_lag(None).goes(), on(1, Reason::Read));
    assert_eq!(World::new([replica(1, 59_000)]).max_lag(None).goes(), on(1, Reason::Read));
}

#[test]
fn a_read_waits_behind_its_fence_on_the_primary() {
    assert_eq!(World::new([replica(1, 0)]).fence(1, 1000).goes(), on(1, Reason::Read));
    assert_eq!(World::new([replica(1, 0)]).fence(1, 1001).goes(), primary(Reason::FenceNotReached));
    assert_eq!(World::new([replica(1, 0)]).pending().goes(), primary(Reason::FencePending));
}

#[test]
fn the_replica_that_passed_the_fence_serves_and_the_decision_says_which_fence() {
    let world = World::new([at(1, 1, 999), at(2, 1, 1000)]).fence(1, 1000);
    let decision = world.decide();
    assert_eq!(decision.target, Target::Replica(NodeId(2)));
    assert_eq!(decision.fence, Some(Fence { timeline: Timeline(1), lsn: Lsn(1000) }));
}

#[test]
fn eventual_reads_need_not_be_monotonic_but_a_token_holds_for_them_too() {
    assert_eq!(
        World::new([at(1, 1, 1), at(2, 1, 1)]).last_read(3, 0).eventual().goes().1,
        Reason::Read
    );
    let world = World::new([replica(1, 0)]).fence(1, 1001).eventual();
    assert_eq!(world.goes(), primary(Reason::FenceNotReached));
}

#[test]
fn a_passed_fence_does_not_excuse_from_max_lag() {
    let world = World::new([replica(1, 1001)]).fence(1, 1000);
    assert_eq!(world.goes(), primary(Reason::TooFarBehind));
}

#[test]
fn a_fence_proves_nothing_on_another_timeline() {
    let table = [
        // The node, the fence's timeline; the leader is on timeline 1.
        (at(1, 2, 5000), 1),
        (at(1, None, 5000), 1),
        (NodeView { position: None, ..replica(1, 0) }, 1),
    ];
    for (node, timeline) in table {
        let world = World::new([node.clone()]).fence(timeline, 1000);
        assert_eq!(world.goes(), primary(Reason::FenceNotReached), "{node:?}");
        let seen = eligibility(&world.ask(), &world.topology.nodes[1], &world.topology);
        assert_eq!(seen, Eligibility::OtherTimeline);
    }
}

#[test]
fn a_fence_of_a_timeline_that_nobody_here_leads_is_not_the_primary_s() {
    // Only a primary that is not known here can have made it.
    let world = World::new([at(1, 1, 5000)]).fence(2, 1000);
    assert_eq!(world.goes(), (Target::Wait(Wait::Primary), Reason::NoPrimary));
    let world = World::new([at(1, 1, 5000), at(2, 2, 1000)]).fence(2, 1000);
    assert_eq!(world.goes(), on(2, Reason::NoPrimary));
    assert_eq!(World::new([]).fence(2, 1).class(Class::Write).goes(), primary(Reason::Write));
}

#[test]
fn staying_on_the_last_reads_replica_is_free() {
    let world = World::new([at(1, 1, 10), at(2, 1, 9)]).last_read(1, 0);
    assert_eq!(world.goes(), on(1, Reason::Read));
}

#[test]
fn staying_is_not_free_while_the_replicas_position_is_withheld() {
    let withheld = NodeView { position: None, ..replica(1, 0) };
    assert_eq!(World::new([withheld]).last_read(1, 0).goes(), primary(Reason::NotMonotonic));
}

#[test]
fn moving_needs_the_old_replicas_position_to_be_asked_for_after_the_last_answer() {
    let moved = |ago| {
        // Node 1 drains, and was measured 10 ms ago.
        let mut world = World::new([replica(1, 0), replica(2, 0)]).last_read(1, ago);
        world.topology.nodes[1].gate = Gate::Draining;
        world.topology.nodes[1].observed = Some(before(world.now, 10));
        world.goes()
    };
    assert_eq!(moved(11), on(2, Reason::Read));
    assert_eq!(moved(10), primary(Reason::NotMonotonic));
    assert_eq!(moved(9), primary(Reason::NotMonotonic));
}

#[test]
fn moving_needs_the_new_replica_to_be_as_far_on_the_same_timeline() {
    let moved = |old: NodeView, new: NodeView| {
        let old = NodeView { health: Health::Down, ..old };
        World::new([old, new]).last_read(1, 1).goes()
    };
    assert_eq!(moved(at(1, 1, 500), at(2, 1, 500)), on(2, Reason::Read));
    assert_eq!(moved(at(1, 1, 500), at(2, 1, 499)), primary(Reason::NotMonotonic));
    assert_eq!(moved(at(1, 2, 500), at(2, 1, 600)), primary(Reason::NotMonotonic));
    assert_eq!(moved(at(1, None, 500), at(2, None, 600)), primary(Reason::NotMonotonic));
    let unmeasured = NodeView { position: None, ..replica(1, 0) };
    assert_eq!(moved(unmeasured, at(2, 1, 600)), primary(Reason::NotMonotonic));
}

#[test]
fn a_last_read_on_a_node_that_is_gone_or_was_promoted_is_healed_by_the_primary() {
    assert_eq!(World::new([replica(1, 0)]).last_read(7, 1).goes(), primary(Reason::NotMonotonic));
    assert_eq!(World::new([replica(1, 0)]).last_read(0, 1).goes(), primary(Reason::NotMonotonic));
}

#[test]
fn the_reason_is_the_objection_to_the_node_that_came_closest() {
    let down = || NodeView { health: Health::Down, ..replica(1, 0) };
    let unmeasured = || NodeView { lag_bytes: None, ..replica(2, 0) };
    let late = || replica(3, 2000);
    // Behind the last read's node 3, which is too late itself.
    let not_monotonic = || at(4, 1, 999);
    let world = |nodes: Vec<NodeView>| World::new(nodes);
    assert_eq!(world(vec![down(), unmeasured()]).goes(), primary(Reason::NoReplica));
    assert_eq!(world(vec![down(), late(), unmeasured()]).goes(), primary(Reason::TooFarBehind));
    let nodes = vec![not_monotonic(), late(), down()];
    assert_eq!(world(nodes).last_read(3, 1).goes(), primary(Reason::NotMonotonic));
    let nodes = vec![late(), not_monotonic(), down()];
    assert_eq!(
        world(nodes).last_read(3, 1).fence(1, 1000).goes(),
        primary(Reason::FenceNotReached)
    );
}

#[test]
fn on_stale_says_what_becomes_of_a_read_that_no_replica_may_serve() {
    let world = |on_stale| World::new([replica(1, 1001)]).wish("on_stale", on_stale);
    assert_eq!(world("primary").goes(), primary(Reason::TooFarBehind));
    assert_eq!(world("wait").goes(), (Target::Wait(Wait::Fresh), Reason::TooFarBehind));
    assert_eq!(world("error").goes(), (Target::Refuse(Refusal::Stale), Reason::TooFarBehind));
    assert_eq!(world("wait").pending().goes(), (Target::Wait(Wait::Fresh), Reason::FencePending));
}

#[test]
fn nobody_waits_for_replicas_that_do_not_exist() {
    assert_eq!(World::new([]).wish("on_stale", "wait").goes(), primary(Reason::NoReplica));
    assert_eq!(World::new([]).wish("on_stale", "error").goes().0, Target::Refuse(Refusal::Stale));
}

#[test]
fn a_named_replica_serves_reads_and_primary_reads_however_old_it_is() {
    let table = [
        (RouteFrom::Hint, Reason::Hint),
        (RouteFrom::Session, Reason::Setting),
        (RouteFrom::Config, Reason::Config),
    ];
    for (from, reason) in table {
        for class in [Class::Read, Class::PrimaryRead] {
            let late = replica(1, 59_000);
            let world = World::new([late]).wish("route", "replica").from(from).class(class);
            assert_eq!(world.goes(), on(1, reason));
        }
    }
    let unmeasured = NodeView { lag_bytes: None, ..replica(1, 0) };
    assert_eq!(World::new([unmeasured]).wish("route", "replica").goes(), on(1, Reason::Config));
}

#[test]
fn a_named_replica_still_has_to_pass_the_fence_of_a_session() {
    let world = World::new([replica(1, 0)]).wish("route", "replica").fence(1, 1001);
    assert_eq!(world.goes(), primary(Reason::FenceNotReached));
    let world = World::new([replica(1, 0)]).wish("route", "replica").last_read(3, 0).eventual();
    assert_eq!(world.goes(), on(1, Reason::Config));
    let world = World::new([replica(1, 0)]).wish("route", "replica").pending();
    assert_eq!(world.wish("on_stale", "error").goes().0, Target::Refuse(Refusal::Stale));
}

#[test]
fn a_named_replica_where_none_takes_reads_is_refused() {
    let draining = NodeView { gate: Gate::Draining, ..replica(1, 0) };
    for world in [World::new([]), World::new([draining]), World::new([]).missing()] {
        let refused = (Target::Refuse(Refusal::NoReplica), Reason::NoReplica);
        assert_eq!(world.wish("route", "replica").goes(), refused);
    }
}

#[test]
fn a_pending_ticket_is_waited_for_where_it_is_quick_and_a_replica_keeps_up() {
    let waits = (Target::Wait(Wait::Ticket), Reason::FencePending);
    let to_primary = primary(Reason::FencePending);
    let world = |replay, took| World::new([at(1, 1, replay)]).pending().pace(100, took);
    assert_eq!(world(100, 4).goes(), waits);
    assert_eq!(world(100, 5).goes(), to_primary, "the ticket takes longer than it is worth");
    assert_eq!(world(99, 2).goes(), to_primary, "the replica is behind the last answer already");
    assert_eq!(World::new([at(1, 2, 100)]).pending().pace(100, 2).goes(), to_primary);
    assert_eq!(World::new([]).pending().pace(100, 2).goes(), primary(Reason::NoReplica));
}

#[test]
fn a_read_that_waited_for_a_server_leaves_a_node_that_fell_behind_meanwhile() {
    let world = World::new([replica(1, 900)]);
    let outgrew = |world: &World, waited| {
        let now = world.now + ms(waited);
        outgrew_bounds(&world.wishes, &world.topology.nodes[1], &world.topology, now)
    };
    assert!(!outgrew(&world, 100));
    assert!(outgrew(&world, 101));
    assert!(!outgrew(&world.missing(), 101), "nobody measures it");
}
