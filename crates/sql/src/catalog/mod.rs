//! What a database's own objects may do, looked up by name.
//!
//! A name stands for every object of that name in the schemas that it may be of, and what they may do is joined: nothing
//! here chooses among them by their arguments, or by their schema's place in the search path.

mod builder;
mod queries;
mod resolve;

use std::collections::BTreeMap;

use crate::builtin;
use crate::class::{Class, Why};
use crate::facts::Facts;
use crate::search_path::Scope;

use builder::Sets;
pub use builder::{
    CatalogBuilder, CatalogError, FunctionEffect, Persistence, RelationKind, Volatility,
};
pub use queries::CatalogPart;
pub(crate) use resolve::resolve;

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
    sets: Sets,
    /// Whether a relation that is not here is taken for an ordinary table.
    assumes_tables: bool,
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

    /// Whether no function's source can set `synchronous_commit`, for whichever transaction calls it.
    ///
    /// Sources in C are not searched.
    #[must_use]
    pub const fn leaves_commits_alone(&self) -> bool {
        !self.sets.commits
    }

    /// Whether a write may change the session's settings without saying so.
    pub(crate) const fn may_set(&self) -> bool {
        self.sets.session
    }

    pub(crate) fn function(&self, scope: Scope<'_>, name: &str) -> Option<Facts> {
        let qualified = match scope {
            Scope::Schema(schema) => self.overrides.get(format!("{schema}.{name}").as_str()),
            Scope::Path(_) | Scope::Anywhere => None,
        };
        if let Some(facts) = qualified.or_else(|| self.overrides.get(name)) {
            return Some(*facts);
        }
        let own = lookup(&self.functions, scope, name);
        let builtin = scope.has("pg_catalog").then(|| builtin::function(name)).flatten();
        // `type(value)` is a cast where no function of that name takes the value.
        let cast = self.type_facts(scope, name);
        let found = join(scope, join(scope, own, builtin), cast)?;
        Some(if name.contains("populate_record") { found.or(self.any_type) } else { found })
    }

    /// What `row.name` may do when it is no column: a call of a function on the row.
    pub(crate) fn row_function(&self, scope: Scope<'_>, name: &str) -> Facts {
        lookup(&self.row_functions, scope, name).unwrap_or(Facts::READ)
    }

    pub(crate) fn relation(&self, scope: Scope<'_>, name: &str) -> Option<Facts> {
        if let Scope::Schema(schema) = scope {
            if schema == "information_schema" {
                return builtin::has_information_schema(name).then_some(Facts::READ);
            }
            if schema.starts_with("pg_temp") {
                return Some(Facts::new(Class::PrimaryRead, Why::TemporaryRelation));
            }
        }
        let builtin = scope.has("pg_catalog").then(|| builtin::relation(name)).flatten();
        let known = join(scope, lookup(&self.relations, scope, name), builtin);
        // Whatever begins with pg_ is a name of PostgreSQL's own, of a version that is not known here.
        let named = if let Scope::Schema(schema) = scope { schema } else { name };
        let is_assumed = self.assumes_tables && !named.starts_with("pg_");
        known.or(is_assumed.then_some(Facts::READ))
    }

    pub(crate) fn type_facts(&self, scope: Scope<'_>, name: &str) -> Option<Facts> {
        let own = scope.has("pg_catalog") || scope.has("information_schema");
        // An array's type has its element's name behind a `_`.
        let element = name.strip_prefix('_').unwrap_or(name);
        let builtin = own && (builtin::has_type(name) || builtin::has_type(element));
        join(scope, lookup(&self.types, scope, name), builtin.then_some(self.builtin_casts))
    }

    /// What a cast to a type of PostgreSQL's own may do.
    pub(crate) const fn builtin_cast(&self) -> Facts {
        self.builtin_casts
    }

    pub(crate) fn operator(&self, scope: Scope<'_>, name: &str) -> Option<Facts> {
        let builtin = scope.has("pg_catalog") && builtin::has_operator(name);
        join(scope, lookup(&self.operators, scope, name), builtin.then_some(Facts::READ))
    }

    pub(crate) const fn always(&self) -> Facts {
        self.always
    }
}

/// What the objects of a name may do that `scope` has; each of them, where the statement doesn't say which.
fn lookup(objects: &ByName, scope: Scope<'_>, name: &str) -> Option<Facts> {
    let found = objects.get(name)?.iter().filter(|(owner, _)| scope.has(owner));
    let joined = found.map(|(_, facts)| *facts).reduce(|one, other| either(scope, one, other))?;
    Some(joined)
}

fn join(scope: Scope<'_>, one: Option<Facts>, other: Option<Facts>) -> Option<Facts> {
    match (one, other) {
        (Some(one), Some(other)) => Some(either(scope, one, other)),
        (one, other) => one.or(other),
    }
}

/// What either of two objects may do; where nothing is known of the search path, it may rule out the stronger one.
fn either(scope: Scope<'_>, one: Facts, other: Facts) -> Facts {
    let joined = one.or(other);
    match scope {
        Scope::Anywhere if one != other => joined.by_path(),
        Scope::Anywhere | Scope::Path(_) | Scope::Schema(_) => joined,
    }
}
