//! The command line.

use std::path::PathBuf;

use clap::Parser;

use weir_bench::cpu::Placement;

/// Measures Weir beside what a user would pick instead, by pgbench.
///
/// One run gives all numbers of a table, interleaved: numbers of different
/// runs or machines say nothing about each other.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    /// Threads of pgbench.
    #[arg(long, short = 'j', default_value_t = 2)]
    pub(crate) jobs: u16,
    /// Seconds that each run lasts; half of it for one client and other loads than selects.
    #[arg(long, short, default_value_t = 2)]
    pub(crate) seconds: u16,
    /// Runs of each peer in each case; the medians are reported.
    #[arg(long, short, default_value_t = 5)]
    pub(crate) rounds: u16,
    /// pgbench's scale factor: 100,000 accounts each.
    #[arg(long, default_value_t = 10)]
    pub(crate) scale: u16,
    /// 1 round of 1 second, kept out of `bench/results`: does it work at all?
    #[arg(long)]
    pub(crate) quick: bool,
    /// Which CPUs the processes get.
    #[arg(long, value_enum, default_value_t = Placement::Shared)]
    pub(crate) placement: Placement,
    /// The `weir` binary; otherwise the one beside this program.
    #[arg(long)]
    pub(crate) weir: Option<PathBuf>,
    /// The `pgbouncer` binary; otherwise the newest that `make bench-deps` could get.
    #[arg(long)]
    pub(crate) pgbouncer: Option<PathBuf>,
    /// Where the results go.
    #[arg(long, default_value = "bench/results")]
    pub(crate) out: PathBuf,
}

impl Args {
    /// Applies `--quick`.
    pub(crate) fn meant(mut self) -> Self {
        if self.quick {
            (self.rounds, self.seconds) = (1, 1);
            self.out = PathBuf::from("target/bench");
        }
        self
    }
}
