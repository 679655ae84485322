//! What can go wrong while a cluster is made or broken.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

/// Why a cluster, or a change to one of its nodes, failed.
///
/// A test unwraps it; the message says what to do or shows the server's log.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// No folder holds all server binaries.
    NotInstalled {
        /// The folders that were looked at.
        tried: Vec<PathBuf>,
    },
    /// Running as root, and there is no OS user `postgres` to run servers as.
    NoServerUser,
    /// A file, folder or process could not be used.
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder for the cluster holds something already.
    FolderInUse {
        /// The folder.
        path: PathBuf,
    },
    /// What was to be removed holds other things than nodes.
    NotACluster {
        /// The folder.
        path: PathBuf,
    },
    /// The folder's path is too long for the socket below it.
    PathTooLong {
        /// The socket folder.
        path: PathBuf,
    },
    /// The cache folder belongs to somebody else.
    ForeignCache {
        /// The folder.
        path: PathBuf,
    },
    /// The port cannot be reserved on 127.0.0.1.
    Port {
        /// The port; 0 stands for any.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// A program ended with a failure.
    Command {
        /// The program's name.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to standard error.
        stderr: String,
    },
    /// A server ended instead of starting.
    NotStarted {
        /// The node.
        node: String,
        /// The end of its log.
        log: String,
    },
    /// Something awaited did not happen in time.
    Timeout {
        /// The node that was watched.
        node: String,
        /// What was awaited.
        event: &'static str,
        /// The end of its log.
        log: String,
    },
    /// The control file of this PostgreSQL version is not understood.
    ControlFile {
        /// The file.
        path: PathBuf,
    },
    /// All node names (`a` to `z`) are taken.
    TooManyNodes,
    /// A server's answer is not what the SQL should give.
    Answer {
        /// What was asked for.
        question: &'static str,
        /// What came.
        answer: String,
    },
    /// A certificate could not be made.
    Certificate(rcgen::Error),
    /// An async connection failed.
    Connect(tokio_postgres::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInstalled { tried } => {
                f.write_str(
                    "PostgreSQL's server binaries were not found; install them \
                     (Debian: apt-get install postgresql) or set PG_BIN to their folder; tried:",
                )?;
                tried.iter().try_for_each(|path| write!(f, " {}", path.display()))
            }
            Self::NoServerUser => f.write_str(
                "PostgreSQL refuses to run as root and there is no OS user `postgres`; \
                 create it or run as an ordinary user",
            ),
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Self::FolderInUse { path } => {
                write!(f, "{} is not empty; choose another folder or remove it", path.display())
            }
            Self::NotACluster { path } => {
                write!(f, "{} holds other things than nodes; remove it by hand", path.display())
            }
            Self::PathTooLong { path } => {
                write!(f, "{} is too long for a Unix socket; choose a shorter one", path.display())
            }
            Self::ForeignCache { path } => {
                write!(f, "{} is not a folder of this user; remove it", path.display())
            }
            Self::Port { port, source } => {
                write!(f, "port {port} on 127.0.0.1: {source}; choose another")
            }
            Self::Command { program, status, stderr } => {
                write!(f, "{}: {status}: {}", program.display(), stderr.trim_end())
            }
            Self::NotStarted { node, log } => write!(f, "node {node} did not start:\n{log}"),
            Self::Timeout { node, event, log } => {
                write!(f, "node {node}: waited in vain for {event}; its log ends:\n{log}")
            }
            Self::ControlFile { path } => {
                write!(f, "{} has an unknown layout", path.display())
            }
            Self::TooManyNodes => f.write_str("a cluster has 26 nodes at most"),
            Self::Answer { question, answer } => write!(f, "{question}: got {answer:?}"),
            Self::Certificate(source) => write!(f, "certificate: {source}"),
            Self::Connect(source) => write!(f, "connect: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } | Self::Port { source, .. } => Some(source),
            Self::Certificate(source) => Some(source),
            Self::Connect(source) => Some(source),
            Self::NotInstalled { .. }
            | Self::NoServerUser
            | Self::FolderInUse { .. }
            | Self::NotACluster { .. }
            | Self::PathTooLong { .. }
            | Self::ForeignCache { .. }
            | Self::Command { .. }
            | Self::NotStarted { .. }
            | Self::Timeout { .. }
            | Self::ControlFile { .. }
            | Self::TooManyNodes
            | Self::Answer { .. } => None,
        }
    }
}

/// Names the path that an I/O error was about.
pub(crate) trait At<T> {
    fn at(self, path: &Path) -> Result<T, Error>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io { path: path.to_owned(), source })
    }
}
