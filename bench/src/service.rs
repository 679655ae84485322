//! A proxy as a child process that never outlives the benchmark.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::cpu::{Meter, Placement, Reading};
use crate::weir::{beside, text};

/// How often something awaited is looked at, and how often at most (10 s).
const STEP: Duration = Duration::from_millis(20);
const STEPS: usize = 500;

/// A running proxy; killed when dropped.
#[derive(Debug)]
pub struct Service {
    child: Child,
    log: PathBuf,
    end: End,
}

/// How a proxy ends, with us or before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Kill,
    /// By SIGINT: its children outlive a parent that was killed.
    Ask,
}

impl End {
    /// The word for `setpriv --pdeathsig`.
    fn signal(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Ask => "INT",
        }
    }
}

/// How a proxy is started.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    /// For configuration and logs.
    pub folder: &'a Path,
    /// Where they run.
    pub placement: Placement,
}

impl Host<'_> {
    /// Starts `words` (program and arguments) under a name for its log file.
    ///
    /// `user` is whom root becomes first: PgBouncer refuses to run as root.
    ///
    /// # Errors
    ///
    /// The program, or util-linux's `setpriv`, could not be started.
    pub fn start(self, name: &str, user: Option<&str>, words: &[&str]) -> io::Result<Service> {
        self.launch(name, user, (words, End::Kill))
    }

    /// Starts a proxy that consists of several processes, and ends them all at a SIGINT.
    ///
    /// # Errors
    ///
    /// As with [`Host::start`].
    pub fn start_family(
        self,
        name: &str,
        user: Option<&str>,
        words: &[&str],
    ) -> io::Result<Service> {
        self.launch(name, user, (words, End::Ask))
    }

    fn launch(
        self,
        name: &str,
        user: Option<&str>,
        (words, end): (&[&str], End),
    ) -> io::Result<Service> {
        let log = self.folder.join(format!("{name}.log"));
        // It ends with us, however we end: nothing may stay behind.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", end.signal()]);
        if let Some(user) = user {
            command.args(["--reuid", user, "--regid", &group_of(user)?, "--init-groups"]);
        }
        command.args(self.placement.prefix()).args(words);
        let stderr = File::create(&log)?;
        let stdout = stderr.try_clone()?;
        let child = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn()?;
        Ok(Service { child, log, end })
    }
}

impl Host<'_> {
    /// Starts a program of this workspace that prints where it listens, and waits until it did.
    ///
    /// # Errors
    ///
    /// It was not built, or ended; a sentence for people.
    pub fn start_listening(
        self,
        program: &str,
        name: &str,
        words: &[&str],
    ) -> Result<(Service, u16), String> {
        let path = beside(program)?;
        let words: Vec<_> = std::iter::once(text(&path)?).chain(words.iter().copied()).collect();
        let mut service = self.start(name, None, &words).map_err(|error| error.to_string())?;
        let log = self.folder.join(format!("{name}.log"));
        let port = service.wait(|| {
            let said = fs::read_to_string(&log).map_err(|error| error.to_string())?;
            let address = said.lines().next().and_then(|line| line.parse::<SocketAddr>().ok());
            address.map(|address| address.port()).ok_or_else(|| "it named no port".to_owned())
        })?;
        Ok((service, port))
    }
}

impl Service {
    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it and its children used so far.
    ///
    /// # Errors
    ///
    /// It ended; the error tells its last words.
    pub fn read(&mut self, meter: Meter) -> Result<Reading, String> {
        self.check()?;
        meter.read(self.child.id()).map_err(|error| error.to_string())
    }

    /// Resident memory, KiB.
    ///
    /// # Errors
    ///
    /// It ended; the error tells its last words.
    pub fn resident(&mut self) -> Result<f64, String> {
        self.check()?;
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.map_err(|error| error.to_string())?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let size = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        size.ok_or_else(|| "/proc does not tell its memory".to_owned())
    }

    /// Asks until there is an answer, for ten seconds at most.
    ///
    /// # Errors
    ///
    /// It ended, or the last refusal; both with its last words.
    pub fn wait<T>(&mut self, mut probe: impl FnMut() -> Result<T, String>) -> Result<T, String> {
        let mut refusal = String::new();
        for _ in 0..STEPS {
            self.check()?;
            match probe() {
                Ok(answer) => return Ok(answer),
                Err(error) => refusal = error,
            }
            thread::sleep(STEP);
        }
        Err(format!("{refusal}; {}", self.last_words()))
    }

    /// What it wrote so far.
    #[must_use]
    pub fn said(&self) -> String {
        let mut text = String::new();
        let read = File::open(&self.log).and_then(|mut log| log.read_to_string(&mut text));
        read.map(|_| text).unwrap_or_default()
    }

    fn check(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("it ended ({status}); {}", self.last_words())),
            Err(error) => Err(error.to_string()),
        }
    }

    fn last_words(&self) -> String {
        let said = self.said();
        let mut lines: Vec<_> = said.lines().rev().take(3).collect();
        lines.reverse();
        format!("its log ends: {}", lines.join(" / "))
    }

    /// Gives it ten seconds to end by itself.
    fn ask_to_end(&mut self) {
        let signal = format!("-{}", self.end.signal());
        let _sent = Command::new("kill").args([&signal, &self.child.id().to_string()]).output();
        for _ in 0..STEPS {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(STEP);
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.end == End::Ask {
            self.ask_to_end();
        }
        // Fails only when it is gone already, which is what is wanted.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A folder that is removed with this value.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes a folder that other users may enter: PgBouncer runs as one.
    ///
    /// # Errors
    ///
    /// The folder can't be made.
    pub fn new() -> io::Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("weir-bench-{}", std::process::id()));
        fs::create_dir(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(Self(path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Left behind in the temp folder at worst.
        let _removed = fs::remove_dir_all(&self.0);
    }
}

fn group_of(user: &str) -> io::Result<String> {
    let output = Command::new("id").args(["-g", user]).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A parent that ends its child when it is asked to, and only then itself.
    const FAMILY: &str = "sleep 100 & trap 'kill $!; wait; exit' INT; echo $!; wait";

    #[test]
    fn a_family_ends_as_a_whole() {
        let scratch = Scratch::new().unwrap();
        let host = Host { folder: scratch.path(), placement: Placement::Free };
        let mut service = host.start_family("family", None, &["sh", "-c", FAMILY]).unwrap();
        let child: u32 = service
            .wait(|| service_log(scratch.path()).parse().map_err(|_| String::new()))
            .unwrap();
        let stat = format!("/proc/{child}/cmdline");
        assert!(fs::read(&stat).is_ok_and(|words| !words.is_empty()));
        drop(service);
        // A zombie that nobody waits for has no command line.
        assert!(fs::read(&stat).map_or(true, |words| words.is_empty()));
    }

    fn service_log(folder: &Path) -> String {
        fs::read_to_string(folder.join("family.log")).unwrap_or_default().trim().to_owned()
    }
}
