//! The data folder that every node starts from, made once per machine user.

use std::env;
use std::fs::{self, DirBuilder, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};

use crate::binaries::Binaries;
use crate::error::{At, Error};
use crate::reaper::Watchdog;
use crate::user::{ServerUser, finish};

/// Fed to a single-user server: a blank line ends each statement.
const ROLES: &str = "\
ALTER ROLE postgres PASSWORD 'postgres';

CREATE ROLE replicator LOGIN REPLICATION;

CREATE ROLE app LOGIN PASSWORD 'app';

CREATE ROLE weir_monitor LOGIN PASSWORD 'weir_monitor' IN ROLE pg_monitor;

CREATE ROLE plainuser LOGIN PASSWORD 'plainuser';

SET password_encryption = 'md5';

CREATE ROLE md5user LOGIN PASSWORD 'md5user';

RESET password_encryption;

CREATE DATABASE app OWNER app;

";

const INITDB: [&str; 7] = [
    "--username=postgres",
    "--encoding=UTF8",
    "--locale=C",
    "--auth=scram-sha-256",
    "--no-sync",
    "--no-instructions",
    "--pwfile=password",
];

/// The least of everything: the control file keeps these values, and a standby
/// refuses to start with less than it finds there.
const LEAST: [&str; 6] = [
    "-cmax_connections=1",
    "-cmax_wal_senders=0",
    "-cmax_worker_processes=0",
    "-cmax_locks_per_transaction=10",
    "-cfsync=off",
    "-cexit_on_error=on",
];

/// A cleanly stopped data folder with all roles, packed into one file.
///
/// One file, not a folder: it is there or not, even when something cleans the
/// temp folder, and each server user unpacks it as its own.
#[derive(Debug)]
pub(crate) struct Template {
    archive: PathBuf,
}

impl Template {
    /// Finds the template in the cache, or makes it.
    ///
    /// Safe in many processes at once: the first one makes it, the others wait.
    pub(crate) fn find(binaries: &Binaries, user: &ServerUser) -> Result<Self, Error> {
        let cache = cache()?;
        let key = key(binaries)?;
        let archive = cache.join(format!("{key:016x}.tar"));
        if !archive.exists() {
            let path = cache.join(format!("{key:016x}.lock"));
            let lock = File::create(&path).at(&path)?;
            lock.lock().at(&path)?;
            if !archive.exists() {
                make(binaries, user, &archive)?;
            }
        }
        Ok(Self { archive })
    }

    /// Unpacks the template into `folder`, which must be there.
    pub(crate) fn unpack(&self, folder: &Path, user: &ServerUser) -> Result<(), Error> {
        let archive = File::open(&self.archive).at(&self.archive)?;
        // The server user may be unable to open the cache; we hand over the file.
        finish(user.command("tar", folder).args(["-xpf", "-"]).stdin(Stdio::from(archive)))?;
        Ok(())
    }
}

/// A private folder: a template that somebody else could write would be a trap.
fn cache() -> Result<PathBuf, Error> {
    let own = fs::metadata("/proc/self").at(Path::new("/proc/self"))?.uid();
    let path = env::temp_dir().join(format!("testkit-cache-{own}"));
    // It may be there already; what it is is checked below.
    drop(DirBuilder::new().mode(0o700).create(&path));
    let found = fs::symlink_metadata(&path).at(&path)?;
    let open_to_others = found.mode() & 0o077 != 0;
    if found.is_dir() && found.uid() == own && !open_to_others {
        Ok(path)
    } else {
        Err(Error::ForeignCache { path })
    }
}

/// Changes with the installed server and with the recipe.
fn key(binaries: &Binaries) -> Result<u64, Error> {
    let postgres = binaries.program("postgres");
    let file = fs::metadata(&postgres).at(&postgres)?;
    let mut hasher = DefaultHasher::new();
    (&postgres, file.size(), file.mtime(), file.mtime_nsec()).hash(&mut hasher);
    (ROLES, INITDB, LEAST).hash(&mut hasher);
    Ok(hasher.finish())
}

fn make(binaries: &Binaries, user: &ServerUser, archive: &Path) -> Result<(), Error> {
    let folder = user.scratch()?.join(format!("testkit-template-{}", process::id()));
    let _watchdog = Watchdog::over(&folder, user)?;
    let (node, data) = (folder.join("a"), folder.join("a/data"));
    user.make_folder(&folder)?;
    user.make_folder(&node)?;
    user.write(&node.join("password"), "postgres\n")?;
    finish(user.command(binaries.program("initdb"), &node).arg("-D").arg(&data).args(INITDB))?;
    let script = node.join("roles.sql");
    user.write(&script, ROLES)?;
    let mut single = user.command(binaries.program("postgres"), &node);
    single.args(["--single", "-j"]).args(LEAST).arg("-D").arg(&data).arg("postgres");
    finish(single.stdin(Stdio::from(File::open(&script).at(&script)?)))?;

    // Renamed when whole, so that nobody ever unpacks half of it.
    let draft = archive.with_extension("draft");
    finish(process::Command::new("tar").arg("-cf").arg(&draft).arg("-C").arg(&data).arg("."))?;
    fs::rename(&draft, archive).at(archive)
}
