//! One running Weir.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use testkit::Cluster;

use crate::{Answer, eventually, http, now};

/// The bearer token of every rig.
const TOKEN: &str = "a-token-for-tests";

/// What a test changes of the configuration; each part is YAML of its own section.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Under `pool:`.
    pub pool: Vec<(&'static str, String)>,
    /// Under `reads:`.
    pub reads: Vec<(&'static str, String)>,
    /// Under `tls:`.
    pub tls: Vec<(&'static str, String)>,
    /// Further sections, whole.
    pub more: String,
    /// The whole section `auth`, instead of SCRAM with every test role.
    pub users: Option<String>,
    /// Nodes that Weir is not told of, by name.
    pub without: Vec<String>,
    /// `trust` instead of SCRAM.
    pub trust: bool,
    /// Variables in Weir's environment.
    pub environment: Vec<(&'static str, String)>,
}

impl Config {
    /// The file's text.
    fn text(&self, cluster: &Cluster) -> String {
        let mut out = String::from("listen: 127.0.0.1:0\n");
        writeln!(out, "admin: {{ listen: 127.0.0.1:0, token: {TOKEN} }}").unwrap_or_default();
        if let Some(users) = &self.users {
            out.push_str(users);
        } else if self.trust {
            out.push_str("auth: { method: trust }\n");
        } else {
            out.push_str("auth:\n  method: scram-sha-256\n  users:\n");
            for user in ["app", "postgres", "md5user", "plainuser"] {
                writeln!(out, "    {user}: {{ password: {user} }}").unwrap_or_default();
            }
        }
        for (name, pairs) in [("pool", &self.pool), ("reads", &self.reads), ("tls", &self.tls)] {
            if !pairs.is_empty() {
                writeln!(out, "{name}:").unwrap_or_default();
                for (key, value) in pairs {
                    writeln!(out, "  {key}: {value}").unwrap_or_default();
                }
            }
        }
        out.push_str("clusters:\n  main:\n    nodes:\n");
        for node in
            cluster.nodes().iter().filter(|node| !self.without.contains(&node.name().to_owned()))
        {
            let (name, host, port) = (node.name(), node.host(), node.port());
            writeln!(out, "      - {{ name: {name}, host: {host}, port: {port} }}")
                .unwrap_or_default();
        }
        out.push_str("    monitor: { user: weir_monitor, password: weir_monitor }\n");
        if !self.more.contains("databases:") {
            out.push_str("databases:\n  \"*\": { cluster: main }\n");
        }
        out.push_str(&self.more);
        out
    }
}

/// A running Weir; ended when dropped.
#[derive(Debug)]
pub struct Weir {
    child: Child,
    folder: PathBuf,
    sql: u16,
    admin: u16,
}

impl Weir {
    /// Starts `binary` in front of `cluster` and waits until it is ready: every node known, and
    /// the catalog of the database `app` loaded.
    ///
    /// # Panics
    ///
    /// When it does not become ready; its log is shown.
    #[must_use]
    pub fn start(binary: &str, cluster: &Cluster, config: &Config) -> Self {
        let weir = Self::launch(binary, cluster, config);
        weir.wait_ready(config);
        weir
    }

    /// Starts `binary` and waits only until it listens: its nodes may be unreachable.
    ///
    /// # Panics
    ///
    /// When it does not listen; its log is shown.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its Weir has failed")]
    pub fn launch(binary: &str, cluster: &Cluster, config: &Config) -> Self {
        let folder = folder_for_weir(cluster).expect("a folder for the configuration");
        let file = folder.join("config.yaml");
        std::fs::write(&file, config.text(cluster)).expect("the configuration is written");
        let ports = folder.join("ports.json");
        let log = File::create(folder.join("log")).expect("a log file");
        let child = Command::new(binary)
            .args(["serve", "-c"])
            .arg(&file)
            .arg("--ports-file")
            .arg(&ports)
            .envs(config.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Weir starts");
        let mut weir = Self { child, folder, sql: 0, admin: 0 };
        weir.wait_listening(&ports);
        weir
    }

    #[expect(clippy::expect_used, reason = "a test without its Weir has failed")]
    fn wait_listening(&mut self, ports: &Path) {
        let since = now();
        loop {
            let ended = self.child.try_wait().expect("the child can be asked");
            let late = since.elapsed() > Duration::from_secs(20);
            assert!(ended.is_none() && !late, "Weir is not ready ({ended:?}):\n{}", self.log());
            if let Some((sql, admin)) = read_ports(ports) {
                (self.sql, self.admin) = (sql, admin);
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn wait_ready(&self, config: &Config) {
        if config.more.contains("clusters") {
            return;
        }
        eventually(
            "the catalog is loaded and the lag of all replicas is known",
            Duration::from_secs(20),
            || {
                let answer = self.explain("app", "SELECT 1");
                answer.status == 200 && {
                    let known = answer.json();
                    let fresh = |node: &serde_json::Value| {
                        node["eligibility"] != "lag_unknown"
                            && node["eligibility"] != "role_unknown"
                            && node["eligibility"] != "down"
                    };
                    known["class"] == "read"
                        && known["candidates"]
                            .as_array()
                            .is_some_and(|nodes| nodes.iter().all(fresh))
                }
            },
        );
    }

    /// The port for SQL.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.sql
    }

    /// The admin API's port.
    #[must_use]
    pub fn admin_port(&self) -> u16 {
        self.admin
    }

    /// Its process ID.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// The folder of its configuration, for files of a test's own.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Asks the admin API, with the token.
    #[must_use]
    pub fn admin(&self, line: &str, body: &str) -> Answer {
        http(self.admin, line, Some(TOKEN), body)
    }

    /// Where a statement would go.
    #[must_use]
    pub fn explain(&self, database: &str, sql: &str) -> Answer {
        let body = serde_json::json!({ "database": database, "sql": sql });
        self.admin("POST /v1/explain", &body.to_string())
    }

    /// How a test role connects.
    #[must_use]
    pub fn config(&self, user: &str, database: &str) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.sql).user(user).password(user).dbname(database);
        config
    }

    /// A client as `app` in the database `app`, driven by the runtime.
    ///
    /// # Panics
    ///
    /// When it can't log in.
    pub async fn client(&self) -> tokio_postgres::Client {
        self.connect(&self.config("app", "app")).await
    }

    /// A client of this configuration, driven by the runtime.
    ///
    /// # Panics
    ///
    /// When it can't log in.
    #[expect(clippy::expect_used, reason = "a test without its client has failed")]
    pub async fn connect(&self, config: &tokio_postgres::Config) -> tokio_postgres::Client {
        let connected = config.connect(tokio_postgres::NoTls).await;
        let (client, connection) = connected.expect("the client logs in");
        drop(tokio::spawn(connection));
        client
    }

    /// A command of PostgreSQL's, pointed at Weir as `app`.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.sql.to_string())
            .env("PGUSER", "app")
            .env("PGPASSWORD", "app")
            .env("PGDATABASE", "app")
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        command
    }

    /// Resident memory, bytes.
    #[must_use]
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most memory that was ever resident, bytes.
    #[must_use]
    pub fn peak_resident(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, key: &str) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let kilobytes =
            line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kilobytes.unwrap_or(0).saturating_mul(1024)
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.pid().to_string()]).status();
        drop(sent);
    }

    /// Writes another configuration and tells Weir to read it; waits until it has.
    ///
    /// # Panics
    ///
    /// When it is neither taken nor refused in time.
    pub fn reload(&self, cluster: &Cluster, config: &Config) {
        self.reload_text(&config.text(cluster));
    }

    /// The same with a file's text, which may be wrong.
    ///
    /// # Panics
    ///
    /// As [`Weir::reload`].
    #[expect(clippy::expect_used, reason = "a test without its configuration has failed")]
    pub fn reload_text(&self, text: &str) {
        let answers = |log: &str| log.matches("reload").count();
        let before = answers(&self.log());
        std::fs::write(self.folder.join("config.yaml"), text).expect("the file is written");
        self.signal("HUP");
        eventually("the reload is logged", Duration::from_secs(5), || {
            answers(&self.log()) > before
        });
    }

    /// Waits until the process has ended, and says whether it ended well.
    ///
    /// # Panics
    ///
    /// When it does not end in time.
    pub fn wait_ended(&mut self, limit: Duration) -> bool {
        let mut ended = None;
        eventually("Weir ends", limit, || {
            ended = self.child.try_wait().ok().flatten();
            ended.is_some()
        });
        ended.is_some_and(|status| status.success())
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        if std::thread::panicking() {
            drop(io::Write::write_all(&mut io::stderr(), self.log().as_bytes()));
        }
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// A folder beside the cluster's, which the cluster's own user need not enter.
fn folder_for_weir(cluster: &Cluster) -> io::Result<PathBuf> {
    let name = cluster.folder().file_name().unwrap_or_default().to_owned();
    let mut number = 0_u32;
    loop {
        let mut name = name.clone();
        name.push(format!("-weir-{}-{number}", std::process::id()));
        let folder = std::env::temp_dir().join(name);
        match std::fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                number = number.saturating_add(1);
            }
            Err(error) => return Err(error),
        }
    }
}

fn read_ports(file: &Path) -> Option<(u16, u16)> {
    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
    let port = |name: &str| json[name].as_u64().and_then(|port| u16::try_from(port).ok());
    Some((port("sql")?, port("admin")?))
}
