//! How a relay ends, and which refusals may be hidden.

use wire::{FrameError, SqlState};

/// Why the relay stopped.
#[derive(Debug)]
pub(crate) enum Event {
    /// All that was sent is answered and the client has all of it.
    Ended,
    /// The client has more messages for the group that is open on the server.
    More,
    /// The server refused the cycle in a way that need not be the last word; the client saw nothing.
    Refused(Refusal),
    /// The client is gone.
    ClientGone,
    /// The server is gone.
    ServerLost,
    /// The server's stream can't be trusted any more.
    Garbled(FrameError),
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ended => f.write_str("the cycle ended"),
            Self::More => f.write_str("the client has more"),
            Self::Refused(Refusal::Node(code)) => write!(f, "refused with {}", code.as_str()),
            Self::Refused(Refusal::Unproven) => f.write_str("a guard failed"),
            Self::Refused(Refusal::StalePlan) => f.write_str("a statement's plan is stale"),
            Self::ClientGone => f.write_str("the client is gone"),
            Self::ServerLost => f.write_str("the server closed the connection"),
            Self::Garbled(error) => write!(f, "{error}"),
        }
    }
}

/// Why a cycle that was refused may be run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Another node may not refuse it.
    Node(SqlState),
    /// A statement was prepared before its tables changed: prepared anew it will run.
    StalePlan,
    /// The replica did not prove that it has passed the fence; it may go on with the read all the same.
    Unproven,
}

/// Which refusals may be hidden, to run the cycle again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Retries {
    /// Those of a node, to run it elsewhere.
    pub(crate) node: bool,
    /// Those for a stale plan.
    pub(crate) stale_plan: bool,
}
