//! The channels between the data path and control, and control's tasks.
//!
//! Proxy and control never see each other: both get their ends here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use control::{ClusterConfig, Command, Ends, FoundCatalog, Setups};
use policy::cluster::Timing;
use policy::{Answers, Epoch, Leader, Ticket, Topology};
use proxy::config::{ClusterLink, DatabaseRules, ServerTls};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::config::{Cluster, Settings};

/// Commands that may wait for control; a full channel makes the admin API wait.
const COMMANDS: usize = 16;

/// The clusters that are watched.
#[derive(Debug)]
pub struct Clusters {
    /// The data path's ends, by cluster.
    pub links: HashMap<String, ClusterLink>,
    /// Where changes of membership go, by cluster.
    pub commands: BTreeMap<String, mpsc::Sender<Command>>,
    /// How nodes are set up, by cluster.
    pub setups: BTreeMap<String, watch::Receiver<Arc<Setups>>>,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Clusters {
    /// Starts to watch every cluster, or only the one that is named; needs a tokio runtime.
    #[must_use]
    pub fn start(settings: &Settings, only: Option<&str>) -> Self {
        let stop = watch::Sender::new(false);
        let mut clusters = Self {
            links: HashMap::new(),
            commands: BTreeMap::new(),
            setups: BTreeMap::new(),
            tasks: JoinSet::new(),
            stop,
        };
        let wanted = |name: &String| only.is_none_or(|only| only == name);
        for (name, cluster) in settings.clusters.iter().filter(|(name, _)| wanted(name)) {
            clusters.watch(name, cluster, settings);
        }
        clusters
    }

    fn watch(&mut self, name: &str, cluster: &Cluster, settings: &Settings) {
        let (link, commands, ends) = channels(name);
        self.setups.insert(name.to_owned(), ends.setups.subscribe());
        let mut stop = self.stop.subscribe();
        let stopped = async move { drop(stop.wait_for(|stop| *stop).await) };
        self.tasks.spawn(control::run(config(name, cluster, settings), ends, stopped));
        self.links.insert(name.to_owned(), link);
        self.commands.insert(name.to_owned(), commands);
    }

    /// Waits until control of a cluster ends, which it does not by itself: it has panicked.
    ///
    /// Cancel-safe.
    pub async fn failed(&mut self) {
        if self.tasks.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Stops all control and waits until its connections are closed.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

fn channels(name: &str) -> (ClusterLink, mpsc::Sender<Command>, Ends) {
    let (topology, topology_seen) = watch::channel(Arc::new(nothing_known(name)));
    let (tickets, tickets_taken) = watch::channel(Ticket::default());
    let (answers, answers_seen) = watch::channel(Arc::new(Answers::default()));
    let (catalogs, catalogs_seen) = watch::channel(Arc::default());
    let (signals, noticed) = mpsc::unbounded_channel();
    let (commands, wanted) = mpsc::channel(COMMANDS);
    let link = ClusterLink {
        topology: topology_seen,
        tickets,
        answers: answers_seen,
        catalogs: catalogs_seen,
        signals,
    };
    let ends = Ends {
        topology,
        tickets: tickets_taken,
        answers,
        catalogs,
        setups: watch::Sender::default(),
        signals: noticed,
        commands: wanted,
    };
    (link, commands, ends)
}

/// The snapshot before the first one of control.
fn nothing_known(cluster: &str) -> Topology {
    Topology {
        cluster: cluster.into(),
        system: None,
        generation: 0,
        epoch: Epoch::default(),
        leader: Leader::Missing { since: tokio::time::Instant::now().into_std() },
        nodes: Vec::new(),
        sampled: None,
        silent_since: None,
    }
}

/// Reads once the catalog by which statements in `database` are judged; what fails is why there is none.
pub(crate) async fn read_catalog(
    settings: &Settings,
    rules: &DatabaseRules,
    database: &str,
) -> Result<FoundCatalog, String> {
    let cluster = settings.clusters.get(&rules.cluster);
    let cluster = cluster.ok_or_else(|| format!("there is no cluster {}", rules.cluster))?;
    let config = config(&rules.cluster, cluster, settings);
    let dbname = rules.dbname.as_deref().unwrap_or(database);
    control::read_catalog(&config, dbname).await.map_err(|cause| cause.to_string())
}

fn config(name: &str, cluster: &Cluster, settings: &Settings) -> ClusterConfig {
    let monitor = &cluster.monitor;
    ClusterConfig {
        name: name.to_owned(),
        nodes: cluster.nodes.clone(),
        monitor: control::Monitor {
            user: monitor.user.clone(),
            password: monitor.password.as_ref().map(|password| password.expose().to_owned()),
            database: monitor.database.clone(),
            tls: probe_tls(&settings.tls.server),
        },
        timing: Timing { probe_idle: cluster.probe_interval, ..Timing::default() },
        read_only_functions: cluster.read_only_functions.clone(),
        write_functions: cluster.write_functions.clone(),
        // Its last server was kept for as long.
        forget_after: settings.pool.server_idle_timeout,
    }
}

fn probe_tls(tls: &ServerTls) -> control::ServerTls {
    match tls {
        ServerTls::Disable => control::ServerTls::Disable,
        ServerTls::Prefer(config) => control::ServerTls::Prefer(Arc::clone(config)),
        ServerTls::Require(config) => control::ServerTls::Require(Arc::clone(config)),
        ServerTls::VerifyFull(config) => control::ServerTls::VerifyFull(Arc::clone(config)),
    }
}
