//! A cluster on a stage: nodes say lines, time passes by itself.

use std::time::{Duration, Instant};

use super::super::{Cluster, Event, NodeSpec, Observation, Observed, Timing};
use crate::clock::{Answer, Configured, Ticket};
use crate::lag::Xid;
use crate::lsn::{Lsn, Timeline};
use crate::testing::{ms, start};
use crate::topology::{Epoch, Leader, NodeId, NodeView, Role, Topology};

/// The system identifier that all nodes have, unless one is told another.
pub(super) const SYSTEM: u64 = 7;

/// What a node says, of which system and in which run of its postmaster.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) state: Observed,
    pub(super) system: u64,
    pub(super) started: i64,
}

impl Line {
    /// The same from a later run of the postmaster.
    pub(super) fn run(self, started: i64) -> Self {
        Self { started, ..self }
    }

    /// The same from a node of that system.
    pub(super) fn of(self, system: u64) -> Self {
        Self { system, ..self }
    }
}

/// "I take writes, on this timeline, flushed up to here."
pub(super) fn writable(timeline: u32, flush: u64) -> Line {
    let state = Observed::Writable {
        timeline: Timeline(timeline),
        flush: Lsn(flush),
        mark: Lsn(flush),
        xmax: Xid(u64::MAX),
    };
    Line { state, system: SYSTEM, started: 1 }
}

/// "I replay, from this timeline if I may say so, up to here."
pub(super) fn standby(timeline: impl Into<Option<u32>>, replay: u64) -> Line {
    let timeline = timeline.into().map(Timeline);
    let state = Observed::Standby { timeline, replay: Some(Lsn(replay)), xmin: Xid(0) };
    Line { state, system: SYSTEM, started: 1 }
}

/// A cluster, and a time that moves on by 10 ms before each thing that happens.
pub(super) struct Stage {
    pub(super) cluster: Cluster,
    pub(super) start: Instant,
    pub(super) now: Instant,
    /// How long probes take.
    pub(super) took: Duration,
}

impl Stage {
    /// Members 0, 1, … of which nothing is known.
    pub(super) fn new(members: u16) -> Self {
        let start = start();
        let mut cluster = Cluster::new("main", Timing::default(), start);
        for i in 0..members {
            assert_eq!(cluster.add(spec(i)), Ok(NodeId(u32::from(i))));
        }
        Self { cluster, start, now: start, took: Duration::ZERO }
    }

    /// Node 0 is primary on timeline 1 at 1000, the others follow it and have replayed all.
    pub(super) fn led(members: u16) -> Self {
        let mut stage = Self::new(members);
        stage.says(0, writable(1, 1000));
        for i in 1..u32::from(members) {
            stage.says(i, standby(1, 1000));
        }
        // Those that were heard before the primary was confirmed are measured again.
        stage.says(0, writable(1, 1000));
        assert_eq!(stage.leads(), Some((0, 1)));
        stage
    }

    pub(super) fn wait(&mut self, duration: Duration) {
        self.now += duration;
    }

    /// A probe is answered.
    pub(super) fn says(&mut self, node: u32, line: Line) -> Vec<Event> {
        self.wait(ms(10));
        let Line { state, system, started } = line;
        self.cluster.observe(
            NodeId(node),
            Observation {
                sent: self.now,
                took: self.took,
                system,
                started,
                version: 150_018,
                state,
            },
        )
    }

    /// A probe fails.
    pub(super) fn fails(&mut self, node: u32) -> Vec<Event> {
        self.wait(ms(10));
        self.cluster.failed(NodeId(node), self.now)
    }

    /// As many probes fail as it takes.
    pub(super) fn dies(&mut self, node: u32) -> Vec<Event> {
        let mut events = self.fails(node);
        events.extend(self.fails(node));
        events
    }

    /// The clock's answer in this epoch, on this timeline: insert position, flushed.
    pub(super) fn answers(&mut self, timeline: u32, lsn: u64) {
        self.wait(ms(10));
        let epoch = self.epoch();
        self.cluster.answered(&self.answer(epoch, timeline, lsn));
    }

    pub(super) fn answer(&self, epoch: u64, timeline: u32, lsn: u64) -> Answer {
        Answer {
            through: Ticket(1),
            sent: self.now,
            epoch: Epoch(epoch),
            timeline: Timeline(timeline),
            insert: Lsn(lsn),
            flush: Lsn(lsn),
            mark: Lsn(lsn),
            took: ms(1),
            configured: Configured {
                since: self.now,
                after: Ticket(0),
                loaded: 1,
                covers: Some(Lsn(0)),
            },
        }
    }

    pub(super) fn topology(&mut self) -> Topology {
        self.cluster.topology(self.now)
    }

    /// The primary's newest flush position.
    pub(super) fn flushed(&mut self) -> Option<Lsn> {
        self.topology().sampled.map(|sampled| sampled.flush.lsn)
    }

    /// The primary and its timeline.
    pub(super) fn leads(&mut self) -> Option<(u32, u32)> {
        match self.topology().leader {
            Leader::Node { id, timeline } => Some((id.0, timeline.0)),
            Leader::Missing { .. } | Leader::SplitBrain => None,
        }
    }

    pub(super) fn is_split(&mut self) -> bool {
        self.topology().leader == Leader::SplitBrain
    }

    pub(super) fn epoch(&mut self) -> u64 {
        self.topology().epoch.0
    }

    pub(super) fn view(&mut self, node: u32) -> NodeView {
        self.topology().node(NodeId(node)).unwrap().clone()
    }

    pub(super) fn roles(&mut self) -> Vec<Role> {
        self.topology().nodes.iter().map(|node| node.role).collect()
    }
}

/// A node named `n0`, `n1`, … on a port of its own.
pub(super) fn spec(number: u16) -> NodeSpec {
    NodeSpec {
        name: format!("n{number}").into(),
        host: "127.0.0.1".into(),
        port: 5000 + number,
        weight: 1,
    }
}
