//! What was typed.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{self, Problem, Settings};

/// A read/write-splitting SQL proxy for Postgres that knows how far behind each replica is.
#[derive(Debug, Parser)]
#[command(name = "weir", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Stand between clients and servers until SIGTERM; SIGHUP reads the file again.
    Serve(Serve),
    /// Print every mistake in the configuration, or what it means.
    Check(File),
    /// Say which way a statement would go, and why; nothing is run.
    Explain(Explain),
    /// Say which way the statements of a file would go, and why; nothing is run.
    Classify(Classify),
}

/// Where the configuration is.
#[derive(Debug, Clone, Args)]
pub struct File {
    /// The configuration file.
    #[arg(short = 'c', long = "config", default_value = "config.yaml")]
    pub config: PathBuf,
}

/// `weir serve`.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// The configuration.
    #[command(flatten)]
    pub file: File,
    /// Write the ports that were taken as JSON to this file, once clients can connect.
    #[arg(long, value_name = "PATH")]
    pub ports_file: Option<PathBuf>,
}

/// `weir explain`.
#[derive(Debug, Clone, Args)]
pub struct Explain {
    /// The configuration.
    #[command(flatten)]
    pub file: File,
    /// The database by the name that clients use.
    #[arg(short, long, default_value = "postgres")]
    pub database: String,
    /// A wish of the session, such as consistency=eventual; may be repeated.
    #[arg(short, long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    pub settings: Vec<(String, String)>,
    /// How long to wait for the cluster, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub wait: u64,
    /// Print JSON, as POST /v1/explain does.
    #[arg(long)]
    pub json: bool,
    /// One or several statements.
    pub sql: String,
}

/// `weir classify`.
#[derive(Debug, Clone, Args)]
pub struct Classify {
    /// The configuration: its cluster is asked for the database's catalog. Without it tables are assumed.
    #[arg(short = 'c', long, value_name = "CONFIG", requires = "database")]
    pub config: Option<PathBuf>,
    /// The database by the name that clients use.
    #[arg(short, long, requires = "config")]
    pub database: Option<String>,
    /// What the file is; otherwise its beginning tells.
    #[arg(long, value_enum)]
    pub input: Option<Input>,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// List every statement, and all that were not understood.
    #[arg(long)]
    pub all: bool,
    /// A psql script, or an export of `pg_stat_statements` as CSV or JSON; `-` is standard input.
    pub file: PathBuf,
}

/// What a file of statements is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Input {
    /// A script for psql.
    Sql,
    /// CSV with a header that names `query`.
    Csv,
    /// Objects with a key `query`: an array, or one per line.
    Json,
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Reads the configuration with the process's environment.
///
/// # Errors
///
/// Every mistake that was found; a file that can't be read is one.
pub fn load(path: &Path) -> Result<Settings, Vec<Problem>> {
    let text = std::fs::read_to_string(path).map_err(|cause| {
        let text = format!("can't read {}: {cause}", path.display());
        vec![Problem { path: String::new(), text }]
    })?;
    config::parse(&text, &|name| std::env::var(name).ok())
}

/// Prints to stdout; a reader that went away is no error.
pub(crate) fn say(text: &str) {
    drop(writeln!(io::stdout().lock(), "{text}"));
}

/// Prints to stderr.
pub(crate) fn complain(text: &str) {
    drop(writeln!(io::stderr().lock(), "weir: {text}"));
}
