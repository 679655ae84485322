//! Who shares a fence: the newest ticket of each scope, seen by all workers.
//!
//! Looked up once at login; from then on taking and reading a ticket is one atomic operation.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use policy::{Scope, Ticket, Tickets, Wal};

/// The newest tickets that anybody of a scope took.
#[derive(Debug, Default)]
pub(crate) struct ScopeFence {
    flushed: AtomicU64,
    inserted: AtomicU64,
}

impl ScopeFence {
    /// The newest tickets.
    pub(crate) fn newest(&self) -> Tickets {
        let newest = |of: &AtomicU64| Ticket(of.load(Ordering::Acquire));
        Tickets { flushed: newest(&self.flushed), inserted: newest(&self.inserted) }
    }

    /// Takes note of a ticket.
    pub(crate) fn took(&self, wal: Wal, ticket: Ticket) {
        let newest = match wal {
            Wal::Flushed => &self.flushed,
            Wal::Inserted => &self.inserted,
        };
        newest.fetch_max(ticket.0, Ordering::AcqRel);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Client { address: IpAddr, user: Arc<str>, database: Arc<str> },
    Database(Arc<str>),
}

/// A cluster's name and a scope in it.
type Named = (Arc<str>, Key);

/// All scopes in use.
#[derive(Debug, Default)]
pub(crate) struct Scopes {
    known: Mutex<HashMap<Named, Weak<ScopeFence>>>,
}

/// Scopes kept before those that nobody is in any more are forgotten.
const SWEEP_AT: usize = 4096;

impl Scopes {
    /// The fence that a session shares with its scope.
    pub(crate) fn of(
        &self,
        scope: Scope,
        cluster: &Arc<str>,
        who: (IpAddr, &Arc<str>, &Arc<str>),
    ) -> Arc<ScopeFence> {
        let (address, user, database) = who;
        let key = match scope {
            Scope::Connection => return Arc::default(),
            Scope::Client => {
                Key::Client { address, user: Arc::clone(user), database: Arc::clone(database) }
            }
            Scope::Database => Key::Database(Arc::clone(database)),
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= SWEEP_AT {
            known.retain(|_, fence| fence.strong_count() > 0);
        }
        let slot = known.entry((Arc::clone(cluster), key)).or_default();
        slot.upgrade().unwrap_or_else(|| {
            let fence = Arc::default();
            *slot = Arc::downgrade(&fence);
            fence
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_address_user_and_database_share_a_fence() {
        let (scopes, cluster) = (Scopes::default(), Arc::from("main"));
        let (user, database): (Arc<str>, Arc<str>) = (Arc::from("u"), Arc::from("d"));
        let here = IpAddr::from([127, 0, 0, 1]);
        let first = scopes.of(Scope::Client, &cluster, (here, &user, &database));
        first.took(Wal::Inserted, Ticket(7));
        assert_eq!(
            scopes.of(Scope::Client, &cluster, (here, &user, &database)).newest().newest(),
            Ticket(7)
        );
        let there = IpAddr::from([127, 0, 0, 2]);
        assert_eq!(
            scopes.of(Scope::Client, &cluster, (there, &user, &database)).newest().newest(),
            Ticket(0)
        );
        assert_eq!(
            scopes.of(Scope::Connection, &cluster, (here, &user, &database)).newest().newest(),
            Ticket(0)
        );
    }
}
