//! How long the replicas lag: set by PostgreSQL's own setting, and measured.

use std::error::Error;
use std::time::Duration;

use testkit::{Cluster, Node};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_postgres::{Client, Statement};
use weir_bench::weir::USER;

use crate::tally::permille;

/// Between two looks at the delay while a cell is measured: some writes more, no load.
const EVERY: Duration = Duration::from_millis(200);

/// How long a new delay may take to be there.
const PATIENCE: Duration = Duration::from_secs(20);

/// Holds back each commit on the replicas for so many milliseconds.
///
/// `recovery_min_apply_delay` counts from the commit's own time stamp; all
/// servers share this machine's clock.
///
/// # Errors
///
/// A replica refused it.
pub(crate) fn hold_back(cluster: &Cluster, lag: u16) -> Result<(), testkit::Error> {
    for replica in cluster.replicas() {
        replica.psql(&format!(
            "ALTER SYSTEM SET recovery_min_apply_delay = '{lag}ms'; SELECT pg_reload_conf()"
        ))?;
    }
    Ok(())
}

/// Writes past Weir and looks when the replicas show it.
pub(crate) struct Watch {
    primary: (Client, Statement),
    replicas: Vec<(Client, Statement)>,
    value: i64,
    /// In milliseconds.
    nominal: u16,
}

impl Watch {
    /// Connects to the nodes themselves.
    ///
    /// # Errors
    ///
    /// A node's words.
    pub(crate) async fn over(cluster: &Cluster) -> Result<Self, Box<dyn Error>> {
        let write = "UPDATE delay SET value = $1";
        let primary = prepared(cluster.primary(), write).await?;
        let mut replicas = Vec::new();
        for replica in cluster.replicas() {
            replicas.push(prepared(replica, "SELECT value FROM delay").await?);
        }
        Ok(Self { primary, replicas, value: 0, nominal: 0 })
    }

    /// Waits until the delay is about `lag` milliseconds, and takes samples of it at rest.
    ///
    /// # Errors
    ///
    /// It is not so after a while.
    pub(crate) async fn settle(&mut self, lag: u16) -> Result<Vec<Duration>, Box<dyn Error>> {
        self.nominal = lag;
        let least = Duration::from_millis(lag.into()).mul_f32(0.9);
        let most = least.saturating_mul(2).saturating_add(Duration::from_millis(10));
        let settled = async {
            let mut samples = Vec::new();
            while samples.len() < 20 {
                let sample = self.sample().await?;
                samples.extend(sample);
                if sample.iter().any(|seen| *seen < least || *seen > most) {
                    samples.clear();
                }
            }
            Ok::<_, tokio_postgres::Error>(samples)
        };
        let settled = timeout(PATIENCE, settled).await;
        let told = |_| format!("the replicas do not lag by {lag} ms");
        Ok(settled.map_err(told)??)
    }

    /// Takes samples until `end`, while others work.
    ///
    /// # Errors
    ///
    /// A node's words.
    pub(crate) async fn until(
        &mut self,
        end: Instant,
    ) -> Result<Vec<Duration>, tokio_postgres::Error> {
        let mut samples = Vec::new();
        while let Ok(sample) = timeout_at(end, self.sample()).await {
            samples.extend(sample?);
            sleep(EVERY).await;
        }
        Ok(samples)
    }

    /// From the commit's answer to the first read that shows it, on one replica after the other.
    async fn sample(&mut self) -> Result<Option<Duration>, tokio_postgres::Error> {
        self.value = self.value.saturating_add(1);
        let (client, write) = &self.primary;
        client.execute(write, &[&self.value]).await?;
        let committed = Instant::now();
        self.replicas.rotate_left(1);
        let Some((client, read)) = self.replicas.first() else { return Ok(None) };
        // Most of it is slept, lest the questions be a load of their own.
        if self.nominal > 5 {
            sleep(Duration::from_millis(self.nominal.into()).mul_f32(0.8)).await;
        }
        loop {
            let seen: i64 = client.query_one(read, &[]).await?.try_get(0)?;
            if seen >= self.value {
                return Ok(Some(committed.elapsed()));
            }
        }
    }
}

async fn prepared(node: &Node, text: &str) -> Result<(Client, Statement), Box<dyn Error>> {
    let client = node.connect(USER, USER).await?;
    let statement = client.prepare(text).await?;
    Ok((client, statement))
}

/// Median and 99th of a hundred, in milliseconds.
pub(crate) fn summary(samples: &[Duration]) -> Option<(f64, f64)> {
    let rank = |rank| permille(samples.to_vec(), rank).map(|delay| delay.as_secs_f64() * 1e3);
    Some((rank(500)?, rank(990)?))
}
