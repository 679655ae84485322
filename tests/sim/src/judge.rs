//! What must hold, by the ground truth that no Weir knows.

use std::time::Duration;

use policy::{Consistency, Leader, Reason, Route};
use sql::Class;

use crate::bits::Bits;
use crate::client::Running;
use crate::event::Sent;
use crate::node::{Node, Role, Source};
use crate::weir::id;
use crate::world::World;

/// What nearly every run ends with.
pub(crate) const SERVED_AGAIN: &str = "calms in which replicas serve again";

impl World {
    /// A cycle leaves a Weir: where to is what its topology says, and only reads go to replicas.
    pub(crate) fn judge_sent(&mut self, client: usize, to: Sent) {
        let it = &self.clients[client];
        let weir = &self.weirs[it.weir];
        let Some(cycle) = &it.cycle else { return };
        let class = cycle.step.class().0;
        if !to.primary && class != Class::Read {
            let what =
                format!("client {client}'s {:?} goes to the replica {}", cycle.step, to.node);
            self.violated("only reads go to replicas", what);
            return;
        }
        let other = match weir.topology.leader {
            Leader::Node { id: leader, .. } => leader != id(to.node),
            // Lost, and nobody else yet: its own epoch goes on.
            Leader::Missing { .. } | Leader::SplitBrain => false,
        };
        if to.primary && (other || to.epoch != weir.topology.epoch) {
            let (epoch, leader) = (weir.topology.epoch, weir.topology.leader);
            let what = format!(
                "client {client}'s {:?} goes to node {} under epoch {}, but {leader:?} leads in {}",
                cycle.step, to.node, to.epoch.0, epoch.0
            );
            self.violated("no write under an old epoch", what);
        }
    }

    /// Something is written: on the newest timeline that this Weir ever knew.
    pub(crate) fn judge_write(&mut self, client: usize, to: Sent) {
        let weir = self.clients[client].weir;
        let timeline = self.wal.timeline(self.nodes[to.node].branch);
        let highest = self.weirs[weir].highest;
        self.cover.add("writes");
        if Some(timeline) < highest && to.epoch == self.weirs[weir].topology.epoch {
            let what =
                format!("client {client} writes on timeline {timeline}; {highest:?} led before");
            self.violated("no write on a succeeded timeline", what);
        }
        if timeline < self.true_timeline() {
            self.cover.add("writes on a primary that was succeeded unseen");
        }
    }

    /// A read is answered: it shows what it must.
    pub(crate) fn judge_read(
        &mut self,
        client: usize,
        (to, of_primary): (Sent, bool),
        shown: &Bits,
    ) {
        let it = &self.clients[client];
        let Some(cycle) = it.cycle.clone() else { return };
        let level = it.wishes.consistency;
        self.count_read(client, to, &cycle);
        for commit in cycle.must.without(shown) {
            if !self.survived(commit) {
                continue;
            }
            if self.is_of_an_unknown_primary(&cycle, commit) {
                self.cover.add("reads of a Weir that knows no newer primary");
                continue;
            }
            if of_primary && self.wal.commits[commit].visible.is_none_or(|at| at > cycle.snapshot) {
                // A standby showed it while its primary still waited.
                continue;
            }
            let name = self.rule_of(client, (level, commit));
            self.violated(name, self.tell(client, to, commit, &cycle));
            return;
        }
        if !to.primary && !of_primary {
            self.judge_age(client, (to, &cycle), shown);
        }
    }

    /// Whether the newest primary has it, and all before it had.
    fn survived(&self, commit: usize) -> bool {
        self.wal.survived(commit, self.crown.branch) && !self.forgotten.has(commit)
    }

    fn rule_of(&self, client: usize, (level, commit): (Consistency, usize)) -> &'static str {
        let it = &self.clients[client];
        if self.weirs[it.weir].scopes[it.scope].told.has(commit) {
            "a read shows its scope's own writes"
        } else if it.must.has(commit) && level != Consistency::Eventual {
            "a read shows what the session read before"
        } else if it.tokens.has(commit) {
            "a read shows what its token stands for"
        } else {
            "a strong read shows all that was acknowledged"
        }
    }

    fn tell(&self, client: usize, to: Sent, commit: usize, cycle: &Running) -> String {
        let node = &self.nodes[to.node];
        let it = &self.wal.commits[commit];
        format!(
            "client {client}'s cycle {} on node {} (branch {}, replay {:X}) misses commit {commit} \
             (branch {}, {:X}, flushed {:?}, visible {:?}); decided {:?}",
            cycle.number,
            to.node,
            node.branch,
            node.replay,
            it.branch,
            it.end,
            it.flushed,
            it.visible,
            cycle.decided
        )
    }

    /// Whether the commit was made on a timeline that its Weir took for nobody's when it sent the cycle.
    fn is_of_an_unknown_primary(&self, cycle: &Running, commit: usize) -> bool {
        Some(self.wal.timeline(self.wal.commits[commit].branch)) > cycle.highest
    }

    /// A replica is no older than `max_lag` said when the read was decided.
    fn judge_age(&mut self, client: usize, (to, cycle): (Sent, &Running), shown: &Bits) {
        let wishes = &self.clients[client].wishes;
        let Some(decided) = cycle.decided.filter(|decided| decided.led) else { return };
        let Some(bound) = wishes.max_lag.filter(|_| wishes.route == Route::Auto) else { return };
        let bound = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
        let Some(limit) = decided.at.checked_sub(bound) else { return };
        if cycle.highest < Some(self.true_timeline()) {
            return;
        }
        let old = |number: &usize| {
            let commit = &self.wal.commits[*number];
            let since = commit.flushed.zip(commit.visible).map(|(one, other)| one.max(other));
            since.is_some_and(|since| since < limit)
                && !shown.has(*number)
                && self.survived(*number)
        };
        let missed = (0..self.wal.commits.len()).find(old);
        if let Some(commit) = missed {
            self.violated("a read is no older than max_lag", self.tell(client, to, commit, cycle));
        }
    }

    fn count_read(&mut self, client: usize, to: Sent, cycle: &Running) {
        let it = &self.clients[client];
        let free = it.lease.is_none() && cycle.step.class().0 == Class::Read;
        if !free {
            return;
        }
        let level = it.wishes.consistency;
        let reason = cycle.decided.map(|decided| decided.reason);
        self.cover.add("reads");
        // Below twice the pause between probes a bound is not promised to be met.
        let counts = it.wishes.max_lag.is_none_or(|bound| bound >= Duration::from_millis(500))
            && self.now > self.weather.calm_at + self.weather.settles;
        if to.primary {
            self.calm.1 += u64::from(counts);
            return;
        }
        self.calm.0 += u64::from(counts);
        self.cover.add(match level {
            Consistency::Eventual => "reads by replicas: eventual",
            Consistency::Session => "reads by replicas: session",
            Consistency::Strong => "reads by replicas: strong",
        });
        if reason == Some(Reason::NoPrimary) {
            self.cover.add("reads by replicas without a primary");
        }
    }

    /// The end of a run: nothing is left open; whether replicas served again when all was mended.
    pub(crate) fn judge_end(&mut self) {
        if let Some(number) = self.outcomes.iter().position(Option::is_none) {
            self.violated("one outcome", format!("cycle {number} never had one"));
        }
        let (replicas, primary) = self.calm;
        let streams = |node: &Node| node.role == Role::Standby && node.source == Source::Stream;
        let may_serve = self.nodes.iter().any(streams);
        if may_serve && primary + replicas >= 20 {
            // Not every one: a standing transaction's WAL may keep fences out of reach.
            self.cover.add(if replicas > 0 {
                SERVED_AGAIN
            } else {
                "calms served by the primary alone"
            });
        }
    }
}
