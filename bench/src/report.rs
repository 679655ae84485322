//! The table for people, and all numbers for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use weir_bench::machine::Facts;

use crate::plan::{Mode, Name};
use crate::table::{Cell, Figure, Sample, Table};

/// A benchmark and all that a reader needs to judge it.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) facts: Facts,
    pub(crate) table: Table,
    /// Peers that could not be started, and why.
    pub(crate) missing: Vec<(Name, String)>,
}

const HEAD: &str = "\
| query mode | peer | tps | latency, ms | CPU, µs/txn (user + sys) | tps vs PgBouncer | CPU vs PgBouncer | tps vs relay | CPU vs relay | failed txns |
|---|---|--:|--:|--:|--:|--:|--:|--:|--:|
";

const LEGEND: &str = "\
Medians over the rounds; ratios are medians of the ratios within each round. CPU is the proxy's own, from
`/proc/<pid>/stat` over all its threads, divided by the transactions of the run; log-ins at its start are included.
PgBouncer and the relay send everything to the primary; Weir spreads these reads over two replicas.
";

/// Writes Markdown.
pub(crate) fn markdown(report: &Report) -> String {
    let mut text = String::from("# `pgbench -S` through each peer\n\n");
    for (name, value) in &report.facts {
        line(&mut text, format_args!("- {name}: {value}"));
    }
    line(&mut text, format_args!("\n{HEAD}{}", rows(report)));
    text.push_str(LEGEND);
    let notes = notes(report);
    if !notes.is_empty() {
        line(&mut text, format_args!("\n{}", notes.join("\n")));
    }
    text
}

fn rows(report: &Report) -> String {
    let mut text = String::new();
    for mode in Mode::ALL {
        for name in Name::ALL {
            let row = match report.table.cell(name, mode) {
                Some(cell) => row(cell, &report.table),
                None => format!("| {} | {name} | not measured: see below ||||||||", mode.name()),
            };
            line(&mut text, format_args!("{row}"));
        }
    }
    text
}

fn row(cell: &Cell, table: &Table) -> String {
    let (mode, name) = (cell.mode, cell.name);
    let Some(tps) = cell.median(Figure::Tps) else {
        return format!("| {} | {name} | all runs failed: see below ||||||||", mode.name());
    };
    let mark = if cell.remark.is_empty() && cell.failures().next().is_none() { "" } else { " (!)" };
    let against = |other: Name, figure| {
        let other = table.cell(other, mode).filter(|_| other != name && name != Name::Direct);
        number(other.and_then(|other| cell.ratio(other, figure)), 2)
    };
    format!(
        "| {} | {name}{mark} | {tps:.0} | {} | {} | {} | {} | {} | {} | {} |",
        mode.name(),
        number(cell.median(Figure::LatencyMs), 3),
        cpu(cell),
        against(Name::PgBouncer, Figure::Tps),
        against(Name::PgBouncer, Figure::Cpu),
        against(Name::Relay, Figure::Tps),
        against(Name::Relay, Figure::Cpu),
        number(Some(cell.figures(Figure::Failed).sum()), 0),
    )
}

fn cpu(cell: &Cell) -> String {
    let [all, user, system] =
        [Figure::Cpu, Figure::User, Figure::System].map(|figure| number(cell.median(figure), 1));
    if all == "–" { all } else { format!("{all} ({user} + {system})") }
}

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.decimals$}"))
}

/// What is behind each `(!)`, each missing peer and each lost run.
fn notes(report: &Report) -> Vec<String> {
    let mut notes: Vec<_> =
        report.missing.iter().map(|(name, why)| format!("- {name}: not measured: {why}")).collect();
    for cell in &report.table.cells {
        let place = format!("{} / {}", cell.mode.name(), cell.name);
        if !cell.remark.is_empty() {
            notes.push(format!("- (!) {place}: {}", cell.remark));
        }
        if let Some(first) = cell.failures().next() {
            let (lost, all) = (cell.failures().count(), cell.runs.len());
            notes.push(format!("- (!) {place}: {lost} of {all} runs failed: {first}"));
        }
    }
    notes
}

/// Writes every run, so that other statistics can be made of them.
pub(crate) fn json(report: &Report) -> Value {
    let facts: serde_json::Map<_, _> =
        report.facts.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let missing: Vec<_> = report
        .missing
        .iter()
        .map(|(name, why)| json!({ "peer": name.to_string(), "reason": why }))
        .collect();
    let cells: Vec<_> = report.table.cells.iter().map(cell_json).collect();
    json!({ "facts": facts, "missing": missing, "cells": cells })
}

fn cell_json(cell: &Cell) -> Value {
    let runs: Vec<_> = cell.runs.iter().map(run_json).collect();
    json!({
        "mode": cell.mode.name(),
        "peer": cell.name.to_string(),
        "remark": cell.remark,
        "runs": runs,
    })
}

fn run_json(run: &Result<Sample, String>) -> Value {
    match run {
        Err(error) => json!({ "error": error }),
        Ok(sample) => json!({
            "tps": sample.counted.tps,
            "latency_ms": sample.counted.latency_ms,
            "transactions": sample.counted.transactions,
            "failed": sample.counted.failed,
            "cpu_user_us": sample.figure(Figure::User),
            "cpu_system_us": sample.figure(Figure::System),
        }),
    }
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a String can't fail.
    let _infallible = writeln!(text, "{content}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgbench::Counted;
    use weir_bench::cpu::Used;

    fn sample(tps: f64, cpu: f64) -> Sample {
        let counted = Counted { transactions: 1e6, failed: 0.0, tps, latency_ms: 0.5 };
        Sample { counted, used: Some(Used { user: cpu / 4.0, system: cpu * 0.75 }) }
    }

    fn report() -> Report {
        let mut table = Table::default();
        table.add((Name::PgBouncer, Mode::Simple), "", Ok(sample(20_000.0, 10.0)));
        table.add((Name::Weir, Mode::Simple), "", Ok(sample(30_000.0, 8.0)));
        table.add((Name::Weir, Mode::Prepared), "", Err("no answer".into()));
        Report {
            facts: vec![("commit", "abc".into())],
            table,
            missing: vec![(Name::Relay, "it was not built".into())],
        }
    }

    #[test]
    fn a_row_shows_medians_and_ratios() {
        let text = markdown(&report());
        let row = "| simple | Weir | 30000 | 0.500 | 8.0 (2.0 + 6.0) | 1.50 | 0.80 | – | – | 0 |";
        assert!(text.contains(row), "{text}");
    }

    #[test]
    fn nothing_is_left_out_silently() {
        let text = markdown(&report());
        assert!(text.contains("| simple | bare relay | not measured: see below |"), "{text}");
        assert!(text.contains("- bare relay: not measured: it was not built"), "{text}");
        assert!(text.contains("| prepared | Weir | all runs failed: see below |"), "{text}");
        assert!(text.contains("prepared / Weir: 1 of 1 runs failed: no answer"), "{text}");
    }

    #[test]
    fn every_row_has_as_many_columns_as_the_head() {
        let text = markdown(&report());
        let rows: Vec<_> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(rows.len(), 14);
        assert!(rows.iter().all(|row| row.matches('|').count() == 11), "{text}");
    }

    #[test]
    fn the_json_keeps_each_run() {
        let json = json(&report());
        assert_eq!(json["cells"][2]["runs"][0]["error"], "no answer");
        assert_eq!(json["facts"]["commit"], "abc");
    }
}
