//! What breaks, when, and how it is mended.

use crate::event::{Event, OfNode};
use crate::node::{Node, Role, Source};
use crate::wal::{Micros, Place};
use crate::world::World;

/// A fault, or its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The next fault is drawn.
    Next,
    /// Everything is mended.
    Calm,
    /// Replay is slower by this factor.
    Slow(usize, u64),
    Pause(usize),
    Resume(usize),
    ReceiverDies(usize),
    ReceiverBack(usize),
    /// Nothing gets from this Weir to this node's monitor and back.
    Cut(usize, usize),
    Mended(usize, usize),
    Crash(usize),
    Restart(usize),
    /// The most useful of the standbys, or not, takes over.
    Promote(usize),
    /// A standby looks for the newest timeline.
    Follow(usize),
    /// The data is made anew, at the same address; of another system perhaps.
    Remade(usize, Kin),
    /// A wall clock jumps by so many seconds.
    WallClock(usize, i64),
    /// The configuration says so of `synchronous_commit`, or what the role has of its own.
    ConfOff(usize, bool),
    RoleOff(bool),
}

/// Whose data a node gets when it is made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kin {
    Same,
    Other,
}

/// The identifier of all that belongs together, and of what doesn't.
pub(crate) const SYSTEM: u64 = 7_301_234_567_890_123_456;
const OTHER_SYSTEM: u64 = 4711;

impl Fault {
    /// What becomes of it once everything is to be mended.
    const fn in_calm(self) -> Self {
        match self {
            Self::Remade(node, Kin::Other) => Self::Remade(node, Kin::Same),
            other => other,
        }
    }
}

impl World {
    pub(crate) fn fault(&mut self, fault: Fault) {
        if fault != Fault::Next {
            self.note(|| format!("fault: {fault:?}"));
        }
        let fault = if self.now > self.weather.calm_at { fault.in_calm() } else { fault };
        match fault {
            Fault::Next => self.strike(),
            Fault::Calm => self.calm(),
            Fault::Slow(node, slowness) => self.nodes[node].slowness = slowness,
            Fault::Pause(node) => self.nodes[node].paused = true,
            Fault::Resume(node) => {
                self.nodes[node].paused = false;
                self.go_on_replaying(node);
            }
            Fault::ReceiverDies(node) => {
                if self.nodes[node].source == Source::Stream {
                    self.nodes[node].source = Source::Dead;
                }
            }
            Fault::ReceiverBack(node) => self.follow(node),
            Fault::Cut(weir, node) => self.weirs[weir].cut[node] = true,
            Fault::Mended(weir, node) => self.weirs[weir].cut[node] = false,
            Fault::Crash(node) => self.crash(node),
            Fault::Restart(node) => self.restart(node),
            Fault::Promote(node) => self.promote(node),
            Fault::Follow(node) => self.follow(node),
            Fault::Remade(node, kin) => self.remake(node, kin),
            Fault::WallClock(node, seconds) => {
                self.cover.add("jumps of a wall clock");
                self.nodes[node].wall += seconds * 1_000_000 * self.weather.jumps;
            }
            Fault::ConfOff(node, off) => {
                self.nodes[node].conf_off = off;
                self.nodes[node].loaded = self.wall_clock(node);
            }
            Fault::RoleOff(off) => self.nodes.iter_mut().for_each(|node| node.role_off = off),
        }
    }

    fn strike(&mut self) {
        if self.now >= self.weather.calm_at {
            return;
        }
        let node = self.random.place(self.nodes.len());
        let weir = self.random.place(self.weirs.len());
        let while_long = self.random.between(20_000, 1_500_000);
        match self.random.below(22) {
            0..=2 => {
                let slowness = self.random.pick(&[10, 100, 1000]);
                self.cover.add("lag storms");
                self.fault(Fault::Slow(node, slowness));
                self.later(while_long, Event::Fault(Fault::Slow(node, 1)));
            }
            3 | 4 => self.for_a_while(
                "pauses of replay",
                (Fault::Pause(node), Fault::Resume(node)),
                while_long,
            ),
            5 | 6 => self.for_a_while(
                "dead receivers",
                (Fault::ReceiverDies(node), Fault::ReceiverBack(node)),
                while_long,
            ),
            7 | 8 => self.for_a_while(
                "lost probes and questions",
                (Fault::Cut(weir, node), Fault::Mended(weir, node)),
                while_long,
            ),
            9..=12 => self.crash_one(node),
            13..=15 => self.fail_over(),
            16 => self.usurp(),
            17 | 18 => self.reclone(node),
            19 => self.for_a_while(
                "commits asynchronous by configuration",
                (Fault::ConfOff(node, true), Fault::ConfOff(node, false)),
                while_long,
            ),
            20 if self.weather.roles => self.for_a_while(
                "commits asynchronous by role",
                (Fault::RoleOff(true), Fault::RoleOff(false)),
                while_long,
            ),
            _ => {
                let seconds = self.random.pick(&[-3600, -1, 1, 3600, 86400]);
                self.fault(Fault::WallClock(node, seconds));
            }
        }
        let pause = self.random.about(self.weather.faults);
        self.later(pause, Event::Fault(Fault::Next));
    }

    fn for_a_while(&mut self, what: &'static str, (fault, end): (Fault, Fault), pause: Micros) {
        self.cover.add(what);
        self.fault(fault);
        self.later(pause, Event::Fault(end));
    }

    fn crash_one(&mut self, node: usize) {
        if !self.nodes[node].up {
            return;
        }
        let primary = self.nodes[node].role == Role::Primary;
        self.cover.add(if primary { "primary restarts" } else { "standby restarts" });
        self.fault(Fault::Crash(node));
        let pause = self.random.between(30_000, 900_000);
        self.later(pause, Event::Fault(Fault::Restart(node)));
    }

    /// The primary dies; a standby takes its place; the old one comes back as something, or not.
    fn fail_over(&mut self) {
        let Some(old) = self.crown.node else { return };
        let Some(heir) = self.heir() else { return };
        self.cover.add("failovers");
        self.fault(Fault::Crash(old));
        let pause = self.random.between(5_000, 600_000);
        self.later(pause, Event::Fault(Fault::Promote(heir)));
        let back = pause + self.random.between(100_000, 900_000);
        match self.random.below(3) {
            0 => {}
            1 => self.later(back, Event::Fault(Fault::Restart(old))),
            _ => self.later(back, Event::Fault(Fault::Remade(old, Kin::Same))),
        }
    }

    /// A standby takes over while the old primary is still there.
    fn usurp(&mut self) {
        if !self.weather.usurpers {
            return;
        }
        let Some(heir) = self.heir() else { return };
        let old = self.crown.node;
        self.cover.add("promotions beside a primary");
        self.fault(Fault::Promote(heir));
        if let Some(old) = old {
            let pause = self.random.between(50_000, 1_000_000);
            self.later(pause, Event::Fault(Fault::Remade(old, Kin::Same)));
        }
    }

    fn heir(&mut self) -> Option<usize> {
        let newest = self.crown.branch;
        let may = |node: &Node| node.up && node.role == Role::Standby && node.branch == newest;
        let heirs: Vec<usize> =
            (0..self.nodes.len()).filter(|node| may(&self.nodes[*node])).collect();
        (!heirs.is_empty()).then(|| self.random.pick(&heirs))
    }

    fn reclone(&mut self, node: usize) {
        if self.crown.node == Some(node) || !self.nodes[node].up {
            return;
        }
        self.cover.add("nodes made anew");
        self.fault(Fault::Crash(node));
        let kin = if self.random.chance(30) { Kin::Other } else { Kin::Same };
        let pause = self.random.between(500_000, 2_000_000);
        self.later(pause, Event::Fault(Fault::Remade(node, kin)));
    }

    fn crash(&mut self, number: usize) {
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
        self.connections_break(number);
    }

    fn start(&mut self, number: usize) {
        let wall = self.wall_clock(number);
        let node = &mut self.nodes[number];
        node.up = true;
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

    fn wall_clock(&self, node: usize) -> i64 {
        i64::try_from(self.now).unwrap_or(i64::MAX) + self.nodes[node].wall
    }

    fn restart(&mut self, number: usize) {
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

    fn promote(&mut self, number: usize) {
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
    fn follow(&mut self, number: usize) {
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
    fn remake(&mut self, number: usize, kin: Kin) {
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
        self.nodes[number] =
            Node { run, wall, way, role_off, pace: self.nodes[number].pace, ..node };
        self.start(number);
        self.follow(number);
    }

    /// From here on nothing breaks; what is broken is mended.
    fn calm(&mut self) {
        for weir in &mut self.weirs {
            weir.cut.fill(false);
        }
        if self.crown.node.is_none() {
            let branch = self.crown.branch;
            let old =
                self.nodes.iter().position(|it| it.branch == branch && it.role == Role::Primary);
            match (old, self.heir()) {
                (Some(old), _) => self.restart(old),
                (None, Some(heir)) => self.promote(heir),
                (None, None) => {}
            }
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
}
