//! The OS user that owns and runs the servers.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{At, Error};

/// Containers often give `/dev/shm` 64 MiB; a cluster starts with 150.
const ENOUGH_KIB: u64 = 4 << 20;

/// Who runs the servers: `postgres` when we are root, else ourselves.
///
/// PostgreSQL refuses to run as root ("Creating a Database Cluster").
#[derive(Clone, Debug)]
pub struct ServerUser {
    /// What to become; `None` when no change is needed or possible.
    ids: Option<(u32, u32)>,
}

impl ServerUser {
    /// Finds the user for this process.
    ///
    /// # Errors
    ///
    /// [`Error::NoServerUser`] when root has no OS user `postgres` to become.
    pub fn current() -> Result<Self, Error> {
        let own = fs::metadata("/proc/self").at(Path::new("/proc/self"))?;
        if own.uid() != 0 {
            return Ok(Self { ids: None });
        }
        let id = |flag| id_of(flag, "postgres").ok_or(Error::NoServerUser);
        Ok(Self { ids: Some((id("-u")?, id("-g")?)) })
    }

    /// Says whether servers could work below `folder`.
    #[must_use]
    pub fn can_enter(&self, folder: &Path) -> bool {
        let mut test = self.command("test", Path::new("/"));
        test.arg("-x").arg(folder).status().is_ok_and(|status| status.success())
    }

    /// The folder for what lives shortly: `TMPDIR`, else memory, else `/tmp`.
    ///
    /// A node has 1,300 files; on disk their coming and going costs up to ten
    /// times as much (ext4 without a journal is slow to reuse fresh inodes).
    pub(crate) fn scratch(&self) -> Result<PathBuf, Error> {
        let memory = Path::new("/dev/shm");
        if env::var_os("TMPDIR").is_none() && free_kib(memory) >= ENOUGH_KIB {
            return Ok(memory.to_owned());
        }
        self.disk()
    }

    /// The temp folder, or `/tmp` when this user may not enter it.
    pub(crate) fn disk(&self) -> Result<PathBuf, Error> {
        let temp = env::temp_dir();
        let folder = if self.can_enter(&temp) { temp } else { PathBuf::from("/tmp") };
        fs::canonicalize(&folder).at(&folder)
    }

    /// A program to be run as this user, deaf to the caller's terminal.
    ///
    /// `PG*` variables of the caller must not lead it to other servers.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        command.stderr(Stdio::null()).env("LC_ALL", "C");
        for (name, _) in env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"PG") {
                command.env_remove(name);
            }
        }
        if let Some((uid, gid)) = self.ids {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Makes a folder that only this user may enter.
    ///
    /// An empty folder that is there already is taken over.
    pub(crate) fn make_folder(&self, path: &Path) -> Result<(), Error> {
        if let Err(error) = DirBuilder::new().mode(0o700).create(path) {
            let occupied = fs::read_dir(path).map(|mut entries| entries.next().is_some());
            match occupied {
                Ok(true) => return Err(Error::FolderInUse { path: path.to_owned() }),
                Ok(false) => fs::set_permissions(path, Permissions::from_mode(0o700)).at(path)?,
                Err(_) => return Err(error).at(path),
            }
        }
        self.own(path)
    }

    /// Writes a file of this user's with mode 0600.
    pub(crate) fn write(&self, path: &Path, text: &str) -> Result<(), Error> {
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(path).at(path)?;
        file.write_all(text.as_bytes()).at(path)?;
        self.own(path)
    }

    fn own(&self, path: &Path) -> Result<(), Error> {
        match self.ids {
            Some((uid, gid)) => chown(path, Some(uid), Some(gid)).at(path),
            None => Ok(()),
        }
    }
}

/// Runs a command to its end and returns what it wrote.
pub(crate) fn finish(command: &mut Command) -> Result<String, Error> {
    let program = PathBuf::from(command.get_program());
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().at(&program)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Error::Command { program, status: output.status, stderr })
}

fn free_kib(folder: &Path) -> u64 {
    let mut df = Command::new("df");
    let output = df.args(["--output=avail", "-k"]).arg(folder).stderr(Stdio::null()).output();
    let table = output.map(|output| output.stdout).unwrap_or_default();
    let table = String::from_utf8(table).unwrap_or_default();
    table.lines().nth(1).and_then(|kib| kib.trim().parse().ok()).unwrap_or(0)
}

fn id_of(flag: &str, user: &str) -> Option<u32> {
    let output = Command::new("id").args([flag, user]).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
