//! Which way a statement goes: tables of statements, explained by Weir and run through it.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use testkit::{Binaries, Cluster, Node, Stop};
use weir_tests::{Config, Route, Weir, eventually};

use crate::WEIR;

const SOON: Duration = Duration::from_secs(20);

/// One row of a table; `tests/routing/statements.yaml` says what the keys mean.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(rename = "row")]
    number: u8,
    #[serde(default)]
    before: Vec<String>,
    sql: String,
    #[serde(default)]
    after: Vec<String>,
    expect: Side,
    reason: String,
    why: Option<String>,
    fails: Option<String>,
    served: Option<Served>,
    class: Option<String>,
    #[serde(default)]
    topology: Topology,
}

/// What the cluster is like.
#[derive(Debug, Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Topology {
    #[default]
    Fresh,
    Behind,
    Alone,
    Leaderless,
}

/// Where a statement ran, if not where it was sent.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Served {
    /// On the primary, after a replica refused it.
    Retried,
    /// Weir refused it itself.
    Nowhere,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Side {
    Primary,
    Replica,
    /// Not where another row's cause would keep it: `reason` is `unpinned`.
    Any,
    /// Weir itself.
    Weir,
    /// No server: the client is told why.
    Refused,
}

/// A Weir in front of the schema that the tables are about.
struct Stage {
    weir: Weir,
    psql: PathBuf,
    cluster: Cluster,
}

fn file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("routing").join(name);
    std::fs::read_to_string(&path).unwrap()
}

fn table(name: &str) -> Vec<Row> {
    serde_yaml::from_str(&file(name)).unwrap()
}

impl Stage {
    /// Makes the schema through Weir, and waits until Weir itself knows it.
    async fn set_up() -> Self {
        let cluster = Cluster::builder().replicas(2).start().unwrap();
        let reads = vec![("scope", "connection".to_owned())];
        let pool = vec![("failover_hold", "200ms".to_owned())];
        let weir = Weir::start(WEIR, &cluster, &Config { reads, pool, ..Config::default() });
        let owner = weir.connect(&weir.config("postgres", "app")).await;
        owner.batch_execute(&file("schema.sql")).await.unwrap();
        // Without a hint from Weir itself the catalog would be read again after half a minute.
        eventually("Weir has read the new schema", Duration::from_secs(5), || {
            weir.explain("app", "SELECT a FROM last_of_all").json()["class"] == "read"
        });
        for replica in cluster.replicas() {
            cluster.wait_caught_up(replica, SOON).unwrap();
        }
        let psql = Binaries::find().unwrap().program("psql");
        Self { weir, psql, cluster }
    }

    /// Runs the rows of a table one by one, each in a session of its own.
    fn play(&self, name: &str, topology: Topology) {
        let mut rows = table(name);
        assert!(rows.len() > 20, "{name} is short");
        rows.retain(|row| row.topology == topology);
        assert!(rows.len() > 3, "{name} has too few rows of {topology:?}");
        let mut wrong = Vec::new();
        for row in rows {
            let mut said = Vec::new();
            if row.before.is_empty() {
                said.extend(self.explained(&row));
            }
            said.extend(self.ran(&row));
            if !said.is_empty() {
                wrong.push(format!("row {}: {}\n    {}", row.number, row.sql, said.join("\n    ")));
            }
        }
        assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
    }

    /// Waits until this is what is said of every replica.
    fn until(&self, eligibility: &str) {
        eventually(eligibility, SOON, || {
            let answer = self.weir.explain("app", "SELECT a FROM t").json();
            let candidates = answer["candidates"].as_array().unwrap();
            let known = candidates.iter().filter(|one| one["eligibility"] == eligibility);
            known.count() == self.cluster.replicas().len()
        });
    }

    /// What explain says otherwise than the row.
    fn explained(&self, row: &Row) -> Option<String> {
        let answer = self.weir.explain("app", &row.sql).json();
        let word = |key: &str| answer[key].as_str().unwrap_or("?").to_owned();
        let target = match &*word("target") {
            "wait" | "refuse" => "refused".to_owned(),
            target => target.to_owned(),
        };
        let found = (target, word("reason"), word("class"), word("why"));
        let class = row.class.clone().unwrap_or_else(|| found.2.clone());
        let why = row.why.clone().unwrap_or_else(|| found.3.clone());
        let wanted = (row.expect.word().to_owned(), row.reason.clone(), class, why);
        (found != wanted).then(|| format!("explained as {found:?}"))
    }

    /// What running it shows otherwise than the row.
    fn ran(&self, row: &Row) -> Option<String> {
        let mut psql = self.weir.command(&self.psql);
        psql.env("PGUSER", "postgres").env("PGPASSWORD", "postgres");
        psql.args(["-XqAt", "-v", "VERBOSITY=sqlstate"]);
        for sql in row.before.iter().chain([&row.sql]).chain(&row.after) {
            psql.arg("-c").arg(sql);
        }
        let output = psql.args(["-c", "SHOW weir.last_route"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let Some(last) = text.lines().last().filter(|last| last.split(' ').count() == 3) else {
            return Some(format!("no route: {text:?} {told:?}"));
        };
        let error = told.lines().rev().find_map(|line| line.strip_prefix("ERROR:"));
        // An error of an earlier statement is followed by the answers of the last.
        let error = error.map(str::trim).filter(|_| row.before.is_empty() || row.fails.is_some());
        let route = Route::read(last);
        if !row.describes(&route) {
            return Some(format!("served as {route:?}, {told:?}"));
        }
        (error != row.fails.as_deref()).then(|| format!("ended with {error:?}"))
    }
}

impl Side {
    fn word(&self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::Any => "any",
            Self::Weir => "weir",
            Self::Refused => "refused",
        }
    }
}

impl Row {
    fn describes(&self, route: &Route) -> bool {
        let found = (&*route.side, &*route.reason);
        match (&self.expect, &self.served) {
            (_, Some(Served::Retried)) => found == ("primary", "retried"),
            (_, Some(Served::Nowhere)) => found == ("weir", "local"),
            (Side::Any, None) => !found.1.starts_with("pinned") && found.1 != "transaction",
            // What no server ran is no route: the error is all that there is.
            (Side::Refused, None) => self.fails.is_some(),
            (side, None) => found == (side.word(), &*self.reason),
        }
    }
}

#[tokio::test]
async fn statements_go_where_their_table_says() {
    Stage::set_up().await.play("statements.yaml", Topology::Fresh);
}

#[tokio::test]
async fn functions_and_relations_go_where_their_table_says() {
    Stage::set_up().await.play("functions.yaml", Topology::Fresh);
}

#[tokio::test]
async fn sessions_stay_where_their_table_says() {
    Stage::set_up().await.play("sessions.yaml", Topology::Fresh);
}

#[tokio::test]
async fn statements_find_their_way_in_a_cluster_that_lacks_something() {
    let stage = Stage::set_up().await;
    let all = |nodes: &[&Node], act: fn(&Node)| nodes.iter().for_each(|node| act(node));
    let (primary, replicas) = (stage.cluster.primary(), stage.cluster.replicas());
    all(&replicas, |node| node.pause_replay().unwrap());
    stage.cluster.primary().psql_in("app", "INSERT INTO t2 VALUES (0)").unwrap();
    stage.until("too_far_behind");
    stage.play("topologies.yaml", Topology::Behind);

    all(&replicas, |node| node.resume_replay().unwrap());
    all(&replicas, |node| node.stop(Stop::Fast).unwrap());
    stage.until("down");
    stage.play("topologies.yaml", Topology::Alone);

    all(&replicas, |node| node.start().unwrap());
    stage.until("eligible");
    primary.stop(Stop::Fast).unwrap();
    eventually("the primary is lost", SOON, || stage.weir.primary().is_none());
    stage.play("topologies.yaml", Topology::Leaderless);
}
