//! The cache itself: two generations, and numbers for search paths.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use sql::{Catalog, KeyedBy, SearchPath};

use super::Judged;

/// Entries of a generation.
pub(super) const GENERATION: usize = 4096;

/// Search paths that have a number before all are forgotten, and all classes with them.
const MOST_PATHS: usize = 4096;

/// By what an entry is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    /// A fingerprint, or the hash of a whole text.
    pub(crate) print: u128,
    pub(super) path: PathNumber,
}

/// A search path's number, never used for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PathNumber(u32);

impl PathNumber {
    /// Whatever it is.
    pub(super) const ANY: Self = Self(0);
    /// Nobody knows it.
    const UNKNOWN: Self = Self(1);
}

#[derive(Debug)]
pub(super) struct Cached {
    /// The catalog that all entries were made with.
    catalog: Option<Arc<Catalog>>,
    /// By fingerprint, closer where that does not suffice.
    pub(super) classes: Generations,
    /// What is also found by a text's hash or a statement's number. Of its own, or each statement that is prepared
    /// would take the room of three.
    pub(super) shortcuts: Generations,
    paths: HashMap<SearchPath, PathNumber>,
    newest_path: PathNumber,
}

/// What is not used while one generation fills up is forgotten with the next.
#[derive(Debug, Default)]
pub(super) struct Generations {
    pub(super) young: Generation,
    pub(super) old: Generation,
}

type Generation = HashMap<Key, Entry, BuildHasherDefault<Passed>>;

#[derive(Debug, Clone)]
pub(super) enum Entry {
    Judged(Rc<Judged>),
    /// Texts of this fingerprint differ in class.
    Ask(KeyedBy),
}

impl Cached {
    pub(super) fn new(catalog: Option<Arc<Catalog>>) -> Self {
        Self {
            catalog,
            classes: Generations::default(),
            shortcuts: Generations::default(),
            paths: HashMap::new(),
            newest_path: PathNumber::UNKNOWN,
        }
    }

    /// Starts anew if the entries were made with another catalog.
    pub(super) fn belong_to(&mut self, catalog: Option<&Arc<Catalog>>) {
        let same = match (&self.catalog, catalog) {
            (Some(known), Some(now)) => Arc::ptr_eq(known, now),
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.begin_anew(catalog.cloned());
        }
    }

    fn begin_anew(&mut self, catalog: Option<Arc<Catalog>>) {
        *self = Self { newest_path: self.newest_path, ..Self::new(catalog) };
    }

    pub(super) fn number_of(&mut self, path: Option<&SearchPath>) -> PathNumber {
        let Some(path) = path else { return PathNumber::UNKNOWN };
        if let Some(number) = self.paths.get(path) {
            return *number;
        }
        if self.paths.len() >= MOST_PATHS {
            let catalog = self.catalog.take();
            self.begin_anew(catalog);
        }
        let Some(number) = self.newest_path.0.checked_add(1) else { return PathNumber::UNKNOWN };
        self.newest_path = PathNumber(number);
        self.paths.insert(path.clone(), self.newest_path);
        self.newest_path
    }
}

impl Generations {
    pub(super) fn find(&mut self, key: Key) -> Option<Entry> {
        if let Some(entry) = self.young.get(&key) {
            return Some(entry.clone());
        }
        let entry = self.old.remove(&key)?;
        self.keep(key, entry.clone());
        Some(entry)
    }

    pub(super) fn keep(&mut self, key: Key, entry: Entry) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, entry);
    }

    pub(super) fn forget(&mut self, key: Key) {
        self.young.remove(&key);
        self.old.remove(&key);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// A hasher for keys that are hashes already, under a seed that clients don't know.
#[derive(Debug, Default)]
pub(super) struct Passed(u64);

impl Hasher for Passed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, print: u128) {
        let half = print.to_le_bytes().first_chunk().copied().unwrap_or_default();
        self.0 = u64::from_le_bytes(half);
    }

    fn write_u32(&mut self, path: u32) {
        self.0 = self.0.rotate_left(32) ^ u64::from(path);
    }
}
