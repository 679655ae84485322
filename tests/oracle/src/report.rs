//! The two figures, and the statements behind them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use crate::say::say;
use crate::session::Notes;
use crate::text::one_line;
use crate::verdict::{Cause, Seen, Verdict};

/// How many examples of each reason are shown.
const EXAMPLES: usize = 3;

/// All verdicts of a run.
pub(crate) struct Report<'n> {
    notes: &'n Notes,
    judged: Vec<(Verdict, &'n Seen)>,
}

impl<'n> Report<'n> {
    /// Judges all that was seen.
    pub(crate) fn of(notes: &'n Notes) -> Self {
        let judged = notes.seen.iter().map(|seen| (seen.verdict(), seen)).collect();
        Self { notes, judged }
    }

    fn with(&self, verdict: Verdict) -> Vec<&'n Seen> {
        self.judged.iter().filter(|(it, _)| *it == verdict).map(|(_, seen)| *seen).collect()
    }

    /// The share of reads that are called so, in percent; `None` when nothing was counted.
    ///
    /// Without those that call what its owner says may write: nobody has shown that these only read.
    pub(crate) fn completeness(&self) -> Option<f64> {
        let missed = self.with(Verdict::Missed);
        share(
            self.with(Verdict::Hit).len(),
            missed.iter().filter(|it| it.cause != Cause::Label).count(),
        )
    }

    /// The same with them.
    fn with_labelled(&self) -> Option<f64> {
        share(self.with(Verdict::Hit).len(), self.with(Verdict::Missed).len())
    }

    /// Statements by which the classifier is wrong.
    pub(crate) fn faults(&self) -> usize {
        [Verdict::Refused, Verdict::Silent, Verdict::Differs(None)]
            .into_iter()
            .map(|verdict| self.with(verdict).len())
            .sum()
    }

    /// Prints all.
    pub(crate) fn print(&self) {
        let of = |verdict| self.with(verdict).len();
        say(&format!(
            "{} statements, {} of them like queries; the catalog was read {} times",
            self.notes.statements,
            self.judged.len(),
            self.notes.catalogs
        ));
        for line in &self.notes.unmirrored {
            say(&format!("a setting that the standby did not take: {line}"));
        }
        self.list("UNSOUND, called a read, but a standby refuses it", Verdict::Refused);
        self.list("UNSOUND, called a read, but it acts on one server or session", Verdict::Silent);
        self.list("WRONG, called a read, but a standby answers otherwise", Verdict::Differs(None));
        self.print_excused();
        let all = self.with_labelled().unwrap_or_default();
        let (hits, missed) = (of(Verdict::Hit), of(Verdict::Missed));
        say(&format!("{hits} reads are called so, {missed} are not ({all:.2} % of all):"));
        for (why, mut missed) in by_why(&self.with(Verdict::Missed)) {
            say(&format!("{:6} {why}", missed.len()));
            missed.sort_by_key(|seen| seen.text.len());
            missed.dedup_by_key(|seen| seen.text.as_str());
            for seen in missed.iter().take(EXAMPLES) {
                say(&format!("         {}", one_line(&seen.text)));
            }
        }
    }

    fn list(&self, what: &str, verdict: Verdict) {
        for seen in self.with(verdict) {
            say(&format!("{what}: {}: {}", seen.file, one_line(&seen.text)));
            for (node, answer) in [("standby", &seen.standby), ("primary", &seen.primary)] {
                let words = answer.failure.as_ref().map_or(&answer.first, |it| &it.message);
                let (outcome, rows) = (answer.outcome(), answer.rows);
                say(&format!("    {node}: {outcome}, {rows} row(s): {words}"));
            }
        }
    }

    fn print_excused(&self) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (verdict, _) in &self.judged {
            if let Verdict::Differs(Some(excuse)) = verdict {
                let count = counts.entry(excuse).or_default();
                *count = count.saturating_add(1);
            }
        }
        for (excuse, count) in counts {
            say(&format!("{count} read(s) answer otherwise there, and may: {excuse}"));
        }
    }

    /// Writes every missed statement: why, class, outcome on the standby, text, test; tabs between.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        for seen in self.with(Verdict::Missed) {
            let (why, class) = (why(seen), seen.class.as_str());
            let (outcome, text) = (seen.standby.outcome(), one_line(&seen.text));
            writeln!(file, "{why}\t{class}\t{outcome}\t{text}\t{}", seen.file)?;
        }
        file.flush()
    }
}

fn share(hits: usize, missed: usize) -> Option<f64> {
    let [hits, missed] = [hits, missed].map(|it| f64::from(u32::try_from(it).unwrap_or(u32::MAX)));
    let all = hits + missed;
    (all > 0.0).then(|| 100.0 * hits / all)
}

/// The cause of the class, and whether it is the database's and not the statement's.
fn why(seen: &Seen) -> String {
    let why = seen.why.as_str();
    match seen.cause {
        Cause::Statement => why.to_owned(),
        Cause::Label => format!("{why} (labelled)"),
    }
}

/// Groups, the largest first.
fn by_why<'n>(all: &[&'n Seen]) -> Vec<(String, Vec<&'n Seen>)> {
    let mut groups: BTreeMap<String, Vec<&Seen>> = BTreeMap::new();
    for seen in all {
        groups.entry(why(seen)).or_default().push(seen);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, members)| Reverse(members.len()));
    groups
}
