//! The Prometheus text format, version 0.0.4.
//!
//! Samples of one family stay together whatever the order in which collectors wrote them, since
//! the format demands it: each family has a text of its own until [`Exposition::finish`].

use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::histogram::Totals;

/// Upper bounds of histogram buckets: 100 µs to 10 s, by 1, 2.5, 5.
const BUCKETS: [(Duration, &str); 16] = [
    (Duration::from_micros(100), "0.0001"),
    (Duration::from_micros(250), "0.00025"),
    (Duration::from_micros(500), "0.0005"),
    (Duration::from_millis(1), "0.001"),
    (Duration::from_micros(2_500), "0.0025"),
    (Duration::from_millis(5), "0.005"),
    (Duration::from_millis(10), "0.01"),
    (Duration::from_millis(25), "0.025"),
    (Duration::from_millis(50), "0.05"),
    (Duration::from_millis(100), "0.1"),
    (Duration::from_millis(250), "0.25"),
    (Duration::from_millis(500), "0.5"),
    (Duration::from_secs(1), "1"),
    (Duration::from_millis(2_500), "2.5"),
    (Duration::from_secs(5), "5"),
    (Duration::from_secs(10), "10"),
];

/// What a family's numbers mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Only grows; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in seconds; its name ends in `_seconds`.
    Histogram,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A sample's number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// What a [`crate::Counter`] holds.
    Count(u64),
    /// What a [`crate::Gauge`] holds.
    Level(i64),
    /// Anything that is measured.
    Measure(f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Count(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Level(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Measure(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Count(u64::from(value))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Count(value) => write!(f, "{value}"),
            Self::Level(value) => write!(f, "{value}"),
            Self::Measure(value) if value.is_nan() => f.write_str("NaN"),
            Self::Measure(f64::INFINITY) => f.write_str("+Inf"),
            Self::Measure(f64::NEG_INFINITY) => f.write_str("-Inf"),
            Self::Measure(value) => write!(f, "{value}"),
        }
    }
}

/// Gathers the answer to one scrape.
#[derive(Debug, Default)]
pub struct Exposition {
    families: Vec<Text>,
}

#[derive(Debug)]
struct Text {
    name: &'static str,
    lines: String,
}

impl Exposition {
    /// The `Content-Type` of what [`Exposition::finish`] gives.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Makes an empty exposition.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the family `name`, for samples to be added.
    ///
    /// Its `HELP` and `TYPE` are those of the first call; a family without samples prints nothing else.
    pub fn family(&mut self, name: &'static str, help: &str, kind: Kind) -> Family<'_> {
        let index = self.families.iter().position(|text| text.name == name);
        let index = index.unwrap_or_else(|| {
            let lines = header(name, help, kind);
            self.families.push(Text { name, lines });
            self.families.len().saturating_sub(1)
        });
        #[expect(clippy::indexing_slicing, reason = "found or pushed just above")]
        let text = &mut self.families[index];
        Family { text }
    }

    /// The whole text, families in the order of their first mention.
    #[must_use]
    pub fn finish(self) -> String {
        self.families.into_iter().map(|text| text.lines).collect()
    }
}

fn header(name: &str, help: &str, kind: Kind) -> String {
    let help = help.replace('\\', "\\\\").replace('\n', "\\n");
    format!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.as_str())
}

/// One family, open for samples.
#[derive(Debug)]
pub struct Family<'a> {
    text: &'a mut Text,
}

impl Family<'_> {
    /// Adds one sample; label names are the caller's, values may hold anything.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Into<Value>) -> &mut Self {
        self.line("", labels, None, value.into());
        self
    }

    /// Adds the buckets, sum and count of a family of [`Kind::Histogram`].
    pub fn histogram(&mut self, labels: &[(&str, &str)], totals: &Totals) -> &mut Self {
        for (bound, text) in BUCKETS {
            self.line("_bucket", labels, Some(text), Value::Count(totals.count_up_to(bound)));
        }
        self.line("_bucket", labels, Some("+Inf"), Value::Count(totals.count()));
        self.line("_sum", labels, None, Value::Measure(totals.sum().as_secs_f64()));
        self.line("_count", labels, None, Value::Count(totals.count()));
        self
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<&str>, value: Value) {
        let out = &mut self.text.lines;
        out.push_str(self.text.name);
        out.push_str(suffix);
        let labels = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        let mut before = '{';
        for (name, value) in labels {
            out.push(before);
            before = ',';
            push_label(out, name, value);
        }
        if before == ',' {
            out.push('}');
        }
        // Writing to a String does not fail.
        let _ = writeln!(out, " {value}");
    }
}

fn push_label(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push_str("=\"");
    for char in value.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Histogram;

    #[test]
    fn two_collectors_of_one_family_share_a_header_and_stay_together() {
        let mut out = Exposition::new();
        out.family("a_total", "First.", Kind::Counter).sample(&[("w", "0")], 1_u64);
        out.family("b", "Other.", Kind::Gauge).sample(&[], -1_i64);
        out.family("a_total", "Second.", Kind::Counter).sample(&[("w", "1")], 2_u64);
        let want = "# HELP a_total First.\n# TYPE a_total counter\na_total{w=\"0\"} 1\na_total{w=\"1\"} 2\n\
                    # HELP b Other.\n# TYPE b gauge\nb -1\n";
        assert_eq!(out.finish(), want);
    }

    #[test]
    fn label_values_and_help_are_escaped() {
        let mut out = Exposition::new();
        out.family("x", "a\\b\nc", Kind::Gauge).sample(&[("l", "q\"b\\n\n")], 1.5);
        let want = "# HELP x a\\\\b\\nc\n# TYPE x gauge\nx{l=\"q\\\"b\\\\n\\n\"} 1.5\n";
        assert_eq!(out.finish(), want);
    }

    #[test]
    fn what_is_not_a_number_is_spelled_as_prometheus_does() {
        let spelled = |value: f64| Value::from(value).to_string();
        assert_eq!(spelled(f64::NAN), "NaN");
        assert_eq!(spelled(f64::INFINITY), "+Inf");
        assert_eq!(spelled(f64::NEG_INFINITY), "-Inf");
        assert_eq!(spelled(3.0), "3");
    }

    #[test]
    fn buckets_are_cumulative_and_the_last_one_is_the_count() {
        let histogram = Histogram::new();
        histogram.record(Duration::from_micros(100));
        histogram.record(Duration::from_secs(60));
        let mut totals = Totals::default();
        histogram.merge_into(&mut totals);
        let mut out = Exposition::new();
        out.family("t_seconds", "T.", Kind::Histogram).histogram(&[("k", "v")], &totals);
        let text = out.finish();
        assert!(text.contains("t_seconds_bucket{k=\"v\",le=\"0.0001\"} 1\n"), "{text}");
        assert!(text.contains("t_seconds_bucket{k=\"v\",le=\"10\"} 1\n"), "{text}");
        assert!(text.contains("t_seconds_bucket{k=\"v\",le=\"+Inf\"} 2\n"), "{text}");
        assert!(text.contains("t_seconds_sum{k=\"v\"} 60.0001\n"), "{text}");
        assert!(text.ends_with("t_seconds_count{k=\"v\"} 2\n"), "{text}");
    }
}
