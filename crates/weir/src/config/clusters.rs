//! `clusters`: which nodes there are; what they are is probed, never written down.

use std::collections::BTreeMap;
use std::time::Duration;

use policy::cluster::NodeSpec;

use super::secret::Secret;
use super::section::Section;

/// One `clusters:` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its members.
    pub nodes: Vec<NodeSpec>,
    /// Who probes.
    pub monitor: Monitor,
    /// How often an idle cluster is probed.
    pub probe_interval: Duration,
    /// Functions that the operator vouches for: they may run on a replica.
    pub read_only_functions: Vec<String>,
    /// Functions that write although the catalog does not say so.
    pub write_functions: Vec<String>,
}

/// The login that probes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Monitor {
    /// Role name.
    pub user: String,
    /// Password, unless the server asks for none.
    pub password: Option<Secret>,
    /// Where it logs in.
    pub database: String,
}

pub(super) fn clusters(root: &mut Section<'_>) -> BTreeMap<String, Cluster> {
    root.require("clusters", "clusters: { main: { nodes: [{ name: a, host: 127.0.0.1 }] } }");
    let listed = root.has("clusters");
    let entries = root.named("clusters");
    if listed && entries.is_empty() {
        root.problem("clusters", "needs at least one cluster");
    }
    entries.into_iter().map(|(name, section)| (name, cluster(section))).collect()
}

fn cluster(mut at: Section<'_>) -> Cluster {
    let nodes = nodes(&mut at);
    let monitor = monitor(&mut at);
    let bounds = Duration::from_millis(10)..=Duration::from_secs(60);
    let probe_interval =
        at.duration("probe_interval", bounds).unwrap_or(Duration::from_millis(250));
    let read_only_functions = at.texts("read_only_functions");
    let write_functions = at.texts("write_functions");
    for name in read_only_functions.iter().filter(|name| write_functions.contains(name)) {
        at.problem("read_only_functions", format!("{name} is also in write_functions; keep one"));
    }
    at.close();
    Cluster { nodes, monitor, probe_interval, read_only_functions, write_functions }
}

fn monitor(at: &mut Section<'_>) -> Monitor {
    let mut section = at.section("monitor");
    let monitor = Monitor {
        user: section.text("user").unwrap_or_else(|| "weir_monitor".into()),
        password: section.text("password").filter(|password| !password.is_empty()).map(Secret::new),
        database: section.text("database").unwrap_or_else(|| "postgres".into()),
    };
    section.close();
    monitor
}

fn nodes(at: &mut Section<'_>) -> Vec<NodeSpec> {
    let listed = at.has("nodes");
    let sections = at.sections("nodes");
    if sections.is_empty() {
        let why = if listed { "lists no node" } else { "is required" };
        at.problem(
            "nodes",
            format!("{why}, for example - {{ name: a, host: 127.0.0.1, port: 5432 }}"),
        );
    }
    let mut nodes: Vec<NodeSpec> = Vec::with_capacity(sections.len());
    for section in sections {
        if let Some(spec) = node(section, &nodes) {
            nodes.push(spec);
        }
    }
    nodes
}

fn node(mut at: Section<'_>, others: &[NodeSpec]) -> Option<NodeSpec> {
    at.require("name", "a");
    at.require("host", "127.0.0.1");
    let name = at.text("name");
    let host = at.text("host");
    let port = at.parsed("port", "a port from 1 to 65535", |text| {
        text.parse().ok().filter(|port| *port > 0)
    });
    let weight = at.integer("weight", 1..=1_000).unwrap_or(1);
    let spec = name.zip(host).map(|(name, host)| NodeSpec {
        name: name.into_boxed_str(),
        host: host.into_boxed_str(),
        port: port.unwrap_or(5432),
        weight,
    });
    if let Some(spec) = &spec {
        compare(&at, spec, others);
    }
    at.close();
    spec
}

fn compare(at: &Section<'_>, spec: &NodeSpec, others: &[NodeSpec]) {
    let usable = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.');
    if spec.name.is_empty() || !spec.name.chars().all(usable) {
        // It becomes a path segment of the admin API, where `:` begins an action.
        at.problem("name", "may have letters, digits, and any of - _ . only");
    }
    if spec.host.is_empty() {
        at.problem("host", "is empty");
    }
    if others.iter().any(|other| other.name == spec.name) {
        at.problem("name", format!("another node is called {} already", spec.name));
    }
    let same_address =
        |other: &&NodeSpec| other.host.eq_ignore_ascii_case(&spec.host) && other.port == spec.port;
    if let Some(other) = others.iter().find(same_address) {
        at.problem("host", format!("node {} has this host and port already", other.name));
    }
}
