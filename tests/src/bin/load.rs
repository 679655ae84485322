//! `make load`: what many idle clients cost, and whether many busy ones are served alike.

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use clap::Parser;
use testkit::Cluster;
use weir_tests::crowd::{Crowd, Door};
use weir_tests::{Config, Weir};

/// Clients that come before memory is first looked at: code and pools are there by then.
const FIRST: usize = 100;

/// Measures Weir under many clients.
#[derive(Debug, Parser)]
struct Args {
    /// Clients that fall idle.
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// Clients that work at once.
    #[arg(long, default_value_t = 1000)]
    active: usize,
    /// Seconds that they work.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// The `weir` binary; otherwise the one beside this program.
    #[arg(long)]
    weir: Option<std::path::PathBuf>,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

/// How clients prove who they are, and whether they encrypt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entrance {
    Trust,
    Scram,
    ScramOverTls,
}

impl Entrance {
    fn name(self) -> &'static str {
        match self {
            Self::Trust => "trust",
            Self::Scram => "SCRAM",
            Self::ScramOverTls => "SCRAM over TLS",
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let args = Args::parse();
    let beside = std::env::current_exe()?.with_file_name("weir-under-test");
    let binary = args.weir.unwrap_or(beside);
    let cluster = Cluster::builder().tls().trust().start()?;
    for entrance in [Entrance::Trust, Entrance::Scram, Entrance::ScramOverTls] {
        let (weir, door) = rig(&binary, &cluster, entrance)?;
        let bytes = idle(&weir, &door, args.idle).await?;
        say(&format!("{} idle clients, {}: {bytes} bytes each", args.idle, entrance.name()))?;
    }
    let (_weir, door) = rig(&binary, &cluster, Entrance::Trust)?;
    let mut crowd = Crowd::default();
    crowd.gather(&door, args.active).await?;
    let waits = crowd.work(Duration::from_secs(2), Duration::from_secs(args.seconds)).await?;
    let [median, most, longest] =
        [500, 990, 1000].map(|share| waits.permille(share).as_secs_f64() * 1e3);
    say(&format!(
        "{} active clients over 20 servers: {:.0} transactions/s, {} to {} each; \
         wait median {median:.1} ms, p99 {most:.1} ms, longest {longest:.1} ms ({:.2} × median)",
        args.active,
        waits.per_second(),
        waits.answers.0,
        waits.answers.1,
        longest / median,
    ))?;
    Ok(())
}

fn rig(binary: &Path, cluster: &Cluster, entrance: Entrance) -> Outcome<(Weir, Door)> {
    let authority = cluster.ca().ok_or("the cluster has TLS")?;
    let folder = authority.parent().ok_or("it has a folder")?;
    let path = |name: &str| folder.join(name).display().to_string();
    let config = Config {
        tls: vec![("certificate", path("server.pem")), ("key", path("server.key"))],
        pool: vec![("max_client_conn", "100000".to_owned())],
        trust: entrance == Entrance::Trust,
        ..Config::default()
    };
    let binary = binary.to_str().ok_or("the path is no text")?;
    let weir = Weir::start(binary, cluster, &config);
    let door = match entrance {
        Entrance::Trust | Entrance::Scram => Door::plain(weir.port()),
        Entrance::ScramOverTls => Door::tls(weir.port(), &authority)?,
    };
    Ok((weir, door))
}

/// Resident bytes per client, once all have lived and fallen idle.
async fn idle(weir: &Weir, door: &Door, count: usize) -> Outcome<u64> {
    let mut crowd = Crowd::default();
    crowd.gather(door, FIRST).await?;
    settle().await;
    let before = weir.resident();
    crowd.gather(door, count).await?;
    settle().await;
    let grown = weir.resident().saturating_sub(before);
    Ok(grown.checked_div(u64::try_from(count)?).unwrap_or(0))
}

/// Long enough for Weir's sweep, which is once a second.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(3)).await;
}

fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")
}
