//! What of a session does ROLLBACK undo, and how far?
//!
//! Settings follow transactions and savepoints (manual, SET): what was set within one that is rolled
//! back is as it was before. Two sets are kept: what the session wants, and what its server is set
//! to. They differ after a `RESET`, which takes the server to its own default and the session to
//! what it asked for at its start.

use std::rc::Rc;

use sql::SetScope;

use super::commits::Trail;
use crate::rules::{PreferenceError, Preferences};
use crate::settings::{KnownSettings, Settings};

/// What ROLLBACK undoes.
#[derive(Debug, Clone)]
pub(super) struct Undoable {
    /// The wishes that stay after COMMIT.
    pub(super) wishes: Rc<Preferences>,
    /// What SET LOCAL makes of them.
    pub(super) local: Option<Rc<Preferences>>,
    /// The settings that the session wants.
    pub(super) wanted: Rc<Settings>,
    /// The settings that its server has, as long as it keeps one.
    pub(super) on_server: Rc<Settings>,
}

/// What a session starts with, and `RESET` goes back to.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) wishes: Rc<Preferences>,
    pub(super) settings: Rc<Settings>,
}

/// A transaction, and what to go back to.
#[derive(Debug, Clone)]
pub(super) struct Open {
    /// Whether anything so far may have written.
    pub(super) wrote: bool,
    /// Whether it will be on disk when its end is acknowledged.
    pub(super) trail: Trail,
    pub(super) before: Undoable,
    pub(super) savepoints: Vec<(Box<str>, Undoable)>,
}

impl Open {
    pub(super) fn new(before: Undoable) -> Self {
        Self { wrote: false, trail: Trail::default(), before, savepoints: Vec::new() }
    }

    /// What `ROLLBACK TO name` goes back to; later savepoints are gone, this one stays.
    pub(super) fn back_to(&mut self, name: &str) -> Option<Undoable> {
        let at = self.savepoints.iter().rposition(|(known, _)| **known == *name)?;
        self.savepoints.truncate(at.saturating_add(1));
        self.savepoints.last().map(|(_, saved)| saved.clone())
    }

    /// `RELEASE name`: it and later ones are gone.
    pub(super) fn release(&mut self, name: &str) {
        if let Some(at) = self.savepoints.iter().rposition(|(known, _)| **known == *name) {
            self.savepoints.truncate(at);
        }
    }
}

impl Undoable {
    pub(super) fn set_wish(
        &mut self,
        start: &Start,
        (name, value): (&str, Option<&str>),
        scope: SetScope,
    ) -> Result<(), PreferenceError> {
        let apply = |wishes: &Preferences| {
            let mut wishes = wishes.clone();
            if let Some(value) = value {
                wishes.set(name, value)?;
            } else {
                let value = start.wishes.get(name).ok_or(PreferenceError::UnknownName)?;
                wishes.set(name, &value)?;
            }
            Ok(Rc::new(wishes))
        };
        let now = apply(self.local.as_ref().unwrap_or(&self.wishes))?;
        match scope {
            SetScope::Local => self.local = Some(now),
            SetScope::Session => {
                self.wishes = apply(&self.wishes)?;
                self.local = self.local.is_some().then_some(now);
            }
        }
        Ok(())
    }

    pub(super) fn set(&mut self, known: &KnownSettings, name: &str, value: &str) {
        self.on_server = known.with(&self.on_server, name, Some(value));
        self.wanted = known.with(&self.wanted, name, Some(value));
    }

    pub(super) fn reset(&mut self, known: &KnownSettings, start: &Start, name: &str) {
        self.on_server = known.with(&self.on_server, name, None);
        self.wanted = known.with(&self.wanted, name, start.settings.value(name));
    }

    pub(super) fn reset_all(&mut self, known: &KnownSettings, start: &Start) {
        self.on_server = known.reset_all(&self.on_server, &known.none());
        self.wanted = known.reset_all(&self.wanted, &start.settings);
        self.wishes = Rc::clone(&start.wishes);
        self.local = None;
    }

    pub(super) fn discard_all(&mut self, known: &KnownSettings, start: &Start) {
        self.reset_all(known, start);
        self.on_server = known.none();
        self.wanted = Rc::clone(&start.settings);
    }
}
