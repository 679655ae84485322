//! A catalog as the queries would give it, and short names for the answers.

use sql::{Catalog, CatalogBuilder, CatalogPart, Class, Classified, Classifier};

/// Rows as PostgreSQL 15 gave them for a schema made for these tests.
const ROWS: &[(CatalogPart, &[&str])] = &[
    (CatalogPart::Functions, &["20001", "public", "vol", "v", "f", "f", "n", "", "f"]),
    (CatalogPart::Functions, &["20002", "public", "stab", "s", "f", "f", "n", "", "f"]),
    (CatalogPart::Functions, &["20003", "app", "of_row", "v", "t", "f", "n", "", "f"]),
    (CatalogPart::Functions, &["20004", "public", "by_default", "i", "f", "f", "n", "", "f"]),
    (CatalogPart::Functions, &["20005", "public", "agg", "i", "f", "f", "n", "", "f"]),
    (CatalogPart::Functions, &["20006", "public", "overloaded", "s", "f", "f", "n", "", "f"]),
    (CatalogPart::Functions, &["20007", "app", "overloaded", "v", "f", "f", "n", "", "f"]),
    (CatalogPart::Functions, &["20008", "public", "in_python", "s", "f", "t", "n", "", "f"]),
    (CatalogPart::Functions, &["20009", "app", "lower", "v", "f", "f", "n", "", "f"]),
    (CatalogPart::Functions, &["20010", "public", "Vol", "v", "f", "f", "n", "", "f"]),
    (CatalogPart::Calls, &["f", "20004", "1574", "pg_catalog", "nextval"]),
    (CatalogPart::Calls, &["f", "20005", "20001", "public", "vol"]),
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
    (CatalogPart::Relations, &["40007", "public", "v_over_v", "v", "p"]),
    (CatalogPart::Relations, &["40008", "public", "v_cache", "v", "p"]),
    (CatalogPart::Relations, &["40009", "public", "parent", "p", "p"]),
    (CatalogPart::Relations, &["40010", "public", "child", "r", "u"]),
    (CatalogPart::Relations, &["40011", "public", "secured", "r", "p"]),
    (CatalogPart::Relations, &["40012", "public", "s", "S", "p"]),
    (CatalogPart::Relations, &["40013", "public", "v_locks", "v", "p"]),
    (CatalogPart::Relations, &["40014", "app", "t", "r", "p"]),
    (CatalogPart::Relations, &["40015", "app", "hot", "r", "u"]),
    (CatalogPart::Relations, &["40016", "public", "hot", "r", "p"]),
    (CatalogPart::Calls, &["r", "40006", "1574", "pg_catalog", "nextval"]),
    (CatalogPart::Calls, &["p", "40011", "20001", "public", "vol"]),
    (CatalogPart::Reads, &["40005", "40001", "public", "t"]),
    (CatalogPart::Reads, &["40007", "40006", "public", "v_vol"]),
    (CatalogPart::Reads, &["40008", "40003", "public", "cache"]),
    (CatalogPart::Reads, &["40009", "40010", "public", "child"]),
    (CatalogPart::Reads, &["40013", "12073", "pg_catalog", "pg_locks"]),
];

pub(crate) fn builder() -> CatalogBuilder {
    let mut builder = CatalogBuilder::new();
    for (part, columns) in ROWS {
        let columns: Vec<Option<&str>> = columns.iter().copied().map(Some).collect();
        let taken = builder.row(*part, &columns);
        assert_eq!(taken, Ok(()), "{columns:?}");
    }
    builder
}

pub(crate) fn catalog() -> Catalog {
    builder().finish(1)
}

pub(crate) fn classify(sql: &str) -> Classified {
    Classifier::new().classify(sql, Some(&catalog()))
}

pub(crate) fn class(sql: &str) -> Class {
    classify(sql).class
}

pub(crate) fn assert_all(wanted: Class, texts: &[&str]) {
    let catalog = catalog();
    let wrong: Vec<_> = texts
        .iter()
        .map(|sql| (sql, Classifier::new().classify(sql, Some(&catalog))))
        .filter(|(_, found)| found.class != wanted)
        .map(|(sql, found)| format!("{sql}\n    is {:?}: {:?}", found.class, found.why))
        .collect();
    assert!(wrong.is_empty(), "should be {wanted:?}:\n{}", wrong.join("\n"));
}

pub(crate) fn assert_never_read(texts: &[&str]) {
    let catalog = catalog();
    let wrong: Vec<_> = texts
        .iter()
        .filter(|sql| Classifier::new().classify(sql, Some(&catalog)).class == Class::Read)
        .collect();
    assert!(wrong.is_empty(), "must not be reads: {wrong:#?}");
}
