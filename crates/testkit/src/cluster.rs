//! A primary and its replicas, from start to removal.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::builder::Builder;
use crate::conf::Site;
use crate::detached::Detached;
use crate::error::Error;
use crate::node::Node;
use crate::reaper::Watchdog;
use crate::wait::until;

/// Flushed when answered, although no standby may confirm; says the position behind the record.
const MARK: &str =
    "SET synchronous_commit = local; SELECT pg_logical_emit_message(true, 'testkit', '')";

/// Running servers that end, and vanish from disk, with this value.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    site: Arc<Site>,
    base_port: Option<u16>,
    watchdog: Option<Watchdog>,
}

impl Cluster {
    /// Begins the description of a cluster.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn empty(site: Arc<Site>, base_port: Option<u16>, watchdog: Watchdog) -> Self {
        Self { nodes: Vec::new(), site, base_port, watchdog: Some(watchdog) }
    }

    /// The node that was last promoted through testkit; `a` at first.
    ///
    /// It may be down: a test that killed it still wants to name it.
    ///
    /// # Panics
    ///
    /// Never: a started cluster has a primary.
    #[must_use]
    #[expect(clippy::expect_used, reason = "nodes are only ever added, the first one by start()")]
    pub fn primary(&self) -> &Node {
        let name = self.site.with_members(|members| members.primary.clone());
        let found = self.nodes.iter().find(|node| node.name() == name);
        found.expect("the primary is one of the nodes")
    }

    /// All nodes but the primary, running or not.
    #[must_use]
    pub fn replicas(&self) -> Vec<&Node> {
        let primary = self.primary().name();
        self.nodes.iter().filter(|node| node.name() != primary).collect()
    }

    /// All nodes in the order of their names.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The folder that holds everything; mode 0700.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.site.folder
    }

    /// The certificate to verify servers with, when [`Builder::tls`] was called.
    ///
    /// Only root and the servers' user may read it: pass on its content.
    #[must_use]
    pub fn ca(&self) -> Option<PathBuf> {
        self.site.tls.as_ref().map(|folder| folder.join("ca.pem"))
    }

    /// Adds a fresh standby of the primary; returns when it streams.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] of `pg_basebackup`, or [`Error::Timeout`].
    pub fn add_replica(&mut self) -> Result<&Node, Error> {
        let primary = self.primary().clone();
        let node = self.add_node()?.clone();
        node.clone_from(&primary)?;
        if self.site.synchronous.is_some() {
            for other in self.nodes.iter().filter(|other| other.name() != node.name()) {
                other.configure()?;
                if other.is_running() {
                    other.reload()?;
                }
            }
        }
        self.nodes.last().ok_or(Error::TooManyNodes)
    }

    /// Waits until `replica` has replayed all that the primary wrote before the call.
    ///
    /// Writes a record of its own: where the primary's flush position stands in the middle of another
    /// one, as it may for 15 seconds after a read was rolled back, nobody's replay ever reaches it.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] when it has not after `limit`.
    pub fn wait_caught_up(&self, replica: &Node, limit: Duration) -> Result<(), Error> {
        let lsn = self.primary().psql(MARK)?;
        let question = format!("SELECT pg_last_wal_replay_lsn() >= '{lsn}'");
        let seen = until(limit, || Ok((replica.psql(&question)? == "t").then_some(())))?;
        seen.ok_or_else(|| replica.timeout("replay of the primary's WAL"))
    }

    /// What another process needs to look after, or to end, this cluster.
    #[must_use]
    pub fn record(&self) -> Detached {
        Detached::of(&self.site, &self.nodes)
    }

    /// Leaves the servers running and tells how to find them again.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; the cluster is removed then.
    pub fn detach(mut self) -> Result<Detached, Error> {
        let detached = self.record();
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.release()?;
        }
        // Nobody waits for the servers any more: init will.
        for node in &self.nodes {
            drop(node.server().take());
        }
        Ok(detached)
    }

    /// Names and places one more node, without data.
    pub(crate) fn add_node(&mut self) -> Result<&Node, Error> {
        let taken = u8::try_from(self.nodes.len()).unwrap_or(u8::MAX);
        let letter = b'a'.saturating_add(taken);
        if letter > b'z' {
            return Err(Error::TooManyNodes);
        }
        let name = char::from(letter).to_string();
        let port = self.base_port.map(|base| base.saturating_add(u16::from(taken)));
        let node = Node::new(name.clone(), Arc::clone(&self.site), port)?;
        self.site.with_members(|members| {
            if members.names.is_empty() {
                members.primary.clone_from(&name);
            }
            members.names.push(name);
        });
        self.nodes.push(node);
        self.nodes.last().ok_or(Error::TooManyNodes)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // First the watchdog: the servers must be dead before they are waited for.
        drop(self.watchdog.take());
        for node in &self.nodes {
            drop(node.bury());
        }
    }
}
