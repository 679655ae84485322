//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Counts the instructions that Weir runs per transaction, and compares them with those of before.
///
/// Counted by valgrind, in user space: the same on a busy machine as on an
/// idle one. Fails when a row is more than 5 % above its baseline.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    /// Make what is counted the baseline instead of comparing with it.
    #[arg(long)]
    pub(crate) update: bool,
    /// The baseline.
    #[arg(long, default_value = "bench/instructions.json")]
    pub(crate) baseline: PathBuf,
    /// The `weir` binary; otherwise the one beside this program.
    #[arg(long)]
    pub(crate) weir: Option<PathBuf>,
    /// Do the pure work that is asked for on this socket: what this program starts under valgrind.
    #[arg(long, hide = true)]
    pub(crate) worker: Option<PathBuf>,
}
