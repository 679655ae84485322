//! The tables for people, and all numbers for programs.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};
use weir_bench::machine::Facts;

use crate::counts::Counts;
use crate::delay::summary;
use crate::plan::{Cell, Policy};
use crate::tally::{Behind, Read, Seen, Tally, permille, share};

/// One cell's numbers.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) tally: Tally,
    /// Samples of the real delay while the users worked.
    pub(crate) delays: Vec<Duration>,
    /// What Weir counted meanwhile.
    pub(crate) counts: Counts,
    pub(crate) lasting: Duration,
}

/// A delay that was asked for, and what came of it before any load.
#[derive(Clone, Debug)]
pub(crate) struct Lag {
    /// In milliseconds.
    pub(crate) nominal: u16,
    pub(crate) rest: Vec<Duration>,
}

/// Everything that a reader needs to judge the table.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) facts: Facts,
    primary: String,
    pub(crate) lags: Vec<Lag>,
    pub(crate) cells: Vec<(Cell, Result<Measured, String>)>,
}

/// What a table shows of a cell.
type Shown = fn(&Report, Cell, &Measured) -> String;

const TABLES: [(&str, Shown); 5] = [
    ("Share of the reads that replicas served", |report, _, measured| {
        percent(report.offloaded(measured))
    }),
    (
        "What they could serve at best without waiting: reads that came later behind the last write of their scope than the replicas lag",
        |_, cell, measured| percent(at_best(cell, measured)),
    ),
    ("Latency of reads, median / 99th of a hundred, ms", |_, _, measured| latency(measured)),
    ("Reads that missed their user's own last write", |_, _, measured| {
        let stale = measured.tally.count(|read| read.own == Seen::Stale);
        if stale == 0 {
            return "0".to_owned();
        }
        format!("{stale} ({})", percent(share(stale, measured.tally.reads.len())))
    }),
    ("Why reads stayed on the primary, in shares of all reads", |_, cell, measured| {
        why(cell, measured)
    }),
];

impl Report {
    pub(crate) fn new(facts: Facts, primary: &str) -> Self {
        Self { facts, primary: primary.to_owned(), lags: Vec::new(), cells: Vec::new() }
    }

    /// Says whether every cell was measured, nothing failed, and no promise was broken.
    pub(crate) fn is_clean(&self) -> bool {
        self.cells.iter().all(|(cell, measured)| {
            measured.as_ref().is_ok_and(|Measured { tally, .. }| {
                let stale = tally.count(|read| {
                    let own = cell.policy.promises_own_writes() && read.own == Seen::Stale;
                    let other = cell.policy.promises_all_writes() && read.other == Seen::Stale;
                    own || other
                });
                stale == 0 && tally.failures.is_empty()
            })
        })
    }

    /// One line of progress.
    pub(crate) fn brief(&self, measured: Result<&Measured, &String>) -> String {
        measured.map_or_else(Clone::clone, |measured| {
            let stale = measured.tally.count(|read| read.own == Seen::Stale);
            let share = percent(self.offloaded(measured));
            format!("{share} by replicas, {} ms, {stale} stale", latency(measured))
        })
    }

    fn offloaded(&self, measured: &Measured) -> Option<f64> {
        let served = measured.tally.count(|read| read.node != self.primary);
        share(served, measured.tally.reads.len())
    }
}

/// The share of reads that a replica has the data for when they come.
fn at_best(cell: Cell, measured: &Measured) -> Option<f64> {
    let Measured { tally, delays, .. } = measured;
    let delay = permille(delays.clone(), 500)?;
    let in_time = |read: &Read| read.quiet.is_none_or(|quiet| quiet >= delay);
    // A strong read's scope is everybody.
    (!cell.policy.promises_all_writes()).then(|| share(tally.count(in_time), tally.reads.len()))?
}

fn latency(measured: &Measured) -> String {
    let [median, most] = [500, 990].map(|rank| {
        let took = measured.tally.permille(rank);
        took.map_or_else(|| "–".to_owned(), |took| format!("{:.2}", took.as_secs_f64() * 1e3))
    });
    format!("{median} / {most}")
}

/// By Weir's own count; what the hint of `pin` or a level waives has no reason worth showing.
fn why(cell: Cell, measured: &Measured) -> String {
    if !cell.policy.promises_own_writes() {
        return "–".to_owned();
    }
    let all = measured.tally.reads.len();
    let reasons = measured.counts.reasons("primary");
    let shown: Vec<_> = reasons
        .into_iter()
        .filter(|(reason, _)| *reason != "write")
        .filter_map(|(reason, count)| Some((reason, count / share(all, 1)?)))
        .filter(|(_, share)| *share >= 0.005)
        .map(|(reason, share)| format!("`{reason}` {}", percent(Some(share))))
        .collect();
    if shown.is_empty() { "–".to_owned() } else { shown.join(", ") }
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

/// Writes Markdown.
pub(crate) fn markdown(report: &Report) -> String {
    let mut text = String::from("# How much do replicas take?\n\n");
    for (name, value) in &report.facts {
        line(&mut text, format_args!("- {name}: {value}"));
    }
    line(&mut text, format_args!("\n## The replicas' delay, median / 99th of a hundred, ms\n"));
    line(&mut text, format_args!("| asked for | at rest | under the load of the table |"));
    line(&mut text, format_args!("|--:|--:|--:|"));
    for lag in &report.lags {
        let under: Vec<_> = report.delays(lag.nominal);
        let (rest, under) = (delay(&lag.rest), delay(&under));
        line(&mut text, format_args!("| {} | {rest} | {under} |", lag.nominal));
    }
    for (title, shown) in TABLES {
        line(&mut text, format_args!("\n## {title}\n"));
        table(&mut text, report, shown);
    }
    let notes = notes(report);
    if !notes.is_empty() {
        line(&mut text, format_args!("\n{}", notes.join("\n")));
    }
    text
}

impl Report {
    fn delays(&self, nominal: u16) -> Vec<Duration> {
        let cells = self.cells.iter().filter(|(cell, _)| cell.lag == nominal);
        cells
            .filter_map(|(_, measured)| Some(&measured.as_ref().ok()?.delays))
            .flatten()
            .copied()
            .collect()
    }
}

fn delay(samples: &[Duration]) -> String {
    summary(samples)
        .map_or_else(|| "–".to_owned(), |(median, most)| format!("{median:.1} / {most:.1}"))
}

/// One row for each lag, time to think and scope that has a cell; one column for each policy.
fn table(text: &mut String, report: &Report, shown: Shown) {
    let names = Policy::ALL.map(Policy::name).join(" | ");
    line(text, format_args!("| lag, ms | think, ms | scope | {names} |"));
    line(text, format_args!("|--:|--:|---|{}", "--:|".repeat(Policy::ALL.len())));
    let row = |cell: &Cell| (cell.lag, cell.think, cell.scope);
    let mut rows: Vec<_> = report.cells.iter().map(|(cell, _)| row(cell)).collect();
    rows.dedup();
    for (lag, think, scope) in rows {
        let shown = Policy::ALL.map(|policy| {
            let cell = Cell { lag, think, scope, policy };
            let found = report.cells.iter().find(|(other, _)| *other == cell);
            found.map_or_else(String::new, |(_, measured)| match measured {
                Ok(measured) => shown(report, cell, measured),
                Err(_) => "(!)".to_owned(),
            })
        });
        let shown = shown.join(" | ");
        line(text, format_args!("| {lag} | {think} | {} | {shown} |", scope.name()));
    }
}

/// What is behind each `(!)`, and what failed.
fn notes(report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    for (cell, measured) in &report.cells {
        match measured {
            Err(why) => notes.push(format!("- (!) {cell}: {why}")),
            Ok(Measured { tally, .. }) => {
                if let Some(first) = tally.failures.first() {
                    let count = tally.failures.len();
                    notes.push(format!("- {cell}: {count} requests failed: {first}"));
                }
                let other = tally.count(|read| read.other == Seen::Stale);
                if cell.policy.promises_all_writes() && other > 0 {
                    notes.push(format!("- {cell}: {other} reads missed a write of another user"));
                }
            }
        }
    }
    notes
}

/// Writes every number.
pub(crate) fn json(report: &Report) -> Value {
    let facts: serde_json::Map<_, _> =
        report.facts.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let lags: Vec<_> = report
        .lags
        .iter()
        .map(|lag| json!({ "nominal_ms": lag.nominal, "at_rest_ms": summary(&lag.rest) }))
        .collect();
    let cells: Vec<_> =
        report.cells.iter().map(|(cell, measured)| cell_json(report, *cell, measured)).collect();
    json!({ "facts": facts, "lags": lags, "cells": cells })
}

fn cell_json(report: &Report, cell: Cell, measured: &Result<Measured, String>) -> Value {
    let (scope, policy) = (cell.scope.name(), cell.policy.name());
    let mut value = json!({
        "lag_ms": cell.lag, "think_ms": cell.think, "scope": scope, "policy": policy,
    });
    let rest = match measured {
        Err(error) => json!({ "error": error }),
        Ok(measured) => measured_json(report, cell, measured),
    };
    if let (Some(value), Value::Object(rest)) = (value.as_object_mut(), rest) {
        value.extend(rest);
    }
    value
}

fn measured_json(report: &Report, cell: Cell, measured: &Measured) -> Value {
    let Measured { tally, delays, counts, lasting } = measured;
    let behind = |wanted| {
        let all = tally.count(|read| read.behind_write == wanted);
        let served = tally.count(|r| r.behind_write == wanted && r.node != report.primary);
        json!({ "reads": all, "by_replicas": share(served, all) })
    };
    let rank = |rank| tally.permille(rank).map(|took| took.as_secs_f64() * 1e3);
    json!({
        "seconds": lasting.as_secs_f64(),
        "reads": tally.reads.len(),
        "writes": tally.writes,
        "failures": tally.failures.len(),
        "by_replicas": report.offloaded(measured),
        "at_best_without_waiting": at_best(cell, measured),
        "by_node": tally.by_node(),
        "right_behind_own_write": behind(Behind::Write),
        "behind_own_read": behind(Behind::Read),
        "latency_ms": { "p50": rank(500), "p90": rank(900), "p99": rank(990), "max": rank(1000) },
        "stale_own": tally.count(|read| read.own == Seen::Stale),
        "stale_other": tally.count(|read| read.other == Seen::Stale),
        "delay_ms": summary(delays),
        "weir": counts.0,
    })
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a String can't fail.
    let _infallible = writeln!(text, "{content}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Scope;

    fn read(node: &str, own: Seen) -> Read {
        let took = Duration::from_micros(250);
        Read {
            node: node.to_owned(),
            took,
            behind_write: Behind::Read,
            quiet: None,
            own,
            other: own,
        }
    }

    fn measured(reads: Vec<Read>) -> Measured {
        let tally = Tally { reads, writes: 1, failures: Vec::new() };
        let count = ("weir_cycles_total{target=\"primary\",reason=\"fence_pending\"}".into(), 1.0);
        let counts = Counts([count].into());
        Measured { tally, delays: Vec::new(), counts, lasting: Duration::from_secs(1) }
    }

    fn report(policy: Policy, measured: Result<Measured, String>) -> Report {
        let mut report = Report::new(vec![("commit", "abc".into())], "a");
        let cell = Cell { lag: 10, think: 5, scope: Scope::Client, policy };
        report.cells.push((cell, measured));
        report
    }

    #[test]
    fn a_cell_shows_share_latency_stale_reads_and_reasons() {
        let reads = ["a", "b", "b", "c"].map(|node| read(node, Seen::Fresh));
        let text = markdown(&report(Policy::Session, Ok(measured(reads.to_vec()))));
        for cell in ["75.0 %", "0.25 / 0.25", "0", "`fence_pending` 25.0 %"] {
            let row = format!("| 10 | 5 | client |  |  | {cell} |  |  |  |");
            assert!(text.contains(&row), "{row}\n{text}");
        }
    }

    #[test]
    fn a_stale_read_is_a_fault_only_where_it_was_promised_not_to_be() {
        let stale = || Ok(measured(vec![read("b", Seen::Stale)]));
        assert!(report(Policy::Pin, stale()).is_clean());
        assert!(report(Policy::Eventual, stale()).is_clean());
        assert!(!report(Policy::Session, stale()).is_clean());
        assert!(!report(Policy::Strong, stale()).is_clean());
    }

    #[test]
    fn only_a_strong_read_must_show_what_others_wrote() {
        let others = || {
            let read = Read { other: Seen::Stale, ..read("b", Seen::Fresh) };
            Ok(measured(vec![read]))
        };
        assert!(report(Policy::Session, others()).is_clean());
        assert!(!report(Policy::Strong, others()).is_clean());
    }

    #[test]
    fn what_could_not_be_measured_is_said() {
        let report = report(Policy::Strong, Err("no such level".into()));
        assert!(!report.is_clean());
        let text = markdown(&report);
        assert!(text.contains("- (!) 10 ms, think 5 ms, client, strong: no such level"), "{text}");
        assert_eq!(json(&report)["cells"][0]["error"], "no such level");
    }
}
