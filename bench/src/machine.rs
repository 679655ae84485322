//! Where and with what a table was made.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Facts in the order in which they are shown.
pub type Facts = Vec<(&'static str, String)>;

/// What is true of the machine and the checkout, whatever is measured.
#[must_use]
pub fn facts() -> Facts {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    vec![
        ("date", date()),
        ("commit", commit()),
        ("cpu", cpu()),
        ("kernel", kernel.trim().to_owned()),
    ]
}

/// Where results of these facts go, without an extension: `<date>-<commit><suffix>`.
#[must_use]
pub fn stem(folder: &Path, facts: &Facts, suffix: &str) -> PathBuf {
    let fact = |key| facts.iter().find(|(name, _)| *name == key).map(|(_, value)| value);
    let [date, commit] = ["date", "commit"].map(|key| fact(key).map_or("unknown", String::as_str));
    folder.join(format!("{date}-{commit}{suffix}"))
}

/// Keeps results for people and for programs: `<stem>.md` and `<stem>.json`.
///
/// # Errors
///
/// A file, or the folder, can't be written.
pub fn keep(stem: &Path, markdown: &str, json: &serde_json::Value) -> io::Result<()> {
    if let Some(folder) = stem.parent() {
        fs::create_dir_all(folder)?;
    }
    let named = |extension: &str| PathBuf::from(format!("{}.{extension}", stem.display()));
    fs::write(named("md"), markdown)?;
    fs::write(named("json"), format!("{json:#}\n"))
}

/// Today, UTC, as `2026-01-31`.
fn date() -> String {
    first_line("date", &["-u", "+%F"]).unwrap_or_else(|| "undated".to_owned())
}

/// The commit, with `-dirty` when tracked files differ from it.
fn commit() -> String {
    let commit = first_line("git", &["describe", "--always", "--dirty", "--exclude", "*"]);
    commit.unwrap_or_else(|| "unknown".to_owned())
}

/// The first line that `program --version` prints, if it is there at all.
#[must_use]
pub fn version(program: &Path) -> Option<String> {
    first_line(program.to_str()?, &["--version"])
}

/// The first line that `words` print, to standard output or else to standard error.
#[must_use]
pub fn says(words: &[&str]) -> Option<String> {
    let (program, args) = words.split_first()?;
    let output = Command::new(program).args(args).output().ok()?;
    let line = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).lines().next()?.trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    line(&output.stdout).or_else(|| line(&output.stderr)).filter(|_| output.status.success())
}

/// The model and how many there are, whatever this process is bound to.
fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let count = info.lines().filter(|line| line.starts_with("processor")).count();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.unwrap_or(std::env::consts::ARCH).trim_start_matches(['\t', ' ', ':']);
    format!("{count} × {model}")
}

fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}
