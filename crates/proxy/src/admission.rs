//! One client's place among all, among its user's and its database's, and the key by which it may
//! be cancelled.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Cause, Reached};
use crate::handshake::Refused;
use crate::peer::{LONG, Peer};
use crate::places::{Place, Whose};
use crate::worker::Worker;

/// A client's place; given back at drop.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) peer: Rc<Peer>,
    clients: Arc<AtomicU32>,
    places: Option<[Place; 2]>,
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
            return Err(Cause::from(Reached::Clients { of: None, limit }).into());
        }
        let mut random = [0_u8; LONG];
        let filled = getrandom::fill(&mut random);
        let peer = Rc::new(Peer::new(worker.next_pid(), random));
        let admission = Self { peer, clients, places: None };
        filled.map_err(|_| Refused::Silently)?;
        Ok(admission)
    }

    /// Takes a place among the user's clients and among the database's.
    ///
    /// Only for clients that have proved who they are: others must not use up somebody's places.
    pub(crate) fn take_places(
        &mut self,
        worker: &Worker,
        user: &str,
        database: &str,
    ) -> Result<(), Refused> {
        let live = worker.live();
        let all = &live.pool;
        let of_database =
            live.database(database).and_then(|it| it.limits.max_db_client_connections);
        let of_user =
            live.auth.users.get(user).and_then(|it| it.limits.max_user_client_connections);
        let take = |whose, name: &str, limit| {
            let taken = worker.shared.places.take(whose, name, crate::config::limit(limit));
            let of = Some((whose, name.to_owned()));
            taken.ok_or(Refused::Told(Reached::Clients { of, limit }.into()))
        };
        self.places = Some([
            take(Whose::Database, database, of_database.unwrap_or(all.max_db_client_connections))?,
            take(Whose::User, user, of_user.unwrap_or(all.max_user_client_connections))?,
        ]);
        Ok(())
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.clients.fetch_sub(1, Ordering::AcqRel);
    }
}
