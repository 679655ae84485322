//! The sections of `make bench` that pgbench can't measure, by themselves.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::{Parser, ValueEnum};
use testkit::{Binaries, Cluster};
use weir_bench::cpu::Placement;
use weir_bench::machine;
use weir_bench::measure::fleet::{Fleet, check_pgbouncer, cluster};
use weir_bench::measure::{Effort, Part, section};
use weir_bench::section::Report;
use weir_bench::service::{Host, Scratch};
use weir_bench::weir::{USER, beside};

/// Accounts at pgbench's scale factor 1.
const ACCOUNTS: u64 = 100_000;

/// Measures latency, logins, large results, memory and workers.
#[derive(Debug, Parser)]
struct Args {
    /// Only these.
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// 2 short rounds, kept out of `bench/results`: does it work at all?
    #[arg(long)]
    quick: bool,
    /// The `weir` binary; otherwise the one beside this program.
    #[arg(long)]
    weir: Option<PathBuf>,
    /// The `pgbouncer` binary.
    #[arg(long, default_value = "pgbouncer")]
    pgbouncer: PathBuf,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Standard error may be closed; there is nobody else to tell.
            drop(writeln!(std::io::stderr(), "sections: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<bool, Box<dyn Error>> {
    let placement = Placement::Shared.take();
    let cluster = cluster()?;
    fill(&cluster)?;
    let scratch = Scratch::new()?;
    let weir = args.weir.clone().map_or_else(|| beside("weir"), Ok)?;
    let host = Host { folder: scratch.path(), placement };
    let fleet = Fleet { cluster: &cluster, host, weir: &weir, pgbouncer: &args.pgbouncer };
    let mut facts = machine::facts();
    facts.push(("pgbouncer", check_pgbouncer(&args.pgbouncer).unwrap_or_else(|why| why)));
    let effort = if args.quick { Effort::quick() } else { Effort::full() };
    let parts = if args.only.is_empty() { Part::value_variants() } else { &args.only };
    let measure = |part: &Part| {
        // Progress for who watches, if anybody does.
        drop(writeln!(std::io::stderr(), "measuring {part:?}"));
        section(*part, fleet, effort, ACCOUNTS)
    };
    let sections = parts.iter().map(measure).collect();
    let report = Report { title: "Beyond pgbench", facts, sections };
    let text = report.markdown();
    std::io::stdout().write_all(text.as_bytes())?;
    let folder = if args.quick { "target/bench" } else { "bench/results" };
    let stem = machine::stem(folder.as_ref(), &report.facts, "-sections");
    machine::keep(&stem, &text, &report.json())?;
    Ok(report.is_whole())
}

fn fill(cluster: &Cluster) -> Result<(), Box<dyn Error>> {
    let port = cluster.primary().port().to_string();
    let words = ["-i", "-q", "-s", "1", "-h", "127.0.0.1", "-p", &port, "-U", USER, USER];
    let output = Command::new(Binaries::find()?.program("pgbench")).args(words).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    for replica in cluster.replicas() {
        cluster.wait_caught_up(replica, std::time::Duration::from_secs(60))?;
    }
    Ok(())
}
