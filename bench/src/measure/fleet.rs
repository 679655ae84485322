//! Peers in other settings than those of the closed loop: with passwords, many
//! clients, more servers or workers, in front of another server.

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use testkit::Cluster;

use super::keys::Keys;
use super::said;
use super::talk::{Door, PROVEN, Talk};
use crate::machine;
use crate::service::{Host, Service};
use crate::weir::{USER, beside, text};

/// What clients talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The primary itself.
    Direct,
    /// Copies bytes, on one thread.
    Relay,
    /// The same, by `mode tcp`.
    Haproxy,
    /// In transaction mode.
    PgBouncer,
    /// One worker unless said otherwise.
    Weir,
}

impl Who {
    /// All, in the order of the report.
    pub const ALL: [Self; 5] =
        [Self::Direct, Self::Relay, Self::Haproxy, Self::PgBouncer, Self::Weir];
    /// Those that are something between client and server.
    pub const PROXIES: [Self; 4] = [Self::Relay, Self::Haproxy, Self::PgBouncer, Self::Weir];
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "PostgreSQL, no proxy",
            Self::Relay => "bare relay",
            Self::Haproxy => "HAProxy",
            Self::PgBouncer => "PgBouncer",
            Self::Weir => "Weir",
        })
    }
}

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
    pub fn start(self, who: Who, setting: Setting<'_>) -> Result<Proxy, String> {
        let mut proxy = match who {
            Who::Direct => Ok(Proxy { port: self.primary(setting), service: None }),
            Who::Relay => self.relay(setting),
            Who::Haproxy => self.haproxy(setting),
            Who::PgBouncer => self.pgbouncer(setting),
            Who::Weir => self.weir(setting),
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
        let path = beside(program)?;
        let words: Vec<_> = std::iter::once(text(&path)?).chain(words.iter().copied()).collect();
        let mut service =
            self.host.start(&format!("{program}-{tag}"), None, &words).map_err(said)?;
        let log = self.host.folder.join(format!("{program}-{tag}.log"));
        let port = service.wait(|| {
            let said = fs::read_to_string(&log).map_err(said)?;
            let address = said.lines().next().and_then(|line| line.parse::<SocketAddr>().ok());
            address.map(|address| address.port()).ok_or_else(|| "it named no port".to_owned())
        })?;
        Ok(Proxy { port, service: Some(service) })
    }

    fn haproxy(self, setting: Setting<'_>) -> Result<Proxy, String> {
        let port = free_port()?;
        let file = self.host.folder.join(format!("haproxy-{}.cfg", setting.tag));
        fs::write(&file, haproxy_cfg(port, self.primary(setting))).map_err(said)?;
        let words = ["/usr/sbin/haproxy", "-db", "-f", text(&file)?];
        let service =
            self.host.start(&format!("haproxy-{}", setting.tag), None, &words).map_err(said)?;
        Ok(Proxy { port, service: Some(service) })
    }

    fn pgbouncer(self, setting: Setting<'_>) -> Result<Proxy, String> {
        check_pgbouncer(self.pgbouncer)?;
        let port = free_port()?;
        let path = |end: &str| self.host.folder.join(format!("pgbouncer-{}.{end}", setting.tag));
        let secret = match setting.entrance {
            Entrance::Trust | Entrance::Password => PROVEN.to_owned(),
            Entrance::Verifier => self.verifier()?,
        };
        let users = format!("\"{USER}\" \"{USER}\"\n\"{PROVEN}\" \"{secret}\"\n");
        fs::write(path("users"), users).map_err(said)?;
        let ini = pgbouncer_ini(port, self.primary(setting), &path("users"), setting);
        fs::write(path("ini"), ini).map_err(said)?;
        let (program, ini) = (text(self.pgbouncer)?, path("ini"));
        let words = [program, text(&ini)?];
        let tag = format!("pgbouncer-{}", setting.tag);
        let service = self.host.start(&tag, unprivileged(), &words).map_err(said)?;
        Ok(Proxy { port, service: Some(service) })
    }

    fn verifier(self) -> Result<String, String> {
        let sql = format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{PROVEN}'");
        let found = self.cluster.primary().psql(&sql).map_err(said)?;
        Ok(found.trim().to_owned())
    }

    fn weir(self, setting: Setting<'_>) -> Result<Proxy, String> {
        let path = |end: &str| self.host.folder.join(format!("weir-{}.{end}", setting.tag));
        fs::write(path("yaml"), self.yaml(setting)).map_err(said)?;
        let (config, ports) = (path("yaml"), path("ports"));
        if ports.exists() {
            // Of one before it, by the same name.
            fs::remove_file(&ports).map_err(said)?;
        }
        let words =
            [text(self.weir)?, "serve", "-c", text(&config)?, "--ports-file", text(&ports)?];
        let mut service =
            self.host.start(&format!("weir-{}", setting.tag), None, &words).map_err(said)?;
        let port = service.wait(|| {
            let said = fs::read_to_string(&ports).map_err(said)?;
            let port = crate::weir::read_ports(&said).map(|(port, _)| port);
            port.ok_or_else(|| format!("its ports file says {said:?}"))
        })?;
        Ok(Proxy { port, service: Some(service) })
    }

    fn yaml(self, setting: Setting<'_>) -> String {
        let nodes: Vec<_> = match setting.only {
            Some(port) => vec![format!("{{ name: only, host: 127.0.0.1, port: {port} }}")],
            None => self
                .cluster
                .nodes()
                .iter()
                .map(|node| {
                    let (name, host, port) = (node.name(), node.host(), node.port());
                    format!("{{ name: {name}, host: {host}, port: {port} }}")
                })
                .collect(),
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
            setting.workers,
            setting.servers,
            nodes.join(", ")
        )
    }
}

fn haproxy_cfg(port: u16, server: u16) -> String {
    format!(
        "\
global
    nbthread 1
    maxconn 4000
defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen postgres
    bind 127.0.0.1:{port}
    server primary 127.0.0.1:{server} check
"
    )
}

fn pgbouncer_ini(port: u16, server: u16, users: &Path, setting: Setting<'_>) -> String {
    let method = match setting.entrance {
        Entrance::Trust => "trust",
        Entrance::Password | Entrance::Verifier => "scram-sha-256",
    };
    format!(
        "\
[databases]
{USER} = host=127.0.0.1 port={server} dbname={USER}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = {method}
auth_file = {}
pool_mode = transaction
default_pool_size = {}
max_client_conn = 15000
log_connections = 0
log_disconnections = 0
log_stats = 0
max_prepared_statements = 200
",
        users.display(),
        setting.servers
    )
}

/// Says why this PgBouncer can't be compared: before 1.21 it has no prepared
/// statements in transaction pooling, and does not know the setting.
///
/// # Errors
///
/// That sentence.
pub fn check_pgbouncer(program: &Path) -> Result<String, String> {
    let version = machine::version(program)
        .ok_or_else(|| format!("{} is not installed (make bench-deps)", program.display()))?;
    let number = version.rsplit(' ').next().unwrap_or_default();
    let mut parts = number.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    if (parts.next(), parts.next()) >= (Some(1), Some(21)) {
        return Ok(version);
    }
    Err(format!("{version} is too old: these sections need 1.21 for prepared statements"))
}

fn unprivileged() -> Option<&'static str> {
    let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    root.then_some("postgres")
}

/// A port that was free a moment ago, for those that can't choose one themselves.
fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(said)?;
    listener.local_addr().map(|address| address.port()).map_err(said)
}
