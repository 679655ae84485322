//! Clusters that outlive the process that started them.

use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::binaries::Binaries;
use crate::builder::is_usable;
use crate::conf::Site;
use crate::error::{At, Error};
use crate::node::Node;
use crate::reaper;
use crate::user::{ServerUser, finish};

/// A cluster without an owner: where it is and how to end it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detached {
    folder: PathBuf,
    nodes: Vec<DetachedNode>,
}

/// One server of a [`Detached`] cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachedNode {
    /// `a`, `b`, …
    pub name: String,
    /// On 127.0.0.1.
    pub port: u16,
}

impl Detached {
    pub(crate) fn of(site: &Site, nodes: &[Node]) -> Self {
        let node = |node: &Node| DetachedNode { name: node.name().to_owned(), port: node.port() };
        Self { folder: site.folder.clone(), nodes: nodes.iter().map(node).collect() }
    }

    /// Chooses the folder for a cluster whose record is to be kept in `home`.
    ///
    /// Below `home` where the servers can live there, else (a path too long
    /// for sockets, a folder that their user may not enter) `None`: let the
    /// cluster choose one.
    ///
    /// # Errors
    ///
    /// [`Error::NoServerUser`]: there is nobody to run servers as.
    pub fn folder_below(home: &Path) -> Result<Option<PathBuf>, Error> {
        let usable = is_usable(home, &ServerUser::current()?);
        Ok(usable.then(|| home.join("nodes")))
    }

    /// Reads a record that [`Detached::save`] wrote; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when it cannot be read, [`Error::Answer`] when it is broken.
    pub fn load(record: &Path) -> Result<Option<Self>, Error> {
        if !record.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(record).at(record)?;
        parse(&text)
            .map(Some)
            .ok_or(Error::Answer { question: "the testbed's record", answer: text })
    }

    /// Writes the record to a file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when it cannot be written.
    pub fn save(&self, record: &Path) -> Result<(), Error> {
        let mut text = format!("folder {}\n", self.folder.display());
        for DetachedNode { name, port } in &self.nodes {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "node {name} {port}");
        }
        fs::write(record, text).at(record)
    }

    /// The servers.
    #[must_use]
    pub fn nodes(&self) -> &[DetachedNode] {
        &self.nodes
    }

    /// The folder that holds everything.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What a server is now: `primary`, `replica` or `down`.
    ///
    /// # Errors
    ///
    /// [`Error::NotInstalled`] or [`Error::NoServerUser`].
    pub fn state(&self, node: &DetachedNode) -> Result<&'static str, Error> {
        let (binaries, user) = (Binaries::find()?, ServerUser::current()?);
        let sockets = self.folder.join(&node.name).join("sock");
        let mut psql = user.command(binaries.program("psql"), Path::new("/"));
        psql.args([
            "-XqAt",
            "-U",
            "postgres",
            "-d",
            "postgres",
            "-c",
            "SELECT pg_is_in_recovery()",
        ]);
        psql.arg("-p").arg(node.port.to_string()).arg("-h").arg(sockets);
        Ok(match finish(&mut psql).as_deref().map(str::trim) {
            Ok("f") => "primary",
            Ok(_) => "replica",
            Err(_) => "down",
        })
    }

    /// Kills the servers and removes their folder.
    ///
    /// # Errors
    ///
    /// [`Error::NotACluster`] when the record points at something else: nothing
    /// was touched. [`Error::Command`] or [`Error::Io`]: try again as the user
    /// who started it.
    pub fn remove(&self) -> Result<(), Error> {
        if !self.holds_only_nodes()? {
            return Err(Error::NotACluster { path: self.folder.clone() });
        }
        reaper::remove(&self.folder, &ServerUser::current()?)
    }

    /// A broken record must not cost anybody a home folder.
    fn holds_only_nodes(&self) -> Result<bool, Error> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
            entries => entries.at(&self.folder)?,
        };
        let shared = |name: &OsStr| name == "tls" || name == "archive";
        let own = |name: &OsStr| shared(name) || self.nodes.iter().any(|node| *node.name == *name);
        Ok(entries.flatten().all(|entry| own(&entry.file_name())))
    }
}

fn parse(text: &str) -> Option<Detached> {
    let mut lines = text.lines();
    let folder = PathBuf::from(lines.next()?.strip_prefix("folder ")?);
    let node = |line: &str| {
        let (name, port) = line.strip_prefix("node ")?.split_once(' ')?;
        Some(DetachedNode { name: name.to_owned(), port: port.parse().ok()? })
    };
    let nodes = lines.map(node).collect::<Option<Vec<_>>>()?;
    // It will be removed with all that is in it: nothing but a whole path will do.
    folder.is_absolute().then_some(Detached { folder, nodes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_anything_but_nodes_is_not_removed() {
        let folder = std::env::temp_dir().join(format!("testkit-foreign-{}", std::process::id()));
        fs::create_dir_all(folder.join("a")).unwrap();
        fs::write(folder.join("precious"), "").unwrap();
        let record = format!("folder {}\nnode a 5433\n", folder.display());
        let refusal = parse(&record).unwrap().remove();
        assert!(folder.join("precious").exists());
        fs::remove_dir_all(&folder).unwrap();
        assert!(matches!(refusal, Err(Error::NotACluster { .. })));
    }

    #[test]
    fn a_record_names_an_absolute_folder_or_is_refused() {
        let whole = parse("folder /tmp/x y\nnode a 5433\nnode b 5434\n").unwrap();
        assert_eq!(whole.folder(), Path::new("/tmp/x y"));
        assert_eq!(whole.nodes()[1], DetachedNode { name: "b".to_owned(), port: 5434 });
        assert_eq!(parse(""), None);
        assert_eq!(parse("folder x\n"), None);
        assert_eq!(parse("folder /tmp/x\nnode a 70000\n"), None);
    }
}
