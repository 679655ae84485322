//! The ground truth: every branch of the WAL, and which commits are where on them.
//!
//! Positions are as PostgreSQL counts them: a page begins with a header, so the position behind a
//! record that fills a page is that page's end, while the insert position stands behind the next
//! page's header already (`src/backend/access/transam/xlog.c`, `XLogBytePosToRecPtr`).

use policy::Timeline;
use policy::lsn::WalGeometry;

use crate::random::Random;

/// Virtual time, microseconds since the run began.
pub(crate) type Micros = u64;

/// Few pages a segment, so that its long header is met often.
pub(crate) const GEOMETRY: WalGeometry = WalGeometry { block: 8192, segment: 4 * 8192 };

/// Where the first branch begins.
const START: u64 = 16 * GEOMETRY.segment;

/// A timeline of one system.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) timeline: Timeline,
    /// Where it left which other one.
    parent: Option<(usize, u64)>,
    /// Where its records end, rising.
    ends: Vec<u64>,
}

/// A transaction that was committed.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) branch: usize,
    pub(crate) end: u64,
    /// When the primary had it on disk.
    pub(crate) flushed: Option<Micros>,
    /// Since when its primary shows it.
    pub(crate) visible: Option<Micros>,
    /// It was not on disk when the primary crashed.
    pub(crate) lost: bool,
    /// A reload made it asynchronous behind the back of the Weir that opened its server.
    pub(crate) reloaded: bool,
}

/// What a node has: a branch up to a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) branch: usize,
    pub(crate) lsn: u64,
}

/// All WAL that was ever written.
#[derive(Debug, Default)]
pub(crate) struct Wal {
    pub(crate) branches: Vec<Branch>,
    pub(crate) commits: Vec<Commit>,
}

const fn header(at: u64) -> u64 {
    if at % GEOMETRY.segment < GEOMETRY.block { 40 } else { 24 }
}

/// The position that `pg_current_wal_insert_lsn()` gives.
pub(crate) const fn inserting_at(end: u64) -> u64 {
    if end.is_multiple_of(GEOMETRY.block) { end + header(end) } else { end }
}

/// The end of a record of so many bytes behind `at`.
fn behind(mut at: u64, mut bytes: u64) -> u64 {
    while bytes > 0 {
        at = inserting_at(at);
        let part = bytes.min(GEOMETRY.block - at % GEOMETRY.block);
        at += part;
        bytes -= part;
    }
    at
}

/// Record sizes that meet the edges of pages often.
fn size(at: u64, random: &mut Random) -> u64 {
    let room = GEOMETRY.block - inserting_at(at) % GEOMETRY.block;
    match random.below(8) {
        0 | 1 => room,
        2 | 3 => 16,
        4 => 8,
        _ => random.between(64, 2500),
    }
}

impl Wal {
    /// Begins another system's history.
    pub(crate) fn root(&mut self) -> usize {
        let first = Branch { timeline: Timeline(1), parent: None, ends: vec![START] };
        self.branches.push(first);
        self.branches.len() - 1
    }

    /// Begins a timeline at a record's end of another.
    pub(crate) fn fork(&mut self, from: Place) -> usize {
        let newest = self.branches.iter().map(|branch| branch.timeline.0).max().unwrap_or_default();
        let timeline = Timeline(newest + 1);
        let parent = Some((from.branch, from.lsn));
        self.branches.push(Branch { timeline, parent, ends: Vec::new() });
        self.branches.len() - 1
    }

    pub(crate) fn timeline(&self, branch: usize) -> Timeline {
        self.branches[branch].timeline
    }

    /// Writes a record behind the last one; its end.
    pub(crate) fn append(&mut self, branch: usize, random: &mut Random) -> u64 {
        let at = self.end(branch);
        let end = behind(at, size(at, random));
        self.branches[branch].ends.push(end);
        end
    }

    /// Where the last record of the branch ends.
    pub(crate) fn end(&self, branch: usize) -> u64 {
        let branch = &self.branches[branch];
        branch.ends.last().copied().or(branch.parent.map(|(_, at)| at)).unwrap_or(START)
    }

    /// The end of the first record behind `from`.
    pub(crate) fn next_end(&self, from: Place) -> Option<u64> {
        let branch = &self.branches[from.branch];
        if let Some((parent, at)) = branch.parent
            && from.lsn < at
        {
            let inherited = self.next_end(Place { branch: parent, ..from });
            return Some(inherited.map_or(at, |end| end.min(at)));
        }
        let next = branch.ends.partition_point(|end| *end <= from.lsn);
        branch.ends.get(next).copied()
    }

    /// The end of the last record that is whole at `place`.
    pub(crate) fn last_whole(&self, place: Place) -> u64 {
        let branch = &self.branches[place.branch];
        let behind = branch.ends.partition_point(|end| *end <= place.lsn);
        match (behind.checked_sub(1), branch.parent) {
            (Some(last), _) => branch.ends[last],
            (None, Some((parent, at))) => {
                self.last_whole(Place { branch: parent, lsn: place.lsn.min(at) })
            }
            (None, None) => START,
        }
    }

    /// Forgets what was not on disk when a primary crashed.
    pub(crate) fn truncate(&mut self, kept: Place, now: Micros) {
        self.branches[kept.branch].ends.retain(|end| *end <= kept.lsn);
        for commit in self.commits.iter_mut().filter(|commit| commit.branch == kept.branch) {
            commit.lost |= commit.end > kept.lsn;
            commit.visible = commit.visible.or(Some(now));
        }
    }

    /// Whether a node at `place` has the commit.
    pub(crate) fn has(&self, place: Place, commit: &Commit) -> bool {
        let (mut branch, mut upto) = (place.branch, place.lsn);
        loop {
            if commit.branch == branch {
                return !commit.lost && commit.end <= upto;
            }
            let Some((parent, at)) = self.branches[branch].parent else { return false };
            (branch, upto) = (parent, upto.min(at));
        }
    }

    /// Whether `branch` continues what a node at `place` has.
    pub(crate) fn continues(&self, branch: usize, place: Place) -> bool {
        if branch == place.branch {
            return true;
        }
        self.branches[branch].parent.is_some_and(|(parent, at)| {
            (parent != place.branch || place.lsn <= at) && self.continues(parent, place)
        })
    }

    /// Whether the commit is on the branch, that is: survived up to it.
    pub(crate) fn survived(&self, commit: usize, branch: usize) -> bool {
        self.has(Place { branch, lsn: u64::MAX }, &self.commits[commit])
    }
}
