//! A small cluster to decide on: node 0 is the primary on timeline 1, replicas are made by hand.

use std::time::{Duration, Instant};

use sql::{Class, Why};

use super::super::{
    Ask, Decision, FenceState, LastRead, Load, Pace, Reason, RouteFrom, Target, decide,
};
use crate::clock::Ticket;
use crate::lsn::{Fence, Lsn, Position, Timeline};
use crate::rules::{Consistency, Preferences};
use crate::testing::{ms, start};
use crate::topology::{Epoch, Gate, Health, Leader, NodeId, NodeView, Role, Topology};

/// Nobody uses anything.
pub(super) struct Idle;

impl Load for Idle {
    fn busy(&self, _: NodeId) -> u32 {
        0
    }
}

/// A cluster and the question put to it.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) topology: Topology,
    pub(super) wishes: Preferences,
    pub(super) class: Class,
    pub(super) from: RouteFrom,
    pub(super) fence: FenceState,
    pub(super) last_read: Option<LastRead>,
    pub(super) pace: Option<Pace>,
}

impl World {
    /// A primary and these replicas; a read without a fence is asked for, at `session`.
    pub(super) fn new(replicas: impl IntoIterator<Item = NodeView>) -> Self {
        let mut nodes = vec![NodeView { role: Role::Primary, position: None, ..replica(0, 0) }];
        nodes.extend(replicas);
        let leader = Leader::Node { id: NodeId(0), timeline: Timeline(1) };
        // `now` is a minute after the start, so that everything can have been measured before it.
        let now = start() + ms(60_000);
        let mut world = Self {
            now,
            topology: Topology {
                cluster: "main".into(),
                system: None,
                generation: 1,
                epoch: Epoch(1),
                leader,
                nodes,
                sampled: None,
                silent_since: None,
            },
            wishes: Preferences::default(),
            class: Class::Read,
            from: RouteFrom::Config,
            fence: FenceState::Open,
            last_read: None,
            pace: None,
        };
        // Lags were given in milliseconds since the start; now they are since `now`.
        for node in &mut world.topology.nodes {
            node.fresh_at = node.lag_bytes.take().map(|lag| before(now, lag));
            node.observed = Some(now);
        }
        world
    }

    pub(super) fn eventual(mut self) -> Self {
        self.wishes.consistency = Consistency::Eventual;
        self
    }

    pub(super) fn max_lag(mut self, max_lag: Option<Duration>) -> Self {
        self.wishes.max_lag = max_lag;
        self
    }

    pub(super) fn fence(mut self, timeline: u32, lsn: u64) -> Self {
        self.fence = FenceState::Known(Fence { timeline: Timeline(timeline), lsn: Lsn(lsn) });
        self
    }

    pub(super) fn pending(mut self) -> Self {
        self.fence = FenceState::Pending(Ticket(1));
        self
    }

    /// The clock's newest answer covers `lsn` and took so many milliseconds.
    pub(super) fn pace(mut self, lsn: u64, took: u64) -> Self {
        let newest = Fence { timeline: Timeline(1), lsn: Lsn(lsn) };
        self.pace = Some(Pace { newest, took: ms(took) });
        self
    }

    /// The session read from that node, so many milliseconds ago.
    pub(super) fn last_read(mut self, node: u32, ago: u64) -> Self {
        self.last_read = Some(LastRead { node: NodeId(node), answered: before(self.now, ago) });
        self
    }

    pub(super) fn leader(mut self, leader: Leader) -> Self {
        self.topology.leader = leader;
        for node in &mut self.topology.nodes {
            if node.role == Role::Primary {
                node.role = Role::Unknown;
            }
        }
        self
    }

    pub(super) fn missing(self) -> Self {
        let since = self.now;
        self.leader(Leader::Missing { since })
    }

    pub(super) fn wish(mut self, name: &str, value: &str) -> Self {
        self.wishes.set(name, value).unwrap();
        self
    }

    pub(super) fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    pub(super) fn from(mut self, from: RouteFrom) -> Self {
        self.from = from;
        self
    }

    pub(super) fn ask(&self) -> Ask<'_> {
        Ask {
            class: self.class,
            why: Why::ALL[0],
            wishes: &self.wishes,
            route_from: self.from,
            fence: self.fence,
            last_read: self.last_read,
            pace: self.pace,
            guards: None,
            now: self.now,
        }
    }

    pub(super) fn decide(&self) -> Decision {
        decide(&self.ask(), &self.topology, &Idle, 0)
    }

    /// Where and why.
    pub(super) fn goes(&self) -> (Target, Reason) {
        let Decision { target, reason, .. } = self.decide();
        (target, reason)
    }
}

/// An open replica that is up, on timeline 1 at 1000, `lag` milliseconds old; see [`World::new`].
pub(super) fn replica(id: u32, lag: u64) -> NodeView {
    NodeView {
        id: NodeId(id),
        name: format!("n{id}").into(),
        host: "127.0.0.1".into(),
        port: 5432,
        weight: 1,
        version: None,
        role: Role::Replica,
        gate: Gate::Open,
        health: Health::Up,
        position: Some(Position { timeline: Some(Timeline(1)), replay: Lsn(1000) }),
        observed: None,
        fresh_at: None,
        lag_bytes: Some(lag),
        worst_lag: None,
    }
}

/// The same, at another position.
pub(super) fn at(id: u32, timeline: impl Into<Option<u32>>, replay: u64) -> NodeView {
    let timeline = timeline.into().map(Timeline);
    NodeView { position: Some(Position { timeline, replay: Lsn(replay) }), ..replica(id, 0) }
}

/// So many milliseconds before that.
pub(super) fn before(then: Instant, millis: u64) -> Instant {
    then.checked_sub(ms(millis)).unwrap()
}

/// The primary serves.
pub(super) fn primary(reason: Reason) -> (Target, Reason) {
    (Target::Primary(NodeId(0)), reason)
}

/// That replica serves.
pub(super) fn on(node: u32, reason: Reason) -> (Target, Reason) {
    (Target::Replica(NodeId(node)), reason)
}
