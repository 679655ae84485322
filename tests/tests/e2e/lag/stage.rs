//! A cluster with marks, and one look at a replica from three sides.

use std::time::Duration;

use testkit::{Builder, Cluster, Node};
use tokio_postgres::Client;
use weir_tests::{Config, Weir, eventually, now};

use super::marks::{Commit, Marks};
use crate::WEIR;

/// Between two probes of a node: the default of `probe_interval`.
pub(super) const INTERVAL: Duration = Duration::from_millis(250);

/// What a loaded machine may add to a probe.
pub(super) const SLACK: Duration = Duration::from_millis(250);

pub(super) const SOON: Duration = Duration::from_secs(30);

/// What the replica itself knows: the newest row that it shows, and what others take for its lag.
const LOOK: &str = "
SELECT (SELECT max(id) FROM marks),
       extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float8,
       pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()";

pub(super) struct Stage {
    pub(super) cluster: Cluster,
    pub(super) weir: Weir,
    pub(super) marks: Marks,
}

/// A replica at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// It lacks a commit that is at least this old; zero if it lacks none.
    pub(super) at_least: Duration,
    /// It lacks none that is older than this.
    pub(super) at_most: Duration,
    /// `lag_seconds` of the admin API.
    pub(super) weir: Option<Duration>,
    /// `weir_node_lag_seconds`.
    pub(super) metric: Option<Duration>,
    /// `now() - pg_last_xact_replay_timestamp()`, seconds.
    pub(super) since_commit: Option<f64>,
    /// `pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()`.
    pub(super) all_replayed: Option<bool>,
}

impl Stage {
    /// A primary, so many replicas that show the first mark, and a Weir that knows their lag.
    pub(super) async fn new(replicas: usize) -> Self {
        Self::of(Cluster::builder().replicas(replicas), &Config::default()).await
    }

    pub(super) async fn of(builder: Builder, config: &Config) -> Self {
        Self::before(builder.start().unwrap(), config).await
    }

    pub(super) async fn before(cluster: Cluster, config: &Config) -> Self {
        let weir = Weir::start(WEIR, &cluster, config);
        let marks = Marks::new(cluster.primary()).await;
        let stage = Self { cluster, weir, marks };
        stage.caught_up();
        stage
    }

    pub(super) fn replica(&self) -> Node {
        self.cluster.replicas()[0].clone()
    }

    pub(super) fn caught_up(&self) {
        for replica in self.cluster.replicas() {
            self.cluster.wait_caught_up(replica, SOON).unwrap();
        }
    }

    /// What Weir says of this node's age, if it says anything.
    pub(super) fn lag(&self, node: &Node) -> Option<Duration> {
        let answer = self.weir.admin(&format!("GET /v1/clusters/main/nodes/{}", node.name()), "");
        answer.json()["lag_seconds"].as_f64().map(Duration::from_secs_f64)
    }

    fn metric(&self, node: &Node) -> Option<Duration> {
        let name = format!("weir_node_lag_seconds{{cluster=\"main\",node=\"{}\"}} ", node.name());
        let metrics = self.weir.admin("GET /metrics", "").body;
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name))?;
        value.parse().ok().map(Duration::from_secs_f64)
    }

    /// Looks at a replica once.
    ///
    /// The replica is asked before and after Weir. What it still lacks after, it lacked when Weir
    /// last measured it; what it lacked before, it may lack no more.
    async fn read(&self, node: &Node, replica: &Client) -> Reading {
        let before = replica.query_one(LOOK, &[]).await.unwrap();
        let asked = now();
        let (weir, metric) = (self.lag(node), self.metric(node));
        let answered = now();
        let surely = self.missing(replica).await;
        let perhaps = self.marks.first_missing(before.get(0));
        Reading {
            at_least: surely.map_or(Duration::ZERO, |commit| {
                asked.saturating_duration_since(commit.acknowledged)
            }),
            at_most: perhaps.map_or(Duration::ZERO, |commit| answered - commit.begun),
            weir,
            metric,
            since_commit: before.get(1),
            all_replayed: before.get(2),
        }
    }

    /// The first commit that a replica lacks.
    async fn missing(&self, replica: &Client) -> Option<Commit> {
        let newest = replica.query_one("SELECT max(id) FROM marks", &[]).await.unwrap();
        self.marks.first_missing(newest.get(0))
    }

    /// Looks at a replica so many times, a little apart.
    pub(super) async fn watch(&self, node: &Node, times: usize) -> Vec<Reading> {
        let replica = node.connect("app", "app").await.unwrap();
        let mut readings = Vec::new();
        for _ in 0..times {
            readings.push(self.read(node, &replica).await);
            tokio::time::sleep(Duration::from_millis(37)).await;
        }
        readings
    }

    /// Waits until a replica lacks a commit that is this old.
    pub(super) async fn wait_behind(&self, node: &Node, age: Duration) {
        let replica = node.connect("app", "app").await.unwrap();
        crate::soon("the replica is that far behind", async || {
            let missing = self.missing(&replica).await;
            missing.is_some_and(|commit| commit.acknowledged.elapsed() >= age)
        })
        .await;
    }

    /// Waits until a replica lacks nothing that is this old.
    pub(super) async fn wait_fresher(&self, node: &Node, age: Duration) {
        let replica = node.connect("app", "app").await.unwrap();
        crate::soon("the replica is fresher", async || {
            let missing = self.missing(&replica).await;
            missing.is_none_or(|commit| commit.acknowledged.elapsed() < age)
        })
        .await;
    }

    /// Waits until Weir knows of this node what it is, whatever its lag.
    pub(super) fn wait_known(&self, node: &Node) {
        eventually("the node is known", SOON, || {
            let answer =
                self.weir.admin(&format!("GET /v1/clusters/main/nodes/{}", node.name()), "").json();
            answer["health"] == "up" && answer["role"] == "replica" && self.weir.primary().is_some()
        });
    }
}
