//! pgbench: how it is called and what it says.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use weir_bench::weir::USER;

use crate::plan::Mode;

/// How hard a run pushes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) clients: u16,
    pub(crate) jobs: u16,
    pub(crate) seconds: u16,
}

/// Where a run goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) port: u16,
    pub(crate) database: &'a str,
}

/// What pgbench counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Counted {
    pub(crate) transactions: f64,
    pub(crate) failed: f64,
    pub(crate) tps: f64,
    pub(crate) latency_ms: f64,
}

/// The installed pgbench.
#[derive(Clone, Debug)]
pub(crate) struct Pgbench {
    pub(crate) program: PathBuf,
}

impl Pgbench {
    /// Fills a database with pgbench's tables.
    ///
    /// # Errors
    ///
    /// What pgbench wrote.
    pub(crate) fn fill(&self, target: Target<'_>, scale: u16) -> Result<(), String> {
        let args = ["-i", "-q", "-s", &scale.to_string()].map(str::to_owned);
        self.call(target, &args).map(drop)
    }

    /// Runs one transaction: does anybody answer there?
    ///
    /// # Errors
    ///
    /// What pgbench wrote.
    pub(crate) fn ask(&self, target: Target<'_>) -> Result<(), String> {
        self.call(target, &["-n", "-S", "-c", "1", "-t", "1"].map(str::to_owned)).map(drop)
    }

    /// Runs read-only transactions for `load.seconds`.
    ///
    /// # Errors
    ///
    /// What pgbench wrote when a client was aborted, or when it said nothing
    /// that can be understood.
    pub(crate) fn run(
        &self,
        target: Target<'_>,
        mode: Mode,
        load: Load,
    ) -> Result<Counted, String> {
        let Load { clients, jobs, seconds } = load;
        let args = format!("-n -S -M {} -c {clients} -j {jobs} -T {seconds}", mode.name());
        let args: Vec<_> = args.split(' ').map(str::to_owned).collect();
        let said = self.call(target, &args)?;
        parse(&said).ok_or_else(|| format!("pgbench's answer was not understood: {said}"))
    }

    fn call(&self, target: Target<'_>, args: &[String]) -> Result<String, String> {
        let output = Command::new(&self.program)
            .args(args)
            .args(["-h", "127.0.0.1", "-p", &target.port.to_string(), "-U", USER, target.database])
            .env("PGPASSWORD", USER)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("{}: {error}", self.program.display()))?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(blame(&stderr).unwrap_or_else(|| format!("pgbench: {}", output.status)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
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
    fn the_first_error_is_blamed_and_not_its_consequence() {
        let stderr =
            "pgbench (15)\npgbench: error: client 3 aborted: x\npgbench: error: Run was aborted\n";
        assert_eq!(blame(stderr).as_deref(), Some("pgbench: error: client 3 aborted: x"));
        assert_eq!(blame(" \n"), None);
    }
}
