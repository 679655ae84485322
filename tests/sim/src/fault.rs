//! What breaks, when, and how it is mended.

use crate::event::Event;
use crate::node::{Node, Role, Source};
use crate::wal::Micros;
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
pub(crate) const OTHER_SYSTEM: u64 = 4711;

impl Fault {
    /// What becomes of it once everything is to be mended.
    const fn in_calm(self) -> Self {
        if let Self::Remade(node, Kin::Other) = self { Self::Remade(node, Kin::Same) } else { self }
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
            Fault::Cut(weir, node) => self.weirs[weir].cut[node] = true,
            Fault::Mended(weir, node) => self.weirs[weir].cut[node] = false,
            Fault::Crash(node) => self.crash(node),
            Fault::Restart(node) => self.restart(node),
            Fault::Promote(node) => self.promote(node),
            Fault::ReceiverBack(node) | Fault::Follow(node) => self.follow(node),
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

    pub(crate) fn heir(&mut self) -> Option<usize> {
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
}
