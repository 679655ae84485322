//! What was counted, and the cost of each promise.

use std::fmt::Write as _;

use weir_bench::machine::Facts;

use crate::baseline::{Baseline, Verdict};

/// One number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// What was counted; unique.
    pub(crate) name: String,
    /// How many instructions, in user space, of the thread that does it.
    pub(crate) instructions: u64,
    /// What that is per.
    pub(crate) unit: &'static str,
    /// Why it is shown and not judged, if so.
    pub(crate) unsteady: Option<&'static str>,
}

/// A promise and the rows, added or taken away, that tell what it costs.
const PROMISES: [(&str, &[(i64, &str)]); 8] = [
    (
        "extended protocol: Parse and Describe of a known text",
        &[(1, "path: extended"), (-1, "path: unnamed, parsed once")],
    ),
    (
        "named statements: prepared remap",
        &[(1, "path: prepared"), (-1, "path: unnamed, parsed once")],
    ),
    (
        "a text that was never seen: class cache miss",
        &[(1, "path: simple, new text"), (-1, "path: simple")],
    ),
    ("TLS to the client", &[(1, "path: simple, TLS"), (-1, "path: simple")]),
    (
        "a write instead of a read: takes an LSN ticket, but chooses no replica",
        &[(1, "path: write"), (-1, "path: simple")],
    ),
    (
        "a read sent to the primary by a hint",
        &[(1, "path: simple, hinted to the primary"), (-1, "path: simple")],
    ),
    (
        "read right behind a write: fence, wait, guard",
        &[(1, "path: write and read"), (-1, "path: write"), (-1, "path: simple")],
    ),
    (
        "each of ten in a write instead of alone",
        &[(1, "path: prepared, ten in a write"), (-1, "path: prepared")],
    ),
];

/// The tables, for people.
pub(crate) fn markdown(facts: &Facts, rows: &[Row], baseline: Option<&Baseline>) -> String {
    let mut text = String::from("# Instructions\n\n");
    for (name, value) in facts {
        // Writing to a String can't fail.
        let _written = writeln!(text, "- {name}: {value}");
    }
    text.push_str("\n| what | instructions | per | baseline | |\n|---|--:|---|--:|---|\n");
    for row in rows {
        let known = baseline.and_then(|baseline| baseline.rows.get(&row.name));
        let known = known.map_or_else(|| "–".to_owned(), u64::to_string);
        let remark = match (row.unsteady, baseline) {
            (Some(why), _) => format!("not judged: {why}"),
            (None, Some(baseline)) => baseline.verdict(row).to_string(),
            (None, None) => String::new(),
        };
        let Row { name, instructions, unit, .. } = row;
        let _written = writeln!(text, "| {name} | {instructions} | {unit} | {known} | {remark} |");
    }
    text.push_str("\n## The cost of each promise\n\n| promise | instructions | |\n|---|--:|---|\n");
    for (promise, terms) in PROMISES {
        let _written = match cost(rows, terms) {
            Some(cost) => writeln!(text, "| {promise} | {cost} | {} |", formula(terms)),
            None => writeln!(text, "| {promise} | not measured | {} |", formula(terms)),
        };
    }
    text.push_str("\nMetrics can't be switched off, so their cost has no row of its own.\n");
    text
}

fn cost(rows: &[Row], terms: &[(i64, &str)]) -> Option<i64> {
    terms.iter().try_fold(0_i64, |sum, (factor, name)| {
        let row = rows.iter().find(|row| row.name == *name)?;
        let counted = i64::try_from(row.instructions).ok()?;
        Some(sum.saturating_add(counted.saturating_mul(*factor)))
    })
}

fn formula(terms: &[(i64, &str)]) -> String {
    let name = |name: &str| name.trim_start_matches("path: ").to_owned();
    let words = terms.iter().map(|(_, term)| format!("`{}`", name(term)));
    words.collect::<Vec<_>>().join(" − ")
}

/// What failed, and what should be renewed; empty when all is as it was.
pub(crate) fn complaints(rows: &[Row], baseline: &Baseline) -> (Vec<String>, Vec<String>) {
    let (mut worse, mut better) = (Vec::new(), Vec::new());
    for row in rows.iter().filter(|row| row.unsteady.is_none()) {
        let verdict = baseline.verdict(row);
        let line = format!("{}: {verdict}", row.name);
        match verdict {
            Verdict::Slower { .. } | Verdict::New => worse.push(line),
            Verdict::Faster { .. } => better.push(line),
            Verdict::Same { .. } => {}
        }
    }
    for name in baseline.rows.keys().filter(|name| rows.iter().all(|row| row.name != **name)) {
        worse.push(format!("{name}: in the baseline, but was not counted"));
    }
    (worse, better)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, instructions: u64) -> Row {
        Row { name: name.to_owned(), instructions, unit: "transaction", unsteady: None }
    }

    fn baseline(rows: &[(&str, u64)]) -> Baseline {
        let rows = rows.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Baseline { rows, facts: Vec::new() }
    }

    #[test]
    fn a_promise_costs_what_its_rows_differ_by() {
        let rows = [row("path: simple", 100), row("path: simple, TLS", 170)];
        assert_eq!(cost(&rows, &[(1, "path: simple, TLS"), (-1, "path: simple")]), Some(70));
        assert_eq!(cost(&rows, &[(1, "path: prepared")]), None);
    }

    #[test]
    fn every_promise_is_told_by_rows_that_exist() {
        let known = |name: &str| {
            crate::path::Path::ALL.iter().any(|p| name == format!("path: {}", p.name()))
        };
        for (promise, terms) in PROMISES {
            assert!(terms.iter().all(|(_, name)| known(name)), "{promise}");
        }
    }

    #[test]
    fn a_row_that_vanished_or_has_no_baseline_is_a_failure() {
        let (worse, better) = complaints(&[row("b", 1)], &baseline(&[("a", 1)]));
        assert_eq!(worse.len(), 2, "{worse:?}");
        assert!(better.is_empty());
    }

    #[test]
    fn what_is_not_steady_is_not_judged() {
        let unsteady = Row { unsteady: Some("waits"), ..row("a", 900) };
        assert_eq!(complaints(&[unsteady], &baseline(&[])), (vec![], vec![]));
    }
}
