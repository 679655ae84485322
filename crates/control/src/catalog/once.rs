//! One catalog, read once, by commands that run beside Weir or before it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sql::Catalog;
use tokio::time::timeout;

use super::{LoadError, read, within};
use crate::config::ClusterConfig;
use crate::link::{Address, Door, LinkError};
use crate::run::{CATALOG_PATIENCE, overrides};

/// What `pg_stat_activity` shows.
const APPLICATION: &str = "weir_catalog";

/// How long a node may take to let us in, before the next one is tried.
const REACH: Duration = Duration::from_secs(3);

/// A catalog, and where it was read.
#[derive(Debug)]
pub struct FoundCatalog {
    /// The node's name in the configuration.
    pub node: Box<str>,
    /// The catalog, with what the configuration says of functions.
    pub catalog: Catalog,
}

/// Why no node gave a catalog; its text names each node and what the operator can do.
#[derive(Debug)]
pub struct NoCatalog {
    refusals: Vec<(Box<str>, LoadError)>,
}

/// Reads the catalog of `database` from the first node, in the order of the configuration, that gives it.
///
/// A standby will do: it has all that its primary had a moment ago. Ends within about a minute and a half per node;
/// a node that can't be reached takes three seconds. Cancel-safe: its connection is closed.
///
/// # Errors
///
/// [`NoCatalog`]: go on without one, and say so.
pub async fn read_catalog(
    config: &ClusterConfig,
    database: &str,
) -> Result<FoundCatalog, NoCatalog> {
    let monitor = Arc::new(config.monitor.clone());
    let door = Door { monitor, application: APPLICATION, patience: CATALOG_PATIENCE };
    let overrides = overrides(config.read_only_functions.clone(), config.write_functions.clone());
    let mut refusals = Vec::new();
    for node in &config.nodes {
        let address = Address { host: node.host.clone(), port: node.port };
        let link = timeout(REACH, Box::pin(door.open(&address, database)));
        let rows = match link.await.unwrap_or(Err(LinkError::TimedOut(REACH))) {
            Ok(link) => within(read(&link)).await,
            Err(refusal) => Err(refusal.into()),
        };
        match rows.and_then(|rows| Ok(rows.build(&overrides, 0)?)) {
            Ok(catalog) => return Ok(FoundCatalog { node: node.name.clone(), catalog }),
            Err(refusal) => refusals.push((node.name.clone(), refusal)),
        }
    }
    Err(NoCatalog { refusals })
}

impl fmt::Display for NoCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (node, refusal)) in self.refusals.iter().enumerate() {
            let gap = if index == 0 { "" } else { "; " };
            write!(f, "{gap}node {node}: {refusal}")?;
        }
        Ok(())
    }
}

impl std::error::Error for NoCatalog {}
