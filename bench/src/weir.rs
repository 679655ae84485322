//! Weir, as the benchmarks run it: one worker, everything else as by default.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::{Cluster, Node};

use crate::machine;
use crate::service::{Host, Service};

/// Who asks; also the name of the database.
pub const USER: &str = "app";

/// A running Weir.
#[derive(Debug)]
pub struct Weir {
    /// The first line of `weir --version`.
    pub version: String,
    /// Where clients connect.
    pub port: u16,
    /// Where the HTTP API listens.
    pub admin: u16,
    /// Its process.
    pub service: Service,
}

impl Weir {
    /// Starts `program`, or the `weir` beside this one, in front of `cluster`.
    ///
    /// # Errors
    ///
    /// Why it can't be had; a sentence for people.
    pub fn start(
        program: Option<&Path>,
        host: Host<'_>,
        cluster: &Cluster,
    ) -> Result<Self, String> {
        Self::start_with(program, host, ("weir", &yaml(cluster)))
    }

    /// Starts it with a configuration of the caller's; two at once need two names.
    ///
    /// # Errors
    ///
    /// Why it can't be had; a sentence for people.
    pub fn start_with(
        program: Option<&Path>,
        host: Host<'_>,
        (name, configuration): (&str, &str),
    ) -> Result<Self, String> {
        let program = program.map_or_else(|| beside("weir"), |given| Ok(given.to_owned()))?;
        let version = machine::version(&program)
            .ok_or_else(|| format!("{} is missing (make builds it)", program.display()))?;
        let config = host.folder.join(format!("{name}.yaml"));
        let ports = host.folder.join(format!("{name}.ports"));
        fs::write(&config, configuration).map_err(said)?;
        if ports.exists() {
            // Of one before it, by the same name.
            fs::remove_file(&ports).map_err(said)?;
        }
        let words = [text(&program)?, "serve", "-c", text(&config)?, "--ports-file", text(&ports)?];
        let mut service = host.start(name, None, &words).map_err(said)?;
        let (port, admin) = service.wait(|| {
            let said = fs::read_to_string(&ports).map_err(said)?;
            read_ports(&said).ok_or_else(|| format!("its ports file says {said:?}"))
        })?;
        Ok(Self { version, port, admin, service })
    }
}

/// The ports in the file that `weir serve --ports-file` writes: for clients, for the HTTP API.
#[must_use]
pub fn read_ports(file: &str) -> Option<(u16, u16)> {
    let ports: serde_json::Value = serde_json::from_str(file).ok()?;
    let port = |key| ports.get(key)?.as_u64()?.try_into().ok();
    Some((port("sql")?, port("admin")?))
}

/// A cluster's nodes, as the configuration lists them.
#[must_use]
pub fn nodes(cluster: &Cluster) -> String {
    let node = |node: &Node| {
        format!("{{ name: {}, host: {}, port: {} }}", node.name(), node.host(), node.port())
    };
    cluster.nodes().iter().map(node).collect::<Vec<_>>().join(", ")
}

fn yaml(cluster: &Cluster) -> String {
    format!(
        "\
listen: 127.0.0.1:0
workers: 1
admin: {{ listen: 127.0.0.1:0 }}
auth: {{ method: trust, users: {{ {USER}: {{ password: {USER} }} }} }}
pool: {{ mode: transaction, default_pool_size: 20 }}
clusters:
  main:
    nodes: [{}]
    monitor: {{ user: weir_monitor, password: weir_monitor }}
databases: {{ \"*\": {{ cluster: main }} }}
log: {{ level: warn }}
",
        nodes(cluster)
    )
}

/// A program of this workspace, built into the same folder as this one.
///
/// # Errors
///
/// It was not built.
pub fn beside(name: &str) -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(said)?;
    let program = own.with_file_name(name);
    if program.is_file() { Ok(program) } else { Err(format!("{} is missing", program.display())) }
}

/// A path as a word of a command line.
///
/// # Errors
///
/// It is not UTF-8.
pub fn text(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| format!("{} is not UTF-8", path.display()))
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ports_file_is_read_by_key() {
        assert_eq!(read_ports("{\"admin\":1,\"sql\":4711}\n"), Some((4711, 1)));
        assert_eq!(read_ports("{\"sql\":65536,\"admin\":1}"), None);
        assert_eq!(read_ports(""), None);
    }
}
