//! A report made of sections that know nothing of each other.
//!
//! A section brings its own text and numbers; where and with what all of them
//! were measured is said once, above.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::machine::Facts;

/// One part of a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// Its heading; also how programs find it.
    pub title: &'static str,
    /// What people read: tables and what a reader must know of them.
    pub markdown: String,
    /// What programs read: every run, not only medians.
    pub json: Value,
    /// What is missing or went wrong, a sentence each: shown below the text.
    pub faults: Vec<String>,
}

/// All that one run measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The heading above all sections.
    pub title: &'static str,
    /// Where and with what they were measured.
    pub facts: Facts,
    /// In the order in which they are shown.
    pub sections: Vec<Section>,
}

impl Report {
    /// Says whether every section measured all that it was to measure.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.sections.iter().all(|section| section.faults.is_empty())
    }

    /// Writes Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n\n", self.title);
        for (name, value) in &self.facts {
            line(&mut text, format_args!("- {name}: {value}"));
        }
        for Section { title, markdown, faults, .. } in &self.sections {
            line(&mut text, format_args!("\n## {title}\n\n{}", markdown.trim_end()));
            if !faults.is_empty() {
                line(&mut text, format_args!("\n- (!) {}", faults.join("\n- (!) ")));
            }
        }
        text
    }

    /// All numbers, by the sections' titles.
    #[must_use]
    pub fn json(&self) -> Value {
        let facts: serde_json::Map<_, _> =
            self.facts.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let sections: serde_json::Map<_, _> = self
            .sections
            .iter()
            .map(|Section { title, json, faults, .. }| {
                ((*title).to_owned(), json!({ "faults": faults, "data": json }))
            })
            .collect();
        json!({ "facts": facts, "sections": sections })
    }
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a String can't fail.
    let _infallible = writeln!(text, "{content}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(faults: &[&str]) -> Report {
        let whole = Section {
            title: "First",
            markdown: "one\n\n".into(),
            json: json!([1]),
            faults: vec![],
        };
        let faults = faults.iter().map(|fault| (*fault).to_owned()).collect();
        let other = Section { title: "Second", markdown: "two".into(), json: json!([2]), faults };
        Report { title: "All", facts: vec![("cpu", "fast".into())], sections: vec![whole, other] }
    }

    #[test]
    fn sections_follow_the_facts_in_their_order() {
        let expected = "# All\n\n- cpu: fast\n\n## First\n\none\n\n## Second\n\ntwo\n";
        assert_eq!(report(&[]).markdown(), expected);
        assert!(report(&[]).is_whole());
    }

    #[test]
    fn a_fault_is_shown_below_its_section_and_leaves_the_report_incomplete() {
        let report = report(&["no peer", "no answer"]);
        assert!(
            report.markdown().ends_with("\n## Second\n\ntwo\n\n- (!) no peer\n- (!) no answer\n")
        );
        assert!(!report.is_whole());
        assert_eq!(report.json()["sections"]["Second"]["faults"][1], "no answer");
    }

    #[test]
    fn programs_find_numbers_by_title() {
        let json = report(&[]).json();
        assert_eq!(json["sections"]["First"]["data"][0], 1);
        assert_eq!(json["facts"]["cpu"], "fast");
    }
}
