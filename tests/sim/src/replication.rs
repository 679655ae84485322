//! How WAL gets from a primary's memory to what its standbys show.

use policy::Timeline;

use crate::event::{CommitStep, Cycle, End, Event, OfNode};
use crate::node::{Role, Source};
use crate::wal::{Commit, GEOMETRY, Micros, Place};
use crate::world::World;

/// Between two rounds of the WAL writer (`wal_writer_delay`).
const WAL_WRITER: Micros = 200_000;

impl World {
    pub(crate) fn of_node(&mut self, event: OfNode) {
        match event {
            OfNode::WalWriter { node, run } => self.wal_writer(node, run),
            OfNode::Receive { node, run, from, branch, lsn } => {
                let same = self.runs(from.0, from.1) && self.runs(node, run);
                let standby = &mut self.nodes[node];
                if same && standby.source != Source::Dead && standby.branch == branch {
                    standby.received = standby.received.max(lsn);
                    self.go_on_replaying(node);
                }
            }
            OfNode::Replay { node, run } => self.replay(node, run),
            OfNode::Commit { node, run, commit, cycle, step } => {
                self.commit(node, run, commit, (cycle, step));
            }
        }
    }

    /// Whether the node is up and was not restarted since.
    pub(crate) fn runs(&self, node: usize, run: u64) -> bool {
        let node = &self.nodes[node];
        node.up && node.run == run
    }

    /// Whole pages, and asynchronous commits (`XLogBackgroundFlush`).
    fn wal_writer(&mut self, node: usize, run: u64) {
        if !self.runs(node, run) || !self.nodes[node].is_primary() {
            return;
        }
        let end = self.wal.end(self.nodes[node].branch);
        let whole = end - end % GEOMETRY.block;
        let upto = if whole > self.nodes[node].flush { whole } else { self.nodes[node].promised };
        self.flush(node, upto);
        self.later(WAL_WRITER, Event::Node(OfNode::WalWriter { node, run }));
    }

    /// Puts WAL on the primary's disk and sends it.
    pub(crate) fn flush(&mut self, node: usize, upto: u64) {
        let (now, wal) = (self.now, &mut self.wal);
        let primary = &mut self.nodes[node];
        if upto <= primary.flush {
            return;
        }
        primary.flush = upto;
        primary.unflushed.retain(|number| {
            let commit = &mut wal.commits[*number];
            let flushed = commit.end <= upto;
            if flushed {
                commit.flushed = Some(now);
            }
            !flushed
        });
        self.send(node);
    }

    /// Sends what is flushed to all that follow.
    pub(crate) fn send(&mut self, from: usize) {
        for node in 0..self.nodes.len() {
            self.send_to(from, node);
        }
    }

    pub(crate) fn send_to(&mut self, from: usize, node: usize) {
        let (source, standby) = (&self.nodes[from], &self.nodes[node]);
        let (run, branch, lsn) = (standby.run, source.branch, source.flush);
        let follows = standby.up && standby.role == Role::Standby && standby.branch == branch;
        if !follows || !source.is_primary() || standby.source == Source::Dead {
            return;
        }
        let far = if standby.source == Source::Archive { 100 } else { 1 };
        let way = standby.behind + self.random.about(standby.way * far);
        let from = (from, source.run);
        self.later(way, Event::Node(OfNode::Receive { node, run, from, branch, lsn }));
    }

    /// Plans the next step of replay, if there is anything to replay.
    pub(crate) fn go_on_replaying(&mut self, node: usize) {
        let standby = &self.nodes[node];
        let ready = standby.up && standby.role == Role::Standby && !standby.paused;
        if !ready || standby.replaying || self.next_whole(node).is_none() {
            return;
        }
        let (run, pace) = (standby.run, standby.pace * standby.slowness);
        self.nodes[node].replaying = true;
        let pause = self.random.about(pace);
        self.later(pause, Event::Node(OfNode::Replay { node, run }));
    }

    fn next_whole(&self, node: usize) -> Option<u64> {
        let standby = &self.nodes[node];
        let next = self.wal.next_end(Place { branch: standby.branch, lsn: standby.replay });
        next.filter(|end| *end <= standby.received)
    }

    fn replay(&mut self, node: usize, run: u64) {
        if !self.runs(node, run) || self.nodes[node].role != Role::Standby {
            return;
        }
        self.nodes[node].replaying = false;
        if self.nodes[node].paused {
            return;
        }
        let records = if self.weather.steady { usize::MAX } else { self.random.pick(&[1, 8]) };
        for _ in 0..records {
            let Some(end) = self.next_whole(node) else { break };
            self.nodes[node].replay = end;
        }
        self.go_on_replaying(node);
    }

    /// A transaction commits on a primary; for whom, if it came through Weir.
    #[expect(clippy::fn_params_excessive_bools, reason = "`synchronous_commit`")]
    pub(crate) fn begin_commit(&mut self, node: usize, cycle: Option<Cycle>, sync: bool) {
        let branch = self.nodes[node].branch;
        let end = self.wal.append(branch, &mut self.random);
        let waits = sync && self.weather.confirmed > 0;
        self.wal.commits.push(Commit {
            branch,
            end,
            flushed: None,
            visible: None,
            lost: false,
            reloaded: false,
        });
        let commit = self.wal.commits.len() - 1;
        let primary = &mut self.nodes[node];
        primary.unflushed.push(commit);
        let run = primary.run;
        let (step, pause) = if sync {
            self.cover.add("synchronous commits");
            (CommitStep::Flushed, self.random.about(500))
        } else {
            primary.promised = end;
            self.cover.add("asynchronous commits");
            (CommitStep::Visible, 5)
        };
        if waits {
            self.cover.add("commits that wait for a standby");
        }
        self.later(pause, Event::Node(OfNode::Commit { node, run, commit, cycle, step }));
    }

    fn commit(
        &mut self,
        node: usize,
        run: u64,
        commit: usize,
        (cycle, step): (Option<Cycle>, CommitStep),
    ) {
        if !self.runs(node, run) {
            self.answer(cycle, node, End::Broken);
            return;
        }
        if step == CommitStep::Flushed {
            self.flush(node, self.wal.commits[commit].end);
            if self.weather.confirmed > 0 {
                let pause = self.random.about(self.weather.confirmed);
                let step = CommitStep::Visible;
                self.later(pause, Event::Node(OfNode::Commit { node, run, commit, cycle, step }));
                return;
            }
        }
        self.wal.commits[commit].visible = Some(self.now);
        self.nodes[node].ended += 1;
        self.note(|| format!("node {node}: commit {commit} is visible"));
        if cycle.is_none() {
            self.told.add(commit);
        }
        self.answer(cycle, node, End::Done { commit: Some(commit) });
    }

    /// Somebody commits without Weir.
    pub(crate) fn stranger(&mut self) {
        if let Some(node) = self.crown.node
            && self.nodes[node].is_primary()
        {
            let sync = self.weather.steady || self.random.chance(50);
            self.wal.append(self.nodes[node].branch, &mut self.random);
            self.begin_commit(node, None, sync);
        }
        if self.now < self.weather.until {
            let pause = self.random.about(self.weather.strangers);
            let pause = if self.now > self.weather.calm_at { pause.max(50_000) } else { pause };
            self.later(pause, Event::Stranger);
        }
    }

    pub(crate) fn true_timeline(&self) -> Timeline {
        self.wal.timeline(self.crown.branch)
    }
}
