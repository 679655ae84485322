//! Servers of the versions that are there, and what their catalogs say.

use testkit::{Binaries, Cluster};
use tokio_postgres::{Client, SimpleQueryMessage};
use weir_tests::Fetched;

/// The rows of `pg_proc` that SQL can call by name, as crates/sql/generate-builtin.sh asks for them.
pub(super) const CALLABLE: &str = "\
FROM pg_proc p
WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind IN ('f', 'a', 'w')
  AND NOT (proargtypes::oid[] && ARRAY['internal'::regtype::oid, 'cstring'::regtype::oid])
  AND prorettype NOT IN (SELECT oid FROM pg_type WHERE typtype = 'p' AND typname IN ('internal', 'cstring', 'trigger',
      'event_trigger', 'language_handler', 'fdw_handler', 'index_am_handler', 'tsm_handler', 'table_am_handler'))";

/// A cluster of one version, and its primary's catalogs.
pub(super) struct Server {
    pub(super) version: u32,
    pub(super) cluster: Cluster,
    client: Client,
}

impl Server {
    /// The installed version, then 18 if it is there and another one.
    pub(super) async fn each(replicas: usize) -> Vec<Self> {
        let mut servers = vec![Self::start(Binaries::find().unwrap(), replicas).await];
        if let Some(newer) = Fetched::V18.binaries("builtin") {
            servers.push(Self::start(newer, replicas).await);
        }
        servers
    }

    async fn start(binaries: Binaries, replicas: usize) -> Self {
        let cluster = Cluster::builder().binaries(binaries).replicas(replicas);
        let cluster = cluster.setting("track_commit_timestamp", "on").start().unwrap();
        let client = cluster.primary().connect("postgres", "app").await.unwrap();
        let number: u32 = one(&client, "SHOW server_version_num").await.parse().unwrap();
        Self { version: number / 10_000, cluster, client }
    }

    /// The first column of each row.
    pub(super) async fn words(&self, sql: &str) -> Vec<String> {
        let rows = self.rows(sql).await;
        rows.into_iter().map(|row| row.into_iter().next().unwrap()).collect()
    }

    /// All columns of each row; NULL is empty.
    pub(super) async fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        rows(&self.client, sql).await
    }

    /// Runs what has no answer on the primary.
    pub(super) async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }
}

async fn one(client: &Client, sql: &str) -> String {
    rows(client, sql).await.swap_remove(0).swap_remove(0)
}

async fn rows(client: &Client, sql: &str) -> Vec<Vec<String>> {
    let messages = client.simple_query(sql).await.unwrap();
    let rows = messages.iter().filter_map(|message| {
        let SimpleQueryMessage::Row(row) = message else { return None };
        Some(row)
    });
    let text = |column: Option<&str>| column.unwrap_or_default().to_owned();
    rows.map(|row| (0..row.len()).map(|at| text(row.get(at))).collect()).collect()
}

/// What whoever reads a test's output should know.
#[expect(clippy::print_stderr, reason = "a check that was left out is told aloud")]
pub(super) fn say(text: &str) {
    eprintln!("builtin: {text}");
}
