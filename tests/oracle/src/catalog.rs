//! The catalog of a session's database, as new as what was committed.
//!
//! Tests change the schema thousands of times, mostly one table at a time: only those of the catalog's
//! queries run again whose tables have changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use sql::{Catalog, CatalogBuilder, CatalogPart, Class, Classified, Why};

use crate::link::Link;
use crate::text;
use crate::verdict::Cause;

type Rows = Vec<Vec<Option<String>>>;

/// Reads a database's catalog again when something in it has changed.
pub(crate) struct Catalogs {
    link: Link,
    parts: BTreeMap<CatalogPart, Rows>,
    /// Of each table, what changes with it.
    sums: BTreeMap<String, String>,
    known: Catalog,
    belief: Belief,
    volatile: BTreeSet<String>,
}

/// Whether the catalog may have changed since it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Belief {
    Sure,
    Doubtful,
}

/// A table that catalog queries read: its name, which of its rows count, and what they are read for.
type Source = (&'static str, &'static str, &'static [CatalogPart]);

const OWN: &str = "oid >= 16384";

/// Rows of PostgreSQL's own never change, and are left out.
const SOURCES: &[Source] = &[
    ("pg_namespace", OWN, CatalogPart::ALL),
    ("pg_language", "true", &[CatalogPart::Functions, CatalogPart::Calls]),
    ("pg_proc", OWN, &[CatalogPart::Functions, CatalogPart::Operators, CatalogPart::Calls]),
    ("pg_operator", OWN, &[CatalogPart::Operators, CatalogPart::Calls]),
    ("pg_type", OWN, &[CatalogPart::Types]),
    // A function's argument changes its kind only where it was a shell before.
    ("pg_type", "typtype = 'p' AND oid >= 16384", &[CatalogPart::Functions]),
    ("pg_range", "rngtypid >= 16384", &[CatalogPart::Types, CatalogPart::Calls]),
    ("pg_attribute", "atttypid >= 16384 AND attrelid >= 16384", &[CatalogPart::Types]),
    ("pg_cast", OWN, &[CatalogPart::Types, CatalogPart::Calls]),
    ("pg_class", OWN, &[CatalogPart::Relations, CatalogPart::Reads]),
    ("pg_class", "relrowsecurity AND oid >= 16384", &[CatalogPart::Calls]),
    ("pg_rewrite", OWN, &[CatalogPart::Reads, CatalogPart::Calls]),
    ("pg_policy", OWN, &[CatalogPart::Reads, CatalogPart::Calls]),
    ("pg_inherits", "true", &[CatalogPart::Reads]),
    ("pg_constraint", "contypid >= 16384", &[CatalogPart::Calls]),
    ("pg_aggregate", "aggfnoid::oid >= 16384", &[CatalogPart::Calls]),
    ("pg_amproc", OWN, &[CatalogPart::Calls]),
    ("pg_amop", OWN, &[CatalogPart::Calls]),
];

impl Catalogs {
    /// A catalog that is to be read.
    pub(crate) fn open(port: u16, database: &str) -> io::Result<Self> {
        let mut link = Link::as_superuser(port, database)?;
        // As control does: what the planner makes of these queries' cost is compiled for seconds.
        link.run("SET search_path = ''; SET jit = off")?;
        let (parts, sums) = (BTreeMap::new(), BTreeMap::new());
        let (known, belief) = (Catalog::builtin_only(), Belief::Doubtful);
        Ok(Self { link, parts, sums, known, belief, volatile: BTreeSet::new() })
    }

    /// Something of this class ran.
    pub(crate) fn doubt_after(&mut self, ran: &Classified) {
        let keeps = matches!(
            ran.why,
            Why::DataModifying | Why::Copy | Why::Explain | Why::SessionState | Why::LockingClause
        );
        if ran.class != Class::Read && !keeps {
            self.belief = Belief::Doubtful;
        }
    }

    /// Something ran that nobody looked at.
    pub(crate) fn doubt(&mut self) {
        self.belief = Belief::Doubtful;
    }

    /// The catalog as it was last read.
    pub(crate) const fn last(&self) -> &Catalog {
        &self.known
    }

    /// Whose word it is that a statement may do more than read.
    pub(crate) fn cause(&self, skeleton: &str) -> Cause {
        let labelled = text::called(skeleton).any(|name| self.volatile.contains(name));
        if labelled { Cause::Label } else { Cause::Statement }
    }

    /// Names of all temporary relations, of whatever session, and of the tables that have them as parts.
    pub(crate) fn temporary(&mut self) -> io::Result<BTreeSet<String>> {
        Ok(self.link.rows(TEMPORARY)?.into_iter().flatten().flatten().collect())
    }

    /// Makes [`Self::last`] the catalog of this moment; says whether it has changed.
    pub(crate) fn refresh(&mut self) -> io::Result<bool> {
        if self.belief == Belief::Sure {
            return Ok(false);
        }
        self.belief = Belief::Sure;
        let changed = self.changed()?;
        for part in &changed {
            self.parts.insert(*part, self.link.rows(part.sql())?);
        }
        if !changed.is_empty() {
            self.build()?;
        }
        Ok(!changed.is_empty())
    }

    /// The queries whose tables have changed since the last time.
    fn changed(&mut self) -> io::Result<Vec<CatalogPart>> {
        let mut changed = Vec::new();
        for (row, (table, filter, parts)) in self.link.rows(&sums())?.into_iter().zip(SOURCES) {
            let sum = row.into_iter().flatten().collect::<Vec<_>>().join(" ");
            if self.sums.get(&key(table, filter)) != Some(&sum) {
                self.sums.insert(key(table, filter), sum);
                changed.extend_from_slice(parts);
            }
        }
        changed.sort_unstable();
        changed.dedup();
        Ok(changed)
    }

    fn build(&mut self) -> io::Result<()> {
        let mut builder = CatalogBuilder::new();
        for (part, rows) in &self.parts {
            for row in rows {
                let columns: Vec<_> = row.iter().map(Option::as_deref).collect();
                builder.row(*part, &columns).map_err(io::Error::other)?;
            }
        }
        self.known = builder.finish(0);
        self.volatile = self.parts.get(&CatalogPart::Functions).map(volatile).unwrap_or_default();
        Ok(())
    }
}

const TEMPORARY: &str = "\
SELECT relname FROM pg_catalog.pg_class WHERE relpersistence = 't'
UNION SELECT p.relname FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid WHERE c.relpersistence = 't'";

/// Names of functions that are labelled so; see [`CatalogPart::Functions`].
fn volatile(rows: &Rows) -> BTreeSet<String> {
    let name = |row: &Vec<Option<String>>| match row.as_slice() {
        [_, _, Some(name), Some(label), ..] if label == "v" => Some(name.clone()),
        _ => None,
    };
    rows.iter().filter_map(name).collect()
}

fn key(table: &str, filter: &str) -> String {
    format!("{table} {filter}")
}

/// Asks for how many rows there are, and the sum of the transactions that wrote them: whoever changes,
/// adds or removes one changes these.
fn sums() -> String {
    let ask = |(at, (table, filter, _)): (usize, &Source)| {
        format!(
            "SELECT {at} AS at, count(*), sum(xmin::text::bigint) FROM pg_catalog.{table} WHERE {filter}"
        )
    };
    let all: Vec<_> = SOURCES.iter().enumerate().map(ask).collect();
    format!("{} ORDER BY at", all.join(" UNION ALL "))
}
