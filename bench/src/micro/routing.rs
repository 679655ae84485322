//! Which node, and whose reply.

use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};

use policy::prepared::{ClientStatements, Interner, Meaning, SchemaNumber, ServerStatements};
use policy::replies::{Expect, Replies};
use policy::{
    Ask, Epoch, FenceState, Gate, Health, Leader, Load, Lsn, NodeId, NodeView, Position,
    Preferences, Role, RouteFrom, Target, Timeline, Topology, decide,
};
use sql::{Class, Why};
use wire::tag;

use super::Work;
use crate::texts::PRIMARY_KEY;

/// What a client calls its statement.
const NAME: &[u8] = b"P_1";
const MEANING: Meaning<'_> = Meaning { shape: b"", schema: SchemaNumber(1) };

pub(super) fn all() -> Vec<Work> {
    vec![
        decided("read, 2 nodes", Class::Read, 2),
        decided("read, 10 nodes", Class::Read, 10),
        decided("read, 50 nodes", Class::Read, 50),
        decided("write, 2 nodes", Class::Write, 2),
        interned(),
        looked_up(),
        queued("policy: replies of a simple cycle", &[Expect::Query], &[tag::COMMAND_COMPLETE]),
        queued(
            "policy: replies of a prepared cycle",
            &[Expect::Bind, Expect::Execute, Expect::Sync],
            &[tag::BIND_COMPLETE, tag::COMMAND_COMPLETE],
        ),
    ]
}

/// Nobody uses anything.
struct Idle;

impl Load for Idle {
    fn busy(&self, _: NodeId) -> u32 {
        0
    }
}

fn decided(name: &str, class: Class, nodes: u32) -> Work {
    let now = tokio::time::Instant::now().into_std();
    let (topology, wishes) = (topology(nodes, now), Preferences::default());
    let mut draw = 0_u64;
    let call = move || {
        // Replicas take turns.
        draw = draw.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let ask = Ask {
            class,
            why: Why::Prepared,
            wishes: &wishes,
            route_from: RouteFrom::Config,
            fence: FenceState::Open,
            last_read: None,
            pace: None,
            guards: None,
            now,
        };
        match decide(black_box(&ask), &topology, &Idle, draw).target {
            Target::Replica(_) => 1,
            Target::Primary(_) => 2,
            Target::Wait(_) | Target::Refuse(_) => 0,
        }
    };
    Work::new(&format!("policy: decide, {name}"), if class == Class::Read { 1 } else { 2 }, call)
}

/// A primary, and replicas that show what it showed just now.
fn topology(nodes: u32, now: Instant) -> Topology {
    let node = |id| NodeView {
        id: NodeId(id),
        name: format!("n{id}").into(),
        host: "127.0.0.1".into(),
        port: 5432,
        weight: 1,
        version: Some(150_000),
        role: if id == 0 { Role::Primary } else { Role::Replica },
        gate: Gate::Open,
        health: Health::Up,
        position: Some(Position { timeline: Some(Timeline(1)), replay: Lsn(1000) }),
        observed: Some(now),
        fresh_at: Some(now),
        lag_bytes: Some(0),
        worst_lag: Some(Duration::ZERO),
    };
    Topology {
        cluster: "main".into(),
        system: Some(1),
        generation: 1,
        epoch: Epoch(1),
        leader: Leader::Node { id: NodeId(0), timeline: Timeline(1) },
        nodes: (0..nodes).map(node).collect(),
        sampled: None,
        silent_since: None,
    }
}

/// The `Parse` of a text that others have prepared, too.
fn interned() -> Work {
    let mut interner = Interner::default();
    let first = interner.intern((PRIMARY_KEY.as_bytes(), b""), MEANING);
    let call = move || {
        let again = interner.intern((black_box(PRIMARY_KEY.as_bytes()), b""), MEANING);
        usize::from(Rc::ptr_eq(&first, &again))
    };
    Work::new("policy: statement of a known text", 1, call)
}

/// The `Bind` of a statement that client and server know.
fn looked_up() -> Work {
    let (mut interner, mut client) = (Interner::default(), ClientStatements::default());
    let mut server = ServerStatements::default();
    let statement = interner.intern((PRIMARY_KEY.as_bytes(), b""), MEANING);
    server.insert(statement.id);
    client.insert(NAME, statement);
    let call = move || {
        let known = client.get(black_box(NAME)).map(|statement| server.touch(statement.id));
        usize::from(known == Some(true))
    };
    Work::new("policy: statement of a known name", 1, call)
}

/// Puts down what is sent, and takes note of what is answered, up to `ReadyForQuery`.
fn queued(name: &str, sent: &[Expect], answered: &[u8]) -> Work {
    let (sent, answered) = (sent.to_vec(), answered.to_vec());
    let mut replies = Replies::default();
    let call = move || {
        for expect in &sent {
            replies.push(expect.clone());
        }
        for reply in answered.iter().chain([&tag::READY]) {
            while replies.owed().is_some() {}
            if replies.interest().has(*reply) {
                let _shown = black_box(replies.see(*reply));
            }
        }
        usize::from(replies.is_empty())
    };
    Work::new(name, 1, call)
}
