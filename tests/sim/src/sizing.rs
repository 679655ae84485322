//! How much do many Weirs ask of a cluster, and how many reads do replicas serve? On paper, in
//! virtual time, by the code that decides.
//!
//! One Weir is run; the others are alike and share nothing with it but the primary's WAL, so their
//! commits are made here, and their questions counted by multiplying. An idle session costs nothing
//! here: it takes no ticket. So only busy ones are run, as many as the write rate needs.

use std::rc::Rc;
use std::time::{Duration, Instant};

use policy::{Consistency, Preferences, Scope};

use crate::fault::SYSTEM;
use crate::node::{Node, Role};
use crate::random::Random;
use crate::wal::{Micros, Place};
use crate::weather::Weather;
use crate::weir::Scope as Shared;
use crate::world::World;

const WEIRS: u64 = 100;
const REPLICAS: usize = 15;

/// A busy session thinks so long between two cycles.
const THINK: Micros = 20_000;

/// One of a client's cycles in so many is a write; `client.rs` draws them.
const CYCLES_A_WRITE: u64 = 6;

/// Counted from here to there.
const COUNTED: (Micros, Micros) = (1_000_000, 4_000_000);

/// One line of the table.
struct Size {
    level: Consistency,
    writes: u64,
    lag: Micros,
}

/// The table, in Markdown.
pub(crate) fn table(base: Instant) -> Vec<String> {
    let mut lines = vec![
        "| level | writes/s per Weir | busy sessions | replay lag | LSN questions/s: one Weir | at the primary | probes/s: one Weir | at each replica | reads by replicas |".to_owned(),
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|".to_owned(),
    ];
    for level in [Consistency::Session, Consistency::Strong] {
        for writes in [10, 100, 500] {
            for lag in [1_000, 10_000, 100_000] {
                lines.push(Size { level, writes, lag }.line(base));
            }
        }
    }
    lines
}

impl Size {
    fn busy(&self) -> u64 {
        (self.writes * CYCLES_A_WRITE * THINK / 1_000_000).max(1)
    }

    fn line(&self, base: Instant) -> String {
        let mut world = self.world(base);
        world.begin();
        world.later(0, crate::event::Event::Stranger);
        world.go_on(COUNTED.0, 0);
        let before = world.cover.clone();
        world.go_on(COUNTED.1, 0);
        let rate = |what| {
            let seconds = (COUNTED.1 - COUNTED.0) / 1_000_000;
            (world.cover.of(what) - before.of(what)) / seconds
        };
        let (questions, probes, reads) = (rate("questions"), rate("probes"), rate("reads"));
        let served = rate("reads by replicas: session") + rate("reads by replicas: strong");
        let nodes = u64::try_from(REPLICAS).unwrap_or(u64::MAX) + 1;
        format!(
            "| {} | {} | {} | {} ms | {questions} | {} | {probes} | {} | {} % |",
            self.level,
            rate("writes"),
            self.busy(),
            self.lag / 1000,
            questions * WEIRS,
            probes * WEIRS / nodes,
            (served * 100).checked_div(reads).unwrap_or_default(),
        )
    }

    fn world(&self, base: Instant) -> World {
        let mut random = Random::new(self.writes + self.lag);
        let drawn = Weather::draw(&mut random);
        let weather = Weather {
            replicas: REPLICAS,
            weirs: 1,
            confirmed: 0,
            // The other Weirs' commits, as far as a position can tell them apart.
            strangers: (1_000_000 / (self.writes * WEIRS)).max(500),
            timing: policy::cluster::Timing::default(),
            patience: 2_000_000,
            calm_at: COUNTED.1,
            until: COUNTED.1,
            end: COUNTED.1,
            steady: true,
            ..drawn
        };
        let mut world = World::bare(random, weather, base);
        let place = Place { branch: world.crown.branch, lsn: world.wal.end(world.crown.branch) };
        for number in 0..=REPLICAS {
            let role = if number == 0 { Role::Primary } else { Role::Standby };
            let behind = self.lag;
            let node = Node { role, way: 100, pace: 10, behind, ..Node::standby(SYSTEM, place) };
            world.nodes.push(node);
        }
        world.add_weirs();
        let wishes = Rc::new(Preferences {
            consistency: self.level,
            scope: Scope::Connection,
            max_lag: Some(Duration::from_secs(1)),
            ..Preferences::default()
        });
        for _ in 0..self.busy() {
            world.weirs[0].scopes.push(Shared::default());
            let scope = world.weirs[0].scopes.len() - 1;
            world.add_client((0, scope), Rc::clone(&wishes), (None, THINK));
        }
        world
    }
}
