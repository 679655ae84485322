//! Names to facts, with or without a database's catalog.

use crate::builtin;
use crate::catalog::Catalog;
use crate::class::{Class, Why};
use crate::facts::Facts;
use crate::search_path::{Namespace, Scope};

/// Looks names up; a name that is nowhere may mean anything, hence may write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    space: Namespace<'a>,
}

impl<'a> Names<'a> {
    pub(crate) const fn new(space: Namespace<'a>) -> Self {
        Self { space }
    }

    /// The same objects, when nothing is known of the search path any more.
    pub(crate) const fn anywhere(self) -> Self {
        Self { space: Namespace { path: None, ..self.space } }
    }

    pub(crate) const fn catalog(self) -> Option<&'a Catalog> {
        self.space.catalog
    }

    fn scope<'n>(self, schema: Option<&'n str>) -> Scope<'n>
    where
        'a: 'n,
    {
        match (schema, self.space.path) {
            (Some(schema), _) => Scope::Schema(schema),
            (None, Some(path)) => Scope::Path(path),
            (None, None) => Scope::Anywhere,
        }
    }

    /// What a call of this name may do; `None` when there is no such function.
    pub(crate) fn known_function(self, schema: Option<&str>, name: &str) -> Option<Facts> {
        match self.catalog() {
            Some(catalog) => catalog.function(self.scope(schema), name),
            None if schema.is_none_or(|schema| schema == "pg_catalog") => builtin::function(name),
            None => None,
        }
    }

    pub(crate) fn function(self, schema: Option<&str>, name: &str) -> Facts {
        let unknown = Facts::new(Class::Write, Why::UnknownFunction).outside();
        self.known_function(schema, name).unwrap_or(unknown)
    }

    /// What `row.name` may call when `row` is of a relation.
    pub(crate) fn row_function(self, name: &str) -> Facts {
        self.catalog().map_or(Facts::READ, |catalog| catalog.row_function(self.scope(None), name))
    }

    pub(crate) fn operator(self, schema: Option<&str>, symbol: &str) -> Facts {
        let known = match self.catalog() {
            Some(catalog) => catalog.operator(self.scope(schema), symbol),
            None => builtin::has_operator(symbol).then_some(Facts::READ),
        };
        known.unwrap_or(Facts::new(Class::Write, Why::UnknownOperator))
    }

    pub(crate) fn relation(self, schema: Option<&str>, name: &str) -> Facts {
        let unknown = Facts::new(Class::Write, Why::UnknownRelation).outside();
        match self.catalog() {
            Some(catalog) => catalog.relation(self.scope(schema), name).unwrap_or(unknown),
            // The missing catalog keeps the statement from replicas anyway.
            None => builtin::relation(name).unwrap_or(Facts::READ),
        }
    }

    pub(crate) fn type_name(self, schema: Option<&str>, name: &str) -> Facts {
        let known = match self.catalog() {
            Some(catalog) => catalog.type_facts(self.scope(schema), name),
            None => Some(Facts::READ),
        };
        known.unwrap_or(Facts::new(Class::Write, Why::UnknownType))
    }

    /// What a cast to a type of this name may do; `None` when there is no such type.
    pub(crate) fn known_type(self, schema: Option<&str>, name: &str) -> Option<Facts> {
        self.catalog()?.type_facts(self.scope(schema), name)
    }

    /// What a cast to a type of PostgreSQL's own may do.
    pub(crate) fn builtin_cast(self) -> Facts {
        self.catalog().map_or(Facts::READ, Catalog::builtin_cast)
    }

    /// What any statement may do without naming it.
    pub(crate) fn always(self) -> Facts {
        self.catalog().map_or(Facts::READ, Catalog::always)
    }
}
