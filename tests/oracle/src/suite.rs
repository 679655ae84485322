//! PostgreSQL's regression suite, one test after the other.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the suite is, and which part of it is run.
pub(crate) struct Suite {
    /// The program `pg_regress`.
    pub(crate) driver: PathBuf,
    /// The folder of psql.
    pub(crate) programs: PathBuf,
    /// A folder that the server's user may enter, with `tests` and `modules`.
    pub(crate) home: PathBuf,
    /// Names of tests; all when there is none.
    pub(crate) only: Vec<String>,
}

impl Suite {
    /// Runs it against a port of this machine; gives the summary of `pg_regress`.
    ///
    /// Tests that fail are no error: their statements were seen all the same.
    pub(crate) fn run(&self, port: u16) -> io::Result<String> {
        let out = self.home.join("out");
        let results = out.join("results");
        fs::create_dir_all(&results)?;
        fs::set_permissions(&results, fs::Permissions::from_mode(0o1777))?;
        let mut command = Command::new(&self.driver);
        command.current_dir(&out).stdin(Stdio::null());
        let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
        command.arg(option("bindir", &self.programs)).arg(option("outputdir", &out));
        command.arg(option("inputdir", &self.home.join("tests")));
        command.arg(option("dlpath", &self.home.join("modules")));
        command.args(["--host=127.0.0.1", "--user=postgres", "--max-connections=1"]);
        command.arg(format!("--port={port}"));
        if self.only.is_empty() {
            command.arg(option("schedule", &self.home.join("tests/parallel_schedule")));
        } else {
            command.args(&self.only);
        }
        let said = command.output()?;
        let text = String::from_utf8_lossy(&said.stdout);
        let summary = text.lines().map(|line| line.trim_matches([' ', '#', '.']));
        let summary = summary
            .rev()
            .find(|line| line.contains(" tests passed") || line.contains(" tests failed"));
        let missing = || {
            let errors = String::from_utf8_lossy(&said.stderr);
            io::Error::other(format!("pg_regress did not end well:\n{text}{errors}"))
        };
        summary.map(str::to_owned).ok_or_else(missing)
    }
}
