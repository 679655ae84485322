//! What the handlers are given.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use policy::Topology;
use proxy::config::Live;
use proxy::inquiry::Workers;
use telemetry::Collect;
use tokio::sync::{mpsc, watch};

use crate::problem::Problem;

/// Handles to everything that the API shows or changes; cheap to clone.
#[derive(Clone)]
pub struct State {
    /// The rules and clusters of the moment.
    pub live: watch::Receiver<Arc<Live>>,
    /// Where changes of membership go, by cluster.
    pub commands: BTreeMap<String, mpsc::Sender<control::Command>>,
    /// How nodes are set up, by cluster.
    pub setups: BTreeMap<String, watch::Receiver<Arc<control::Setups>>>,
    /// The data path, to be asked for its sessions and pools.
    pub workers: Workers,
    /// Who has metrics to tell besides the topology.
    pub metrics: Vec<Arc<dyn Collect>>,
    /// Whether the data path takes clients; false from the start of a shutdown on.
    pub accepting: watch::Receiver<bool>,
    /// What callers of `/v1` must present; `None` for a listener on loopback only.
    pub token: Option<Arc<str>>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clusters: Vec<&String> = self.commands.keys().collect();
        f.debug_struct("State").field("clusters", &clusters).finish_non_exhaustive()
    }
}

impl State {
    /// The rules of the moment.
    pub(crate) fn rules(&self) -> Arc<Live> {
        Arc::clone(&self.live.borrow())
    }

    /// The newest snapshot of each cluster, by name.
    pub(crate) fn topologies(&self) -> BTreeMap<String, Arc<Topology>> {
        let rules = self.rules();
        let newest = |(name, link): (&String, &proxy::config::ClusterLink)| {
            (name.clone(), Arc::clone(&link.topology.borrow()))
        };
        rules.clusters.iter().map(newest).collect()
    }

    /// The newest snapshot of one cluster.
    pub(crate) fn topology(&self, cluster: &str) -> Result<Arc<Topology>, Problem> {
        let rules = self.rules();
        let link = rules.clusters.get(cluster).ok_or_else(|| no_cluster(cluster))?;
        let newest = Arc::clone(&link.topology.borrow());
        Ok(newest)
    }

    /// Where changes to one cluster go.
    pub(crate) fn command(
        &self,
        cluster: &str,
    ) -> Result<&mpsc::Sender<control::Command>, Problem> {
        self.commands.get(cluster).ok_or_else(|| no_cluster(cluster))
    }
}

fn no_cluster(name: &str) -> Problem {
    Problem::not_found(format!("there is no cluster {name:?}; GET /v1/clusters lists them"))
}
