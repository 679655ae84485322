//! SCRAM-SHA-256 (RFC 5802, RFC 7677; "SASL Authentication" in the manual).
//!
//! Both sides, as states consumed by value: a step can't be taken twice. Nonces
//! and salts are arguments. Channel binding is not offered.

mod attributes;
mod client;
mod error;
mod keys;
mod server;
mod verifier;

pub use client::{ClientExchange, ClientFinal, Credentials, MAX_ITERATIONS};
pub use error::ScramError;
pub use keys::{ClientKey, ServerKey};
pub use server::ServerExchange;
pub use verifier::Verifier;

/// The mechanism's name in SASL messages and in stored verifiers.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";
