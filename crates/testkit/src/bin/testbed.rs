//! A cluster for people: `testbed up`, `testbed status`, `testbed down`.

use std::error::Error;
use std::fs;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;

use clap::{Args, Parser, Subcommand};
use testkit::{Cluster, Detached, Node};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// A real PostgreSQL primary with streaming replicas on 127.0.0.1.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start a cluster and leave it running
    Up(Up),
    /// Stop the cluster and remove its data
    Down(Home),
    /// Say what runs where
    Status(Home),
}

#[derive(Args, Debug)]
struct Home {
    /// Folder that the cluster is remembered in
    #[arg(long, default_value = ".testbed")]
    dir: PathBuf,
}

#[derive(Args, Debug)]
struct Up {
    #[command(flatten)]
    home: Home,
    /// How many streaming replicas, 25 at most
    #[arg(long, default_value_t = 2)]
    replicas: usize,
    /// Port of the primary, the replicas' ports follow; 0 for any that are free
    #[arg(long, default_value_t = 5433)]
    port: u16,
    /// Ask for passwords (SCRAM-SHA-256) instead of trusting everybody
    #[arg(long)]
    scram: bool,
    /// Hold the cluster until Ctrl-C or the end of standard input, then remove it
    #[arg(long)]
    foreground: bool,
}

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Up(up) => start(&up),
        Verb::Down(home) => down(&home),
        Verb::Status(home) => status(&home),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    // Nobody is left to be told when standard error is closed.
    drop(writeln!(io::stderr().lock(), "testbed: {error}"));
    ExitCode::FAILURE
}

fn start(up: &Up) -> Outcome {
    fs::create_dir_all(&up.home.dir)?;
    let home = fs::canonicalize(&up.home.dir)?;
    bury_dead(&home)?;
    let mut builder = Cluster::builder().replicas(up.replicas).ports(Some(up.port));
    if !up.scram {
        builder = builder.trust();
    }
    if let Some(folder) = Detached::folder_below(&home)? {
        builder = builder.dir(folder);
    }
    let cluster = builder.start()?;
    welcome_caller(cluster.primary())?;
    cluster.record().save(&record(&home))?;
    if up.foreground {
        wait_for_the_end(|| print_nodes(&cluster.record()))?;
        drop(cluster);
        return forget(&home);
    }
    print_nodes(&cluster.record())?;
    cluster.detach()?;
    Ok(())
}

fn down(home: &Home) -> Outcome {
    match Detached::load(&record(&home.dir))? {
        Some(cluster) => {
            cluster.remove()?;
            forget(&home.dir)
        }
        None => say("no testbed is up"),
    }
}

fn status(home: &Home) -> Outcome {
    match Detached::load(&record(&home.dir))? {
        Some(cluster) => print_nodes(&cluster),
        None => say("no testbed is up"),
    }
}

/// Makes room for a new cluster: the remains of a dead one go, a live one stays.
fn bury_dead(home: &Path) -> Outcome {
    let Some(old) = Detached::load(&record(home))? else { return Ok(()) };
    for node in old.nodes() {
        if old.state(node)? != "down" {
            return Err(
                "it is up already; see `testbed status`, or end it with `testbed down`".into()
            );
        }
    }
    say("removing a testbed whose servers are dead")?;
    old.remove()?;
    Ok(fs::remove_file(record(home))?)
}

/// A bare `psql` names its OS user as role and database: both shall be there.
fn welcome_caller(primary: &Node) -> Outcome {
    let output = Command::new("id").arg("-un").output()?;
    let user = String::from_utf8(output.stdout)?.trim().to_owned();
    if user.is_empty() || user == "postgres" || user == "app" {
        return Ok(());
    }
    let (name, literal) = (user.replace('"', "\"\""), user.replace('\'', "''"));
    primary.psql(&format!(
        "CREATE ROLE \"{name}\" LOGIN CREATEDB PASSWORD '{literal}'; \
         CREATE DATABASE \"{name}\" OWNER \"{name}\""
    ))?;
    Ok(())
}

fn print_nodes(cluster: &Detached) -> Outcome {
    for node in cluster.nodes() {
        let (name, port, state) = (&node.name, node.port, cluster.state(node)?);
        say(&format!("{name}  {state:<8} psql -h 127.0.0.1 -p {port} -U app app"))?;
    }
    Ok(())
}

/// Returns at Ctrl-C, SIGTERM, SIGHUP or when standard input ends.
///
/// Announces only once signals are heeded: whoever reads it may send one at once.
#[tokio::main(flavor = "current_thread")]
async fn wait_for_the_end(announce: impl FnOnce() -> Outcome) -> Outcome {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    announce()?;
    let (sender, mut input) = mpsc::channel::<()>(1);
    // A terminal has Ctrl-C; /dev/null is what a service gets, and ends at once.
    let mute = fs::read_link("/proc/self/fd/0").is_ok_and(|path| path == Path::new("/dev/null"));
    let watched = !io::stdin().is_terminal() && !mute;
    let (reader, keeper) = if watched { (Some(sender), None) } else { (None, Some(sender)) };
    if let Some(end) = reader {
        thread::spawn(move || {
            // Its end, or an error: either way the caller has gone.
            drop(io::copy(&mut io::stdin().lock(), &mut io::sink()));
            drop(end);
        });
    }
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
        _ = input.recv() => {}
    }
    drop(keeper);
    Ok(())
}

fn record(home: &Path) -> PathBuf {
    home.join("cluster")
}

/// Removes the record, and the folder when nothing else is in it.
fn forget(home: &Path) -> Outcome {
    let tolerated = [ErrorKind::NotFound, ErrorKind::DirectoryNotEmpty];
    for result in [fs::remove_file(record(home)), fs::remove_dir(home)] {
        match result {
            Err(error) if !tolerated.contains(&error.kind()) => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

fn say(line: &str) -> Outcome {
    Ok(writeln!(io::stdout().lock(), "{line}")?)
}
