//! How many servers may there be? The limits that workers share.
//!
//! Workers share no server, only counts: whoever opens one takes a permit, whoever closes one
//! gives it back. A worker that finds none marks itself hungry and is sent a mail when one is
//! free; the others close idle servers for it. All of this is off the cycle's path.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use policy::NodeId;
use tokio::sync::mpsc;

/// A pool's name: whose servers, of which database, on which node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PoolKey {
    pub(crate) cluster: Arc<str>,
    pub(crate) node: NodeId,
    pub(crate) user: Arc<str>,
    pub(crate) database: Arc<str>,
}

/// What one worker tells another.
#[derive(Debug)]
pub(crate) enum Mail {
    /// A permit of this pool is free: let your first waiter try.
    Free(Arc<PoolKey>),
    /// Another worker starves: close an idle server of this pool.
    Yield(Arc<PoolKey>),
    /// A client wants to cancel what its session, which is yours, is doing.
    Cancel(wire::CancelKey),
    /// A client that logs in to a database that lives with you.
    Login(Box<crate::handshake::Moved>),
}

/// One pool's count of servers over all workers.
#[derive(Debug)]
pub(crate) struct Permits {
    pub(crate) key: Arc<PoolKey>,
    used: AtomicU32,
    /// One bit per worker that waits for a permit.
    hungry: AtomicU64,
    mailboxes: Arc<[mpsc::UnboundedSender<Mail>]>,
}

impl Permits {
    /// Takes one of `limit` permits.
    pub(crate) fn try_take(self: &Arc<Self>, limit: u32) -> Option<Permit> {
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
                (used < limit).then(|| used.saturating_add(1))
            })
            .ok()
            .map(|_| Permit { permits: Arc::clone(self) })
    }

    /// How many servers there are over all workers.
    pub(crate) fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether another worker waits for a permit.
    pub(crate) fn others_hungry(&self, worker: usize) -> bool {
        self.hungry.load(Ordering::Relaxed) & !bit(worker) != 0
    }

    /// Marks `worker` as waiting, and asks the others to close an idle server.
    pub(crate) fn starve(&self, worker: usize) {
        if self.hungry.fetch_or(bit(worker), Ordering::AcqRel) & bit(worker) != 0 {
            return;
        }
        for (index, mailbox) in self.mailboxes.iter().enumerate() {
            if index != worker {
                // A worker that is gone has no servers left either.
                drop(mailbox.send(Mail::Yield(Arc::clone(&self.key))));
            }
        }
    }

    /// Takes note that `worker` no longer waits.
    pub(crate) fn fed(&self, worker: usize) {
        self.hungry.fetch_and(!bit(worker), Ordering::AcqRel);
    }

    fn put(&self) {
        self.used.fetch_sub(1, Ordering::AcqRel);
        let hungry = self.hungry.load(Ordering::Acquire);
        for (index, mailbox) in self.mailboxes.iter().enumerate() {
            if hungry & bit(index) != 0 {
                drop(mailbox.send(Mail::Free(Arc::clone(&self.key))));
            }
        }
    }
}

fn bit(worker: usize) -> u64 {
    u32::try_from(worker).ok().and_then(|shift| 1_u64.checked_shl(shift)).unwrap_or(1 << 63)
}

/// The right to one server; given back at drop.
#[derive(Debug)]
pub(crate) struct Permit {
    permits: Arc<Permits>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.permits.put();
    }
}

/// Pools kept before those that no worker has any more are forgotten.
const SWEEP_AT: usize = 4096;

/// All pools' permits; locked only when a worker meets a pool for the first time.
#[derive(Debug)]
pub(crate) struct Registry {
    permits: Mutex<HashMap<Arc<PoolKey>, Arc<Permits>>>,
    mailboxes: Arc<[mpsc::UnboundedSender<Mail>]>,
}

impl Registry {
    pub(crate) fn new(mailboxes: Arc<[mpsc::UnboundedSender<Mail>]>) -> Self {
        Self { permits: Mutex::default(), mailboxes }
    }

    /// The permits of a pool.
    pub(crate) fn of(&self, key: PoolKey) -> Arc<Permits> {
        let mut all = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(permits) = all.get(&key) {
            return Arc::clone(permits);
        }
        if all.len() >= SWEEP_AT {
            all.retain(|_, permits| Arc::strong_count(permits) > 1);
        }
        let key = Arc::new(key);
        let permits = Arc::new(Permits {
            key: Arc::clone(&key),
            used: AtomicU32::new(0),
            hungry: AtomicU64::new(0),
            mailboxes: Arc::clone(&self.mailboxes),
        });
        all.insert(key, Arc::clone(&permits));
        permits
    }

    /// Sends a mail to one worker; one that is gone needs none.
    pub(crate) fn mail(&self, worker: usize, mail: Mail) {
        if let Some(mailbox) = self.mailboxes.get(worker) {
            drop(mailbox.send(mail));
        }
    }
}
