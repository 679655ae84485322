//! Every routing decision and all meaning of a session, as total functions of values and `now`.
//!
//! Nothing here waits, reads a clock, draws a random number or logs: callers pass `now` and
//! `draw`, and carry out what is answered. Read in this order:
//!
//! | module | question |
//! |---|---|
//! | [`lsn`] | what is a position in the WAL, and a fence? |
//! | [`lag`] | how old is what a replica shows, without comparing clocks? |
//! | [`clock`] | which fence covers a write that just ended? |
//! | [`token`] | what is a fence worth that another session was told? |
//! | [`guard`] | when is a proof that travels with the read worth trying, and did it hold? |
//! | [`cluster`] | what do probes say: who is primary, which node is healthy? |
//! | [`topology`] | the answer of `cluster`, as routing sees it |
//! | [`rules`] | what did the operator and the session ask for? |
//! | [`share`] | how much of the primary may reads take that no replica can serve? |
//! | [`decide`](mod@decide) | which node serves this cycle, and why? |
//! | [`session`] | what must a session remember between cycles? |
//! | [`settings`] | which settings does a session have, and how is a server brought to them? |
//! | [`reports`] | what do servers report of themselves, and what was the client told? |
//! | [`signal`] | what does the data path tell control? |
//! | [`standby`] | what must a standby not be asked, and when is its refusal not the last word? |
//! | [`replies`] | which reply belongs to which message? |
//! | [`prepared`] | which statements does a client, and a server, know? |

#![cfg_attr(
    test,
    expect(clippy::arithmetic_side_effects, reason = "an overflow fails the test, as it should")
)]

pub mod clock;
pub mod cluster;
pub mod decide;
pub mod guard;
pub mod lag;
pub mod lsn;
pub mod prepared;
pub mod replies;
pub mod reports;
pub mod rules;
pub mod session;
pub mod settings;
pub mod share;
pub mod signal;
pub mod standby;
pub mod sweep;
#[cfg(test)]
mod testing;
pub mod token;
pub mod topology;

pub use clock::{Answer, Answers, Configured, Ticket, Tickets, Wal};
pub use decide::{
    Ask, Candidate, Decision, Eligibility, FenceState, Guarding, LastRead, Load, Pace, Reason,
    Refusal, RouteFrom, Target, Wait, candidates, decide, eligibility,
};
pub use guard::{Guard, Guards, Proof};
pub use lag::{Lag, Ring};
pub use lsn::{Fence, Lsn, Position, Timeline};
pub use rules::{Consistency, OnNoPrimary, OnStale, PreferenceError, Preferences, Route, Scope};
pub use share::{NoShare, Share};
pub use signal::Signal;
pub use sweep::Sweep;
pub use token::{NoToken, Token, TokenVerdict};
pub use topology::{Epoch, Gate, Health, Leader, NodeId, NodeView, Role, Sampled, Topology};
