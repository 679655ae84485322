//! The end of servers: killing them, removing them, watching their owner.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::error::{At, Error};
use crate::user::{ServerUser, finish};

const SCRIPT: &str = include_str!("reap.sh");

/// A process that outlives its owner just long enough to clean up.
///
/// A pipe tells it of the owner's end, since that covers SIGKILL, `abort` and
/// `exit` too; signal handlers would not, and a library must not take them.
#[derive(Debug)]
pub(crate) struct Watchdog {
    child: Child,
    folder: PathBuf,
    user: ServerUser,
}

impl Watchdog {
    /// Starts watching over `folder`, which need not exist yet.
    pub(crate) fn over(folder: &Path, user: &ServerUser) -> Result<Self, Error> {
        let mut command = script(user, "watch", folder);
        let child = command.stdin(Stdio::piped()).spawn().at(Path::new("sh"))?;
        Ok(Self { child, folder: folder.to_owned(), user: user.clone() })
    }

    /// Sends the watchdog away; the servers stay.
    pub(crate) fn release(mut self) -> Result<(), Error> {
        if let Some(mut pipe) = self.child.stdin.take() {
            pipe.write_all(b"release\n").at(&self.folder)?;
        }
        self.child.wait().at(Path::new("sh"))?;
        self.folder = PathBuf::new(); // nothing left for drop to remove
        Ok(())
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let ended = self.child.wait().is_ok_and(|status| status.success());
        if self.folder.as_os_str().is_empty() {
            return;
        }
        // Somebody may have killed it; and what an OS user could not remove, root can.
        if !ended || self.folder.exists() {
            drop(remove(&self.folder, &self.user));
        }
    }
}

/// Kills every server below `folder`, at once and without a goodbye.
pub(crate) fn kill(folder: &Path, user: &ServerUser) -> Result<(), Error> {
    finish(&mut script(user, "kill", folder)).map(drop)
}

/// Halts every process of the servers below `folder`.
pub(crate) fn freeze(folder: &Path, user: &ServerUser) -> Result<(), Error> {
    finish(&mut script(user, "freeze", folder)).map(drop)
}

/// Lets them go on.
pub(crate) fn thaw(folder: &Path, user: &ServerUser) -> Result<(), Error> {
    finish(&mut script(user, "thaw", folder)).map(drop)
}

/// Kills every server below `folder` and removes it.
pub(crate) fn remove(folder: &Path, user: &ServerUser) -> Result<(), Error> {
    finish(&mut script(user, "remove", folder))?;
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).at(folder),
        _ => Ok(()),
    }
}

fn script(user: &ServerUser, mode: &str, folder: &Path) -> Command {
    let mut command = user.command("sh", Path::new("/"));
    command.args(["-c", SCRIPT, "testkit-watchdog", mode]).arg(folder).arg(pattern(folder));
    command
}

/// `folder` as a pattern that matches nothing but itself.
fn pattern(folder: &Path) -> String {
    let mut escaped = String::new();
    for c in folder.to_string_lossy().chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
