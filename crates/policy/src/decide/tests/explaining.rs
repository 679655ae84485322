//! The words of decisions, and what explain shows of each node.

use std::collections::BTreeSet;

use sql::Pin;

use super::super::{Candidate, Eligibility, Reason, Refusal, candidates};
use super::world::{World, at, replica};
use crate::lag::Lag;
use crate::testing::ms;
use crate::topology::{Gate, Health, NodeId, NodeView, Role};

#[test]
fn every_node_is_explained_with_the_first_thing_against_it() {
    let nodes = [
        replica(1, 1000),
        NodeView { role: Role::Unknown, ..replica(2, 0) },
        NodeView { gate: Gate::Draining, health: Health::Down, ..replica(3, 0) },
        NodeView { health: Health::Down, ..replica(4, 0) },
        NodeView { lag_bytes: None, ..replica(5, 0) },
        replica(6, 1001),
        at(7, 1, 899),
        at(8, 2, 5000),
        at(9, 1, 900),
    ];
    let mut world = World::new(nodes).fence(1, 900).last_read(1, 1);
    world.topology.nodes[1].lag_bytes = Some(17);
    let explained = candidates(&world.ask(), &world.topology);
    let seen: Vec<Eligibility> = explained.iter().map(|candidate| candidate.eligibility).collect();
    let expected = [
        Eligibility::IsPrimary,
        Eligibility::Eligible,
        Eligibility::RoleUnknown,
        Eligibility::Draining,
        Eligibility::Down,
        Eligibility::LagUnknown,
        Eligibility::TooFarBehind,
        Eligibility::FenceNotReached,
        Eligibility::OtherTimeline,
        Eligibility::NotMonotonic,
    ];
    assert_eq!(seen, expected);
    let first = Candidate {
        node: NodeId(1),
        lag: Lag::AtMost(ms(1000)),
        lag_bytes: Some(17),
        eligibility: Eligibility::Eligible,
    };
    assert_eq!(explained[1], first);
    assert_eq!(explained[5].lag, Lag::Unknown);
}

#[test]
fn every_reason_has_its_own_word_and_its_own_place() {
    let words: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(words.len(), Reason::ALL.len());
    for (place, reason) in Reason::ALL.iter().enumerate() {
        assert_eq!(reason.index(), place);
        let plain = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(reason.as_str().chars().all(plain), "{reason} is no label");
    }
}

#[test]
fn a_pinned_reason_carries_the_pins_own_word() {
    for reason in Reason::ALL {
        if let Reason::Pinned(pin) = reason {
            assert_eq!(reason.as_str(), format!("pinned_{}", pin.as_str()));
        }
    }
    assert_eq!(Reason::Pinned(Pin::Listen).to_string(), "pinned_listen");
}

#[test]
fn refusals_say_what_to_do_next() {
    for refusal in [Refusal::Stale, Refusal::NoPrimary, Refusal::SplitBrain, Refusal::NoReplica] {
        let message = refusal.message();
        assert!(message.contains("; ") || message.contains("retry"), "{message}");
        assert_eq!(refusal.to_string(), message);
    }
}
