//! What a probe saw, before anyone judges it.

use std::time::{Duration, Instant};

use crate::lag::Xid;
use crate::lsn::{Lsn, Timeline};

/// One probe's answer, read in a single query so that its parts belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// When the query was sent.
    pub sent: Instant,
    /// How long the answer took.
    pub took: Duration,
    /// `pg_control_system().system_identifier`.
    pub system: u64,
    /// `pg_postmaster_start_time()`, microseconds since the epoch of the server.
    pub started: i64,
    /// `server_version_num`, such as 150018.
    pub version: u32,
    /// What the node is doing.
    pub state: Observed,
}

/// The part of an observation that differs between a primary and a standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    /// `pg_is_in_recovery()` is false.
    Writable {
        /// First 8 hex digits of `pg_walfile_name(pg_current_wal_insert_lsn())`.
        timeline: Timeline,
        /// `pg_current_wal_flush_lsn()`.
        flush: Lsn,
        /// What a replica must have replayed to be as fresh as this: see [`Marks`](crate::lag::Marks).
        mark: Lsn,
        /// `pg_snapshot_xmax(pg_current_snapshot())`: all transactions that have ended are below.
        xmax: Xid,
    },
    /// `pg_is_in_recovery()` is true.
    Standby {
        /// `pg_stat_wal_receiver.received_tli`; `None` without a receiver or without `pg_monitor`.
        timeline: Option<Timeline>,
        /// `pg_last_wal_replay_lsn()`; `None` before the first record.
        replay: Option<Lsn>,
        /// `pg_snapshot_xmin(pg_current_snapshot())`: all below have ended here.
        xmin: Xid,
    },
}
