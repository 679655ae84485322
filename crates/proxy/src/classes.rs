//! What a text may do, cached: one cache per worker and database.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use sql::{Catalog, Class, Classified, Classifier, Effect, KeyedBy, Pin, Scanner, Why};

use crate::metrics::Metrics;

/// Classes kept before the cache starts anew.
const KEPT: usize = 8192;

/// The classes of one database's statements.
#[derive(Debug)]
pub(crate) struct Classes {
    scanner: Scanner,
    classifier: Classifier,
    cached: RefCell<Cached>,
}

#[derive(Debug, Default)]
struct Cached {
    /// The catalog that all entries were made with.
    catalog: Option<Arc<Catalog>>,
    by_fingerprint: HashMap<u128, Known>,
    by_text: HashMap<Box<str>, Rc<Classified>>,
}

#[derive(Debug)]
enum Known {
    Class(Rc<Classified>),
    /// Texts of this fingerprint differ in class: ask by text.
    ByText,
}

impl Classes {
    /// `seed` keeps clients from making fingerprints collide.
    pub(crate) fn new(seed: [u64; 2]) -> Self {
        Self {
            scanner: Scanner::new(seed),
            classifier: Classifier::new(),
            cached: RefCell::default(),
        }
    }

    /// What `text` may do.
    pub(crate) fn of(
        &self,
        text: &[u8],
        catalog: Option<&Arc<Catalog>>,
        metrics: &Metrics,
    ) -> Rc<Classified> {
        let Ok(text) = std::str::from_utf8(text) else { return Rc::new(unreadable()) };
        let mut cached = self.cached.borrow_mut();
        let same = match (&cached.catalog, catalog) {
            (Some(known), Some(now)) => Arc::ptr_eq(known, now),
            (None, None) => true,
            _ => false,
        };
        if !same {
            *cached = Cached { catalog: catalog.cloned(), ..Cached::default() };
        }
        let scan = self.scanner.scan(text.as_bytes());
        let found = match cached.by_fingerprint.get(&scan.fingerprint.0) {
            Some(Known::Class(class)) => Some(class),
            Some(Known::ByText) => cached.by_text.get(text),
            None => None,
        };
        if let Some(class) = found {
            metrics.class_hits.inc();
            return Rc::clone(class);
        }
        metrics.class_misses.inc();
        let class = Rc::new(self.classifier.classify(text, catalog.map(|catalog| &**catalog)));
        cached.keep(scan.fingerprint.0, text, &class);
        class
    }
}

impl Cached {
    fn keep(&mut self, fingerprint: u128, text: &str, class: &Rc<Classified>) {
        if self.by_fingerprint.len() >= KEPT {
            self.by_fingerprint.clear();
        }
        if self.by_text.len() >= KEPT {
            self.by_text.clear();
        }
        match class.keyed_by {
            KeyedBy::Fingerprint => {
                self.by_fingerprint.insert(fingerprint, Known::Class(Rc::clone(class)));
            }
            KeyedBy::Text => {
                self.by_fingerprint.insert(fingerprint, Known::ByText);
                self.by_text.insert(text.into(), Rc::clone(class));
            }
            KeyedBy::Nothing => {}
        }
    }
}

/// A text in an encoding that the scanner can't read: the primary's, and nothing is known of it.
pub(crate) fn unreadable() -> Classified {
    Classified {
        class: Class::Write,
        why: Why::Malformed,
        effects: vec![Effect::Pin(Pin::Unknown)],
        steps: vec![0],
        reaches_outside: true,
        keyed_by: KeyedBy::Nothing,
        statements: 2,
    }
}
