//! The answer of `weir classify`, for people and for programs.

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::tally::{Cause, Counts, Judged, Tally};
use crate::cli::Input;

/// How many statements are listed that were not understood, unless all are wanted.
const LISTED: usize = 20;

/// How every statement is judged.
const JUDGED: &str = "each by itself, in a fresh session, with a fresh replica at hand; open transactions, pins, fences and lag send more to the primary";

/// Everything that was found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    file: String,
    input: &'static str,
    /// Where the catalog is from, or why there is none.
    catalog: String,
    assumed: Option<&'static str>,
    judged: &'static str,
    #[serde(flatten)]
    all: Counts,
    targets: Vec<Share>,
    classes: Vec<Share>,
    causes: Vec<Cause>,
    pins: Vec<Cause>,
    /// Whether the configuration refuses what pins.
    pins_refused: bool,
    not_understood: Vec<Judged>,
    /// Rows of an export without a text.
    hidden: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    list: Option<Vec<Judged>>,
}

/// What part of all statements.
#[derive(Debug, Serialize)]
struct Share {
    name: &'static str,
    #[serde(flatten)]
    counts: Counts,
}

/// What a report is about.
pub(super) struct About {
    pub(super) file: String,
    pub(super) input: Input,
    pub(super) catalog: String,
    pub(super) assumed: Option<&'static str>,
    pub(super) pins_refused: bool,
}

impl Report {
    pub(super) fn new(about: About, tally: Tally) -> Self {
        let shares = |all: std::collections::BTreeMap<&'static str, Counts>| {
            by_calls(all.into_iter().map(|(name, counts)| Share { name, counts }), |it| it.counts)
        };
        Self {
            file: about.file,
            input: match about.input {
                Input::Sql => "sql",
                Input::Csv => "csv",
                Input::Json => "json",
            },
            catalog: about.catalog,
            assumed: about.assumed,
            judged: JUDGED,
            all: tally.all,
            targets: shares(tally.targets),
            classes: shares(tally.classes),
            causes: by_calls(tally.causes.into_values(), |it| it.counts),
            pins: by_calls(tally.pins.into_values(), |it| it.counts),
            pins_refused: about.pins_refused,
            not_understood: tally.not_understood,
            hidden: tally.hidden,
            list: tally.listed,
        }
    }

    /// Whether calls were counted, and not only statements.
    fn has_calls(&self) -> bool {
        self.input != "sql"
    }

    fn row(&self, name: &str, counts: &Counts) -> String {
        let mut out = format!("  {name:<22}");
        let mut column = |part: u64, all: u64| {
            let _ = write!(out, " {part:>10} {:>7}", percent(part, all));
        };
        column(counts.statements, self.all.statements);
        if self.has_calls() {
            column(counts.calls, self.all.calls);
        }
        if self.all.time_ms > 0.0 {
            let _ = write!(out, " {:>7.1} %", counts.time_ms / self.all.time_ms * 100.0);
        }
        out
    }

    fn title(&self, name: &str) -> String {
        let mut out = format!("{name:<24} {:>10} {:>7}", "statements", "");
        if self.has_calls() {
            let _ = write!(out, " {:>10} {:>7}", "calls", "");
        }
        if self.all.time_ms > 0.0 {
            let _ = write!(out, " {:>9}", "time");
        }
        out.trim_end().to_owned()
    }

    fn causes(&self, f: &mut fmt::Formatter<'_>, title: &str, causes: &[&Cause]) -> fmt::Result {
        if !causes.is_empty() {
            writeln!(f, "\n{}", self.title(title))?;
        }
        causes.iter().try_for_each(|cause| {
            writeln!(f, "{}  {}", self.row(&cause.name, &cause.counts), cause.example)
        })
    }

    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self.input {
            "sql" => "a psql script".to_owned(),
            form => format!("pg_stat_statements as {form}, {} calls", self.all.calls),
        };
        writeln!(f, "{}: {} statements ({form})", self.file, self.all.statements)?;
        writeln!(f, "catalog  {}", self.catalog)?;
        if let Some(assumed) = self.assumed {
            writeln!(f, "assumed  {assumed}")?;
        }
        writeln!(f, "judged   {}", self.judged)?;
        if self.hidden.statements > 0 {
            let Counts { statements, calls, .. } = self.hidden;
            writeln!(
                f,
                "left out {statements} without a text ({calls} calls): export as a member of pg_read_all_stats"
            )?;
        }
        Ok(())
    }

    fn unread(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.not_understood.len();
        if count == 0 {
            return Ok(());
        }
        writeln!(f, "\nnot understood: {count}, which go to the primary")?;
        let shown = if self.list.is_some() { count } else { LISTED };
        self.list(f, self.not_understood.iter().take(shown), |one| one.cause)?;
        match count.checked_sub(shown) {
            None | Some(0) => Ok(()),
            Some(more) => writeln!(f, "  … and {more} more; --all lists them"),
        }
    }

    fn list<'a>(
        &self,
        f: &mut fmt::Formatter<'_>,
        mut entries: impl Iterator<Item = &'a Judged>,
        word: impl Fn(&'a Judged) -> &'a str,
    ) -> fmt::Result {
        let place = if self.input == "json" { "entry" } else { "line" };
        entries.try_for_each(|one| {
            writeln!(f, "  {place} {:<6} {:<20} {}", one.place, word(one), one.statement)
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        for (title, shares) in [("target", &self.targets), ("class", &self.classes)] {
            writeln!(f, "\n{}", self.title(title))?;
            for share in shares {
                writeln!(f, "{}", self.row(share.name, &share.counts))?;
            }
        }
        for share in &self.targets {
            let causes: Vec<&Cause> =
                self.causes.iter().filter(|cause| cause.target == share.name).collect();
            self.causes(f, &format!("why {}", share.name), &causes)?;
        }
        let pins = if self.pins_refused { "pins (refused)" } else { "pins" };
        self.causes(f, pins, &self.pins.iter().collect::<Vec<_>>())?;
        self.unread(f)?;
        for share in &self.targets {
            let Some(all) = &self.list else { break };
            writeln!(f, "\nall {}", share.name)?;
            self.list(f, all.iter().filter(|one| one.target == share.name), |one| one.cause)?;
        }
        Ok(())
    }
}

/// Those that ran most come first.
fn by_calls<T>(all: impl Iterator<Item = T>, counts: impl Fn(&T) -> Counts) -> Vec<T> {
    let mut all: Vec<T> = all.collect();
    all.sort_by_key(|one| std::cmp::Reverse((counts(one).calls, counts(one).statements)));
    all
}

/// Rounded to tenths.
fn percent(part: u64, all: u64) -> String {
    let tenths = u128::from(part).saturating_mul(1000).saturating_add(u128::from(all) / 2);
    let tenths = tenths.checked_div(u128::from(all)).unwrap_or(0);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn shares_are_rounded_to_tenths() {
        let shares = [(0, 0), (1, 3), (2, 3), (3, 3), (1, 2_000), (u64::MAX, u64::MAX)];
        let texts = shares.map(|(part, all)| percent(part, all));
        assert_eq!(texts, ["0.0 %", "33.3 %", "66.7 %", "100.0 %", "0.1 %", "100.0 %"]);
    }
}
