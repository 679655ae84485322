//! What the programs share: the names of the checks, and how results are told.
//!
//! A program runs its checks one after another; each prints one line: `ok NAME`,
//! `not ok NAME: WHY` or `skip NAME: REASON`. Names as arguments run these alone.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::Instant;

/// The same for all drivers; each checks or skips every one. ../../README.md says what they mean.
const NAMES: &str = "connect crud transactions savepoints isolation read_only prepared schema \
    batch pipeline copy cursor cancel errors types settings temporary locks notify sessions pool";

pub const SESSIONS: i32 = 200;
const LIMIT: Duration = Duration::from_secs(60);

/// The variable, as libpq names them.
///
/// # Panics
///
/// When it is not set.
#[must_use]
pub fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

/// The version of a package that this was built with.
fn version(package: &str) -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let entry = lock.split_once(&format!("name = \"{package}\"\nversion = \""));
    entry.and_then(|(_, rest)| rest.split('"').next()).unwrap_or("?")
}

/// Runs the checks of one driver.
pub struct Checks {
    only: Vec<String>,
    told: Vec<&'static str>,
    failed: bool,
}

impl Checks {
    /// Says which packages are checked.
    #[must_use]
    pub fn of(packages: &[&str]) -> Self {
        let versions: Vec<_> =
            packages.iter().map(|package| format!("{package} {}", version(package))).collect();
        println!("# {}", versions.join(", "));
        Self { only: std::env::args().skip(1).collect(), told: Vec::new(), failed: false }
    }

    /// Runs a check; it fails by panicking, or by taking too long.
    pub async fn check(
        &mut self,
        name: &'static str,
        body: impl Future<Output = ()> + Send + 'static,
    ) {
        self.told.push(name);
        if !self.only.is_empty() && !self.only.iter().any(|only| only == name) {
            return;
        }
        let since = Instant::now();
        match tokio::spawn(tokio::time::timeout(LIMIT, body)).await {
            Ok(Ok(())) => println!("ok {name}"),
            Ok(Err(_)) => self.fail(name, &format!("not within {LIMIT:?}")),
            Err(error) => {
                let panic = AssertUnwindSafe(error.into_panic());
                let why = panic.downcast_ref::<String>().cloned();
                let why = why.or_else(|| panic.downcast_ref::<&str>().map(|&why| why.to_owned()));
                self.fail(name, &why.unwrap_or_default());
            }
        }
        eprintln!("# {name} took {:.2} s", since.elapsed().as_secs_f64());
    }

    fn fail(&mut self, name: &str, why: &str) {
        self.failed = true;
        println!("not ok {name}: {}", why.replace('\n', " "));
    }

    /// The driver has nothing of the kind.
    pub fn skip(&mut self, name: &'static str, reason: &str) {
        self.told.push(name);
        println!("skip {name}: {reason}");
    }

    /// How the program ends.
    #[must_use]
    pub fn end(mut self) -> ExitCode {
        for name in NAMES.split_whitespace() {
            if !self.told.contains(&name) {
                self.fail(name, "neither checked nor skipped");
            }
        }
        ExitCode::from(u8::from(self.failed))
    }
}
