//! One client's place among `max_client_conn`, and the key by which it may be cancelled.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use wire::CancelKey;

use crate::error::Cause;
use crate::handshake::Refused;
use crate::peer::Peer;
use crate::worker::Worker;

/// Length of the secret in a key of protocol 3.0.
const SHORT: usize = 4;
/// Length of the secret in a key of protocol 3.2, as PostgreSQL 18 makes it.
const LONG: usize = 32;

/// A client's place; given back at drop.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) key: CancelKey,
    pub(crate) peer: Rc<Peer>,
    clients: Arc<AtomicU32>,
}

impl Admission {
    /// Takes a place and makes a key that nobody can guess and that tells the worker.
    pub(crate) fn new(worker: &Worker) -> Result<Self, Refused> {
        let limit = worker.live().pool.max_client_conn;
        let clients = Arc::clone(&worker.shared.clients);
        let taken = clients.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
            (count < limit).then(|| count.saturating_add(1))
        });
        if taken.is_err() {
            return Err(Cause::TooManyClients { limit }.into());
        }
        let mut random = [0_u8; LONG];
        let filled = getrandom::fill(&mut random);
        let admission = Self {
            key: CancelKey { pid: worker.next_pid(), secret: random.to_vec() },
            peer: Rc::default(),
            clients,
        };
        filled.map_err(|_| Refused::Silently)?;
        Ok(admission)
    }

    /// The key as a client of this minor protocol version may be told it.
    ///
    /// A short key is the beginning of the long one, so the registry needs to hold only the latter.
    pub(crate) fn key_for(&self, minor: u16) -> CancelKey {
        let length = if minor >= 2 { LONG } else { SHORT };
        CancelKey {
            pid: self.key.pid,
            secret: self.key.secret.iter().take(length).copied().collect(),
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.clients.fetch_sub(1, Ordering::AcqRel);
    }
}
