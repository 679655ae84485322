//! Latency by an open loop: requests come when they come.

use std::fmt;

use serde_json::json;

use super::drive::{Order, Outcome, micros};
use super::fleet::{self, Fleet, Proxy, Setting};
use super::grid::{Grid, order};
use super::number::{float, line, shown};
use super::pace::{Pace, Schedule};
use super::query::Asking;
use super::{Effort, drive, pin, said};
use crate::peers::Name;
use crate::section::Section;

const CLIENTS: usize = 16;
/// Arrivals a second that trouble nobody.
const CALM: u64 = 2_000;

/// A generator that is later than this, in microseconds, was not alone on its CPU.
const LATE: f64 = 100.0;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Key {
    asking: Asking,
    rate: u64,
    who: Name,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} per second, {}", self.asking, self.rate, self.who)
    }
}

/// Measures all peers.
#[must_use]
pub fn section(fleet: Fleet<'_>, effort: Effort, accounts: u64) -> Section {
    let (mut proxies, mut faults) = (Vec::new(), Vec::new());
    for who in fleet::ALL {
        match fleet.start(who, Setting::usual("latency")) {
            Ok(proxy) => proxies.push((who, proxy)),
            Err(why) => faults.push(format!("{who} is missing: {why}")),
        }
    }
    let run = |proxy: &Proxy, asking, pace| {
        let order = Order { asking, pace, clients: CLIENTS, accounts };
        pin::on("1", || drive::run(proxy.port, order, None).map_err(said))
    };
    let mut grid = Grid::default();
    let mut capacities = Vec::new();
    for asking in Asking::ALL {
        let closed = Pace::Closed(effort.run.div_f64(2.0));
        let reached =
            |proxy: &Proxy| run(proxy, asking, closed).map(|outcome| per_second(&outcome));
        let found: Vec<_> =
            proxies.iter().map(|(who, proxy)| (*who, reached(proxy).unwrap_or(0.0))).collect();
        let busy = half_of_slowest(&found);
        capacities.push((asking, busy, found));
        for round in 0..effort.rounds {
            for rate in [CALM, busy] {
                for (who, proxy) in order(&proxies.iter().collect::<Vec<_>>(), round) {
                    let pace = Pace::Open(Schedule::new(rate, effort.run));
                    grid.add(Key { asking, rate, who: *who }, run(proxy, asking, pace));
                }
            }
        }
    }
    faults.extend(grid.faults());
    let json = grid.json(|outcome| {
        let [p50, p99, p999] = [50.0, 99.0, 99.9].map(|part| micros(&outcome.waits, part));
        let late = micros(&outcome.lateness, 99.0);
        json!({ "p50_us": p50, "p99_us": p99, "p99.9_us": p999, "lateness_p99_us": late })
    });
    Section { title: "Latency", markdown: markdown(&grid, &capacities), json, faults }
}

fn per_second(outcome: &Outcome) -> f64 {
    float(outcome.answered) / outcome.took.as_secs_f64()
}

/// Half of what the slowest of those that pool can do, in round hundreds.
///
/// One that gave no answer has no capacity, and is not waited for.
fn half_of_slowest(found: &[(Name, f64)]) -> u64 {
    let compared = [Name::Direct, Name::PgBouncer, Name::Weir];
    let capacities = found.iter().filter(|(who, rate)| compared.contains(who) && *rate > 0.0);
    let slowest = capacities.map(|(_, rate)| *rate).fold(f64::INFINITY, f64::min);
    let hundreds = if slowest.is_finite() { (slowest / 200.0).floor() } else { 0.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    let hundreds = hundreds as u64;
    hundreds.saturating_mul(100).max(100)
}

/// The waits of all rounds: a round alone has too few for its rarest.
fn tail(grid: &Grid<Key, Outcome>, key: Key) -> Option<f64> {
    let mut all = drive::nanoseconds().ok()?;
    for outcome in grid.runs(key) {
        all.add(&outcome.waits).ok()?;
    }
    (!all.is_empty()).then(|| micros(&all, 99.9))
}

type Capacity = (Asking, u64, Vec<(Name, f64)>);

fn markdown(grid: &Grid<Key, Outcome>, capacities: &[Capacity]) -> String {
    let mut text = format!(
        "Open loop: {CLIENTS} connections, requests at a fixed rate whatever becomes of them; a wait \
         counts from when its request was *due*, so that a stall is borne by all that were due \
         during it. The generator alone is on CPU 1 and never sleeps; the peer and all PostgreSQL \
         nodes share CPU 0: a proxy is woken as it would be beside a busy server, and no wake-up \
         of the generator's own is in the numbers. *Late*: p99 of how late it sent. Microseconds; \
         medians over the rounds, p99.9 over all rounds together; *added* and *× PgBouncer* are \
         taken within each round.\n\n"
    );
    for (asking, busy, found) in capacities {
        let found: Vec<_> = found.iter().map(|(who, rate)| format!("{who} {rate:.0}")).collect();
        line(
            &mut text,
            format_args!(
                "{asking}: as fast as they answer, {} per second; the higher rate is half of the \
             slowest of direct, PgBouncer and Weir: {busy}.\n",
                found.join(", ")
            ),
        );
    }
    text.push_str(
        "| asked | per second | through | p50 | added p50 | p99 | × PgBouncer | p99.9 | late |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for key in grid.keys() {
        text.push_str(&row(grid, key));
    }
    let late: Vec<_> = grid
        .keys()
        .flat_map(|key| grid.runs(key))
        .map(|outcome| micros(&outcome.lateness, 99.0) > LATE)
        .collect();
    let count = late.iter().filter(|late| **late).count();
    if count > 0 {
        line(
            &mut text,
            format_args!(
                "\nIn {count} of {} runs the generator itself was late by more than {LATE} µs (p99): \
             somebody else had CPU 1, and their tails say little.",
                late.len()
            ),
        );
    }
    text
}

fn row(grid: &Grid<Key, Outcome>, key: Key) -> String {
    let part = |who, percent| {
        grid.series(Key { who, ..key }, |outcome| Some(micros(&outcome.waits, percent)))
    };
    let (p50, p99) = (part(key.who, 50.0), part(key.who, 99.0));
    let late = grid.series(key, |outcome| Some(micros(&outcome.lateness, 99.0)));
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
        key.asking,
        key.rate,
        key.who,
        shown(p50.median(), 0),
        shown(p50.above(&part(Name::Direct, 50.0)), 0),
        shown(p99.median(), 0),
        shown(p99.ratio_to(&part(Name::PgBouncer, 99.0)), 2),
        shown(tail(grid, key), 0),
        shown(late.median(), 0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_higher_rate_is_half_of_the_slowest_that_answered() {
        let found = [(Name::Direct, 30_000.0), (Name::Weir, 20_350.0), (Name::Relay, 100.0)];
        assert_eq!(half_of_slowest(&found), 10_100);
        assert_eq!(half_of_slowest(&[(Name::Weir, 0.0), (Name::Direct, 4_000.0)]), 2_000);
        assert_eq!(half_of_slowest(&[]), 100);
    }

    fn outcome(micros: &[u64]) -> Outcome {
        let mut waits = drive::nanoseconds().unwrap();
        for wait in micros {
            waits.record(wait.saturating_mul(1_000)).unwrap();
        }
        let lateness = drive::nanoseconds().unwrap();
        Outcome { answered: 1, waits, lateness, took: Duration::from_secs(1), streamed: 0 }
    }

    #[test]
    fn a_row_compares_within_rounds_and_joins_their_tails() {
        let key = |who| Key { asking: Asking::Simple, rate: 2_000, who };
        let mut grid = Grid::default();
        for (direct, weir) in [(300, 330), (100, 110), (200, 220)] {
            grid.add(key(Name::Direct), Ok(outcome(&[direct])));
            grid.add(key(Name::PgBouncer), Ok(outcome(&[weir * 2])));
            grid.add(key(Name::Weir), Ok(outcome(&[weir])));
        }
        let row = row(&grid, key(Name::Weir));
        assert_eq!(row, "| simple | 2000 | Weir | 220 | 20 | 220 | 0.50 | 330 | 0 |\n");
    }

    #[test]
    fn a_generator_that_was_late_is_told() {
        let key = Key { asking: Asking::Prepared, rate: 1, who: Name::Weir };
        let mut grid = Grid::default();
        let mut late = outcome(&[10]);
        late.lateness.record(101_000).unwrap();
        grid.add(key, Ok(outcome(&[10])));
        assert!(!markdown(&grid, &[]).contains("the generator itself was late"));
        grid.add(key, Ok(late));
        assert!(markdown(&grid, &[]).contains("In 1 of 2 runs the generator itself was late"));
    }

    #[test]
    fn without_a_direct_run_nothing_is_added() {
        let key = Key { asking: Asking::Prepared, rate: 1, who: Name::Weir };
        let mut grid = Grid::default();
        grid.add(key, Ok(outcome(&[10])));
        assert!(row(&grid, key).contains("| 10 | – | 10 | – | 10 |"), "{}", row(&grid, key));
    }
}
