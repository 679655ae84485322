//! One cluster's tasks, wired together.

use std::sync::Arc;
use std::time::Duration;

use policy::cluster::Cluster;
use sql::FunctionEffect;
use tokio::sync::mpsc;
use tracing::error;

use crate::catalog::{Loader, Shared};
use crate::clock::Clock;
use crate::config::{ClusterConfig, Monitor};
use crate::ends::Ends;
use crate::link::Door;
use crate::owner::{Owner, Wires};
use crate::task::now;

/// What `pg_stat_activity` shows for all of control's connections.
const APPLICATION: &str = "weir_probe";

/// Catalog queries may take longer than a probe; a hanging one must end all the same.
pub(crate) const CATALOG_PATIENCE: Duration = Duration::from_secs(20);

/// Watches one cluster until `shutdown` is ready.
///
/// Publishes a first snapshot, with nothing known, before it waits for anything. Wrong passwords,
/// dead nodes and missing privileges are logged and tried again; nothing that a node does ends this
/// future. Nodes that the configuration names twice are logged and left out.
///
/// Cancel-safe: dropping it, like `shutdown`, closes every connection and ends every task.
pub async fn run(config: ClusterConfig, ends: Ends, shutdown: impl Future<Output = ()>) {
    let cluster: Arc<str> = config.name.as_str().into();
    let monitor = Arc::new(config.monitor);
    let door = Arc::new(door(&monitor, config.timing.probe_timeout));
    let (lost, clock_lost) = mpsc::channel(1);
    let (wishes, named) = mpsc::unbounded_channel();

    let clock = Clock {
        cluster: Arc::clone(&cluster),
        door: Arc::clone(&door),
        topology: ends.topology.subscribe(),
        tickets: ends.tickets,
        answers: ends.answers.clone(),
        lost,
    };
    let shared = Shared::new(
        Arc::clone(&cluster),
        Door { patience: CATALOG_PATIENCE, ..door.as_ref().clone() },
        ends.catalogs,
        (overrides(config.read_only_functions, config.write_functions), config.forget_after),
    );
    let mut owner =
        Owner::new(Arc::clone(&cluster), Cluster::new(&config.name, config.timing, now()), door);
    for node in config.nodes {
        let name = node.name.clone();
        if let Err(reason) = owner.add(node) {
            error!(cluster = &*cluster, node = &*name, ?reason, "node left out");
        }
    }
    let leader = ends.topology.subscribe();
    let wires = Wires {
        topology: ends.topology,
        setups: ends.setups,
        answers: ends.answers.subscribe(),
        signals: ends.signals,
        commands: ends.commands,
        lost: clock_lost,
        wishes,
    };
    let work = async {
        tokio::join!(owner.run(wires), clock.run(), Loader::new(shared, leader, named).run());
    };
    // Boxed: three tasks' state would otherwise sit in whatever future awaits this one.
    let work = Box::pin(work);
    tokio::select! {
        () = work => {}
        () = shutdown => {}
    }
}

fn door(monitor: &Arc<Monitor>, patience: Duration) -> Door {
    Door { monitor: Arc::clone(monitor), application: APPLICATION, patience }
}

/// A function on both lists writes: never wrong comes first.
pub(crate) fn overrides(read: Vec<String>, write: Vec<String>) -> Vec<(String, FunctionEffect)> {
    let read = read.into_iter().map(|name| (name, FunctionEffect::Read));
    read.chain(write.into_iter().map(|name| (name, FunctionEffect::Write))).collect()
}
