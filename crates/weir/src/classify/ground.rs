//! What statements are judged by: rules, a catalog, and a cluster as it should be.

use std::path::Path;
use std::time::Instant;

use admin::explain::{Explanation, Question, View, explain};
use control::FoundCatalog;
use policy::{
    Epoch, Gate, Health, Leader, Lsn, NodeId, NodeView, Position, Preferences, Role, Timeline,
    Topology,
};
use proxy::config::{DatabaseLimits, DatabaseRules, PinRule, PoolMode};
use sql::{Catalog, CatalogBuilder};

use crate::cli::load;
use crate::clusters::read_catalog;

/// What holds where no configuration was named.
const NO_CONFIG: &str = "none; -c CONFIG --database NAME reads the database's own";

/// What is assumed where there is no catalog.
const ASSUMED: &str = "every relation that is not PostgreSQL's own is an ordinary table; functions, types and operators that are not may write";

/// What statements are judged by.
pub(super) struct Ground {
    rules: DatabaseRules,
    catalog: Catalog,
    topology: Topology,
    now: Instant,
    /// Where the catalog is from, or why there is none.
    pub(super) origin: String,
    /// What is assumed for lack of one.
    pub(super) assumed: Option<&'static str>,
}

impl Ground {
    /// Judges by what PostgreSQL brings, and the rules of a configuration that says nothing.
    pub(super) fn bare() -> Self {
        let rules = DatabaseRules {
            cluster: String::new(),
            dbname: None,
            mode: PoolMode::Transaction,
            pin: PinRule::Allow,
            limits: DatabaseLimits::default(),
            reads: Preferences::default(),
            max_primary_read_share: None,
        };
        Self::new(rules, Err(NO_CONFIG.to_owned()))
    }

    /// Judges by the rules of `database` in the configuration, and by its catalog if a node gives it.
    pub(super) async fn of(config: &Path, database: &str) -> Result<Self, Vec<String>> {
        let settings = load(config)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let rules = settings.databases.of(database).cloned().ok_or_else(|| {
            vec![format!("{} has no database {database:?}; name one with -d", config.display())]
        })?;
        let found = read_catalog(&settings, &rules, database).await;
        let found = found.map_err(|why| format!("none, since no node gave it: {why}"));
        Ok(Self::new(rules, found))
    }

    fn new(rules: DatabaseRules, found: Result<FoundCatalog, String>) -> Self {
        let now = tokio::time::Instant::now().into_std();
        let (origin, catalog, assumed) = match found {
            Ok(FoundCatalog { node, catalog }) => {
                (format!("the database's own, read on node {node}"), catalog, None)
            }
            Err(origin) => {
                let mut builder = CatalogBuilder::new();
                builder.assume_tables();
                (origin, builder.finish(0), Some(ASSUMED))
            }
        };
        Self { rules, catalog, topology: healthy(now), now, origin, assumed }
    }

    /// Whether what pins is refused.
    pub(super) fn refuses_pins(&self) -> bool {
        self.rules.pin == PinRule::Never
    }

    /// Says where a text would go.
    pub(super) fn judge(&self, sql: &str) -> Result<Explanation, String> {
        let question = Question {
            database: String::new(),
            sql: sql.to_owned(),
            user: None,
            settings: std::collections::BTreeMap::new(),
            consistency: None,
        };
        let view = View {
            rules: &self.rules,
            reads: &self.rules.reads,
            topology: &self.topology,
            catalog: Some(&self.catalog),
            now: self.now,
        };
        explain(&question, &view).map_err(|cause| cause.to_string())
    }
}

/// A primary and a replica that is as new.
fn healthy(now: Instant) -> Topology {
    let timeline = Timeline(1);
    let node = |id, name: &str, role| NodeView {
        id: NodeId(id),
        name: name.into(),
        host: name.into(),
        port: 5432,
        weight: 1,
        version: None,
        role,
        gate: Gate::Open,
        health: Health::Up,
        position: Some(Position { timeline: Some(timeline), replay: Lsn(1) }),
        observed: Some(now),
        fresh_at: Some(now),
        lag_bytes: Some(0),
        worst_lag: None,
    };
    Topology {
        cluster: "assumed".into(),
        system: None,
        generation: 0,
        epoch: Epoch::default(),
        leader: Leader::Node { id: NodeId(0), timeline },
        nodes: vec![node(0, "primary", Role::Primary), node(1, "replica", Role::Replica)],
        sampled: None,
        silent_since: None,
    }
}
