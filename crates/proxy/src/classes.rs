//! What a text may do, cached: one cache per worker and database.
//!
//! Most texts are found by their fingerprint. Where a literal or the search path decides, the fingerprint's entry says
//! so, and a second look finds the answer by the text's own hash, or for that path. Two generations bound the cache:
//! what is not used while one fills up is forgotten with the next.

mod cached;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use policy::prepared::Statement;
use sql::{
    Catalog, Class, Classified, Classifier, Effect, KeyedBy, Namespace, Pin, Scanner, SearchPath,
    Why,
};
use wire::SqlState;

pub(crate) use self::cached::Key;
use self::cached::{Cached, Entry, PathNumber};
use crate::inquiry::StatementView;
use crate::metrics::Metrics;
use crate::notes::{Note, Notes};
use crate::shown::Second;

/// Texts with effects hold a part of themselves in their entry: longer ones are read anew each time.
const LONGEST_KEPT: usize = 16 * 1024;

/// The classes of one database's statements.
#[derive(Debug)]
pub(crate) struct Classes {
    scanner: Scanner,
    classifier: Classifier,
    cached: RefCell<Cached>,
    notes: RefCell<Notes>,
}

/// What names mean to whoever asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Space<'a> {
    pub(crate) catalog: Option<&'a Arc<Catalog>>,
    /// `None` while nobody but the server knows it.
    pub(crate) path: Option<&'a SearchPath>,
}

impl Space<'_> {
    /// The same, after something that may have changed the search path.
    pub(crate) const fn anywhere(self) -> Self {
        Self { path: None, ..self }
    }
}

/// What a text may do, as far as is known, and what is noted of it.
#[derive(Debug)]
pub(crate) struct Judged {
    classified: Classified,
    note: Option<Rc<Note>>,
    /// When what a replica taught is to be forgotten.
    until: Option<Second>,
}

impl Deref for Judged {
    type Target = Classified;

    fn deref(&self) -> &Classified {
        &self.classified
    }
}

impl Judged {
    /// Counts that a client runs the text, if anything is noted of it.
    pub(crate) fn runs(&self, metrics: &Metrics) {
        if let Some(note) = &self.note {
            note.runs();
            metrics.doubted(self.classified.why);
        }
    }
}

impl Classes {
    /// `seed` keeps clients from making fingerprints collide.
    pub(crate) fn new(seed: [u64; 2]) -> Self {
        Self {
            scanner: Scanner::new(seed),
            classifier: Classifier::new(),
            cached: RefCell::new(Cached::new(None)),
            notes: RefCell::default(),
        }
    }

    /// What `text` may do.
    pub(crate) fn of(
        &self,
        text: &[u8],
        space: Space<'_>,
        metrics: &Metrics,
        now: Second,
    ) -> Rc<Judged> {
        self.search(text, space, metrics, now).1
    }

    /// The same, for a text that is to be prepared: the next time it will nearly always be the same to the last byte, and
    /// is found by its hash, which costs less than its fingerprint.
    pub(crate) fn of_parsed(
        &self,
        text: &[u8],
        space: Space<'_>,
        metrics: &Metrics,
        now: Second,
    ) -> Rc<Judged> {
        self.shortly(self.scanner.text(text).0, text, space, (metrics, now))
    }

    /// The same, for the text of a prepared statement, which is found by the statement's number.
    pub(crate) fn of_statement(
        &self,
        statement: &Statement,
        space: Space<'_>,
        metrics: &Metrics,
        now: Second,
    ) -> Rc<Judged> {
        // No hash is as small: its seed is secret.
        self.shortly(u128::from(statement.id), &statement.sql, space, (metrics, now))
    }

    /// What `text` may do, by something that stands for it. Where the search path decides, that is no key.
    fn shortly(
        &self,
        print: u128,
        text: &[u8],
        space: Space<'_>,
        (metrics, now): (&Metrics, Second),
    ) -> Rc<Judged> {
        let short = Key { print, path: PathNumber::ANY };
        {
            let mut cached = self.cached.borrow_mut();
            cached.belong_to(space.catalog);
            if let Some(Entry::Judged(judged)) = cached.shortcuts.find(short)
                && judged.until.is_none_or(|until| now < until)
            {
                metrics.class_hits.inc();
                return judged;
            }
        }
        let (key, judged) = self.search(text, space, metrics, now);
        if key.is_some_and(|key| key.path == PathNumber::ANY) {
            let mut cached = self.cached.borrow_mut();
            cached.shortcuts.keep(short, Entry::Judged(Rc::clone(&judged)));
        }
        judged
    }

    /// What `text` may do, and by what that is kept.
    fn search(
        &self,
        text: &[u8],
        space: Space<'_>,
        metrics: &Metrics,
        now: Second,
    ) -> (Option<Key>, Rc<Judged>) {
        let Ok(text) = std::str::from_utf8(text) else { return (None, Rc::new(unreadable())) };
        let mut cached = self.cached.borrow_mut();
        cached.belong_to(space.catalog);
        let print = self.scanner.scan(text.as_bytes()).fingerprint.0;
        let mut key = Key { print, path: PathNumber::ANY };
        let mut found = cached.classes.find(key);
        if let Some(Entry::Ask(by)) = found {
            key = self.closer(key, by, text, cached.number_of(space.path));
            found = cached.classes.find(key);
        }
        if let Some(Entry::Judged(judged)) = found
            && judged.until.is_none_or(|until| now < until)
        {
            metrics.class_hits.inc();
            return (Some(key), judged);
        }
        metrics.class_misses.inc();
        let (key, judged) = self.judge(&mut cached, text, print, (space, now));
        let short = judged.effects.is_empty() || text.len() <= LONGEST_KEPT;
        let key = key.filter(|_| short);
        if let Some(key) = key {
            cached.classes.keep(key, Entry::Judged(Rc::clone(&judged)));
        }
        (key, judged)
    }

    /// Classifies a text; without a key when nothing is to be kept of it.
    fn judge(
        &self,
        cached: &mut Cached,
        text: &str,
        print: u128,
        (space, now): (Space<'_>, Second),
    ) -> (Option<Key>, Rc<Judged>) {
        let catalog = space.catalog.map(|catalog| &**catalog);
        let mut classified = self.classifier.classify(text, catalog);
        let mut key = Key { print, path: PathNumber::ANY };
        match classified.keyed_by {
            KeyedBy::Fingerprint => {}
            by @ (KeyedBy::SearchPath | KeyedBy::Text) => {
                cached.classes.keep(key, Entry::Ask(by));
                key = self.closer(key, by, text, cached.number_of(space.path));
                if classified.class > Class::Read && space.path.is_some() {
                    let space = Namespace { catalog, path: space.path };
                    classified = self.classifier.classify(text, space);
                }
            }
            KeyedBy::Nothing => {
                return (None, Rc::new(Judged { classified, note: None, until: None }));
            }
        }
        let (note, until) = self.notes.borrow_mut().judge(key, text, &mut classified, now);
        (Some(key), Rc::new(Judged { classified, note, until }))
    }

    /// The key of an answer that the fingerprint alone does not give.
    fn closer(&self, key: Key, by: KeyedBy, text: &str, path: PathNumber) -> Key {
        match by {
            KeyedBy::Text => Key { print: self.scanner.text(text.as_bytes()).0, path },
            KeyedBy::Fingerprint | KeyedBy::SearchPath | KeyedBy::Nothing => Key { path, ..key },
        }
    }

    /// Learns that a replica refused `text`, which was taken for a read, and the primary ran it.
    ///
    /// Returns what is noted of it from now on; `None` if it was no read.
    pub(crate) fn learn(
        &self,
        text: &[u8],
        space: Space<'_>,
        (code, metrics, now): (SqlState, &Metrics, Second),
    ) -> Option<Rc<Note>> {
        let judged = self.of(text, space, metrics, now);
        if judged.class > Class::Read {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        let mut cached = self.cached.borrow_mut();
        let print = self.scanner.scan(text.as_bytes()).fingerprint.0;
        let mut key = Key { print, path: PathNumber::ANY };
        if let Some(Entry::Ask(by)) = cached.classes.find(key) {
            key = self.closer(key, by, text, cached.number_of(space.path));
        }
        let note = self.notes.borrow_mut().learn(key, text, code, now);
        cached.classes.forget(key);
        // Nobody knows which texts and statements are of this fingerprint.
        cached.shortcuts.clear();
        Some(note)
    }

    /// All that is noted, for `name`, a database of `cluster`.
    pub(crate) fn views(
        &self,
        (cluster, name): (&Arc<str>, &Arc<str>),
        now: Second,
    ) -> Vec<StatementView> {
        self.notes.borrow().views((cluster, name), now)
    }
}

/// A text in an encoding that the scanner can't read: the primary's, and nothing is known of it.
fn unreadable() -> Judged {
    let classified = Classified {
        class: Class::Write,
        why: Why::Malformed,
        effects: vec![Effect::Pin(Pin::Unknown)],
        steps: vec![0],
        reaches_outside: true,
        keyed_by: KeyedBy::Nothing,
        statements: 2,
    };
    Judged { classified, note: None, until: None }
}
