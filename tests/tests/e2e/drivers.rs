//! Real drivers do not notice Weir: each program of tests/drivers runs against it.
//!
//! What they need is installed by `scripts/deps.sh test` into target/drivers; without it a test
//! says SKIPPED and passes. Counts go to target/drivers/results, which `scripts/test.sh` prints.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::Cluster;
use weir_tests::{Said, Weir};

use crate::{WEIR, pool};

/// A program and its arguments, or what it lacks.
type Program = Result<(PathBuf, Vec<PathBuf>), String>;

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("drivers")
}

fn installed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/drivers")
}

/// The folder of a language's packages, if they are those that `lock` asks for.
fn packages(language: &str, lock: &str) -> Result<PathBuf, String> {
    let [wanted, there] = [sources(), installed()].map(|folder| folder.join(language));
    let same = fs::read(there.join("lock")).ok() == fs::read(wanted.join(lock)).ok();
    if same { Ok(there) } else { Err(format!("no packages in target/drivers/{language}")) }
}

fn python(program: &str) -> Program {
    let packages = packages("python", "requirements.txt")?;
    let program = sources().join("python").join(program);
    Ok((packages.join("bin/python"), vec![program]))
}

/// Counts of the lines that a program printed.
fn tally(out: &str) -> [usize; 3] {
    ["ok ", "not ok ", "skip "]
        .map(|what| out.lines().filter(|line| line.starts_with(what)).count())
}

fn record(driver: &str, result: &str) {
    let folder = installed().join("results");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(driver), format!("{driver}\t{result}\n")).unwrap();
}

fn run(weir: &Weir, (program, arguments): &(PathBuf, Vec<PathBuf>), port: u16) -> Said {
    Said::by(weir.command(program).args(arguments).env("PGPORT", port.to_string()))
}

/// Runs a driver's program against five servers per pool, and fails unless all its checks passed.
#[expect(clippy::print_stderr, reason = "who runs the tests must see what was left out")]
fn drive(driver: &str, program: Program) {
    record(driver, "?\t?\t?\t?\tdid not finish");
    let program = match program {
        Ok(program) => program,
        Err(missing) => {
            eprintln!("SKIPPED {driver}: {missing}; run scripts/deps.sh test");
            return record(driver, &format!("-\t-\t-\t-\tSKIPPED: {missing}"));
        }
    };
    let cluster = Cluster::builder().replicas(2).setting("max_connections", "300").start().unwrap();
    let weir = Weir::start(WEIR, &cluster, &pool(&[("default_pool_size", "5")]));
    let said = run(&weir, &program, weir.port());
    let [passed, failed, skipped] = tally(&said.out);
    let version = said.out.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or("?");
    record(driver, &format!("{passed}\t{failed}\t{skipped}\t{version}\t"));
    if !said.ok || failed > 0 {
        // The program's own mistakes show without Weir, too.
        let direct = run(&weir, &program, cluster.primary().port());
        panic!("{}{}\nWithout Weir:\n{}{}", said.out, said.err, direct.out, direct.err);
    }
    assert!(passed >= 10, "a program that checks so little has a mistake: {}", said.out);
    let metrics = weir.admin("GET /metrics", "").body;
    assert!(metrics.contains("weir_cycles_total{target=\"replica\",reason=\"read\"}"), "{metrics}");
}

#[test]
fn psycopg() {
    drive("psycopg", python("psycopg_checks.py"));
}

#[test]
fn asyncpg() {
    drive("asyncpg", python("asyncpg_checks.py"));
}
