//! What a decision depends on, besides the topology.

use std::time::{Duration, Instant};

use sql::{Class, Why};

use crate::clock::{Answers, Ticket};
use crate::guard::Guards;
use crate::lsn::Fence;
use crate::rules::{Consistency, Preferences};
use crate::topology::NodeId;

/// All that a decision depends on, besides the topology.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// The strongest class of all that the cycle says.
    pub class: Class,
    /// Why it is that class; explained with the decision, never decided by.
    pub why: Why,
    /// Configuration, session and hint, resolved for this cycle.
    pub wishes: &'a Preferences,
    /// Where `wishes.route` came from, for the reason.
    pub route_from: RouteFrom,
    /// What the read must not be older than: [`Session::fence`](crate::session::Session::fence) of its level.
    pub fence: FenceState,
    /// The replica that served this session's last read, for monotonic reads.
    pub last_read: Option<LastRead>,
    /// The clock's newest answer, if the read may wait for the next one.
    pub pace: Option<Pace>,
    /// What is known of guards, if the read may carry one.
    pub guards: Option<Guarding<'a>>,
    /// Now.
    pub now: Instant,
}

/// What a guard rests on.
#[derive(Debug, Clone, Copy)]
pub struct Guarding<'a> {
    /// How likely each replica has what was flushed lately.
    pub odds: &'a Guards,
    /// What the clock was answered lately: since when WAL was flushed.
    pub answers: &'a Answers,
    /// How long the read has waited so far.
    pub waited: Duration,
}

/// How the LSN clock goes, to tell whether a pending ticket is worth waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// What the newest answer covers.
    pub newest: Fence,
    /// How long it took.
    pub took: Duration,
}

impl Pace {
    /// The longest that a read waits for its ticket and for a replica to replay, all in all.
    ///
    /// The clock's floor, its way to the primary, and the delay of a replica in the same place, with some
    /// room. A read that falls back to the primary takes a ticket there and so draws the next one after it.
    pub const PATIENCE: Duration = Duration::from_millis(4);

    /// The same under `strong`, where every read needs a ticket.
    pub const STRONG_PATIENCE: Duration = Duration::from_millis(10);

    /// The longest that a read waits on a replica's server, which serves nobody else meanwhile.
    pub const MOST_ON_A_SERVER: Duration = Duration::from_millis(100);

    /// How long a read of this level waits.
    #[must_use]
    pub const fn patience(level: Consistency) -> Duration {
        match level {
            Consistency::Eventual | Consistency::Session => Self::PATIENCE,
            Consistency::Strong => Self::STRONG_PATIENCE,
        }
    }
}

/// Which layer set the route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RouteFrom {
    /// Configuration or default.
    Config,
    /// `SET weir.route` or a startup option.
    Session,
    /// A leading comment.
    Hint,
}

/// What is known of a session's fence at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FenceState {
    /// Nothing was written.
    Open,
    /// Reads must not be older than this.
    Known(Fence),
    /// A write ended and its ticket is not answered yet.
    Pending(Ticket),
}

/// Where and when a session's last read was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRead {
    /// The replica that answered.
    pub node: NodeId,
    /// When its last answer was read.
    pub answered: Instant,
}
