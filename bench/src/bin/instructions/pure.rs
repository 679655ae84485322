//! Instructions of pure functions: this program once more, under callgrind, does them when asked.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use weir_bench::micro;
use weir_bench::service::Scratch;
use weir_bench::weir::text;

use crate::callgrind::Callgrind;
use crate::report::Row;
use crate::{Outcome, tell};

/// How often each is done; then twice as often, so that what goes with being asked falls out.
const TIMES: u64 = 500;

/// The only thread.
const MAIN: u32 = 1;

/// Counts all of them.
pub(crate) fn measure(scratch: &Scratch) -> Outcome<Vec<Row>> {
    tell("counting pure functions");
    let socket = scratch.path().join("pure.socket");
    let listener = UnixListener::bind(&socket)?;
    listener.set_nonblocking(true)?;
    let own = std::env::current_exe()?;
    let words = [text(&own)?, "--worker", text(&socket)?];
    let mut worker = Callgrind::start(&scratch.path().join("pure"), &words)?;
    let (stream, _) = worker.wait(|| listener.accept().map_err(|error| error.to_string()))?;
    stream.set_nonblocking(false)?;
    let mut asked = Asked { answers: BufReader::new(stream.try_clone()?), stream };
    let mut rows = Vec::new();
    for (index, work) in micro::all().into_iter().enumerate() {
        asked.run(index, TIMES)?;
        worker.count(MAIN)?;
        asked.run(index, TIMES)?;
        let once = worker.count(MAIN)?;
        asked.run(index, TIMES.saturating_mul(2))?;
        let twice = worker.count(MAIN)?;
        // Rounded: a hair more or less would else be a whole instruction.
        let more = twice.saturating_sub(once).saturating_add(TIMES / 2);
        let instructions = more.checked_div(TIMES).unwrap_or(0);
        rows.push(Row { name: work.name, instructions, unit: "call", unsteady: None });
    }
    Ok(rows)
}

/// The other end of the socket.
struct Asked {
    stream: UnixStream,
    answers: BufReader<UnixStream>,
}

impl Asked {
    fn run(&mut self, index: usize, times: u64) -> Outcome<()> {
        writeln!(self.stream, "{index} {times}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        if answer == "done\n" { Ok(()) } else { Err(format!("work {index}: {answer:?}").into()) }
    }
}

/// Does what is asked for on the socket, until nobody asks any more.
pub(crate) fn serve(socket: &Path) -> Outcome<()> {
    let mut stream = UnixStream::connect(socket)?;
    let mut works = micro::all();
    for line in BufReader::new(stream.try_clone()?).lines() {
        let answer = match done(&mut works, &line?) {
            Some(()) => "done",
            None => "failed",
        };
        writeln!(stream, "{answer}")?;
    }
    Ok(())
}

/// Carries out one line; `None` if it can't be understood, or did not do what it should.
fn done(works: &mut [micro::Work], line: &str) -> Option<()> {
    let (index, times) = line.split_once(' ')?;
    let work = works.get_mut(index.parse::<usize>().ok()?)?;
    for _ in 0..times.parse::<u64>().ok()? {
        if work.run() != work.answer {
            return None;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_work_that_exists_and_is_done_is_answered_as_done() {
        let mut works = micro::all();
        assert_eq!(done(&mut works, "0 2"), Some(()));
        assert_eq!(done(&mut works, "9999 2"), None);
        assert_eq!(done(&mut works, "0"), None);
        works[0].answer = usize::MAX;
        assert_eq!(done(&mut works, "0 1"), None);
    }
}
