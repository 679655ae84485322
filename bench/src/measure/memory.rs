//! What clients cost in memory: those that are idle, and those that have a server.

use std::fmt;
use std::time::Duration;

use serde_json::json;

use super::fleet::{self, Fleet, Proxy, Setting};
use super::grid::{Grid, order};
use super::keys::Keys;
use super::number::{float, line, shown};
use super::query::Asking;
use super::talk::{Door, Talk};
use super::{Effort, process, query, said};
use crate::peers::Name;
use crate::section::Section;

/// Clients that come before memory is first looked at: code and pools are there by then.
const FIRST: usize = 50;
/// Where every client has a server, the server decides how many there may be.
const WITHOUT_POOL: usize = 500;
/// Clients that have a server each at the same time.
const ACTIVE: usize = 200;
/// Long enough for a sweep of Weir's, which is once a second.
const SETTLE: Duration = Duration::from_millis(1_500);

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Idle(usize),
    Active(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Key {
    state: State,
    who: Name,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state {
            State::Idle(count) => write!(f, "{count} idle | {}", self.who),
            State::Active(count) => write!(f, "{count} active | {}", self.who),
        }
    }
}

/// Measures all peers that are processes of their own.
#[must_use]
pub fn section(fleet: Fleet<'_>, effort: Effort) -> Section {
    let (mut grid, mut faults) = (Grid::default(), Vec::new());
    if let Err(why) = super::pin::raise_files() {
        faults.push(format!("the limit of open files could not be raised: {why}"));
    }
    for round in 0..rounds(effort) {
        for who in order(&fleet::PROXIES, round) {
            let counts = match who {
                Name::PgBouncer | Name::Weir => effort.idle.to_vec(),
                Name::Direct | Name::Relay | Name::Haproxy | Name::Pgpool => vec![WITHOUT_POOL],
            };
            measure(fleet, (who, &counts), &mut grid);
        }
    }
    faults.extend(grid.faults());
    let json = grid.json(|bytes: &f64| json!({ "bytes_per_client": bytes }));
    Section { title: "Memory", markdown: markdown(&grid), json, faults }
}

/// Half of what times need: memory hardly varies, and crowds take long to gather.
fn rounds(effort: Effort) -> u16 {
    effort.rounds.div_ceil(2)
}

/// A new process for each: what an earlier crowd left behind would hide what this one takes.
fn measure(fleet: Fleet<'_>, (who, counts): (Name, &[usize]), grid: &mut Grid<Key, f64>) {
    let start = || fleet.start(who, Setting { servers: 250, ..Setting::usual("memory") });
    match start() {
        Ok(proxy) => idle(&proxy, counts, |count, bytes| {
            grid.add(Key { state: State::Idle(count), who }, bytes);
        }),
        Err(why) => {
            for count in counts {
                grid.add(Key { state: State::Idle(*count), who }, Err(why.clone()));
            }
        }
    }
    let bytes = start().and_then(|proxy| active(&proxy));
    grid.add(Key { state: State::Active(ACTIVE), who }, bytes);
}

/// Lets more and more come, and tells what each took at each of `counts`.
fn idle(proxy: &Proxy, counts: &[usize], mut tell: impl FnMut(usize, Result<f64, String>)) {
    let mut crowd = Crowd::default();
    let first = crowd.grow(proxy, FIRST).and_then(|()| settled(proxy));
    for count in counts {
        let bytes = first.clone().and_then(|before| {
            crowd.grow(proxy, count.saturating_add(FIRST))?;
            Ok(per_client(before, settled(proxy)?, *count))
        });
        tell(*count, bytes);
    }
}

/// Lets all begin a transaction and, in it, wait for the server.
fn active(proxy: &Proxy) -> Result<f64, String> {
    let mut crowd = Crowd::default();
    crowd.grow(proxy, FIRST)?;
    let before = settled(proxy)?;
    let mut crowd = Crowd::default();
    crowd.grow(proxy, ACTIVE)?;
    for talk in &mut crowd.talks {
        talk.ask(&query::simple("BEGIN")).map_err(said)?;
    }
    // Twice as long as until memory is looked at.
    let seconds = SETTLE.as_secs_f64() * 2.0;
    for talk in &mut crowd.talks {
        talk.send(&query::simple(&format!("SELECT pg_sleep({seconds})"))).map_err(said)?;
    }
    let during = settled(proxy)?;
    for talk in &mut crowd.talks {
        talk.hear(&mut [0; 4096]).map_err(said)?;
    }
    Ok(per_client(before, during, ACTIVE))
}

fn settled(proxy: &Proxy) -> Result<u64, String> {
    std::thread::sleep(SETTLE);
    let pid = proxy.pid().ok_or("there is no process")?;
    Ok(process::resident(pid)?.now)
}

fn per_client(before: u64, after: u64, count: usize) -> f64 {
    float(after.saturating_sub(before)) / float(u64::try_from(count).unwrap_or(u64::MAX))
}

/// Clients that stay.
#[derive(Debug, Default)]
struct Crowd {
    keys: Keys,
    talks: Vec<Talk>,
}

impl Crowd {
    /// Lets clients log in until there are `count`; each asks by a simple query and a prepared one.
    fn grow(&mut self, proxy: &Proxy, count: usize) -> Result<(), String> {
        let (mut account, mut buffer) = (Vec::new(), [0; 4096]);
        Asking::Prepared.write(&mut account, 1);
        while self.talks.len() < count {
            let came = Talk::login(Door::open(proxy.port), &mut self.keys).and_then(|mut talk| {
                for request in
                    [&Asking::Simple.beginning(), &Asking::Prepared.beginning(), &account]
                {
                    talk.ask_by(request, &mut buffer)?;
                }
                Ok(talk)
            });
            let came = came.map_err(|why| format!("client {}: {why}", self.talks.len()))?;
            self.talks.push(came);
        }
        Ok(())
    }
}

fn markdown(grid: &Grid<Key, f64>) -> String {
    let mut text = format!(
        "Resident memory that each client adds, in KiB (1,024 bytes), over {FIRST} that came before; a \
         new process for each crowd, {:.1} s to settle. All have run a simple and a prepared query, so \
         that buffers were used once; no TLS. *Active*: {ACTIVE} clients in a transaction with a query \
         running, so with a server each (pools of 250), and what a server costs is in it. Half as many rounds \
         as elsewhere: memory hardly varies, and crowds take long to gather. The relay \
         and HAProxy need a server for each client, idle or not: they are measured with {WITHOUT_POOL}.\n\n\
         | clients | through | KiB each | × PgBouncer |\n|---|---|---|---|\n",
        SETTLE.as_secs_f64()
    );
    let mut keys: Vec<_> = grid.keys().collect();
    // The order of the first round, but alike beside alike.
    keys.sort_by_key(|key| match key.state {
        State::Idle(count) => (0, count),
        State::Active(count) => (1, count),
    });
    for key in keys {
        let own = grid.series(key, |bytes| Some(*bytes));
        let their = grid.series(Key { who: Name::PgBouncer, ..key }, |bytes| Some(*bytes));
        let kib = shown(own.median().map(|bytes| bytes / 1024.0), 2);
        let ratio = shown(own.ratio_to(&their), 2);
        line(&mut text, format_args!("| {key} | {kib} | {ratio} |"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_shared_out_among_those_who_came() {
        assert!((per_client(1_000, 5_000, 4) - 1_000.0).abs() < 1e-9);
        assert!(per_client(5_000, 1_000, 4).abs() < 1e-9);
    }

    #[test]
    fn crowds_are_compared_to_pgbouncers_of_the_same_size() {
        let mut grid = Grid::default();
        let key = |state, who| Key { state, who };
        grid.add(key(State::Active(200), Name::Weir), Ok(4_096.0));
        grid.add(key(State::Idle(2_000), Name::Weir), Ok(2_048.0));
        grid.add(key(State::Idle(2_000), Name::PgBouncer), Ok(1_024.0));
        let text = markdown(&grid);
        let rows: Vec<_> = text.lines().rev().take(3).collect();
        assert_eq!(
            rows,
            [
                "| 200 active | Weir | 4.00 | – |",
                "| 2000 idle | PgBouncer | 1.00 | 1.00 |",
                "| 2000 idle | Weir | 2.00 | 2.00 |",
            ]
        );
    }
}
