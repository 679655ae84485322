//! A program under valgrind's callgrind: how many instructions did one of its threads run since last asked?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use weir_bench::service::{Host, Service};
use weir_bench::weir::text;

/// How often ten seconds are waited for a program to start: under valgrind it takes a few.
const PATIENCE: u32 = 6;

/// How often a thread is looked for.
const TRIES: u32 = 20;

/// A running program; killed when dropped.
#[derive(Debug)]
pub(crate) struct Callgrind {
    service: Service,
    folder: PathBuf,
    /// How many times counters were written out.
    dumps: u32,
}

impl Callgrind {
    /// Starts `words`, a program and its arguments, with files in `folder`.
    ///
    /// The environment is fixed: what is in it moves the stack, and can change what the C library does.
    ///
    /// # Errors
    ///
    /// Why valgrind could not be started.
    pub(crate) fn start(folder: &Path, words: &[&str]) -> Result<Self, String> {
        fs::create_dir(folder).map_err(said)?;
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("PATH={path}");
        let out = format!("--callgrind-out-file={}/out", folder.display());
        let prefix = format!("--vgdb-prefix={}/vgdb", folder.display());
        let under = ["env", "-i", &path, "LC_ALL=C", "valgrind", "--tool=callgrind"];
        // One file for each thread.
        let how = ["--separate-threads=yes", &out, &prefix];
        let words: Vec<_> = [under.as_slice(), &how, words].concat();
        let host = Host { folder, placement: weir_bench::cpu::Placement::Free };
        let service = host.start("valgrind", None, &words).map_err(said)?;
        Ok(Self { service, folder: folder.to_owned(), dumps: 0 })
    }

    /// Asks until there is an answer, for a minute at most.
    ///
    /// # Errors
    ///
    /// The program ended, or the last refusal.
    pub(crate) fn wait<T>(
        &mut self,
        mut probe: impl FnMut() -> Result<T, String>,
    ) -> Result<T, String> {
        let mut waited = self.service.wait(&mut probe);
        for _ in 1..PATIENCE {
            if waited.is_ok() {
                break;
            }
            waited = self.service.wait(&mut probe);
        }
        waited
    }

    /// Callgrind's number of the thread with that name.
    ///
    /// # Errors
    ///
    /// There is no such thread, or valgrind does not answer.
    pub(crate) fn thread(&self, name: &str) -> Result<u32, String> {
        let mut seen = Vec::new();
        // A thread gives itself its name, a moment after it was started.
        for _ in 0..TRIES {
            seen = threads(&self.ask(&["v.info", "scheduler"])?);
            for (number, task) in &seen {
                let called = fs::read_to_string(format!("/proc/{task}/comm")).unwrap_or_default();
                if called.trim() == name {
                    return Ok(*number);
                }
            }
            thread::sleep(Duration::from_millis(100));
        }
        Err(format!("no thread is called {name}; there are {seen:?}"))
    }

    /// The instructions that the thread ran since this was asked last.
    ///
    /// # Errors
    ///
    /// Valgrind does not answer, or not as expected.
    pub(crate) fn count(&mut self, thread: u32) -> Result<u64, String> {
        self.dumps = self.dumps.saturating_add(1);
        self.ask(&["dump"])?;
        let begin = format!("out.{}-", self.dumps);
        let mut found = None;
        for file in fs::read_dir(&self.folder).map_err(said)? {
            let file = file.map_err(said)?;
            let name = file.file_name();
            let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(&begin)) else {
                continue;
            };
            if rest.parse() == Ok(thread) {
                found = total(&fs::read_to_string(file.path()).map_err(said)?);
            }
            fs::remove_file(file.path()).map_err(said)?;
        }
        found.ok_or_else(|| format!("callgrind counted nothing for thread {thread}"))
    }

    /// Sends a command to valgrind's own server; returns the answer, when it was carried out.
    fn ask(&self, words: &[&str]) -> Result<String, String> {
        let prefix = format!("--vgdb-prefix={}", text(&self.folder.join("vgdb"))?);
        // A process that sleeps is woken by ptrace, which a container may forbid: then this would wait for ever.
        let output = Command::new("timeout").args(["30", "vgdb", &prefix]).args(words).output();
        let output = output.map_err(said)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let heard = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(format!("vgdb {}: {} {heard}; is ptrace allowed?", words.join(" "), output.status))
    }
}

/// Valgrind's numbers of all threads and the system's, out of the answer to `v.info scheduler`.
fn threads(answer: &str) -> Vec<(u32, u32)> {
    let thread = |line: &str| {
        let (number, rest) = line.strip_prefix("Thread ")?.split_once(':')?;
        let (_, task) = rest.split_once("(lwpid ")?;
        Some((number.parse().ok()?, task.strip_suffix(')')?.parse().ok()?))
    };
    answer.lines().filter_map(thread).collect()
}

/// The sum of one thread's file.
fn total(file: &str) -> Option<u64> {
    file.lines().find_map(|line| line.strip_prefix("totals:")?.trim().parse().ok())
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_found_amid_their_stacks() {
        let answer = "\
sched status:
  running_tid=0

Thread 1: status = VgTs_WaitSys syscall 232 (lwpid 12855)
==12855==    at 0x4A4DF36: epoll_wait (epoll_wait.c:30)

Thread 2: status = VgTs_WaitSys syscall 232 (lwpid 12859)
==12855==    by 0x4A4DB4F: clone (clone.S:100)
";
        assert_eq!(threads(answer), [(1, 12_855), (2, 12_859)]);
        assert_eq!(threads("Thread 1: gone"), []);
    }

    #[test]
    fn the_sum_of_a_file_is_read() {
        assert_eq!(total("summary: 7\n\ntotals: 72262130\n"), Some(72_262_130));
        assert_eq!(total("summary: 7\n"), None);
    }
}
