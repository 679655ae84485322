//! Classes are cached by what decides them, bounded, and corrected by what replicas taught.

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
    assert!(cached.young.len() <= GENERATION && cached.old.len() <= GENERATION);
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
