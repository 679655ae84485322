//! Which CPU a process runs on, and how much of it it used.

use std::fs;
use std::io;
use std::process::{self, Command, Stdio};

use clap::ValueEnum;

/// CPU time of a process over all its threads, living and dead, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Used {
    /// In user mode.
    pub user: f64,
    /// In the kernel.
    pub system: f64,
}

impl Used {
    /// What was used after `earlier` was read.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self { user: self.user - earlier.user, system: self.system - earlier.system }
    }
}

/// Reads processes' CPU time.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    ticks_per_second: f64,
}

impl Meter {
    /// Asks the system for its clock tick: the resolution of all readings.
    #[must_use]
    pub fn of_this_system() -> Self {
        let tick = Command::new("getconf").arg("CLK_TCK").output().ok();
        let tick =
            tick.and_then(|output| String::from_utf8(output.stdout).ok()?.trim().parse().ok());
        Self { ticks_per_second: tick.unwrap_or(100.0) }
    }

    /// The CPU time that `pid` used so far.
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub fn read(self, pid: u32) -> io::Result<Used> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (user, system) = ticks(&stat).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Used { user: user / self.ticks_per_second, system: system / self.ticks_per_second })
    }
}

/// `utime` and `stime`, proc(5). The name before them may hold anything.
fn ticks(stat: &str) -> Option<(f64, f64)> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    // A zombie still shows what it used; nothing it does from now on counts.
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Where processes run.
///
/// Comparisons hold within one placement only: a proxy alone on a CPU pays for
/// each wake-up from idle, one that shares it pays for switches instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Placement {
    /// The proxy alone on CPU 1; PostgreSQL and pgbench on CPU 0.
    Split,
    /// Everything on CPU 0.
    Shared,
    /// Wherever the system likes.
    Free,
}

impl Placement {
    /// Binds this process, and so all that it starts, or falls back to `Free`.
    #[must_use]
    pub fn take(self) -> Self {
        let bound = match self {
            Self::Free => true,
            Self::Shared => bind_to_first(),
            Self::Split => has_second() && bind_to_first(),
        };
        if bound { self } else { Self::Free }
    }

    /// The words to put before a proxy's own command line.
    #[must_use]
    pub fn prefix(self) -> &'static [&'static str] {
        match self {
            Self::Split => &["taskset", "-c", "1"],
            Self::Shared | Self::Free => &[],
        }
    }

    /// What the report says about it.
    #[must_use]
    pub fn described(self) -> &'static str {
        match self {
            Self::Split => {
                "the proxy alone on CPU 1; PostgreSQL (primary and replicas) and pgbench on CPU 0"
            }
            Self::Shared => "all processes on CPU 0",
            Self::Free => "no process is bound to a CPU",
        }
    }
}

fn bind_to_first() -> bool {
    let own = process::id().to_string();
    succeeds(&["-a", "-c", "-p", "0", &own])
}

fn has_second() -> bool {
    succeeds(&["-c", "1", "true"])
}

fn succeeds(taskset: &[&str]) -> bool {
    let (out, err) = (Stdio::null(), Stdio::null());
    let status = Command::new("taskset").args(taskset).stdout(out).stderr(err).status();
    status.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 31 12 0 0 20 0 1 0 99 1 2";
        assert_eq!(ticks(stat), Some((31.0, 12.0)));
        assert_eq!(ticks("7 (a"), None);
    }
}
