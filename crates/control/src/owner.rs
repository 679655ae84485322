//! The task that owns a cluster: reports in, verdicts from `policy::cluster`, snapshots out.
//!
//! Decides nothing itself but when to ask whom next, and that only by `Cluster::probe_after`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use policy::cluster::{Cluster, MembershipError, NodeSpec};
use policy::{Answers, NodeId, Signal, Topology};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;
use tracing::{error, info, warn};

use crate::ends::{Command, Setup, Setups};
use crate::link::{Address, Door};
use crate::news;
use crate::probe::{Probe, Report, Sight};
use crate::task::{Complaint, Owned, later, now};

/// Signals may come by the thousand while a node is down: it is not asked more often than this.
const URGENT_FLOOR: Duration = Duration::from_millis(10);

/// No wait is longer; policy's own are far below.
const IDLE: Duration = Duration::from_secs(60);

/// Said of a standby that hides its timeline.
const NO_GRANT: &str = "this standby's timeline can't be read, so it serves no fenced read; \
    grant pg_monitor to the `monitor` user";

/// What the owner hears and where it publishes.
pub(crate) struct Wires {
    /// Snapshots.
    pub(crate) topology: watch::Sender<Arc<Topology>>,
    /// How nodes are set up.
    pub(crate) setups: watch::Sender<Arc<Setups>>,
    /// The LSN clock's answers: samples of the primary's position.
    pub(crate) answers: watch::Receiver<Arc<Answers>>,
    /// From the data path.
    pub(crate) signals: mpsc::UnboundedReceiver<Signal>,
    /// From operators.
    pub(crate) commands: mpsc::Receiver<Command>,
    /// From the LSN clock: it lost this node.
    pub(crate) lost: mpsc::Receiver<NodeId>,
    /// Signals that name a database are passed on.
    pub(crate) wishes: mpsc::UnboundedSender<Signal>,
}

/// The owner of one cluster.
pub(crate) struct Owner {
    name: Arc<str>,
    cluster: Cluster,
    members: BTreeMap<NodeId, Member>,
    door: Arc<Door>,
    reports: (mpsc::Sender<Report>, mpsc::Receiver<Report>),
}

/// One node's probe task and what is known of its schedule.
struct Member {
    orders: mpsc::Sender<()>,
    name: Box<str>,
    phase: Phase,
    /// When the last probe was ordered.
    asked: Option<Instant>,
    complaint: Complaint,
    _task: Owned,
}

/// Whether a probe is under way.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// The next one starts then.
    Due(Instant),
    /// One is.
    Asking,
    /// One is, and another must follow: it was sent before something happened.
    AskingAgain,
}

impl Owner {
    /// An owner of `nodes`, all of them still to be probed.
    pub(crate) fn new(name: Arc<str>, cluster: Cluster, door: Arc<Door>) -> Self {
        Self { name, cluster, members: BTreeMap::new(), door, reports: mpsc::channel(16) }
    }

    /// Adds a member and starts its probe.
    ///
    /// # Errors
    ///
    /// [`MembershipError`]: nothing changed; tell whoever asked.
    pub(crate) fn add(&mut self, spec: NodeSpec) -> Result<(), MembershipError> {
        let address = Address { host: spec.host.clone(), port: spec.port };
        let name = spec.name.clone();
        let node = self.cluster.add(spec)?;
        let (orders, taken) = mpsc::channel(1);
        let probe = Probe::new(Arc::clone(&self.door), address);
        let task = Owned::spawn(probe.work(node, taken, self.reports.0.clone()));
        let member = Member {
            orders,
            name,
            phase: Phase::Due(now()),
            asked: None,
            complaint: Complaint::default(),
            _task: task,
        };
        self.members.insert(node, member);
        Ok(())
    }

    /// Probes, listens and publishes until it is dropped.
    pub(crate) async fn run(mut self, mut wires: Wires) {
        self.publish(&wires.topology);
        loop {
            let due = self.next_due();
            tokio::select! {
                Some(report) = self.reports.1.recv() => {
                    self.heard(report, &wires.setups);
                    self.publish(&wires.topology);
                }
                Some(signal) = wires.signals.recv() => {
                    self.noticed(signal, &wires);
                }
                Some(node) = wires.lost.recv() => self.urge(node),
                Some(command) = wires.commands.recv() => self.obey(command, &wires.topology),
                Ok(()) = wires.answers.changed() => {
                    let answers = Arc::clone(&wires.answers.borrow_and_update());
                    self.sampled(&answers);
                }
                () = sleep_until(due.into()) => self.dispatch(),
            }
        }
    }

    fn publish(&mut self, topology: &watch::Sender<Arc<Topology>>) {
        drop(topology.send_replace(Arc::new(self.cluster.topology(now()))));
    }

    fn heard(&mut self, report: Report, setups: &watch::Sender<Arc<Setups>>) {
        let Some(member) = self.members.get_mut(&report.node) else { return };
        let now = now();
        member.phase = match member.phase {
            Phase::AskingAgain => Phase::Due(member.soonest(now)),
            // Moved forward by `reschedule`, below.
            Phase::Asking | Phase::Due(_) => Phase::Due(later(now, IDLE)),
        };
        let events = match report.outcome {
            Ok(sight) => {
                member.well(&self.name, &sight);
                member.is_set_up(sight.setup, setups);
                self.cluster.observe(report.node, sight.observation)
            }
            Err(trouble) => {
                member.complain(&self.name, &trouble.to_string());
                self.cluster.failed(report.node, now)
            }
        };
        let name = |node| self.members.get(&node).map_or("removed".into(), |it| it.name.clone());
        news::tell(&self.name, &events, name);
        self.reschedule(now);
    }

    /// Moves probes forward that policy wants sooner by now; never back.
    fn reschedule(&mut self, now: Instant) {
        for (node, member) in &mut self.members {
            if let Phase::Due(due) = member.phase {
                let pause = self.cluster.probe_after(*node, now);
                let wanted = member.asked.map_or(now, |asked| later(asked, pause));
                member.phase = Phase::Due(due.min(wanted.max(now)));
            }
        }
    }

    fn noticed(&mut self, signal: Signal, wires: &Wires) {
        match signal {
            Signal::Lost(node) | Signal::Promoted(node) => {
                self.urge(node);
                if self.cluster.lost(node, now()) {
                    self.publish(&wires.topology);
                }
            }
            // The loader lives as long as this task: both are parts of one future.
            named @ (Signal::Database(_) | Signal::Left(_) | Signal::SchemaChanged(_)) => {
                drop(wires.wishes.send(named));
            }
        }
    }

    /// Sees to it that a probe is sent after this moment, soon.
    fn urge(&mut self, node: NodeId) {
        let Some(member) = self.members.get_mut(&node) else { return };
        member.phase = match member.phase {
            Phase::Due(due) => Phase::Due(due.min(member.soonest(now()))),
            Phase::Asking | Phase::AskingAgain => Phase::AskingAgain,
        };
    }

    /// A new position of the primary: replicas that now have to prove it are asked sooner.
    fn sampled(&mut self, answers: &Answers) {
        let Some(newest) = answers.newest() else { return };
        self.cluster.answered(newest);
        self.reschedule(now());
    }

    fn obey(&mut self, command: Command, topology: &watch::Sender<Arc<Topology>>) {
        let (outcome, reply) = match command {
            Command::Add { spec, reply } => (self.add(spec), reply),
            Command::Patch { name, patch, reply } => (self.cluster.patch(&name, patch), reply),
            Command::Remove { name, reply } => (self.remove(&name), reply),
        };
        // Published before the answer: whoever got it sees the change in the snapshot.
        self.publish(topology);
        // An operator who hung up misses the answer, nothing else.
        let _unheard = reply.send(outcome);
    }

    fn remove(&mut self, name: &str) -> Result<(), MembershipError> {
        self.cluster.remove(name)?;
        self.members.retain(|_, member| &*member.name != name);
        info!(cluster = &*self.name, node = name, "node removed");
        Ok(())
    }

    fn next_due(&self) -> Instant {
        let idle = later(now(), IDLE);
        let dues = self.members.values().filter_map(|member| match member.phase {
            Phase::Due(due) => Some(due),
            Phase::Asking | Phase::AskingAgain => None,
        });
        dues.min().unwrap_or(idle)
    }

    /// Orders all probes that are due.
    fn dispatch(&mut self) {
        let now = now();
        for member in self.members.values_mut() {
            if matches!(member.phase, Phase::Due(due) if due <= now) {
                member.phase = Phase::Asking;
                member.asked = Some(now);
                if member.orders.try_send(()).is_err() {
                    error!(cluster = &*self.name, node = &*member.name, "the probe's task is gone");
                }
            }
        }
    }
}

impl Member {
    fn well(&mut self, cluster: &str, sight: &Sight) {
        if sight.setup.timeline_hidden {
            self.complain(cluster, NO_GRANT);
        } else {
            self.complaint.settle();
        }
    }

    fn is_set_up(&self, setup: Setup, setups: &watch::Sender<Arc<Setups>>) {
        setups.send_if_modified(|setups| {
            let changed = setups.get(&self.name) != Some(&setup);
            if changed {
                Arc::make_mut(setups).insert(self.name.clone(), setup);
            }
            changed
        });
    }

    /// Warns, unless that was the last word already.
    fn complain(&mut self, cluster: &str, reason: &str) {
        if self.complaint.is_new(reason) {
            warn!(cluster, node = &*self.name, %reason, "trouble with a probe");
        }
    }

    /// The earliest moment for a probe that something asked for.
    fn soonest(&self, now: Instant) -> Instant {
        self.asked.map_or(now, |asked| later(asked, URGENT_FLOOR).max(now))
    }
}
