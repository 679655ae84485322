//! How many times did a database's schema change? Told to all workers by whoever ran the change.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use policy::Sweep;
use policy::prepared::SchemaNumber;

/// One database's schema.
#[derive(Debug)]
pub(crate) struct Schema {
    number: AtomicU64,
    last: Arc<AtomicU64>,
}

impl Schema {
    /// The number of the schema as it is now.
    pub(crate) fn newest(&self) -> SchemaNumber {
        SchemaNumber(self.number.load(Ordering::Acquire))
    }

    /// Takes note of a change.
    pub(crate) fn changed(&self) {
        self.number.fetch_max(next(&self.last), Ordering::AcqRel);
    }
}

fn next(last: &AtomicU64) -> u64 {
    last.fetch_add(1, Ordering::AcqRel).saturating_add(1)
}

/// A cluster's name, and a database's on its servers.
type Named = (Arc<str>, Box<str>);

/// The schemas of all databases in use; locked only when a worker meets a database.
#[derive(Debug)]
pub(crate) struct Schemas {
    known: Mutex<(HashMap<Named, Weak<Schema>>, Sweep)>,
    last: Arc<AtomicU64>,
}

/// Schemas kept before those of databases that nobody uses are forgotten.
const LEAST: usize = 64;

impl Default for Schemas {
    fn default() -> Self {
        Self { known: Mutex::new((HashMap::new(), Sweep::from(LEAST))), last: Arc::default() }
    }
}

impl Schemas {
    /// The schema of a database.
    pub(crate) fn of(&self, cluster: &Arc<str>, database: &str) -> Arc<Schema> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, sweep) = &mut *known;
        if sweep.is_due(known.len()) {
            known.retain(|_, schema| schema.strong_count() > 0);
            sweep.swept(known.len());
        }
        let slot = known.entry((Arc::clone(cluster), database.into())).or_default();
        slot.upgrade().unwrap_or_else(|| {
            let number = AtomicU64::new(next(&self.last));
            let schema = Arc::new(Schema { number, last: Arc::clone(&self.last) });
            *slot = Arc::downgrade(&schema);
            schema
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_a_schema_and_databases_do_not() {
        let (schemas, cluster) = (Schemas::default(), Arc::from("main"));
        let (here, there) = (schemas.of(&cluster, "a"), schemas.of(&cluster, "a"));
        let other = schemas.of(&cluster, "b");
        assert_ne!(here.newest(), other.newest());
        let before = here.newest();
        there.changed();
        assert!(here.newest() > before && here.newest() != other.newest());
    }

    #[test]
    fn schemas_that_nobody_uses_are_forgotten_and_their_numbers_never_used_again() {
        let (schemas, cluster) = (Schemas::default(), Arc::from("main"));
        let kept = schemas.of(&cluster, "kept");
        let mut last = kept.newest();
        for number in 0..20 * LEAST {
            let next = schemas.of(&cluster, &number.to_string()).newest();
            assert!(next > last);
            last = next;
        }
        assert!(schemas.known.lock().unwrap().0.len() <= LEAST);
        assert!(Arc::ptr_eq(&kept, &schemas.of(&cluster, "kept")));
        assert!(schemas.of(&cluster, "0").newest() > last);
    }
}
