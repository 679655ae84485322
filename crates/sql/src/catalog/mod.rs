//! What a database's own objects may do, looked up by name.
//!
//! A statement's names are resolved by the server under a search path that may change at any time. So a name without a
//! schema stands for every object of that name in every schema, and what they may do is joined.

mod builder;
mod queries;
mod resolve;

use std::collections::BTreeMap;

use crate::builtin;
use crate::class::{Class, Why};
use crate::facts::Facts;

pub use builder::{
    CatalogBuilder, CatalogError, FunctionEffect, Persistence, RelationKind, Volatility,
};
pub use queries::CatalogPart;

/// Objects of one kind: name, then what the one of each schema may do.
type ByName = BTreeMap<Box<str>, Vec<(Box<str>, Facts)>>;

/// The user objects of one database, as far as routing depends on them.
#[derive(Debug)]
pub struct Catalog {
    version: u64,
    functions: ByName,
    /// Functions that `row.name` may call.
    row_functions: ByName,
    relations: ByName,
    types: ByName,
    operators: ByName,
    /// Whether any function sets something for its session: a trigger may call it unseen.
    sets: bool,
    /// What config says, by `name` or `schema.name`: it stands against all else.
    overrides: BTreeMap<Box<str>, Facts>,
    /// What statements may do without naming it: implicit casts, operators of user indexes.
    always: Facts,
    /// What turning a value into any user type may do, for functions that make rows of whatever type.
    any_type: Facts,
    /// What casts to PostgreSQL's own types may do, when the database has casts of its own.
    builtin_casts: Facts,
}

impl Catalog {
    /// Makes the catalog of a database without objects of its own: what PostgreSQL brings.
    #[must_use]
    pub fn builtin_only() -> Self {
        CatalogBuilder::new().finish(0)
    }

    /// The version given to [`CatalogBuilder::finish`]; part of a class cache's key.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Whether a write may change the session's settings without saying so.
    pub(crate) const fn may_set(&self) -> bool {
        self.sets
    }

    pub(crate) fn function(&self, schema: Option<&str>, name: &str) -> Option<Facts> {
        let qualified =
            schema.and_then(|schema| self.overrides.get(format!("{schema}.{name}").as_str()));
        if let Some(facts) = qualified.or_else(|| self.overrides.get(name)) {
            return Some(*facts);
        }
        let own = lookup(&self.functions, schema, name);
        let builtin = is_builtin_schema(schema).then(|| builtin::function(name)).flatten();
        // `type(value)` is a cast where no function of that name takes the value.
        let cast = self.type_facts(schema, name);
        let found = join(join(own, builtin), cast)?;
        Some(if name.contains("populate_record") { found.or(self.any_type) } else { found })
    }

    /// What `row.name` may do when it is no column: a call of a function on the row.
    pub(crate) fn row_function(&self, name: &str) -> Facts {
        lookup(&self.row_functions, None, name).unwrap_or(Facts::READ)
    }

    pub(crate) fn relation(&self, schema: Option<&str>, name: &str) -> Option<Facts> {
        if schema == Some("information_schema") {
            return builtin::has_information_schema(name).then_some(Facts::READ);
        }
        if schema.is_some_and(|schema| schema.starts_with("pg_temp")) {
            return Some(Facts::new(Class::PrimaryRead, Why::TemporaryRelation));
        }
        let builtin = is_builtin_schema(schema).then(|| builtin::relation(name)).flatten();
        join(lookup(&self.relations, schema, name), builtin)
    }

    pub(crate) fn type_facts(&self, schema: Option<&str>, name: &str) -> Option<Facts> {
        let information_schema = schema == Some("information_schema");
        let builtin = (information_schema || is_builtin_schema(schema)) && builtin::has_type(name);
        join(lookup(&self.types, schema, name), builtin.then_some(self.builtin_casts))
    }

    /// What a cast to a type of PostgreSQL's own may do.
    pub(crate) const fn builtin_cast(&self) -> Facts {
        self.builtin_casts
    }

    pub(crate) fn operator(&self, name: &str) -> Option<Facts> {
        join(
            lookup(&self.operators, None, name),
            builtin::has_operator(name).then_some(Facts::READ),
        )
    }

    pub(crate) const fn always(&self) -> Facts {
        self.always
    }
}

fn is_builtin_schema(schema: Option<&str>) -> bool {
    schema.is_none_or(|schema| schema == "pg_catalog")
}

fn lookup(objects: &ByName, schema: Option<&str>, name: &str) -> Option<Facts> {
    let found = objects.get(name)?.iter();
    found
        .filter(|(owner, _)| schema.is_none_or(|schema| schema == &**owner))
        .map(|(_, facts)| *facts)
        .reduce(Facts::or)
}

fn join(one: Option<Facts>, other: Option<Facts>) -> Option<Facts> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.or(other)),
        (one, other) => one.or(other),
    }
}
