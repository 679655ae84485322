//! May a read that no replica can serve have a server of the primary (`max_primary_read_share`)?
//!
//! Which reads that is about, and how many there may be, is policy's to say; here is the place that
//! each holds, counted over all workers, and the wait for one.

use std::time::{Duration, Instant};

use policy::decide::Attempt;
use policy::{Decision, NodeId, Share};

use crate::error::{Cause, Reached};
use crate::inquiry::State;
use crate::permits::FallBack;
use crate::place::expired;
use crate::pool::Pool;
use crate::session::Session;
use crate::worker::now;

/// No `query_wait_timeout`.
const FOR_EVER: Duration = Duration::from_secs(86_400 * 365);

/// What became of a cycle that may have to wait for its place.
#[derive(Debug)]
pub(crate) enum Place {
    /// It may have a server; with its place among the reads that fell back, if it is one of them.
    Free(Option<FallBack>),
    /// It waited, and is to be decided anew, as this.
    Waited(Attempt),
}

impl Session {
    /// Takes a place among the reads that fell back, if the cycle needs one, or waits for a change.
    ///
    /// # Errors
    ///
    /// [`Reached::Share`] once `query_wait_timeout` has passed since the read was asked for.
    pub(crate) async fn fall_back(
        &self,
        (attempt, since): (Attempt, Instant),
        decision: &Decision,
        node: NodeId,
    ) -> Result<Place, Cause> {
        // Nearly every cycle goes where it goes for another reason: nothing is looked up for those.
        if !Share::counts(decision.reason) {
            return Ok(Place::Free(None));
        }
        let Some(share) = self.share() else { return Ok(Place::Free(None)) };
        let pool = self.pools.of(node, &self.worker.shared.registry);
        let limit = share.of(pool.size(&self.worker));
        if let Some(place) = pool.fallen().try_join(limit) {
            return Ok(Place::Free(Some(place)));
        }
        let wait = self.worker.live().pool.query_wait_timeout;
        let wait = if wait.is_zero() { FOR_EVER } else { wait };
        if expired(since, wait) {
            let cause = Reached::Share { waited: wait, limit }.into();
            return Err(self.refuse(cause, decision.reason));
        }
        Box::pin(self.wait_to_fall_back(&pool, wait, since)).await?;
        // By now a replica may be fresh: one that waited for that in vain is asked again.
        let stale = matches!(attempt, Attempt::Stale(_));
        Ok(Place::Waited(if stale { Attempt::Answered } else { attempt }))
    }

    /// The share that is configured for the database now.
    fn share(&self) -> Option<Share> {
        let live = self.worker.live();
        live.database(&self.database.name).and_then(|rules| rules.max_primary_read_share)
    }

    /// Waits until a place is free, or a replica may serve the read.
    async fn wait_to_fall_back(
        &self,
        pool: &Pool,
        limit: Duration,
        since: Instant,
    ) -> Result<(), Cause> {
        let began = now();
        let changed = async {
            tokio::select! {
                _changed = self.changes(limit, since) => {}
                () = pool.fallen().fewer() => {}
            }
        };
        self.waits(State::WaitingForReplica, changed).await?;
        self.worker.metrics.fence_wait.record(now().saturating_duration_since(began));
        Ok(())
    }
}
