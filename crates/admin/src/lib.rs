//! The admin HTTP API: health, metrics, clusters, sessions, pools, statements, explain.
//!
//! Shows what control measured and what policy would decide, and passes operators' wishes on to
//! control. Decides nothing itself; never sees a client's bytes.
//!
//! - [`serve()`] answers on a listener that the caller bound
//! - [`State`] the handles it is given: live rules, commands to control, workers, metrics, readiness
//! - [`explain`](mod@explain) which way a statement would go, and why; the CLI asks the same

mod advice;
mod body;
mod clusters;
pub mod explain;
mod guard;
mod health;
mod metrics;
mod nodes;
mod pools;
mod problem;
mod query;
mod serve;
mod sessions;
mod state;
mod statements;
mod words;

pub use serve::serve;
pub use state::State;
