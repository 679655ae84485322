//! `make bench`: Weir beside what a user would pick instead, in one run.
//!
//! A real primary and two replicas; `pgbench -S` straight, through a bare
//! relay, through PgBouncer and through Weir, interleaved, in all query modes.

mod args;
mod peers;
mod pgbench;
mod plan;
mod report;
mod table;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use testkit::{Binaries, Cluster};
use weir_bench::cpu::Meter;
use weir_bench::machine;
use weir_bench::service::{Host, Scratch};
use weir_bench::weir::USER;

use args::Args;
use peers::{Peer, Stage};
use pgbench::{Load, Pgbench, Target};
use plan::{Mode, Name};
use report::Report;
use table::{Sample, Table};

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

/// Says whether Weir was measured and every run of every peer went well.
fn run(args: &Args) -> Result<bool, Box<dyn Error>> {
    let placement = args.placement.take();
    let pgbench = Pgbench { program: Binaries::find()?.program("pgbench") };
    tell("starting a primary and two replicas");
    let cluster = Cluster::builder().replicas(2).trust().start()?;
    fill(&cluster, &pgbench, args.scale)?;
    let scratch = Scratch::new()?;
    let host = Host { folder: scratch.path(), placement };
    let stage = Stage { args, cluster: &cluster, pgbench: &pgbench, host };
    let (mut peers, missing) = gather(stage);
    let mut facts = machine::facts();
    facts.push(("load", described(args)));
    facts.push(("placement", placement.described().to_owned()));
    facts.extend(peers.iter().map(|peer| (label(peer.name), peer.version.clone())));
    let table = measure(args, &pgbench, &mut peers);
    let report = Report { facts, table, missing };
    save(args, &report)?;
    let whole = report.missing.iter().all(|(name, _)| *name != Name::Weir);
    Ok(whole && report.table.is_clean())
}

fn fill(cluster: &Cluster, pgbench: &Pgbench, scale: u16) -> Result<(), Box<dyn Error>> {
    tell(&format!("pgbench -i -s {scale}"));
    pgbench.fill(Target { port: cluster.primary().port(), database: USER }, scale)?;
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

fn measure(args: &Args, pgbench: &Pgbench, peers: &mut [Peer]) -> Table {
    let (mut table, meter) = (Table::default(), Meter::of_this_system());
    if !args.quick {
        warm_up(args, pgbench, peers);
    }
    for round in 0..args.rounds {
        for mode in Mode::ALL {
            tell(&format!("round {} of {}, {}", round.saturating_add(1), args.rounds, mode.name()));
            for name in plan::order(round) {
                let Some(peer) = peers.iter_mut().find(|peer| peer.name == name) else { continue };
                let run = sample(pgbench, meter, peer, (mode, args.load()));
                table.add((name, mode), peer.remark(mode), run);
            }
        }
    }
    table
}

/// Caches fill and pools open before anything counts.
fn warm_up(args: &Args, pgbench: &Pgbench, peers: &[Peer]) {
    tell("warming up");
    let load = Load { seconds: 1, ..args.load() };
    for peer in peers {
        for mode in Mode::ALL {
            // What fails here fails again when it counts, and is reported then.
            let _uncounted = pgbench.run(peer.target(mode), mode, load);
        }
    }
}

fn sample(
    pgbench: &Pgbench,
    meter: Meter,
    peer: &mut Peer,
    (mode, load): (Mode, Load),
) -> Result<Sample, String> {
    let target = peer.target(mode);
    let Some(service) = &mut peer.service else {
        return Ok(Sample { counted: pgbench.run(target, mode, load)?, used: None });
    };
    let before = service.used(meter)?;
    let counted = pgbench.run(target, mode, load)?;
    Ok(Sample { counted, used: Some(service.used(meter)?.since(before)) })
}

/// Shows the table and keeps it: `<date>-<commit>.md` and `.json`.
fn save(args: &Args, report: &Report) -> Result<(), Box<dyn Error>> {
    let text = report::markdown(report);
    std::io::stdout().write_all(text.as_bytes())?;
    let stem = machine::stem(&args.out, &report.facts, "");
    machine::keep(&stem, &text, &report::json(report))?;
    tell(&format!("kept in {}.{{md,json}}", stem.display()));
    Ok(())
}

fn described(args: &Args) -> String {
    let Args { clients, jobs, seconds, rounds, scale, .. } = args;
    let warm_up = if args.quick { "no warm-up" } else { "warmed up" };
    format!(
        "pgbench -S -c {clients} -j {jobs} -T {seconds}, scale {scale}, {rounds} rounds, \
         peers interleaved in rotating order, {warm_up}"
    )
}

fn label(name: Name) -> &'static str {
    match name {
        Name::Direct => "server",
        Name::Relay => "relay",
        Name::PgBouncer => "pgbouncer",
        Name::Weir => "weir",
    }
}

/// Progress goes to standard error: standard output is the table's.
fn tell(text: &str) {
    // With nobody listening there is nobody to tell.
    let _unheard = writeln!(std::io::stderr(), "{text}");
}
