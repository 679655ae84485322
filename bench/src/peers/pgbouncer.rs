//! PgBouncer: transaction pooling in front of the primary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Name, Peer, Stage, free_port, said, unprivileged};
use crate::machine;
use crate::weir::{USER, text};

/// Its second entry for the same database, in session mode.
pub(super) const SESSION: &str = "app_session";

/// Said of what is measured by [`SESSION`].
pub(super) const NO_PREPARED: &str =
    "session pooling: before 1.21 it has no prepared statements in transaction pooling";

const OLD: &str = "older than 1.24: no newer one could be had (make bench-deps says why)";

/// Where `scripts/deps.sh` unpacks the newest, and its program there.
const NEWEST: (&str, &str) = ("target/pgbouncer", "usr/sbin/pgbouncer");

impl Stage<'_> {
    pub(super) fn pgbouncer(self) -> Result<Peer, String> {
        let program = match self.pgbouncer {
            Some(given) => given.to_owned(),
            None => newest_to_run(self.host.folder)?,
        };
        let version = machine::version(&program)
            .ok_or_else(|| format!("{} is not installed (make bench-deps)", program.display()))?;
        let release = Release::of(&version);
        let port = free_port()?;
        let file = self.host.folder.join("pgbouncer.ini");
        let users = self.host.folder.join("users.txt");
        let rules = Rules { users: &users, method: "trust", servers: 20, release };
        let rules = ini(port, self.cluster.primary().port(), rules);
        fs::write(&users, format!("\"{USER}\" \"{USER}\"\n")).map_err(said)?;
        fs::write(&file, rules).map_err(said)?;
        let words = [text(&program)?, text(&file)?];
        let service = self.host.start("pgbouncer", unprivileged(), &words).map_err(said)?;
        let mut peer = Peer::new(Name::PgBouncer, version, port, service);
        peer.prepared_database = release.database_for_prepared();
        peer.caveat = if release.is_recent() { "" } else { OLD };
        Ok(peer)
    }
}

/// The newest `pgbouncer` that there is, copied to `scratch` if need be.
///
/// # Errors
///
/// Copying it failed; it runs as a user who can't read it where it is.
pub fn newest_to_run(scratch: &Path) -> Result<PathBuf, String> {
    let (folder, program) = NEWEST;
    if !Path::new(folder).join(program).is_file() {
        return Ok(PathBuf::from("pgbouncer"));
    }
    // A checkout may lie below folders that only its owner may enter.
    let copy = scratch.join("pgbouncer");
    let place = text(&copy)?;
    for words in [["cp", "-a", folder, place], ["chmod", "-R", "a+rX", place]] {
        let [program, args @ ..] = words;
        let status = Command::new(program).args(args).status().map_err(said)?;
        if !status.success() {
            return Err(format!("copying {folder} failed ({program}: {status})"));
        }
    }
    Ok(copy.join(program))
}

/// What its users may differ in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    /// The file of those who may log in.
    pub(crate) users: &'a Path,
    /// How they do.
    pub(crate) method: &'a str,
    /// How many servers a pool may have.
    pub(crate) servers: u16,
    /// What it can do.
    pub(crate) release: Release,
}

/// Its configuration.
pub(crate) fn ini(port: u16, server: u16, rules: Rules<'_>) -> String {
    let Rules { users, method, servers, release } = rules;
    let prepared = release.setting();
    format!(
        "\
[databases]
{USER} = host=127.0.0.1 port={server} dbname={USER}
{SESSION} = host=127.0.0.1 port={server} dbname={USER} pool_mode=session
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = {method}
auth_file = {}
pool_mode = transaction
default_pool_size = {servers}
max_client_conn = 15000
log_connections = 0
log_disconnections = 0
log_stats = 0
{prepared}
",
        users.display()
    )
}

/// Major and minor number: what it can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Release(u32, u32);

impl Release {
    /// Reads `PgBouncer 1.18.0`.
    pub(crate) fn of(version: &str) -> Self {
        let number = version.rsplit(' ').next().unwrap_or_default();
        let mut parts = number.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        Self(parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    }

    /// What a user would install today.
    fn is_recent(self) -> bool {
        (self.0, self.1) >= (1, 24)
    }

    /// Says whether it renames prepared statements, so that any server may run them.
    pub(crate) fn renames_statements(self) -> bool {
        (self.0, self.1) >= (1, 21)
    }

    fn database_for_prepared(self) -> &'static str {
        if self.renames_statements() { USER } else { SESSION }
    }

    fn setting(self) -> &'static str {
        if self.renames_statements() { "max_prepared_statements = 200" } else { "" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prepared_statements_are_renamed_from_1_21_on() {
        let renames = |version| Release::of(version).renames_statements();
        assert!(!renames("PgBouncer 1.18.0"));
        assert!(!renames("PgBouncer 1.20.1"));
        assert!(renames("PgBouncer 1.21.0"));
        assert!(renames("PgBouncer 2.0"));
        assert!(!renames("?"));
    }

    #[test]
    fn what_is_older_than_1_24_is_said_to_be_old() {
        assert!(!Release::of("PgBouncer 1.23.1").is_recent());
        assert!(Release::of("PgBouncer 1.24.0").is_recent());
    }
}
