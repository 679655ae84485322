//! One server of a cluster: where it is, what it says.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::conf::{Place, Site, Upstream};
use crate::error::{At, Error};
use crate::port::Reservation;
use crate::wait::{PATIENCE, until};

/// One server; a cheap handle, to be cloned into tasks and threads.
#[derive(Clone, Debug)]
pub struct Node(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) name: String,
    pub(crate) site: Arc<Site>,
    port: Reservation,
    folder: PathBuf,
    upstream: Mutex<Upstream>,
    server: Mutex<Option<Child>>,
}

impl Node {
    /// A node without data yet; its folders are made.
    pub(crate) fn new(name: String, site: Arc<Site>, port: Option<u16>) -> Result<Self, Error> {
        let folder = site.folder.join(&name);
        let sockets = folder.join("sock");
        // unix(7) leaves 108 bytes; the name is `/.s.PGSQL.65535` and a NUL.
        if sockets.as_os_str().len() > 92 {
            return Err(Error::PathTooLong { path: sockets });
        }
        let port = Reservation::of(port)?;
        site.user.make_folder(&folder)?;
        site.user.make_folder(&sockets)?;
        let (upstream, server) = (Mutex::new(Upstream::Nowhere), Mutex::new(None));
        Ok(Self(Arc::new(Inner { name, site, port, folder, upstream, server })))
    }

    /// `a`, `b`, …: also its `cluster_name`, `application_name` and slot.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Always 127.0.0.1.
    #[must_use]
    pub fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    /// Its TCP port; stays the same, and reserved, while the node is down.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port.port()
    }

    /// The folder of its Unix socket; mode 0700.
    #[must_use]
    pub fn socket_folder(&self) -> PathBuf {
        self.0.folder.join("sock")
    }

    /// The data folder; mode 0700.
    #[must_use]
    pub fn data_folder(&self) -> PathBuf {
        self.0.folder.join("data")
    }

    /// A libpq connection string with the test role's password.
    #[must_use]
    pub fn conninfo(&self, user: &str, database: &str) -> String {
        let (host, port, password) = (self.host(), self.port(), self.password(user));
        format!("host={host} port={port} user={user} password={password} dbname={database}")
    }

    /// How the superuser connects to the database `postgres`.
    #[must_use]
    pub fn config(&self) -> tokio_postgres::Config {
        self.config_for("postgres", "postgres")
    }

    /// How a test role connects to a database.
    #[must_use]
    pub fn config_for(&self, user: &str, database: &str) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host(self.host()).port(self.port()).user(user).dbname(database);
        config.password(self.password(user));
        config
    }

    /// Connects a test role, and spawns the connection onto the runtime.
    ///
    /// Cancel-safe: a call that is dropped leaves no connection behind.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] with the server's or the network's words.
    pub async fn connect(
        &self,
        user: &str,
        database: &str,
    ) -> Result<tokio_postgres::Client, Error> {
        let config = self.config_for(user, database);
        let (client, connection) =
            config.connect(tokio_postgres::NoTls).await.map_err(Error::Connect)?;
        // Its error reaches the client's calls; the task ends with the client.
        drop(tokio::spawn(connection));
        Ok(client)
    }

    /// Runs SQL as superuser in the database `postgres`.
    ///
    /// Rows come back unaligned (`a|b`), one a line, without a last newline.
    /// Statements run one by one, each its own transaction.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] with psql's words when a statement fails; the ones
    /// before it stay done.
    pub fn psql(&self, sql: &str) -> Result<String, Error> {
        self.psql_in("postgres", sql)
    }

    /// Runs SQL as superuser in another database; see [`Node::psql`].
    ///
    /// # Errors
    ///
    /// As [`Node::psql`].
    pub fn psql_in(&self, database: &str, sql: &str) -> Result<String, Error> {
        let program = self.0.site.binaries.program("psql");
        let mut psql = self.0.site.user.command(&program, &self.0.folder);
        psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-f", "-", "-d", database]);
        psql.arg("-h").arg(self.socket_folder()).arg("-p").arg(self.port().to_string());
        psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = psql.spawn().at(&program)?;
        let pipe = child.stdin.take();
        let output = thread::scope(|scope| {
            // Written aside: psql may answer much before it has read all.
            scope.spawn(move || pipe.map(|mut pipe| pipe.write_all(sql.as_bytes())));
            child.wait_with_output()
        });
        let output = output.at(&program)?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Error::Command { program, status: output.status, stderr });
        }
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.ends_with('\n') {
            text.pop();
        }
        Ok(text)
    }

    /// Says whether the server is a standby.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] when it cannot be asked.
    pub fn is_in_recovery(&self) -> Result<bool, Error> {
        Ok(self.psql("SELECT pg_is_in_recovery()")? == "t")
    }

    /// Says whether the server's process lives.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let mut server = self.server();
        server.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// The whole server log.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] before the first start.
    pub fn log(&self) -> Result<String, Error> {
        let path = self.0.folder.join("log");
        fs::read(&path).at(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0.folder
    }

    pub(crate) fn log_end(&self) -> String {
        let log = self.log().unwrap_or_default();
        let mut lines: Vec<_> = log.lines().rev().take(20).collect();
        lines.reverse();
        lines.join("\n")
    }

    pub(crate) fn server(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.0.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_upstream(&self, upstream: Upstream) {
        *self.0.upstream.lock().unwrap_or_else(PoisonError::into_inner) = upstream;
    }

    /// Writes the server's configuration; it takes effect at reload or start.
    pub(crate) fn configure(&self) -> Result<(), Error> {
        let upstream = *self.0.upstream.lock().unwrap_or_else(PoisonError::into_inner);
        let sockets = self.socket_folder();
        let (name, port, sockets) = (self.name(), self.port(), sockets.to_string_lossy());
        let place = Place { name, port, sockets: &sockets, upstream };
        let (site, data) = (&self.0.site, self.data_folder());
        site.user.write(&data.join("postgresql.conf"), &site.postgresql_conf(&place))?;
        site.user.write(&data.join("pg_hba.conf"), &site.pg_hba_conf())
    }

    /// Asks until `sql` answers `wanted`.
    pub(crate) fn wait_for(
        &self,
        sql: &str,
        wanted: &str,
        event: &'static str,
    ) -> Result<(), Error> {
        let seen = until(PATIENCE, || Ok((self.psql(sql)? == wanted).then_some(())))?;
        seen.ok_or_else(|| self.timeout(event))
    }

    pub(crate) fn timeout(&self, event: &'static str) -> Error {
        Error::Timeout { node: self.name().to_owned(), event, log: self.log_end() }
    }

    fn password<'a>(&'a self, user: &'a str) -> &'a str {
        if user == "postgres" { &self.0.site.superuser_password } else { user }
    }
}
