//! `weir explain`: which way a statement would go, before anything is deployed.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use admin::explain::{CandidateBody, Explanation, Question, View};
use control::FoundCatalog;
use policy::{Health, NodeView, Role, Topology};
use proxy::config::DatabaseRules;
use telemetry::LogFormat;
use tokio::time::{Instant, timeout};

use crate::cli::{self, complain, load, say};
use crate::clusters::{Clusters, read_catalog};
use crate::config::Settings;

/// Asks the cluster, prints the answer.
#[must_use]
pub fn main(args: &cli::Explain) -> ExitCode {
    match answer(args) {
        Ok(text) => {
            say(text.trim_end());
            ExitCode::SUCCESS
        }
        Err(problems) => {
            for problem in &problems {
                complain(problem);
            }
            ExitCode::FAILURE
        }
    }
}

fn answer(args: &cli::Explain) -> Result<String, Vec<String>> {
    let settings = load(&args.file.config)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    // Why a node does not answer is said by control, in the log.
    telemetry::init(LogFormat::Text, "warn").map_err(|cause| vec![cause.to_string()])?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| vec![cause.to_string()])?;
    let answer = runtime.block_on(explain(args, &settings)).map_err(|cause| vec![cause])?;
    let Answer { explanation, no_catalog } = answer;
    if args.json {
        if let Some(why) = no_catalog {
            complain(&format!("no catalog: {why}"));
        }
        return serde_json::to_string_pretty(&explanation).map_err(|cause| vec![cause.to_string()]);
    }
    Ok(table(&explanation, no_catalog.as_deref()))
}

/// An explanation, and why it had to do without a catalog.
struct Answer {
    explanation: Explanation,
    no_catalog: Option<String>,
}

async fn explain(args: &cli::Explain, settings: &Settings) -> Result<Answer, String> {
    let rules = settings.databases.of(&args.database).ok_or_else(|| {
        format!("{} has no database {:?}", args.file.config.display(), args.database)
    })?;
    let clusters = Clusters::start(settings, Some(&rules.cluster));
    let (topology, found) = seen(&clusters, args, settings, rules).await;
    clusters.stop().await;
    let topology = topology.filter(|topology| topology.nodes.iter().any(is_up));
    let topology = topology.ok_or_else(|| unreachable_text(&rules.cluster, settings, args.wait))?;
    let question = Question {
        database: args.database.clone(),
        sql: args.sql.clone(),
        user: None,
        settings: args.settings.iter().cloned().collect(),
        consistency: None,
    };
    let now = Instant::now().into_std();
    let view = View {
        rules,
        reads: &rules.reads,
        topology: &topology,
        catalog: found.as_ref().ok().map(|found| &found.catalog),
        now,
    };
    let explanation = admin::explain::explain(&question, &view);
    let explanation = explanation.map_err(|cause| cause.to_string())?;
    Ok(Answer { explanation, no_catalog: found.err() })
}

/// The cluster as it is once the catalog was read: lag is measured all the time.
async fn seen(
    clusters: &Clusters,
    args: &cli::Explain,
    settings: &Settings,
    rules: &DatabaseRules,
) -> (Option<Arc<Topology>>, Result<FoundCatalog, String>) {
    let patience = Duration::from_secs(args.wait);
    let found = timeout(patience, Box::pin(read_catalog(settings, rules, &args.database)));
    let ((), found) = tokio::join!(settle(clusters, &rules.cluster, patience), found);
    let found = found.unwrap_or_else(|_| Err(format!("not read within {} s", args.wait)));
    let link = clusters.links.get(&rules.cluster);
    (link.map(|link| Arc::clone(&link.topology.borrow())), found)
}

/// Waits until everything that can be known of the nodes is, or `patience` ends.
async fn settle(clusters: &Clusters, name: &str, patience: Duration) {
    let Some(link) = clusters.links.get(name) else { return };
    let mut topology = link.topology.clone();
    let all_known = |topology: &Arc<Topology>| {
        !topology.nodes.is_empty() && topology.nodes.iter().all(is_known)
    };
    drop(timeout(patience, topology.wait_for(all_known)).await);
}

fn is_up(node: &NodeView) -> bool {
    node.health == Health::Up
}

fn is_known(node: &NodeView) -> bool {
    match (node.health, node.role) {
        (Health::Down, _) | (Health::Up, Role::Primary) => true,
        (Health::Up, Role::Replica) => node.fresh_at.is_some(),
        (Health::Up, Role::Unknown) | (Health::Unknown, _) => false,
    }
}

fn unreachable_text(cluster: &str, settings: &Settings, wait: u64) -> String {
    let nodes = settings.clusters.get(cluster).map(|cluster| cluster.nodes.as_slice());
    let nodes = nodes.unwrap_or_default().iter();
    let nodes: Vec<String> =
        nodes.map(|node| format!("{} at {}:{}", node.name, node.host, node.port)).collect();
    format!(
        "cluster {cluster} is not reachable: no node answered a probe (waited up to {wait} s): {}; `weir classify` needs no cluster",
        nodes.join(", ")
    )
}

fn table(explained: &Explanation, no_catalog: Option<&str>) -> String {
    let node = explained.node.as_deref().map(|node| format!(" ({node})")).unwrap_or_default();
    let mut out = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "{name:<11}{value}");
    };
    line("target", &format!("{}{node}", explained.target));
    line("reason", explained.reason);
    line("class", &format!("{} ({})", explained.class, explained.why));
    if let Some(detail) = explained.detail {
        line("detail", detail);
    }
    if !explained.effects.is_empty() {
        line("effects", &explained.effects.join(", "));
    }
    if let Some(why) = no_catalog {
        let means = "nothing is a read while the database's functions and relations are unknown";
        line("catalog", &format!("none: {why}; {means}"));
    }
    for candidate in &explained.candidates {
        line("candidate", &row(candidate));
    }
    out
}

fn row(candidate: &CandidateBody) -> String {
    let lag = candidate.lag_seconds.map_or("-".to_owned(), |lag| format!("{:.0} ms", lag * 1e3));
    let bytes = candidate.lag_bytes.map_or("-".to_owned(), |bytes| format!("{bytes} B"));
    let CandidateBody { node, role, eligibility, .. } = candidate;
    format!("{node:<12} {role:<8} lag {lag:>8} {bytes:>12}  {eligibility}")
}
