//! Tables: what was counted, for each size.

use std::fmt::Write;

use serde_json::{Value, json};
use weir_bench::machine::Facts;

/// One table.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) title: &'static str,
    /// What a reader must know to judge it.
    pub(crate) about: &'static str,
    /// The size is the first.
    pub(crate) columns: &'static [&'static str],
    pub(crate) rows: Result<Vec<Vec<f64>>, String>,
    pub(crate) bound: Bound,
}

/// How the last column may grow from the first row to the last.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// By this factor at most, whatever the size.
    Flat(f64),
    /// With the size, and this factor above that at most.
    Linear(f64),
}

impl Table {
    /// The factor by which the last column grew, and the one by which it may.
    fn growth(&self) -> Option<(f64, f64)> {
        let rows = self.rows.as_ref().ok()?;
        let (first, last) = (rows.first()?, rows.last()?);
        let grew = last.last()? / first.last()?;
        match self.bound {
            Bound::Flat(factor) => Some((grew, factor)),
            Bound::Linear(factor) => Some((grew, factor * last.first()? / first.first()?)),
        }
    }

    /// Whether it was measured and grew no more than it may.
    pub(crate) fn holds(&self) -> bool {
        let within = |(grew, may): (f64, f64)| grew.is_finite() && grew <= may;
        self.rows.is_ok() && self.growth().is_none_or(within)
    }
}

/// Writes Markdown.
pub(crate) fn markdown(facts: &Facts, tables: &[Table]) -> String {
    let mut text = String::from("# How cost grows\n\n");
    for (name, value) in facts {
        line(&mut text, format_args!("- {name}: {value}"));
    }
    for table in tables {
        line(&mut text, format_args!("\n## {}\n\n{}\n", table.title, table.about));
        match &table.rows {
            Err(error) => line(&mut text, format_args!("**Not measured:** {error}")),
            Ok(rows) => grid(&mut text, table.columns, rows),
        }
        if let Some((grew, may)) = table.growth() {
            let verdict = if table.holds() { "as it should" } else { "**more than it should**" };
            let (grew, may) = (shown(grew), shown(may));
            line(
                &mut text,
                format_args!("\nThe last column grew by {grew}, {verdict} (at most {may})."),
            );
        }
    }
    text
}

fn grid(text: &mut String, columns: &[&str], rows: &[Vec<f64>]) {
    line(text, format_args!("| {} |", columns.join(" | ")));
    line(text, format_args!("|{}", "--:|".repeat(columns.len())));
    for row in rows {
        let cells: Vec<_> = row.iter().copied().map(shown).collect();
        line(text, format_args!("| {} |", cells.join(" | ")));
    }
}

/// Three digits that mean something.
fn shown(value: f64) -> String {
    match value {
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The same for programs.
pub(crate) fn json(facts: &Facts, tables: &[Table]) -> Value {
    let facts: serde_json::Map<_, _> =
        facts.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let table = |table: &Table| {
        json!({
            "title": table.title,
            "columns": table.columns,
            "rows": table.rows.as_ref().ok(),
            "error": table.rows.as_ref().err(),
            "grew": table.growth().map(|(grew, _)| grew),
            "holds": table.holds(),
        })
    };
    json!({ "facts": facts, "tables": tables.iter().map(table).collect::<Vec<_>>() })
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // A string takes everything.
    let _written = writeln!(text, "{words}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(bound: Bound, rows: &[[f64; 2]]) -> Table {
        let rows = Ok(rows.iter().map(|row| row.to_vec()).collect());
        Table { title: "", about: "", columns: &["n", "ns"], rows, bound }
    }

    #[test]
    fn what_must_be_flat_may_not_grow_and_what_is_linear_no_faster_than_its_size() {
        assert!(table(Bound::Flat(1.5), &[[1.0, 10.0], [9.0, 15.0]]).holds());
        assert!(!table(Bound::Flat(1.5), &[[1.0, 10.0], [9.0, 15.1]]).holds());
        assert!(table(Bound::Linear(1.5), &[[2.0, 10.0], [8.0, 60.0]]).holds());
        assert!(!table(Bound::Linear(1.5), &[[2.0, 10.0], [8.0, 60.1]]).holds());
    }

    #[test]
    fn what_was_not_measured_does_not_hold_and_says_so() {
        let lost = Table { rows: Err("lost".into()), ..table(Bound::Flat(1.0), &[]) };
        assert!(!lost.holds());
        assert!(markdown(&Vec::new(), &[lost]).contains("**Not measured:** lost"));
        assert!(!table(Bound::Flat(1.5), &[[1.0, 0.0], [2.0, 0.0]]).holds(), "nothing was counted");
    }
}
