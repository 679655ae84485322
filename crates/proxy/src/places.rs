//! How many clients may one user, or one database, have?
//!
//! Counted over all workers, once a client has proved who it is: who only claims to be somebody
//! takes no place of theirs. Looked up at login only.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use policy::Sweep;

/// Whose clients are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Whose {
    Database,
    User,
}

/// One client's place; given back at drop.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicU32>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[derive(Debug)]
struct Known {
    counts: HashMap<(Whose, Box<str>), Arc<AtomicU32>>,
    sweep: Sweep,
}

/// All counts that are not zero, and some that are.
#[derive(Debug)]
pub(crate) struct Places {
    known: Mutex<Known>,
}

/// Counts kept before those that nobody has a place in are forgotten.
const LEAST: usize = 4096;

impl Default for Places {
    fn default() -> Self {
        Self { known: Mutex::new(Known { counts: HashMap::new(), sweep: Sweep::from(LEAST) }) }
    }
}

impl Places {
    /// Takes one of `limit` places, if one is free.
    pub(crate) fn take(&self, whose: Whose, name: &str, limit: u32) -> Option<Place> {
        let count = self.count(whose, name);
        let take = |taken: u32| (taken < limit).then(|| taken.saturating_add(1));
        let taken = count.fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
        taken.is_ok().then(|| Place(count))
    }

    fn count(&self, whose: Whose, name: &str) -> Arc<AtomicU32> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { counts, sweep } = &mut *known;
        if sweep.is_due(counts.len()) {
            counts.retain(|_, count| Arc::strong_count(count) > 1);
            sweep.swept(counts.len());
        }
        Arc::clone(counts.entry((whose, Box::from(name))).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_client_leaves() {
        let places = Places::default();
        let first = places.take(Whose::User, "ann", 1).expect("the first");
        assert!(places.take(Whose::User, "ann", 1).is_none());
        assert!(places.take(Whose::Database, "ann", 1).is_some());
        drop(first);
        assert!(places.take(Whose::User, "ann", 1).is_some());
    }

    #[test]
    fn names_that_nobody_uses_are_forgotten_and_places_that_are_taken_are_not() {
        let places = Places::default();
        let _taken = places.take(Whose::User, "ann", 1);
        for number in 0..LEAST {
            drop(places.take(Whose::Database, &number.to_string(), 1));
        }
        assert!(places.known.lock().unwrap().counts.len() < 4);
        assert!(places.take(Whose::User, "ann", 1).is_none());
    }

    #[test]
    fn more_users_than_the_least_are_not_all_looked_at_for_each_login() {
        let places = Places::default();
        let (mut taken, mut sweeps) = (Vec::new(), 0);
        let sweep = || places.known.lock().unwrap().sweep;
        let mut before = sweep();
        for number in 0..16 * LEAST {
            taken.push(places.take(Whose::User, &number.to_string(), 1));
            sweeps += usize::from(std::mem::replace(&mut before, sweep()) != sweep());
        }
        assert!(taken.iter().all(Option::is_some));
        assert_eq!(sweeps, 4, "once for each doubling");
    }
}
