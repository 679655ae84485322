//! The weir command.

use std::process::ExitCode;

use clap::Parser as _;
use weir::cli::{Cli, Command};
use weir::{check, classify, explain, serve};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => serve::main(&args),
        Command::Check(args) => check::main(&args),
        Command::Explain(args) => explain::main(&args),
        Command::Classify(args) => classify::main(&args),
    }
}
