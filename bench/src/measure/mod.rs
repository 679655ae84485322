//! What pgbench can't tell: latency that hides no waiting, logins, large
//! results, memory, and what a second worker brings.
//!
//! Each module makes one section of the report; all take the peers from
//! [`fleet`] and speak the protocol themselves.

pub mod closed;
pub mod drive;
pub mod fleet;
pub mod grid;
pub mod keys;
pub mod latency;
pub mod logins;
pub mod memory;
pub mod number;
pub mod pace;
pub mod pin;
pub mod process;
pub mod query;
pub mod reply;
pub mod talk;
pub mod transfer;
pub mod workers;

use std::time::{Duration, Instant};

use crate::section::Section;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Runs of each peer in each setting; medians are reported.
    pub rounds: u16,
    /// How long each run lasts.
    pub run: Duration,
    /// Bytes of one large result, in MB (1,000,000 bytes).
    pub megabytes: u32,
    /// Idle clients: few, and many.
    pub idle: [usize; 2],
}

impl Effort {
    /// What a table is made of.
    #[must_use]
    pub fn full() -> Self {
        let run = Duration::from_secs(1);
        Self { rounds: 5, run, megabytes: 64, idle: [2_000, 10_000] }
    }

    /// Just enough to see whether it works.
    #[must_use]
    pub fn quick() -> Self {
        let run = Duration::from_millis(300);
        Self { rounds: 2, run, megabytes: 16, idle: [200, 1_000] }
    }
}

/// What a section is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// [`latency`].
    Latency,
    /// [`logins`].
    Logins,
    /// [`transfer`].
    Transfer,
    /// [`memory`].
    Memory,
    /// [`workers`].
    Workers,
}

/// Measures one part; the `fleet`'s cluster holds so many `accounts` of pgbench's.
#[must_use]
pub fn section(part: Part, fleet: fleet::Fleet<'_>, effort: Effort, accounts: u64) -> Section {
    match part {
        Part::Latency => latency::section(fleet, effort, accounts),
        Part::Logins => logins::section(fleet, effort),
        Part::Transfer => transfer::section(fleet, effort, accounts),
        Part::Memory => memory::section(fleet, effort),
        Part::Workers => workers::section(fleet, effort, accounts),
    }
}

/// The monotonic clock, read here only.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// An error as a sentence for the report.
fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}
