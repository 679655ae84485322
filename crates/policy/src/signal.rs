//! What the data path tells control, as plain values.

use crate::topology::NodeId;

/// Something that the data path noticed before the next probe could.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// A connection to this node could not be made or was lost: probe it now.
    Lost(NodeId),
    /// A server of this node said `in_hot_standby=off`: probe it now.
    Promoted(NodeId),
    /// This database is used: its catalog is wanted from now on.
    Database(Box<str>),
    /// Who said so uses it no more; said once for each time.
    Left(Box<str>),
    /// A statement that changes the schema ended in this database: load its catalog anew.
    SchemaChanged(Box<str>),
}
