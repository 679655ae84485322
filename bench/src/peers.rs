//! The peers: how each is configured and started.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use testkit::Cluster;
use weir_bench::machine;
use weir_bench::service::{Host, Service};
use weir_bench::weir::{USER, Weir, beside, text};

use crate::args::Args;
use crate::pgbench::{Pgbench, Target};
use crate::plan::{Mode, Name};

/// PgBouncer's second entry for the same database, in session mode.
const SESSION: &str = "app_session";

/// Something that pgbench can talk to.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: Name,
    pub(crate) version: String,
    port: u16,
    prepared_database: &'static str,
    /// None where there is no proxy.
    pub(crate) service: Option<Service>,
}

impl Peer {
    pub(crate) fn target(&self, mode: Mode) -> Target<'static> {
        let database = match mode {
            Mode::Prepared => self.prepared_database,
            Mode::Simple | Mode::Extended => USER,
        };
        Target { port: self.port, database }
    }

    /// What a reader must know about a cell; empty for a plain one.
    pub(crate) fn remark(&self, mode: Mode) -> &'static str {
        if self.target(mode).database == SESSION {
            "session pooling: before 1.21 it has no prepared statements in transaction pooling"
        } else {
            ""
        }
    }
}

/// What is needed to start any peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) args: &'a Args,
    pub(crate) cluster: &'a Cluster,
    pub(crate) pgbench: &'a Pgbench,
    pub(crate) host: Host<'a>,
}

impl Stage<'_> {
    /// Starts a peer and waits until queries come through.
    ///
    /// # Errors
    ///
    /// Why there is no such peer here; goes into the report in its place.
    pub(crate) fn start(self, name: Name) -> Result<Peer, String> {
        let mut peer = match name {
            Name::Direct => Ok(self.direct()),
            Name::Relay => self.relay(),
            Name::PgBouncer => self.pgbouncer(),
            Name::Weir => self.weir(),
        }?;
        let target = peer.target(Mode::Simple);
        match &mut peer.service {
            Some(service) => service.wait(|| self.pgbench.ask(target))?,
            None => self.pgbench.ask(target)?,
        }
        Ok(peer)
    }

    fn direct(self) -> Peer {
        let node = self.cluster.primary();
        let version = machine::version(&self.pgbench.program).unwrap_or_default();
        let version = version.replace("pgbench (PostgreSQL)", "PostgreSQL");
        Peer {
            name: Name::Direct,
            version,
            port: node.port(),
            prepared_database: USER,
            service: None,
        }
    }

    fn relay(self) -> Result<Peer, String> {
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, self.cluster.primary().port()));
        let program = beside("relay")?;
        let words = [text(&program)?, "--to", &to.to_string()];
        let mut service = self.host.start("relay", None, &words).map_err(said)?;
        let port = service.wait({
            let log = self.host.folder.join("relay.log");
            move || {
                let said = fs::read_to_string(&log).map_err(said)?;
                let address = said.lines().next().and_then(|line| line.parse::<SocketAddr>().ok());
                address.map(|address| address.port()).ok_or_else(|| "it named no port".to_owned())
            }
        })?;
        Ok(Peer {
            name: Name::Relay,
            version: "bench/src/bin/relay.rs".to_owned(),
            port,
            prepared_database: USER,
            service: Some(service),
        })
    }

    fn pgbouncer(self) -> Result<Peer, String> {
        let program = &self.args.pgbouncer;
        let version = machine::version(program)
            .ok_or_else(|| format!("{} is not installed (make bench-deps)", program.display()))?;
        let statements = Statements::of(&version);
        let port = free_port()?;
        let ini = self.host.folder.join("pgbouncer.ini");
        let users = self.host.folder.join("users.txt");
        let rules = pgbouncer_ini(port, self.cluster.primary().port(), &users, statements);
        fs::write(&users, format!("\"{USER}\" \"{USER}\"\n")).map_err(said)?;
        fs::write(&ini, rules).map_err(said)?;
        let words = [text(program)?, text(&ini)?];
        let service = self.host.start("pgbouncer", unprivileged(), &words).map_err(said)?;
        Ok(Peer {
            name: Name::PgBouncer,
            version,
            port,
            prepared_database: statements.database(),
            service: Some(service),
        })
    }

    fn weir(self) -> Result<Peer, String> {
        let weir = Weir::start(self.args.weir.as_deref(), self.host, self.cluster)?;
        let Weir { version, port, service, .. } = weir;
        let service = Some(service);
        Ok(Peer { name: Name::Weir, version, port, prepared_database: USER, service })
    }
}

fn pgbouncer_ini(port: u16, server: u16, users: &Path, statements: Statements) -> String {
    let prepared = statements.setting();
    format!(
        "\
[databases]
{USER} = host=127.0.0.1 port={server} dbname={USER}
{SESSION} = host=127.0.0.1 port={server} dbname={USER} pool_mode=session
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {}
pool_mode = transaction
default_pool_size = 20
max_client_conn = 1000
log_connections = 0
log_disconnections = 0
log_stats = 0
{prepared}
",
        users.display()
    )
}

/// What a PgBouncer does with prepared statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Statements {
    /// Since 1.21 it renames them, so that any server may run them.
    Renamed,
    /// They live and die with the one server that knows them.
    PerServer,
}

impl Statements {
    /// Reads `PgBouncer 1.18.0`.
    fn of(version: &str) -> Self {
        let number = version.rsplit(' ').next().unwrap_or_default();
        let mut parts = number.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let number = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        if number >= (1, 21) { Self::Renamed } else { Self::PerServer }
    }

    fn database(self) -> &'static str {
        match self {
            Self::Renamed => USER,
            Self::PerServer => SESSION,
        }
    }

    fn setting(self) -> &'static str {
        match self {
            Self::Renamed => "max_prepared_statements = 200",
            Self::PerServer => "",
        }
    }
}

/// Whom PgBouncer runs as; nobody else is needed unless we are root.
fn unprivileged() -> Option<&'static str> {
    let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    root.then_some("postgres")
}

/// A port that was free a moment ago; PgBouncer can't choose one itself.
fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(said)?;
    listener.local_addr().map(|address| address.port()).map_err(said)
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pgbouncer_renames_prepared_statements_from_1_21_on() {
        assert_eq!(Statements::of("PgBouncer 1.18.0"), Statements::PerServer);
        assert_eq!(Statements::of("PgBouncer 1.20.1"), Statements::PerServer);
        assert_eq!(Statements::of("PgBouncer 1.21.0"), Statements::Renamed);
        assert_eq!(Statements::of("PgBouncer 2.0"), Statements::Renamed);
        assert_eq!(Statements::of("?"), Statements::PerServer);
    }
}
