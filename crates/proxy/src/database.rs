//! One database as one worker serves it: its cluster, its rules, its statements' classes.

use std::rc::Rc;
use std::sync::Arc;

use policy::{Preferences, Signal};
use sql::Catalog;

use crate::classes::Classes;
use crate::config::{DatabaseRules, PinRule, PoolMode};
use crate::schema::Schema;
use crate::view::ClusterView;
use crate::worker::Shared;

/// One database.
///
/// Control keeps its catalog as long as a worker has one of these.
#[derive(Debug)]
pub(crate) struct Database {
    /// The name that clients use.
    pub(crate) name: Arc<str>,
    /// The name on the servers.
    pub(crate) dbname: Rc<str>,
    pub(crate) cluster: Rc<ClusterView>,
    pub(crate) schema: Arc<Schema>,
    pub(crate) classes: Classes,
    pub(crate) reads: Rc<Preferences>,
    mode: PoolMode,
    pin: PinRule,
}

impl Drop for Database {
    fn drop(&mut self) {
        self.cluster.signal(Signal::Left(self.dbname.as_ref().into()));
    }
}

impl Database {
    pub(crate) fn new(
        name: &str,
        rules: &DatabaseRules,
        cluster: Rc<ClusterView>,
        shared: &Shared,
    ) -> Self {
        let dbname: Rc<str> = Rc::from(rules.dbname.as_deref().unwrap_or(name));
        cluster.signal(Signal::Database(dbname.as_ref().into()));
        Self {
            name: Arc::from(name),
            schema: shared.schemas.of(&cluster.name, &dbname),
            dbname,
            cluster,
            classes: Classes::new(shared.seed),
            reads: Rc::new(rules.reads.clone()),
            mode: rules.mode,
            pin: rules.pin,
        }
    }

    /// Whether the rules are still these, after a reload.
    pub(crate) fn still(&self, rules: &DatabaseRules, cluster: &Rc<ClusterView>) -> bool {
        let dbname = rules.dbname.as_deref().unwrap_or(&self.name);
        Rc::ptr_eq(&self.cluster, cluster)
            && (&*self.dbname, &*self.reads) == (dbname, &rules.reads)
            && (self.mode, self.pin) == (rules.mode, rules.pin)
    }

    /// Its catalog, once it is loaded.
    pub(crate) fn catalog(&self) -> Option<Arc<Catalog>> {
        self.cluster.catalogs.newest().get(&*self.dbname).map(Arc::clone)
    }

    /// When servers go back to the pool.
    pub(crate) fn mode(&self) -> PoolMode {
        self.mode
    }

    /// Whether a session may keep a server longer than its transaction.
    pub(crate) fn allows_pins(&self) -> bool {
        self.pin == PinRule::Allow || self.mode == PoolMode::Session
    }

    /// Whether servers go back to the pool between transactions.
    pub(crate) fn returns_servers(&self) -> bool {
        self.mode != PoolMode::Session
    }

    /// Whether a transaction may have more than one statement.
    pub(crate) fn allows_blocks(&self) -> bool {
        self.mode != PoolMode::Statement
    }
}
