//! What became different, for the log.

use crate::lsn::Timeline;
use crate::topology::{Epoch, NodeId};

/// A change that an operator wants to read of; routing takes it from the topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A node was found to be primary: the first one, or another one than before.
    PrimaryElected {
        /// The primary.
        node: NodeId,
        /// Its timeline.
        timeline: Timeline,
        /// The epoch that begins.
        epoch: Epoch,
    },
    /// The primary answers again after it had been restarted, perhaps by a crash.
    PrimaryRestarted {
        /// The primary.
        node: NodeId,
        /// The epoch that begins.
        epoch: Epoch,
    },
    /// The primary answers again, or is undisputed again; it was never away by its own account.
    PrimaryBack {
        /// The primary.
        node: NodeId,
        /// The epoch that goes on.
        epoch: Epoch,
    },
    /// The primary doesn't answer any more, or doesn't take writes: writes wait.
    PrimaryLost {
        /// The last primary.
        node: NodeId,
    },
    /// Two nodes take writes and neither provably succeeds the other: no writes anywhere.
    SplitBrain,
    /// A node answers that didn't.
    NodeUp {
        /// The node.
        node: NodeId,
    },
    /// A node doesn't answer any more.
    NodeDown {
        /// The node.
        node: NodeId,
    },
    /// A node belongs to another cluster: its address or its data folder is wrong.
    WrongSystem {
        /// The node.
        node: NodeId,
        /// Its system identifier.
        found: u64,
        /// This cluster's.
        expected: u64,
    },
    /// A node takes writes on a timeline that was succeeded; it must be rewound and rejoin.
    Superseded {
        /// The node.
        node: NodeId,
        /// The timeline that it is still on.
        timeline: Timeline,
    },
}
