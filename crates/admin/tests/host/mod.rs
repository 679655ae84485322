//! An API with a hand-made cluster behind it, and a client that speaks plain HTTP.

#![expect(dead_code, reason = "each test binary uses another part")]

pub(crate) mod workers;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::time::Duration;

use admin::State;
use control::{Command, Setup, Setups};
use policy::cluster::MembershipError;
use policy::{
    Answers, Configured, Epoch, Fence, Gate, Health, Leader, Lsn, NodeId, NodeView, Position,
    Preferences, Role, Sampled, Ticket, Timeline, Topology,
};
use proxy::config::{
    Auth, AuthMethod, ClientTls, ClusterLink, DatabaseLimits, DatabaseRules, Databases, Live,
    PinRule, PoolMode, PoolRules, ServerTls,
};
use proxy::inquiry::Workers;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub(crate) const TOKEN: &str = "t0ken";

/// A running API; ends with its test.
pub(crate) struct Host {
    address: std::net::SocketAddr,
    pub(crate) accepting: watch::Sender<bool>,
    pub(crate) topology: watch::Sender<Arc<Topology>>,
    _tasks: [JoinHandle<()>; 2],
    _live: watch::Sender<Arc<Live>>,
}

impl Host {
    pub(crate) async fn start() -> Self {
        Self::with_workers(workers::two()).await
    }

    pub(crate) async fn start_open() -> Self {
        Self::with(None, workers::two()).await
    }

    pub(crate) async fn with_workers(workers: Workers) -> Self {
        Self::with(Some(TOKEN), workers).await
    }

    async fn with(token: Option<&str>, workers: Workers) -> Self {
        let (topology, seen) = watch::channel(Arc::new(made_by_hand()));
        let catalog = Arc::new(sql::Catalog::builtin_only());
        let catalogs =
            HashMap::from([("shop".into(), Arc::clone(&catalog)), ("legacy".into(), catalog)]);
        let link = ClusterLink {
            topology: seen,
            tickets: watch::channel(Ticket::default()).0,
            answers: watch::channel(Arc::new(answered())).1,
            catalogs: watch::channel(Arc::new(catalogs)).1,
            signals: mpsc::unbounded_channel().0,
        };
        let (live, rules) = watch::channel(Arc::new(live(link)));
        let (accepting, accepts) = watch::channel(true);
        let (commands, wanted) = mpsc::channel(1);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            live: rules,
            commands: [("main".to_owned(), commands)].into(),
            setups: [("main".to_owned(), watch::channel(Arc::new(setups())).1)].into(),
            workers,
            metrics: Vec::new(),
            accepting: accepts,
            token: token.map(Arc::from),
        };
        let served = tokio::spawn(async move {
            admin::serve(listener, state, std::future::pending()).await.unwrap();
        });
        let control = tokio::spawn(obey(wanted, topology.clone()));
        Self { address, accepting, topology, _tasks: [served, control], _live: live }
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&str>,
    ) -> Answer {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<(&str, &str)> =
            bearer.iter().map(|bearer| ("Authorization", bearer.as_str())).collect();
        self.call_with(method, path, &headers, body).await
    }

    pub(crate) async fn call_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for (name, value) in headers {
            write!(request, "{name}: {value}\r\n").unwrap();
        }
        if let Some(body) = body {
            write!(request, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())
                .unwrap();
        }
        request.push_str("\r\n");
        request.push_str(body.unwrap_or_default());
        let (mut read, mut write) = TcpStream::connect(self.address).await.unwrap().into_split();
        // A refused body may be answered before it was sent whole.
        let sent =
            tokio::spawn(async move { write.write_all(request.as_bytes()).await.map(|()| write) });
        let mut bytes = Vec::new();
        let answered = read.read_to_end(&mut bytes).await;
        sent.abort();
        assert!(answered.is_ok() || !bytes.is_empty(), "{answered:?}");
        Answer::read(&bytes)
    }

    pub(crate) async fn explain(&self, question: serde_json::Value) -> serde_json::Value {
        let body = question.to_string();
        let answer = self.call("POST", "/v1/explain", Some(TOKEN), Some(&body)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
        let headers = lines.filter_map(|line| line.split_once(": "));
        Self {
            status: status.parse().unwrap_or_default(),
            headers: headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|cause| panic!("{cause}: {}", self.body))
    }

    /// The body, which must be a problem.
    pub(crate) fn problem(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.body);
        self.json()
    }
}

/// What control does, as far as the API can see.
async fn obey(mut wanted: mpsc::Receiver<Command>, topology: watch::Sender<Arc<Topology>>) {
    while let Some(command) = wanted.recv().await {
        let mut outcome = Ok(());
        topology.send_modify(|shared| {
            let nodes = &mut Arc::make_mut(shared).nodes;
            let at = |name: &str| nodes.iter().position(|node| *node.name == *name);
            match &command {
                Command::Add { spec, .. } if at(&spec.name).is_some() => {
                    outcome = Err(MembershipError::NameTaken);
                }
                Command::Add { spec, .. } => nodes.push(NodeView {
                    name: spec.name.clone(),
                    host: spec.host.clone(),
                    port: spec.port,
                    weight: spec.weight,
                    ..node(9, "d", Role::Unknown)
                }),
                Command::Patch { name, patch, .. } => match at(name) {
                    Some(index) => {
                        nodes[index].weight = patch.weight.unwrap_or(nodes[index].weight);
                        nodes[index].gate = patch.gate.unwrap_or(nodes[index].gate);
                    }
                    None => outcome = Err(MembershipError::NoSuchNode),
                },
                Command::Remove { name, .. } => match at(name) {
                    Some(index) if nodes[index].role == Role::Primary => {
                        outcome = Err(MembershipError::IsPrimary);
                    }
                    Some(index) => drop(nodes.remove(index)),
                    None => outcome = Err(MembershipError::NoSuchNode),
                },
            }
        });
        let (Command::Add { reply, .. }
        | Command::Patch { reply, .. }
        | Command::Remove { reply, .. }) = command;
        let _ = reply.send(outcome);
    }
}

/// A primary, a fresh replica, and a replica that was never measured.
fn made_by_hand() -> Topology {
    let now = tokio::time::Instant::now().into_std();
    let mut fresh = node(2, "b", Role::Replica);
    fresh.position = Some(Position { timeline: Some(Timeline(1)), replay: Lsn(0x100) });
    fresh.observed = Some(now);
    fresh.fresh_at = now.checked_sub(Duration::from_millis(1));
    fresh.lag_bytes = Some(0);
    Topology {
        cluster: "main".into(),
        system: Some(7),
        generation: 1,
        epoch: Epoch(1),
        leader: Leader::Node { id: NodeId(1), timeline: Timeline(1) },
        nodes: vec![node(1, "a", Role::Primary), fresh, node(3, "c", Role::Replica)],
        sampled: Some(Sampled {
            sent: now,
            flush: Fence { timeline: Timeline(1), lsn: Lsn(0x100) },
        }),
        silent_since: None,
    }
}

fn node(id: u32, name: &str, role: Role) -> NodeView {
    NodeView {
        id: NodeId(id),
        name: name.into(),
        host: "127.0.0.1".into(),
        port: 5432,
        weight: 1,
        version: None,
        role,
        gate: Gate::Open,
        health: Health::Up,
        position: None,
        observed: None,
        fresh_at: None,
        lag_bytes: None,
        worst_lag: None,
    }
}

/// How its nodes are set up: the worst that there is.
fn setups() -> Setups {
    let all =
        Setup { synchronous_standbys: true, asynchronous_commit: true, timeline_hidden: true };
    ["a", "b"].into_iter().map(|name| (name.into(), all)).collect()
}

/// One question of the clock, which took 2 ms.
fn answered() -> Answers {
    let now = tokio::time::Instant::now().into_std();
    let mut answers = Answers::default();
    answers.push(policy::Answer {
        through: Ticket(1),
        sent: now,
        epoch: Epoch(1),
        timeline: Timeline(1),
        insert: Lsn(1),
        flush: Lsn(1),
        mark: Lsn(1),
        took: Duration::from_millis(2),
        configured: Configured { since: now, after: Ticket(0), loaded: 1, covers: Some(Lsn(0)) },
    });
    answers
}

fn live(link: ClusterLink) -> Live {
    let rules = |mode| DatabaseRules {
        pin: PinRule::Allow,
        cluster: "main".into(),
        dbname: None,
        mode,
        limits: DatabaseLimits::default(),
        reads: Preferences { max_lag: Some(Duration::from_secs(3_600)), ..Preferences::default() },
        max_primary_read_share: None,
    };
    let mut databases = Databases::default();
    databases.insert("shop", rules(PoolMode::Transaction));
    let mut legacy = rules(PoolMode::Session);
    legacy.reads.max_lag = None;
    databases.insert("legacy", legacy);
    Live {
        auth: Auth { method: AuthMethod::Trust, users: HashMap::new(), mock_seed: [0; 32] },
        pool: PoolRules::default(),
        client_tls: ClientTls::Disable,
        server_tls: ServerTls::Disable,
        databases,
        clusters: HashMap::from([("main".into(), link)]),
    }
}

/// Has Prometheus's own checker read `text`; says so loudly when it is not installed.
pub(crate) fn promtool(text: &str) {
    let mut check = Process::new("promtool");
    check
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let Ok(mut child) = check.spawn() else {
        let said = "SKIPPED: promtool is not installed (Debian package prometheus)";
        writeln!(std::io::stderr(), "{said}").unwrap();
        return;
    };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}
