//! What the log says of a cluster: policy's events in an operator's words.

use policy::NodeId;
use policy::cluster::Event;
use tracing::{error, info, warn};

/// Logs what happened to the cluster of that name; `name` knows what nodes are called.
pub(crate) fn tell(cluster: &str, events: &[Event], name: impl Fn(NodeId) -> Box<str>) {
    for event in events {
        primary(cluster, *event, &name);
        node(cluster, *event, &name);
    }
}

fn primary(cluster: &str, event: Event, name: &impl Fn(NodeId) -> Box<str>) {
    match event {
        Event::PrimaryElected { node, timeline, epoch } => {
            let (node, epoch) = (name(node), epoch.0);
            info!(cluster, %node, %timeline, epoch, "this node is primary from now on");
        }
        Event::PrimaryRestarted { node, epoch } => {
            let (node, epoch) = (name(node), epoch.0);
            warn!(cluster, %node, epoch, "the primary was restarted; its sessions are gone");
        }
        Event::PrimaryBack { node, epoch } => {
            let (node, epoch) = (name(node), epoch.0);
            info!(cluster, %node, epoch, "the primary takes writes again");
        }
        Event::PrimaryLost { node } => {
            let node = name(node);
            warn!(cluster, %node, "the primary is lost: reads go on, writes wait for another one");
        }
        Event::SplitBrain => error!(
            cluster,
            "two nodes take writes and neither provably succeeds the other: no writes through \
             Weir until one of them is stopped, or is removed from the cluster"
        ),
        Event::NodeUp { .. }
        | Event::NodeDown { .. }
        | Event::WrongSystem { .. }
        | Event::Superseded { .. } => {}
    }
}

fn node(cluster: &str, event: Event, name: &impl Fn(NodeId) -> Box<str>) {
    match event {
        Event::NodeUp { node } => info!(cluster, node = %name(node), "node is up"),
        Event::NodeDown { node } => warn!(cluster, node = %name(node), "node is down"),
        Event::WrongSystem { node, found, expected } => {
            let node = name(node);
            error!(
                cluster, %node, found, expected,
                "this node belongs to another cluster, by its system identifier: check its address"
            );
        }
        Event::Superseded { node, timeline } => {
            let node = name(node);
            error!(
                cluster, %node, %timeline,
                "this node still takes writes on a timeline that was succeeded: stop it, rewind \
                 it and let it follow the primary"
            );
        }
        Event::PrimaryElected { .. }
        | Event::PrimaryRestarted { .. }
        | Event::PrimaryBack { .. }
        | Event::PrimaryLost { .. }
        | Event::SplitBrain => {}
    }
}
