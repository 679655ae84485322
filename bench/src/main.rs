//! `make bench`: Weir beside what a user would pick instead, in one run.
//!
//! A real primary and two replicas; every peer is started once and measured by
//! each section of the report.

mod args;
mod closed;
mod plan;
mod report;
mod table;

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use testkit::{Binaries, Cluster};
use weir_bench::cpu::{Meter, Placement};
use weir_bench::machine::{self, Facts};
use weir_bench::measure::fleet::{self, Fleet};
use weir_bench::measure::{self, Effort, Part};
use weir_bench::peers::{Name, Peer, Stage, pgbouncer};
use weir_bench::pgbench::{Pgbench, Target};
use weir_bench::section::{Report, Section};
use weir_bench::service::{Host, Scratch};
use weir_bench::weir::{USER, beside};

use args::Args;
use closed::ClosedLoop;

/// Accounts at pgbench's scale factor 1.
const ACCOUNTS: u64 = 100_000;

fn main() -> ExitCode {
    match run(&Args::parse().meant()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            tell("bench: not everything was measured; the table says what is missing");
            ExitCode::FAILURE
        }
        Err(error) => {
            tell(&format!("bench: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Says whether everything was measured and went well.
fn run(args: &Args) -> Result<bool, Box<dyn Error>> {
    let placement = args.placement.take();
    let scratch = Scratch::new()?;
    let program = Binaries::find()?.program("pgbench");
    let pgbench = Pgbench::new(program, args.scale, scratch.path())?;
    tell("starting a primary and two replicas");
    let cluster = fleet::cluster()?;
    fill(&cluster, &pgbench)?;
    let (mut peers, missing) = gather(Stage {
        cluster: &cluster,
        pgbench: &pgbench,
        host: Host { folder: scratch.path(), placement },
        weir: args.weir.as_deref(),
        pgbouncer: args.pgbouncer.as_deref(),
    });
    let facts = facts(args, placement, &peers);
    let stem = machine::stem(&args.out, &facts, "");
    let plot = named(&stem, "svg");
    let meter = Meter::of_this_system();
    let closed = ClosedLoop { args, pgbench: &pgbench, meter }.measure(&mut peers, missing);
    // What is measured next shall not share the machine with them.
    drop(peers);
    let mut sections = vec![report::section(&closed, &file_name(&plot))];
    sections.extend(beyond_pgbench(args, &cluster, Host { folder: scratch.path(), placement })?);
    let report = Report { title: "Weir beside its peers", facts, sections };
    save(&stem, &report)?;
    std::fs::write(&plot, report::plot(&closed.table))?;
    tell(&format!("kept in {}.{{md,json,svg}}", stem.display()));
    Ok(report.is_whole())
}

/// What pgbench can't tell, in front of the same cluster.
fn beyond_pgbench(args: &Args, cluster: &Cluster, host: Host<'_>) -> Result<Vec<Section>, String> {
    let weir = args.weir.clone().map_or_else(|| beside("weir"), Ok)?;
    let pgbouncer =
        args.pgbouncer.clone().map_or_else(|| pgbouncer::newest_to_run(host.folder), Ok)?;
    let fleet = Fleet { cluster, host, weir: &weir, pgbouncer: &pgbouncer };
    let effort = if args.quick { Effort::quick() } else { Effort::full() };
    let accounts = u64::from(args.scale).saturating_mul(ACCOUNTS);
    let measure = |part: &Part| {
        tell(&format!("measuring {part:?}"));
        measure::section(*part, fleet, effort, accounts)
    };
    Ok(Part::value_variants().iter().map(measure).collect())
}

fn fill(cluster: &Cluster, pgbench: &Pgbench) -> Result<(), Box<dyn Error>> {
    tell("filling pgbench's tables");
    pgbench.fill(Target { port: cluster.primary().port(), database: USER })?;
    for replica in cluster.replicas() {
        cluster.wait_caught_up(replica, Duration::from_secs(60))?;
    }
    Ok(())
}

fn gather(stage: Stage<'_>) -> (Vec<Peer>, Vec<(Name, String)>) {
    let (mut peers, mut missing) = (Vec::new(), Vec::new());
    for name in Name::ALL {
        match stage.start(name) {
            Ok(peer) => peers.push(peer),
            Err(why) => {
                tell(&format!("{name} is left out: {why}"));
                missing.push((name, why));
            }
        }
    }
    (peers, missing)
}

fn facts(args: &Args, placement: Placement, peers: &[Peer]) -> Facts {
    let Args { jobs, seconds, rounds, scale, .. } = args;
    let warm_up = if args.quick { "no warm-up" } else { "warmed up" };
    let mut facts = machine::facts();
    facts.push((
        "load",
        format!(
            "pgbench -j {jobs}, {seconds} s (half of it for one client and for other loads than selects), scale {scale}, \
             {rounds} rounds, peers interleaved in rotating order, {warm_up}"
        ),
    ));
    facts.push(("placement", placement.described().to_owned()));
    facts.extend(peers.iter().map(|peer| (peer.name.key(), peer.version.clone())));
    let busy = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    facts.push(("load average at the start", busy.trim().to_owned()));
    facts
}

/// Shows the report and keeps it: `<date>-<commit>.md` and `.json`.
fn save(stem: &Path, report: &Report) -> Result<(), Box<dyn Error>> {
    let text = report.markdown();
    std::io::stdout().write_all(text.as_bytes())?;
    machine::keep(stem, &text, &report.json())?;
    Ok(())
}

fn named(stem: &Path, extension: &str) -> PathBuf {
    PathBuf::from(format!("{}.{extension}", stem.display()))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Progress goes to standard error: standard output is the report's.
fn tell(text: &str) {
    // With nobody listening there is nobody to tell.
    let _unheard = writeln!(std::io::stderr(), "{text}");
}
