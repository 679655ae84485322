//! One PostgreSQL server: what it has on disk, what it shows, what it says when it is asked.

use policy::Lsn;
use policy::cluster::Observed;
use policy::lag::{Marks, Positions, Xid};

use crate::bits::Bits;
use crate::event::Default;
use crate::wal::{Commit, GEOMETRY, Micros, Place, Wal, inserting_at};

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Primary,
    Standby,
}

/// How a standby gets its WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A receiver that runs.
    Stream,
    /// A receiver that died; what was received goes on being replayed.
    Dead,
    /// An archive: nobody says which timeline it is.
    Archive,
}

/// A server.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts that have nothing to do with each other")]
pub(crate) struct Node {
    pub(crate) up: bool,
    /// When it was started last.
    pub(crate) born: Micros,
    /// Grows with each start; what began in another run has failed.
    pub(crate) run: u64,
    /// `pg_postmaster_start_time()`: by its wall clock.
    pub(crate) started: i64,
    /// How wrong its wall clock is, microseconds.
    pub(crate) wall: i64,
    pub(crate) system: u64,
    /// Whether it ever had data of another system.
    pub(crate) strayed: bool,
    pub(crate) role: Role,
    pub(crate) branch: usize,
    /// A primary's WAL on disk; may end within a record.
    pub(crate) flush: u64,
    /// Up to where asynchronous commits wait for the WAL writer.
    pub(crate) promised: u64,
    /// A primary's commits that are not on disk.
    pub(crate) unflushed: Vec<usize>,
    pub(crate) received: u64,
    pub(crate) replay: u64,
    /// Where a standby's replay begins again if it crashes.
    pub(crate) restartpoint: u64,
    pub(crate) source: Source,
    pub(crate) paused: bool,
    /// How many times slower than usual it replays.
    pub(crate) slowness: u64,
    /// Whether a step of replay is under way.
    pub(crate) replaying: bool,
    /// How many transactions have ended: what `pg_current_snapshot()` changes with.
    pub(crate) ended: u64,
    /// `synchronous_commit = off` in its configuration, since when that was loaded; for the role.
    pub(crate) conf_off: bool,
    pub(crate) loaded: i64,
    pub(crate) role_off: bool,
    /// How long WAL takes to it beyond a message's way.
    pub(crate) behind: Micros,
    /// How long a message to it takes, and a step of its replay.
    pub(crate) way: Micros,
    pub(crate) pace: Micros,
}

impl Node {
    pub(crate) fn standby(system: u64, place: Place) -> Self {
        Self {
            up: true,
            born: 0,
            run: 1,
            started: 0,
            wall: 0,
            system,
            strayed: false,
            role: Role::Standby,
            branch: place.branch,
            flush: place.lsn,
            promised: 0,
            unflushed: Vec::new(),
            received: place.lsn,
            replay: place.lsn,
            restartpoint: place.lsn,
            source: Source::Stream,
            paused: false,
            slowness: 1,
            replaying: false,
            ended: 0,
            conf_off: false,
            loaded: 0,
            role_off: false,
            behind: 0,
            way: 200,
            pace: 200,
        }
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.up && self.role == Role::Primary
    }

    /// What it shows, as far as the WAL decides.
    pub(crate) fn place(&self, wal: &Wal) -> Place {
        let lsn = match self.role {
            Role::Primary => wal.end(self.branch),
            Role::Standby => self.replay,
        };
        Place { branch: self.branch, lsn }
    }

    /// The commits that a snapshot taken now shows.
    pub(crate) fn shows(&self, wal: &Wal) -> Bits {
        let (place, mut shown) = (self.place(wal), Bits::new());
        for (number, commit) in wal.commits.iter().enumerate() {
            let own = self.role == Role::Primary && commit.branch == self.branch;
            if wal.has(place, commit) && (commit.visible.is_some() || !own) {
                shown.add(number);
            }
        }
        shown
    }

    /// What a probe sees; `marks` are those of its connection.
    pub(crate) fn observed(&self, wal: &Wal, marks: &mut Marks) -> Observed {
        match self.role {
            Role::Primary => Observed::Writable {
                timeline: wal.timeline(self.branch),
                flush: Lsn(self.flush),
                mark: self.mark(wal, marks),
                xmax: self.ended(wal),
            },
            Role::Standby => Observed::Standby {
                timeline: (self.source == Source::Stream).then(|| wal.timeline(self.branch)),
                replay: Some(Lsn(self.replay)),
                xmin: self.ended(wal),
            },
        }
    }

    /// Below which all transactions that have ended here are: they are numbered as they commit.
    ///
    /// Transactions that commit in another order than they began are not modelled. On one branch commits
    /// stand in the order of their numbers, so those that a standby has replayed are all below as well.
    fn ended(&self, wal: &Wal) -> Xid {
        let place = self.place(wal);
        let ended = |commit: &Commit| {
            let own = self.role == Role::Primary && commit.branch == self.branch;
            wal.has(place, commit) && (commit.visible.is_some() || !own)
        };
        let newest = wal.commits.iter().rposition(ended);
        Xid(newest.map_or(1, |newest| u64::try_from(newest).unwrap_or(u64::MAX) + 2))
    }

    /// A primary's mark, by the positions that one connection sees.
    pub(crate) fn mark(&self, wal: &Wal, marks: &mut Marks) -> Lsn {
        let snapshot = self.ended.to_string();
        marks.mark(Positions {
            insert: self.insert(wal),
            flush: Lsn(self.flush),
            block: GEOMETRY.block,
            snapshot: &snapshot,
        })
    }

    /// A primary's `pg_current_wal_insert_lsn()`, rounded.
    pub(crate) fn insert(&self, wal: &Wal) -> Lsn {
        Lsn(inserting_at(wal.end(self.branch))).round_insert(GEOMETRY)
    }

    /// What a server that is opened now has for `synchronous_commit`.
    pub(crate) const fn default(&self) -> Default {
        if self.role_off { Default::RoleOff } else { Default::Configured { off: self.conf_off } }
    }
}
