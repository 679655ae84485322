//! Sends requests when they are due and notes how long each waited.
//!
//! One thread that reads the clock and its sockets in turn and never sleeps: no
//! timer and no wake-up of its own lies in what it measures, and how late it
//! was itself is measured, too.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::keys::Keys;
use super::now;
use super::pace::Pace;
use super::query::{Asking, account};
use super::reply::Reply;
use super::talk::{Door, Talk};

/// What is still without an answer so long after the last was due never gets one.
const PATIENCE: Duration = Duration::from_secs(5);

/// Read at a time: 64 KiB, so that even a stream keeps nobody waiting for long.
const CHUNK: usize = 65_536;

/// What is asked, how often, by whom.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Which protocol.
    pub asking: Asking,
    /// When.
    pub pace: Pace,
    /// Connections.
    pub clients: usize,
    /// How many accounts there are.
    pub accounts: u64,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Answers, also those that do not count as waits.
    pub answered: u64,
    /// From when an answer's request was due to its last byte, in nanoseconds.
    pub waits: Histogram<u64>,
    /// How late requests were sent for which a connection was free, in nanoseconds.
    pub lateness: Histogram<u64>,
    /// From the start to the last answer.
    pub took: Duration,
    /// What streams beside it brought.
    pub streamed: u64,
}

struct Lane {
    stream: TcpStream,
    reply: Reply,
    /// The arrival under way, and when it was due.
    asked: Option<(u64, Duration)>,
}

impl Lane {
    fn new(talk: Talk) -> io::Result<Self> {
        let stream = talk.into_stream();
        stream.set_nonblocking(true)?;
        Ok(Self { stream, reply: Reply::default(), asked: None })
    }

    /// Reads once; `None` if there was nothing, else bytes and answers that ended.
    fn read(&mut self, chunk: &mut [u8]) -> io::Result<Option<(usize, usize)>> {
        match self.stream.read(chunk) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                let ready = self.reply.take(chunk.get(..count).unwrap_or_default())?;
                Ok(Some((count, ready)))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A request that is asked over and over beside the others, and its result.
struct Stream<'a> {
    lane: Lane,
    request: &'a [u8],
}

impl Stream<'_> {
    /// Reads once, and asks again when the result has ended.
    fn hear(&mut self, chunk: &mut [u8], outcome: &mut Outcome) -> io::Result<()> {
        let Some((count, ready)) = self.lane.read(chunk)? else { return Ok(()) };
        let count = u64::try_from(count).unwrap_or(0);
        outcome.streamed = outcome.streamed.saturating_add(count);
        if ready > 0 {
            self.lane.stream.write_all(self.request)?;
        }
        Ok(())
    }
}

/// Logs in, and keeps to the order; `stream` is asked all the while by one more client.
///
/// # Errors
///
/// The first connection that failed, or how many requests got no answer.
pub fn run(port: u16, order: Order, stream: Option<&[u8]>) -> io::Result<Outcome> {
    let mut keys = Keys::default();
    let mut lane = |beginning: &[u8]| {
        let mut talk = Talk::login(Door::open(port), &mut keys)?;
        talk.ask(beginning)?;
        Lane::new(talk)
    };
    let beginning = order.asking.beginning();
    let lanes = (0..order.clients).map(|_| lane(&beginning)).collect::<io::Result<Vec<_>>>()?;
    let stream = match stream {
        Some(request) => {
            let mut lane = lane(&Asking::Simple.beginning())?;
            lane.stream.write_all(request)?;
            Some(Stream { lane, request })
        }
        None => None,
    };
    let free = (0..lanes.len()).collect();
    Drive { order, lanes, free, stream, request: Vec::new(), sent: 0, behind: false }.run()
}

struct Drive<'a> {
    order: Order,
    lanes: Vec<Lane>,
    free: VecDeque<usize>,
    stream: Option<Stream<'a>>,
    request: Vec<u8>,
    /// Arrivals that were sent.
    sent: u64,
    /// Whether an arrival waits for a connection: that it is late is not this thread's doing.
    behind: bool,
}

impl Drive<'_> {
    fn run(mut self) -> io::Result<Outcome> {
        let mut outcome = Outcome::new()?;
        let mut chunk = vec![0_u8; CHUNK];
        let start = now();
        let limit = self.order.pace.length().saturating_add(PATIENCE);
        while !self.is_done(start.elapsed()) {
            if start.elapsed() > limit {
                let lost = self.lanes.len().saturating_sub(self.free.len());
                return Err(io::Error::other(format!("{lost} requests got no answer in time")));
            }
            self.send_due(start, &mut outcome)?;
            self.hear(start, &mut chunk, &mut outcome)?;
        }
        outcome.took = start.elapsed();
        Ok(outcome)
    }

    fn is_done(&self, elapsed: Duration) -> bool {
        let over = self.order.pace.due(self.sent, elapsed).is_none();
        over && self.free.len() == self.lanes.len()
    }

    /// Sends what is due as far as connections are free.
    fn send_due(&mut self, start: std::time::Instant, outcome: &mut Outcome) -> io::Result<()> {
        loop {
            let elapsed = start.elapsed();
            let due = self.order.pace.due(self.sent, elapsed).filter(|due| *due <= elapsed);
            let Some(due) = due else {
                self.behind = false;
                return Ok(());
            };
            let Some(index) = self.free.pop_front() else {
                self.behind = true;
                return Ok(());
            };
            let Some(lane) = self.lanes.get_mut(index) else { continue };
            self.order.asking.write(&mut self.request, account(self.sent, self.order.accounts));
            lane.stream.write_all(&self.request)?;
            lane.asked = Some((self.sent, due));
            if !self.behind && self.order.pace.counts(self.sent) {
                outcome.lateness.saturating_record(nanos(elapsed.saturating_sub(due)));
            }
            self.sent = self.sent.saturating_add(1);
        }
    }

    /// Reads what there is, once from each connection that waits.
    fn hear(
        &mut self,
        start: std::time::Instant,
        chunk: &mut [u8],
        outcome: &mut Outcome,
    ) -> io::Result<()> {
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            let Some((arrival, due)) = lane.asked else { continue };
            let Some((_, ready)) = lane.read(chunk)? else { continue };
            if ready > 0 {
                outcome.answered = outcome.answered.saturating_add(1);
                if self.order.pace.counts(arrival) {
                    let waited = start.elapsed().saturating_sub(due);
                    outcome.waits.saturating_record(nanos(waited));
                }
                lane.asked = None;
                self.free.push_back(index);
            }
        }
        if let Some(stream) = &mut self.stream {
            stream.hear(chunk, outcome)?;
        }
        Ok(())
    }
}

impl Outcome {
    fn new() -> io::Result<Self> {
        let (waits, lateness) = (nanoseconds()?, nanoseconds()?);
        Ok(Self { answered: 0, waits, lateness, took: Duration::ZERO, streamed: 0 })
    }
}

/// Holds waits of up to a minute, which is longer than anybody is waited for.
///
/// # Errors
///
/// None: the bounds are good.
pub fn nanoseconds() -> io::Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).map_err(io::Error::other)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What so many percent of a histogram of nanoseconds do not exceed, in microseconds.
#[must_use]
pub fn micros(histogram: &Histogram<u64>, percent: f64) -> f64 {
    super::number::float(histogram.value_at_percentile(percent)) / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wait_is_cut_short() {
        let mut waits = Outcome::new().unwrap().waits;
        waits.saturating_record(nanos(Duration::from_micros(80)));
        assert!((micros(&waits, 50.0) - 80.0).abs() < 0.1);
        waits.saturating_record(nanos(PATIENCE));
        assert!((micros(&waits, 100.0) - 5e6).abs() < 5e3);
    }
}
