//! One worker's pools of one (user, database): one per node, made when first needed.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use policy::decide::Load;
use policy::reports::Reports;
use policy::settings::Settings;
use policy::{Epoch, Gate, Health, NodeId, NodeView, Role, Topology};

use crate::config::PoolMode;
use crate::inquiry::PoolView;
use crate::permits::{Count, PoolKey, Registry};
use crate::pool::Pool;
use crate::server::{Address, Identity};
use crate::view::ClusterView;
use crate::worker::{Worker, now};

/// The pools that a session of this user and database may use.
#[derive(Debug)]
pub(crate) struct Pools {
    pub(crate) identity: Identity,
    pub(crate) cluster: Rc<ClusterView>,
    pub(crate) user: Arc<str>,
    /// By the name that clients use.
    pub(crate) database: Arc<str>,
    by_node: RefCell<Vec<(NodeId, Rc<Pool>)>>,
    /// When `currval` or `lastval` was last asked for outside of the transaction that drew the value.
    asked_for_value: Cell<Option<Instant>>,
    addresses: RefCell<Vec<Rc<Address>>>,
    greetings: RefCell<Vec<(Weak<Settings>, Rc<Reports>)>>,
}

/// How long sessions keep servers that drew values after one of them was asked for.
const KEEPS_VALUES: Duration = Duration::from_secs(600);

/// Greetings kept before they are asked for anew.
const GREETINGS: usize = 256;

impl Pools {
    /// `database` is the name that clients use; `identity.database` the one on the servers.
    pub(crate) fn new(
        identity: Identity,
        cluster: Rc<ClusterView>,
        (user, database): (Arc<str>, Arc<str>),
    ) -> Self {
        Self {
            identity,
            cluster,
            user,
            database,
            by_node: RefCell::default(),
            asked_for_value: Cell::new(None),
            addresses: RefCell::default(),
            greetings: RefCell::default(),
        }
    }

    /// Whether these are still the pools for such a session, after a reload.
    pub(crate) fn still(&self, identity: &Identity, cluster: &Rc<ClusterView>) -> bool {
        self.identity == *identity && Rc::ptr_eq(&self.cluster, cluster)
    }

    /// What servers report to a session of these settings, if one was asked before.
    pub(crate) fn greeting(&self, settings: &Rc<Settings>) -> Option<Rc<Reports>> {
        let greetings = self.greetings.borrow();
        let known = greetings.iter().find(|(known, _)| known.as_ptr() == Rc::as_ptr(settings));
        known.map(|(_, reports)| Rc::clone(reports))
    }

    /// Remembers what servers report to a session of these settings.
    pub(crate) fn greets(&self, settings: &Rc<Settings>, reports: &Rc<Reports>) {
        let mut greetings = self.greetings.borrow_mut();
        greetings.retain(|(known, _)| {
            known.strong_count() > 0 && known.as_ptr() != Rc::as_ptr(settings)
        });
        if greetings.len() >= GREETINGS {
            greetings.clear();
        }
        greetings.push((Rc::downgrade(settings), Rc::clone(reports)));
    }

    /// Takes note that an app asks for sequence values outside of the transaction that drew them.
    pub(crate) fn asked_for_value(&self, now: Instant) {
        self.asked_for_value.set(Some(now));
    }

    /// Whether sessions must keep a server that may have drawn a value for them.
    pub(crate) fn keeps_values(&self, now: Instant) -> bool {
        let asked = self.asked_for_value.get();
        asked.is_some_and(|asked| now.saturating_duration_since(asked) < KEEPS_VALUES)
    }

    /// Where a node is and what it is now; made anew only when that changes.
    pub(crate) fn address(&self, node: &NodeView, epoch: Epoch) -> Rc<Address> {
        let mut addresses = self.addresses.borrow_mut();
        if let Some(known) = addresses.iter().find(|known| known.node == node.id)
            && known.is_of(node, epoch)
        {
            return Rc::clone(known);
        }
        addresses.retain(|known| known.node != node.id);
        let address = Rc::new(Address::of(node, epoch));
        addresses.push(Rc::clone(&address));
        address
    }

    /// The pool of a node.
    pub(crate) fn of(&self, node: NodeId, registry: &Registry) -> Rc<Pool> {
        let mut by_node = self.by_node.borrow_mut();
        if let Some((_, pool)) = by_node.iter().find(|(known, _)| *known == node) {
            return Rc::clone(pool);
        }
        let permits = registry.of(PoolKey {
            cluster: Arc::clone(&self.cluster.name),
            node,
            user: Arc::clone(&self.user),
            database: Arc::clone(&self.database),
        });
        let pool = Rc::new(Pool::new(self.identity.clone(), permits));
        by_node.push((node, Rc::clone(&pool)));
        pool
    }

    /// A node's name, as long as it is a member.
    pub(crate) fn name_of(&self, node: NodeId) -> Option<Box<str>> {
        self.cluster.topology.newest().node(node).map(|node| node.name.clone())
    }

    /// What each node's pool is doing.
    pub(crate) fn views(&self, worker: &Worker) -> Vec<PoolView> {
        let view = |(node, pool): &(NodeId, Rc<Pool>)| {
            let counts = pool.counts(worker);
            PoolView {
                cluster: Arc::clone(&self.cluster.name),
                database: Arc::clone(&self.database),
                user: Arc::clone(&self.user),
                node: self.name_of(*node).unwrap_or_else(|| format!("removed-{}", node.0).into()),
                active: pool.busy(),
                idle: counts.idle,
                opening: counts.opening,
                waiting: counts.waiting,
                longest_wait: counts.longest_wait,
                limit: counts.sizes.pool,
                reserve: counts.sizes.reserve,
            }
        };
        self.by_node.borrow().iter().map(view).collect()
    }

    /// Whether there is no server left, and nobody who waits for one.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_node.borrow().iter().all(|(_, pool)| pool.is_empty())
    }

    /// Closes servers that are too old, too long unused, drained, or of a role that is gone.
    ///
    /// With sessions in them, pools are brought to `min_pool_size`.
    pub(crate) fn sweep(self: &Rc<Self>, worker: &Rc<Worker>) {
        let topology = self.cluster.topology.newest();
        let now = now();
        // The worker's map holds one, sessions hold the others.
        let in_use = Rc::strong_count(self) > 1;
        let least = if in_use { worker.live().sizes(&self.user, &self.database).least } else { 0 };
        for (node, pool) in &*self.by_node.borrow() {
            let view = topology.node(*node).filter(|node| node.gate == Gate::Open);
            let address = view.map(|node| self.address(node, topology.epoch));
            pool.sweep(worker, (address.as_ref(), least), now);
        }
        if least > 0 {
            self.warm(worker, &topology, least);
        }
        let kept =
            |(node, pool): &(NodeId, Rc<Pool>)| topology.node(*node).is_some() || !pool.is_empty();
        self.by_node.borrow_mut().retain(kept);
    }
}

impl Pools {
    /// Opens servers on every node that a session may be sent to, until each has `least`.
    fn warm(&self, worker: &Rc<Worker>, topology: &Topology, least: u32) {
        let mode = worker.live().database(&self.database).map(|rules| rules.mode);
        let may_serve = |node: &&NodeView| match node.role {
            Role::Primary => true,
            Role::Replica => mode != Some(PoolMode::Session),
            Role::Unknown => false,
        };
        let open = |node: &&NodeView| node.gate == Gate::Open && node.health == Health::Up;
        for node in topology.nodes.iter().filter(open).filter(may_serve) {
            let address = self.address(node, topology.epoch);
            self.of(node.id, &worker.shared.registry).warm(worker, &address, least);
        }
    }

    /// The pools whose servers count there.
    pub(crate) fn counted(&self, count: &Count) -> Vec<Rc<Pool>> {
        let by_node = self.by_node.borrow();
        let pools = by_node.iter().map(|(_, pool)| pool);
        pools.filter(|pool| count.covers(pool.key())).map(Rc::clone).collect()
    }
}

impl Load for Pools {
    fn busy(&self, node: NodeId) -> u32 {
        self.by_node
            .borrow()
            .iter()
            .find(|(known, _)| *known == node)
            .map_or(0, |(_, pool)| pool.busy())
    }
}
