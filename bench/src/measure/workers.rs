//! What a second worker brings, in front of a server that answers at once.

use std::fmt;
use std::time::Duration;

use serde_json::json;

use super::closed::{self, Crowd};
use super::fleet::{Fleet, Proxy, Setting};
use super::grid::{Grid, order};
use super::number::{Series, float, median, shown};
use super::process::{self, Thread};
use super::query::Asking;
use super::{Effort, pin, said};
use crate::peers::Name;
use crate::section::Section;

/// Of each generator; there are two, so that each worker has many.
const CLIENTS: u64 = 32;

/// Servers of each process: enough for everybody, and as many as there are by default.
const PLENTY: u16 = 100;
const SCARCE: u16 = 20;

/// How workers are brought together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Team {
    /// One process with one worker, on CPU 0.
    One,
    /// One process with two, one on each CPU.
    Two,
    /// Two processes with one each, one on each CPU: they share nothing but the machine.
    Apart,
    /// As `One`, and clients wait for servers.
    OneScarce,
    /// As `Two`, and the workers compete for servers.
    TwoScarce,
}

impl Team {
    const ALL: [Self; 5] = [Self::One, Self::Two, Self::Apart, Self::OneScarce, Self::TwoScarce];

    /// Names of its processes.
    fn processes(self) -> &'static [&'static str] {
        match self {
            Self::One => &["one"],
            Self::Two => &["two"],
            Self::Apart => &["apart-0", "apart-1"],
            Self::OneScarce => &["one-scarce"],
            Self::TwoScarce => &["two-scarce"],
        }
    }

    fn workers_of_each(self) -> u16 {
        match self {
            Self::One | Self::Apart | Self::OneScarce => 1,
            Self::Two | Self::TwoScarce => 2,
        }
    }

    fn servers_of_each(self) -> u16 {
        match self {
            Self::One | Self::Two | Self::Apart => PLENTY,
            Self::OneScarce | Self::TwoScarce => SCARCE,
        }
    }

    fn workers(self) -> f64 {
        match self {
            Self::One | Self::OneScarce => 1.0,
            Self::Two | Self::Apart | Self::TwoScarce => 2.0,
        }
    }

    /// The one worker that it is compared to.
    fn alone(self) -> Self {
        match self {
            Self::One | Self::Two | Self::Apart => Self::One,
            Self::OneScarce | Self::TwoScarce => Self::OneScarce,
        }
    }
}

impl fmt::Display for Team {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One => f.write_str("one worker"),
            Self::Two => f.write_str("two workers"),
            Self::Apart => f.write_str("two processes with one each"),
            Self::OneScarce => write!(f, "one worker, {SCARCE} servers"),
            Self::TwoScarce => write!(f, "two workers, {SCARCE} servers"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Key {
    asking: Asking,
    team: Team,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} | {}", self.asking, self.team)
    }
}

#[derive(Clone, Debug)]
struct Sample {
    per_second: f64,
    /// What each worker used, in CPU seconds per second.
    busy: Vec<f64>,
}

impl Sample {
    /// Transactions in a second of one worker's CPU time.
    fn per_cpu_second(&self) -> f64 {
        self.per_second / self.busy.iter().sum::<f64>()
    }
}

/// A team that runs, and its workers' threads by process.
struct Running {
    team: Team,
    proxies: Vec<Proxy>,
}

/// Measures Weir alone: the others have one worker, or say nothing of two.
#[must_use]
pub fn section(fleet: Fleet<'_>, effort: Effort, accounts: u64) -> Section {
    let (mut grid, mut faults) = (Grid::default(), Vec::new());
    let to = format!("127.0.0.1:{}", fleet.cluster.primary().port());
    let answers = fleet.named_port("answers", "workers", &["--to", &to]);
    let mut teams = Vec::new();
    match answers.as_ref().map_err(Clone::clone).and_then(free) {
        Ok(port) => {
            for team in Team::ALL {
                match start(fleet, team, port) {
                    Ok(running) => teams.push(running),
                    Err(why) => faults.push(format!("{team}: {why}")),
                }
            }
        }
        Err(why) => faults.push(format!("there is no server that answers at once: {why}")),
    }
    for round in 0..effort.rounds {
        for asking in Asking::ALL {
            for running in order(&teams.iter().collect::<Vec<_>>(), round) {
                let key = Key { asking, team: running.team };
                grid.add(key, sample(running, asking, (effort.run, accounts)));
            }
        }
    }
    faults.extend(grid.faults());
    let json = grid.json(|sample| {
        json!({ "tps": sample.per_second, "busy": sample.busy, "per_cpu_second": sample.per_cpu_second() })
    });
    Section { title: "Two workers", markdown: markdown(&grid), json, faults }
}

/// Lets a process of the fleet use both CPUs; it was bound to the first as this one is.
fn free(proxy: &Proxy) -> Result<u16, String> {
    let pid = proxy.pid().ok_or("there is no process")?;
    for thread in process::threads(pid)? {
        pin::bind(&thread.id, "0,1")?;
    }
    Ok(proxy.port)
}

fn start(fleet: Fleet<'_>, team: Team, server: u16) -> Result<Running, String> {
    let mut proxies = Vec::new();
    for tag in team.processes() {
        let (workers, servers) = (team.workers_of_each(), team.servers_of_each());
        let setting = Setting { tag, workers, servers, only: Some(server), ..Setting::usual("") };
        let proxy = fleet.start(Name::Weir, setting)?;
        free(&proxy)?;
        proxies.push(proxy);
    }
    let running = Running { team, proxies };
    for (cpu, worker) in workers(&running)?.iter().enumerate() {
        pin::bind(&worker.id, &cpu.to_string())?;
    }
    Ok(running)
}

fn workers(running: &Running) -> Result<Vec<Thread>, String> {
    let mut workers = Vec::new();
    for proxy in &running.proxies {
        let threads = process::threads(proxy.pid().ok_or("there is no process")?)?;
        workers.extend(threads.into_iter().filter(|thread| thread.name.starts_with("worker-")));
    }
    workers.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(workers)
}

fn sample(
    running: &Running,
    asking: Asking,
    (length, accounts): (Duration, u64),
) -> Result<Sample, String> {
    let crowd = Crowd { asking, clients: CLIENTS, accounts, length };
    let before = workers(running)?;
    // One generator for each process, or two for the only one.
    let ports: Vec<_> = running.proxies.iter().map(|proxy| proxy.port).cycle().take(2).collect();
    let answered = pin::on("0,1", || {
        std::thread::scope(|scope| {
            let one = |port| scope.spawn(move || closed::run(port, crowd).map_err(said));
            let threads: Vec<_> = ports.into_iter().map(one).collect();
            let ends =
                threads.into_iter().map(|end| end.join().unwrap_or(Err("it panicked".to_owned())));
            ends.collect::<Result<Vec<_>, _>>()
        })
    })?;
    let after = workers(running)?;
    if !running.proxies.iter().all(|proxy| proxy.pid().is_some()) || before.len() != after.len() {
        return Err("a worker was lost".to_owned());
    }
    let count: u64 = answered.iter().map(|(count, _)| count).sum();
    let took = answered.iter().map(|(_, took)| took.as_secs_f64()).fold(0.0, f64::max);
    let busy = before.iter().zip(&after).map(|(before, after)| (after.used - before.used) / took);
    Ok(Sample { per_second: float(count) / took, busy: busy.collect() })
}

/// How much of a team's workers is left, in workers: their number times what a
/// transaction costs the other team's, over what it costs theirs.
fn scaling(own: &Series, other: &Series, workers: f64) -> Option<f64> {
    own.ratio_to(other).map(|ratio| ratio * workers)
}

fn markdown(grid: &Grid<Key, Sample>) -> String {
    let mut text = format!(
        "Between Weir and the primary stands a program that answers the benchmark's statement at once and \
         passes all else on (`bench/src/bin/answers.rs`): no query is planned or run. Workers are bound \
         to a CPU each; two generators of {CLIENTS} clients each and the answering program run on \
         whatever is left of both CPUs. **What two CPUs can't show**: throughput that doubles, since those \
         who ask and answer need the same CPUs. What they can: how many transactions a worker does in a \
         second of its own CPU time, while another works beside it. *Worth*: that number, times the \
         workers, over that of one worker, pair by pair: 2.00 if they don't hinder each other at all. \
         Two processes share nothing but the machine: what they lose, caches and memory take, and what two \
         workers of one process lose beyond them (*× apart*) is Weir's own. A process may have {PLENTY} \
         servers, so that no client waits for one; in the last rows, {SCARCE} for all clients, which is \
         the default: there, workers compete for servers.\n\n\
         | asked | Weir | tps | workers' CPU used | txn per CPU second | worth | × apart |\n\
         |---|---|---|---|---|---|---|\n"
    );
    for key in grid.keys() {
        text.push_str(&row(grid, key));
    }
    text
}

fn row(grid: &Grid<Key, Sample>, key: Key) -> String {
    let capacity = |team| grid.series(Key { team, ..key }, |sample| Some(sample.per_cpu_second()));
    let own = capacity(key.team);
    let tps = grid.series(key, |sample| Some(sample.per_second));
    let apart = match key.team {
        Team::Two => own.ratio_to(&capacity(Team::Apart)),
        Team::One | Team::Apart | Team::OneScarce | Team::TwoScarce => None,
    };
    format!(
        "| {key} | {} | {} | {} | {} | {} |\n",
        shown(tps.median(), 0),
        busy(grid, key),
        shown(own.median(), 0),
        shown(scaling(&own, &capacity(key.team.alone()), key.team.workers()), 2),
        shown(apart, 2),
    )
}

/// Each worker's share of its CPU: how evenly clients were spread.
fn busy(grid: &Grid<Key, Sample>, key: Key) -> String {
    let count = grid.runs(key).map(|sample| sample.busy.len()).max().unwrap_or(0);
    let share = |worker: usize| {
        let all = grid.runs(key).filter_map(|sample| sample.busy.get(worker).copied());
        shown(median(all.map(|share| share * 100.0).collect()), 0) + " %"
    };
    (0..count).map(share).collect::<Vec<_>>().join(" + ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid<Key, Sample> {
        let mut grid = Grid::default();
        let mut add = |team, per_second, busy: &[f64]| {
            let key = Key { asking: Asking::Simple, team };
            grid.add(key, Ok(Sample { per_second, busy: busy.to_vec() }));
        };
        add(Team::One, 80_000.0, &[0.8]);
        add(Team::Two, 90_000.0, &[0.4, 0.6]);
        add(Team::Apart, 76_000.0, &[0.4, 0.4]);
        add(Team::OneScarce, 50_000.0, &[1.0]);
        add(Team::TwoScarce, 40_000.0, &[0.5, 0.5]);
        grid
    }

    #[test]
    fn capacity_is_per_cpu_second_of_the_workers() {
        let grid = grid();
        let row = |team| row(&grid, Key { asking: Asking::Simple, team });
        assert_eq!(row(Team::One), "| simple | one worker | 80000 | 80 % | 100000 | 1.00 | – |\n");
        // 90,000 per CPU second against 100,000, of two: 1.80; apart, 95,000.
        assert_eq!(
            row(Team::Two),
            "| simple | two workers | 90000 | 40 % + 60 % | 90000 | 1.80 | 0.95 |\n"
        );
        assert!(row(Team::Apart).contains("| 95000 | 1.90 | – |"), "{}", row(Team::Apart));
        // Not compared to a worker with servers for everybody.
        assert!(row(Team::TwoScarce).contains("| 40000 | 1.60 | – |"), "{}", row(Team::TwoScarce));
    }

    #[test]
    fn without_one_worker_a_second_is_worth_nothing_known() {
        let series = Series(vec![Some(1.0)]);
        assert_eq!(scaling(&series, &Series::default(), 2.0), None);
    }
}
