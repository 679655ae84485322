//! However the owner of a cluster ends, nothing of it stays behind.

#![cfg(test)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use testkit::{Cluster, Detached};

/// The processes that work in a folder, even in one that was deleted.
fn processes_in(folder: &Path) -> Vec<String> {
    let inside = |process: &Path| {
        fs::read_link(process.join("cwd")).is_ok_and(|place| place.starts_with(folder))
    };
    let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let found = all.filter(|process| inside(process));
    found.map(|process| process.display().to_string()).collect()
}

fn assert_nothing_left(folder: &Path) {
    assert_eq!(processes_in(folder), [""; 0]);
    assert!(!folder.exists(), "{}", folder.display());
}

/// Waits as long as it takes; nextest's own limit ends a test that waits in vain.
fn await_nothing_left(folder: &Path) {
    while folder.exists() || !processes_in(folder).is_empty() {}
}

fn signal(name: &str, pid: &str) {
    assert!(Command::new("kill").args([name, pid]).status().unwrap().success());
}

/// The watchdog says in its arguments what it watches.
fn watchdog_of(folder: &Path) -> Option<String> {
    let words = format!("testkit-watchdog\0watch\0{}\0", folder.display());
    let is_it = |process: &Path| {
        fs::read(process.join("cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&words))
    };
    let mut all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let found = all.find(|process| is_it(process))?;
    Some(found.file_name()?.to_string_lossy().into_owned())
}

#[test]
fn a_dropped_cluster_is_gone_at_once() {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let folder = cluster.folder().to_owned();
    assert!(processes_in(&folder).len() > 4, "the test looks in the wrong place");
    drop(cluster);
    assert_nothing_left(&folder);
    assert_eq!(watchdog_of(&folder), None);
}

#[test]
fn a_panic_takes_the_cluster_with_it() {
    let (sender, folder) = std::sync::mpsc::channel();
    let test = std::thread::spawn(move || {
        let cluster = Cluster::builder().start().unwrap();
        sender.send(cluster.folder().to_owned()).unwrap();
        panic!("on purpose");
    });
    assert!(test.join().is_err());
    assert_nothing_left(&folder.recv().unwrap());
}

#[test]
fn a_cluster_that_fails_to_start_is_gone_too() {
    let folder = std::env::temp_dir().join(format!("testkit-failing-{}", std::process::id()));
    let refusal = Cluster::builder().dir(&folder).setting("no_such_setting", "1").start();
    assert!(refusal.is_err());
    assert_nothing_left(&folder);
}

#[test]
fn a_cluster_whose_watchdog_was_killed_still_goes_with_its_owner() {
    let cluster = Cluster::builder().start().unwrap();
    let folder = cluster.folder().to_owned();
    signal("-KILL", &watchdog_of(&folder).unwrap());
    drop(cluster);
    assert_nothing_left(&folder);
}

#[test]
fn a_killed_server_leaves_no_shared_memory_behind() {
    let cluster = Cluster::builder().start().unwrap();
    let a = cluster.primary();
    let pid_file = fs::read_to_string(a.data_folder().join("postmaster.pid")).unwrap();
    let segment = pid_file.lines().nth(6).unwrap().split_whitespace().nth(1).unwrap();
    let exists = || {
        let table = fs::read_to_string("/proc/sysvipc/shm").unwrap();
        table.lines().any(|line| line.split_whitespace().nth(1) == Some(segment))
    };
    assert!(exists());
    a.kill().unwrap();
    assert!(!exists());
}

#[test]
#[ignore = "not a test: the process that the next ones kill"]
fn owner() {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let mut out = std::io::stdout();
    writeln!(out, "folder={}", cluster.folder().display()).unwrap();
    out.flush().unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

fn owner_process() -> (Child, PathBuf) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "owner", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let found = lines.map_while(Result::ok).find_map(|line| {
        let (_, folder) = line.split_once("folder=")?;
        Some(PathBuf::from(folder))
    });
    (child, found.unwrap())
}

#[test]
fn no_server_outlives_an_owner_that_was_killed() {
    let (mut owner, folder) = owner_process();
    assert!(processes_in(&folder).len() > 4, "the test looks in the wrong place");
    owner.kill().unwrap(); // SIGKILL: the owner can do nothing any more
    owner.wait().unwrap();
    await_nothing_left(&folder);
}

#[test]
fn no_server_outlives_an_owner_that_was_interrupted_or_terminated() {
    for name in ["-INT", "-TERM"] {
        let (mut owner, folder) = owner_process();
        signal(name, &owner.id().to_string());
        owner.wait().unwrap();
        await_nothing_left(&folder);
    }
}

/// `testbed` with a home of its own.
struct Testbed {
    home: PathBuf,
}

impl Testbed {
    fn new(name: &str) -> Self {
        let name = format!("testbed-{}-{name}", std::process::id());
        Self { home: std::env::temp_dir().join(name) }
    }

    fn command(&self, verb: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_testbed"));
        command.args(verb).arg("--dir").arg(&self.home);
        command
    }

    fn run(&self, verb: &[&str]) -> (bool, String) {
        let output = self.command(verb).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    fn foreground(&self) -> (Child, PathBuf) {
        let mut command = self.command(&["up", "--port", "0", "--replicas", "1", "--foreground"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let last = lines.map_while(Result::ok).find(|line| line.starts_with("b  replica"));
        assert!(last.is_some(), "it did not come up");
        let record = Detached::load(&self.home.join("cluster")).unwrap().unwrap();
        (child, record.folder().to_owned())
    }
}

#[test]
fn a_testbed_stays_up_until_it_is_taken_down() {
    let testbed = Testbed::new("detached");
    let (up, said) = testbed.run(&["up", "--port", "0"]);
    assert!(up, "{said}");
    let record = Detached::load(&testbed.home.join("cluster")).unwrap().unwrap();
    let (_, status) = testbed.run(&["status"]);
    assert_eq!(status, said);
    let roles: Vec<_> = status.lines().map(|line| &line[..10]).collect();
    assert_eq!(roles, ["a  primary", "b  replica", "c  replica"]);

    let (again, refusal) = testbed.run(&["up", "--port", "0"]);
    assert!(!again && refusal.contains("testbed down"), "{refusal}");

    assert!(testbed.run(&["down"]).0);
    assert_nothing_left(record.folder());
    assert!(!testbed.home.exists());
    assert_eq!(testbed.run(&["status"]), (true, "no testbed is up\n".to_owned()));
}

#[test]
fn a_testbed_in_the_foreground_ends_with_its_input_or_an_interrupt() {
    let testbed = Testbed::new("foreground");
    let (mut child, folder) = testbed.foreground();
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert_nothing_left(&folder);
    assert!(!testbed.home.exists());

    let (mut child, folder) = testbed.foreground();
    signal("-INT", &child.id().to_string());
    assert!(child.wait().unwrap().success());
    assert_nothing_left(&folder);
    assert!(!testbed.home.exists());
}

#[test]
fn the_next_testbed_clears_away_one_that_was_killed() {
    let testbed = Testbed::new("killed");
    let (mut child, folder) = testbed.foreground();
    child.kill().unwrap();
    child.wait().unwrap();
    // The folder itself may stay: as root, its parent is not the servers' user's.
    while folder.exists() && fs::read_dir(&folder).unwrap().next().is_some() {}
    while !processes_in(&folder).is_empty() {}

    let (mut child, folder) = testbed.foreground();
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert_nothing_left(&folder);
    assert!(!testbed.home.exists());
}
