//! Seeded runs of clients, Weirs and a failing cluster in virtual time, over policy's own code.
//!
//! What the model knows and no Weir can know, the ground truth, judges every read and write
//! (`judge.rs`). One seed is one run; the same seed is the same run.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a fault of the model must end the run, not bend it"
)]

mod bits;
mod client;
mod clock;
mod cover;
mod event;
mod fault;
mod judge;
mod lifecycle;
mod node;
mod place;
mod random;
mod replication;
mod say;
mod serve;
mod sizing;
#[cfg(test)]
mod tests;
mod wal;
mod weather;
mod weir;
mod world;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use clap::Parser;

use cover::Cover;
use say::{complain, print, say};
use world::{Notes, Report, World};

/// Looks for a run in which a promise is broken.
#[derive(Debug, Parser)]
struct Args {
    /// How many seeds are run
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Run this one alone, and tell all that happens in it
    #[arg(long)]
    seed: Option<u64>,
    /// Print what many Weirs ask of a cluster, and how many reads replicas serve
    #[arg(long)]
    sizing: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let base = base();
    if args.sizing {
        for line in sizing::table(base) {
            print(&line);
        }
        return ExitCode::SUCCESS;
    }
    if let Some(seed) = args.seed {
        return replay(seed, base);
    }
    let (cover, failed) = run(args.from, args.seeds, base);
    for line in cover.lines() {
        print(&line);
    }
    if let Some(seed) = failed {
        let report = World::new(seed, base).run(Notes::TheEnd);
        return tell(seed, &report);
    }
    if let Some(missing) = cover.missing(args.seeds) {
        complain(&format!("too little was tried: {missing}"));
        return ExitCode::FAILURE;
    }
    say(&format!("{} seeds, and everything held", args.seeds));
    ExitCode::SUCCESS
}

/// The one moment that is taken from the machine's clock: all others are differences to it.
#[expect(clippy::disallowed_methods, reason = "an Instant can be had nowhere else")]
fn base() -> Instant {
    Instant::now()
}

fn replay(seed: u64, base: Instant) -> ExitCode {
    let report = World::new(seed, base).run(Notes::Everything);
    tell(seed, &report)
}

fn tell(seed: u64, report: &Report) -> ExitCode {
    for line in &report.notes {
        print(line);
    }
    if let Some(violation) = &report.violation {
        complain(&format!("seed {seed}: {violation}"));
        complain(&format!("replay it by `make sim SEED={seed}`"));
        ExitCode::FAILURE
    } else {
        say(&format!("seed {seed}: everything held in {} cycles", report.outcomes.len()));
        ExitCode::SUCCESS
    }
}

/// Runs the seeds on all cores; what they covered, and the lowest that failed.
fn run(from: u64, seeds: u64, base: Instant) -> (Cover, Option<u64>) {
    let (next, failed) = (AtomicU64::new(from), AtomicU64::new(u64::MAX));
    let cover = Mutex::new(Cover::default());
    let end = from.saturating_add(seeds);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let mut own = Cover::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end.min(failed.load(Ordering::Relaxed)) {
                        break;
                    }
                    let report = World::new(seed, base).run(Notes::Nothing);
                    own.join(&report.cover);
                    if report.violation.is_some() {
                        failed.fetch_min(seed, Ordering::Relaxed);
                    }
                }
                cover.lock().unwrap_or_else(PoisonError::into_inner).join(&own);
            });
        }
    });
    let failed = failed.into_inner();
    let cover = cover.into_inner().unwrap_or_else(PoisonError::into_inner);
    (cover, (failed != u64::MAX).then_some(failed))
}
