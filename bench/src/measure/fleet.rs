//! Peers in other settings than those of the closed loop: with passwords, many
//! clients, more servers or workers, in front of another server.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use testkit::Cluster;

use super::keys::Keys;
use super::said;
use super::talk::{Door, PROVEN, Talk};
use crate::machine;
use crate::peers::pgbouncer::{self, Release, Rules};
use crate::peers::{Name, free_port, haproxy, unprivileged};
use crate::service::{Host, Service};
use crate::weir::{USER, Weir, nodes, text};

/// Whom the sections compare, in the order of the report.
pub const ALL: [Name; 5] = [Name::Direct, Name::Relay, Name::Haproxy, Name::PgBouncer, Name::Weir];
/// Those that are something between client and server.
pub const PROXIES: [Name; 4] = [Name::Relay, Name::Haproxy, Name::PgBouncer, Name::Weir];

/// How clients prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// Not at all.
    Trust,
    /// By SCRAM-SHA-256; the proxy is configured with the password.
    Password,
    /// By SCRAM-SHA-256; the proxy has what the server stores. Only PgBouncer takes that.
    Verifier,
}

impl Entrance {
    /// Whom clients log in as.
    #[must_use]
    pub fn user(self) -> &'static str {
        match self {
            Self::Trust => USER,
            Self::Password | Self::Verifier => PROVEN,
        }
    }
}

/// How a peer is set up.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// A name for its files; two peers at once need two.
    pub tag: &'a str,
    /// How clients come in.
    pub entrance: Entrance,
    /// How many servers a pool may have.
    pub servers: u16,
    /// Workers of Weir.
    pub workers: u16,
    /// Instead of all nodes of the cluster.
    pub only: Option<u16>,
}

impl Setting<'static> {
    /// As in the closed loop.
    #[must_use]
    pub fn usual(tag: &'static str) -> Self {
        Self { tag, entrance: Entrance::Trust, servers: 20, workers: 1, only: None }
    }
}

/// A running peer; ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where clients connect, on 127.0.0.1.
    pub port: u16,
    /// None where there is no proxy.
    pub service: Option<Service>,
}

impl Proxy {
    /// Its process, if it is one.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.service.as_ref().map(Service::id)
    }
}

/// What is needed to start any peer.
#[derive(Clone, Copy, Debug)]
pub struct Fleet<'a> {
    /// Whom they serve: a cluster of [`cluster`].
    pub cluster: &'a Cluster,
    /// Where they run.
    pub host: Host<'a>,
    /// The `weir` to run.
    pub weir: &'a Path,
    /// The `pgbouncer` to run.
    pub pgbouncer: &'a Path,
}

/// Starts what the sections need: a primary and two replicas that take 1,000
/// connections, trust everybody but [`PROVEN`], and hold `scale` × 100,000 accounts.
///
/// # Errors
///
/// PostgreSQL is missing or does not start.
pub fn cluster() -> Result<Cluster, Box<dyn std::error::Error>> {
    let cluster = Cluster::builder()
        .replicas(2)
        .trust()
        .hba(&format!("host all {PROVEN} 127.0.0.1/32 scram-sha-256"))
        .setting("max_connections", "1000")
        .start()?;
    cluster.primary().psql(&format!("CREATE ROLE {PROVEN} LOGIN PASSWORD '{PROVEN}'"))?;
    Ok(cluster)
}

impl Fleet<'_> {
    /// Starts a peer and waits until a query comes through.
    ///
    /// # Errors
    ///
    /// Why there is no such peer here.
    pub fn start(self, who: Name, setting: Setting<'_>) -> Result<Proxy, String> {
        let mut proxy = match who {
            Name::Direct => Ok(Proxy { port: self.primary(setting), service: None }),
            Name::Relay => self.relay(setting),
            Name::Haproxy => self.haproxy(setting),
            Name::PgBouncer => self.pgbouncer(setting),
            Name::Weir => self.weir(setting),
            Name::Pgpool => Err("it is measured by pgbench alone".to_owned()),
        }?;
        let door = Door { port: proxy.port, user: setting.entrance.user() };
        let ask = || -> std::io::Result<u64> {
            Talk::login(door, &mut Keys::of(PROVEN))?.ask(&super::query::simple("SELECT 1"))
        };
        match &mut proxy.service {
            Some(service) => service.wait(|| ask().map_err(said))?,
            None => ask().map_err(said)?,
        };
        Ok(proxy)
    }

    fn primary(self, setting: Setting<'_>) -> u16 {
        setting.only.unwrap_or_else(|| self.cluster.primary().port())
    }

    fn relay(self, setting: Setting<'_>) -> Result<Proxy, String> {
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, self.primary(setting)));
        self.named_port("relay", setting.tag, &["--to", &to.to_string()])
    }

    /// Starts a program of this workspace that prints where it listens.
    ///
    /// # Errors
    ///
    /// It was not built, or ended.
    pub fn named_port(self, program: &str, tag: &str, words: &[&str]) -> Result<Proxy, String> {
        let name = format!("{program}-{tag}");
        let (service, port) = self.host.start_listening(program, &name, words)?;
        Ok(Proxy { port, service: Some(service) })
    }

    fn haproxy(self, setting: Setting<'_>) -> Result<Proxy, String> {
        let (port, name) = (free_port()?, format!("haproxy-{}", setting.tag));
        let file = self.host.folder.join(format!("{name}.cfg"));
        fs::write(&file, haproxy::cfg(port, self.primary(setting))).map_err(said)?;
        let words = [haproxy::PROGRAM, "-db", "-f", text(&file)?];
        let service = self.host.start(&name, None, &words).map_err(said)?;
        Ok(Proxy { port, service: Some(service) })
    }

    fn pgbouncer(self, setting: Setting<'_>) -> Result<Proxy, String> {
        let release = usable(self.pgbouncer)?;
        let (port, name) = (free_port()?, format!("pgbouncer-{}", setting.tag));
        let path = |end: &str| self.host.folder.join(format!("{name}.{end}"));
        let (secret, method) = match setting.entrance {
            Entrance::Trust => (PROVEN.to_owned(), "trust"),
            Entrance::Password => (PROVEN.to_owned(), "scram-sha-256"),
            Entrance::Verifier => (self.verifier()?, "scram-sha-256"),
        };
        let (users, ini) = (path("users"), path("ini"));
        let known = format!("\"{USER}\" \"{USER}\"\n\"{PROVEN}\" \"{secret}\"\n");
        fs::write(&users, known).map_err(said)?;
        let rules = Rules { users: &users, method, servers: setting.servers, release };
        fs::write(&ini, pgbouncer::ini(port, self.primary(setting), rules)).map_err(said)?;
        let words = [text(self.pgbouncer)?, text(&ini)?];
        let service = self.host.start(&name, unprivileged(), &words).map_err(said)?;
        Ok(Proxy { port, service: Some(service) })
    }

    fn verifier(self) -> Result<String, String> {
        let sql = format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{PROVEN}'");
        let found = self.cluster.primary().psql(&sql).map_err(said)?;
        Ok(found.trim().to_owned())
    }

    fn weir(self, setting: Setting<'_>) -> Result<Proxy, String> {
        let (name, yaml) = (format!("weir-{}", setting.tag), self.yaml(setting));
        let Weir { port, service, .. } =
            Weir::start_with(Some(self.weir), self.host, (&name, &yaml))?;
        Ok(Proxy { port, service: Some(service) })
    }

    fn yaml(self, setting: Setting<'_>) -> String {
        let nodes = match setting.only {
            Some(port) => format!("{{ name: only, host: 127.0.0.1, port: {port} }}"),
            None => nodes(self.cluster),
        };
        let method = match setting.entrance {
            Entrance::Trust => "trust",
            Entrance::Password | Entrance::Verifier => "scram-sha-256",
        };
        format!(
            "\
listen: 127.0.0.1:0
workers: {}
admin: {{ listen: 127.0.0.1:0 }}
auth:
  method: {method}
  users: {{ {USER}: {{ password: {USER} }}, {PROVEN}: {{ password: {PROVEN} }} }}
pool: {{ mode: transaction, default_pool_size: {}, max_client_conn: 20000 }}
clusters:
  main:
    nodes: [{}]
    monitor: {{ user: weir_monitor, password: weir_monitor }}
databases: {{ \"*\": {{ cluster: main }} }}
log: {{ level: warn }}
",
            setting.workers, setting.servers, nodes
        )
    }
}

/// A PgBouncer that can be compared: before 1.21 it has no prepared statements in transaction pooling.
fn usable(program: &Path) -> Result<Release, String> {
    let version = machine::version(program)
        .ok_or_else(|| format!("{} is not installed (make bench-deps)", program.display()))?;
    let release = Release::of(&version);
    if release.renames_statements() {
        return Ok(release);
    }
    Err(format!("{version} is too old: these sections need 1.21 for prepared statements"))
}
