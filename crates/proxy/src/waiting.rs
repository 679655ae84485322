//! What a cycle waits for before it is decided again: a primary, a ticket, replay, a fresh replica.
//!
//! What is worth waiting for, and as what the cycle is decided then, is policy's; here it is only waited.

use std::time::{Duration, Instant};

use policy::decide::Attempt;
use policy::{Consistency, FenceState, Pace, Reason, Wait};

use crate::error::Cause;
use crate::inquiry::State;
use crate::place::expired;
use crate::reading::Reading;
use crate::session::Session;
use crate::worker::now;

impl Session {
    /// Waits for what a decision names; as what the cycle is to be decided then.
    pub(crate) async fn wait_for(
        &mut self,
        (wait, reason): (Wait, Reason),
        reading: &Reading,
        (attempt, since): (Attempt, Instant),
    ) -> Result<Attempt, Cause> {
        let hold = self.worker.live().pool.failover_hold;
        let began = now();
        let then = match wait {
            Wait::Primary => {
                let primary = State::WaitingForPrimary;
                if Box::pin(self.changed_within(primary, hold, since)).await? {
                    return Ok(attempt);
                }
                return Err(self.refuse(Cause::NoPrimary { waited: hold }, reason));
            }
            Wait::Ticket => {
                let patience = Pace::patience(self.wishes(reading).consistency);
                Box::pin(self.ticket_answered(patience)).await;
                Attempt::Answered
            }
            Wait::Replay(rest) => {
                Box::pin(tokio::time::sleep(rest)).await;
                Attempt::Answered
            }
            Wait::Fresh => {
                let limit = self.wishes(reading).stale_wait;
                let replica = State::WaitingForReplica;
                let changed = Box::pin(self.changed_within(replica, limit, since)).await?;
                // A guard that failed a moment ago may pass by now.
                let again = if attempt == Attempt::Unproven { Attempt::Answered } else { attempt };
                if changed { again } else { Attempt::Stale(reason) }
            }
        };
        self.worker.metrics.fence_wait.record(now().saturating_duration_since(began));
        Ok(then)
    }

    /// Waits, for a bounded time, until the session's newest ticket is answered.
    async fn ticket_answered(&mut self, patience: Duration) {
        let epoch = self.epoch();
        let mut answers = self.database.cluster.answers.receiver();
        let level = (Consistency::Strong, None);
        let fence = self.meaning.fence(level, self.scope.newest(), &answers.borrow(), epoch);
        let FenceState::Pending(ticket) = fence else { return };
        let answered = answers.wait_for(|answers| answers.covering(ticket).is_some());
        drop(tokio::time::timeout(patience, answered).await);
    }

    /// Waits for the next change of topology or answers; `false` once `limit` has passed.
    async fn changed_within(
        &self,
        state: State,
        limit: Duration,
        since: Instant,
    ) -> Result<bool, Cause> {
        if expired(since, limit) {
            return Ok(false);
        }
        self.waits(state, self.changes(limit, since)).await
    }

    /// The next change of topology or answers; `false` once `limit` has passed.
    pub(crate) async fn changes(&self, limit: Duration, since: Instant) -> bool {
        let cluster = &self.database.cluster;
        let (mut topology, mut answers) = (cluster.topology.receiver(), cluster.answers.receiver());
        let until = tokio::time::Instant::from_std(since.checked_add(limit).unwrap_or(since));
        tokio::select! {
            changed = topology.changed() => changed.is_ok(),
            changed = answers.changed() => changed.is_ok(),
            () = tokio::time::sleep_until(until) => false,
        }
    }

    /// Waits for such a change once more after a node could not be reached.
    pub(crate) async fn changed_soon(&self) -> Result<bool, Cause> {
        self.changed_within(State::WaitingForPrimary, Duration::from_millis(100), now()).await
    }
}
