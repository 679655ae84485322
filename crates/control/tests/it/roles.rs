//! Who is primary, and how far is each replica?

use std::time::Duration;

use policy::{Lag, Leader, Lsn, Role, Signal, Timeline, Topology};
use testkit::{Cluster, Node};

use crate::rig::{Plan, Rig, is_led_by, view};

#[tokio::test]
async fn the_roles_of_three_nodes_are_known_within_a_second() {
    let cluster = Cluster::builder().replicas(2).start().unwrap();
    let mut rig = Plan::of(&cluster).start();
    let (primary, replicas) = (cluster.primary(), cluster.replicas());
    let second = Duration::from_secs(1);
    let seen = rig.within(second, "roles", |seen| is_led_by(seen, primary, &replicas)).await;
    assert_eq!(seen.timeline(), Some(Timeline(1)));
    assert_eq!(view(&seen, primary.name()).role, Role::Primary);
    let timelines = replicas.iter().map(|node| view(&seen, node.name()).position.unwrap().timeline);
    assert_eq!(timelines.collect::<Vec<_>>(), [Some(Timeline(1)); 2]);
}

/// The primary's flush position, after a write.
fn write(primary: &Node) -> Lsn {
    primary
        .psql_in("app", "CREATE TABLE IF NOT EXISTS t (id int); INSERT INTO t VALUES (1)")
        .unwrap();
    primary.psql("SELECT pg_current_wal_flush_lsn()").unwrap().parse().unwrap()
}

/// Waits until `node` replayed up to `lsn`, as control sees it.
async fn until_replayed(rig: &mut Rig, node: &Node, lsn: Lsn) -> std::sync::Arc<Topology> {
    let reached =
        |seen: &Topology| view(seen, node.name()).position.is_some_and(|at| at.replay >= lsn);
    rig.until("replay", reached).await
}

#[tokio::test]
async fn a_replica_whose_replay_is_paused_stays_where_it_is_and_its_lag_grows() {
    let cluster = Cluster::builder().replicas(2).start().unwrap();
    let (primary, replicas) = (cluster.primary(), cluster.replicas());
    let (paused, running) = (replicas[0], replicas[1]);
    let mut rig = Plan::of(&cluster).start();
    rig.until_led_by(primary, &replicas).await;

    paused.pause_replay().unwrap();
    let first = write(primary);
    let before = until_replayed(&mut rig, running, first).await;
    let stuck = view(&before, paused.name()).clone();
    assert!(stuck.position.unwrap().replay < first);

    let second = write(primary);
    until_replayed(&mut rig, running, second).await;
    // The samples after the first write move the running replica's freshness, never this one's.
    let written = view(&rig.now(), running.name()).fresh_at.unwrap();
    let behind = rig
        .until("a later look at the paused one", |seen| {
            let view = view(seen, paused.name());
            view.observed.unwrap() > written && view.lag_bytes.is_some_and(|bytes| bytes > 0)
        })
        .await;
    let late = view(&behind, paused.name());
    assert_eq!(late.position, stuck.position);
    let now = tokio::time::Instant::now().into_std();
    let Lag::AtMost(lag) = late.lag(now) else { panic!("unmeasured: {late:?}") };
    assert!(lag > now.saturating_duration_since(written), "{lag:?}");

    paused.resume_replay().unwrap();
    until_replayed(&mut rig, paused, second).await;
}

#[tokio::test]
async fn a_promoted_replica_leads_once_the_primary_was_killed() {
    let cluster = Cluster::builder().replicas(2).start().unwrap();
    let (old, replicas) = (cluster.primary().clone(), cluster.replicas());
    let new = replicas[0].clone();
    let mut rig = Plan::of(&cluster).start();
    let before = rig.until_led_by(&old, &replicas).await;

    old.kill().unwrap();
    rig.until("the loss", |seen| matches!(seen.leader, Leader::Missing { .. })).await;
    new.promote().unwrap();
    let after = rig.until_led_by(&new, &[]).await;
    assert!(after.epoch > before.epoch, "{:?} {:?}", before.epoch, after.epoch);
    assert_eq!(after.timeline(), Some(Timeline(2)));

    // The old one comes back as it was, still sure to be primary: it must not lead again.
    old.start().unwrap();
    let back = |seen: &Topology| view(seen, old.name()).health == policy::Health::Up;
    let both = rig.until("the old one's return", back).await;
    assert_eq!(both.primary().map(|node| &*node.name), Some(new.name()));
    assert_ne!(view(&both, old.name()).role, Role::Primary);
}

#[tokio::test]
async fn a_node_that_the_data_path_lost_is_probed_at_once() {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let (primary, replicas) = (cluster.primary(), cluster.replicas());
    let mut rig = Plan::of(&cluster).start();
    let before = rig.until_led_by(primary, &replicas).await;
    let id = view(&before, replicas[0].name()).id;
    let asked = tokio::time::Instant::now();
    for _ in 0..1000 {
        rig.signals.send(Signal::Lost(id)).unwrap();
    }
    let probed = rig
        .until("a probe", |seen| seen.node(id).unwrap().observed >= Some(asked.into_std()))
        .await;
    let took = probed.node(id).unwrap().observed.unwrap() - asked.into_std();
    assert!(took < Duration::from_millis(100), "{took:?}");
}
