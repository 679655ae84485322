//! The verdict on some readings, and a line of the manual's table.

use std::time::Duration;

use super::stage::{INTERVAL, Reading, SLACK};

/// What Weir promises in a situation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    /// Not below the truth, and above it by so many probe intervals.
    Within(u32),
    /// Not below the truth.
    NotBelow,
    /// Nothing is known, and nothing is said.
    Unknown,
}

/// A situation with one reading of it.
pub(super) struct Row {
    situation: &'static str,
    reading: Reading,
    /// What is wrong with the other measures.
    why: &'static str,
}

impl Row {
    /// Checks all readings against the promise and keeps a typical one.
    ///
    /// # Panics
    ///
    /// When Weir says less than the truth even once, or too much in half of the readings: one
    /// alone may have met a machine that was busy.
    #[track_caller]
    pub(super) fn judge(
        situation: &'static str,
        promise: Promise,
        readings: &[Reading],
        why: &'static str,
    ) -> Self {
        for reading in readings {
            for said in [reading.weir, reading.metric] {
                let is_right = match (promise, said) {
                    (Promise::Unknown, said) => said.is_none(),
                    (_, Some(said)) => said >= reading.at_least,
                    (_, None) => false,
                };
                assert!(is_right, "{situation}: said {said:?}, {promise:?}: {reading:#?}");
            }
        }
        let mut readings = readings.to_vec();
        readings.sort_by_key(excess);
        let reading = readings[readings.len() / 2];
        if let Promise::Within(intervals) = promise {
            let most = INTERVAL * intervals + SLACK;
            let excess = excess(&reading);
            assert!(
                excess <= most,
                "{situation}: {excess:?} too much, not {most:?}: {readings:#?}"
            );
        }
        Self { situation, reading, why }
    }

    pub(super) fn reading(&self) -> &Reading {
        &self.reading
    }

    /// A line of the table.
    pub(super) fn line(&self) -> String {
        let Reading { at_least, at_most, weir, since_commit, all_replayed, .. } = self.reading;
        let truth = f64::midpoint(at_least.as_secs_f64(), at_most.as_secs_f64());
        let weir =
            weir.map_or("unknown".to_owned(), |lag| format!("≤ {}", spelled(lag.as_secs_f64())));
        let since = since_commit.map_or("`NULL`".to_owned(), spelled);
        let equal = match all_replayed {
            Some(true) => "true",
            Some(false) => "false",
            None => "`NULL`",
        };
        format!(
            "| {} | {} | {weir} | {since} | {equal} | {} |",
            self.situation,
            spelled(truth),
            self.why
        )
    }
}

/// How much more Weir says than the truth.
fn excess(reading: &Reading) -> Duration {
    reading.weir.unwrap_or_default().saturating_sub(reading.at_most)
}

fn spelled(seconds: f64) -> String {
    format!("{seconds:.2} s")
}
