//! What is called in this process: nanoseconds per call, by size.

use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};

use policy::cluster::{Cluster, NodeSpec, Observation, Observed, Timing};
use policy::decide::{Load, decide};
use policy::lag::Xid;
use policy::prepared::{Interner, Meaning, SchemaNumber, ServerStatements};
use policy::settings::KnownSettings;
use policy::{
    Answers, Ask, Fence, FenceState, Guarding, Guards, Lsn, NodeId, Preferences, RouteFrom,
    Timeline, Topology,
};
use sql::{Class, Why};

use crate::report::{Bound, Table};

/// Times that a batch is called; the least counts, since all else that goes on only adds.
const BATCHES: usize = 7;

const NODES: [u32; 4] = [2, 8, 32, 128];
const SETS: [u32; 3] = [1_000, 10_000, 100_000];
const KEPT: [u32; 3] = [200, 2_000, 20_000];
const TEXTS: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// A table's title, what to know, its columns, its bound, and what makes a row.
type Cell = (&'static str, &'static str, &'static [&'static str], Bound, fn() -> Vec<Vec<f64>>);

/// All tables of this kind.
pub(crate) const CELLS: [Cell; 5] = [
    (
        "Deciding a read, by nodes",
        "A read that any replica may serve, and one whose fence no replica has reached.",
        &["nodes", "free, ns", "fenced, ns"],
        Bound::Linear(1.5),
        || NODES.map(deciding).into(),
    ),
    (
        "Taking in one probe, by nodes",
        "What control does with the answer: judge it, and publish a snapshot. Each node is probed, so \
         all of them together cost the square; off the cycle's path.",
        &["nodes", "ns per probe"],
        Bound::Linear(1.5),
        || NODES.map(|nodes| vec![f64::from(nodes), probing(nodes)]).into(),
    ),
    (
        "A set of settings that no other session has, by sessions",
        "Each session has a set of its own, and one more is made: what `SET` and a login do.",
        &["sessions", "ns"],
        Bound::Flat(4.0),
        || SETS.map(|sets| vec![f64::from(sets), settings(sets)]).into(),
    ),
    (
        "Closing the least recently used statement of a server, by statements that it keeps",
        "One is closed, one is added.",
        &["statements", "ns"],
        Bound::Flat(4.0),
        || KEPT.map(|kept| vec![f64::from(kept), replacing(kept)]).into(),
    ),
    (
        "Numbering a statement, by distinct statements",
        "None is kept by a client, and all are; of a million hardly any is in a cache of the CPU.",
        &["statements", "dropped, ns", "kept, ns"],
        Bound::Flat(15.0),
        || {
            let row = |texts| {
                vec![
                    f64::from(texts),
                    numbering(texts, Fate::Dropped),
                    numbering(texts, Fate::Kept),
                ]
            };
            TEXTS.map(row).into()
        },
    ),
];

/// Makes a table.
pub(crate) fn table((title, about, columns, bound, rows): Cell) -> Table {
    Table { title, about, columns, rows: Ok(rows()), bound }
}

/// The least time that one of `calls` calls took on average, nanoseconds.
fn least(calls: u32, mut batch: impl FnMut()) -> f64 {
    let took = (0..BATCHES).map(|_| {
        let start = now();
        batch();
        now().saturating_duration_since(start)
    });
    took.min().unwrap_or_default().as_secs_f64() * 1e9 / f64::from(calls)
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

struct Idle;

impl Load for Idle {
    fn busy(&self, _: NodeId) -> u32 {
        0
    }
}

const TIMING: Timing = Timing {
    probe_idle: Duration::from_secs(1),
    probe_fast: Duration::from_millis(2),
    probe_timeout: Duration::from_secs(1),
    down_after: 3,
    retry_fast: Duration::from_millis(100),
    retry_slow: Duration::from_secs(5),
    dispute_hold: Duration::from_secs(30),
};

/// A primary and replicas that have all replayed up to 500.
fn cluster(nodes: u32) -> (Cluster, Vec<NodeId>) {
    let mut cluster = Cluster::new("main", TIMING, now());
    let spec = |node: u32| {
        let name: Box<str> = format!("node-{node}").into();
        NodeSpec { host: name.clone(), name, port: 5432, weight: 1 }
    };
    let ids: Vec<_> = (0..nodes).filter_map(|node| cluster.add(spec(node)).ok()).collect();
    for lsn in [500, 501] {
        for id in &ids {
            drop(cluster.observe(*id, seen(*id, lsn)));
        }
    }
    (cluster, ids)
}

/// What a probe sees; the first node is the primary.
fn seen(node: NodeId, lsn: u64) -> Observation {
    let (timeline, lsn) = (Timeline(1), Lsn(lsn));
    let state = if node == NodeId(0) {
        Observed::Writable { timeline, flush: lsn, mark: lsn, xmax: Xid(9) }
    } else {
        Observed::Standby { timeline: Some(timeline), replay: Some(lsn), xmin: Xid(9) }
    };
    let took = Duration::from_micros(200);
    Observation { sent: now(), took, system: 7, started: 1, version: 170_000, state }
}

fn deciding(nodes: u32) -> Vec<f64> {
    let topology = cluster(nodes).0.topology(now());
    let beyond = Fence { timeline: Timeline(1), lsn: Lsn(900) };
    let [free, fenced] =
        [FenceState::Open, FenceState::Known(beyond)].map(|fence| one_decision(&topology, fence));
    vec![f64::from(nodes), free, fenced]
}

fn one_decision(topology: &Topology, fence: FenceState) -> f64 {
    const CALLS: u32 = 10_000;
    let (wishes, odds, answers) = (Preferences::default(), Guards::default(), Answers::default());
    let ask = Ask {
        class: Class::Read,
        why: Why::ReadOnly,
        wishes: &wishes,
        route_from: RouteFrom::Config,
        fence,
        last_read: None,
        pace: None,
        guards: Some(Guarding { odds: &odds, answers: &answers, waited: Duration::ZERO }),
        now: now(),
    };
    least(CALLS, || {
        for draw in 0..u64::from(CALLS) {
            let draw = draw.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let _decision = black_box(decide(black_box(&ask), topology, &Idle, draw));
        }
    })
}

fn probing(nodes: u32) -> f64 {
    const CALLS: u32 = 1_000;
    let (mut cluster, ids) = cluster(nodes);
    let mut turn = (1_000..).zip(ids.iter().copied().cycle());
    least(CALLS, || {
        for (lsn, id) in turn.by_ref().take(1_000) {
            drop(cluster.observe(id, seen(id, lsn)));
            black_box(cluster.topology(now()));
        }
    })
}

fn settings(sets: u32) -> f64 {
    const CALLS: u32 = 1_000;
    let known = KnownSettings::default();
    let none = known.none();
    let set = |number: u32| known.with(&none, "app.user", Some(&number.to_string()));
    let _kept: Vec<_> = (0..sets).map(set).collect();
    let mut others = sets..;
    least(CALLS, || {
        for number in others.by_ref().take(1_000) {
            black_box(set(number));
        }
    })
}

fn replacing(kept: u32) -> f64 {
    const CALLS: u32 = 10_000;
    let mut server = ServerStatements::default();
    (0..u64::from(kept)).for_each(|id| server.insert(id));
    let (most, mut others) = (kept.saturating_sub(1), u64::from(kept)..);
    least(CALLS, || {
        for id in others.by_ref().take(10_000) {
            if let Some(surplus) = server.surplus(most) {
                server.remove(surplus);
            }
            server.insert(id);
        }
    })
}

/// What becomes of a statement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Dropped,
}

fn numbering(texts: u32, fate: Fate) -> f64 {
    let meaning = Meaning { shape: b"", schema: SchemaNumber(1) };
    let (start, mut interner, mut all) = (now(), Interner::default(), Vec::new());
    for number in 0..texts {
        let text = format!("SELECT name FROM products WHERE id = $1 AND shop = {number}");
        let statement: Rc<_> = interner.intern((text.as_bytes(), b""), meaning);
        if fate == Fate::Kept {
            all.push(statement);
        }
    }
    now().saturating_duration_since(start).as_secs_f64() * 1e9 / f64::from(texts)
}
