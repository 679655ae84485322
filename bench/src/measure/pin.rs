//! Which CPU a thread may use, and how many files this process.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;

use super::said;

/// Runs `work` on a thread of its own that may use only these CPUs (`taskset -c`).
///
/// # Errors
///
/// There are no such CPUs, or `work` failed.
pub fn on<T: Send>(
    cpus: &str,
    work: impl FnOnce() -> Result<T, String> + Send,
) -> Result<T, String> {
    thread::scope(|scope| {
        let bound = scope.spawn(|| {
            let own = fs::read_link("/proc/thread-self").map_err(said)?;
            let own = own.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            bind(own, cpus)?;
            work()
        });
        bound.join().unwrap_or_else(|_| Err("the measuring thread panicked".to_owned()))
    })
}

/// Lets a thread use only these CPUs.
///
/// # Errors
///
/// There is no such thread, or there are no such CPUs.
pub fn bind(thread: &str, cpus: &str) -> Result<(), String> {
    call("taskset", &["-c", "-p", cpus, thread])
}

/// Lets this process, and those that it starts, open as many files as the system allows.
///
/// # Errors
///
/// `prlimit` is missing or refused.
pub fn raise_files() -> Result<(), String> {
    let limits = fs::read_to_string("/proc/self/limits").map_err(said)?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let most = line.and_then(|line| line.split_whitespace().nth(1)).ok_or("no limit of files")?;
    let own = std::process::id().to_string();
    call("prlimit", &["--pid", &own, &format!("--nofile={most}:{most}")])
}

fn call(program: &str, words: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(words).stdin(Stdio::null()).output().map_err(said)?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_runs_on_the_cpu_that_was_asked_for() {
        let allowed = on("0", || {
            let status = fs::read_to_string("/proc/thread-self/status").map_err(said)?;
            let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
            Ok(line.unwrap_or_default().trim().to_owned())
        });
        assert_eq!(allowed.as_deref(), Ok("0"));
        assert!(on("9999", || Ok(())).is_err());
    }
}
