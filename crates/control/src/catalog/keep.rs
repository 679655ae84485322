//! One database's catalog, from the first wish to the last user's leave.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::info;

use super::{LoadError, Shared};
use crate::link::Address;
use crate::task::{Backoff, Complaint};

/// How long a catalog is believed when nobody reports a change: DDL may go past Weir.
const BELIEVED: Duration = Duration::from_secs(27);

/// Jitter on top of it.
const SPREAD: Duration = Duration::from_secs(6);

/// A migration is many statements: wait this long after the first for the others.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// Pauses between attempts after a failure.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), BELIEVED);

/// What is wanted of one database's task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wanted {
    /// Workers and others that use the database.
    pub(super) users: u32,
    /// Grows with each change of the schema.
    pub(super) changes: u64,
}

/// What the last attempt to read the catalog came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It is there, or was not to be had.
    Perhaps,
    /// There is no such database.
    Missing,
}

/// What to do after a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Load,
    Forget,
}

/// The task of one database.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    database: Box<str>,
    wanted: watch::Receiver<Wanted>,
    primary: watch::Receiver<Option<Address>>,
    unused_since: Option<Instant>,
}

impl Keeper {
    pub(super) fn new(
        shared: Arc<Shared>,
        database: Box<str>,
        (wanted, primary): (watch::Receiver<Wanted>, watch::Receiver<Option<Address>>),
    ) -> Self {
        Self { shared, database, wanted, primary, unused_since: None }
    }

    /// Keeps the catalog as new as the primary's until nobody has used it for some time.
    pub(super) async fn run(mut self) {
        let mut retry = Backoff::new(RETRY.0, RETRY.1);
        let (mut digest, mut complaint) = (None, Complaint::default());
        while let Some(primary) = known(&mut self.primary).await {
            // Before the first byte is sent: a change that comes while rows are read is loaded anew.
            let before = *self.wanted.borrow_and_update();
            let mut known = Known::Perhaps;
            let pause = match self.shared.refresh(&primary, &self.database, &mut digest).await {
                Ok(()) => {
                    complaint.settle();
                    retry.reset();
                    believed(&self.database)
                }
                Err(LoadError::Link(error)) if error.is_no_such_database() => {
                    (known, digest) = (Known::Missing, None);
                    if self.shared.forget(&self.database) {
                        self.say("the database is gone; its catalog is forgotten");
                    }
                    believed(&self.database)
                }
                Err(error) => {
                    self.shared.complain(&self.database, &error, &mut complaint);
                    retry.pause()
                }
            };
            if self.rest((before, known), pause, &primary).await == Next::Forget {
                if self.shared.forget(&self.database) {
                    self.say("nobody uses the database any more; its catalog is forgotten");
                }
                return;
            }
        }
    }

    fn say(&self, what: &str) {
        info!(cluster = &*self.shared.cluster, database = &*self.database, "{what}");
    }

    /// Waits until the catalog must be read anew, or nobody wants it.
    async fn rest(
        &mut self,
        (before, known): (Wanted, Known),
        pause: Duration,
        primary: &Address,
    ) -> Next {
        let until = Instant::now().checked_add(pause);
        let mut users = before.users;
        loop {
            let wanted = *self.wanted.borrow_and_update();
            // Who comes to a database that was not there has reason to think that it is.
            let came = known == Known::Missing && wanted.users > users;
            if came || wanted.changes != before.changes {
                sleep(DEBOUNCE).await;
                return Next::Load;
            }
            users = wanted.users;
            let forget = self.forget_at(users, known);
            tokio::select! {
                changed = self.wanted.changed() => if changed.is_err() { return Next::Forget },
                () = sleep_until(until.unwrap_or_else(Instant::now)) => return Next::Load,
                () = moved(&mut self.primary, primary) => return Next::Load,
                () = sleep_until(forget.unwrap_or_else(Instant::now)), if forget.is_some() => {
                    return Next::Forget;
                }
            }
        }
    }

    /// When the catalog is to be forgotten, as it looks now.
    fn forget_at(&mut self, users: u32, known: Known) -> Option<Instant> {
        let now = Instant::now();
        self.unused_since = (users == 0).then(|| self.unused_since.unwrap_or(now));
        let since = self.unused_since?;
        match known {
            Known::Missing => Some(now),
            Known::Perhaps if self.shared.forget_after.is_zero() => None,
            Known::Perhaps => since.checked_add(self.shared.forget_after),
        }
    }
}

/// Waits for a primary; `None` when the loader is gone.
async fn known(primary: &mut watch::Receiver<Option<Address>>) -> Option<Address> {
    primary.wait_for(Option::is_some).await.ok()?.clone()
}

/// Waits until another node is primary: its catalog may lack what the old one had.
async fn moved(primary: &mut watch::Receiver<Option<Address>>, old: &Address) {
    // Without a loader the task ends at its next turn.
    drop(primary.wait_for(|now| now.as_ref().is_some_and(|now| now != old)).await);
}

/// [`BELIEVED`] and up to [`SPREAD`] more, so that a hundred databases don't ask at once.
fn believed(database: &str) -> Duration {
    let spread = u64::try_from(SPREAD.as_millis()).unwrap_or(u64::MAX);
    let draw = RandomState::new().hash_one(database).checked_rem(spread).unwrap_or(0);
    BELIEVED.saturating_add(Duration::from_millis(draw))
}
