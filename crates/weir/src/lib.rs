//! The weir binary's parts: configuration, wiring, signals.
//!
//! Owns no logic: [`config`] says what the operator wants, the rest carries it to the crates that
//! can do it.
//!
//! | module | part |
//! |---|---|
//! | [`cli`] | what was typed |
//! | [`config`] | `config.yaml` to what it means, or to all its mistakes |
//! | [`clusters`] | the channels between the data path and control, and control's tasks |
//! | [`live`] | settings to what the data path reads at each cycle |
//! | [`reload`] | what a changed file changes, and what must wait for a restart |
//! | [`serve`] | `weir serve`: start, signals, shutdown |
//! | [`check`] | `weir check` |
//! | [`explain`] | `weir explain` |
//! | [`classify`] | `weir classify` |
//! | [`tls`] | certificates to rustls configurations |

pub mod check;
pub mod classify;
pub mod cli;
pub mod clusters;
pub mod config;
pub mod explain;
pub mod live;
pub mod reload;
pub mod serve;
mod signals;
pub mod tls;
