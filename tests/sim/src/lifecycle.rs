//! How nodes end, start again, take over and follow.

use crate::event::{Event, OfNode};
use crate::fault::{Fault, Kin, OTHER_SYSTEM, SYSTEM};
use crate::node::{Node, Role, Source};
use crate::wal::Place;
use crate::world::World;

impl World {
    pub(crate) fn crash(&mut self, number: usize) {
        if !self.nodes[number].up {
            return;
        }
        if self.crown.node == Some(number) {
            self.crown.node = None;
        }
        let (branch, role) = (self.nodes[number].branch, self.nodes[number].role);
        if role == Role::Primary {
            let flush = self.nodes[number].flush;
            let lsn = self.wal.last_whole(Place { branch, lsn: flush });
            self.wal.truncate(Place { branch, lsn }, self.now);
            for standby in self.nodes.iter_mut().filter(|node| node.branch == branch) {
                standby.received = standby.received.min(lsn).max(standby.replay);
                standby.flush = standby.flush.min(lsn);
            }
        } else {
            let back = self.random.below(40_000);
            let from = self.nodes[number].replay.saturating_sub(back);
            let from = self.wal.last_whole(Place { branch, lsn: from });
            self.nodes[number].restartpoint = from.max(self.nodes[number].restartpoint);
        }
        let node = &mut self.nodes[number];
        node.up = false;
        node.unflushed.clear();
        node.promised = 0;
        self.connections_break(number);
    }

    fn start(&mut self, number: usize) {
        let wall = self.wall_clock(number);
        let now = self.now;
        let node = &mut self.nodes[number];
        node.up = true;
        node.born = now;
        node.run += 1;
        node.started = wall;
        node.loaded = wall;
        node.replaying = false;
        node.paused = false;
        let run = node.run;
        if node.role == Role::Primary {
            self.later(0, Event::Node(OfNode::WalWriter { node: number, run }));
        }
    }

    pub(crate) fn wall_clock(&self, node: usize) -> i64 {
        i64::try_from(self.now).unwrap_or(i64::MAX) + self.nodes[node].wall
    }

    pub(crate) fn restart(&mut self, number: usize) {
        if self.nodes[number].up {
            return;
        }
        self.start(number);
        if self.nodes[number].role == Role::Standby {
            let node = &mut self.nodes[number];
            node.replay = node.restartpoint.min(node.replay);
            self.follow(number);
            return;
        }
        if self.nodes[number].branch == self.crown.branch {
            self.crown.node = Some(number);
            self.send(number);
        } else {
            self.cover.add("superseded primaries");
            let pause = self.random.between(100_000, 800_000);
            self.later(pause, Event::Fault(Fault::Remade(number, Kin::Same)));
        }
    }

    pub(crate) fn promote(&mut self, number: usize) {
        let node = &self.nodes[number];
        let usurps = self.crown.node.is_some();
        if !node.up || node.role == Role::Primary || node.system != SYSTEM {
            return;
        }
        if usurps && (!self.weather.usurpers || self.now >= self.weather.calm_at) {
            return;
        }
        let place = Place { branch: node.branch, lsn: node.received.max(node.replay) };
        let place = Place { lsn: self.wal.last_whole(place), ..place };
        let branch = self.wal.fork(place);
        let node = &mut self.nodes[number];
        node.role = Role::Primary;
        node.branch = branch;
        node.flush = place.lsn;
        let run = node.run;
        self.crown.node = Some(number);
        self.crown.branch = branch;
        for commit in 0..self.wal.commits.len() {
            if !self.wal.survived(commit, branch) {
                self.forgotten.add(commit);
            }
        }
        self.cover.add("promotions");
        self.note(|| format!("node {number} leaves branch {} at {:x}", place.branch, place.lsn));
        let end = self.wal.append(branch, &mut self.random);
        self.flush(number, end);
        self.later(0, Event::Node(OfNode::WalWriter { node: number, run }));
        for other in 0..self.nodes.len() {
            let pause = self.random.between(20_000, 900_000);
            self.later(pause, Event::Fault(Fault::Follow(other)));
        }
    }

    /// A standby asks for the newest timeline, and gets it if that continues what it has.
    pub(crate) fn follow(&mut self, number: usize) {
        let newest = self.crown.branch;
        let node = &mut self.nodes[number];
        if !node.up || node.role != Role::Standby || node.system != SYSTEM {
            return;
        }
        let has = Place { branch: node.branch, lsn: node.replay };
        if !self.wal.continues(newest, has) {
            self.cover.add("standbys ahead of a switch point");
            node.source = Source::Dead;
            return;
        }
        if node.branch != newest {
            node.branch = newest;
            node.received = node.replay;
        }
        if node.source == Source::Dead {
            node.source = Source::Stream;
        }
        if let Some(primary) = self.crown.node {
            self.send_to(primary, number);
        }
        self.go_on_replaying(number);
    }

    /// The node gets data of the newest primary, as of some time ago, and follows it.
    pub(crate) fn remake(&mut self, number: usize, kin: Kin) {
        if self.crown.node == Some(number) {
            return;
        }
        if self.nodes[number].up {
            // That takes a while.
            self.crash(number);
            self.later(600_000, Event::Fault(Fault::Remade(number, kin)));
            return;
        }
        let (run, wall, way) =
            (self.nodes[number].run, self.nodes[number].wall, self.nodes[number].way);
        let node = match kin {
            Kin::Other => {
                let branch = self.wal.root();
                for _ in 0..20 {
                    self.wal.append(branch, &mut self.random);
                }
                Node::standby(OTHER_SYSTEM, Place { branch, lsn: self.wal.end(branch) })
            }
            Kin::Same => {
                let branch = self.crown.branch;
                let flush = self.crown.node.map_or(self.wal.end(branch), |it| self.nodes[it].flush);
                let lsn = flush.saturating_sub(self.random.below(50_000));
                let lsn = self.wal.last_whole(Place { branch, lsn });
                Node::standby(SYSTEM, Place { branch, lsn })
            }
        };
        let role_off = self.nodes[number].role_off;
        let strayed = self.nodes[number].strayed || kin == Kin::Other;
        self.nodes[number] =
            Node { run, wall, way, role_off, strayed, pace: self.nodes[number].pace, ..node };
        self.start(number);
        self.follow(number);
    }

    /// From here on nothing breaks; what is broken is mended.
    pub(crate) fn calm(&mut self) {
        for weir in &mut self.weirs {
            weir.cut.fill(false);
        }
        if self.crown.node.is_none() {
            self.crown_somebody();
        }
        for number in 0..self.nodes.len() {
            let node = &mut self.nodes[number];
            node.slowness = 1;
            node.pace = node.pace.min(500);
            node.paused = false;
            let has = Place { branch: node.branch, lsn: node.replay };
            let fits = node.system == SYSTEM && self.wal.continues(self.crown.branch, has);
            match (self.crown.node == Some(number), node.up && node.role == Role::Standby && fits) {
                (true, _) => {}
                (false, true) => self.follow(number),
                (false, false) => self.remake(number, Kin::Same),
            }
        }
    }

    /// The old primary if it is still there, or whoever has the most.
    fn crown_somebody(&mut self) {
        let branch = self.crown.branch;
        let old = |node: &Node| node.branch == branch && node.role == Role::Primary;
        if let Some(old) = self.nodes.iter().position(old) {
            self.restart(old);
            return;
        }
        for number in 0..self.nodes.len() {
            if self.nodes[number].role == Role::Standby {
                self.restart(number);
            }
        }
        let ours = |node: &Node| node.up && node.role == Role::Standby && node.system == SYSTEM;
        let heir = self.heir().or_else(|| self.nodes.iter().position(ours));
        if let Some(heir) = heir {
            self.promote(heir);
        }
    }
}
