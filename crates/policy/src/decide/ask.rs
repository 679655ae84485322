//! What a decision depends on, besides the topology.

use std::time::{Duration, Instant};

use sql::{Class, Why};

use crate::clock::Ticket;
use crate::lsn::Fence;
use crate::rules::Preferences;
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
    /// What the read must not be older than; asked only under `consistency: session`.
    pub fence: FenceState,
    /// The replica that served this session's last read, for monotonic reads.
    pub last_read: Option<LastRead>,
    /// The clock's newest answer, if the read may wait for the next one.
    pub pace: Option<Pace>,
    /// Now.
    pub now: Instant,
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
    /// The longest that a read waits for its ticket: no longer than it gains by a replica.
    pub const PATIENCE: Duration = Duration::from_millis(2);
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
