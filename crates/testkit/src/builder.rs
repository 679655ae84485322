//! What a cluster shall be like, and its start.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::binaries::Binaries;
use crate::cluster::Cluster;
use crate::conf::{Auth, Durability, Members, Site};
use crate::error::{At, Error};
use crate::identity;
use crate::node::Node;
use crate::reaper::Watchdog;
use crate::template::Template;
use crate::tls;
use crate::user::ServerUser;

/// Describes a cluster; [`Builder::start`] makes it.
///
/// Unless told otherwise: a primary without replicas, SCRAM, free ports, a
/// folder of its own below the temp folder, no fsync.
#[derive(Clone, Debug)]
pub struct Builder {
    binaries: Option<Binaries>,
    replicas: usize,
    superuser_password: String,
    settings: Vec<(String, String)>,
    hba: Vec<String>,
    synchronous: Option<usize>,
    archiving: Archiving,
    base_port: Option<u16>,
    folder: Option<PathBuf>,
    transport: Transport,
    auth: Auth,
    durability: Durability,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Plain,
    Tls,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Archiving {
    Off,
    On,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            binaries: None,
            replicas: 0,
            superuser_password: "postgres".to_owned(),
            settings: Vec::new(),
            hba: Vec::new(),
            synchronous: None,
            archiving: Archiving::Off,
            base_port: None,
            folder: None,
            transport: Transport::Plain,
            auth: Auth::Scram,
            durability: Durability::Fast,
        }
    }

    /// Servers of this version instead of what [`Binaries::find`] finds.
    #[must_use]
    pub fn binaries(mut self, binaries: Binaries) -> Self {
        self.binaries = Some(binaries);
        self
    }

    /// How many streaming replicas the primary has; 25 at most.
    #[must_use]
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// The password of `postgres`, which is `postgres` otherwise.
    #[must_use]
    pub fn superuser_password(mut self, password: &str) -> Self {
        password.clone_into(&mut self.superuser_password);
        self
    }

    /// A line of `postgresql.conf` on all nodes; wins over testkit's own.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A line of `pg_hba.conf` on all nodes, before testkit's own.
    #[must_use]
    pub fn hba(mut self, line: &str) -> Self {
        self.hba.push(line.to_owned());
        self
    }

    /// Commits wait for any `standbys` of the replicas.
    #[must_use]
    pub fn synchronous(mut self, standbys: usize) -> Self {
        self.synchronous = Some(standbys);
        self
    }

    /// The primary archives its WAL; see [`Node::restore_from_archive`].
    #[must_use]
    pub fn archive(mut self) -> Self {
        self.archiving = Archiving::On;
        self
    }

    /// Ports counting up from this one; `None` or 0 for any that are free.
    ///
    /// Fixed ports are for people; tests take what is free.
    #[must_use]
    pub fn ports(mut self, base_port: Option<u16>) -> Self {
        self.base_port = base_port.filter(|port| *port != 0);
        self
    }

    /// The folder for all nodes; must be empty or missing, and is removed.
    #[must_use]
    pub fn dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.folder = Some(path.into());
        self
    }

    /// Servers offer TLS; see [`Cluster::ca`].
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.transport = Transport::Tls;
        self
    }

    /// Everybody may log in over TCP as anybody, without a password.
    #[must_use]
    pub fn trust(mut self) -> Self {
        self.auth = Auth::Trust;
        self
    }

    /// Data is written through to disk, as in production.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durability = Durability::Durable;
        self
    }

    /// Makes the cluster; returns when every replica streams.
    ///
    /// # Errors
    ///
    /// Any [`Error`]; nothing is left behind then.
    pub fn start(mut self) -> Result<Cluster, Error> {
        let binaries = self.binaries.take().map_or_else(Binaries::find, Ok)?;
        let user = ServerUser::current()?;
        let template = Template::find(&binaries, &user)?;
        let (folder, watchdog) = self.claim_folder(&user)?;
        let base_port = self.base_port;
        let (replicas, custom) = (self.replicas, self.superuser_password != "postgres");
        let site = Arc::new(self.site(binaries, user, folder)?);
        let mut cluster = Cluster::empty(Arc::clone(&site), base_port, watchdog);
        for _ in 0..=replicas {
            cluster.add_node()?;
        }
        populate(cluster.nodes(), &template)?;
        if custom {
            let password = site.superuser_password.replace('\'', "''");
            cluster.primary().psql(&format!("ALTER ROLE postgres PASSWORD '{password}'"))?;
        }
        Ok(cluster)
    }

    /// Makes the cluster's folder, watched from its first moment.
    fn claim_folder(&self, user: &ServerUser) -> Result<(PathBuf, Watchdog), Error> {
        if let Some(path) = &self.folder {
            // Made before it is watched: what was in it is not ours to remove.
            user.make_folder(path)?;
            let path = fs::canonicalize(path).at(path)?;
            let watchdog = Watchdog::over(&path, user)?;
            return Ok((path, watchdog));
        }
        let scratch = match self.durability {
            Durability::Fast => user.scratch()?,
            Durability::Durable => user.disk()?,
        };
        // Nobody else has this name, also no thread of this process: the watchdog
        // may remove what it watches even if it was never made.
        let name = format!("testkit-{}-{:016x}", process::id(), identity::fresh());
        let path = scratch.join(name);
        let watchdog = Watchdog::over(&path, user)?;
        user.make_folder(&path)?;
        Ok((path, watchdog))
    }

    fn site(self, binaries: Binaries, user: ServerUser, folder: PathBuf) -> Result<Site, Error> {
        let tls = match self.transport {
            Transport::Plain => None,
            Transport::Tls => Some(folder.join("tls")),
        };
        if let Some(path) = &tls {
            tls::make(path, &user)?;
        }
        let archive = match self.archiving {
            Archiving::Off => None,
            Archiving::On => Some(folder.join("archive")),
        };
        if let Some(path) = &archive {
            user.make_folder(path)?;
        }
        Ok(Site {
            binaries,
            user,
            folder,
            auth: self.auth,
            durability: self.durability,
            settings: self.settings,
            hba: self.hba,
            superuser_password: self.superuser_password,
            synchronous: self.synchronous,
            archive,
            tls,
            members: Mutex::new(Members::default()),
        })
    }
}

/// Fills the nodes' folders from the template and starts all servers.
///
/// Each replica is a copy of the same cleanly stopped data folder, so it
/// begins at the very record from which the primary goes on: no base backup.
fn populate(nodes: &[Node], template: &Template) -> Result<(), Error> {
    let identifier = identity::fresh();
    each(nodes, |node| fill(node, template, identifier))?;
    let Some((primary, replicas)) = nodes.split_first() else { return Ok(()) };
    primary.start()?;
    each(replicas, |replica| {
        replica.become_standby_of(primary)?;
        replica.start()?;
        replica.wait_streaming(primary)
    })
}

fn fill(node: &Node, template: &Template, identifier: u64) -> Result<(), Error> {
    let (data, user): (_, &ServerUser) = (node.data_folder(), &node.0.site.user);
    user.make_folder(&data)?;
    template.unpack(&data, user)?;
    identity::stamp(&data, identifier)?;
    node.configure()
}

/// Does the same to all nodes at once; the first error counts.
fn each(nodes: &[Node], work: impl Fn(&Node) -> Result<(), Error> + Sync) -> Result<(), Error> {
    thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> = nodes.iter().map(|node| scope.spawn(move || work(node))).collect();
        running.into_iter().try_for_each(|one| match one.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// Where `testbed` may put a cluster that belongs to `folder`.
pub(crate) fn is_usable(folder: &Path, user: &ServerUser) -> bool {
    user.can_enter(folder) && folder.as_os_str().len() < 80
}
