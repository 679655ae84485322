//! How many clients may one user, or one database, have?
//!
//! Counted over all workers, once a client has proved who it is: who only claims to be somebody
//! takes no place of theirs. Looked up at login only.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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

type Counts = HashMap<(Whose, Box<str>), Arc<AtomicU32>>;

/// All counts that are not zero, and some that are.
#[derive(Debug, Default)]
pub(crate) struct Places {
    known: Mutex<Counts>,
}

/// Counts kept before those that nobody has a place in are forgotten.
const SWEEP_AT: usize = 4096;

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
        if known.len() >= SWEEP_AT {
            known.retain(|_, count| Arc::strong_count(count) > 1);
        }
        Arc::clone(known.entry((whose, Box::from(name))).or_default())
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
        for number in 0..SWEEP_AT {
            drop(places.take(Whose::Database, &number.to_string(), 1));
        }
        assert!(places.known.lock().unwrap().len() < 4);
        assert!(places.take(Whose::User, "ann", 1).is_none());
    }
}
