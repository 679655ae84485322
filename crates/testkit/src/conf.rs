//! What the nodes of one cluster share, and the files that tell a server so.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::binaries::Binaries;
use crate::user::ServerUser;

/// How clients log in over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Auth {
    Scram,
    Trust,
}

/// Whether data may be lost when the machine (not the server) dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    Fast,
    Durable,
}

/// What all nodes of a cluster have in common.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) binaries: Binaries,
    pub(crate) user: ServerUser,
    pub(crate) folder: PathBuf,
    pub(crate) auth: Auth,
    pub(crate) durability: Durability,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) hba: Vec<String>,
    pub(crate) superuser_password: String,
    pub(crate) synchronous: Option<usize>,
    /// Where primaries put the segments that they have filled.
    pub(crate) archive: Option<PathBuf>,
    /// The folder with `ca.pem`, `server.pem` and `server.key`.
    pub(crate) tls: Option<PathBuf>,
    pub(crate) members: Mutex<Members>,
}

/// What changes while a cluster runs.
#[derive(Debug, Default)]
pub(crate) struct Members {
    pub(crate) names: Vec<String>,
    pub(crate) primary: String,
}

/// One server's own part of its configuration.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) name: &'a str,
    pub(crate) port: u16,
    pub(crate) sockets: &'a str,
    pub(crate) upstream: Upstream,
}

/// Where a standby gets its WAL from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upstream {
    /// From nowhere: a primary, or a standby that was cut off.
    Nowhere,
    /// By streaming from the server on this port.
    Server(u16),
    /// From the archive, a whole segment at a time.
    Archive,
}

/// Room for the tests' pools; retries that wait for a test, not for 5 s; shared
/// memory below the data folder, since a kill would leave it in `/dev/shm`.
const COMMON: &str = "\
listen_addresses = '127.0.0.1'
max_connections = 200
shared_buffers = 32MB
wal_level = replica
wal_log_hints = on
max_wal_senders = 20
max_replication_slots = 20
max_slot_wal_keep_size = 4GB
hot_standby = on
wal_retrieve_retry_interval = 100ms
dynamic_shared_memory_type = mmap
log_line_prefix = '%m [%p] %u@%d '
timezone = 'UTC'
log_timezone = 'UTC'
";

/// A machine that dies takes the test with it; and `kill -9` needs no fsync.
const FAST: &str = "fsync = off\n";

impl Site {
    /// Reads or changes the membership; a panicked test must not stop the rest.
    pub(crate) fn with_members<T>(&self, f: impl FnOnce(&mut Members) -> T) -> T {
        f(&mut self.members.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The node's `postgresql.conf`; `postgresql.auto.conf` is left to `ALTER SYSTEM`.
    pub(crate) fn postgresql_conf(&self, place: &Place<'_>) -> String {
        let mut text = String::from(COMMON);
        if self.durability == Durability::Fast {
            text.push_str(FAST);
        }
        let mut set = |name: &str, value: &str| {
            let value = value.replace('\'', "''");
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name} = '{value}'");
        };
        set("cluster_name", place.name);
        set("port", &place.port.to_string());
        set("unix_socket_directories", place.sockets);
        let archive = self.archive.as_ref().map(|folder| folder.to_string_lossy());
        if let Some(folder) = &archive {
            set("archive_mode", "on");
            // A standby must not find half a segment.
            let file = format!("{folder}/%f");
            set("archive_command", &format!("cp %p {file}.part && mv {file}.part {file}"));
        }
        match (place.upstream, &archive) {
            (Upstream::Server(port), _) => {
                let name = place.name;
                let source = format!(
                    "host=127.0.0.1 port={port} user=replicator application_name={name} \
                     connect_timeout=10"
                );
                set("primary_conninfo", &source);
                set("primary_slot_name", name);
            }
            (Upstream::Archive, Some(folder)) => {
                set("restore_command", &format!("cp {folder}/%f %p"));
            }
            (Upstream::Archive, None) | (Upstream::Nowhere, _) => {}
        }
        if let Some(needed) = self.synchronous {
            set("synchronous_commit", "on");
            set("synchronous_standby_names", &self.synchronous_standbys(place.name, needed));
        }
        if let Some(folder) = &self.tls {
            set("ssl", "on");
            set("ssl_cert_file", &folder.join("server.pem").to_string_lossy());
            set("ssl_key_file", &folder.join("server.key").to_string_lossy());
        }
        for (name, value) in &self.settings {
            set(name, value);
        }
        text
    }

    fn synchronous_standbys(&self, own: &str, needed: usize) -> String {
        let others = self.with_members(|members| {
            let others = members.names.iter().filter(|name| *name != own).cloned();
            others.collect::<Vec<_>>().join(", ")
        });
        if others.is_empty() { String::new() } else { format!("ANY {needed} ({others})") }
    }

    /// The node's `pg_hba.conf`: the first line that matches decides.
    pub(crate) fn pg_hba_conf(&self) -> String {
        let mut lines: Vec<&str> = self.hba.iter().map(String::as_str).collect();
        lines.extend(["local all all trust", "host replication replicator 127.0.0.1/32 trust"]);
        match self.auth {
            Auth::Trust => lines.extend([
                "host all all 127.0.0.1/32 trust",
                "host replication all 127.0.0.1/32 trust",
            ]),
            Auth::Scram => lines.extend([
                "host all plainuser 127.0.0.1/32 password",
                "host all md5user 127.0.0.1/32 md5",
                "host all all 127.0.0.1/32 scram-sha-256",
                "host replication all 127.0.0.1/32 scram-sha-256",
            ]),
        }
        lines.push("");
        lines.join("\n")
    }
}
