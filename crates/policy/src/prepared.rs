//! Which statements does a client know by name, and which are prepared on a server?
//!
//! Client names are mapped to statements identified by content (text and parameter types), and a
//! server knows a statement as `weir_<id>`, so that clients share them and none notices which
//! server it is on. Nothing is recorded before the server said `ParseComplete`.

use std::collections::HashMap;
use std::rc::{Rc, Weak};

/// Identifies a statement's content within one worker.
pub type StatementId = u64;

/// A statement's content.
#[derive(Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its number; servers know it as `weir_<id>`.
    pub id: StatementId,
    /// The text as the client sent it, without the closing NUL.
    pub sql: Box<[u8]>,
    /// The parameter types' OIDs as in `Parse`, four bytes each.
    pub types: Box<[u8]>,
}

/// Gives equal content the same number, as long as anybody uses it.
#[derive(Debug, Default)]
pub struct Interner {
    known: HashMap<Box<[u8]>, Weak<Statement>>,
    next: StatementId,
    key: Vec<u8>,
    sweep_at: usize,
}

impl Interner {
    /// The statement of this content, as sessions of this [shape](crate::settings::Settings::shape)
    /// mean it: a server resolves names and literals when it parses.
    pub fn intern(&mut self, (sql, types): (&[u8], &[u8]), shape: &[u8]) -> Rc<Statement> {
        self.key.clear();
        for part in [shape, &[0], types, &[0], sql] {
            self.key.extend_from_slice(part);
        }
        if let Some(statement) = self.known.get(self.key.as_slice()).and_then(Weak::upgrade) {
            return statement;
        }
        self.sweep();
        self.next = self.next.saturating_add(1);
        let statement = Rc::new(Statement { id: self.next, sql: sql.into(), types: types.into() });
        self.known.insert(self.key.as_slice().into(), Rc::downgrade(&statement));
        statement
    }

    /// Gives the content of `statement` another number from now on: what servers have prepared by
    /// this one is of a schema that is gone.
    pub fn retire(&mut self, statement: &Rc<Statement>) {
        self.known.retain(|_, known| known.as_ptr() != Rc::as_ptr(statement));
    }

    /// Forgets what nobody uses any more, each time the table has doubled.
    fn sweep(&mut self) {
        if self.known.len() >= self.sweep_at.max(1024) {
            self.known.retain(|_, statement| statement.strong_count() > 0);
            self.sweep_at = self.known.len().saturating_mul(2);
        }
    }
}

/// The statements that one client prepared.
#[derive(Debug, Default)]
pub struct ClientStatements {
    named: HashMap<Box<[u8]>, Rc<Statement>>,
    unnamed: Unnamed,
}

/// The unnamed statement: remembered by content, since each `Parse` replaces it.
#[derive(Debug, Default)]
pub struct Unnamed {
    /// Whether the client has one.
    pub present: bool,
    /// Counts its replacements: tells apart what several servers were given as unnamed.
    pub version: u64,
    /// Its text.
    pub sql: Vec<u8>,
    /// Its parameter types.
    pub types: Vec<u8>,
}

impl ClientStatements {
    /// The named statement.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&Rc<Statement>> {
        self.named.get(name)
    }

    /// Remembers a named statement; the server has parsed it.
    pub fn insert(&mut self, name: &[u8], statement: Rc<Statement>) {
        self.named.insert(name.into(), statement);
    }

    /// Lets every name of one statement mean another.
    pub fn replace(&mut self, old: &Rc<Statement>, new: &Rc<Statement>) {
        for statement in self.named.values_mut().filter(|statement| Rc::ptr_eq(statement, old)) {
            *statement = Rc::clone(new);
        }
    }

    /// Forgets a named statement; closing one that does not exist is no error.
    pub fn remove(&mut self, name: &[u8]) {
        self.named.remove(name);
    }

    /// Replaces the unnamed statement.
    pub fn set_unnamed(&mut self, sql: &[u8], types: &[u8]) {
        self.unnamed.present = true;
        self.unnamed.version = self.unnamed.version.saturating_add(1);
        self.unnamed.sql.clear();
        self.unnamed.sql.extend_from_slice(sql);
        self.unnamed.types.clear();
        self.unnamed.types.extend_from_slice(types);
    }

    /// Forgets the unnamed statement (a simple query does).
    pub fn drop_unnamed(&mut self) {
        self.unnamed.present = false;
    }

    /// The unnamed statement, if the client has one.
    #[must_use]
    pub fn unnamed(&self) -> Option<&Unnamed> {
        Some(&self.unnamed).filter(|unnamed| unnamed.present)
    }

    /// Forgets all (`DEALLOCATE ALL`, `DISCARD ALL`).
    pub fn clear(&mut self) {
        self.named.clear();
        self.drop_unnamed();
    }
}

/// The statements that one server has prepared, least recently used first to go.
#[derive(Debug, Default)]
pub struct ServerStatements {
    used: HashMap<StatementId, u64>,
    tick: u64,
}

impl ServerStatements {
    /// Whether the statement is prepared; marks it as used.
    pub fn touch(&mut self, id: StatementId) -> bool {
        self.tick = self.tick.saturating_add(1);
        let tick = self.tick;
        self.used.get_mut(&id).map(|used| *used = tick).is_some()
    }

    /// Whether the statement is prepared.
    #[must_use]
    pub fn has(&self, id: StatementId) -> bool {
        self.used.contains_key(&id)
    }

    /// Records a statement whose `ParseComplete` arrived.
    pub fn insert(&mut self, id: StatementId) {
        self.tick = self.tick.saturating_add(1);
        self.used.insert(id, self.tick);
    }

    /// Forgets a statement.
    pub fn remove(&mut self, id: StatementId) {
        self.used.remove(&id);
    }

    /// Forgets all (`DEALLOCATE ALL`, `DISCARD ALL`).
    pub fn clear(&mut self) {
        self.used.clear();
    }

    /// The least recently used statement, if there are more than `most`.
    #[must_use]
    pub fn surplus(&self, most: u32) -> Option<StatementId> {
        if self.used.len() <= usize::try_from(most).unwrap_or(usize::MAX) {
            return None;
        }
        self.used.iter().min_by_key(|(_, used)| **used).map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_content_is_one_statement_and_other_types_are_another() {
        let mut interner = Interner::default();
        let mut intern = |types: &[u8], shape: &[u8]| interner.intern((b"SELECT $1", types), shape);
        let first = intern(&[0, 0, 0, 23], b"");
        assert_eq!(intern(&[0, 0, 0, 23], b"").id, first.id);
        assert_ne!(intern(&[0, 0, 0, 25], b"").id, first.id);
        assert_ne!(intern(&[0, 0, 0, 23], b"search_path\0a\0").id, first.id);
    }

    #[test]
    fn a_retired_statement_is_parsed_under_another_number() {
        let mut interner = Interner::default();
        let first = interner.intern((b"SELECT 1", b""), b"");
        interner.retire(&first);
        assert_ne!(interner.intern((b"SELECT 1", b""), b"").id, first.id);
    }

    #[test]
    fn a_number_is_not_used_again_once_its_statement_is_gone() {
        let mut interner = Interner::default();
        let first = interner.intern((b"SELECT 1", b""), b"").id;
        assert_ne!(interner.intern((b"SELECT 1", b""), b"").id, first);
    }

    #[test]
    fn the_least_recently_used_statement_is_the_surplus() {
        let mut server = ServerStatements::default();
        server.insert(1);
        server.insert(2);
        assert_eq!(server.surplus(2), None);
        assert!(server.touch(1));
        server.insert(3);
        assert_eq!(server.surplus(2), Some(2));
    }
}
