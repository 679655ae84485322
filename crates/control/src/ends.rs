//! The channel ends through which the data path, the admin API and control meet.
//!
//! The binary makes the channels and hands one side to each, so that neither crate knows the other.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use policy::cluster::{MembershipError, NodePatch, NodeSpec};
use policy::{Answers, Signal, Ticket, Topology};
use tokio::sync::{mpsc, oneshot, watch};

/// Catalogs by database name; one that is missing is not loaded yet.
pub type Catalogs = HashMap<Box<str>, Arc<sql::Catalog>>;

/// How nodes are set up, by name, as they last said; members that never answered are missing.
pub type Setups = BTreeMap<Box<str>, Setup>;

/// How a node is set up, as far as promises depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "facts that have nothing to do with each other")]
pub struct Setup {
    /// `synchronous_standby_names` is not empty.
    pub synchronous_standbys: bool,
    /// `synchronous_commit` is `off` for the monitor, which has no setting of its own.
    pub asynchronous_commit: bool,
    /// It is a standby whose timeline the monitor may not read.
    pub timeline_hidden: bool,
}

/// Control's side of one cluster's channels.
#[derive(Debug)]
pub struct Ends {
    /// Every snapshot, after each probe.
    pub topology: watch::Sender<Arc<Topology>>,
    /// The number of the newest ticket that the data path took.
    pub tickets: watch::Receiver<Ticket>,
    /// What the primary answered to them.
    pub answers: watch::Sender<Arc<Answers>>,
    /// The catalogs of all databases that clients logged in to.
    pub catalogs: watch::Sender<Arc<Catalogs>>,
    /// How nodes are set up; sent when it changes.
    pub setups: watch::Sender<Arc<Setups>>,
    /// What the data path noticed.
    pub signals: mpsc::UnboundedReceiver<Signal>,
    /// What operators want.
    pub commands: mpsc::Receiver<Command>,
}

/// How a command ended.
pub type Reply = oneshot::Sender<Result<(), MembershipError>>;

/// A change of membership, from the admin API.
///
/// A snapshot that shows the change is published before the reply is sent.
#[derive(Debug)]
pub enum Command {
    /// Start to probe a new node; it takes reads once it was measured.
    Add {
        /// The node.
        spec: NodeSpec,
        /// The outcome.
        reply: Reply,
    },
    /// Reweigh, drain or resume a node.
    Patch {
        /// Which node.
        name: Box<str>,
        /// What changes.
        patch: NodePatch,
        /// The outcome.
        reply: Reply,
    },
    /// Forget a node.
    Remove {
        /// Which node.
        name: Box<str>,
        /// The outcome.
        reply: Reply,
    },
}
