//! One database as one worker serves it: its cluster, its rules, its statements' classes.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use policy::{Preferences, Signal};
use sql::Catalog;

use crate::classes::Classes;
use crate::config::{DatabaseRules, PinRule, PoolMode};
use crate::schema::Schema;
use crate::view::{Catalogs, ClusterView, Snapshot};
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
    /// The newest catalogs that were looked at, and its own among them.
    catalog: RefCell<(Snapshot<Catalogs>, Option<Snapshot<Catalog>>)>,
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
            catalog: RefCell::default(),
        }
    }

    /// Whether the rules are still these, after a reload.
    pub(crate) fn still(&self, rules: &DatabaseRules, cluster: &Rc<ClusterView>) -> bool {
        let dbname = rules.dbname.as_deref().unwrap_or(&self.name);
        Rc::ptr_eq(&self.cluster, cluster)
            && (&*self.dbname, &*self.reads) == (dbname, &rules.reads)
            && (self.mode, self.pin) == (rules.mode, rules.pin)
    }

    /// Its catalog, once it is loaded; looked up anew only when some catalog changed.
    pub(crate) fn catalog(&self) -> Option<Snapshot<Catalog>> {
        let newest = self.cluster.catalogs.newest();
        let mut known = self.catalog.borrow_mut();
        if !Rc::ptr_eq(&known.0, &newest) {
            let own = newest.get(&*self.dbname).map(|catalog| Rc::new(Arc::clone(catalog)));
            *known = (newest, own);
        }
        known.1.clone()
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
