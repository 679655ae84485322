//! The peers: what a user could put between clients and servers, and how each is started.
//!
//! One file a peer; here is only what they have in common. Each is set up as
//! its users would: pools of 20 servers where there are pools, no logging of
//! connections, the health checks that its manual recommends.

mod direct;
pub(crate) mod haproxy;
pub mod pgbouncer;
mod pgpool;
mod relay;

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use testkit::Cluster;

use crate::cpu::{Meter, Reading};
use crate::pgbench::{Mode, Pgbench, Target};
use crate::service::{Host, Service};
use crate::weir::{USER, Weir};

/// What clients talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// The primary itself.
    Direct,
    /// `bench/src/bin/relay.rs`: copies bytes, the floor under all others.
    Relay,
    /// To the primary, by `mode tcp`.
    Haproxy,
    /// To the primary, in transaction mode.
    PgBouncer,
    /// To the primary and two replicas.
    Pgpool,
    /// To the primary and two replicas.
    Weir,
}

impl Name {
    /// All, in the order of the report.
    pub const ALL: [Self; 6] =
        [Self::Direct, Self::Relay, Self::Haproxy, Self::PgBouncer, Self::Pgpool, Self::Weir];

    /// The word for it among the facts of a report.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Direct => "server",
            Self::Relay => "relay",
            Self::Haproxy => "haproxy",
            Self::PgBouncer => "pgbouncer",
            Self::Pgpool => "pgpool",
            Self::Weir => "weir",
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "PostgreSQL, no proxy",
            Self::Relay => "bare relay",
            Self::Haproxy => "HAProxy",
            Self::PgBouncer => "PgBouncer",
            Self::Pgpool => "Pgpool-II",
            Self::Weir => "Weir",
        })
    }
}

/// A running peer; ends when dropped.
#[derive(Debug)]
pub struct Peer {
    /// Which it is.
    pub name: Name,
    /// As it tells itself.
    pub version: String,
    /// Where clients connect, on 127.0.0.1, as [`USER`] with the password [`USER`].
    pub port: u16,
    /// None where there is no proxy.
    pub service: Option<Service>,
    prepared_database: &'static str,
    caveat: &'static str,
}

impl Peer {
    fn new(name: Name, version: String, port: u16, service: Service) -> Self {
        let service = Some(service);
        Self { name, version, port, service, prepared_database: USER, caveat: "" }
    }

    /// Where clients connect that use the given query mode.
    #[must_use]
    pub fn target(&self, mode: Mode) -> Target<'static> {
        let database = match mode {
            Mode::Prepared => self.prepared_database,
            Mode::Simple | Mode::Extended => USER,
        };
        Target { port: self.port, database }
    }

    /// What a reader must know about its numbers in this mode; empty for nothing.
    #[must_use]
    pub fn remark(&self, mode: Mode) -> &'static str {
        if self.target(mode).database == pgbouncer::SESSION {
            pgbouncer::NO_PREPARED
        } else {
            self.caveat
        }
    }

    /// What all its processes used so far; `None` where there is no proxy.
    ///
    /// # Errors
    ///
    /// It ended; the error tells its last words.
    pub fn read(&mut self, meter: Meter) -> Result<Option<Reading>, String> {
        self.service.as_mut().map(|service| service.read(meter)).transpose()
    }
}

/// What is needed to start any peer.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'a> {
    /// Whom they serve.
    pub cluster: &'a Cluster,
    /// Asks them whether they serve.
    pub pgbench: &'a Pgbench,
    /// Where they run.
    pub host: Host<'a>,
    /// The `weir` to run instead of the one beside this program.
    pub weir: Option<&'a Path>,
    /// The `pgbouncer` to run instead of the newest that is there.
    pub pgbouncer: Option<&'a Path>,
}

impl Stage<'_> {
    /// Starts a peer and waits until queries come through.
    ///
    /// # Errors
    ///
    /// Why there is no such peer here; belongs into the report in its place.
    pub fn start(self, name: Name) -> Result<Peer, String> {
        let mut peer = match name {
            Name::Direct => Ok(self.direct()),
            Name::Relay => self.relay(),
            Name::Haproxy => self.haproxy(),
            Name::PgBouncer => self.pgbouncer(),
            Name::Pgpool => self.pgpool(),
            Name::Weir => self.weir(),
        }?;
        let target = peer.target(Mode::Simple);
        match &mut peer.service {
            Some(service) => service.wait(|| self.pgbench.ask(target))?,
            None => self.pgbench.ask(target)?,
        }
        Ok(peer)
    }

    fn weir(self) -> Result<Peer, String> {
        let Weir { version, port, service, .. } = Weir::start(self.weir, self.host, self.cluster)?;
        Ok(Peer::new(Name::Weir, version, port, service))
    }
}

/// Whom those run as that refuse to be root; nobody else is needed unless we are root.
pub(crate) fn unprivileged() -> Option<&'static str> {
    let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    root.then_some("postgres")
}

/// A port that was free a moment ago, for those that can't choose one themselves.
pub(crate) fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(said)?;
    listener.local_addr().map(|address| address.port()).map_err(said)
}

pub(crate) fn said(error: impl fmt::Display) -> String {
    error.to_string()
}
