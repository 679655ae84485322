//! Which statements does a client know by name, and which are prepared on a server?
//!
//! Client names are mapped to statements identified by content (text and parameter types), and a
//! server knows a statement as `weir_<id>`, so that clients share them and none notices which
//! server it is on. Nothing is recorded before the server said `ParseComplete`.

mod on_server;

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

pub use self::on_server::ServerStatements;
use crate::sweep::Sweep;

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
    /// What the columns that it answers with hash to, once a server described them.
    columns: Cell<Option<u64>>,
    /// The newest schema under which those columns are known to be the same.
    schema: Cell<SchemaNumber>,
    /// Its content has another number by now.
    retired: Cell<bool>,
}

/// Tells apart the schemas that databases had, one after the other; no two databases share one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaNumber(pub u64);

/// What a text means besides its letters: a server resolves names and literals when it parses.
#[derive(Debug, Clone, Copy)]
pub struct Meaning<'a> {
    /// The [shape](crate::settings::Settings::shape) of the session's settings.
    pub shape: &'a [u8],
    /// The database's schema now.
    pub schema: SchemaNumber,
}

impl Statement {
    /// Takes note of the columns that a server described under this schema, or says that they are
    /// others than before: then the client must be told that its statement is not what it was.
    #[must_use]
    pub fn describes(&self, columns: u64, schema: SchemaNumber) -> Columns {
        match self.columns.get() {
            Some(known) if known != columns => Columns::Changed,
            Some(_) | None => {
                self.columns.set(Some(columns));
                self.schema.set(self.schema.get().max(schema));
                Columns::Same
            }
        }
    }

    /// Gives its content another number from now on: what servers have prepared by this one is of a
    /// schema that is gone.
    pub fn retire(&self) {
        self.retired.set(true);
    }

    /// Whether the schema may have changed its columns since they were described.
    #[must_use]
    pub fn is_in_doubt(&self, schema: SchemaNumber) -> bool {
        self.schema.get() < schema && self.columns.get().is_some()
    }
}

/// Whether a statement answers with the columns that its clients were told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// Yes.
    Same,
    /// With others.
    Changed,
}

/// What a `RowDescription`'s body hashes to (FNV-1a); of no columns it is empty.
#[must_use]
pub fn columns_of(body: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    body.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Gives equal content the same number, as long as anybody uses it.
#[derive(Debug)]
pub struct Interner {
    known: HashMap<Box<[u8]>, Weak<Statement>>,
    next: StatementId,
    key: Vec<u8>,
    sweep: Sweep,
}

/// Statements kept before those that nobody uses are forgotten.
const LEAST: usize = 1024;

impl Default for Interner {
    fn default() -> Self {
        let (known, next, key) = (HashMap::new(), StatementId::default(), Vec::new());
        Self { known, next, key, sweep: Sweep::from(LEAST) }
    }
}

impl Interner {
    /// The statement of this content and meaning.
    pub fn intern(&mut self, (sql, types): (&[u8], &[u8]), meaning: Meaning<'_>) -> Rc<Statement> {
        self.key.clear();
        let schema = meaning.schema.0.to_be_bytes();
        for part in [&schema, meaning.shape, &[0], types, &[0], sql] {
            self.key.extend_from_slice(part);
        }
        let known = self.known.get(self.key.as_slice()).and_then(Weak::upgrade);
        if let Some(statement) = known.filter(|known| !known.retired.get()) {
            return statement;
        }
        if self.sweep.is_due(self.known.len()) {
            self.known.retain(|_, statement| statement.strong_count() > 0);
            self.sweep.swept(self.known.len());
        }
        self.next = self.next.saturating_add(1);
        let statement = Rc::new(Statement {
            id: self.next,
            sql: sql.into(),
            types: types.into(),
            columns: Cell::new(None),
            schema: Cell::new(meaning.schema),
            retired: Cell::new(false),
        });
        self.known.insert(self.key.as_slice().into(), Rc::downgrade(&statement));
        statement
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

    /// Whether any named statement is such.
    pub fn any(&self, such: impl Fn(&Statement) -> bool) -> bool {
        self.named.values().any(|statement| such(statement))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(shape: &[u8], schema: u64) -> Meaning<'_> {
        Meaning { shape, schema: SchemaNumber(schema) }
    }

    #[test]
    fn equal_content_of_one_meaning_is_one_statement() {
        let mut interner = Interner::default();
        let mut intern = |types: &[u8], shape: &[u8], schema: u64| {
            interner.intern((b"SELECT $1", types), meaning(shape, schema))
        };
        let first = intern(&[0, 0, 0, 23], b"", 1);
        assert_eq!(intern(&[0, 0, 0, 23], b"", 1).id, first.id);
        assert_ne!(intern(&[0, 0, 0, 25], b"", 1).id, first.id);
        assert_ne!(intern(&[0, 0, 0, 23], b"search_path\0a\0", 1).id, first.id);
        assert_ne!(intern(&[0, 0, 0, 23], b"", 2).id, first.id);
    }

    #[test]
    fn a_retired_statement_is_parsed_under_another_number() {
        let mut interner = Interner::default();
        let first = interner.intern((b"SELECT 1", b""), meaning(b"", 1));
        first.retire();
        let second = interner.intern((b"SELECT 1", b""), meaning(b"", 1));
        assert_ne!(second.id, first.id);
        first.retire();
        assert_eq!(interner.intern((b"SELECT 1", b""), meaning(b"", 1)).id, second.id);
    }

    #[test]
    fn a_number_is_not_used_again_once_its_statement_is_gone() {
        let mut interner = Interner::default();
        let first = interner.intern((b"SELECT 1", b""), meaning(b"", 1)).id;
        assert_ne!(interner.intern((b"SELECT 1", b""), meaning(b"", 1)).id, first);
    }

    #[test]
    fn a_statement_is_in_doubt_from_a_change_of_schema_until_it_is_described_again() {
        let statement = Interner::default().intern((b"SELECT * FROM t", b""), meaning(b"", 1));
        assert!(!statement.is_in_doubt(SchemaNumber(2)), "nobody was told any columns yet");
        assert_eq!(statement.describes(columns_of(b"a"), SchemaNumber(1)), Columns::Same);
        assert!(statement.is_in_doubt(SchemaNumber(2)));
        assert_eq!(statement.describes(columns_of(b"ab"), SchemaNumber(2)), Columns::Changed);
        assert!(statement.is_in_doubt(SchemaNumber(2)));
        assert_eq!(statement.describes(columns_of(b"a"), SchemaNumber(2)), Columns::Same);
        assert!(!statement.is_in_doubt(SchemaNumber(2)));
    }
}
