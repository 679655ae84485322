//! Real drivers do not notice Weir: each program of tests/drivers runs against it.
//!
//! What they need is installed by `scripts/deps.sh test` into target/drivers; without it a test
//! says SKIPPED and passes. Counts go to target/drivers/results, which `scripts/test.sh` prints.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

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

fn node(language: &str, program: &str) -> Program {
    let folder = packages(language, "package-lock.json")?;
    let program = sources().join(language).join(program);
    // The folder of its packages is the first argument of the shell, which goes there.
    let shell = ["-c", "cd \"$0\" && exec node \"$1\""].map(PathBuf::from);
    Ok(("sh".into(), [&shell[..], &[folder, program]].concat()))
}

fn rust(program: &str) -> Program {
    let program = installed().join("rust/debug").join(program);
    let missing = "not built in target/drivers/rust".to_owned();
    if program.exists() { Ok((program, Vec::new())) } else { Err(missing) }
}

fn pgjdbc_program() -> Program {
    let jar = Path::new("/usr/share/java/postgresql.jar");
    let compiles = Command::new("javac").arg("--version").output().is_ok();
    if !jar.exists() || !compiles {
        return Err("no javac, or no libpostgresql-jdbc-java".to_owned());
    }
    // A short life: the second compiler would cost more than it saves.
    let arguments = ["-XX:TieredStopAtLevel=1", "-cp"].map(PathBuf::from);
    let source = sources().join("java/Pgjdbc.java");
    Ok(("java".into(), [&arguments[..], &[jar.into(), source]].concat()))
}

/// Builds the program in C, if there is a compiler and the library's headers.
fn libpq_program(folder: &Path) -> Program {
    let headers = Command::new("pg_config").arg("--includedir").output();
    let headers = headers.map_err(|_| "no pg_config (libpq-dev)".to_owned())?.stdout;
    let headers = String::from_utf8_lossy(&headers).trim().to_owned();
    if !Path::new(&headers).join("libpq-fe.h").exists() {
        return Err("no libpq-fe.h (libpq-dev)".to_owned());
    }
    let built = folder.join("libpq");
    let mut compile = Command::new("cc");
    compile.args(["-D_GNU_SOURCE", "-O1", "-I", &headers]).arg(sources().join("c/libpq.c"));
    Said::by(compile.arg("-o").arg(&built).args(["-lpq", "-lpthread"])).well();
    Ok((built, Vec::new()))
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
    Said::by(
        weir.command(program)
            .args(arguments)
            .envs([("PGPORT", port.to_string().as_str()), ("PYTHONDONTWRITEBYTECODE", "1")]),
    )
}

/// Runs a driver's program against five servers per pool, and fails unless all its checks passed.
#[expect(clippy::print_stderr, reason = "who runs the tests must see what was left out")]
fn drive(driver: &str, program: Program) {
    record(driver, "?\t?\t?\tdid not finish");
    let program = match program {
        Ok(program) => program,
        Err(missing) => {
            eprintln!("SKIPPED {driver}: {missing}; run scripts/deps.sh test");
            return record(driver, &format!("-\t-\t-\tSKIPPED: {missing}"));
        }
    };
    let cluster = Cluster::builder().replicas(2).setting("max_connections", "300").start().unwrap();
    let weir = Weir::start(WEIR, &cluster, &pool(&[("default_pool_size", "5")]));
    let said = run(&weir, &program, weir.port());
    let [passed, failed, skipped] = tally(&said.out);
    let version = said.out.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or("?");
    record(driver, &format!("{passed}\t{failed}\t{skipped}\t{version}"));
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

#[test]
fn pgjdbc() {
    drive("pgjdbc", pgjdbc_program());
}

#[test]
fn node_postgres() {
    drive("node-postgres", node("node", "pg_checks.mjs"));
}

#[test]
fn postgres_js() {
    drive("postgres.js", node("node", "postgres_checks.mjs"));
}

#[test]
fn libpq() {
    let folder = std::env::temp_dir().join(format!("weir-libpq-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let program = libpq_program(&folder);
    drive("libpq", program);
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn sqlalchemy() {
    drive("SQLAlchemy", python("sqlalchemy_checks.py"));
}

#[test]
fn django() {
    drive("Django", python("django_checks.py"));
}

#[test]
fn tokio_postgres() {
    drive("tokio-postgres", rust("tokio_postgres_checks"));
}

#[test]
fn sqlx() {
    drive("sqlx", rust("sqlx_checks"));
}

#[test]
fn diesel_async() {
    drive("diesel-async", rust("diesel_checks"));
}

#[test]
fn prisma() {
    drive("Prisma", node("prisma", "prisma_checks.mjs"));
}
