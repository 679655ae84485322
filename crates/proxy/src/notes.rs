//! Which statements go to the primary that may be reads, and which reads did a replica refuse?
//!
//! For operators, by fingerprint, bounded; and what replicas taught, for some time. One set per worker and database:
//! each worker learns by itself.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use sql::{Class, Classified, Why, normalized};
use wire::SqlState;

use crate::classes::Key;
use crate::inquiry::{Lesson, StatementView};
use crate::shown::Second;

/// Statements noted at most; then those that are run least make room.
const MOST: usize = 1_000;

/// How much of a statement's text is noted.
const LONGEST: usize = 1_000;

/// How long, in seconds, what a replica taught is believed: a function may have been mended since.
const BELIEVED: u32 = 600;

/// What a read is that a replica refused: it may have written on the primary.
const LEARNED: (Class, Why) = (Class::Write, Why::RefusedByStandby);

/// All that is noted.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    known: HashMap<Key, Rc<Note>>,
}

/// What is noted of one statement.
#[derive(Debug)]
pub(crate) struct Note {
    /// Without literals.
    pub(crate) text: Box<str>,
    judged: Cell<(Class, Why)>,
    runs: Cell<u64>,
    refused: Cell<Option<Refused>>,
}

/// A replica's refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refused {
    code: SqlState,
    times: u32,
    believed_until: Second,
}

impl Note {
    /// How long a lesson is believed.
    pub(crate) const BELIEVED: Duration = Duration::from_secs(BELIEVED as u64);

    /// Counts that a client runs it.
    pub(crate) fn runs(&self) {
        self.runs.set(self.runs.get().saturating_add(1));
    }

    /// What makes it worth a place: a lesson that is believed, then how often it is run.
    fn worth(&self, now: Second) -> (bool, u64) {
        let believed = self.refused.get().is_some_and(|refused| now < refused.believed_until);
        (believed, self.runs.get())
    }
}

impl Notes {
    /// Takes note of a text that was classified, and corrects its class by what a replica taught.
    ///
    /// Returns the note if there is a doubt, and until when the correction holds.
    pub(crate) fn judge(
        &mut self,
        key: Key,
        text: &str,
        classified: &mut Classified,
        now: Second,
    ) -> (Option<Rc<Note>>, Option<Second>) {
        let known = self.known.get(&key).map(Rc::clone);
        let refused = known.as_ref().and_then(|note| note.refused.get());
        let lesson = refused.filter(|refused| now < refused.believed_until);
        if lesson.is_some() && classified.class == Class::Read {
            (classified.class, classified.why) = LEARNED;
        }
        let judged = (classified.class, classified.why);
        if classified.class == Class::Read || !classified.why.is_doubt() {
            if refused.is_none() {
                self.known.remove(&key);
            }
            return (None, None);
        }
        let note = known.unwrap_or_else(|| self.add(key, text, judged, now));
        note.judged.set(judged);
        (Some(note), lesson.map(|lesson| lesson.believed_until))
    }

    /// Learns that a replica refused a read with `code`.
    pub(crate) fn learn(&mut self, key: Key, text: &str, code: SqlState, now: Second) -> Rc<Note> {
        let judged = LEARNED;
        let known = self.known.get(&key).map(Rc::clone);
        let note = known.unwrap_or_else(|| self.add(key, text, judged, now));
        let times = note.refused.get().map_or(0, |refused| refused.times).saturating_add(1);
        let believed_until = Second(now.0.saturating_add(BELIEVED));
        note.refused.set(Some(Refused { code, times, believed_until }));
        note.judged.set(judged);
        note
    }

    fn add(&mut self, key: Key, text: &str, judged: (Class, Why), now: Second) -> Rc<Note> {
        if self.known.len() >= MOST {
            self.make_room(now);
        }
        let note = Rc::new(Note {
            text: normalized(text, LONGEST).into(),
            judged: Cell::new(judged),
            runs: Cell::default(),
            refused: Cell::default(),
        });
        self.known.insert(key, Rc::clone(&note));
        note
    }

    /// Forgets the lesser half, so that most additions cost nothing.
    fn make_room(&mut self, now: Second) {
        let mut by_worth: Vec<_> =
            self.known.iter().map(|(key, note)| (note.worth(now), *key)).collect();
        by_worth.sort_unstable();
        for (_, key) in by_worth.iter().take(MOST / 2) {
            self.known.remove(key);
        }
    }

    /// All of them, for a database of a cluster.
    pub(crate) fn views(
        &self,
        (cluster, database): (&Arc<str>, &Arc<str>),
        now: Second,
    ) -> Vec<StatementView> {
        let view = |(key, note): (&Key, &Rc<Note>)| {
            let (class, why) = note.judged.get();
            StatementView {
                cluster: Arc::clone(cluster),
                database: Arc::clone(database),
                fingerprint: key.print,
                text: note.text.clone(),
                class,
                why,
                runs: note.runs.get(),
                lesson: note.refused.get().map(|refused| Lesson {
                    code: refused.code,
                    times: refused.times,
                    believed_for: now.until(refused.believed_until),
                }),
            }
        };
        self.known.iter().map(view).collect()
    }
}
