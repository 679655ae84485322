//! Counts of where statements would go, and why.

use std::collections::BTreeMap;

use admin::explain::Explanation;
use serde::Serialize;

use super::ground::Ground;
use super::input::Entry;

/// How much of a statement is shown, bytes.
const SHOWN: usize = 100;

/// What `pg_stat_statements` shows to a role that may not see a text.
const HIDDEN: &[u8] = b"<insufficient privilege>";

/// How many statements, and what they weigh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Counts {
    /// Statements of a script, rows of an export.
    pub(super) statements: u64,
    /// How often they ran; in a script, once each.
    pub(super) calls: u64,
    /// How long they ran in all, in milliseconds, where the export tells.
    pub(super) time_ms: f64,
}

/// Statements that share a cause, with the one of them that ran most.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Cause {
    #[serde(rename = "cause")]
    pub(super) name: String,
    pub(super) target: &'static str,
    pub(super) class: &'static str,
    #[serde(flatten)]
    pub(super) counts: Counts,
    /// Without its literals.
    pub(super) example: String,
    #[serde(skip)]
    example_calls: u64,
}

/// What one statement came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Judged {
    /// Line, or in JSON number, of the entry.
    pub(super) place: u64,
    pub(super) calls: u64,
    pub(super) target: &'static str,
    pub(super) class: &'static str,
    /// `why` of the class, or the reason where something else decided.
    pub(super) cause: &'static str,
    /// Without its literals.
    pub(super) statement: String,
    #[serde(skip)]
    why: &'static str,
    #[serde(skip)]
    pins: Vec<String>,
}

/// All counts of a file.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) all: Counts,
    pub(super) targets: BTreeMap<&'static str, Counts>,
    pub(super) classes: BTreeMap<&'static str, Counts>,
    pub(super) causes: BTreeMap<(&'static str, &'static str), Cause>,
    pub(super) pins: BTreeMap<String, Cause>,
    pub(super) not_understood: Vec<Judged>,
    /// Rows of an export without a text.
    pub(super) hidden: Counts,
    /// Every statement, if that is wanted.
    pub(super) listed: Option<Vec<Judged>>,
}

impl Tally {
    /// Counts one entry.
    pub(super) fn take(&mut self, entry: &Entry<'_>, ground: &Ground) -> Result<(), String> {
        let counts = Counts {
            statements: 1,
            calls: entry.calls.unwrap_or(1),
            time_ms: entry.time.unwrap_or(0.0),
        };
        if entry.text.trim_ascii().is_empty() || *entry.text == *HIDDEN {
            self.hidden.add(counts);
            return Ok(());
        }
        let judged = judge(entry, counts.calls, ground)?;
        self.all.add(counts);
        self.targets.entry(judged.target).or_default().add(counts);
        self.classes.entry(judged.class).or_default().add(counts);
        let key = (judged.target, judged.cause);
        let cause = self.causes.entry(key).or_insert_with(|| Cause::new(judged.cause, &judged));
        cause.add(counts, &judged);
        for pin in &judged.pins {
            let cause = self.pins.entry(pin.clone()).or_insert_with(|| Cause::new(pin, &judged));
            cause.add(counts, &judged);
        }
        if is_not_understood(judged.why) {
            self.not_understood.push(judged.clone());
        }
        if let Some(listed) = &mut self.listed {
            listed.push(judged);
        }
        Ok(())
    }
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.statements = self.statements.saturating_add(other.statements);
        self.calls = self.calls.saturating_add(other.calls);
        self.time_ms += other.time_ms;
    }
}

impl Cause {
    fn new(name: &str, judged: &Judged) -> Self {
        Self {
            name: name.to_owned(),
            target: judged.target,
            class: judged.class,
            counts: Counts::default(),
            example: judged.statement.clone(),
            example_calls: judged.calls,
        }
    }

    fn add(&mut self, counts: Counts, judged: &Judged) {
        self.counts.add(counts);
        if judged.calls > self.example_calls {
            self.example_calls = judged.calls;
            self.example.clone_from(&judged.statement);
        }
    }
}

fn judge(entry: &Entry<'_>, calls: u64, ground: &Ground) -> Result<Judged, String> {
    let place = entry.place;
    let statement = sql::normalized(&String::from_utf8_lossy(&entry.text), SHOWN);
    let Ok(text) = std::str::from_utf8(&entry.text) else {
        // As the data path has it: what is no UTF-8 is not read at all.
        let why = sql::Why::Malformed.as_str();
        let (target, class) = ("primary", sql::Class::Write.as_str());
        let pins = vec![sql::Pin::Unknown.as_str().to_owned()];
        return Ok(Judged { place, calls, target, class, cause: why, statement, why, pins });
    };
    let mut explained = ground.judge(text)?;
    if is_not_understood(explained.why) {
        // An export has parameters where the statement had constants, also where no parameter can be.
        explained = ground.judge(&sql::with_constants(text))?;
    }
    let Explanation { target, reason, class, why, effects, .. } = explained;
    let pins = effects.iter().filter_map(|effect| effect.strip_prefix("pin "));
    let pins = pins.map(str::to_owned).collect();
    // COMMIT, FETCH or SET LOCAL alone go anywhere; in their place they go where their transaction is.
    let in_transaction = matches!(why, "transaction" | "cursor" | "session_state");
    let follows = target == "replica" && in_transaction;
    let target = if follows { "follows" } else { target };
    let cause = if matches!(reason, "read" | "primary_read" | "write") { why } else { reason };
    Ok(Judged { place, calls, target, class, cause, statement, why, pins })
}

/// Whether the text, and not what it does, is why it may write.
fn is_not_understood(why: &str) -> bool {
    use sql::Why::{AmbiguousString, Malformed, NestingTooDeep, NotUnderstood, TooLong, Unparsed};
    [AmbiguousString, Malformed, NestingTooDeep, NotUnderstood, TooLong, Unparsed]
        .iter()
        .any(|cause| cause.as_str() == why)
}
