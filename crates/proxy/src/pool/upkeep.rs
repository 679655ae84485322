//! What happens to a pool's servers while nobody uses them: closed when they are too many, too old
//! or needed elsewhere, and opened when they are fewer than `min_pool_size`.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Pool;
use crate::server::Address;
use crate::worker::{Worker, now};

/// How long no server is opened before it is asked for, after one could not be (`PgBouncer`'s
/// `server_login_retry`).
const COLD: Duration = Duration::from_secs(15);

impl Pool {
    /// Closes idle servers that are too old, of a role that is gone, more than the limits allow,
    /// which a reload may have lowered, or unused for too long. Of the latter `least` may stay.
    pub(crate) fn sweep(
        &self,
        worker: &Worker,
        (address, least): (Option<&Rc<Address>>, u32),
        now: Instant,
    ) {
        let (idle_timeout, lifetime) = {
            let live = worker.live();
            (live.pool.server_idle_timeout, live.pool.server_lifetime)
        };
        let expired = |since: Instant, limit: Duration| {
            !limit.is_zero() && now.saturating_duration_since(since) >= limit
        };
        let mut idle = self.idle.borrow_mut();
        idle.retain(|owned| {
            let server = &owned.server;
            address.is_some_and(|address| server.address.still_good_for(address))
                && !expired(server.opened, lifetime)
        });
        let mut spare = self.permits.used().saturating_sub(least);
        idle.retain(|owned| {
            if spare == 0 || !expired(owned.server.idle_since, idle_timeout) {
                return true;
            }
            spare = spare.saturating_sub(1);
            false
        });
        let sizes = self.sizes(worker);
        if self.rests(now) && self.permits.fair_share(self.line.starves_at(), &sizes).is_some() {
            idle.clear();
        }
        let surplus = self.permits.surplus(&sizes);
        let surplus = usize::try_from(surplus).unwrap_or(usize::MAX).min(idle.len());
        idle.drain(..surplus);
    }

    /// Opens servers, without waiting for them, until there are `least`.
    pub(crate) fn warm(self: &Rc<Self>, worker: &Rc<Worker>, address: &Rc<Address>, least: u32) {
        if self.permits.used() >= least || self.cold_until.get().is_some_and(|until| now() < until)
        {
            return;
        }
        let mut sizes = self.sizes(worker);
        sizes.pool = least;
        while let Ok(permit) = self.permits.try_take(&sizes) {
            let (pool, worker, address) = (Rc::clone(self), Rc::clone(worker), Rc::clone(address));
            tokio::task::spawn_local(async move {
                match pool.connect(&worker, &address, permit).await {
                    Ok(owned) => pool.take_back(&worker, owned),
                    Err(error) => {
                        tracing::info!(node = %address.name, %error, "min_pool_size: no connection");
                        pool.cold_until.set(now().checked_add(COLD));
                        pool.try_next();
                    }
                }
            });
        }
    }

    /// When the longest unused server was used last, if another pool starves that may have it: this one has
    /// more than its share.
    pub(crate) fn spare_since(&self, worker: &Worker) -> Option<Instant> {
        let share = self.share(&self.sizes(worker), now())?;
        let beyond = self.servers() > share;
        self.idle.borrow().first().filter(|_| beyond).map(|owned| owned.server.idle_since)
    }

    /// Closes the longest unused server, for another pool or worker that starves.
    pub(crate) fn yield_one(&self) {
        let oldest = {
            let mut idle = self.idle.borrow_mut();
            if idle.is_empty() { None } else { Some(idle.remove(0)) }
        };
        drop(oldest);
    }
}
