//! Which CPU a process runs on, and how much of it it used.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::process::{self, Command, Stdio};

use clap::ValueEnum;

/// What a proxy used, all its processes and threads together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Used {
    /// Seconds of CPU in user mode.
    pub user: f64,
    /// Seconds of CPU in the kernel.
    pub system: f64,
    /// How often a thread gave its CPU away, to wait.
    pub voluntary: f64,
    /// How often a thread had its CPU taken away.
    pub involuntary: f64,
}

/// What a process and its children had used at some moment.
///
/// Readings are compared, never looked at alone: see [`Reading::since`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// In seconds: user and kernel, with those of children that ended.
    ticked: (f64, f64),
    /// By how much `ticked` may be too small: a tick of each kind for each process.
    rounding: f64,
    tasks: BTreeMap<u32, Task>,
}

/// One thread's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Task {
    /// Seconds on a CPU, to the nanosecond.
    ran: f64,
    voluntary: f64,
    involuntary: f64,
}

impl Reading {
    /// What was used after `earlier` was read.
    ///
    /// The kernel tells user and system time in steps of 10 ms. The sum of both
    /// is therefore taken from the scheduler, which counts nanoseconds, and
    /// only shared out by them, unless a thread ended in between: it is in the
    /// steps, but not with the scheduler any more. Its switches are lost.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Used {
        let (user, system) = (self.ticked.0 - earlier.ticked.0, self.ticked.1 - earlier.ticked.1);
        let mut grown = Task::default();
        for (id, task) in &self.tasks {
            let before = earlier.tasks.get(id).copied().unwrap_or_default();
            grown.ran += task.ran - before.ran;
            grown.voluntary += task.voluntary - before.voluntary;
            grown.involuntary += task.involuntary - before.involuntary;
        }
        let Task { ran, voluntary, involuntary } = grown;
        let ticked = user + system;
        // A thread may have begun and ended in between: it is in neither reading.
        let whole = earlier.tasks.keys().all(|id| self.tasks.contains_key(id))
            && ran > ticked - self.rounding.max(earlier.rounding);
        let (user, system) = if whole && ran > 0.0 {
            // Each of many processes may have used less than a tick: then as in their lives so far.
            let seen = if ticked > 0.0 { (user, system) } else { self.ticked };
            shared_out(ran, seen)
        } else {
            (user, system)
        };
        Used { user, system, voluntary, involuntary }
    }
}

/// Shares `sum` out as the parts are to each other; evenly when there are none.
fn shared_out(sum: f64, (one, other): (f64, f64)) -> (f64, f64) {
    let all = one + other;
    if all > 0.0 { (sum * one / all, sum * other / all) } else { (sum / 2.0, sum / 2.0) }
}

/// Reads what processes used.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    ticks_per_second: f64,
}

impl Meter {
    /// Asks the system for its clock tick: the resolution of user and system time.
    #[must_use]
    pub fn of_this_system() -> Self {
        let tick = Command::new("getconf").arg("CLK_TCK").output().ok();
        let tick =
            tick.and_then(|output| String::from_utf8(output.stdout).ok()?.trim().parse().ok());
        Self { ticks_per_second: tick.unwrap_or(100.0) }
    }

    /// What `pid` and all its descendants used so far.
    ///
    /// # Errors
    ///
    /// `pid` is gone. A descendant that ends meanwhile is none: its parent has
    /// its CPU time then.
    pub fn read(self, pid: u32) -> io::Result<Reading> {
        let own = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let mut reading = Reading::default();
        self.add(&mut reading, pid, &own).ok_or(io::ErrorKind::InvalidData)?;
        for (child, stat) in descendants(pid)? {
            // Ended a moment ago, or a zombie without a thread: nothing to add.
            let _added = self.add(&mut reading, child, &stat);
        }
        Ok(reading)
    }

    fn add(self, reading: &mut Reading, pid: u32, stat: &str) -> Option<()> {
        let Stat { user, system, .. } = Stat::parse(stat)?;
        reading.ticked.0 += user / self.ticks_per_second;
        reading.ticked.1 += system / self.ticks_per_second;
        reading.rounding += 2.0 / self.ticks_per_second;
        for entry in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
            let id = entry.file_name().to_str()?.parse().ok()?;
            if let Some(task) = Task::read(&entry.path()) {
                reading.tasks.insert(id, task);
            }
        }
        Some(())
    }
}

impl Task {
    fn read(folder: &Path) -> Option<Self> {
        let status = fs::read_to_string(folder.join("status")).ok()?;
        let scheduled = fs::read_to_string(folder.join("schedstat")).unwrap_or_default();
        let nanoseconds = scheduled.split(' ').next().and_then(|word| word.parse::<f64>().ok());
        let counter = |key: &str| {
            let rest = status.lines().find_map(|line| line.strip_prefix(key))?;
            rest.trim().parse().ok()
        };
        Some(Self {
            ran: nanoseconds.unwrap_or(0.0) / 1e9,
            voluntary: counter("voluntary_ctxt_switches:")?,
            involuntary: counter("nonvoluntary_ctxt_switches:")?,
        })
    }
}

/// What is read of `/proc/<pid>/stat`, proc(5).
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stat {
    parent: u32,
    /// Ticks, with those of children that ended and were waited for.
    user: f64,
    system: f64,
}

impl Stat {
    fn parse(stat: &str) -> Option<Self> {
        // The name before the fields may hold anything.
        let (_, after_name) = stat.rsplit_once(')')?;
        let mut fields = after_name.split_ascii_whitespace().skip(1);
        let parent = fields.next()?.parse().ok()?;
        let mut ticks = fields.skip(9).map(|field| field.parse::<f64>().ok());
        let mut next = || ticks.next().flatten();
        let (user, system, ended_user, ended_system) = (next()?, next()?, next()?, next()?);
        Some(Self { parent, user: user + ended_user, system: system + ended_system })
    }
}

/// The children of `pid`, theirs, and so on, each with its `stat`.
fn descendants(pid: u32) -> io::Result<Vec<(u32, String)>> {
    let all: Vec<(u32, u32, String)> = fs::read_dir("/proc")?
        .flatten()
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            Some((id, Stat::parse(&stat)?.parent, stat))
        })
        .collect();
    let mut family = BTreeSet::from([pid]);
    loop {
        let known = family.len();
        family.extend(
            all.iter()
                .filter(|(_, up, _)| family.contains(up))
                .map(|(id, ..)| *id)
                .collect::<Vec<_>>(),
        );
        if family.len() == known {
            break;
        }
    }
    Ok(all
        .into_iter()
        .filter(|(id, ..)| *id != pid && family.contains(id))
        .map(|(id, _, stat)| (id, stat))
        .collect())
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
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 31 12 4 2 20 0 1 0 99 1 2";
        assert_eq!(Stat::parse(stat), Some(Stat { parent: 1, user: 35.0, system: 14.0 }));
        assert_eq!(Stat::parse("7 (a"), None);
    }

    fn reading(ticked: (f64, f64), tasks: &[(u32, f64)]) -> Reading {
        let task = |ran| Task { ran, voluntary: ran * 100.0, involuntary: ran * 10.0 };
        let tasks = tasks.iter().map(|(id, ran)| (*id, task(*ran))).collect();
        Reading { ticked, rounding: 0.02, tasks }
    }

    fn is(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 1e-9
    }

    #[test]
    fn the_sum_is_the_schedulers_and_its_parts_are_as_the_ticks() {
        let before = reading((1.0, 1.0), &[(1, 2.0)]);
        let used = reading((1.1, 1.3), &[(1, 2.2), (2, 0.3)]).since(&before);
        assert!(is(used.user, 0.125) && is(used.system, 0.375), "{used:?}");
        assert!(is(used.voluntary, 50.0) && is(used.involuntary, 5.0), "{used:?}");
    }

    #[test]
    fn the_time_of_a_thread_that_ended_still_counts() {
        let before = reading((1.0, 1.0), &[(1, 1.0), (2, 1.0)]);
        let used = reading((1.5, 2.0), &[(1, 2.6)]).since(&before);
        assert!(is(used.user, 0.5) && is(used.system, 1.0), "{used:?}");
        assert!(is(used.voluntary, 160.0), "{used:?}");
    }

    #[test]
    fn a_thread_that_no_reading_saw_still_counts() {
        let before = reading((1.0, 1.0), &[(1, 1.0)]);
        let since = |ran| reading((1.1, 1.0), &[(1, ran)]).since(&before).user;
        assert!(is(since(1.07), 0.1));
        // Less than that is rounding.
        assert!(is(since(1.085), 0.085));
    }

    #[test]
    fn less_than_a_tick_is_no_less_than_it_was() {
        let before = reading((0.0, 0.0), &[(1, 0.0)]);
        let used = reading((0.0, 0.0), &[(1, 0.008)]).since(&before);
        assert!(is(used.user + used.system, 0.008), "{used:?}");
        let before = reading((1.0, 3.0), &[(1, 4.0)]);
        let used = reading((1.0, 3.0), &[(1, 4.008)]).since(&before);
        assert!(is(used.user, 0.002) && is(used.system, 0.006), "{used:?}");
    }

    #[test]
    fn what_children_use_counts_while_they_run_and_when_they_ended() {
        let meter = Meter::of_this_system();
        let before = meter.read(process::id()).unwrap();
        let burn = "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done; echo; read x";
        let mut child = Command::new("sh")
            .args(["-c", burn])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        let own = meter.read(child.id()).unwrap().since(&Reading::default());
        let used = |used: Used| used.user + used.system;
        let running = meter.read(process::id()).unwrap().since(&before);
        drop(child.stdin.take());
        child.wait().unwrap();
        let ended = meter.read(process::id()).unwrap().since(&before);
        // In steps of 10 ms: other tests' threads end, too.
        let least = used(own) - 0.03;
        assert!(least > 0.03 && used(running) > least && used(ended) > least, "{own:?} {ended:?}");
    }
}
