//! PostgreSQL's own programs, run through Weir.

use std::process::{Command, Stdio};

use testkit::Binaries;

use crate::Weir;

/// What a program said.
#[derive(Debug)]
pub struct Said {
    /// Whether it exited with 0.
    pub ok: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Runs `command` to its end.
    ///
    /// # Panics
    ///
    /// When it can't be started.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test whose program is missing has failed")]
    pub fn by(command: &mut Command) -> Self {
        let output = command.stdin(Stdio::null()).output().expect("the program starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { ok: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Standard output of a program that exited with 0 and complained of nothing.
    ///
    /// # Panics
    ///
    /// When it did not.
    #[track_caller]
    #[expect(clippy::must_use_candidate, reason = "often only the success matters")]
    pub fn well(self) -> String {
        assert!(self.ok, "{}", self.err);
        self.out
    }
}

impl Weir {
    /// One of PostgreSQL's programs, pointed at Weir as `app`.
    ///
    /// # Panics
    ///
    /// When PostgreSQL is not installed.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without PostgreSQL has failed")]
    pub fn program(&self, name: &str) -> Command {
        self.command(&Binaries::find().expect("PostgreSQL is installed").program(name))
    }

    /// Runs one of PostgreSQL's programs through Weir.
    #[must_use]
    pub fn run(&self, name: &str, arguments: &[&str]) -> Said {
        Said::by(self.program(name).args(arguments))
    }

    /// Runs SQL by psql: rows unaligned, columns separated by `|`, errors told and passed over.
    #[must_use]
    pub fn psql(&self, sql: &str) -> Said {
        self.run("psql", &["-XAtq", "-c", sql])
    }
}
