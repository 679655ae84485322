//! Asks a standby whether the classifier is right.
//!
//! PostgreSQL's regression suite runs through this program on a primary. What is like a query is
//! classified, run on a standby with the same settings, and only then on the primary. A statement that
//! is called a read must run there, with the same rows; and most of those that do should be called so.

mod answer;
mod catalog;
mod clock;
mod entrance;
mod group;
mod link;
mod lists;
mod mirror;
mod relay;
mod report;
mod say;
mod session;
mod suite;
mod text;
mod verdict;

use std::error::Error;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Parser;
use testkit::{Binaries, Cluster};

use clock::Clock;
use report::Report;
use say::{complain, say};
use session::{Notes, Shared};
use suite::Suite;

/// Asks a standby whether the classifier is right.
#[derive(Debug, Parser)]
struct Args {
    /// The program `pg_regress`
    #[arg(long)]
    driver: PathBuf,
    /// A folder that the server's user may enter, with the suite in `tests` and its `modules`
    #[arg(long)]
    home: PathBuf,
    /// The share of reads, in percent, that must be called so
    #[arg(long, default_value_t = 0.0, overrides_with = "at_least")]
    at_least: f64,
    /// A file for every read that is not called so
    #[arg(long)]
    all: Option<PathBuf>,
    /// Run these tests instead of all; most need `test_setup` before them
    only: Vec<String>,
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<ExitCode, Box<dyn Error>> {
    let psql = Binaries::find()?.program("psql");
    let programs = psql.parent().ok_or("psql is in a folder")?.to_owned();
    let cluster = start()?;
    let (primary, standby) = (cluster.primary(), cluster.replicas());
    let standby = standby.first().ok_or("the cluster has a standby")?;
    let (primary, standby) = (primary.port(), standby.port());
    let shared = Arc::new(Shared {
        primary,
        standby,
        clock: Mutex::new(Clock::open(primary, standby)?),
        notes: Mutex::new(Notes::default()),
    });
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    entrance::serve(listener, Arc::clone(&shared));
    let suite = Suite { driver: args.driver, programs, home: args.home, only: args.only };
    say(&format!("pg_regress: {}", suite.run(port)?));
    let notes = shared.notes.lock().unwrap_or_else(PoisonError::into_inner);
    let report = Report::of(&notes);
    report.print();
    if let Some(path) = &args.all {
        report.write(path)?;
    }
    Ok(judge(&report, args.at_least))
}

/// A primary and a standby that bounds how long a statement may take there.
fn start() -> Result<Cluster, Box<dyn Error>> {
    let builder = Cluster::builder().replicas(1).trust();
    // What is vacuumed or analysed in between would differ by chance.
    let cluster = builder.setting("autovacuum", "off").start()?;
    for standby in cluster.replicas() {
        standby.psql("ALTER SYSTEM SET statement_timeout = '60s'; SELECT pg_reload_conf()")?;
        cluster.wait_caught_up(standby, Duration::from_secs(30))?;
    }
    Ok(cluster)
}

fn judge(report: &Report<'_>, at_least: f64) -> ExitCode {
    let faults = report.faults();
    if faults > 0 {
        complain(&format!("{faults} statement(s) are called reads and must not be"));
    }
    let Some(share) = report.completeness() else {
        complain("nothing was judged");
        return ExitCode::FAILURE;
    };
    say(&format!(
        "{share:.2} % of the reads that call nothing labelled VOLATILE are called so; {at_least} % must be"
    ));
    if faults > 0 || share < at_least { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
