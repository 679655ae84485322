//! The database that fuzzed statements are about: harmless objects, and one of each kind that is not.

use sql::{Catalog, CatalogBuilder, CatalogPart, Classified, Classifier};

/// Relations that a standby may be asked for.
pub const RELATIONS: &[&str] = &["t", "t2", "v", "parent", "update", "Odd \"name\""];
/// Relations that must never be read on a standby, each behind its schema.
pub const FORBIDDEN_RELATIONS: &[(&str, &str)] = &[
    ("public", "cache"),
    ("public", "remote"),
    ("public", "v_vol"),
    ("public", "v_cache"),
    ("public", "s"),
    ("public", "secured"),
    ("app", "hot"),
];
/// Functions that read only.
pub const FUNCTIONS: &[&str] = &["stab", "immut"];
/// Functions that write.
pub const FORBIDDEN_FUNCTIONS: &[(&str, &str)] = &[
    ("public", "vol"),
    ("public", "Vol"),
    ("public", "by_default"),
    ("app", "overloaded"),
    ("app", "of_row"),
];
/// Of those, what `row.name` calls.
pub const FORBIDDEN_ROW_FUNCTIONS: &[&str] = &["of_row"];
/// Types that do nothing.
pub const TYPES: &[&str] = &["mood"];
/// Types whose checks call a function that writes.
pub const FORBIDDEN_TYPES: &[(&str, &str)] = &[("public", "checked"), ("public", "pair")];
/// Operators of functions that read.
pub const OPERATORS: &[&str] = &["&&&"];
/// Operators of functions that write.
pub const FORBIDDEN_OPERATORS: &[&str] = &["#@#"];

/// Rows as the catalog's queries give them.
const ROWS: &[(CatalogPart, &[&str])] = &[
    (CatalogPart::Functions, &["20001", "public", "vol", "v", "f", "f", "n", "", "f"]),
    (CatalogPart::Functions, &["20002", "public", "stab", "s", "f", "f", "n", "", "f"]),
    (CatalogPart::Functions, &["20003", "app", "of_row", "v", "t", "f", "n", "", "f"]),
    (CatalogPart::Functions, &["20004", "public", "by_default", "i", "f", "f", "n", "", "f"]),
    (CatalogPart::Functions, &["20005", "public", "immut", "i", "f", "f", "n", "", "f"]),
    (CatalogPart::Functions, &["20006", "public", "overloaded", "s", "f", "f", "n", "", "f"]),
    (CatalogPart::Functions, &["20007", "app", "overloaded", "v", "f", "f", "n", "", "f"]),
    (CatalogPart::Functions, &["20010", "public", "Vol", "v", "f", "f", "n", "", "f"]),
    (CatalogPart::Calls, &["f", "20004", "1574", "pg_catalog", "nextval"]),
    (CatalogPart::Operators, &["public", "#@#", "20001", "public", "vol"]),
    (CatalogPart::Operators, &["public", "&&&", "20002", "public", "stab"]),
    (CatalogPart::Types, &["30001", "public", "mood", ""]),
    (CatalogPart::Types, &["30002", "public", "checked", "23"]),
    (CatalogPart::Types, &["30003", "public", "pair", "30002"]),
    (CatalogPart::Calls, &["t", "30002", "20001", "public", "vol"]),
    (CatalogPart::Relations, &["40001", "public", "t", "r", "p"]),
    (CatalogPart::Relations, &["40002", "public", "t2", "r", "p"]),
    (CatalogPart::Relations, &["40003", "public", "cache", "r", "u"]),
    (CatalogPart::Relations, &["40004", "public", "remote", "f", "p"]),
    (CatalogPart::Relations, &["40005", "public", "v", "v", "p"]),
    (CatalogPart::Relations, &["40006", "public", "v_vol", "v", "p"]),
    (CatalogPart::Relations, &["40008", "public", "v_cache", "v", "p"]),
    (CatalogPart::Relations, &["40009", "public", "parent", "p", "p"]),
    (CatalogPart::Relations, &["40010", "public", "update", "r", "p"]),
    (CatalogPart::Relations, &["40011", "public", "secured", "r", "p"]),
    (CatalogPart::Relations, &["40012", "public", "s", "S", "p"]),
    (CatalogPart::Relations, &["40013", "public", "Odd \"name\"", "r", "p"]),
    (CatalogPart::Relations, &["40014", "app", "t", "r", "p"]),
    (CatalogPart::Relations, &["40015", "app", "hot", "r", "u"]),
    (CatalogPart::Relations, &["40016", "public", "hot", "r", "p"]),
    (CatalogPart::Calls, &["r", "40006", "1574", "pg_catalog", "nextval"]),
    (CatalogPart::Calls, &["p", "40011", "20001", "public", "vol"]),
    (CatalogPart::Reads, &["40005", "40001", "public", "t"]),
    (CatalogPart::Reads, &["40008", "40003", "public", "cache"]),
];

/// Names that a corpus uses and that shall be harmless, so that its statements can be reads.
#[derive(Debug, Default)]
pub struct Harmless {
    /// Tables.
    pub relations: Vec<String>,
    /// STABLE functions.
    pub functions: Vec<String>,
    /// Enumerations.
    pub types: Vec<String>,
}

/// Asks the classifier about statements on one database.
#[derive(Debug)]
pub struct Database {
    catalog: Catalog,
}

impl Database {
    /// Makes the database of this file's objects and of `harmless` ones.
    ///
    /// # Panics
    ///
    /// When the catalog takes rows of another shape: bring this file up to date.
    #[must_use]
    pub fn new(harmless: &Harmless) -> Self {
        let mut builder = CatalogBuilder::new();
        let mut row = |part, columns: &[&str]| {
            let columns: Vec<Option<&str>> = columns.iter().copied().map(Some).collect();
            builder.row(part, &columns).expect("rows have the shape of the catalog's queries");
        };
        for (part, columns) in ROWS {
            row(*part, columns);
        }
        let mut oid = 50_000;
        let mut next = || {
            oid += 1;
            oid.to_string()
        };
        for name in &harmless.relations {
            row(CatalogPart::Relations, &[&next(), "public", name, "r", "p"]);
        }
        for name in &harmless.functions {
            row(CatalogPart::Functions, &[&next(), "public", name, "s", "f", "f", "n", "", "f"]);
        }
        for name in &harmless.types {
            row(CatalogPart::Types, &[&next(), "public", name, ""]);
        }
        Self { catalog: builder.finish(1) }
    }

    /// What Weir says of a text.
    pub fn classify(&self, sql: &str) -> Classified {
        Classifier::new().classify(sql, Some(&self.catalog))
    }
}
