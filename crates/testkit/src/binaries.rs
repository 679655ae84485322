//! Where the installed PostgreSQL is.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;

const NEEDED: [&str; 5] = ["initdb", "postgres", "pg_ctl", "pg_basebackup", "psql"];

/// A folder that holds all server binaries of one PostgreSQL version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// Looks at `PG_BIN`, `pg_config --bindir`, then `/usr/lib/postgresql/*/bin`.
    ///
    /// `PG_BIN` is an explicit choice: when it is set, nothing else is tried.
    ///
    /// # Errors
    ///
    /// [`Error::NotInstalled`] says what to install; show it to the user.
    pub fn find() -> Result<Self, Error> {
        if let Some(chosen) = env::var_os("PG_BIN") {
            return Self::at(Path::new(&chosen));
        }
        let mut tried: Vec<_> = pg_config().into_iter().collect();
        tried.extend(packaged(Path::new("/usr/lib/postgresql")));
        match tried.iter().find_map(|folder| Self::at(folder).ok()) {
            Some(found) => Ok(found),
            None => Err(Error::NotInstalled { tried }),
        }
    }

    /// Takes the binaries in `folder`.
    ///
    /// # Errors
    ///
    /// [`Error::NotInstalled`] when one of them is missing.
    pub fn at(folder: &Path) -> Result<Self, Error> {
        if NEEDED.iter().all(|name| folder.join(name).is_file()) {
            Ok(Self { folder: folder.to_owned() })
        } else {
            Err(Error::NotInstalled { tried: vec![folder.to_owned()] })
        }
    }

    /// The folder itself.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of one program, such as `pgbench`; it may be missing.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    (!folder.trim().is_empty()).then(|| PathBuf::from(folder.trim()))
}

/// Debian's layout, newest version first.
fn packaged(root: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(root) else { return Vec::new() };
    let mut versions: Vec<u32> =
        entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.into_iter().map(|version| root.join(version.to_string()).join("bin")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = env::temp_dir().join(format!("testkit-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_newer_version_comes_before_an_older_one_by_number() {
        let root = folder("versions");
        for name in ["9", "15", "18", "common"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        let found = packaged(&root);
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(found, ["18", "15", "9"].map(|v| root.join(v).join("bin")));
    }

    #[test]
    fn a_folder_without_one_of_the_binaries_is_refused_by_name() {
        let root = folder("binaries");
        for name in NEEDED {
            fs::write(root.join(name), "").unwrap();
        }
        let whole = Binaries::at(&root);
        fs::remove_file(root.join("pg_basebackup")).unwrap();
        let partial = Binaries::at(&root);
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(whole.unwrap().folder(), root);
        assert!(partial.unwrap_err().to_string().contains(&root.display().to_string()));
    }
}
