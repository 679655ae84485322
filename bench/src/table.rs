//! What was measured: samples, medians, ratios.

use weir_bench::cpu::Used;
use weir_bench::peers::Name;
use weir_bench::pgbench::Counted;

use crate::plan::Case;

/// One run of pgbench.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) counted: Counted,
    /// What the proxy used once all clients were connected.
    pub(crate) used: Option<Used>,
}

/// A number that a run gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    Tps,
    LatencyMs,
    Failed,
    /// The proxy's CPU time per transaction, in microseconds.
    Cpu,
    /// Its share in user mode.
    User,
    /// Its share in the kernel.
    System,
    /// How often the proxy went to wait, per transaction.
    Voluntary,
    /// How often its CPU was taken from it, per transaction.
    Involuntary,
}

impl Sample {
    /// `None` for what a proxy used where there is no proxy or was no transaction.
    pub(crate) fn figure(&self, figure: Figure) -> Option<f64> {
        let used = match figure {
            Figure::Tps => return Some(self.counted.tps),
            Figure::LatencyMs => return Some(self.counted.latency_ms),
            Figure::Failed => return Some(self.counted.failed),
            Figure::Cpu => (self.used?.user + self.used?.system) * 1e6,
            Figure::User => self.used?.user * 1e6,
            Figure::System => self.used?.system * 1e6,
            Figure::Voluntary => self.used?.voluntary,
            Figure::Involuntary => self.used?.involuntary,
        };
        let transactions = self.counted.transactions;
        (transactions > 0.0).then(|| used / transactions)
    }
}

/// All runs of one peer in one case; the index is the round.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) name: Name,
    pub(crate) case: Case,
    pub(crate) remark: &'static str,
    pub(crate) runs: Vec<Result<Sample, String>>,
}

impl Cell {
    /// The median over the rounds that went well.
    pub(crate) fn median(&self, figure: Figure) -> Option<f64> {
        median(self.figures(figure).collect())
    }

    /// What each round that went well gives.
    pub(crate) fn figures(&self, figure: Figure) -> impl Iterator<Item = f64> {
        self.runs.iter().flatten().filter_map(move |sample| sample.figure(figure))
    }

    /// The median of the ratios to `other`, taken round by round.
    ///
    /// Neighbours in time share the machine's mood; medians of each do not.
    pub(crate) fn ratio(&self, other: &Self, figure: Figure) -> Option<f64> {
        let pairs = self.runs.iter().zip(&other.runs);
        let ratios = pairs.filter_map(|(own, their)| {
            let their = their.as_ref().ok()?.figure(figure)?;
            Some(own.as_ref().ok()?.figure(figure)? / their).filter(|ratio| ratio.is_finite())
        });
        median(ratios.collect())
    }

    /// Why some of its runs have no numbers.
    pub(crate) fn failures(&self) -> impl Iterator<Item = &str> {
        self.runs.iter().filter_map(|run| run.as_ref().err().map(String::as_str))
    }
}

/// All cells of a benchmark.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) cells: Vec<Cell>,
}

impl Table {
    pub(crate) fn cell(&self, name: Name, case: Case) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.name == name && cell.case == case)
    }

    pub(crate) fn add(
        &mut self,
        (name, case): (Name, Case),
        remark: &'static str,
        run: Result<Sample, String>,
    ) {
        let found = self.cells.iter_mut().find(|cell| cell.name == name && cell.case == case);
        match found {
            Some(cell) => cell.runs.push(run),
            None => self.cells.push(Cell { name, case, remark, runs: vec![run] }),
        }
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (below, above) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    Some(f64::midpoint(*values.get(below)?, *values.get(above)?))
}

#[cfg(test)]
mod tests {
    use weir_bench::pgbench::{Mode, Work};

    use super::*;

    const CASE: Case = Case { work: Work::Select, mode: Mode::Simple, clients: 16 };

    fn sample(tps: f64, failed: f64) -> Sample {
        let counted = Counted { transactions: tps, failed, tps, latency_ms: 1.0 };
        Sample {
            counted,
            used: Some(Used { user: 0.5, system: 1.5, voluntary: 3e6, involuntary: 1e6 }),
        }
    }

    fn cell(name: Name, runs: Vec<Result<Sample, String>>) -> Cell {
        Cell { name, case: CASE, remark: "", runs }
    }

    fn is(found: Option<f64>, expected: f64) -> bool {
        found.is_some_and(|found| (found - expected).abs() < 1e-9)
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert!(is(median(vec![3.0, 1.0, 2.0]), 2.0));
        assert!(is(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5));
    }

    #[test]
    fn what_a_proxy_used_is_counted_per_transaction() {
        let run = sample(1_000_000.0, 0.0);
        let expected = [
            (Figure::User, 0.5),
            (Figure::System, 1.5),
            (Figure::Cpu, 2.0),
            (Figure::Voluntary, 3.0),
            (Figure::Involuntary, 1.0),
        ];
        assert!(expected.iter().all(|(figure, value)| is(run.figure(*figure), *value)));
        assert_eq!(sample(0.0, 0.0).figure(Figure::Cpu), None);
    }

    #[test]
    fn a_ratio_is_taken_within_rounds_and_skips_lost_ones() {
        let own =
            cell(Name::Weir, vec![Ok(sample(1.0, 0.0)), Err("lost".into()), Ok(sample(30.0, 0.0))]);
        let their = cell(
            Name::Relay,
            vec![Ok(sample(2.0, 0.0)), Ok(sample(5.0, 0.0)), Ok(sample(10.0, 0.0))],
        );
        // 1/2 and 30/10; medians of each would say 15.5 / 5.
        assert!(is(own.ratio(&their, Figure::Tps), 1.75));
        assert_eq!(own.ratio(&cell(Name::Relay, vec![]), Figure::Tps), None);
    }
}
