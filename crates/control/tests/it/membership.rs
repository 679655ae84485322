//! Operators add, drain and remove nodes while everything runs.

use std::time::Duration;

use control::Command;
use policy::cluster::{MembershipError, NodePatch};
use policy::{Gate, Health, Role};
use testkit::Cluster;

use crate::rig::{Plan, mute, spec, view, wait_for_no_probe};

#[tokio::test]
async fn a_node_that_was_added_is_a_measured_replica_within_a_second() {
    let cluster = Cluster::builder().replicas(2).start().unwrap();
    let (primary, replicas) = (cluster.primary(), cluster.replicas());
    let mut rig = Plan::among(&[primary.clone(), replicas[0].clone()]).start();
    rig.until_led_by(primary, &replicas[..1]).await;
    let new = spec(replicas[1]);
    rig.command(|reply| Command::Add { spec: new.clone(), reply }).await.unwrap();
    assert_eq!(rig.now().nodes.len(), 3, "the reply comes after the snapshot");
    rig.within(Duration::from_secs(1), "the new node", |seen| {
        let node = view(seen, &new.name);
        node.role == Role::Replica && node.health == Health::Up && node.position.is_some()
    })
    .await;
    let again = rig.command(|reply| Command::Add { spec: new, reply }).await;
    assert_eq!(again, Err(MembershipError::NameTaken));
}

#[tokio::test]
async fn a_drained_node_is_shown_as_such_and_still_measured() {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let (primary, replicas) = (cluster.primary(), cluster.replicas());
    let mut rig = Plan::of(&cluster).start();
    rig.until_led_by(primary, &replicas).await;
    let name: Box<str> = replicas[0].name().into();
    let patch = NodePatch { gate: Some(Gate::Draining), weight: Some(7) };
    rig.command(|reply| Command::Patch { name: name.clone(), patch, reply }).await.unwrap();
    let drained = view(&rig.now(), &name).clone();
    assert_eq!((drained.gate, drained.weight), (Gate::Draining, 7));
    rig.until("one more probe", |seen| view(seen, &name).observed > drained.observed).await;
    let patch = NodePatch { gate: Some(Gate::Open), weight: None };
    rig.command(|reply| Command::Patch { name: name.clone(), patch, reply }).await.unwrap();
    assert_eq!(view(&rig.now(), &name).gate, Gate::Open);
}

#[tokio::test]
async fn a_removed_node_is_gone_and_not_probed_any_more() {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let (primary, replicas) = (cluster.primary(), cluster.replicas());
    let mut rig = Plan::of(&cluster).start();
    rig.until_led_by(primary, &replicas).await;
    let remove = |name: &str| {
        let name: Box<str> = name.into();
        move |reply| Command::Remove { name, reply }
    };
    assert_eq!(rig.command(remove("nobody")).await, Err(MembershipError::NoSuchNode));
    assert_eq!(rig.command(remove(primary.name())).await, Err(MembershipError::IsPrimary));
    assert_eq!(rig.command(remove(replicas[0].name())).await, Ok(()));
    assert_eq!(rig.now().nodes.len(), 1);
    wait_for_no_probe(replicas[0]);
}

#[tokio::test]
async fn a_node_can_be_removed_while_its_probe_hangs() {
    let cluster = Cluster::builder().start().unwrap();
    let (_listener, silent) = mute("silent");
    let mut plan = Plan::of(&cluster);
    plan.nodes.push(silent);
    let mut rig = plan.start();
    rig.until_led_by(cluster.primary(), &[]).await;
    let name: Box<str> = "silent".into();
    assert_eq!(rig.command(|reply| Command::Remove { name, reply }).await, Ok(()));
    assert_eq!(rig.now().nodes.len(), 1);
}
