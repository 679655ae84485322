//! What the system says of a process: memory and CPU time.

use std::fs;

use super::said;

/// Resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resident {
    /// Now.
    pub now: u64,
    /// The most since its peak was last forgotten.
    pub peak: u64,
}

/// Reads a process's resident memory.
///
/// # Errors
///
/// It is gone.
pub fn resident(pid: u32) -> Result<Resident, String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(said)?;
    let bytes = |key| kilobytes(&status, key).ok_or_else(|| format!("no {key} of {pid}"));
    Ok(Resident { now: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
}

/// Makes the present the peak.
///
/// # Errors
///
/// It is gone, or the system has no such thing: peaks then are since the start.
pub fn forget_peak(pid: u32) -> Result<(), String> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").map_err(said)
}

fn kilobytes(status: &str, key: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(key))?;
    value.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// A thread and the CPU time it used, in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Thread {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// In user mode and in the kernel.
    pub used: f64,
}

/// All living threads of a process.
///
/// # Errors
///
/// It is gone.
pub fn threads(pid: u32) -> Result<Vec<Thread>, String> {
    let mut threads = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task")).map_err(said)? {
        let path = entry.map_err(said)?.path();
        let text = |name: &str| fs::read_to_string(path.join(name)).map_err(said);
        let used = seconds(&text("schedstat")?).ok_or("no CPU time in schedstat")?;
        let id = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        threads.push(Thread { id, name: text("comm")?.trim().to_owned(), used });
    }
    Ok(threads)
}

/// CPU seconds of all living threads of a process: finer than a clock tick.
///
/// # Errors
///
/// It is gone.
pub fn used(pid: u32) -> Result<f64, String> {
    Ok(threads(pid)?.iter().map(|thread| thread.used).sum())
}

/// The first number of `schedstat`: nanoseconds on a CPU.
fn seconds(schedstat: &str) -> Option<f64> {
    let nanos = schedstat.split_ascii_whitespace().next()?.parse().ok()?;
    Some(super::number::float(nanos) / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\tweir\nVmHWM:\t   12 kB\nVmRSS:\t   10 kB\n";
        assert_eq!(kilobytes(status, "VmRSS:"), Some(10_240));
        assert_eq!(kilobytes(status, "VmSwap:"), None);
    }

    #[test]
    fn cpu_time_is_the_first_number_in_nanoseconds() {
        assert_eq!(seconds("1500000000 77 3\n"), Some(1.5));
        assert_eq!(seconds(""), None);
    }

    #[test]
    fn this_process_has_threads_and_memory() {
        let own = std::process::id();
        assert!(!threads(own).unwrap().is_empty());
        let Resident { now, peak } = resident(own).unwrap();
        assert!(now > 0 && peak >= now);
    }
}
