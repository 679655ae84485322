//! The weir binary's parts: configuration, wiring, signals.
//!
//! Owns no logic: [`config`] says what the operator wants, the rest carries it to the crates that
//! can do it.

pub mod config;
pub mod tls;
