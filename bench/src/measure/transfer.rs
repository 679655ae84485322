//! Large results: how fast, how dear, in how much memory, and who has to wait.

use std::fmt;

use hdrhistogram::Histogram;
use serde_json::json;

use super::drive::{Order, micros};
use super::fleet::{self, Fleet, Proxy, Setting};
use super::grid::{Grid, order};
use super::keys::Keys;
use super::number::{Series, float, line, shown};
use super::pace::{Pace, Schedule};
use super::query::Asking;
use super::talk::{Door, Talk};
use super::{Effort, drive, now, pin, process, query, said};
use crate::peers::Name;
use crate::section::Section;

/// Rows of 1,000 bytes in a megabyte.
const ROWS: u32 = 1_000;
/// Requests a second beside a large result, and who sends them.
const SMALL: u64 = 500;
const SMALL_CLIENTS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Key {
    at_once: usize,
    who: Name,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} | {}", self.at_once, self.who)
    }
}

/// One run of large results.
#[derive(Clone, Copy, Debug)]
struct Sample {
    per_second: f64,
    /// The proxy's CPU time per MB.
    micros: Option<f64>,
    /// Its resident memory before, and at most during, in bytes.
    resident: Option<(u64, u64)>,
}

/// Small requests alone (`false`) or beside a large result (`true`).
#[derive(Clone, Copy, Debug, PartialEq)]
struct Beside {
    who: Name,
    streaming: Streaming,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Streaming {
    Nothing,
    Large,
}

impl fmt::Display for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.streaming {
            Streaming::Nothing => "alone",
            Streaming::Large => "beside a large result",
        };
        write!(f, "small requests {what}, {}", self.who)
    }
}

struct Waits {
    waits: Histogram<u64>,
    megabytes_per_second: f64,
}

/// Measures all peers.
#[must_use]
pub fn section(fleet: Fleet<'_>, effort: Effort, accounts: u64) -> Section {
    let (mut proxies, mut faults) = (Vec::new(), Vec::new());
    for who in fleet::ALL {
        match fleet.start(who, Setting::usual("transfer")) {
            Ok(proxy) => proxies.push((who, proxy)),
            Err(why) => faults.push(format!("{who} is missing: {why}")),
        }
    }
    let (mut large, mut small) = (Grid::default(), Grid::default());
    for round in 0..effort.rounds {
        for (who, proxy) in order(&proxies.iter().collect::<Vec<_>>(), round) {
            for at_once in [1, 4] {
                large.add(Key { at_once, who: *who }, sample(proxy, at_once, effort.megabytes));
            }
            for streaming in [Streaming::Nothing, Streaming::Large] {
                let run = beside(proxy, streaming, effort, accounts);
                small.add(Beside { who: *who, streaming }, run);
            }
        }
    }
    faults.extend(large.faults());
    faults.extend(small.faults());
    let json = json!({
        "large": large.json(|sample| json!({
            "mb_per_second": sample.per_second, "cpu_us_per_mb": sample.micros,
            "resident_before_and_peak": sample.resident,
        })),
        "small": small.json(|waits| json!({
            "p50_us": micros(&waits.waits, 50.0), "p99_us": micros(&waits.waits, 99.0),
            "streamed_mb_per_second": waits.megabytes_per_second,
        })),
    });
    let markdown = markdown(&large, &small, effort.megabytes);
    Section { title: "Large results", markdown, json, faults }
}

fn sample(proxy: &Proxy, at_once: usize, megabytes: u32) -> Result<Sample, String> {
    let mut keys = Keys::default();
    let mut talks = Vec::new();
    for _ in 0..at_once {
        let mut talk = Talk::login(Door::open(proxy.port), &mut keys).map_err(said)?;
        talk.ask(&query::simple("SELECT 1")).map_err(said)?;
        talks.push(talk);
    }
    let request = query::large(ROWS.saturating_mul(megabytes));
    let pid = proxy.pid();
    pid.map(process::forget_peak).transpose()?;
    let before = pid.map(process::resident).transpose()?;
    let used = pid.map(process::used).transpose()?;
    let (bytes, took) = pin::on("1", || {
        let start = now();
        let bytes = std::thread::scope(|scope| {
            let read = |talk| scope.spawn(|| read_all(talk, &request));
            let threads: Vec<_> = talks.into_iter().map(read).collect();
            let ends = threads.into_iter().map(|one| one.join().unwrap_or(Err(panicked())));
            ends.sum::<Result<u64, String>>()
        })?;
        Ok((bytes, start.elapsed()))
    })?;
    let after = pid.map(process::used).transpose()?;
    let peak = pid.map(process::resident).transpose()?;
    let megabytes = float(bytes) / 1e6;
    let cpu = used.zip(after).map(|(before, after)| (after - before) * 1e6 / megabytes);
    let resident = before.zip(peak).map(|(before, peak)| (before.now, peak.peak));
    Ok(Sample { per_second: megabytes / took.as_secs_f64(), micros: cpu, resident })
}

fn read_all(mut talk: Talk, request: &[u8]) -> Result<u64, String> {
    talk.ask_by(request, &mut vec![0_u8; 262_144]).map_err(said)
}

fn panicked() -> String {
    "a client panicked".to_owned()
}

fn beside(
    proxy: &Proxy,
    streaming: Streaming,
    effort: Effort,
    accounts: u64,
) -> Result<Waits, String> {
    // Longer than the run, and asked again if it ends all the same.
    let request = query::large(ROWS.saturating_mul(effort.megabytes).saturating_mul(4));
    let stream = match streaming {
        Streaming::Nothing => None,
        Streaming::Large => Some(request.as_slice()),
    };
    let pace = Pace::Open(Schedule::new(SMALL, effort.run));
    let order = Order { asking: Asking::Simple, pace, clients: SMALL_CLIENTS, accounts };
    let outcome = pin::on("1", || drive::run(proxy.port, order, stream).map_err(said))?;
    let megabytes_per_second = float(outcome.streamed) / 1e6 / outcome.took.as_secs_f64();
    if streaming == Streaming::Large && outcome.streamed == 0 {
        return Err("the large result brought nothing".to_owned());
    }
    Ok(Waits { waits: outcome.waits, megabytes_per_second })
}

fn markdown(large: &Grid<Key, Sample>, small: &Grid<Beside, Waits>, megabytes: u32) -> String {
    let mut text = format!(
        "{megabytes} MB in rows of 1,000 bytes (`generate_series`), to one client or to 4 at once; the \
         client on CPU 1, the peer and PostgreSQL on CPU 0, so that MB/s are of both together. Memory: \
         resident before, and the most it grew (`VmHWM`, forgotten before each run) in any round.\n\n\
         | at once | through | MB/s | × relay | CPU µs per MB | × relay | resident MiB | grew by KiB |\n\
         |---|---|---|---|---|---|---|---|\n"
    );
    for key in large.keys() {
        let rate = |key| large.series(key, |sample| Some(sample.per_second));
        let cost = |key| large.series(key, |sample| sample.micros);
        let relay = Key { who: Name::Relay, ..key };
        let resident = large.series(key, |sample| Some(float(sample.resident?.0) / 1_048_576.0));
        let grown = large.series(key, |sample| {
            sample.resident.map(|(now, most)| float(most.saturating_sub(now)) / 1_024.0)
        });
        let most = grown.0.iter().copied().flatten().reduce(f64::max);
        line(
            &mut text,
            format_args!(
                "| {key} | {} | {} | {} | {} | {} | {} |",
                shown(rate(key).median(), 0),
                shown(rate(key).ratio_to(&rate(relay)), 2),
                shown(cost(key).median(), 0),
                shown(cost(key).ratio_to(&cost(relay)), 2),
                shown(resident.median(), 1),
                shown(most, 0),
            ),
        );
    }
    line(
        &mut text,
        format_args!(
            "\nWho else waits: {SMALL} small requests a second (open loop, {SMALL_CLIENTS} connections) by \
         themselves and while another client of the same peer reads a large result as fast as it comes. \
         Microseconds. Without a proxy, the two share only the CPU.\n\n\
         | through | p50 alone | p50 beside | p99 alone | p99 beside | p99 beside, × direct | MB/s meanwhile |\n\
         |---|---|---|---|---|---|---|"
        ),
    );
    for key in small.keys().filter(|key| key.streaming == Streaming::Nothing) {
        text.push_str(&waits_row(small, key.who));
    }
    text
}

fn waits_row(small: &Grid<Beside, Waits>, who: Name) -> String {
    let part = |who, streaming, percent| -> Series {
        small.series(Beside { who, streaming }, |run| Some(micros(&run.waits, percent)))
    };
    let streamed = small
        .series(Beside { who, streaming: Streaming::Large }, |run| Some(run.megabytes_per_second));
    let p99 = part(who, Streaming::Large, 99.0);
    format!(
        "| {who} | {} | {} | {} | {} | {} | {} |\n",
        shown(part(who, Streaming::Nothing, 50.0).median(), 0),
        shown(part(who, Streaming::Large, 50.0).median(), 0),
        shown(part(who, Streaming::Nothing, 99.0).median(), 0),
        shown(p99.median(), 0),
        shown(p99.ratio_to(&part(Name::Direct, Streaming::Large, 99.0)), 2),
        shown(streamed.median(), 0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_that_memory_grew_in_any_round_is_shown() {
        let mut large = Grid::default();
        for (rate, most) in [(100.0, 3_145_728), (300.0, 2_097_152), (200.0, 2_099_200)] {
            let relay = Sample { per_second: 400.0, micros: Some(50.0), resident: None };
            let resident = Some((2_097_152, most));
            let own = Sample { per_second: rate, micros: Some(100.0), resident };
            large.add(Key { at_once: 1, who: Name::Relay }, Ok(relay));
            large.add(Key { at_once: 1, who: Name::Weir }, Ok(own));
        }
        let text = markdown(&large, &Grid::default(), 64);
        assert!(text.contains("| 1 | Weir | 200 | 0.50 | 100 | 2.00 | 2.0 | 1024 |"), "{text}");
        assert!(text.contains("| 1 | bare relay | 400 | 1.00 | 50 | 1.00 | – | – |"), "{text}");
    }

    #[test]
    fn waits_beside_a_stream_are_compared_to_those_without_a_proxy() {
        let mut small = Grid::default();
        let run = |wait: u64, megabytes_per_second| {
            let mut waits = drive::nanoseconds().unwrap();
            waits.record(wait * 1_000).unwrap();
            Ok(Waits { waits, megabytes_per_second })
        };
        for (who, alone, beside) in [(Name::Direct, 50, 100), (Name::Weir, 60, 150)] {
            small.add(Beside { who, streaming: Streaming::Nothing }, run(alone, 0.0));
            small.add(Beside { who, streaming: Streaming::Large }, run(beside, 77.0));
        }
        assert_eq!(waits_row(&small, Name::Weir), "| Weir | 60 | 150 | 60 | 150 | 1.50 | 77 |\n");
    }
}
