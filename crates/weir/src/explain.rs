//! `weir explain`: which way a statement would go, before anything is deployed.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use admin::explain::{CandidateBody, Explanation, Question, ask};
use policy::{Health, NodeView, Role, Topology};
use telemetry::LogFormat;

use crate::cli::{self, complain, load, say};
use crate::clusters::Clusters;
use crate::config::Settings;
use crate::live::live;

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
    let explanation = runtime.block_on(explain(args, &settings)).map_err(|cause| vec![cause])?;
    if args.json {
        return serde_json::to_string_pretty(&explanation).map_err(|cause| vec![cause.to_string()]);
    }
    Ok(table(&explanation))
}

async fn explain(args: &cli::Explain, settings: &Settings) -> Result<Explanation, String> {
    let rules = settings.databases.of(&args.database);
    let cluster = rules.map(|rules| rules.cluster.clone());
    let cluster = cluster.ok_or_else(|| {
        format!("{} has no database {:?}", args.file.config.display(), args.database)
    })?;
    let clusters = Clusters::start(settings, Some(&cluster));
    let rules = live(settings, &clusters.links, None).map_err(|cause| cause.to_string())?;
    let topology = settled(&clusters, &cluster, Duration::from_secs(args.wait)).await;
    let unreachable = topology.as_deref().is_none_or(|topology| !topology.nodes.iter().any(is_up));
    let explained = if unreachable {
        Err(unreachable_text(&cluster, settings, args.wait))
    } else {
        let question = Question {
            database: args.database.clone(),
            sql: args.sql.clone(),
            user: None,
            settings: args.settings.iter().cloned().collect(),
            consistency: None,
        };
        let patience = Duration::from_secs(args.wait);
        ask(&rules, &question, patience).await.map_err(|cause| cause.to_string())
    };
    clusters.stop().await;
    explained
}

/// Waits until everything that can be known of the nodes is, or `patience` ends.
async fn settled(clusters: &Clusters, name: &str, patience: Duration) -> Option<Arc<Topology>> {
    let mut topology = clusters.links.get(name)?.topology.clone();
    let all_known = |topology: &Arc<Topology>| {
        !topology.nodes.is_empty() && topology.nodes.iter().all(is_known)
    };
    drop(tokio::time::timeout(patience, topology.wait_for(all_known)).await);
    let newest = Arc::clone(&topology.borrow());
    Some(newest)
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
        "cluster {cluster} is not reachable: no node answered a probe (waited up to {wait} s): {}",
        nodes.join(", ")
    )
}

fn table(explained: &Explanation) -> String {
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
    if !explained.catalog {
        line("catalog", "not loaded: functions, views and types of the database are unknown");
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
