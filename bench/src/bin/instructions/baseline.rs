//! The numbers of before, and what a new one is worth beside them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::{Value, json};
use weir_bench::machine::Facts;

use crate::report::Row;

/// Percent that a row may be above its baseline, or below it without a word.
const MARGIN: u64 = 5;

/// What was counted when the baseline was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Baseline {
    /// Instructions by the row's name.
    pub(crate) rows: BTreeMap<String, u64>,
    /// Where and with what.
    pub(crate) facts: Vec<(String, String)>,
}

/// A row beside its baseline; changes in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Verdict {
    /// Within the margin.
    Same { percent: f64 },
    /// Above it: the guard fails.
    Slower { percent: f64 },
    /// Below it: the baseline should be renewed, or what was won can be lost again unseen.
    Faster { percent: f64 },
    /// Not in the baseline.
    New,
}

impl Baseline {
    /// Reads it; `None` when there is none yet.
    ///
    /// # Errors
    ///
    /// It can't be read, or is no baseline.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, String> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        let parsed = parse(&text);
        parsed.map(Some).ok_or_else(|| format!("{} is no baseline", path.display()))
    }

    /// Writes `rows` as the new one, without those that are not judged.
    ///
    /// # Errors
    ///
    /// The file can't be written.
    pub(crate) fn write(path: &Path, facts: &Facts, rows: &[Row]) -> Result<(), String> {
        let text = format!("{:#}\n", document(facts, rows));
        fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// What the row is worth.
    pub(crate) fn verdict(&self, row: &Row) -> Verdict {
        let Some(&before) = self.rows.get(&row.name) else { return Verdict::New };
        let percent = percent(row.instructions, before);
        // Whole numbers decide: nothing is rounded at the margin.
        let now = u128::from(row.instructions).saturating_mul(100);
        let bound = |share: u64| u128::from(before).saturating_mul(share.into());
        if now > bound(100_u64.saturating_add(MARGIN)) {
            Verdict::Slower { percent }
        } else if now < bound(100_u64.saturating_sub(MARGIN)) {
            Verdict::Faster { percent }
        } else {
            Verdict::Same { percent }
        }
    }

    /// What is not as it was when the baseline was made, in words.
    pub(crate) fn differences(&self, facts: &Facts) -> Vec<String> {
        let differs = |(name, before): &(String, String)| {
            let (_, now) = facts.iter().find(|(known, _)| known == name)?;
            (now != before).then(|| format!("{name} was {before} and is {now}"))
        };
        self.facts.iter().filter_map(differs).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit behind the point")]
fn percent(now: u64, before: u64) -> f64 {
    (now as f64 / before as f64 - 1.0) * 100.0
}

fn document(facts: &Facts, rows: &[Row]) -> Value {
    let facts: serde_json::Map<_, _> =
        facts.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let judged = rows.iter().filter(|row| row.unsteady.is_none());
    let rows: serde_json::Map<_, _> =
        judged.map(|row| (row.name.clone(), json!(row.instructions))).collect();
    json!({ "facts": facts, "instructions": rows })
}

fn parse(text: &str) -> Option<Baseline> {
    let document: Value = serde_json::from_str(text).ok()?;
    let facts = document.get("facts")?.as_object()?.iter();
    let facts = facts.map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    let rows = document.get("instructions")?.as_object()?.iter();
    // A baseline of nothing would be passed by whatever is not a number.
    let rows = rows.map(|(name, value)| Some((name.clone(), value.as_u64().filter(|n| *n > 0)?)));
    Some(Baseline { facts: facts.collect::<Option<_>>()?, rows: rows.collect::<Option<_>>()? })
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same { percent } => write!(f, "{percent:+.1} %"),
            Self::Slower { percent } => write!(f, "MORE THAN {MARGIN} % ABOVE: {percent:+.1} %"),
            Self::Faster { percent } => {
                write!(f, "more than {MARGIN} % below: {percent:+.1} %; renew the baseline")
            }
            Self::New => f.write_str("has no baseline yet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(instructions: u64) -> Row {
        Row { name: "a".to_owned(), instructions, unit: "call", unsteady: None }
    }

    fn at(instructions: u64) -> Baseline {
        parse(&document(&Vec::new(), &[row(instructions)]).to_string()).unwrap()
    }

    #[test]
    fn five_percent_more_pass_and_a_hair_above_fails() {
        assert!(matches!(at(20_000).verdict(&row(21_000)), Verdict::Same { .. }));
        assert!(matches!(at(20_000).verdict(&row(21_001)), Verdict::Slower { .. }));
    }

    #[test]
    fn five_percent_less_pass_and_a_hair_below_asks_for_a_new_baseline() {
        assert!(matches!(at(20_000).verdict(&row(19_000)), Verdict::Same { .. }));
        assert!(matches!(at(20_000).verdict(&row(18_999)), Verdict::Faster { .. }));
    }

    #[test]
    fn a_baseline_lowered_by_six_percent_fails_and_by_four_passes() {
        assert!(matches!(at(9_400).verdict(&row(10_000)), Verdict::Slower { .. }));
        assert!(matches!(at(9_600).verdict(&row(10_000)), Verdict::Same { .. }));
    }

    #[test]
    fn what_is_not_steady_is_not_written() {
        let unsteady = Row { unsteady: Some("waits"), ..row(7) };
        assert!(parse(&document(&Vec::new(), &[unsteady]).to_string()).unwrap().rows.is_empty());
    }

    #[test]
    fn a_file_without_numbers_is_no_baseline() {
        assert_eq!(parse("{}"), None);
        assert_eq!(parse(r#"{"facts": {}, "instructions": {"a": "many"}}"#), None);
        assert_eq!(parse(r#"{"facts": {}, "instructions": {"a": 0}}"#), None);
    }

    #[test]
    fn another_machine_is_named() {
        let known = Baseline {
            rows: BTreeMap::new(),
            facts: vec![("rustc".to_owned(), "1.95.0".to_owned())],
        };
        assert!(known.differences(&vec![("rustc", "1.95.0".to_owned())]).is_empty());
        let other = known.differences(&vec![("rustc", "1.96.0".to_owned())]);
        assert_eq!(other, ["rustc was 1.95.0 and is 1.96.0"]);
    }
}
