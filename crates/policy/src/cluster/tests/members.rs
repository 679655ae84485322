//! Who belongs to the cluster.

use super::super::{Event, MembershipError, NodePatch, NodeSpec};
use super::stage::{Stage, spec, standby, writable};
use crate::topology::{Gate, Health, NodeId, Role};

#[test]
fn a_name_or_an_address_belongs_to_one_member() {
    let mut stage = Stage::new(1);
    let other_address = NodeSpec { port: 1, ..spec(0) };
    assert_eq!(stage.cluster.add(other_address), Err(MembershipError::NameTaken));
    let other_name = NodeSpec { name: "other".into(), ..spec(0) };
    assert_eq!(stage.cluster.add(other_name), Err(MembershipError::AddressTaken));
    let other_host = NodeSpec { name: "other".into(), host: "127.0.0.2".into(), ..spec(0) };
    assert_eq!(stage.cluster.add(other_host), Ok(NodeId(1)));
}

#[test]
fn a_weight_is_at_least_one() {
    let mut stage = Stage::new(1);
    let weightless = NodeSpec { weight: 0, ..spec(1) };
    assert_eq!(stage.cluster.add(weightless), Err(MembershipError::BadWeight));
    let patch = NodePatch { weight: Some(0), gate: Some(Gate::Draining) };
    assert_eq!(stage.cluster.patch("n0", patch), Err(MembershipError::BadWeight));
    assert_eq!(stage.view(0).gate, Gate::Open, "nothing was changed");
    assert_eq!(stage.cluster.patch("n0", NodePatch { weight: Some(5), gate: None }), Ok(()));
    assert_eq!((stage.view(0).weight, stage.view(0).gate), (5, Gate::Open));
}

#[test]
fn a_replica_drains_and_resumes_and_stays_measured_meanwhile() {
    let mut stage = Stage::led(2);
    let gate = |gate| NodePatch { weight: None, gate: Some(gate) };
    assert_eq!(stage.cluster.patch("n1", gate(Gate::Draining)), Ok(()));
    let view = stage.view(1);
    assert_eq!((view.gate, view.role, view.health), (Gate::Draining, Role::Replica, Health::Up));
    assert!(view.fresh_at.is_some());
    assert_eq!(stage.cluster.patch("n1", gate(Gate::Open)), Ok(()));
    assert_eq!(stage.view(1).gate, Gate::Open);
}

#[test]
fn the_primary_is_neither_drained_nor_removed() {
    let mut stage = Stage::led(2);
    let drain = NodePatch { weight: None, gate: Some(Gate::Draining) };
    assert_eq!(stage.cluster.patch("n0", drain), Err(MembershipError::IsPrimary));
    assert_eq!(stage.cluster.remove("n0"), Err(MembershipError::IsPrimary));
    assert_eq!(stage.cluster.patch("n0", NodePatch { weight: Some(2), gate: None }), Ok(()));
}

#[test]
fn a_draining_replica_that_is_promoted_leads() {
    let mut stage = Stage::led(2);
    let drain = NodePatch { weight: None, gate: Some(Gate::Draining) };
    assert_eq!(stage.cluster.patch("n1", drain), Ok(()));
    stage.says(1, writable(2, 1000));
    assert_eq!(stage.leads(), Some((1, 2)));
}

#[test]
fn a_removed_node_is_gone_and_its_number_with_it() {
    let mut stage = Stage::led(3);
    assert_eq!(stage.cluster.remove("n2"), Ok(()));
    assert_eq!(stage.cluster.remove("n2"), Err(MembershipError::NoSuchNode));
    assert_eq!(stage.cluster.patch("n2", NodePatch::default()), Err(MembershipError::NoSuchNode));
    assert_eq!(stage.says(2, standby(1, 1000)), [], "its last probe comes too late");
    assert_eq!(stage.fails(2), []);
    assert_eq!(stage.cluster.add(spec(2)), Ok(NodeId(3)));
    assert_eq!(stage.cluster.ids().collect::<Vec<_>>(), [NodeId(0), NodeId(1), NodeId(3)]);
}

#[test]
fn a_lost_primary_can_be_removed() {
    let mut stage = Stage::led(2);
    stage.dies(0);
    assert_eq!(stage.cluster.remove("n0"), Ok(()));
    assert_eq!(stage.leads(), None);
    stage.says(1, writable(2, 1000));
    assert_eq!((stage.leads(), stage.epoch()), (Some((1, 2)), 2));
}

#[test]
fn a_node_added_to_a_led_cluster_serves_once_it_was_measured() {
    let mut stage = Stage::led(1);
    assert_eq!(stage.cluster.add(spec(1)), Ok(NodeId(1)));
    assert_eq!((stage.view(1).role, stage.view(1).health), (Role::Unknown, Health::Unknown));
    assert_eq!(stage.leads(), Some((0, 1)), "the primary isn't doubted for it");
    assert_eq!(stage.says(1, standby(1, 1000)), [Event::NodeUp { node: NodeId(1) }]);
    let view = stage.view(1);
    assert_eq!((view.role, view.health), (Role::Replica, Health::Up));
    assert!(view.fresh_at.is_some());
}

#[test]
fn a_node_of_another_cluster_is_up_and_of_no_use() {
    let mut stage = Stage::led(1);
    assert_eq!(stage.cluster.add(spec(1)), Ok(NodeId(1)));
    let events = stage.says(1, writable(5, 1000).of(99));
    assert!(matches!(events[..], [Event::NodeUp { .. }, Event::WrongSystem { found: 99, .. }]));
    assert_eq!(stage.roles(), [Role::Primary, Role::Unknown]);
    assert_eq!(stage.says(1, writable(5, 1000).of(99)), [], "it is told once");
    // The data folder was put right: a base backup of the primary.
    stage.says(1, standby(1, 1000).run(2));
    assert_eq!(stage.roles(), [Role::Primary, Role::Replica]);
}

#[test]
fn each_topology_is_of_a_higher_generation() {
    let mut stage = Stage::new(0);
    let first = stage.topology().generation;
    assert!(stage.topology().generation > first);
}

#[test]
fn a_cluster_without_members_has_no_primary() {
    assert_eq!(Stage::new(0).leads(), None);
}
