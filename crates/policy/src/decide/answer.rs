//! What is decided, in closed sets of words that metrics, logs, explain and tests share.

use std::fmt;
use std::time::Duration;

use sql::Pin;

use crate::guard::Guard;
use crate::lag::Lag;
use crate::lsn::Fence;
use crate::topology::NodeId;

/// Where a cycle goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The primary.
    Primary(NodeId),
    /// A replica.
    Replica(NodeId),
    /// Nowhere yet: wait for the thing named, for this long at most, then decide again.
    Wait(Wait),
    /// Nowhere: tell the client.
    Refuse(Refusal),
}

/// What a cycle waits for before it is decided again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// A primary to appear: bounded by `failover_hold`.
    Primary,
    /// A replica to become fresh enough: bounded by `stale_wait`; after it, the primary serves.
    Fresh,
    /// The answer to the read's ticket: bounded by [`Pace::patience`](super::Pace::patience).
    Ticket,
    /// This long, for replicas to replay what was flushed just now; a guard is likely to pass then.
    Replay(Duration),
}

/// Why a cycle is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// `on_stale: error` and no replica is fresh enough.
    Stale,
    /// `on_no_primary: error` and no primary is reachable.
    NoPrimary,
    /// Two nodes claim to be primary.
    SplitBrain,
    /// `weir.route = replica` and no replica takes reads.
    NoReplica,
}

/// Why a cycle went where it went: metric label, log field, answer of explain and of tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A read, served by a replica that is fresh enough.
    Read,
    /// The statement may write.
    Write,
    /// The statement does not write, yet belongs on the primary.
    PrimaryRead,
    /// A transaction is open on its server.
    Transaction,
    /// The session keeps its server, for this cause.
    Pinned(Pin),
    /// Session pooling: one server for the whole session.
    SessionPool,
    /// A leading comment named the route.
    Hint,
    /// `weir.route` named the route.
    Setting,
    /// The configuration named the route.
    Config,
    /// A write of this scope ended whose position is not known yet.
    FencePending,
    /// No replica has replayed this scope's last write.
    FenceNotReached,
    /// No replica is provably as new as the last read.
    NotMonotonic,
    /// No replica is within `max_lag`.
    TooFarBehind,
    /// No replica is up, open and measured.
    NoReplica,
    /// No primary is reachable: writes wait, reads go on.
    NoPrimary,
    /// Two nodes claim to be primary.
    SplitBrain,
    /// The cycle could not be gathered whole before it had to be routed.
    Undecided,
    /// Weir answered itself.
    Local,
    /// A replica failed or refused the read, which was then run on the primary.
    Retried,
}

/// Where, why, and under which fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    /// Where.
    pub target: Target,
    /// Why.
    pub reason: Reason,
    /// The fence that the chosen replica has passed, if any was asked for.
    pub fence: Option<Fence>,
    /// What the chosen replica must prove before the client sees anything of its answer.
    pub guard: Option<Guard>,
}

/// Whether a node may serve a read, or the first thing against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Eligibility {
    /// It may.
    Eligible,
    /// It is the primary.
    IsPrimary,
    /// Its role is not confirmed.
    RoleUnknown,
    /// An operator drains it.
    Draining,
    /// It does not answer.
    Down,
    /// Its lag was never measured.
    LagUnknown,
    /// Its lag exceeds `max_lag`.
    TooFarBehind,
    /// The session's last write is not answered yet.
    FencePending,
    /// It has not replayed up to the fence.
    FenceNotReached,
    /// It is on another timeline than the fence, or on an unknown one.
    OtherTimeline,
    /// It is not provably as new as the session's last read.
    NotMonotonic,
}

/// One node in an explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The node.
    pub node: NodeId,
    /// How old its data is at most.
    pub lag: Lag,
    /// Bytes behind the primary's newest sample.
    pub lag_bytes: Option<u64>,
    /// Whether it was chosen from, or why not.
    pub eligibility: Eligibility,
}

impl Reason {
    /// The word for it: metric label, log field, `SHOW weir.last_route`.
    ///
    /// The set is closed: [`Reason::ALL`] lists it. A pin is `pinned_` and the pin's own word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::PrimaryRead => "primary_read",
            Self::Transaction => "transaction",
            Self::Pinned(pin) => pinned(pin),
            Self::SessionPool => "session_pool",
            Self::Hint => "hint",
            Self::Setting => "setting",
            Self::Config => "config",
            Self::FencePending => "fence_pending",
            Self::FenceNotReached => "fence_not_reached",
            Self::NotMonotonic => "not_monotonic",
            Self::TooFarBehind => "too_far_behind",
            Self::NoReplica => "no_replica",
            Self::NoPrimary => "no_primary",
            Self::SplitBrain => "split_brain",
            Self::Undecided => "undecided",
            Self::Local => "local",
            Self::Retried => "retried",
        }
    }

    /// Every reason, so that a metric's labels can be made beforehand.
    pub const ALL: [Self; 27] = [
        Self::Read,
        Self::Write,
        Self::PrimaryRead,
        Self::Transaction,
        Self::Pinned(Pin::Listen),
        Self::Pinned(Pin::TemporaryRelation),
        Self::Pinned(Pin::AdvisoryLock),
        Self::Pinned(Pin::HoldCursor),
        Self::Pinned(Pin::Prepare),
        Self::Pinned(Pin::Load),
        Self::Pinned(Pin::SequenceValue),
        Self::Pinned(Pin::SessionSetting),
        Self::Pinned(Pin::Unknown),
        Self::SessionPool,
        Self::Hint,
        Self::Setting,
        Self::Config,
        Self::FencePending,
        Self::FenceNotReached,
        Self::NotMonotonic,
        Self::TooFarBehind,
        Self::NoReplica,
        Self::NoPrimary,
        Self::SplitBrain,
        Self::Undecided,
        Self::Local,
        Self::Retried,
    ];

    /// The place in [`Reason::ALL`], to count by it without a map.
    #[must_use]
    pub fn index(self) -> usize {
        Self::ALL.iter().position(|reason| *reason == self).unwrap_or_default()
    }
}

/// `pinned_` and the pin's own word; a test holds them together.
const fn pinned(pin: Pin) -> &'static str {
    match pin {
        Pin::Listen => "pinned_listen",
        Pin::TemporaryRelation => "pinned_temporary_relation",
        Pin::AdvisoryLock => "pinned_advisory_lock",
        Pin::HoldCursor => "pinned_hold_cursor",
        Pin::Prepare => "pinned_prepare",
        Pin::Load => "pinned_load",
        Pin::SequenceValue => "pinned_sequence_value",
        Pin::SessionSetting => "pinned_session_setting",
        Pin::Unknown => "pinned_unknown",
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Eligibility {
    /// The word for it in explanations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eligible => "eligible",
            Self::IsPrimary => "is_primary",
            Self::RoleUnknown => "role_unknown",
            Self::Draining => "draining",
            Self::Down => "down",
            Self::LagUnknown => "lag_unknown",
            Self::TooFarBehind => "too_far_behind",
            Self::FencePending => "fence_pending",
            Self::FenceNotReached => "fence_not_reached",
            Self::OtherTimeline => "other_timeline",
            Self::NotMonotonic => "not_monotonic",
        }
    }
}

impl fmt::Display for Eligibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Refusal {
    /// The word for it: metric label, log field.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::NoPrimary => "no_primary",
            Self::SplitBrain => "split_brain",
            Self::NoReplica => "no_replica",
        }
    }

    /// What happened and what to do next, for the client.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Stale => {
                "no replica is fresh enough for this read; retry, raise weir.max_lag, or set weir.on_stale to primary"
            }
            Self::NoPrimary => {
                "no primary is reachable; retry once a failover has ended, or set weir.on_no_primary to serve for reads that may be old"
            }
            Self::SplitBrain => {
                "two nodes claim to be primary, so nothing is written; stop or demote one of them, then retry"
            }
            Self::NoReplica => {
                "no replica takes reads; set weir.route to auto to let the primary serve, or bring a replica back"
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}
