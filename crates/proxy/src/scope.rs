//! Who shares a fence: the newest ticket of each scope, seen by all workers.
//!
//! Looked up once at login; from then on taking and reading a ticket is one atomic operation.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use policy::{Scope, Sweep, Ticket, Tickets, Wal};

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

#[derive(Debug)]
struct Known {
    fences: HashMap<Named, Weak<ScopeFence>>,
    sweep: Sweep,
}

/// All scopes in use.
#[derive(Debug)]
pub(crate) struct Scopes {
    known: Mutex<Known>,
}

/// Scopes kept before those that nobody is in any more are forgotten.
const LEAST: usize = 4096;

impl Default for Scopes {
    fn default() -> Self {
        Self { known: Mutex::new(Known { fences: HashMap::new(), sweep: Sweep::from(LEAST) }) }
    }
}

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
        let Known { fences, sweep } = &mut *known;
        if sweep.is_due(fences.len()) {
            fences.retain(|_, fence| fence.strong_count() > 0);
            sweep.swept(fences.len());
        }
        let slot = fences.entry((Arc::clone(cluster), key)).or_default();
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

    #[test]
    fn scopes_that_nobody_is_in_are_forgotten_and_those_in_use_are_looked_through_seldom() {
        let (scopes, cluster) = (Scopes::default(), Arc::from("main"));
        let (user, database): (Arc<str>, Arc<str>) = (Arc::from("u"), Arc::from("d"));
        let of = |number: usize| {
            let address = IpAddr::from(u32::try_from(number).unwrap().to_be_bytes());
            scopes.of(Scope::Client, &cluster, (address, &user, &database))
        };
        let sweep = || scopes.known.lock().unwrap().sweep;
        let (mut held, mut sweeps, mut before) = (Vec::new(), 0, sweep());
        for number in 0..16 * LEAST {
            held.push(of(number));
            sweeps += usize::from(std::mem::replace(&mut before, sweep()) != sweep());
        }
        assert_eq!(sweeps, 4, "once for each doubling");
        held[0].took(Wal::Flushed, Ticket(7));
        held.truncate(1);
        for number in 16 * LEAST..64 * LEAST {
            drop(of(number));
        }
        assert!(scopes.known.lock().unwrap().fences.len() <= LEAST);
        assert_eq!(of(0).newest().newest(), Ticket(7));
    }
}
