//! PostgreSQL itself: what it costs to have no proxy.

use super::{Name, Peer, Stage};
use crate::machine;
use crate::weir::USER;

impl Stage<'_> {
    pub(super) fn direct(self) -> Peer {
        let version = machine::version(&self.pgbench.program).unwrap_or_default();
        Peer {
            name: Name::Direct,
            version: version.replace("pgbench (PostgreSQL)", "PostgreSQL"),
            port: self.cluster.primary().port(),
            service: None,
            prepared_database: USER,
            caveat: "",
        }
    }
}
