//! `databases`: which cluster serves which name.

use std::collections::BTreeMap;

use policy::Preferences;
use proxy::config::{DatabaseLimits, DatabaseRules, Databases};

use super::auth::Auth;
use super::clusters::Cluster;
use super::pool::{Keeping, MODES, OFF_OR_CLIENTS, OFF_OR_SIZE, PINS, SIZE};
use super::problem::Path;
use super::reads::{Reads, reads};
use super::section::Section;
use super::spelling::nearest;
use super::units;

/// What entries fall back to.
#[derive(Debug)]
pub(super) struct Defaults<'a> {
    pub(super) clusters: &'a BTreeMap<String, Cluster>,
    pub(super) keeping: Keeping,
    pub(super) reads: Reads,
    /// Where `reads.max_lag` comes from, for messages.
    pub(super) lag_from: Path,
}

impl Defaults<'_> {
    /// The cluster that needs no naming.
    fn only_cluster(&self) -> Option<&String> {
        self.clusters.keys().next().filter(|_| self.clusters.len() == 1)
    }
}

/// Notes users whose bound on lag is below what can be measured of a cluster: they may log in to any.
pub(super) fn check_users(root: &Section<'_>, auth: &Auth, defaults: &Defaults<'_>) {
    for (name, user) in &auth.users {
        let mut reads = Preferences { max_lag: None, ..Preferences::default() };
        for (name, value) in &user.reads {
            let _read_before = reads.set(name, value).is_ok();
        }
        let place = root.at("auth").key("users").key(name).key("reads");
        for cluster in defaults.clusters.keys() {
            check_lag(root, &place, (cluster, &reads), defaults);
        }
    }
}

pub(super) fn databases(root: &mut Section<'_>, defaults: &Defaults<'_>) -> Databases {
    let listed = root.has("databases");
    let mut found = Databases::default();
    for (name, section) in root.named("databases") {
        if name.strip_suffix('*').unwrap_or(&name).contains('*') {
            section.problem_here("a star stands at the end, for whatever follows: \"tenant_*\"");
        }
        if let Some(rules) = database(section, defaults) {
            found.insert(&name, rules);
        }
    }
    if !listed && let Some(cluster) = defaults.only_cluster() {
        check_lag(root, &defaults.lag_from, (cluster, &defaults.reads.wishes), defaults);
        let rules = DatabaseRules {
            cluster: cluster.clone(),
            dbname: None,
            mode: defaults.keeping.mode,
            pin: defaults.keeping.pin,
            limits: DatabaseLimits::default(),
            reads: defaults.reads.wishes.clone(),
            max_primary_read_share: defaults.reads.max_primary_read_share,
        };
        found.insert("*", rules);
    } else if !listed && !defaults.clusters.is_empty() {
        root.problem(
            "databases",
            "is required with several clusters, for example \"*\": { cluster: main }",
        );
    }
    found
}

fn database(mut at: Section<'_>, defaults: &Defaults<'_>) -> Option<DatabaseRules> {
    let cluster = cluster(&mut at, defaults);
    let dbname = at.text("dbname");
    let mode = at.choice("mode", &MODES).unwrap_or(defaults.keeping.mode);
    let pin = at.choice("pin", &PINS).unwrap_or(defaults.keeping.pin);
    let limits = limits(&mut at);
    let place = if at.has("reads") { at.at("reads") } else { defaults.lag_from.clone() };
    let Reads { wishes: reads, max_primary_read_share } = reads(&mut at, &defaults.reads);
    if let Some(cluster) = &cluster {
        check_lag(&at, &place, (cluster, &reads), defaults);
    }
    at.close();
    cluster.map(|cluster| DatabaseRules {
        cluster,
        dbname,
        mode,
        pin,
        limits,
        reads,
        max_primary_read_share,
    })
}

/// What the entry says instead of the section `pool`.
fn limits(at: &mut Section<'_>) -> DatabaseLimits {
    DatabaseLimits {
        pool_size: at.integer("pool_size", SIZE),
        min_pool_size: at.integer("min_pool_size", OFF_OR_SIZE),
        reserve_pool_size: at.integer("reserve_pool_size", OFF_OR_SIZE),
        max_db_connections: at.integer("max_db_connections", OFF_OR_SIZE),
        max_db_client_connections: at.integer("max_db_client_connections", OFF_OR_CLIENTS),
    }
}

fn cluster(at: &mut Section<'_>, defaults: &Defaults<'_>) -> Option<String> {
    if !at.has("cluster") && defaults.only_cluster().is_some() {
        // Asked for all the same, so that it counts as a known key.
        return at.text("cluster").or_else(|| defaults.only_cluster().cloned());
    }
    at.require("cluster", "main");
    let name = at.text("cluster")?;
    if defaults.clusters.contains_key(&name) {
        return Some(name);
    }
    let known = defaults.clusters.keys().map(String::as_str);
    let hint = match nearest(&name, known) {
        Some(meant) => format!("there is no cluster {name:?}; did you mean {meant}?"),
        None => format!("there is no cluster {name:?} under clusters"),
    };
    at.problem("cluster", hint);
    None
}

/// A bound on lag must leave room for two probes, or every replica would flap in and out.
fn check_lag(at: &Section<'_>, place: &Path, rules: (&str, &Preferences), defaults: &Defaults<'_>) {
    let (name, reads) = rules;
    let Some(cluster) = defaults.clusters.get(name) else { return };
    let (least, interval) = (cluster.probe_interval.saturating_mul(2), cluster.probe_interval);
    if reads.max_lag.is_some_and(|max_lag| max_lag < least) {
        let (least, interval) = (units::spelled(least), units::spelled(interval));
        let text = format!(
            "max_lag must be at least {least}: cluster {name} is probed every {interval}, and lag is not known better than that"
        );
        at.problem_at(place, text);
    }
}
