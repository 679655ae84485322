//! What a worker answers to the admin API: its sessions and pools as they are now.

use std::rc::Rc;

use crate::database::Database;
use crate::inquiry::{Filter, Inquiry, PoolView, Sessions, StatementView};
use crate::peer::Peer;
use crate::shown::{Second, Shown};
use crate::worker::{Worker, now};

impl Worker {
    /// Answers one question; whoever asked may be gone.
    pub(super) fn answer(&self, inquiry: Inquiry) {
        match inquiry {
            Inquiry::Sessions(filter, reply) => drop(reply.send(self.matching(&filter))),
            Inquiry::Pools(reply) => drop(reply.send(self.pool_views())),
            Inquiry::Statements(reply) => drop(reply.send(self.statement_views())),
            Inquiry::End(id, reply) => drop(reply.send(self.end(id))),
        }
    }

    /// The second that it is, as far as it was counted.
    pub(crate) fn second(&self) -> Second {
        self.second.get()
    }

    pub(super) fn count_seconds(&self) {
        let seconds = now().saturating_duration_since(self.started).as_secs();
        self.second.set(Second(u32::try_from(seconds).unwrap_or(u32::MAX)));
    }

    /// Makes views of no more sessions than are shown: with many clients that is what costs.
    fn matching(&self, filter: &Filter) -> Sessions {
        self.count_seconds();
        let peers = self.peers.borrow();
        let known = peers.all().filter_map(|peer| Some((peer.pid(), peer.shown()?)));
        let mut meant: Vec<(i32, &Shown)> =
            known.filter(|(_, shown)| shown.is_meant(filter)).collect();
        let matched = meant.len();
        let order = |(_, shown): &(i32, &Shown)| (shown.since(), shown.number());
        if matched > filter.limit {
            // Not all of ten thousand have to be in order for the first hundred to be.
            meant.select_nth_unstable_by_key(filter.limit, order);
            meant.truncate(filter.limit);
        }
        meant.sort_unstable_by_key(order);
        let now = self.second();
        Sessions {
            matched,
            shown: meant.iter().map(|(pid, shown)| shown.view(*pid, now)).collect(),
        }
    }

    fn pool_views(&self) -> Vec<PoolView> {
        self.pools.borrow().values().flat_map(|pools| pools.views(self)).collect()
    }

    fn statement_views(&self) -> Vec<StatementView> {
        self.count_seconds();
        let databases = self.databases.borrow();
        let views = |database: &Rc<Database>| {
            database.classes.views((&database.cluster.name, &database.name), self.second())
        };
        databases.values().flat_map(views).collect()
    }

    fn end(&self, id: u64) -> bool {
        let peers = self.peers.borrow();
        let of = |peer: &Peer| peer.shown().is_some_and(|shown| shown.number().0 == id);
        let found = peers.all().find(|peer| of(peer));
        if let Some(peer) = found {
            peer.end();
        }
        found.is_some()
    }
}
