//! What the group of extended messages under way did so far, before the server has answered.

use std::collections::HashSet;
use std::rc::Rc;

use policy::prepared::{Statement, StatementId};

/// A client's name and what it stands for now; `None` once it was closed.
type Renamed = (Box<[u8]>, Option<Rc<Statement>>);

/// Names given and taken within the group that is under way, before the server has answered.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) names: Vec<Renamed>,
    /// Statements whose Parse is on its way to the server.
    pub(crate) parsing: HashSet<StatementId>,
    /// Messages of the client's so far.
    pub(crate) messages: u32,
    pub(crate) unnamed: Unnamed,
    /// A `DEALLOCATE` that is to be run names this statement of the client's.
    pub(crate) deallocating: Option<Box<[u8]>>,
    /// Every `DEALLOCATE` of a name so far named one of the client's.
    pub(crate) deallocates: Deallocates,
    /// The group was left open by an earlier part of it.
    pub(crate) open: bool,
}

/// Whose statements a group deallocates by SQL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Deallocates {
    /// The server's, if any: it may be one of Weir's.
    #[default]
    Servers,
    /// The client's own: the server deallocates another in their place.
    Clients,
}

/// What the group does to the client's unnamed statement.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Unnamed {
    /// Nothing.
    #[default]
    Kept,
    /// Its first message replaces it, and none after that.
    ReplacedFirst,
    /// A later message replaces it.
    ReplacedLater,
}

impl Group {
    /// Whether the client's unnamed statement is gone, or which one it is unknown, once the group
    /// failed; `answered` says whether anything was answered before the error.
    #[expect(clippy::fn_params_excessive_bools, reason = "a fact of the reply, not a mode")]
    pub(crate) fn loses_unnamed(&self, answered: bool) -> bool {
        match self.unnamed {
            Unnamed::Kept => false,
            // A Parse that fails has dropped the one before it already.
            Unnamed::ReplacedFirst => !answered,
            Unnamed::ReplacedLater => true,
        }
    }

    /// Forgets all: the group has ended.
    pub(crate) fn clear(&mut self) {
        self.names.clear();
        self.parsing.clear();
        self.messages = 0;
        self.unnamed = Unnamed::Kept;
        self.deallocating = None;
        self.deallocates = Deallocates::Servers;
        self.open = false;
    }
}
