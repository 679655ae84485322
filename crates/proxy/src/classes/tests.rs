//! Classes are cached by what decides them, bounded, and corrected by what replicas taught.

use policy::prepared::{Interner, Meaning, SchemaNumber};
use sql::{CatalogBuilder, FunctionEffect, Persistence, RelationKind, Volatility};

use super::cached::GENERATION;
use super::*;

fn catalog(version: u64) -> Arc<Catalog> {
    let mut builder = CatalogBuilder::new();
    builder.relation("public", "t", RelationKind::Table, Persistence::Permanent);
    builder.function("one", "f", Volatility::Stable);
    builder.function("two", "f", Volatility::Volatile);
    Arc::new(builder.finish(version))
}

struct Asked {
    classes: Classes,
    metrics: Metrics,
    catalog: Arc<Catalog>,
    now: Second,
}

impl Asked {
    fn new() -> Self {
        let (classes, metrics) = (Classes::new([1, 2]), Metrics::default());
        Self { classes, metrics, catalog: catalog(1), now: Second(0) }
    }

    fn judged(&self, sql: &str, path: &str) -> Rc<Judged> {
        let path = SearchPath::parse(path);
        let space = Space { catalog: Some(&self.catalog), path: path.as_ref() };
        self.classes.of(sql.as_bytes(), space, &self.metrics, self.now)
    }

    /// The class of a text that is parsed, and of a statement that was, which are one.
    fn prepared(&self, statement: &Statement, path: &str) -> Class {
        let path = SearchPath::parse(path);
        let space = Space { catalog: Some(&self.catalog), path: path.as_ref() };
        let parsed = self.classes.of_parsed(&statement.sql, space, &self.metrics, self.now);
        let bound = self.classes.of_statement(statement, space, &self.metrics, self.now);
        assert_eq!(parsed.class, bound.class);
        bound.class
    }

    fn learn(&self, sql: &str) -> bool {
        let space = Space { catalog: Some(&self.catalog), path: None };
        let how = (SqlState::READ_ONLY_SQL_TRANSACTION, &self.metrics, self.now);
        self.classes.learn(sql.as_bytes(), space, how).is_some()
    }

    fn views(&self) -> Vec<StatementView> {
        let name = Arc::from("main");
        self.classes.views((&name, &name), self.now)
    }

    /// Cached and classified so far.
    fn counts(&self) -> (u64, u64) {
        (self.metrics.class_hits.value(), self.metrics.class_misses.value())
    }
}

const UNKNOWN: &str = "\"$user\"";

#[test]
fn one_fingerprint_is_classified_once() {
    let asked = Asked::new();
    assert_eq!(asked.judged("SELECT a FROM t WHERE a = 1", UNKNOWN).class, Class::Read);
    assert_eq!(asked.judged("select a from t where a = 22", "one").class, Class::Read);
    assert_eq!(asked.counts(), (1, 1));
}

#[test]
fn a_literal_that_decides_is_not_taken_for_another() {
    let asked = Asked::new();
    let shown = |value| asked.judged(&format!("SELECT current_setting('{value}')"), UNKNOWN);
    for _ in 0..2 {
        assert_eq!(shown("app.x").class, Class::Read);
        assert_eq!(shown("port").class, Class::PrimaryRead);
    }
    assert_eq!(asked.counts(), (2, 2));
}

#[test]
fn a_search_path_that_decides_is_not_taken_for_another() {
    let asked = Asked::new();
    for _ in 0..2 {
        for (path, class) in [
            (UNKNOWN, Class::Write),
            ("one", Class::Read),
            ("two", Class::Write),
            ("one, two", Class::Write),
            ("one", Class::Read),
        ] {
            assert_eq!(asked.judged("SELECT f(1)", path).class, class, "{path}");
        }
    }
    assert_eq!(asked.counts().1, 4, "each path is asked for once");
}

/// A statement as clients prepare it.
fn statement(interner: &mut Interner, sql: &str) -> Rc<Statement> {
    let meaning = Meaning { shape: b"", schema: SchemaNumber(1) };
    interner.intern((sql.as_bytes(), b""), meaning)
}

#[test]
fn what_is_prepared_is_found_without_its_fingerprint() {
    let (asked, mut interner) = (Asked::new(), Interner::default());
    let prepared = statement(&mut interner, "SELECT a FROM t WHERE a = $1");
    for _ in 0..3 {
        assert_eq!(asked.prepared(&prepared, UNKNOWN), Class::Read);
    }
    assert_eq!(asked.counts(), (5, 1));
    let cached = asked.classes.cached.borrow();
    assert_eq!(cached.classes.young.len(), 1, "by fingerprint");
    let keys: Vec<_> = cached.shortcuts.young.keys().map(|key| key.print).collect();
    assert_eq!(keys.len(), 2, "by text and by number");
    assert!(keys.contains(&u128::from(prepared.id)));
}

#[test]
fn many_statements_do_not_make_each_other_be_classified_again() {
    let (asked, mut interner) = (Asked::new(), Interner::default());
    let sql = |number| format!("SELECT a AS c{number} FROM t WHERE a = $1");
    let all: Vec<_> =
        (0..GENERATION).map(|number| statement(&mut interner, &sql(number))).collect();
    for _ in 0..2 {
        for one in &all {
            assert_eq!(asked.prepared(one, UNKNOWN), Class::Read);
        }
    }
    assert_eq!(asked.counts().1, GENERATION as u64, "each is classified once");
    let cached = asked.classes.cached.borrow();
    let shortcuts = &cached.shortcuts;
    assert!(shortcuts.young.len() <= GENERATION && shortcuts.old.len() <= GENERATION);
}

#[test]
fn a_search_path_that_decides_is_asked_for_whatever_is_prepared() {
    let (asked, mut interner) = (Asked::new(), Interner::default());
    let prepared = statement(&mut interner, "SELECT f($1)");
    for (path, class) in [("one", Class::Read), ("two", Class::Write), ("one", Class::Read)] {
        assert_eq!(asked.prepared(&prepared, path), class, "{path}");
    }
}

#[test]
fn a_lesson_and_a_catalog_reach_what_was_prepared_before() {
    let (mut asked, mut interner) = (Asked::new(), Interner::default());
    let prepared = statement(&mut interner, "SELECT a FROM t WHERE a = 1");
    let fresh = statement(&mut interner, "SELECT * FROM fresh");
    assert_eq!(asked.prepared(&prepared, UNKNOWN), Class::Read);
    assert_ne!(asked.prepared(&fresh, UNKNOWN), Class::Read);
    assert!(asked.learn("SELECT a FROM t WHERE a = 2"), "of the same fingerprint");
    assert_eq!(asked.prepared(&prepared, UNKNOWN), Class::Write);
    asked.now = Second(600);
    assert_eq!(asked.prepared(&prepared, UNKNOWN), Class::Read, "it holds for its time");
    let mut builder = CatalogBuilder::new();
    builder.relation("public", "fresh", RelationKind::Table, Persistence::Permanent);
    asked.catalog = Arc::new(builder.finish(2));
    assert_eq!(asked.prepared(&fresh, UNKNOWN), Class::Read);
}

#[test]
fn another_catalog_forgets_what_the_last_one_said() {
    let mut asked = Asked::new();
    assert_eq!(asked.judged("SELECT * FROM fresh", UNKNOWN).why, Why::UnknownRelation);
    let mut builder = CatalogBuilder::new();
    builder.relation("public", "fresh", RelationKind::Table, Persistence::Permanent);
    builder.override_function("f", FunctionEffect::Read);
    asked.catalog = Arc::new(builder.finish(2));
    assert_eq!(asked.judged("SELECT * FROM fresh", UNKNOWN).class, Class::Read);
    assert!(asked.views().is_empty(), "no doubt is left");
}

#[test]
fn what_is_used_stays_and_what_is_not_goes() {
    let asked = Asked::new();
    let often = "SELECT a AS often FROM t";
    for number in 0..3 * GENERATION {
        asked.judged(&format!("SELECT a AS c{number} FROM t"), UNKNOWN);
        asked.judged(often, UNKNOWN);
    }
    let (hits, misses) = asked.counts();
    assert_eq!((hits, misses), (3 * GENERATION as u64 - 1, 3 * GENERATION as u64 + 1));
    let cached = asked.classes.cached.borrow();
    let classes = &cached.classes;
    assert!(classes.young.len() <= GENERATION && classes.old.len() <= GENERATION);
}

#[test]
fn a_lesson_holds_for_its_time_and_outlives_the_cache() {
    let mut asked = Asked::new();
    let sql = "SELECT a FROM t WHERE a = 1";
    assert!(asked.learn(sql));
    asked.catalog = catalog(2);
    let learned = asked.judged("SELECT a FROM t WHERE a = 2", UNKNOWN);
    assert_eq!((learned.class, learned.why), (Class::Write, Why::RefusedByStandby));
    assert!(!asked.learn(sql), "it is no read any more");
    let lesson = asked.views().pop().and_then(|view| view.lesson).unwrap();
    assert_eq!((lesson.times, lesson.code.as_str()), (1, "25006"));
    asked.now = Second(599);
    assert_eq!(asked.judged(sql, UNKNOWN).class, Class::Write);
    asked.now = Second(600);
    assert_eq!(asked.judged(sql, UNKNOWN).class, Class::Read);
    assert!(asked.learn(sql));
    assert_eq!(asked.views().pop().and_then(|view| view.lesson).unwrap().times, 2);
}

#[test]
fn doubts_are_noted_without_their_data_and_counted_when_they_run() {
    let asked = Asked::new();
    asked.judged("SELECT WITHOUT DOUBT 'secret'", UNKNOWN).runs(&asked.metrics);
    asked.judged("SELECT WITHOUT DOUBT 'other'", UNKNOWN).runs(&asked.metrics);
    asked.judged("INSERT INTO t VALUES (1)", UNKNOWN).runs(&asked.metrics);
    let [noted] = &asked.views()[..] else { panic!("{:?}", asked.views()) };
    assert_eq!((&*noted.text, noted.runs), ("SELECT WITHOUT DOUBT ?", 2));
    assert_eq!(noted.why, Why::Unparsed);
}

#[test]
fn notes_are_bounded_and_keep_what_is_run_most() {
    let asked = Asked::new();
    for number in 0..2_500 {
        let judged = asked.judged(&format!("SELECT a FROM missing_{number}"), UNKNOWN);
        for _ in 0..=u32::from(number == 7) {
            judged.runs(&asked.metrics);
        }
    }
    let views = asked.views();
    assert!(views.len() <= 1_000);
    assert!(views.iter().any(|view| view.text.ends_with("missing_7")));
}
