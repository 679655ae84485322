//! Metric primitives and tracing set-up; no Postgres words.
//!
//! Knows how to count, how to print counts for Prometheus and where logs go. Does not know what is
//! counted: names, labels and meaning belong to the crates that count. Nothing here is global
//! except the log subscriber, which `tracing` keeps one of per process.
//!
//! - [`Counter`], [`Gauge`], [`Histogram`]: one instance per worker, summed when scraped
//! - [`Exposition`]: the Prometheus text format; [`Collect`] is who has something to say in it
//! - [`init`]: logs to stderr as text or JSON

mod collect;
mod exposition;
mod histogram;
mod log;
mod number;

pub use collect::Collect;
pub use exposition::{Exposition, Family, Kind, Value};
pub use histogram::{Histogram, Totals};
pub use log::{InitError, LogFormat, check_filter, init};
pub use number::{Counter, Gauge};
