//! All runs of a section: a cell per setting, in each a run per round.

use std::fmt::Display;

use serde_json::{Value, json};

use super::number::Series;

/// Runs by what was measured.
#[derive(Clone, Debug)]
pub struct Grid<K, S> {
    cells: Vec<(K, Vec<Result<S, String>>)>,
}

impl<K, S> Default for Grid<K, S> {
    fn default() -> Self {
        Self { cells: Vec::new() }
    }
}

impl<K: Copy + PartialEq + Display, S> Grid<K, S> {
    /// Adds the run of the next round.
    pub fn add(&mut self, key: K, run: Result<S, String>) {
        match self.cells.iter_mut().find(|(known, _)| *known == key) {
            Some((_, runs)) => runs.push(run),
            None => self.cells.push((key, vec![run])),
        }
    }

    /// What was measured, in the order in which it first was.
    pub fn keys(&self) -> impl Iterator<Item = K> {
        self.cells.iter().map(|(key, _)| *key)
    }

    /// A cell's runs that went well.
    pub fn runs(&self, key: K) -> impl Iterator<Item = &S> {
        let cell = self.cells.iter().find(|(known, _)| *known == key);
        cell.into_iter().flat_map(|(_, runs)| runs.iter().flatten())
    }

    /// A number of each of its rounds; empty where nothing was measured.
    pub fn series(&self, key: K, figure: impl Fn(&S) -> Option<f64>) -> Series {
        let cell = self.cells.iter().find(|(known, _)| *known == key);
        let runs = cell.map(|(_, runs)| runs.as_slice()).unwrap_or_default();
        Series(runs.iter().map(|run| run.as_ref().ok().and_then(&figure)).collect())
    }

    /// What did not go well, a sentence for each cell.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let fault = |(key, runs): &(K, Vec<Result<S, String>>)| {
            let failed = || runs.iter().filter_map(|run| run.as_ref().err());
            let first = failed().next()?;
            Some(format!("{key}: {} of {} runs failed: {first}", failed().count(), runs.len()))
        };
        self.cells.iter().filter_map(fault).collect()
    }

    /// Each run, for programs.
    pub fn json(&self, sample: impl Fn(&S) -> Value) -> Value {
        let run = |run: &Result<S, String>| match run {
            Ok(found) => sample(found),
            Err(error) => json!({ "error": error }),
        };
        let cell = |(key, runs): &(K, Vec<Result<S, String>>)| json!({ "cell": key.to_string(), "runs": runs.iter().map(run).collect::<Vec<_>>() });
        self.cells.iter().map(cell).collect()
    }
}

/// `all` in the order of `round`: nobody always comes first.
pub fn order<T: Copy>(all: &[T], round: u16) -> Vec<T> {
    let mut order = all.to_vec();
    if let Some(by) = usize::from(round).checked_rem(all.len()) {
        order.rotate_left(by);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_first_once() {
        let first: Vec<_> = (0..4).map(|round| order(&['a', 'b', 'c'], round)[0]).collect();
        assert_eq!(first, ['a', 'b', 'c', 'a']);
        assert!(order::<char>(&[], 3).is_empty());
    }

    #[test]
    fn a_lost_round_stays_a_round() {
        let mut grid = Grid::default();
        grid.add("a", Ok(1.0));
        grid.add("b", Ok(9.0));
        grid.add("a", Err("gone".to_owned()));
        grid.add("a", Ok(3.0));
        let series = grid.series("a", |value| Some(*value));
        assert_eq!(series.0, [Some(1.0), None, Some(3.0)]);
        assert_eq!(grid.runs("a").count(), 2);
        assert_eq!(grid.faults(), ["a: 1 of 3 runs failed: gone"]);
        assert_eq!(grid.json(|value| json!(value))[0]["runs"][1]["error"], "gone");
        assert_eq!(grid.keys().collect::<Vec<_>>(), ["a", "b"]);
    }
}
