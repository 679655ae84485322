//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Measures how cost grows with clients, nodes, databases and statements.
///
/// What is pure is called in this process; the rest is CPU time per
/// transaction of a Weir under load, beside that of one without it.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    /// Idle clients at most; as many as the limit of open files allows.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) idle: usize,
    /// Clients at most that wait for 20 servers.
    #[arg(long, default_value_t = 4_000)]
    pub(crate) waiting: usize,
    /// Databases, each with a pool of its own.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) databases: usize,
    /// Distinct statements through one session.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) statements: usize,
    /// Seconds that each load is measured.
    #[arg(long, short, default_value_t = 2)]
    pub(crate) seconds: u16,
    /// Times that each load is measured; the medians are reported.
    #[arg(long, short, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// A tenth of everything, kept out of `bench/results`: does it work at all?
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only tables whose title contains this; kept out of `bench/results`, too.
    #[arg(long, default_value = "")]
    pub(crate) only: String,
    /// The `weir` binary; otherwise the one beside this program.
    #[arg(long)]
    pub(crate) weir: Option<PathBuf>,
    /// Where the results go.
    #[arg(long, default_value = "bench/results")]
    pub(crate) out: PathBuf,
}

impl Args {
    /// Applies `--quick`; a part of the tables is not kept as a result either.
    pub(crate) fn meant(mut self) -> Self {
        if self.quick {
            for count in
                [&mut self.idle, &mut self.waiting, &mut self.databases, &mut self.statements]
            {
                *count = count.div_ceil(10);
            }
            (self.seconds, self.rounds) = (1, 1);
        }
        if self.quick || !self.only.is_empty() {
            self.out = PathBuf::from("target/bench");
        }
        self
    }

    /// Whether this table is asked for.
    pub(crate) fn wants(&self, title: &str) -> bool {
        title.contains(&self.only)
    }
}
