//! pgbench: how it is called and what it says.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use crate::weir::USER;

/// How often it is looked whether all clients are connected, and how often at most (20 s).
const STEP: Duration = Duration::from_millis(2);
const STEPS: usize = 10_000;

/// More seconds than any run lasts; pgbench ends by itself then, should nobody end it.
const LIMIT: u16 = 60;

/// pgbench's query protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// The simple query protocol.
    Simple,
    /// The extended query protocol; every statement is parsed each time.
    Extended,
    /// The extended query protocol with prepared statements.
    Prepared,
}

impl Mode {
    /// All of them, in pgbench's order.
    pub const ALL: [Self; 3] = [Self::Simple, Self::Extended, Self::Prepared];

    /// pgbench's word for it (`-M`).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Extended => "extended",
            Self::Prepared => "prepared",
        }
    }
}

/// What a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// One row by its key: `pgbench -S`.
    Select,
    /// pgbench's own: five statements between `BEGIN` and `END`, one reads.
    TpcB,
    /// 9 of 10 are [`Work::Select`], the others write.
    Mixed,
    /// [`PIPELINED`] selects sent before an answer is awaited.
    Pipelined,
}

/// Selects in a pipeline.
pub const PIPELINED: u16 = 10;

impl Work {
    /// What tables call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::TpcB => "tpcb-like",
            Self::Mixed => "90 % select",
            Self::Pipelined => "10 pipelined selects",
        }
    }
}

/// What a run does, and how hard it pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// What each transaction does.
    pub work: Work,
    /// How its statements are sent.
    pub mode: Mode,
    /// Connections, each with one transaction (or pipeline) at a time.
    pub clients: u16,
    /// pgbench's threads; no more than there are clients.
    pub jobs: u16,
    /// How long it runs when all clients are connected.
    pub seconds: u16,
}

/// Where a run goes.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// On 127.0.0.1.
    pub port: u16,
    /// The database's name, as the proxy knows it.
    pub database: &'a str,
}

/// What pgbench counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counted {
    /// Those that were carried out.
    pub transactions: f64,
    /// Those that failed with an error that pgbench goes on after.
    pub failed: f64,
    /// Transactions per second, without the time to connect.
    pub tps: f64,
    /// The mean over all transactions.
    pub latency_ms: f64,
}

/// The installed pgbench.
#[derive(Clone, Debug)]
pub struct Pgbench {
    /// The program.
    pub program: PathBuf,
    scale: u16,
    pipeline: PathBuf,
}

/// A run that was started; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    port: u16,
    load: Load,
}

impl Pgbench {
    /// A pgbench for tables of `scale` × 100,000 accounts, with its scripts in `folder`.
    ///
    /// # Errors
    ///
    /// A script can't be written.
    pub fn new(program: PathBuf, scale: u16, folder: &Path) -> io::Result<Self> {
        let pipeline = folder.join("pipeline.sql");
        fs::write(&pipeline, script(scale))?;
        Ok(Self { program, scale, pipeline })
    }

    /// Fills a database with pgbench's tables.
    ///
    /// # Errors
    ///
    /// What pgbench wrote.
    pub fn fill(&self, target: Target<'_>) -> Result<(), String> {
        self.call(target, &["-i", "-q", "-s", &self.scale.to_string()])
    }

    /// Runs one transaction: does anybody answer there?
    ///
    /// # Errors
    ///
    /// What pgbench wrote.
    pub fn ask(&self, target: Target<'_>) -> Result<(), String> {
        self.call(target, &["-n", "-S", "-c", "1", "-t", "1"])
    }

    /// Starts a run.
    ///
    /// # Errors
    ///
    /// The program can't be started.
    pub fn start(&self, target: Target<'_>, load: Load) -> Result<Running, String> {
        let Load { work, mode, clients, jobs, seconds } = load;
        let (jobs, limit) = (jobs.min(clients), seconds.saturating_add(LIMIT));
        let args = format!("-n -M {} -c {clients} -j {jobs} -T {limit}", mode.name());
        let mut command = self.command(target);
        command.args(args.split(' '));
        match work {
            Work::Select => command.args(["-b", "select-only"]),
            Work::TpcB => command.args(["-b", "tpcb-like"]),
            Work::Mixed => command.args(["-b", "select-only@9", "-b", "simple-update@1"]),
            Work::Pipelined => command.arg("-f").arg(&self.pipeline),
        };
        command.arg(target.database);
        let child = command.spawn().map_err(|error| self.blame(&error))?;
        Ok(Running { child, port: target.port, load })
    }

    fn call(&self, target: Target<'_>, args: &[&str]) -> Result<(), String> {
        let mut command = self.command(target);
        let output = command.args(args).arg(target.database).output();
        outcome(&output.map_err(|error| self.blame(&error))?).map(drop)
    }

    fn command(&self, target: Target<'_>) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["-h", "127.0.0.1", "-p", &target.port.to_string(), "-U", USER])
            .env("PGPASSWORD", USER)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn blame(&self, error: &io::Error) -> String {
        format!("{}: {error}", self.program.display())
    }
}

impl Running {
    /// Waits until all clients are connected: only then does pgbench begin.
    ///
    /// # Errors
    ///
    /// What pgbench wrote if it gave up, else that it took too long.
    pub fn wait_connected(&mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            if connected(self.port) >= usize::from(self.load.clients) {
                return Ok(());
            }
            if !matches!(self.child.try_wait(), Ok(None)) {
                return self.outcome().map(drop);
            }
            thread::sleep(STEP);
        }
        Err(format!("{} clients were not connected within 20 s", self.load.clients))
    }

    /// Lets it run for `load.seconds` from now on.
    ///
    /// pgbench's own limit would include the time to connect, which is all of
    /// it when hundreds of clients do; but it ends at any SIGALRM as at its own.
    ///
    /// # Errors
    ///
    /// What pgbench wrote when a client was aborted, or when it said nothing
    /// that can be understood.
    pub fn finish(mut self) -> Result<Counted, String> {
        thread::sleep(Duration::from_secs(self.load.seconds.into()));
        // Gone already if all its clients were aborted: its outcome tells.
        let _told = Command::new("kill").args(["-ALRM", &self.child.id().to_string()]).output();
        let said = self.outcome()?;
        parse(&said).ok_or_else(|| {
            let last = said.lines().next_back().unwrap_or_default();
            format!("pgbench's answer was not understood; it ends: {last}")
        })
    }

    fn outcome(&mut self) -> Result<String, String> {
        let mut output = [Vec::new(), Vec::new()];
        let [stdout, stderr] = &mut output;
        // What is written to the second while the first is read fits into its pipe.
        let read = self.child.stdout.take().map_or(Ok(0), |mut pipe| pipe.read_to_end(stdout));
        let read = read.and_then(|_| {
            self.child.stderr.take().map_or(Ok(0), |mut pipe| pipe.read_to_end(stderr))
        });
        let status = read.and_then(|_| self.child.wait()).map_err(|error| error.to_string())?;
        let [stdout, stderr] = output;
        outcome(&Output { status, stdout, stderr })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only when it is gone already, which is what is wanted.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The pipeline's script; each select chooses its own account, as pgbench's do.
fn script(scale: u16) -> String {
    let accounts = u32::from(scale).saturating_mul(100_000);
    let numbers = || 0..PIPELINED;
    let choose = numbers().map(|i| format!("\\set a{i} random(1, {accounts})\n"));
    let select =
        numbers().map(|i| format!("SELECT abalance FROM pgbench_accounts WHERE aid = :a{i};\n"));
    let (choose, select): (String, String) = (choose.collect(), select.collect());
    format!("{choose}\\startpipeline\n{select}\\endpipeline\n")
}

/// How many connections somebody has accepted, or is about to, on 127.0.0.1:`port`.
fn connected(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    table.lines().filter(|line| is_connected(line, port)).count()
}

/// Reads a line of `/proc/net/tcp`, proc(5): `sl local remote state …`; 01 is established.
fn is_connected(line: &str, port: u16) -> bool {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, state) = (fields.next(), fields.nth(1));
    let local = local.and_then(|address| address.rsplit_once(':'));
    local.is_some_and(|(_, own)| u16::from_str_radix(own, 16) == Ok(port)) && state == Some("01")
}

fn outcome(output: &Output) -> Result<String, String> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(blame(&stderr).unwrap_or_else(|| format!("pgbench: {}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first line that names an error; later ones are its consequences.
fn blame(stderr: &str) -> Option<String> {
    let lines = || stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    lines().find(|line| line.contains("error")).or_else(|| lines().next_back()).map(str::to_owned)
}

/// Reads the report that pgbench 14 and newer prints after a timed run.
fn parse(report: &str) -> Option<Counted> {
    let after = |key: &str| {
        let rest = report.lines().find_map(|line| line.strip_prefix(key))?;
        rest.split([' ', '/']).find(|word| !word.is_empty())?.parse::<f64>().ok()
    };
    Some(Counted {
        transactions: after("number of transactions actually processed:")?,
        // Only pgbench 15 and newer can retry, and so count failures.
        failed: after("number of failed transactions:").unwrap_or(0.0),
        tps: after("tps =")?,
        latency_ms: after("latency average =")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "\
transaction type: <builtin: select only>
scaling factor: 10
query mode: simple
number of clients: 16
number of threads: 2
maximum number of tries: 1
duration: 5 s
number of transactions actually processed: 123456
number of failed transactions: 7 (0.006%)
latency average = 0.648 ms
initial connection time = 12.345 ms
tps = 24691.234567 (without initial connection time)
";

    #[test]
    fn a_report_of_pgbench_15_is_understood() {
        let expected = Counted {
            transactions: 123_456.0,
            failed: 7.0,
            tps: 24_691.234_567,
            latency_ms: 0.648,
        };
        assert_eq!(parse(REPORT), Some(expected));
    }

    #[test]
    fn a_report_of_pgbench_14_counts_no_failures() {
        let older: String = REPORT
            .lines()
            .filter(|line| !line.contains("failed"))
            .map(|l| l.to_owned() + "\n")
            .collect();
        let expected = Counted { failed: 0.0, ..parse(REPORT).unwrap() };
        assert_eq!(parse(&older), Some(expected));
    }

    #[test]
    fn a_report_without_a_rate_is_not_understood() {
        assert_eq!(parse("tps = many"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_connection_counts_on_the_port_that_was_connected_to() {
        let line = "   1: 0100007F:1538 0100007F:8A2C 01 00000000:00000000 00:00000000 00000000";
        assert!(is_connected(line, 0x1538));
        assert!(!is_connected(line, 0x8A2C));
        assert!(!is_connected(&line.replace(" 01 ", " 06 "), 0x1538));
        assert!(!is_connected("  sl  local_address rem_address   st", 0x1538));
    }

    #[test]
    fn a_pipeline_holds_as_many_selects_as_tables_say() {
        let script = script(10);
        let (before, inside) = script.split_once("\\startpipeline\n").unwrap();
        assert_eq!(before.matches("random(1, 1000000)").count(), usize::from(PIPELINED));
        assert_eq!(inside.matches("SELECT").count(), usize::from(PIPELINED));
        assert!(Work::Pipelined.name().starts_with(&PIPELINED.to_string()));
    }

    #[test]
    fn the_first_error_is_blamed_and_not_its_consequence() {
        let stderr =
            "pgbench (15)\npgbench: error: client 3 aborted: x\npgbench: error: Run was aborted\n";
        assert_eq!(blame(stderr).as_deref(), Some("pgbench: error: client 3 aborted: x"));
        assert_eq!(blame(" \n"), None);
    }
}
