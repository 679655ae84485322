//! The client data path: listener, session loop, pools, relay.
//!
//! Knows sockets and the order in which things happen. Every decision is a call into `wire`, `sql`
//! or `policy`. Does not know YAML, HTTP, or how roles and lag are found out.
//!
//! | file | question |
//! |---|---|
//! | `session.rs` | what happens to a cycle, step by step? |
//! | `intake.rs`, `cycle.rs`, `reading.rs` | where does a cycle end, and what does it say? |
//! | `place.rs` | which server takes it? |
//! | `forward.rs`, `group.rs`, `relay.rs` | how do bytes get there and back? |
//! | `kept.rs` | what if a server is kept while its client is silent? |
//! | `noticed.rs`, `settle.rs` | what does it leave behind? |
//! | `alone.rs` | what does Weir answer itself? |
//! | `pool.rs`, `pools.rs`, `permits.rs` | who may use which server? |
//! | `server.rs`, `login.rs`, `greeting.rs`, `bring.rs` | how is a server opened and brought to a session's settings? |
//! | `schema.rs`, `refresh.rs` | are a client's statements still what it was told? |
//! | `handshake.rs`, `admission.rs`, `places.rs` | how does a client become a session? |
//! | `timers.rs` | how long may a session do what it does? |
//! | `fallback.rs` | may a read take the primary for want of a fresh replica? |
//! | `replication.rs` | what if a client wants to replicate? |
//! | `worker.rs` | what does one thread own? |
//! | `inquiry.rs`, `shown.rs`, `peer.rs` | what may others see of a session, and do to it? |
//! | `error.rs` | what is a client told? |

pub mod config;
pub mod inquiry;

mod admission;
mod alone;
mod bring;
mod buffer;
mod classes;
mod cycle;
mod database;
mod error;
mod fallback;
mod forward;
mod greeting;
mod group;
mod guarded;
mod handshake;
mod intake;
mod kept;
mod learned;
mod login;
mod metrics;
mod notes;
mod noticed;
mod peer;
mod permits;
mod place;
mod places;
mod pool;
mod pools;
mod reading;
mod refresh;
mod relay;
mod replication;
mod schema;
mod scope;
mod server;
mod session;
mod settle;
mod shown;
mod start;
mod stream;
mod timers;
mod token;
mod view;
mod waiting;
mod worker;

pub use start::Proxy;
