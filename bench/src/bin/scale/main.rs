//! `make scale`: how does cost grow with clients, nodes, databases and statements?

mod args;
mod client;
mod live;
mod pure;
mod report;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use testkit::Cluster;
use tokio::runtime::Runtime;
use weir_bench::cpu::Placement;
use weir_bench::machine;
use weir_bench::service::Scratch;

use args::Args;
use live::{Outcome, Rig};
use report::{Bound, Table};

fn main() -> ExitCode {
    match run(&Args::parse().meant()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            tell(
                "scale: something was not measured or grew more than it should; the tables say what",
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            tell(&format!("scale: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Says whether everything was measured and grew no more than it may.
fn run(args: &Args) -> Outcome<bool> {
    let mut tables = Vec::new();
    for cell in pure::CELLS.into_iter().filter(|(title, ..)| args.wants(title)) {
        tell(cell.0);
        tables.push(pure::table(cell));
    }
    tell("starting PostgreSQL");
    let connections = args.databases.saturating_add(200).to_string();
    let cluster = Cluster::builder().setting("max_connections", &connections).trust().start()?;
    let scratch = Scratch::new()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for cell in LIVE.into_iter().filter(|cell| args.wants(cell.title)) {
        tell(cell.title);
        tables.push(cell.table(args, (&cluster, scratch.path()), &runtime));
    }
    let facts = facts(args, &cluster)?;
    let text = report::markdown(&facts, &tables);
    std::io::stdout().write_all(text.as_bytes())?;
    let stem = machine::stem(&args.out, &facts, "-scale");
    machine::keep(&stem, &text, &report::json(&facts, &tables))?;
    tell(&format!("kept in {}.{{md,json}}", stem.display()));
    Ok(tables.iter().all(Table::holds))
}

/// A table of a Weir under load, each with two of its own.
#[derive(Clone, Copy)]
struct Live {
    title: &'static str,
    about: &'static str,
    columns: &'static [&'static str],
    bound: Bound,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Idle,
    Waiting,
    Databases,
    Statements(fn(usize) -> Vec<u8>),
}

const LIVE: [Live; 5] = [
    Live {
        title: "CPU of 16 busy clients, by idle clients beside them",
        about: "The base is another Weir without idle clients, measured in turns; the ratio is taken round by \
                round. A time limit is set, so all sessions are watched.",
        columns: &[
            "idle",
            "KiB per idle client",
            "at rest, ms/s",
            "base, µs/transaction",
            "µs/transaction",
            "ratio",
        ],
        bound: Bound::Flat(1.15),
        what: What::Idle,
    },
    Live {
        title: "CPU per transaction, by clients that wait for 20 servers",
        about: "The base is another Weir with 16 clients, of which none waits.",
        columns: &["clients", "base, µs/transaction", "µs/transaction", "ratio"],
        bound: Bound::Flat(1.5),
        what: What::Waiting,
    },
    Live {
        title: "CPU of 16 busy clients, by databases with a pool each",
        about: "Names of one database on the server, with a client, a pool and a server each; the busy clients are \
                in 16 of them. The base is another Weir with one database.",
        columns: &[
            "databases",
            "KiB each",
            "at rest, ms/s",
            "scrape, ms",
            "base, µs/transaction",
            "µs/transaction",
            "ratio",
        ],
        bound: Bound::Flat(1.15),
        what: What::Databases,
    },
    Live {
        title: "Distinct simple statements through one session",
        about: "Each is of a shape that was never seen before, so each is parsed.",
        columns: &["statements so far", "resident, MiB", "per second", "µs/transaction"],
        bound: Bound::Flat(1.3),
        what: What::Statements(live::text),
    },
    Live {
        title: "Distinct prepared statements through one session",
        about: "Each is prepared, run and closed.",
        columns: &["statements so far", "resident, MiB", "per second", "µs/transaction"],
        bound: Bound::Flat(1.3),
        what: What::Statements(live::prepared),
    },
];

impl Live {
    fn table(self, args: &Args, (cluster, folder): (&Cluster, &Path), runtime: &Runtime) -> Table {
        let start = |name: &str| Rig::start(args, cluster, &folder.join(name));
        let rows = start("calm").and_then(|calm| Ok([calm, start("rig")?])).and_then(|mut rigs| {
            runtime.block_on(async {
                match self.what {
                    What::Idle => live::idle(args, &mut rigs).await,
                    What::Waiting => live::waiting(args, &mut rigs).await,
                    What::Databases => live::databases(args, &mut rigs).await,
                    What::Statements(ask) => live::statements(args, &mut rigs, ask).await,
                }
            })
        });
        let Self { title, about, columns, bound, .. } = self;
        Table { title, about, columns, rows: rows.map_err(|error| error.to_string()), bound }
    }
}

fn facts(args: &Args, cluster: &Cluster) -> Outcome<machine::Facts> {
    let Args { seconds, rounds, .. } = args;
    let mut facts = machine::facts();
    let server = cluster.primary().psql("SHOW server_version")?;
    facts.push(("server", format!("PostgreSQL {server}")));
    facts.push(("load", format!("{rounds} rounds of {seconds} s; one worker")));
    facts.push(("placement", Placement::Free.described().to_owned()));
    let busy = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    facts.push(("load average at the end", busy.trim().to_owned()));
    Ok(facts)
}

/// Progress, apart from the tables on standard output.
fn tell(line: &str) {
    // Nobody listens: then nobody misses it.
    let _written = writeln!(std::io::stderr(), "{line}");
}
