//! One watched cluster: control on a thread of its own, the other channel ends here.

use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use control::{Catalogs, ClusterConfig, Command, Ends, Monitor, Reply, ServerTls, Setups};
use policy::cluster::{MembershipError, NodeSpec, Timing};
use policy::{Answer, Answers, Leader, NodeView, Role, Signal, Ticket, Topology};
use testkit::{Cluster, Node};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// Far above what anything takes, so that a loaded machine fails no test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a test says of the cluster to be watched.
pub(crate) struct Plan {
    pub(crate) nodes: Vec<NodeSpec>,
    pub(crate) monitor: Monitor,
    pub(crate) forget_after: Duration,
}

/// A running control and the data path's and the admin API's ends of its channels.
///
/// Control has its own thread, as in the binary: tests may block.
pub(crate) struct Rig {
    pub(crate) topology: watch::Receiver<Arc<Topology>>,
    pub(crate) tickets: watch::Sender<Ticket>,
    pub(crate) answers: watch::Receiver<Arc<Answers>>,
    pub(crate) catalogs: watch::Receiver<Arc<Catalogs>>,
    pub(crate) setups: watch::Receiver<Arc<Setups>>,
    pub(crate) signals: mpsc::UnboundedSender<Signal>,
    commands: mpsc::Sender<Command>,
    log: Log,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Plan {
    /// All nodes of `cluster`, probed as testkit's `weir_monitor`.
    pub(crate) fn of(cluster: &Cluster) -> Self {
        Self::among(cluster.nodes())
    }

    /// Some nodes.
    pub(crate) fn among(nodes: &[Node]) -> Self {
        let monitor = Monitor { password: Some("weir_monitor".into()), ..Monitor::default() };
        let forget_after = Duration::ZERO;
        Self { nodes: nodes.iter().map(spec).collect(), monitor, forget_after }
    }

    /// Uses TLS.
    pub(crate) fn tls(mut self, tls: ServerTls) -> Self {
        self.monitor.tls = tls;
        self
    }

    /// Starts control.
    pub(crate) fn start(self) -> Rig {
        let (topology, seen_topology) = watch::channel(Arc::new(nothing()));
        let (tickets, seen_tickets) = watch::channel(Ticket(0));
        let (answers, seen_answers) = watch::channel(Arc::default());
        let (catalogs, seen_catalogs) = watch::channel(Arc::default());
        let (setups, seen_setups) = watch::channel(Arc::default());
        let (signals, heard_signals) = mpsc::unbounded_channel();
        let (commands, heard_commands) = mpsc::channel(4);
        let (stop, stopped) = oneshot::channel();
        let ends = Ends {
            topology,
            tickets: seen_tickets,
            answers,
            catalogs,
            setups,
            signals: heard_signals,
            commands: heard_commands,
        };
        let config = ClusterConfig {
            name: "main".into(),
            nodes: self.nodes,
            monitor: self.monitor,
            timing: Timing::default(),
            read_only_functions: Vec::new(),
            write_functions: Vec::new(),
            forget_after: self.forget_after,
        };
        let log = Log::default();
        let thread = spawn(config, ends, stopped, log.clone());
        Rig {
            topology: seen_topology,
            tickets,
            answers: seen_answers,
            catalogs: seen_catalogs,
            setups: seen_setups,
            signals,
            commands,
            log,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

fn spawn(
    config: ClusterConfig,
    ends: Ends,
    stop: oneshot::Receiver<()>,
    log: Log,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tracing::subscriber::with_default(subscriber, || {
            runtime.block_on(control::run(config, ends, async { drop(stop.await) }));
        });
    })
}

impl Rig {
    /// Waits for a snapshot of which `is` is true.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        is: impl FnMut(&Topology) -> bool,
    ) -> Arc<Topology> {
        self.within(PATIENCE, what, is).await
    }

    /// Waits for a snapshot, for so long at most.
    pub(crate) async fn within(
        &mut self,
        limit: Duration,
        what: &str,
        mut is: impl FnMut(&Topology) -> bool,
    ) -> Arc<Topology> {
        let seen =
            timeout(limit, self.topology.wait_for(|seen| !seen.nodes.is_empty() && is(seen))).await;
        if let Ok(Ok(topology)) = seen {
            return Arc::clone(&topology);
        }
        drop(seen);
        let last = Arc::clone(&self.topology.borrow());
        panic!("{what}: not within {limit:?}\nlast: {last:#?}\nlog:\n{}", self.log());
    }

    /// Waits until `primary` leads and all `replicas` are measured.
    pub(crate) async fn until_led_by(
        &mut self,
        primary: &Node,
        replicas: &[&Node],
    ) -> Arc<Topology> {
        self.until("a known cluster", |topology| is_led_by(topology, primary, replicas)).await
    }

    /// Takes the next ticket, as the data path does after a write.
    pub(crate) fn take_ticket(&self) -> Ticket {
        self.tickets.send_modify(|ticket| *ticket = Ticket(ticket.0.saturating_add(1)));
        *self.tickets.borrow()
    }

    /// Waits for the answer that covers `ticket`.
    pub(crate) async fn answer(&mut self, ticket: Ticket) -> Answer {
        let seen =
            timeout(PATIENCE, self.answers.wait_for(|all| all.covering(ticket).is_some())).await;
        match seen {
            Ok(Ok(answers)) => *answers.covering(ticket).unwrap(),
            _ => panic!("{ticket:?} was not answered; log:\n{}", self.log.text()),
        }
    }

    /// Asks for a change of membership.
    pub(crate) async fn command(
        &self,
        command: impl FnOnce(Reply) -> Command,
    ) -> Result<(), MembershipError> {
        let (reply, outcome) = oneshot::channel();
        self.commands.send(command(reply)).await.unwrap();
        timeout(PATIENCE, outcome).await.unwrap().unwrap()
    }

    /// The newest snapshot.
    pub(crate) fn now(&self) -> Arc<Topology> {
        Arc::clone(&self.topology.borrow())
    }

    /// What was logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Whether control still runs.
    pub(crate) fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || !matches!(ended, Some(Err(_))), "control panicked");
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How the configuration names a node.
pub(crate) fn spec(node: &Node) -> NodeSpec {
    NodeSpec { name: node.name().into(), host: node.host().into(), port: node.port(), weight: 1 }
}

/// The view of the node of that name.
pub(crate) fn view<'a>(topology: &'a Topology, name: &str) -> &'a NodeView {
    topology.nodes.iter().find(|node| &*node.name == name).unwrap()
}

/// Whether `primary` leads and all `replicas` are measured.
pub(crate) fn is_led_by(topology: &Topology, primary: &Node, replicas: &[&Node]) -> bool {
    let led = topology.primary().is_some_and(|node| &*node.name == primary.name());
    led && replicas.iter().all(|replica| {
        let view = view(topology, replica.name());
        view.role == Role::Replica && view.position.is_some() && view.fresh_at.is_some()
    })
}

/// Waits in the server until control has closed its connections to `node`.
pub(crate) fn wait_for_no_probe(node: &Node) {
    let wait = "SET statement_timeout = '20s'; DO $$ BEGIN
        WHILE EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'weir_probe') LOOP
            PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
        END LOOP; END $$";
    node.psql(wait).unwrap();
}

/// A host that accepts connections and then says nothing.
pub(crate) fn mute(name: &str) -> (TcpListener, NodeSpec) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, NodeSpec { name: name.into(), host: "127.0.0.1".into(), port, weight: 1 })
}

fn nothing() -> Topology {
    Topology {
        cluster: "main".into(),
        system: None,
        generation: 0,
        epoch: policy::Epoch(0),
        leader: Leader::Missing { since: tokio::time::Instant::now().into_std() },
        nodes: Vec::new(),
        sampled: None,
        silent_since: None,
    }
}
