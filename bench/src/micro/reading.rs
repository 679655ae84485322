//! Text to what it may do.

use std::hint::black_box;
use std::rc::Rc;

use sql::{Catalog, CatalogBuilder, Class, Classifier, Persistence, RelationKind, Scanner};

use super::Work;
use crate::texts::{AVERAGE, PRIMARY_KEY, SHORT, TABLES, UPSERT};

pub(super) fn all() -> Vec<Work> {
    let texts = [
        ("60 bytes", SHORT, Class::Read),
        ("primary key", PRIMARY_KEY, Class::Read),
        ("average", AVERAGE, Class::Read),
        ("upsert", UPSERT, Class::Write),
    ];
    let catalog = Rc::new(catalog());
    let scanned = texts.map(|(name, text, _)| scanned(name, text));
    let classified = texts.map(|(name, text, class)| classified(name, text, class, &catalog));
    scanned.into_iter().chain(classified).collect()
}

/// As each statement is, to look its class up.
fn scanned(name: &str, text: &'static str) -> Work {
    // Fixed keys: with random ones a few instructions would differ.
    let scanner = Scanner::new([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]);
    let known = scanner.scan(text.as_bytes()).fingerprint;
    let call = move || usize::from(scanner.scan(black_box(text.as_bytes())).fingerprint == known);
    Work::new(&format!("sql: fingerprint, {name}"), 1, call).reading(text.len())
}

/// As each statement is whose class is not known.
fn classified(name: &str, text: &'static str, class: Class, catalog: &Rc<Catalog>) -> Work {
    let (classifier, catalog) = (Classifier::new(), Rc::clone(catalog));
    let call =
        move || usize::from(classifier.classify(black_box(text), Some(&*catalog)).class == class);
    Work::new(&format!("sql: classify, {name}"), 1, call).reading(text.len())
}

fn catalog() -> Catalog {
    let mut builder = CatalogBuilder::new();
    for table in TABLES {
        builder.relation("public", table, RelationKind::Table, Persistence::Permanent);
    }
    builder.finish(1)
}
