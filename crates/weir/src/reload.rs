//! What a changed file changes at once, and what must wait for a restart.

use std::collections::BTreeMap;

use control::Command;
use policy::cluster::{MembershipError, NodePatch, NodeSpec};
use proxy::config::ClientTls;
use tokio::sync::{mpsc, oneshot};

use crate::config::{Cluster, Settings};

/// A change of one cluster's members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A node is listed that was not.
    Add(NodeSpec),
    /// A node is listed no more, or under another address.
    Remove(Box<str>),
    /// A node has another weight.
    Weigh(Box<str>, u32),
}

/// What a new configuration differs in.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Keys that take effect at once.
    pub applied: Vec<String>,
    /// Keys that keep their old value until a restart.
    pub restart: Vec<String>,
    /// Changes of members, with their cluster.
    pub members: Vec<(String, Change)>,
}

/// Compares a new configuration with the one of the start, which fixed keys keep, and with the
/// one in force.
#[must_use]
pub fn plan(started: &Settings, current: &Settings, new: &Settings) -> Plan {
    let mut plan = Plan { restart: restart(started, new), ..Plan::default() };
    plan.applied = applied(current, new);
    for (name, cluster) in &new.clusters {
        match (started.clusters.get(name), current.clusters.get(name)) {
            (Some(start), Some(before)) => {
                plan.restart.extend(fixed(name, start, cluster));
                let changes = members(&before.nodes, &cluster.nodes);
                plan.members.extend(changes.into_iter().map(|change| (name.clone(), change)));
            }
            (_, _) => plan.restart.push(format!("clusters.{name} (new)")),
        }
    }
    let gone = started.clusters.keys().filter(|name| !new.clusters.contains_key(*name));
    plan.restart.extend(gone.map(|name| format!("clusters.{name} (gone)")));
    plan
}

/// Whether clients may use TLS after a reload.
///
/// A first certificate waits for a restart; until then `require` would shut everybody out.
#[must_use]
pub fn client_tls(started: &Settings, new: &Settings) -> ClientTls {
    if started.tls.identity.is_none() { ClientTls::Disable } else { new.tls.client }
}

fn restart(started: &Settings, new: &Settings) -> Vec<String> {
    let had_certificate = started.tls.identity.is_some();
    let keys = [
        ("listen", started.listen == new.listen),
        ("workers", started.workers == new.workers),
        ("admin", started.admin == new.admin),
        ("log", started.log == new.log),
        ("tls.certificate (none before)", had_certificate || new.tls.identity.is_none()),
        ("tls.server (for probes)", same_server_tls(started, new)),
    ];
    keys.iter().filter(|(_, same)| !same).map(|(key, _)| (*key).to_owned()).collect()
}

fn applied(current: &Settings, new: &Settings) -> Vec<String> {
    let keys = [
        ("auth", current.auth == new.auth),
        ("pool", same(&current.pool, &new.pool)),
        ("databases and reads", same_databases(current, new)),
        ("tls.client", current.tls.client == new.tls.client),
        ("tls.certificate", current.tls.identity == new.tls.identity),
        ("tls.server", same_server_tls(current, new)),
    ];
    keys.iter().filter(|(_, same)| !same).map(|(key, _)| (*key).to_owned()).collect()
}

fn same_server_tls(left: &Settings, right: &Settings) -> bool {
    let mode = |settings: &Settings| std::mem::discriminant(&settings.tls.server);
    mode(left) == mode(right) && left.tls.ca == right.tls.ca
}

fn same_databases(left: &Settings, right: &Settings) -> bool {
    let sorted = |settings: &Settings| {
        let named: BTreeMap<_, _> = settings.databases.named().iter().collect();
        format!("{named:?}{:?}", settings.databases.patterns())
    };
    sorted(left) == sorted(right)
}

/// For types without `PartialEq`: a report needs no more than what they print.
fn same<T: std::fmt::Debug>(left: &T, right: &T) -> bool {
    format!("{left:?}") == format!("{right:?}")
}

fn fixed(name: &str, started: &Cluster, new: &Cluster) -> Vec<String> {
    let keys = [
        ("monitor", started.monitor == new.monitor),
        ("probe_interval", started.probe_interval == new.probe_interval),
        ("read_only_functions", started.read_only_functions == new.read_only_functions),
        ("write_functions", started.write_functions == new.write_functions),
    ];
    let changed = keys.iter().filter(|(_, same)| !same);
    changed.map(|(key, _)| format!("clusters.{name}.{key}")).collect()
}

fn members(before: &[NodeSpec], after: &[NodeSpec]) -> Vec<Change> {
    let mut changes = Vec::new();
    for old in before {
        let kept = after.iter().any(|new| new.name == old.name && same_address(old, new));
        if !kept {
            changes.push(Change::Remove(old.name.clone()));
        }
    }
    for new in after {
        match before.iter().find(|old| old.name == new.name && same_address(old, new)) {
            Some(old) if old.weight != new.weight => {
                changes.push(Change::Weigh(new.name.clone(), new.weight));
            }
            Some(_) => {}
            None => changes.push(Change::Add(new.clone())),
        }
    }
    changes
}

fn same_address(left: &NodeSpec, right: &NodeSpec) -> bool {
    left.host == right.host && left.port == right.port
}

/// Has control carry out one change.
///
/// # Errors
///
/// The refusal; the operator decides. Control that has stopped refuses nothing.
pub async fn carry_out(
    commands: &mpsc::Sender<Command>,
    change: Change,
) -> Result<(), MembershipError> {
    let (reply, outcome) = oneshot::channel();
    let command = match change {
        Change::Add(spec) => Command::Add { spec, reply },
        Change::Remove(name) => Command::Remove { name, reply },
        Change::Weigh(name, weight) => {
            let patch = NodePatch { weight: Some(weight), gate: None };
            Command::Patch { name, patch, reply }
        }
    };
    if commands.send(command).await.is_err() {
        return Ok(());
    }
    outcome.await.unwrap_or(Ok(()))
}
