//! Positions in the write-ahead log, and the fences made of them.
//!
//! Knows nothing of nodes. A bare [`Lsn`] says nothing across a promotion, where both branches
//! use the same numbers; what is compared is a [`Fence`] with a [`Position`].

use std::fmt;
use std::str::FromStr;

/// A byte position in the WAL (manual, 30.6 "WAL Internals": `pg_lsn`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

/// A timeline of the WAL; grows by one at each promotion (manual, 26.3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timeline(pub u32);

/// What a read must not be older than.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fence {
    /// The branch on which `lsn` was written.
    pub timeline: Timeline,
    /// A replica has passed the fence once it replayed up to here.
    pub lsn: Lsn,
}

/// How far a replica's replay was measured to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// The timeline that the node was last seen streaming; `None` means unknown.
    pub timeline: Option<Timeline>,
    /// `pg_last_wal_replay_lsn()`.
    pub replay: Lsn,
}

impl Position {
    /// Whether everything up to `fence` is visible at this position.
    ///
    /// An unknown timeline proves nothing.
    #[must_use]
    pub fn has_passed(&self, fence: Fence) -> bool {
        self.timeline == Some(fence.timeline) && self.replay >= fence.lsn
    }
}

impl Fence {
    /// The stronger of two fences of one timeline; of two timelines, the newer one's.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        if (other.timeline, other.lsn) > (self.timeline, self.lsn) { other } else { self }
    }
}

/// Sizes that a server was built with, needed to round insert positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalGeometry {
    /// `wal_block_size`, bytes.
    pub block: u64,
    /// `wal_segment_size`, bytes.
    pub segment: u64,
}

impl Lsn {
    /// Rounds an *insert* position that stands just behind a page header down to the page's start.
    ///
    /// At a page boundary the insert position already counts the header of a page that holds no
    /// record yet, and no replay position ever reaches it. Only equality is rounded: a real record
    /// can end at offset 40 of an ordinary page.
    #[must_use]
    pub fn round_insert(self, wal: WalGeometry) -> Self {
        let in_first_page =
            self.0.checked_rem(wal.segment).is_some_and(|offset| offset < wal.block);
        let header = if in_first_page { 40 } else { 24 };
        if self.0.checked_rem(wal.block) == Some(header) {
            Self(self.0.saturating_sub(header))
        } else {
            self
        }
    }

    /// Bytes from `other` up to here; nothing if `other` is ahead.
    #[must_use]
    pub fn bytes_since(self, other: Self) -> u64 {
        self.0.saturating_sub(other.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The text is not an LSN such as `16/B374D848`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseLsnError;

impl fmt::Display for ParseLsnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an LSN: expected two hexadecimal numbers such as 16/B374D848")
    }
}

impl std::error::Error for ParseLsnError {}

impl FromStr for Lsn {
    type Err = ParseLsnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (high, low) = text.split_once('/').ok_or(ParseLsnError)?;
        // `from_str_radix` would take a sign too; `pg_lsn` does not.
        let half = |digits: &str| {
            let hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            u32::from_str_radix(digits, 16).ok().filter(|_| hex).ok_or(ParseLsnError)
        };
        Ok(Self((u64::from(half(high)?) << 32) | u64::from(half(low)?)))
    }
}
