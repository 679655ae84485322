//! How reads spread over the replicas that may serve them.

use super::super::{Load, Reason, Target, decide};
use super::world::{Idle, World, on, replica};
use crate::testing::ms;
use crate::topology::{NodeId, NodeView};

/// Busy servers of nodes 0, 1, 2, …
struct Busy(&'static [u32]);

impl Load for Busy {
    fn busy(&self, node: NodeId) -> u32 {
        self.0[node.0 as usize]
    }
}

/// How many of `draws` evenly spread reads each of the nodes 0 to 3 gets.
fn shares(world: &World, load: &impl Load, draws: u64) -> [u64; 4] {
    let mut shares = [0; 4];
    for i in 0..draws {
        let draw = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let target = decide(&world.ask(), &world.topology, load, draw).target;
        let Target::Replica(node) = target else { panic!("{target:?}") };
        shares[node.0 as usize] += 1;
    }
    shares
}

fn weighted(id: u32, weight: u32) -> NodeView {
    NodeView { weight, ..replica(id, 0) }
}

#[test]
fn idle_replicas_share_by_weight() {
    let world = World::new([weighted(1, 1), weighted(2, 2), weighted(3, 5)]);
    let [primary, one, two, five] = shares(&world, &Idle, 80_000);
    assert_eq!(primary, 0);
    for (share, expected) in [(one, 10_000), (two, 20_000), (five, 50_000)] {
        assert!(share.abs_diff(expected) < expected / 50, "{share} instead of {expected}");
    }
}

#[test]
fn replicas_as_busy_as_their_weight_share_by_weight() {
    let world = World::new([weighted(1, 1), weighted(2, 3)]);
    let [_, one, three, _] = shares(&world, &Busy(&[0, 2, 6]), 40_000);
    assert!(one.abs_diff(10_000) < 200 && three.abs_diff(30_000) < 600, "{one} and {three}");
}

#[test]
fn of_two_replicas_the_one_less_busy_for_its_weight_serves() {
    let world = World::new([weighted(1, 1), weighted(2, 3)]);
    assert_eq!(shares(&world, &Busy(&[0, 1, 4]), 1000), [0, 1000, 0, 0]);
    assert_eq!(shares(&world, &Busy(&[0, 1, 2]), 1000), [0, 0, 1000, 0]);
}

#[test]
fn the_busiest_of_three_gets_nothing() {
    let world = World::new([weighted(1, 1), weighted(2, 1), weighted(3, 1)]);
    let [_, one, two, busiest] = shares(&world, &Busy(&[0, 0, 0, 1]), 30_000);
    assert_eq!(busiest, 0);
    assert!(one.abs_diff(two) < 600, "{one} and {two}");
}

#[test]
fn the_only_replica_serves_however_busy_it_is() {
    let world = World::new([replica(1, 0)]);
    for draw in [0, 1, u64::MAX / 2, u64::MAX] {
        let decision = decide(&world.ask(), &world.topology, &Busy(&[0, u32::MAX]), draw);
        assert_eq!((decision.target, decision.reason), on(1, Reason::Read));
    }
}

#[test]
fn replicas_that_may_not_serve_take_no_share() {
    let world =
        World::new([weighted(1, 1), NodeView { weight: 100, ..replica(2, 2000) }, weighted(3, 1)]);
    let [_, one, late, three] = shares(&world.max_lag(Some(ms(1000))), &Idle, 20_000);
    assert_eq!(late, 0);
    assert!(one.abs_diff(three) < 400, "{one} and {three}");
}

#[test]
fn weights_at_their_ends_do_no_harm() {
    let world = World::new([weighted(1, u32::MAX), weighted(2, u32::MAX), weighted(3, 0)]);
    let [_, one, two, _] = shares(&world, &Busy(&[0, u32::MAX, u32::MAX, 0]), 1000);
    assert!(one > 0 && two > 0);
}

#[test]
fn members_beyond_the_first_64_are_judged_like_all_others() {
    let lag = |id: u32| if id <= 70 { 5000 } else { 0 };
    let world = World::new((1..=90).map(|id| replica(id, lag(id)))).max_lag(Some(ms(1000)));
    let mut served = [0; 91];
    for i in 0..2000_u64 {
        let draw = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let target = decide(&world.ask(), &world.topology, &Idle, draw).target;
        let Target::Replica(node) = target else { panic!("{target:?}") };
        served[node.0 as usize] += 1;
    }
    assert!(served[..=70].iter().all(|reads| *reads == 0), "{served:?}");
    assert!(served[71..].iter().all(|reads| *reads > 0), "{served:?}");
}
