//! The load: users who think, read, now and then write, and remember what they wrote.

use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::args::Args;
use crate::plan::{Cell, Policy, Scope};
use crate::pool::{Line, Pool};
use crate::random::Random;
use crate::tally::{Behind, Read, Seen, Tally};
use crate::words;

/// Each user's row as it was last committed, the user's number being the index.
pub(crate) type Committed = Arc<[AtomicI64]>;

/// When a cell's users work, and from when on it counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) counted: Instant,
    pub(crate) end: Instant,
}

/// One user.
struct User {
    number: usize,
    pool: Arc<Pool>,
    committed: Committed,
    random: Random,
    last: Behind,
    writes: u16,
    think: Duration,
}

/// The users of a cell, connected and waiting.
pub(crate) struct Crowd(Vec<User>);

impl Crowd {
    /// Connects all users through the Weir that listens on `port`.
    ///
    /// # Errors
    ///
    /// A connection was refused: a level that this Weir does not know, say.
    pub(crate) async fn gather(
        args: &Args,
        cell: Cell,
        port: u16,
        committed: &Committed,
    ) -> Result<Self, Box<dyn Error>> {
        let mut users = Vec::new();
        let wishes = cell.policy.options(&args.stale_wait);
        let wishes = format!("{wishes} -c weir.scope={}", cell.scope.name());
        let wishes = (cell.policy, wishes.as_str());
        for app in 0..args.apps {
            let own = address(app);
            let shared = match cell.scope {
                Scope::Connection => None,
                Scope::Client => Some(pool((own, port), wishes, args.pool).await?),
            };
            for number in (app..args.users).step_by(args.apps.max(1).into()) {
                let pool = match &shared {
                    Some(shared) => Arc::clone(shared),
                    None => pool((own, port), wishes, 1).await?,
                };
                users.push(User {
                    number: number.into(),
                    pool,
                    committed: Arc::clone(committed),
                    random: Random::new(number.into()),
                    last: Behind::Read,
                    writes: args.writes,
                    think: Duration::from_millis(cell.think.into()),
                });
            }
        }
        Ok(Self(users))
    }

    /// Lets all of them work, and says what they saw.
    ///
    /// # Errors
    ///
    /// A user's task panicked.
    pub(crate) async fn work(self, span: Span) -> Result<Tally, tokio::task::JoinError> {
        let at_work: Vec<_> =
            self.0.into_iter().map(|user| tokio::spawn(user.work(span))).collect();
        let mut tally = Tally::default();
        for user in at_work {
            tally.add(user.await?);
        }
        Ok(tally)
    }
}

async fn pool(
    place: (Ipv4Addr, u16),
    wishes: (Policy, &str),
    size: u16,
) -> Result<Arc<Pool>, Box<dyn Error>> {
    let mut lines = Vec::new();
    for _ in 0..size {
        lines.push(Line::open(place, wishes).await?);
    }
    Ok(Arc::new(Pool::new(lines)))
}

/// All of 127.0.0.0/8 is this machine: each app has an address of its own.
fn address(app: u16) -> Ipv4Addr {
    let [high, low] = app.saturating_add(1).to_be_bytes();
    Ipv4Addr::new(127, 0, high, low)
}

impl User {
    async fn work(mut self, span: Span) -> Tally {
        let mut tally = Tally::default();
        // Not all at once.
        self.think().await;
        while Instant::now() < span.end {
            let mut seen = Tally::default();
            let counts = Instant::now() >= span.counted;
            if let Err(error) = self.request(&mut seen).await {
                seen.failures.push(words(error.as_ref()));
            }
            if counts {
                tally.add(seen);
            }
            self.think().await;
        }
        sleep_until(span.end).await;
        tally
    }

    /// From half to one and a half of the time to think: no beat with Weir's own intervals.
    async fn think(&mut self) {
        let share = u32::try_from(self.random.below(1001)).unwrap_or(0).saturating_add(500);
        let pause = self.think.saturating_mul(share).checked_div(1000).unwrap_or_default();
        // A timer would make a millisecond of nothing.
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }

    async fn request(&mut self, tally: &mut Tally) -> Result<(), Box<dyn Error + Send + Sync>> {
        let writes = self.random.below(100) < self.writes.into();
        let mut line = self.pool.take(&mut self.random)?;
        let result = if writes {
            self.write(&mut line).await.map(|()| tally.writes = 1)
        } else {
            self.read(&line).await.map(|read| tally.reads.push(read))
        };
        self.last = if writes { Behind::Write } else { Behind::Read };
        self.pool.give_back(line);
        result.map_err(Into::into)
    }

    async fn write(&self, line: &mut Line) -> Result<(), tokio_postgres::Error> {
        let value = self.committed_by(self.number).saturating_add(1);
        line.client.execute(&line.write, &[&id(self.number), &value]).await?;
        let now = Instant::now();
        line.written = Some(now);
        self.pool.wrote(now);
        if let Some(committed) = self.committed.get(self.number) {
            committed.store(value, Ordering::SeqCst);
        }
        Ok(())
    }

    async fn read(&mut self, line: &Line) -> Result<Read, tokio_postgres::Error> {
        let other = self.random.below(self.committed.len());
        let expected = [self.number, other].map(|user| self.committed_by(user));
        let begun = Instant::now();
        let quiet = self.pool.quiet_for(begun);
        let statement = line.reading(begun);
        let rows = line.client.query(statement, &[&id(self.number), &id(other)]).await?;
        let took = begun.elapsed();
        let mut seen = [None, None];
        let mut node = String::new();
        for row in &rows {
            let (found, value): (i32, i64) = (row.try_get(0)?, row.try_get(1)?);
            for (user, seen) in [self.number, other].into_iter().zip(&mut seen) {
                if found == id(user) {
                    *seen = Some(value);
                }
            }
            node = row.try_get(2)?;
        }
        let [own_value, other_value] = seen;
        let [own, others] = expected;
        Ok(Read {
            node,
            took,
            behind_write: self.last,
            quiet,
            own: Seen::of(own_value, own),
            other: Seen::of(other_value, others),
        })
    }

    fn committed_by(&self, user: usize) -> i64 {
        self.committed.get(user).map_or(0, |committed| committed.load(Ordering::SeqCst))
    }
}

/// The key of a user's row.
fn id(user: usize) -> i32 {
    i32::try_from(user).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_app_has_an_address_of_its_own() {
        assert_eq!(address(0), Ipv4Addr::LOCALHOST);
        assert_eq!(address(255), Ipv4Addr::new(127, 0, 1, 0));
    }
}
