//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Measures which share of the reads replicas serve, and what that costs.
///
/// A real primary and two replicas behind a real Weir; the replicas are held
/// back by `recovery_min_apply_delay`.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    /// Users at work at once; each knows what it wrote last.
    #[arg(long, short, default_value_t = 8)]
    pub(crate) users: u16,
    /// Connections of an app's pool, which its users share under scope `client`.
    #[arg(long, default_value_t = 10)]
    pub(crate) pool: u16,
    /// Apps, each with an address of its own, that the users are spread over.
    #[arg(long, default_value_t = 1)]
    pub(crate) apps: u16,
    /// Requests of a hundred that write.
    #[arg(long, default_value_t = 10)]
    pub(crate) writes: u16,
    /// Seconds that each cell is measured.
    #[arg(long, short, default_value_t = 4)]
    pub(crate) seconds: u16,
    /// How long a read of `session, wait` and `strong, wait` waits for a replica at most.
    #[arg(long, default_value = "100ms")]
    pub(crate) stale_wait: String,
    /// A corner of the table, kept out of `bench/results`: does it work at all?
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only cells whose name contains this: `1 ms, think 20 ms, connection, session`.
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
    /// Applies `--quick`; a part of the table is not kept as a result either.
    pub(crate) fn meant(mut self) -> Self {
        if self.quick {
            self.seconds = 1;
        }
        if self.quick || !self.only.is_empty() {
            self.out = PathBuf::from("target/bench");
        }
        self
    }
}
