//! The LSN clock's hand: asks the primary where its WAL ends, once for all open tickets.
//!
//! Knows neither sessions nor fences. What an answer covers is `policy::clock`'s business.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use policy::lag::{Marks, Positions};
use policy::{Answer, Answers, Configured, Epoch, Leader, NodeId, Ticket, Timeline, Topology};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, sleep_until};
use tokio_postgres::{Row, Statement};
use tracing::{debug, info, warn};

use crate::link::{Address, Door, Link, LinkError};
use crate::probe::{positions, timeline};
use crate::task::{Backoff, Complaint, later, now};

/// The time between two questions: a burst of commits shares an answer, and the primary answers a
/// thousand questions a second at most. Below the round trip of most networks, so it costs no one.
const FLOOR: Duration = Duration::from_millis(1);

/// Pauses between attempts to reach a primary that the topology still names.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Insert before flush: a flush position read later can only be newer, which is sound.
const ASK: &str = "
SELECT pg_current_wal_insert_lsn() AS insert,
       pg_current_wal_flush_lsn() AS flush,
       pg_walfile_name(pg_current_wal_insert_lsn()) AS walfile,
       pg_current_snapshot()::text AS snapshot,
       current_setting('wal_block_size')::bigint AS block,
       pg_size_bytes(current_setting('wal_segment_size')) AS segment,
       (extract(epoch FROM pg_conf_load_time()) * 1000000)::bigint AS loaded";

/// One cluster's clock.
pub(crate) struct Clock {
    /// The cluster's name, for the log.
    pub(crate) cluster: Arc<str>,
    /// How the primary is reached.
    pub(crate) door: Arc<Door>,
    /// Who the primary is.
    pub(crate) topology: watch::Receiver<Arc<Topology>>,
    /// The newest ticket.
    pub(crate) tickets: watch::Receiver<Ticket>,
    /// Where answers go.
    pub(crate) answers: watch::Sender<Arc<Answers>>,
    /// Whom to probe at once, since the clock lost it.
    pub(crate) lost: mpsc::Sender<NodeId>,
}

/// A primary's term: an answer counts only for the term that it was asked in.
#[derive(Debug, Clone)]
struct Term {
    name: Box<str>,
    node: NodeId,
    epoch: Epoch,
    timeline: Timeline,
    address: Address,
}

/// Why a term was left, besides its end.
#[derive(Debug)]
enum Stop {
    /// The question or the connection failed.
    Link(LinkError),
    /// The connection was closed while nothing was asked.
    Closed,
    /// The node answered for another timeline than the topology names.
    OtherTimeline(Timeline),
    /// The data path is gone: no ticket will ever come.
    NoMoreTickets,
}

/// What the last failures were, and how long to pause after the next.
#[derive(Debug)]
struct Trouble {
    retry: Backoff,
    complaint: Complaint,
}

impl Clock {
    /// Answers tickets until the data path is gone.
    ///
    /// Cancel-safe: an answer is published whole or not at all.
    pub(crate) async fn run(mut self) {
        let mut trouble = Trouble::default();
        while let Some(term) = self.next_term().await {
            let mut topology = self.topology.clone();
            let Err(stop) = tokio::select! {
                stop = self.serve(&term, &mut trouble) => stop,
                () = term.over(&mut topology) => continue,
            };
            if matches!(stop, Stop::NoMoreTickets) {
                return;
            }
            let reason = stop.to_string();
            if trouble.complaint.is_new(&reason) {
                warn!(cluster = &*self.cluster, node = &*term.name, %reason, "the LSN clock lost the primary");
            }
            // A full queue holds the same news already.
            let _told = self.lost.try_send(term.node);
            tokio::select! {
                () = sleep(trouble.retry.pause()) => {}
                () = term.over(&mut topology) => trouble.settle(),
            }
        }
    }

    /// Waits for a primary; `None` when the owner of the topology is gone.
    async fn next_term(&mut self) -> Option<Term> {
        let seen = self.topology.wait_for(|topology| Term::of(topology).is_some()).await.ok()?;
        Term::of(&seen)
    }

    /// Answers tickets during `term`, until something fails.
    async fn serve(&mut self, term: &Term, trouble: &mut Trouble) -> Result<Infallible, Stop> {
        let mut link = self.door.open(&term.address, &self.door.monitor.database).await?;
        let statement = link.prepare(ASK).await?;
        info!(
            cluster = &*self.cluster,
            node = &*term.name,
            epoch = term.epoch.0,
            "the LSN clock follows the primary"
        );
        let mut marks = Marks::default();
        // The first question needs no ticket: it answers those opened while nobody led, and lets
        // sessions that never wrote find a position of this term.
        loop {
            let sent = self.question(term, (&link, &statement), &mut marks).await?;
            trouble.settle();
            sleep_until(later(sent, FLOOR).into()).await;
            tokio::select! {
                changed = self.tickets.changed() => changed.map_err(|_| Stop::NoMoreTickets)?,
                () = link.closed() => return Err(Stop::Closed),
            }
        }
    }

    /// Asks once and publishes the answer if it still counts.
    async fn question(
        &mut self,
        term: &Term,
        (link, statement): (&Link, &Statement),
        marks: &mut Marks,
    ) -> Result<Instant, Stop> {
        // This order is what fences rest on. A ticket is taken after its commit was seen, so a
        // position that the server reads later covers it. `ask` sends nothing before it is first
        // polled, hence every ticket read here is older than the question's first byte; those
        // taken from now on mark the channel as changed and wait for the next question.
        let through = *self.tickets.borrow_and_update();
        let sent = now();
        let row = link.ask(statement).await?;
        let last = self.answers.borrow().newest().filter(|last| last.epoch == term.epoch).copied();
        let mark = marks.mark(positions(&row)?);
        let newest = (now(), *self.tickets.borrow());
        let answer = Answer { mark, ..answer(&row, term, (through, sent), (last, newest))? };
        if answer.timeline != term.timeline {
            return Err(Stop::OtherTimeline(answer.timeline));
        }
        // An old primary that still answers must not vouch for writes of the next one.
        if term.holds(&self.topology.borrow()) {
            self.answers.send_modify(|answers| Arc::make_mut(answers).push(answer));
        } else {
            debug!(cluster = &*self.cluster, node = &*term.name, "an answer came after its term");
        }
        Ok(sent)
    }
}

impl Term {
    fn of(topology: &Topology) -> Option<Self> {
        let timeline = topology.timeline()?;
        let node = topology.primary()?;
        let address = Address { host: node.host.clone(), port: node.port };
        Some(Self {
            name: node.name.clone(),
            node: node.id,
            epoch: topology.epoch,
            timeline,
            address,
        })
    }

    fn holds(&self, topology: &Topology) -> bool {
        topology.epoch == self.epoch
            && topology.leader == Leader::Node { id: self.node, timeline: self.timeline }
    }

    /// Waits for the end of the term. Cancel-safe.
    async fn over(&self, topology: &mut watch::Receiver<Arc<Topology>>) {
        // Without an owner there is no next term either; `next_term` notices.
        drop(topology.wait_for(|now| !self.holds(now)).await);
    }
}

impl Trouble {
    fn settle(&mut self) {
        self.retry.reset();
        self.complaint.settle();
    }
}

impl Default for Trouble {
    fn default() -> Self {
        Self { retry: Backoff::new(RETRY.0, RETRY.1), complaint: Complaint::default() }
    }
}

fn answer(
    row: &Row,
    term: &Term,
    (through, sent): (Ticket, Instant),
    (last, newest): (Option<Answer>, (Instant, Ticket)),
) -> Result<Answer, LinkError> {
    let before = last.map(|last| last.configured);
    let Positions { insert, flush, .. } = positions(row)?;
    Ok(Answer {
        through,
        sent,
        epoch: term.epoch,
        timeline: timeline(row.try_get("walfile")?)?,
        insert,
        flush,
        mark: flush,
        took: now().saturating_duration_since(sent),
        configured: Configured::heard(before, (row.try_get("loaded")?, insert), through, newest),
    })
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(error) => error.fmt(f),
            Self::Closed => f.write_str("the connection was closed"),
            Self::OtherTimeline(timeline) => write!(f, "it is on timeline {timeline} by now"),
            Self::NoMoreTickets => f.write_str("the data path is gone"),
        }
    }
}

impl<E: Into<LinkError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Link(error.into())
    }
}
