//! `weir check`: every mistake, or what the configuration means.

use std::process::ExitCode;

use crate::cli::{File, complain, load, say};
use crate::config::Settings;

/// Prints mistakes to stderr, or a summary to stdout.
#[must_use]
pub fn main(args: &File) -> ExitCode {
    match load(&args.config) {
        Ok(settings) => {
            for warning in &settings.warnings {
                complain(&format!("warning: {warning}"));
            }
            say(&summary(&settings));
            ExitCode::SUCCESS
        }
        Err(problems) => {
            for problem in &problems {
                complain(&problem.to_string());
            }
            let count = problems.len();
            complain(&format!("{}: {}", args.config.display(), counted(count, "mistake")));
            ExitCode::FAILURE
        }
    }
}

/// What a configuration means, in one line.
#[must_use]
pub fn summary(settings: &Settings) -> String {
    let nodes: usize = settings.clusters.values().map(|cluster| cluster.nodes.len()).sum();
    let any = match settings.databases.patterns() {
        [] => String::new(),
        [(pattern, _)] if pattern == "*" => " and any other".to_owned(),
        several => format!(" and {}", counted(several.len(), "pattern")),
    };
    format!(
        "ok: listen {}, admin {}, {}, {}, {}, {}{any}",
        settings.listen,
        settings.admin.listen,
        counted(settings.workers.get(), "worker"),
        counted(settings.clusters.len(), "cluster"),
        counted(nodes, "node"),
        counted(settings.databases.named().len(), "database"),
    )
}

fn counted(count: usize, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}
