//! Rows of a database's catalog to what a [`Catalog`](super::Catalog) is made of.

use std::collections::BTreeMap;
use std::fmt;

use super::CatalogPart;
use crate::class::{Class, Why};
use crate::effect::Pin;
use crate::facts::Facts;

/// `pg_proc.provolatile`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Volatility {
    /// `i`
    Immutable,
    /// `s`: may read tables.
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
    /// `S`: a standby may be ahead of the primary, for sequences are logged in advance.
    Sequence,
}

/// `pg_class.relpersistence`; temporary relations are of one session and not in the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Persistence {
    /// `p`
    Permanent,
    /// `u`: not on standbys.
    Unlogged,
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

/// `pg_*.oid`, or a number beyond them for objects that were named without one.
pub(crate) type Oid = u64;

/// An object as its row describes it.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(super) schema: Box<str>,
    pub(super) name: Box<str>,
    pub(crate) facts: Facts,
}

/// A function or relation that another object uses; by name when it is PostgreSQL's own.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) oid: Oid,
    pub(super) schema: Box<str>,
    pub(super) name: Box<str>,
}

/// What calls a function without a statement naming it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    Function(Oid),
    Relation(Oid),
    Policy(Oid),
    /// The type of a column of this relation.
    Column(Oid),
    Type(Oid),
    Always,
}

/// What some function of the database sets, so that a trigger may do so unseen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sets {
    /// Something for its session.
    pub(super) session: bool,
    /// Perhaps how its transaction commits.
    pub(super) commits: bool,
}

/// Gathers catalog rows, in any order, into a [`Catalog`](super::Catalog).
#[derive(Clone, Debug, Default)]
pub struct CatalogBuilder {
    pub(crate) functions: BTreeMap<Oid, Object>,
    /// Functions in SQL that are labelled VOLATILE, and what they run.
    pub(crate) bodies: Vec<(Oid, Box<str>)>,
    pub(super) takes_row: Vec<Oid>,
    pub(super) relations: BTreeMap<Oid, Object>,
    pub(super) types: BTreeMap<Oid, Object>,
    pub(super) type_parts: Vec<(Oid, Oid)>,
    pub(super) operators: Vec<(Box<str>, Box<str>, Target)>,
    pub(super) reads: Vec<(Oid, Target)>,
    pub(super) calls: Vec<(Caller, Target)>,
    pub(super) overrides: BTreeMap<Box<str>, Facts>,
    pub(super) sets: Sets,
    pub(super) assumes_tables: bool,
    unnumbered: u64,
}

const WRITES: Facts = Facts::new(Class::Write, Why::VolatileFunction);

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
    /// [`CatalogError`] when a column is missing or not understood: drop this builder and keep the old catalog.
    pub fn row(&mut self, part: CatalogPart, columns: &[Option<&str>]) -> Result<(), CatalogError> {
        let row = Row { part, columns };
        if columns.len() != part.columns() {
            return Err(CatalogError { part, column: columns.len().min(part.columns()) });
        }
        match part {
            CatalogPart::Functions => self.function_row(&row),
            CatalogPart::Operators => {
                let entry = (row.text(0)?.into(), row.text(1)?.into(), row.target(2)?);
                self.operators.push(entry);
                Ok(())
            }
            CatalogPart::Types => self.type_row(&row),
            CatalogPart::Relations => self.relation_row(&row),
            CatalogPart::Reads => {
                let entry = (row.oid(0)?, row.target(1)?);
                self.reads.push(entry);
                Ok(())
            }
            CatalogPart::Calls => {
                let entry = (row.caller()?, row.target(2)?);
                self.calls.push(entry);
                Ok(())
            }
        }
    }

    /// Adds a function, aggregate or window function that no row tells of.
    pub fn function(&mut self, schema: &str, name: &str, volatility: Volatility) -> &mut Self {
        let oid = self.next_oid();
        self.functions.insert(
            oid,
            Object { schema: schema.into(), name: name.into(), facts: called(volatility) },
        );
        self
    }

    /// Adds a relation that no row tells of.
    pub fn relation(
        &mut self,
        schema: &str,
        name: &str,
        kind: RelationKind,
        persistence: Persistence,
    ) -> &mut Self {
        let oid = self.next_oid();
        self.relations.insert(
            oid,
            Object { schema: schema.into(), name: name.into(), facts: read(kind, persistence) },
        );
        self
    }

    /// Lets config decide what a function does, whatever the catalog says.
    ///
    /// `name` is `function`, for every schema, or `schema.function`, in the catalog's own case. Built-in functions
    /// can't be overridden to be weaker than they are: that list is what keeps locks and sequences safe.
    pub fn override_function(&mut self, name: &str, effect: FunctionEffect) -> &mut Self {
        let facts = match effect {
            FunctionEffect::Read => Facts::READ,
            FunctionEffect::PrimaryRead => Facts::new(Class::PrimaryRead, Why::PrimaryOnlyFunction),
            FunctionEffect::Write => Facts::new(Class::Write, Why::VolatileFunction).outside(),
        };
        let bare = name.rsplit('.').next().unwrap_or(name);
        let facts = crate::builtin::function(bare).map_or(facts, |builtin| builtin.or(facts));
        self.overrides.insert(name.into(), facts);
        self
    }

    /// Takes every relation that nothing tells of for an ordinary table: for judging statements without their database.
    ///
    /// Never for routing: such a relation may be a view that writes.
    pub fn assume_tables(&mut self) -> &mut Self {
        self.assumes_tables = true;
        self
    }

    fn next_oid(&mut self) -> Oid {
        self.unnumbered = self.unnumbered.wrapping_add(1);
        self.unnumbered.wrapping_add(u64::from(u32::MAX))
    }

    fn function_row(&mut self, row: &Row<'_>) -> Result<(), CatalogError> {
        let oid = row.oid(0)?;
        let mut facts = called(match row.text(3)? {
            "i" => Volatility::Immutable,
            "s" => Volatility::Stable,
            "v" => Volatility::Volatile,
            _ => return Err(row.error(3)),
        });
        if row.flag(4)? {
            self.takes_row.push(oid);
        }
        facts.outside |= row.flag(5)?;
        match row.text(6)? {
            "s" => {
                // The session is left with what nobody else knows of.
                facts = WRITES.or(facts).pinning(Pin::SessionSetting);
                self.sets.session = true;
            }
            "o" => facts = WRITES.or(facts).suspect(),
            "n" => {
                let body = row.text(7)?;
                if !body.is_empty() {
                    self.bodies.push((oid, body.into()));
                }
            }
            _ => return Err(row.error(6)),
        }
        self.sets.commits |= row.flag(8)?;
        let object = row.object(facts)?;
        self.functions.insert(oid, object);
        Ok(())
    }

    fn type_row(&mut self, row: &Row<'_>) -> Result<(), CatalogError> {
        let oid = row.oid(0)?;
        for part in row.text(3)?.split_whitespace() {
            self.type_parts.push((oid, part.parse().map_err(|_| row.error(3))?));
        }
        let object = row.object(Facts::READ)?;
        self.types.insert(oid, object);
        Ok(())
    }

    fn relation_row(&mut self, row: &Row<'_>) -> Result<(), CatalogError> {
        let kind = match row.text(3)? {
            "r" => RelationKind::Table,
            "p" => RelationKind::Partitioned,
            "v" => RelationKind::View,
            "m" => RelationKind::MaterializedView,
            "f" => RelationKind::Foreign,
            "S" => RelationKind::Sequence,
            _ => return Err(row.error(3)),
        };
        let persistence = match row.text(4)? {
            "p" => Persistence::Permanent,
            "u" => Persistence::Unlogged,
            _ => return Err(row.error(4)),
        };
        let object = row.object(read(kind, persistence))?;
        self.relations.insert(row.oid(0)?, object);
        Ok(())
    }
}

/// What calling a function of this volatility may do. A STABLE one that writes all the same fails with 25006 on a
/// standby and is retried on the primary.
const fn called(volatility: Volatility) -> Facts {
    match volatility {
        Volatility::Immutable | Volatility::Stable => Facts::READ,
        Volatility::Volatile => Facts::new(Class::Write, Why::VolatileFunction).outside(),
    }
}

const fn read(kind: RelationKind, persistence: Persistence) -> Facts {
    match (kind, persistence) {
        (_, Persistence::Unlogged) => Facts::new(Class::PrimaryRead, Why::UnloggedRelation),
        (RelationKind::Foreign, _) => {
            Facts::new(Class::PrimaryRead, Why::ForeignRelation).outside()
        }
        (RelationKind::Sequence, _) => Facts::new(Class::PrimaryRead, Why::SystemRelation),
        (
            RelationKind::Table
            | RelationKind::Partitioned
            | RelationKind::View
            | RelationKind::MaterializedView,
            Persistence::Permanent,
        ) => Facts::READ,
    }
}

/// A row and the query it came from.
struct Row<'a> {
    part: CatalogPart,
    columns: &'a [Option<&'a str>],
}

impl Row<'_> {
    const fn error(&self, column: usize) -> CatalogError {
        CatalogError { part: self.part, column }
    }

    fn text(&self, column: usize) -> Result<&str, CatalogError> {
        self.columns.get(column).copied().flatten().ok_or(self.error(column))
    }

    fn oid(&self, column: usize) -> Result<Oid, CatalogError> {
        self.text(column)?.parse::<u32>().map(Oid::from).map_err(|_| self.error(column))
    }

    fn flag(&self, column: usize) -> Result<bool, CatalogError> {
        match self.text(column)? {
            "t" => Ok(true),
            "f" => Ok(false),
            _ => Err(self.error(column)),
        }
    }

    /// Reads an object whose schema and name follow its oid in column 0.
    fn object(&self, facts: Facts) -> Result<Object, CatalogError> {
        Ok(Object { schema: self.text(1)?.into(), name: self.text(2)?.into(), facts })
    }

    /// Reads oid, schema and name from `column` on.
    fn target(&self, column: usize) -> Result<Target, CatalogError> {
        let (schema, name) = (column.saturating_add(1), column.saturating_add(2));
        Ok(Target {
            oid: self.oid(column)?,
            schema: self.text(schema)?.into(),
            name: self.text(name)?.into(),
        })
    }

    fn caller(&self) -> Result<Caller, CatalogError> {
        let oid = self.oid(1)?;
        match self.text(0)? {
            "f" => Ok(Caller::Function(oid)),
            "r" => Ok(Caller::Relation(oid)),
            "p" => Ok(Caller::Policy(oid)),
            "c" => Ok(Caller::Column(oid)),
            "t" => Ok(Caller::Type(oid)),
            "a" => Ok(Caller::Always),
            _ => Err(self.error(0)),
        }
    }
}
