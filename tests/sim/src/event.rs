//! What is going to happen, in the order of virtual time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use policy::cluster::Observed;
use policy::{Answer, Epoch, Fence};

use crate::bits::Bits;
use crate::fault::Fault;
use crate::wal::Micros;

/// What will happen.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// Nodes and their WAL.
    Node(OfNode),
    /// Weirs: probes, clocks.
    Weir(usize, OfWeir),
    /// Clients and their cycles.
    Client(usize, OfClient),
    /// Something breaks, or is mended.
    Fault(Fault),
    /// Somebody who goes past Weir commits.
    Stranger,
}

/// On a node, in a run of it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OfNode {
    /// The WAL writer wakes up.
    WalWriter { node: usize, run: u64 },
    /// WAL of another node arrives.
    Receive { node: usize, run: u64, from: (usize, u64), branch: usize, lsn: u64 },
    /// Replay makes a step.
    Replay { node: usize, run: u64 },
    /// A commit shows, since its WAL is on disk or a standby has confirmed it.
    Commit { node: usize, run: u64, commit: usize, cycle: Option<Cycle>, step: CommitStep },
}

/// How far a commit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitStep {
    /// Its WAL is on disk.
    Flushed,
    /// Others see it.
    Visible,
}

/// A cycle of a client, of all that it ever began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cycle {
    pub(crate) client: usize,
    pub(crate) number: usize,
}

/// In a Weir.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OfWeir {
    /// Probes may be due.
    Dispatch,
    /// A probe gets to its node.
    ProbeArrives { node: usize, number: u64, sent: Micros },
    /// Its answer, or its failure, is there.
    ProbeEnds { node: usize, number: u64, outcome: Option<Observation> },
    /// The clock does what it planned, unless something came between.
    Clock { number: u64, step: ClockStep },
    /// The owner hears that there are new answers.
    AnswersHeard,
    /// The owner hears of the data path that a connection to this node broke, or that it is promoted.
    Lost(usize),
    /// The owner hears of the clock that it lost this node.
    ClockLost(usize),
}

/// What a node says to a probe.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observation {
    pub(crate) sent: Micros,
    pub(crate) system: u64,
    pub(crate) started: i64,
    pub(crate) state: Observed,
}

/// What the clock plans.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ClockStep {
    Connect,
    Ask,
    /// The pause between two questions is over.
    Rest,
    Arrives {
        asked: Asked,
    },
    Answered {
        answer: Answer,
    },
    Failed,
}

/// A question under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) through: policy::Ticket,
    pub(crate) sent: Micros,
}

/// Of a client.
#[derive(Debug, Clone)]
pub(crate) enum OfClient {
    /// It begins its next cycle.
    Begins,
    /// A cycle that waited is decided again.
    Again { number: usize, wait: u64 },
    /// It waited as long as it may.
    Overdue { number: usize, wait: u64 },
    /// A server was opened for the cycle, or one was idle: off it goes.
    Sends { number: usize, to: Sent },
    /// The cycle gets to its server.
    Arrives { number: usize, to: Sent },
    /// The read behind a guard takes its snapshot.
    Snapshot { number: usize, to: Sent, value: Option<String> },
    /// A guard waits for its replica, until then.
    Looks { number: usize, to: Sent, until: Micros },
    /// The answer is there.
    Ends { number: usize, end: End },
    /// A token of another session.
    Token { fence: Fence, system: u64, stands_for: Bits },
}

/// Over which connection a cycle goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) node: usize,
    /// The run of the node that the connection is to.
    pub(crate) run: u64,
    pub(crate) primary: bool,
    pub(crate) epoch: Epoch,
    /// When it was opened, and what of `synchronous_commit` it was opened with.
    pub(crate) opened: Micros,
    pub(crate) default: Default,
}

/// What a server's sessions have for `synchronous_commit` where they don't say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Default {
    /// What the configuration says; it said so when the server was opened.
    Configured { off: bool },
    /// `off`, by what the role has of its own.
    RoleOff,
}

/// What a server answered.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// Rows, of a snapshot that showed these commits.
    Rows { shown: Bits, of_primary: bool },
    /// It is done; a commit, if it was one.
    Done { commit: Option<usize> },
    /// A standby may not write (25006).
    ReadOnly,
    /// The connection broke.
    Broken,
    /// A guard's position, and what its read showed.
    Guarded { value: Option<String>, shown: Bits },
}

struct Entry {
    at: Micros,
    number: u64,
    event: Event,
}

/// All that will happen.
#[derive(Default)]
pub(crate) struct Queue {
    entries: BinaryHeap<Entry>,
    number: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at: Micros, event: Event) {
        self.number += 1;
        self.entries.push(Entry { at, number: self.number, event });
    }

    /// The next, and when.
    pub(crate) fn pop(&mut self) -> Option<(Micros, Event)> {
        self.entries.pop().map(|entry| (entry.at, entry.event))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}
