//! The closed loop's section: tables for people, all numbers for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use weir_bench::peers::Name;
use weir_bench::pgbench::{Mode, Work};
use weir_bench::plot::{Group, Panel, Plot};
use weir_bench::section::Section;

use crate::plan::{Case, MAIN};
use crate::table::{Cell, Figure, Sample, Table};

/// All runs, and the peers that could not be started with the reason.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) table: Table,
    pub(crate) missing: Vec<(Name, String)>,
}

const HEAD: &str = "\
| load | peer | tps | latency, ms | CPU, µs/txn (user + sys) | switches/txn (own + forced) | tps vs PgBouncer | CPU vs PgBouncer | tps vs relay | CPU vs relay | failed txns |
|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|
";

const LEGEND: &str = "\
Each client sends its next transaction when it has the answer to the last one. Medians over the rounds; latency is the mean of each
run; ratios are medians of the ratios within each round. CPU is the proxy's own, over all its processes and threads, from the moment
at which all clients were connected, divided by the transactions of the run: user and sys from `/proc/<pid>/stat`, scaled to what
`schedstat` says of their sum, since 10 ms are too coarse. Switches are from `/proc/<pid>/task/*/status`: own to wait, forced when
others had to run. A transaction of the pipelined load is a pipeline of 10 selects.

PgBouncer, HAProxy and the relay send everything to the primary; Weir and Pgpool-II spread reads over two replicas (Pgpool-II's weight
of the primary is 0, else it would read there, too). PgBouncer and Weir (one worker) have pools of 20 servers, Weir on each node; so with 64
and 256 clients both let transactions wait for a server, while without a proxy and behind relay and HAProxy each client has its own.
HAProxy has one thread, Pgpool-II one process per client. To save time those two are measured with 16 clients and selects only.
";

/// Makes the section; `plot` is the name of the file beside it.
pub(crate) fn section(outcome: &Outcome, plot: &str) -> Section {
    let mut text = format!("![CPU time per transaction]({plot})\n");
    let others = |case: &Case| case.work == Work::Select && !case.is_main();
    let tables: [(_, Vec<_>); 3] = [
        ("Selects, 16 clients", cases(|case| case.is_main())),
        ("Selects, 1, 64 and 256 clients", cases(others)),
        ("Other loads, 16 clients", cases(|case| case.work != Work::Select)),
    ];
    for (title, cases) in tables {
        line(&mut text, format_args!("\n### {title}\n\n{HEAD}{}", rows(&cases, &outcome.table)));
    }
    text.push_str(LEGEND);
    let remarks = remarks(&outcome.table);
    if !remarks.is_empty() {
        line(&mut text, format_args!("\n{}", remarks.join("\n")));
    }
    let (markdown, json, faults) = (text, json(outcome), faults(outcome));
    Section { title: "Closed loop", markdown, json, faults }
}

fn cases(chosen: impl Fn(&Case) -> bool) -> Vec<Case> {
    Case::all().into_iter().filter(chosen).collect()
}

fn rows(cases: &[Case], table: &Table) -> String {
    let mut text = String::new();
    for case in cases {
        for name in Name::ALL.into_iter().filter(|name| case.is_for(*name)) {
            let row = match table.cell(name, *case) {
                Some(cell) => row(cell, table),
                None => format!("| {} | {name} | not measured: see below |||||||||", label(*case)),
            };
            line(&mut text, format_args!("{row}"));
        }
    }
    text
}

fn row(cell: &Cell, table: &Table) -> String {
    let (case, name) = (cell.case, cell.name);
    let Some(tps) = cell.median(Figure::Tps) else {
        return format!("| {} | {name} | all runs failed: see below |||||||||", label(case));
    };
    let mark = if cell.remark.is_empty() && cell.failures().next().is_none() { "" } else { " (!)" };
    let against = |other: Name, figure| {
        let other = table.cell(other, case).filter(|_| other != name && name != Name::Direct);
        number(other.and_then(|other| cell.ratio(other, figure)), 2)
    };
    let used = |sum, parts, decimals| parts_of(cell, sum, parts, decimals);
    format!(
        "| {} | {name}{mark} | {tps:.0} | {} | {} | {} | {} | {} | {} | {} | {} |",
        label(case),
        number(cell.median(Figure::LatencyMs), 3),
        used(Some(Figure::Cpu), [Figure::User, Figure::System], 1),
        used(None, [Figure::Voluntary, Figure::Involuntary], 2),
        against(Name::PgBouncer, Figure::Tps),
        against(Name::PgBouncer, Figure::Cpu),
        against(Name::Relay, Figure::Tps),
        against(Name::Relay, Figure::Cpu),
        number(Some(cell.figures(Figure::Failed).sum()), 0),
    )
}

/// `select, simple, c = 16`.
fn label(case: Case) -> String {
    format!("{}, {}, c = {}", case.work.name(), case.mode.name(), case.clients)
}

/// `2.0 (0.5 + 1.5)`, or `0.5 + 1.5` without a sum.
fn parts_of(cell: &Cell, sum: Option<Figure>, parts: [Figure; 2], decimals: usize) -> String {
    let [one, other] = parts.map(|figure| number(cell.median(figure), decimals));
    if one == "–" {
        return one;
    }
    match sum {
        Some(sum) => format!("{} ({one} + {other})", number(cell.median(sum), decimals)),
        None => format!("{one} + {other}"),
    }
}

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.decimals$}"))
}

/// What is behind each `(!)` of a peer that did run; one line where it is the same for many cases.
fn remarks(table: &Table) -> Vec<String> {
    let mut remarks: Vec<(Name, &str, Vec<String>)> = Vec::new();
    for Cell { name, case, remark, .. } in table.cells.iter().filter(|cell| !cell.remark.is_empty())
    {
        match remarks.iter_mut().find(|(peer, text, _)| peer == name && text == remark) {
            Some((.., places)) => places.push(label(*case)),
            None => remarks.push((*name, remark, vec![label(*case)])),
        }
    }
    remarks
        .iter()
        .map(|(name, remark, places)| format!("- (!) {name}: {remark} ({})", places.join("; ")))
        .collect()
}

/// Each missing peer, and each cell with lost runs or failed transactions.
fn faults(outcome: &Outcome) -> Vec<String> {
    let missing = outcome.missing.iter().map(|(name, why)| format!("{name}: not measured: {why}"));
    let lost = outcome.table.cells.iter().filter_map(|cell| {
        let first = cell.failures().next()?;
        let (lost, all) = (cell.failures().count(), cell.runs.len());
        Some(format!("{}: {lost} of {all} runs failed: {first}", place(cell)))
    });
    let failed = outcome.table.cells.iter().filter_map(|cell| {
        let failed: f64 = cell.figures(Figure::Failed).sum();
        (failed > 0.0).then(|| format!("{}: {failed:.0} transactions failed", place(cell)))
    });
    missing.chain(lost).chain(failed).collect()
}

fn place(cell: &Cell) -> String {
    format!("{} / {}", label(cell.case), cell.name)
}

/// Draws the CPU time per transaction by query mode, and by number of clients.
pub(crate) fn plot(table: &Table) -> String {
    let peers: Vec<_> = Name::ALL.into_iter().filter(|name| *name != Name::Direct).collect();
    let bars = |case: Case, label: String| {
        let value = |name: &Name| table.cell(*name, case)?.median(Figure::Cpu);
        Group { label, values: peers.iter().map(value).collect() }
    };
    let select = |mode, clients| Case { work: Work::Select, mode, clients };
    let by_mode = Mode::ALL.map(|mode| bars(select(mode, MAIN), mode.name().to_owned()));
    let by_clients = [1, MAIN, 64, 256]
        .map(|clients| bars(select(Mode::Simple, clients), format!("c = {clients}")));
    let plot = Plot {
        title: "CPU time of each proxy per transaction, µs (pgbench, selects)".to_owned(),
        series: peers.iter().map(Name::to_string).collect(),
        panels: vec![
            Panel { title: format!("by query mode, {MAIN} clients"), groups: by_mode.into() },
            Panel { title: "by number of clients, simple".to_owned(), groups: by_clients.into() },
        ],
    };
    plot.svg()
}

/// Writes every run, so that other statistics can be made of them.
fn json(outcome: &Outcome) -> Value {
    let missing: Vec<_> = outcome
        .missing
        .iter()
        .map(|(name, why)| json!({ "peer": name.to_string(), "reason": why }))
        .collect();
    let cells: Vec<_> = outcome.table.cells.iter().map(cell_json).collect();
    json!({ "missing": missing, "cells": cells })
}

fn cell_json(cell: &Cell) -> Value {
    let runs: Vec<_> = cell.runs.iter().map(run_json).collect();
    json!({
        "work": cell.case.work.name(),
        "mode": cell.case.mode.name(),
        "clients": cell.case.clients,
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
            "voluntary_switches": sample.figure(Figure::Voluntary),
            "involuntary_switches": sample.figure(Figure::Involuntary),
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
    use weir_bench::cpu::Used;
    use weir_bench::pgbench::Counted;

    fn sample(tps: f64, cpu: f64, failed: f64) -> Sample {
        let counted = Counted { transactions: 1e6, failed, tps, latency_ms: 0.5 };
        let (user, system) = (cpu / 4.0, cpu * 0.75);
        Sample { counted, used: Some(Used { user, system, voluntary: 5e5, involuntary: 1e6 }) }
    }

    fn case(mode: Mode) -> Case {
        Case { work: Work::Select, mode, clients: MAIN }
    }

    fn outcome() -> Outcome {
        let mut table = Table::default();
        let (simple, prepared) = (case(Mode::Simple), case(Mode::Prepared));
        table.add((Name::PgBouncer, simple), "old", Ok(sample(20_000.0, 10.0, 0.0)));
        table.add((Name::PgBouncer, prepared), "old", Ok(sample(20_000.0, 10.0, 0.0)));
        table.add((Name::Weir, simple), "", Ok(sample(30_000.0, 8.0, 3.0)));
        table.add((Name::Weir, prepared), "", Err("no answer".into()));
        Outcome { table, missing: vec![(Name::Relay, "it was not built".into())] }
    }

    #[test]
    fn a_row_shows_medians_and_ratios() {
        let text = section(&outcome(), "x.svg").markdown;
        let row = "| select, simple, c = 16 | Weir | 30000 | 0.500 | 8.0 (2.0 + 6.0) | 0.50 + 1.00 | 1.50 | 0.80 | – | – | 3 |";
        assert!(text.contains(row), "{text}");
        assert!(text.starts_with("![CPU time per transaction](x.svg)\n"), "{text}");
    }

    #[test]
    fn nothing_is_left_out_silently() {
        let Section { markdown: text, faults, .. } = section(&outcome(), "x.svg");
        for row in [
            "| select, simple, c = 16 | bare relay | not measured: see below |",
            "| select, prepared, c = 16 | Weir | all runs failed: see below |",
            "| select, simple, c = 16 | PgBouncer (!) |",
            "- (!) PgBouncer: old (select, simple, c = 16; select, prepared, c = 16)\n",
        ] {
            assert!(text.contains(row), "{row}: {text}");
        }
        let expected = [
            "bare relay: not measured: it was not built",
            "select, prepared, c = 16 / Weir: 1 of 1 runs failed: no answer",
            "select, simple, c = 16 / Weir: 3 transactions failed",
        ];
        assert_eq!(faults, expected);
    }

    #[test]
    fn every_row_has_as_many_columns_as_the_head_and_every_cell_a_row() {
        let text = section(&outcome(), "x.svg").markdown;
        let rows: Vec<_> = text.lines().filter(|line| line.starts_with('|')).collect();
        let cells: usize = Case::all()
            .iter()
            .map(|case| Name::ALL.iter().filter(|name| case.is_for(**name)).count())
            .sum();
        assert_eq!(rows.len(), cells + 2 * 3);
        assert!(rows.iter().all(|row| row.matches('|').count() == 12), "{text}");
    }

    #[test]
    fn the_json_keeps_each_run() {
        let json = section(&outcome(), "x.svg").json;
        assert_eq!(json["cells"][3]["runs"][0]["error"], "no answer");
        assert_eq!(json["cells"][2]["runs"][0]["involuntary_switches"], 1.0);
    }

    #[test]
    fn the_plot_has_one_bar_for_each_proxy_and_mode_and_for_each_number_of_clients() {
        let mut table = Table::default();
        for case in Case::all() {
            for name in Name::ALL.into_iter().filter(|name| case.is_for(*name)) {
                table.add((name, case), "", Ok(sample(1.0, 10.0, 0.0)));
            }
        }
        // Five proxies in three modes; in the other panel three of them with 1, 64 and 256
        // clients and all with 16.
        let bars = |table: &Table| plot(table).matches("class=\"bar\"").count();
        assert_eq!(bars(&table), 5 * 3 + 3 * 3 + 5);
        table.cells.retain(|cell| cell.name != Name::Pgpool);
        assert_eq!(bars(&table), 4 * 3 + 3 * 3 + 4);
    }
}
