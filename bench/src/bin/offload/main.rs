//! `make offload`: which share of the reads do replicas serve, and what does that cost?
//!
//! A real primary and two replicas that lag by a known time; users who write
//! now and then and check in every read that their own last write is there.

mod args;
mod counts;
mod delay;
mod plan;
mod pool;
mod random;
mod report;
mod tally;
mod users;

use std::error::Error;
use std::io::Write;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use clap::Parser;
use testkit::Cluster;
use tokio::time::{Instant, sleep, sleep_until};
use weir_bench::cpu::Placement;
use weir_bench::machine;
use weir_bench::service::{Host, Scratch};
use weir_bench::weir::{USER, Weir};

use args::Args;
use counts::Counts;
use delay::Watch;
use plan::{Cell, Policy};
use pool::Line;
use report::{Lag, Measured, Report};
use users::{Committed, Crowd, Span};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Statements are prepared and fences settle before anything counts.
const WARM_UP: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    match run(&Args::parse().meant()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            tell("offload: a promise was broken or a cell is missing; the tables say which");
            ExitCode::FAILURE
        }
        Err(error) => {
            tell(&format!("offload: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Says whether every cell was measured and kept its promise.
fn run(args: &Args) -> Outcome<bool> {
    tell("starting a primary and two replicas");
    let cluster = Cluster::builder().replicas(2).trust().start()?;
    fill(&cluster, args.users)?;
    let scratch = Scratch::new()?;
    let host = Host { folder: scratch.path(), placement: Placement::Free };
    let weir = Weir::start(args.weir.as_deref(), host, &cluster)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut report = Report::new(facts(args, &cluster, &weir)?, cluster.primary().name());
    runtime.block_on(async {
        ready(&weir, cluster.primary().name()).await?;
        measure(args, &cluster, &weir, &mut report).await
    })?;
    let text = report::markdown(&report);
    std::io::stdout().write_all(text.as_bytes())?;
    let stem = machine::stem(&args.out, &report.facts, "-offload");
    machine::keep(&stem, &text, &report::json(&report))?;
    tell(&format!("kept in {}.{{md,json}}", stem.display()));
    Ok(report.is_clean())
}

/// A row for each user, one for [`Watch`], and a function that tells which node runs it.
///
/// Weir knows that `current_setting` differs from node to node and keeps it on
/// the primary; it believes a function in PL/pgSQL that is declared `STABLE`.
fn fill(cluster: &Cluster, users: u16) -> Outcome<()> {
    cluster.primary().psql_in(
        USER,
        &format!(
            "CREATE TABLE offload (id int PRIMARY KEY, value bigint NOT NULL) WITH (fillfactor = 50);
             INSERT INTO offload SELECT id, 0 FROM generate_series(0, {users} - 1) id;
             CREATE TABLE delay (value bigint NOT NULL) WITH (fillfactor = 50);
             INSERT INTO delay VALUES (0);
             CREATE FUNCTION node() RETURNS text STABLE LANGUAGE plpgsql AS
             $$ BEGIN RETURN current_setting('cluster_name'); END $$;
             ALTER TABLE offload OWNER TO {USER}; ALTER TABLE delay OWNER TO {USER}"
        ),
    )?;
    for replica in cluster.replicas() {
        cluster.wait_caught_up(replica, Duration::from_secs(60))?;
    }
    Ok(())
}

fn facts(args: &Args, cluster: &Cluster, weir: &Weir) -> Outcome<machine::Facts> {
    let Args { users, pool, apps, writes, seconds, stale_wait, .. } = args;
    let mut facts = machine::facts();
    let server = cluster.primary().psql("SHOW server_version")?;
    facts.push(("server", format!("PostgreSQL {server}")));
    facts.push(("weir", weir.version.clone()));
    facts.push((
        "load",
        format!(
            "{users} users in {apps} app(s); {writes} % of the requests write; scope client: \
             {pool} connections per app, any free one for each request; stale_wait {stale_wait}; {seconds} s per cell"
        ),
    ));
    facts.push(("placement", Placement::Free.described().to_owned()));
    let busy = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    facts.push(("load average at the start", busy.trim().to_owned()));
    Ok(facts)
}

/// Waits until a replica answers: all nodes are measured and the catalog is loaded.
async fn ready(weir: &Weir, primary: &str) -> Outcome<()> {
    let place = (Ipv4Addr::LOCALHOST, weir.port);
    let line = Line::open(place, (Policy::Eventual, "-c weir.consistency=eventual")).await?;
    for _ in 0..500 {
        if line.node().await? != primary {
            return Ok(());
        }
        sleep(Duration::from_millis(20)).await;
    }
    Err("Weir sends no read to a replica".into())
}

async fn measure(args: &Args, cluster: &Cluster, weir: &Weir, report: &mut Report) -> Outcome<()> {
    let committed: Committed = (0..args.users).map(|_| AtomicI64::new(0)).collect();
    let mut watch = Watch::over(cluster).await?;
    let cells = if args.quick { plan::corner() } else { plan::all() };
    for cell in cells.into_iter().filter(|cell| cell.to_string().contains(&args.only)) {
        if report.lags.last().is_none_or(|lag| lag.nominal != cell.lag) {
            delay::hold_back(cluster, cell.lag)?;
            let rest = watch.settle(cell.lag).await?;
            tell(&format!("{} ms: {:.2?} at rest", cell.lag, delay::summary(&rest)));
            report.lags.push(Lag { nominal: cell.lag, rest });
        }
        let measured = one(args, cell, weir, (&mut watch, &committed)).await;
        let measured = measured.map_err(|error| words(error.as_ref()));
        tell(&format!("{cell}: {}", report.brief(measured.as_ref())));
        report.cells.push((cell, measured));
    }
    Ok(())
}

/// Measures one cell.
async fn one(
    args: &Args,
    cell: Cell,
    weir: &Weir,
    (watch, committed): (&mut Watch, &Committed),
) -> Outcome<Measured> {
    let crowd = Crowd::gather(args, cell, weir.port, committed).await?;
    let counted = Instant::now().checked_add(WARM_UP).ok_or("time ends")?;
    let lasting = Duration::from_secs(args.seconds.into());
    let end = counted.checked_add(lasting).ok_or("time ends")?;
    let scraped = async {
        sleep_until(counted).await;
        Counts::scrape(weir.admin).await
    };
    let (tally, delays, before) =
        tokio::join!(crowd.work(Span { counted, end }), watch.until(end), scraped);
    let counts = Counts::scrape(weir.admin).await?.since(&before?);
    Ok(Measured { tally: tally?, delays: delays?, counts, lasting })
}

/// An error and what caused it: `db error` alone says nothing.
fn words(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        told = format!("{told}: {cause}");
        next = cause.source();
    }
    told
}

/// Progress goes to standard error: standard output is the table's.
fn tell(text: &str) {
    // With nobody listening there is nobody to tell.
    let _unheard = writeln!(std::io::stderr(), "{text}");
}
