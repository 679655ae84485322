//! Real PostgreSQL clusters on loopback for tests and people.
//!
//! Knows how to make, break and remove clusters; knows nothing of Weir.
//! Linux only: processes are found through `/proc`. PostgreSQL 14 or newer.
//!
//! ```no_run
//! use std::time::Duration;
//! use testkit::Cluster;
//!
//! # fn main() -> Result<(), testkit::Error> {
//! let cluster = Cluster::builder().replicas(2).start()?;
//! let (a, b) = (cluster.primary().clone(), cluster.replicas()[0].clone());
//!
//! a.psql("CREATE TABLE t (id int); INSERT INTO t VALUES (1)")?;
//! cluster.wait_caught_up(&b, Duration::from_secs(5))?;
//! assert_eq!(b.psql("SELECT id FROM t")?, "1");
//!
//! b.pause_replay()?; // b stays in the past …
//! b.resume_replay()?;
//!
//! a.kill()?; // … or the primary dies, as by `kill -9`,
//! b.promote()?; // another takes over,
//! a.rejoin(&b)?; // and the dead one comes back as its standby.
//! # Ok(())
//! # }
//! ```
//!
//! The calls block and use no runtime, so they work in plain tests and in
//! `#[tokio::test]` alike; [`Node::connect`] is the async way to a server.
//!
//! **Roles** (password = name): `postgres` superuser, `app` owner of the
//! database `app`, `weir_monitor` with `pg_monitor`, `md5user` stored as md5,
//! `plainuser` asked for its password in clear text. Over TCP they log in by
//! SCRAM-SHA-256 unless said otherwise or [`Builder::trust`] was called.
//!
//! **Nothing stays behind.** A watchdog process holds the read end of a pipe
//! whose write end lives in the owner. However the owner ends (drop, panic,
//! Ctrl-C, SIGKILL), the pipe closes, and the watchdog kills the servers and
//! removes the folder. [`Cluster::detach`] sends it away instead.

mod binaries;
mod builder;
mod cluster;
mod conf;
mod detached;
mod error;
mod faults;
mod identity;
mod node;
mod port;
mod reaper;
mod template;
mod tls;
mod user;
mod wait;

pub use binaries::Binaries;
pub use builder::Builder;
pub use cluster::Cluster;
pub use detached::{Detached, DetachedNode};
pub use error::Error;
pub use faults::Stop;
pub use node::Node;
pub use user::ServerUser;
