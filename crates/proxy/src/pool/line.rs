//! The clients of one worker that wait for a server of one pool.
//!
//! Whoever stands in line and can't get a permit makes the pool starve at the count that is full;
//! the last one to leave, however, ends that.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use policy::Topology;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::time::{Instant, timeout_at};

use super::{AcquireError, Lease, Owned, Pool};
use crate::config::Sizes;
use crate::permits::Which;
use crate::server::Address;
use crate::worker::{Worker, now};

/// How often other workers are asked at most to close idle servers for a pool.
const BEG_EVERY: Duration = Duration::from_millis(10);

/// What a waiter is given.
#[derive(Debug)]
pub(super) enum Turn {
    /// A server.
    Server(Owned),
    /// The chance to open one.
    Try,
}

/// Where in the line a waiter stands.
#[derive(Debug, Clone, Copy)]
enum Place {
    First,
    Last,
}

/// A client in line.
#[derive(Debug)]
struct Waiter {
    since: Instant,
    turn: oneshot::Sender<Turn>,
}

/// Those who wait, and what they wait for.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Some of them may have left: who leaves does not look for its place.
    waiters: RefCell<VecDeque<Waiter>>,
    /// How many of those.
    gone: Cell<usize>,
    /// The count that was full when it was last looked at.
    starves_at: Cell<Option<Which>>,
    begged: Cell<Option<std::time::Instant>>,
    /// What the node is to those who wait.
    address: RefCell<Option<Rc<Address>>>,
}

impl Line {
    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiters.borrow().len() <= self.gone.get()
    }

    /// The count that the pool starves at.
    pub(super) fn starves_at(&self) -> Option<Which> {
        self.starves_at.get()
    }

    /// Gives a server to who has waited longest, or back if nobody waits.
    pub(super) fn hand_on(&self, owned: Owned) -> Option<Owned> {
        match self.give(Turn::Server(owned))? {
            Turn::Server(owned) => Some(owned),
            Turn::Try => None,
        }
    }

    /// Gives a turn to who has waited longest, or back if nobody waits.
    fn give(&self, mut turn: Turn) -> Option<Turn> {
        loop {
            let Some(waiter) = self.waiters.borrow_mut().pop_front() else { return Some(turn) };
            match waiter.turn.send(turn) {
                Ok(()) => return None,
                Err(back) => turn = back,
            }
            self.gone.set(self.gone.get().saturating_sub(1));
        }
    }

    /// Takes note that one of those in line left it.
    ///
    /// Its place is looked for once half of the places are such: of a thousand that give up at once each
    /// would look at all others.
    fn left(&self) {
        let mut waiters = self.waiters.borrow_mut();
        self.gone.set(self.gone.get().saturating_add(1));
        if self.gone.get() > waiters.len() / 2 {
            waiters.retain(|waiter| !waiter.turn.is_closed());
            self.gone.set(0);
        }
    }

    /// Sends all away.
    fn dissolve(&self) {
        self.waiters.borrow_mut().clear();
        self.gone.set(0);
    }

    /// Since when the first of those who wait does.
    fn first_since(&self) -> Option<Instant> {
        let waiters = self.waiters.borrow();
        waiters.iter().find(|waiter| !waiter.turn.is_closed()).map(|waiter| waiter.since)
    }

    /// How many wait, and how long who has waited longest.
    pub(super) fn length(&self) -> (u32, Duration) {
        let waiters = self.waiters.borrow();
        let in_line = || waiters.iter().filter(|waiter| !waiter.turn.is_closed());
        let longest = in_line().map(|waiter| waiter.since.elapsed()).max();
        (u32::try_from(in_line().count()).unwrap_or(u32::MAX), longest.unwrap_or_default())
    }

    fn join(&self, place: Place, since: Instant) -> oneshot::Receiver<Turn> {
        let (turn, receiver) = oneshot::channel();
        let waiter = Waiter { since, turn };
        let mut waiters = self.waiters.borrow_mut();
        match place {
            Place::First => waiters.push_front(waiter),
            Place::Last => waiters.push_back(waiter),
        }
        receiver
    }
}

impl Pool {
    /// Waits in line until there is a server.
    pub(super) async fn wait(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        address: &Rc<Address>,
    ) -> Result<Lease, AcquireError> {
        let since = now();
        let leased = self.wait_in_line(worker, address).await;
        worker.metrics.server_wait.record(now().saturating_duration_since(since));
        leased
    }

    async fn wait_in_line(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        address: &Rc<Address>,
    ) -> Result<Lease, AcquireError> {
        let (wait, patience) = {
            let live = worker.live();
            (live.pool.query_wait_timeout, live.pool.reserve_pool_timeout)
        };
        let since = Instant::now();
        let (give_up, reserve_from) = (deadline(since, wait), deadline(since, patience));
        // Dropped behind the spot: by then this waiter no longer counts.
        let _standing = Standing { pool: self, worker };
        let mut spot = Spot { line: &self.line, turn: self.line.join(Place::Last, since) };
        worker.lines.begins(self);
        *self.line.address.borrow_mut() = Some(Rc::clone(address));
        loop {
            let sizes = self.sizes(worker);
            let reserve = Instant::now() >= reserve_from;
            let sizes = if reserve { sizes.with_reserve() } else { sizes };
            match self.permits.full(&sizes) {
                None => self.try_next(),
                Some(which) => self.starve(which),
            }
            let until =
                if reserve || sizes.reserve == 0 { give_up } else { give_up.min(reserve_from) };
            match timeout_at(until, &mut spot.turn).await {
                Ok(Ok(Turn::Server(owned))) => {
                    if let Some(lease) = self.usable(worker, address, owned) {
                        return Ok(lease);
                    }
                }
                Ok(Ok(Turn::Try)) => {}
                Ok(Err(_)) => {
                    return Err(AcquireError::Replaced { node: Rc::clone(&address.name) });
                }
                Err(_) if until == give_up => return Err(self.gave_up(since, &sizes)),
                Err(_) => continue,
            }
            if let Some(lease) = self.idle_one(worker, address) {
                return Ok(lease);
            }
            if let Ok(permit) = self.permits.try_take(&sizes) {
                return self.open(worker, address, permit).await;
            }
            // A turn that came to nothing must not cost the place.
            spot.turn = self.line.join(Place::First, since);
            worker.lines.begins(self);
        }
    }

    fn gave_up(&self, since: Instant, sizes: &Sizes) -> AcquireError {
        let which = self.permits.full(sizes).unwrap_or(Which::Pool);
        AcquireError::Full { waited: since.elapsed(), which, limit: which.limit(sizes) }
    }

    /// Takes note of the count that has no room, and asks for an idle server to be closed there.
    ///
    /// For the pool's own count once is enough: whoever gets a server back while it starves closes
    /// it. A database's or a user's other pools may have many idle ones.
    fn starve(&self, at: Which) {
        let before = self.line.starves_at.replace(Some(at));
        if before != Some(at) {
            self.permits.starves(at);
            if let Some(before) = before {
                self.permits.fed(before);
            }
        } else if at == Which::Pool {
            return;
        }
        let now = now();
        let lately = |begged: std::time::Instant| now.duration_since(begged) < BEG_EVERY;
        if before != Some(at) || !self.line.begged.get().is_some_and(lately) {
            self.line.begged.set(Some(now));
            self.permits.beg(at);
        }
    }

    /// Since when the first waiter waits.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        self.line.first_since()
    }

    /// Lets the first waiter try to open a server.
    pub(crate) fn try_next(&self) {
        drop(self.line.give(Turn::Try));
    }

    /// Sends all away who wait for what the node no longer is.
    pub(crate) fn dissolve(&self, topology: &Topology) {
        let replaced = !self.line.is_empty() && {
            let address = self.line.address.borrow();
            address.as_ref().is_some_and(|address| !address.serves_in(topology))
        };
        if replaced {
            self.line.dissolve();
        }
    }

    /// Takes note that a waiter left the line, by whichever way.
    fn left_line(self: &Rc<Self>, worker: &Worker) {
        if self.line.is_empty() {
            worker.lines.ends(self);
            if let Some(at) = self.line.starves_at.take() {
                self.permits.fed(at);
            }
        } else if self.permits.full(&self.sizes(worker)).is_none() {
            // Whoever left may have had a turn and not have used it.
            self.try_next();
        }
    }
}

/// A waiter in line, as long as it stands there.
struct Spot<'a> {
    line: &'a Line,
    turn: oneshot::Receiver<Turn>,
}

impl Drop for Spot<'_> {
    fn drop(&mut self) {
        // Nearly always it had its turn, and whoever gave it took its place out of the line.
        let waits = matches!(self.turn.try_recv(), Err(TryRecvError::Empty));
        self.turn.close();
        if waits {
            self.line.left();
        }
    }
}

/// One who waits for a server, in line or trying to open one; that it ends, by whichever way, is noticed.
struct Standing<'a> {
    pool: &'a Rc<Pool>,
    worker: &'a Worker,
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.pool.left_line(self.worker);
    }
}

fn deadline(since: Instant, limit: Duration) -> Instant {
    const FOR_EVER: Duration = Duration::from_secs(86_400 * 365);
    since.checked_add(if limit.is_zero() { FOR_EVER } else { limit }).unwrap_or(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(line: &Line, place: Place) -> Spot<'_> {
        Spot { line, turn: line.join(place, Instant::now()) }
    }

    /// Gives one turn; the numbers of those that have one by now.
    fn next(line: &Line, spots: &mut [(usize, Spot<'_>)]) -> Vec<usize> {
        drop(line.give(Turn::Try));
        let has_turn = |(number, spot): &mut (usize, Spot<'_>)| {
            matches!(spot.turn.try_recv(), Ok(Turn::Try)).then_some(*number)
        };
        spots.iter_mut().filter_map(has_turn).collect()
    }

    #[test]
    fn turns_go_by_age_and_past_those_who_left() {
        let line = Line::default();
        let mut spots: Vec<_> = (0..6).map(|number| (number, spot(&line, Place::Last))).collect();
        spots.remove(3);
        spots.remove(0);
        assert_eq!(next(&line, &mut spots), [1]);
        spots.push((9, spot(&line, Place::First)));
        assert_eq!(next(&line, &mut spots), [9]);
        assert_eq!(next(&line, &mut spots), [2]);
        assert_eq!(next(&line, &mut spots), [4]);
        assert!(!line.is_empty());
        assert_eq!(next(&line, &mut spots), [5]);
        assert!(line.is_empty() && line.gone.get() == 0);
        assert!(line.give(Turn::Try).is_some(), "nobody takes it");
    }

    #[test]
    fn who_left_does_not_make_a_line() {
        let line = Line::default();
        let (first, second) = (spot(&line, Place::Last), spot(&line, Place::Last));
        drop(first);
        assert!(!line.is_empty());
        assert_eq!(line.length().0, 1);
        assert_eq!(line.first_since(), line.waiters.borrow().back().map(|waiter| waiter.since));
        drop(second);
        assert!(line.is_empty() && line.first_since().is_none());
    }

    #[test]
    fn who_leaves_with_a_turn_it_did_not_see_has_no_place_any_more() {
        let line = Line::default();
        let mut spots: Vec<_> = (0..4).map(|_| spot(&line, Place::Last)).collect();
        assert!(line.give(Turn::Try).is_none());
        drop(spots.remove(0));
        assert_eq!((line.length().0, line.gone.get()), (3, 0));
    }

    #[test]
    fn a_line_of_nobody_but_those_who_left_is_empty() {
        let line = Line::default();
        let mut spots: Vec<_> = (0..4).map(|_| spot(&line, Place::Last)).collect();
        spots.truncate(2);
        assert_eq!(line.gone.get(), 2, "they are not looked for yet");
        assert!(line.give(Turn::Try).is_none() && !line.is_empty());
        assert!(line.give(Turn::Try).is_none() && line.is_empty());
    }

    #[test]
    fn a_line_that_is_sent_away_is_empty_and_begins_anew() {
        let line = Line::default();
        let mut spots: Vec<_> = (0..4).map(|number| (number, spot(&line, Place::Last))).collect();
        spots.remove(0);
        line.dissolve();
        assert!(line.is_empty());
        let mut late = [(7, spot(&line, Place::Last))];
        drop(spots);
        assert!(!line.is_empty());
        assert_eq!(next(&line, &mut late), [7]);
    }

    #[test]
    fn places_of_those_who_left_are_no_more_than_the_others() {
        let line = Line::default();
        let _kept = spot(&line, Place::Last);
        let mut spots: Vec<_> = (0..1000).map(|_| spot(&line, Place::Last)).collect();
        let mut looks = 0;
        while let Some(spot) = spots.pop() {
            let before = line.waiters.borrow().len();
            drop(spot);
            let after = line.waiters.borrow().len();
            looks += if after < before { before } else { 0 };
            assert!(after <= 2 * (spots.len() + 1) + 1, "{after} places for {}", spots.len() + 1);
        }
        assert!(looks <= 2 * 1001 + 20, "{looks} looks");
        assert_eq!(line.length().0, 1);
    }
}
