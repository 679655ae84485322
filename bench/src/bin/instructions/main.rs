//! `make instructions`: does a transaction still run as few instructions as it did?
//!
//! Counted by valgrind's callgrind, so the same on a busy machine: pure
//! functions one by one, and the worker thread of a real `weir serve` between
//! one client in lock step and a real primary and replica.

mod args;
mod baseline;
mod callgrind;
mod client;
mod path;
mod pure;
mod report;
mod stage;

use std::fs;
use std::io::Write;
use std::path::Path as File;
use std::process::{Command, ExitCode};

use clap::Parser;
use weir_bench::machine::{self, Facts};
use weir_bench::service::Scratch;

use args::Args;
use baseline::Baseline;
use path::Path;
use report::Row;
use stage::Stage;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let args = Args::parse();
    let ended = match &args.worker {
        Some(socket) => pure::serve(socket).map(|()| true),
        None => run(&args),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            tell(&format!("instructions: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Says whether nothing costs more than it did.
fn run(args: &Args) -> Outcome<bool> {
    let baseline = Baseline::read(&args.baseline)?;
    let scratch = Scratch::new()?;
    let mut rows = pure::measure(&scratch)?;
    let mut stage = Stage::start(&scratch, args.weir.as_deref())?;
    tell("counting transactions");
    for path in Path::ALL {
        rows.push(stage.measure(path)?);
    }
    let facts = facts(&stage)?;
    let text = report::markdown(&facts, &rows, baseline.as_ref());
    std::io::stdout().write_all(text.as_bytes())?;
    if args.update {
        Baseline::write(&args.baseline, &facts, &rows)?;
        tell(&format!("instructions: {} is the baseline now", args.baseline.display()));
        return Ok(true);
    }
    let missing = "make it with `make instructions INSTRUCTIONS=--update`";
    let baseline =
        baseline.ok_or_else(|| format!("{} is missing: {missing}", args.baseline.display()))?;
    Ok(judge(&baseline, &facts, &rows))
}

/// Tells what differs from the baseline, and whether that is a failure.
fn judge(baseline: &Baseline, facts: &Facts, rows: &[Row]) -> bool {
    let (worse, better) = report::complaints(rows, baseline);
    for line in &better {
        tell(&format!("instructions: {line}"));
    }
    for line in &worse {
        tell(&format!("instructions: FAILED: {line}"));
    }
    if !(worse.is_empty() && better.is_empty()) {
        for difference in baseline.differences(facts) {
            tell(&format!("instructions: not as when the baseline was made: {difference}"));
        }
        tell("instructions: if that is as it should be: make instructions INSTRUCTIONS=--update");
    }
    worse.is_empty()
}

/// What numbers depend on besides the code.
fn facts(stage: &Stage) -> Outcome<Facts> {
    let version = |program: &str| machine::version(File::new(program));
    Ok(vec![
        (
            "counted",
            "Ir of valgrind's callgrind: instructions in user space, without the kernel's"
                .to_owned(),
        ),
        ("rustc", version("rustc").unwrap_or_else(|| "unknown".to_owned())),
        ("valgrind", version("valgrind").ok_or("valgrind is missing")?),
        ("libc", version("ldd").unwrap_or_else(|| "unknown".to_owned())),
        ("cpu", features()),
        ("built for", built_for()),
        ("server", format!("PostgreSQL {}", stage.server()?)),
    ])
}

/// What of this CPU valgrind can show to a program, whose memory functions are chosen by it.
fn features() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags")).unwrap_or_default();
    let known = ["sse4_2", "avx", "avx2", "bmi1", "bmi2", "erms", "sha_ni"];
    let has = |feature: &&str| flags.split_ascii_whitespace().any(|flag| flag == *feature);
    let found: Vec<_> = known.into_iter().filter(has).collect();
    format!("{} {}", std::env::consts::ARCH, found.join(" "))
}

/// What the compiler may use of a CPU.
fn built_for() -> String {
    let output = Command::new("rustc").args(["--print", "cfg"]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let feature =
        |line: &str| Some(line.strip_prefix("target_feature=\"")?.strip_suffix('"')?.to_owned());
    text.lines().filter_map(feature).collect::<Vec<_>>().join(" ")
}

/// Progress goes to standard error: standard output is the table's.
fn tell(text: &str) {
    // With nobody listening there is nobody to tell.
    let _unheard = writeln!(std::io::stderr(), "{text}");
}
