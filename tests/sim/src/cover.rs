//! What a run went through, so that one that tried nothing shows.

use std::collections::BTreeMap;

/// How often what happened.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cover(BTreeMap<&'static str, u64>);

impl Cover {
    pub(crate) fn add(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(crate) fn join(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    pub(crate) fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }

    /// What was tried less often than so many seeds should.
    pub(crate) fn missing(&self, seeds: u64) -> Option<String> {
        let least =
            |(what, in_hundred): &&(&'static str, u64)| self.of(what) < seeds * in_hundred / 100;
        let (what, in_hundred) = AT_LEAST.iter().find(least)?;
        let (found, wanted) = (self.of(what), seeds * in_hundred / 100);
        Some(format!("{what}: {found} times instead of {wanted} at least"))
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(|(what, count)| format!("{count:>12}  {what}"))
    }
}

/// What must have happened in a hundred seeds, far below what does; a run that tries less proves little.
const AT_LEAST: [(&str, u64); 23] = [
    (crate::judge::SERVED_AGAIN, 60),
    ("asynchronous commits", 5_000),
    ("commits that wait for a standby", 500),
    ("dead receivers", 50),
    ("failovers", 30),
    ("guards failed", 20),
    ("guards passed", 500),
    ("jumps of a wall clock", 50),
    ("lag storms", 50),
    ("lost probes and questions", 50),
    ("nodes made anew", 20),
    ("pauses of replay", 50),
    ("primary restarts", 20),
    ("promotions", 30),
    ("reads by replicas without a primary", 50),
    ("reads by replicas: eventual", 2_000),
    ("reads by replicas: session", 5_000),
    ("reads by replicas: strong", 500),
    ("standby restarts", 30),
    ("standbys ahead of a switch point", 4),
    ("superseded primaries", 8),
    ("synchronous commits", 5_000),
    ("tokens carried", 500),
];
