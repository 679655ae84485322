//! What holds for every cluster and every question.

use proptest::prelude::*;
use sql::Class;

use super::super::{
    Decision, Eligibility, FenceState, Load, Pace, RouteFrom, Target, Wait, candidates, decide,
    eligibility,
};
use super::world::{World, before, replica};
use crate::clock::Ticket;
use crate::lag::Lag;
use crate::lsn::{Fence, Lsn, Position, Timeline};
use crate::rules::{Consistency, OnNoPrimary, OnStale, Route};
use crate::testing::ms;
use crate::topology::{Gate, Health, Leader, NodeId, NodeView, Role};

struct Hashed(u64);

impl Load for Hashed {
    fn busy(&self, node: NodeId) -> u32 {
        u32::try_from(self.0.rotate_left(node.0 * 7) & 0xf).unwrap()
    }
}

prop_compose! {
    fn node(id: u32)(
        role in prop::sample::select(vec![Role::Replica, Role::Replica, Role::Unknown]),
        gate in prop::sample::select(vec![Gate::Open, Gate::Open, Gate::Draining]),
        health in prop::sample::select(vec![Health::Up, Health::Up, Health::Down, Health::Unknown]),
        timeline in prop::option::of(1_u32..3),
        replay in prop::option::of(95_u64..105),
        lag in prop::option::of(0_u64..2000),
        weight in 0_u32..4,
    ) -> NodeView {
        let position = replay.map(|replay| Position { timeline: timeline.map(Timeline), replay: Lsn(replay) });
        NodeView { role, gate, health, weight, position, lag_bytes: lag, ..replica(id, 0) }
    }
}

fn nodes() -> impl Strategy<Value = Vec<NodeView>> {
    (0_u32..5).prop_flat_map(|count| (1..=count).map(node).collect::<Vec<_>>())
}

prop_compose! {
    fn world()(
        nodes in nodes(),
        observed in prop::collection::vec(0_u64..20, 6),
        leader in 0..4,
        class in prop::sample::select(vec![Class::Read, Class::Read, Class::PrimaryRead, Class::Write]),
        route in prop::sample::select(vec![Route::Auto, Route::Auto, Route::Primary, Route::Replica]),
        consistency in prop::sample::select(vec![Consistency::Eventual, Consistency::Session]),
        on_stale in prop::sample::select(vec![OnStale::Primary, OnStale::Wait, OnStale::Error]),
        on_no_primary in prop::sample::select(vec![OnNoPrimary::Serve, OnNoPrimary::Error]),
        max_lag in prop::option::of(0_u64..2000),
        fence in prop_oneof![
            Just(FenceState::Open),
            Just(FenceState::Pending(Ticket(1))),
            (1_u32..3, 95_u64..105).prop_map(|(timeline, lsn)| FenceState::Known(Fence {
                timeline: Timeline(timeline),
                lsn: Lsn(lsn),
            })),
        ],
        last_read in prop::option::of((0_u32..6, 0_u64..20)),
        pace in prop::option::of((1_u32..3, 95_u64..105, 0_u64..4)),
    ) -> World {
        let mut world = World::new(nodes);
        for (node, ago) in world.topology.nodes.iter_mut().zip(observed) {
            node.observed = Some(before(world.now, ago));
        }
        world = match leader {
            0 => world.missing(),
            1 => world.leader(Leader::SplitBrain),
            _ => world,
        };
        if let Some((node, ago)) = last_read {
            world = world.last_read(node, ago);
        }
        world.wishes.route = route;
        world.wishes.consistency = consistency;
        world.wishes.on_stale = on_stale;
        world.wishes.on_no_primary = on_no_primary;
        world.wishes.max_lag = max_lag.map(ms);
        let pace = pace.map(|(timeline, lsn, took)| Pace {
            newest: Fence { timeline: Timeline(timeline), lsn: Lsn(lsn) },
            took: ms(took),
        });
        World { class, from: RouteFrom::Session, fence, pace, ..world }
    }
}

fn check_replica(world: &World, decision: Decision, id: NodeId) -> Result<(), TestCaseError> {
    prop_assert_ne!(world.class, Class::Write);
    prop_assert_ne!(world.wishes.route, Route::Primary);
    prop_assert!(world.class == Class::Read || world.wishes.route == Route::Replica);
    let node = world.topology.node(id).unwrap();
    prop_assert_eq!((node.role, node.gate, node.health), (Role::Replica, Gate::Open, Health::Up));
    prop_assert_eq!(eligibility(&world.ask(), node, &world.topology), Eligibility::Eligible);
    prop_assert_eq!(decision.guard, None);
    {
        match world.fence {
            FenceState::Open => {}
            FenceState::Pending(_) => prop_assert!(false, "a read passed a pending fence"),
            FenceState::Known(fence) => {
                prop_assert!(node.position.unwrap().has_passed(fence));
                prop_assert_eq!(decision.fence, Some(fence));
                if let Some(timeline) = world.topology.timeline() {
                    // Of a newer one the primary was succeeded, and the replica follows the successor.
                    prop_assert!(fence.timeline >= timeline);
                }
            }
        }
    }
    let monotonic = world.wishes.consistency != Consistency::Eventual;
    if let Some(last) = world.last_read.filter(|last| monotonic && last.node != id) {
        let old = world.topology.node(last.node).unwrap();
        prop_assert!(old.observed.unwrap() > last.answered);
        prop_assert!(node.position.unwrap().replay >= old.position.unwrap().replay);
    }
    if let (Some(bound), Some(_), Route::Auto) =
        (world.wishes.max_lag, world.topology.primary(), world.wishes.route)
    {
        match node.lag(world.now) {
            Lag::AtMost(lag) => prop_assert!(lag <= bound),
            Lag::Unknown => prop_assert!(false, "an unmeasured replica served"),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn writes_reach_no_replica_and_reads_only_those_that_may_serve_them(
        world in world(), load in any::<u64>(), draw in any::<u64>(),
    ) {
        let decision = decide(&world.ask(), &world.topology, &Hashed(load), draw);
        match decision.target {
            Target::Replica(id) => check_replica(&world, decision, id)?,
            Target::Primary(id) => {
                prop_assert_eq!(Some(id), world.topology.primary().map(|primary| primary.id));
                prop_assert_eq!(decision.fence, None);
            }
            Target::Wait(Wait::Primary) => {
                let newer = matches!(world.fence, FenceState::Known(fence)
                    if Some(fence.timeline) > world.topology.timeline());
                prop_assert!(world.topology.primary().is_none() || newer);
            }
            Target::Wait(Wait::Fresh) => {
                prop_assert_eq!(world.wishes.on_stale, OnStale::Wait);
                prop_assert!(world.topology.primary().is_some());
            }
            Target::Wait(Wait::Ticket) => {
                let pace = world.pace.unwrap();
                prop_assert!(matches!(world.fence, FenceState::Pending(_)));
                let level = Pace::patience(world.wishes.consistency);
                let may_wait = world.wishes.on_stale == OnStale::Wait;
                let stale_wait = world.wishes.stale_wait;
                let patience = if may_wait { level.max(stale_wait) } else { level };
                prop_assert!(pace.took <= patience);
                let passed = |node: &NodeView| {
                    node.position.is_some_and(|position| position.has_passed(pace.newest))
                };
                prop_assert!(world.topology.nodes.iter().any(passed));
            }
            Target::Wait(Wait::Replay(_)) => prop_assert!(false, "nothing is known of guards"),
            Target::Refuse(_) => {}
        }
    }

    #[test]
    fn a_read_leaves_the_replicas_only_if_none_of_them_may_serve_it(world in world(), draw in any::<u64>()) {
        let mut world = world;
        world.class = Class::Read;
        if world.wishes.route == Route::Primary {
            world.wishes.route = Route::Auto;
        }
        let eligible = candidates(&world.ask(), &world.topology)
            .into_iter()
            .filter(|candidate| candidate.eligibility == Eligibility::Eligible)
            // Without a primary, only the most advanced serve, so one must be measured.
            .any(|candidate| {
                let node = world.topology.node(candidate.node).unwrap();
                world.topology.primary().is_some() || node.position.is_some()
            });
        let served = decide(&world.ask(), &world.topology, &Hashed(0), draw).target;
        prop_assert_eq!(matches!(served, Target::Replica(_)), eligible);
    }
}
