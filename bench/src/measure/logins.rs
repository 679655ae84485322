//! How fast clients come in, and what each costs the proxy.

use std::fmt;
use std::time::Duration;

use serde_json::json;

use super::fleet::{self, Entrance, Fleet, Proxy, Setting};
use super::grid::{Grid, order};
use super::keys::Keys;
use super::number::{Series, float, line, shown};
use super::talk::{Door, PROVEN, Talk};
use super::{Effort, now, pin, process, query, said};
use crate::peers::Name;
use crate::section::Section;

/// Logins under way at a time.
const AT_ONCE: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Key {
    entrance: Entrance,
    who: Name,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = match self.entrance {
            Entrance::Trust => "trust",
            Entrance::Password => "SCRAM",
            Entrance::Verifier => "SCRAM, stored verifier",
        };
        write!(f, "{method} | {}", self.who)
    }
}

impl Key {
    /// In the order of the report. Name only copies bytes has no secret of its own.
    fn all() -> Vec<Self> {
        let with = |entrance| fleet::ALL.map(|who| Self { entrance, who });
        let mut all = [with(Entrance::Trust), with(Entrance::Password)].concat();
        all.push(Self { entrance: Entrance::Verifier, who: Name::PgBouncer });
        all
    }

    fn tag(self) -> &'static str {
        match self.entrance {
            Entrance::Trust => "logins-trust",
            Entrance::Password => "logins-password",
            Entrance::Verifier => "logins-verifier",
        }
    }

    /// What a peer's figures are compared to: PgBouncer's best at the same auth.
    fn beside(self) -> Self {
        let entrance = match self.entrance {
            Entrance::Trust => Entrance::Trust,
            Entrance::Password | Entrance::Verifier => Entrance::Verifier,
        };
        Self { entrance, who: Name::PgBouncer }
    }
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    per_second: f64,
    /// The proxy's CPU time per login.
    micros: Option<f64>,
    /// How often the generator had to derive keys.
    derived: usize,
}

/// Measures all peers.
#[must_use]
pub fn section(fleet: Fleet<'_>, effort: Effort) -> Section {
    let (mut proxies, mut faults) = (Vec::new(), Vec::new());
    for key in Key::all() {
        let setting = Setting { entrance: key.entrance, ..Setting::usual(key.tag()) };
        match fleet.start(key.who, setting) {
            Ok(proxy) => proxies.push((key, proxy)),
            Err(why) => faults.push(format!("{key} is missing: {why}")),
        }
    }
    let mut grid = Grid::default();
    for round in 0..effort.rounds {
        for (key, proxy) in order(&proxies.iter().collect::<Vec<_>>(), round) {
            grid.add(*key, sample(proxy, key.entrance, effort.run));
        }
    }
    faults.extend(grid.faults());
    let json = grid.json(|sample| {
        json!({ "logins_per_second": sample.per_second, "cpu_us": sample.micros, "derived": sample.derived })
    });
    Section { title: "Logins", markdown: markdown(&grid), json, faults }
}

fn sample(proxy: &Proxy, entrance: Entrance, length: Duration) -> Result<Sample, String> {
    let used = || proxy.pid().map(process::used).transpose();
    let before = used()?;
    let (logins, derived, took) = pin::on("1", || {
        let start = now();
        let door = Door { port: proxy.port, user: entrance.user() };
        let results = std::thread::scope(|scope| {
            let come = || come_and_go(door, || start.elapsed() < length);
            let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(come)).collect();
            threads
                .into_iter()
                .map(|one| one.join().unwrap_or(Err("it panicked".to_owned())))
                .collect::<Result<Vec<_>, _>>()
        })?;
        let logins: u64 = results.iter().map(|(logins, _)| logins).sum();
        let derived: usize = results.iter().map(|(_, derived)| derived).sum();
        Ok((logins, derived, start.elapsed()))
    })?;
    let after = used()?;
    let cpu = before.zip(after).map(|(before, after)| after - before);
    let logins = float(logins);
    let micros = cpu.filter(|_| logins > 0.0).map(|seconds| seconds * 1e6 / logins);
    Ok(Sample { per_second: logins / took.as_secs_f64(), micros, derived })
}

/// Logs in, asks once, leaves, again and again.
fn come_and_go(door: Door<'_>, more: impl Fn() -> bool) -> Result<(u64, usize), String> {
    let (mut keys, mut logins) = (Keys::of(PROVEN), 0_u64);
    let question = query::simple("SELECT 1");
    while more() {
        let mut talk = Talk::login(door, &mut keys).map_err(said)?;
        talk.ask(&question).map_err(said)?;
        talk.leave().map_err(said)?;
        logins = logins.saturating_add(1);
    }
    Ok((logins, keys.derived()))
}

fn markdown(grid: &Grid<Key, Sample>) -> String {
    let mut text = format!(
        "Connect, log in, one `SELECT 1`, leave; {AT_ONCE} at a time, from CPU 1; the peer and PostgreSQL \
         share CPU 0. SCRAM-SHA-256 at 4,096 iterations. The generator keeps the keys that it derived \
         from the password, so that its PBKDF2 is not what is measured; *derived* says how often it had to \
         all the same in a run ({AT_ONCE} means once per thread): more, where a salt is made up for each \
         login. Ratios are to PgBouncer at the same auth, for SCRAM to the one with a stored \
         verifier. Weir is configured with passwords and makes verifiers of them when it starts. \
         The relay and HAProxy leave the work to the server, which starts a process for each login.\n\n\
         | auth | through | logins/s | × PgBouncer | CPU µs of the proxy per login | × PgBouncer | derived |\n\
         |---|---|---|---|---|---|---|\n"
    );
    for key in grid.keys() {
        let rate = |key| grid.series(key, |sample| Some(sample.per_second));
        let micros = |key| grid.series(key, |sample| sample.micros);
        let most = grid.runs(key).map(|sample| sample.derived).max().unwrap_or(0);
        let beside = |own: Series, their: Series| shown(own.ratio_to(&their), 2);
        line(
            &mut text,
            format_args!(
                "| {key} | {} | {} | {} | {} | {most} |",
                shown(rate(key).median(), 0),
                beside(rate(key), rate(key.beside())),
                shown(micros(key).median(), 0),
                beside(micros(key), micros(key.beside())),
            ),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scram_is_compared_to_the_stored_verifier() {
        let mut grid = Grid::default();
        let sample =
            |per_second, micros| Ok(Sample { per_second, micros: Some(micros), derived: 4 });
        let key = |entrance, who| Key { entrance, who };
        grid.add(key(Entrance::Password, Name::Weir), sample(300.0, 90.0));
        grid.add(key(Entrance::Password, Name::PgBouncer), sample(10.0, 1_000.0));
        grid.add(key(Entrance::Verifier, Name::PgBouncer), sample(200.0, 60.0));
        let text = markdown(&grid);
        assert!(text.contains("| SCRAM | Weir | 300 | 1.50 | 90 | 1.50 | 4 |"), "{text}");
        assert!(
            text.contains("| SCRAM, stored verifier | PgBouncer | 200 | 1.00 | 60 | 1.00 | 4 |")
        );
    }

    #[test]
    fn only_pgbouncer_is_given_a_verifier() {
        let stored = Key::all().into_iter().filter(|key| key.entrance == Entrance::Verifier);
        assert_eq!(stored.map(|key| key.who).collect::<Vec<_>>(), [Name::PgBouncer]);
        assert_eq!(Key::all().len(), 11);
    }
}
