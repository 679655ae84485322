//! The list of pitfalls is whole: docs/pitfalls.md, the tables of tests/routing and the tests that
//! `elsewhere.yaml` names fit together. Nothing is run here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The number of the last row.
const LAST: u8 = 130;
const TABLES: [&str; 5] = ["statements", "functions", "sessions", "topologies", "elsewhere"];

/// A row of any table; other keys are read by `routing`.
#[derive(Debug, Deserialize)]
struct Numbered {
    row: u8,
}

/// A row of `elsewhere.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Elsewhere {
    row: u8,
    case: String,
    test: Option<String>,
    not_yet: Option<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn table<T: for<'de> Deserialize<'de>>(name: &str) -> Vec<T> {
    let path = root().join("tests/routing").join(format!("{name}.yaml"));
    serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The tables that hold this row, in words.
fn holders(tables: &[(&str, BTreeSet<u8>)], row: u8) -> String {
    let held = tables.iter().filter(|(_, rows)| rows.contains(&row)).map(|(name, _)| *name);
    held.collect::<Vec<_>>().join(", ")
}

/// Every source file below `folder`, by its path.
fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path.display().to_string(), text));
        }
    }
}

#[test]
fn every_row_is_in_a_table_and_the_document_says_in_which() {
    let rows =
        |name| -> BTreeSet<u8> { table::<Numbered>(name).iter().map(|row| row.row).collect() };
    let tables = TABLES.map(|name| (name, rows(name)));
    let strays = tables.iter().flat_map(|(_, rows)| rows).filter(|row| !(1..=LAST).contains(*row));
    assert_eq!(strays.count(), 0, "{tables:?}");
    let document = std::fs::read_to_string(root().join("docs/pitfalls.md")).unwrap();
    let mut lines = document.lines().filter(|line| {
        line.strip_prefix("| ")
            .is_some_and(|line| line.starts_with(|first: char| first.is_ascii_digit()))
    });
    for row in 1..=LAST {
        let line = lines.next().unwrap_or_default();
        let tables = holders(&tables, row);
        assert!(!tables.is_empty(), "row {row} is in no table");
        assert!(line.starts_with(&format!("| {row} | ")), "row {row}: {line}");
        assert!(line.ends_with(&format!(" | {tables} |")), "row {row} is in {tables}: {line}");
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn every_test_that_is_named_exists() {
    let mut files = Vec::new();
    for folder in ["crates", "tests/tests"] {
        sources(&root().join(folder), &mut files);
    }
    for Elsewhere { row, case, test, not_yet } in table("elsewhere") {
        let Some(test) = test else {
            assert!(not_yet.is_some(), "row {row}, {case}: neither a test nor why there is none");
            continue;
        };
        let (file, name) = test.split_once("::").unwrap();
        let (file, head) = (format!("/{file}.rs"), format!("fn {name}("));
        let is_there = |(path, text): &(String, String)| {
            let before = text.split_once(&head).map(|(before, _)| before).unwrap_or_default();
            // Between `fn` and its attribute there is `async` at most.
            let marks = |line: &str| line.ends_with("test]") || line.starts_with("#[tokio::test(");
            let is_test = before.lines().rev().take(2).any(marks);
            path.ends_with(&file) && is_test
        };
        assert!(
            not_yet.is_none() && files.iter().any(is_there),
            "row {row}, {case}: no test {test}"
        );
    }
}
