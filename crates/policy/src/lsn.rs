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

    /// The same where either may be missing.
    #[must_use]
    pub fn strongest(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) => Some(one.join(other)),
            (one, other) => one.or(other),
        }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WAL: WalGeometry = WalGeometry { block: 8192, segment: 16 << 20 };

    #[test]
    fn an_insert_position_behind_a_page_header_is_the_page_start() {
        assert_eq!(Lsn(0x0100_2018).round_insert(WAL), Lsn(0x0100_2000));
        assert_eq!(Lsn(0x0100_2017).round_insert(WAL), Lsn(0x0100_2017));
        assert_eq!(Lsn(0x0100_2019).round_insert(WAL), Lsn(0x0100_2019));
        assert_eq!(Lsn(0x0100_2000).round_insert(WAL), Lsn(0x0100_2000));
    }

    #[test]
    fn the_first_page_of_a_segment_has_the_long_header() {
        assert_eq!(Lsn(0x0200_0028).round_insert(WAL), Lsn(0x0200_0000));
        assert_eq!(Lsn(0x0200_0018).round_insert(WAL), Lsn(0x0200_0018));
        assert_eq!(Lsn(0x0200_0027).round_insert(WAL), Lsn(0x0200_0027));
        assert_eq!(Lsn(0x0200_0029).round_insert(WAL), Lsn(0x0200_0029));
    }

    #[test]
    fn a_record_that_ends_at_offset_40_of_an_ordinary_page_is_not_rounded() {
        assert_eq!(Lsn(0x0100_2028).round_insert(WAL), Lsn(0x0100_2028));
        // The last page of a segment is an ordinary one.
        assert_eq!(Lsn(0x01ff_e028).round_insert(WAL), Lsn(0x01ff_e028));
        assert_eq!(Lsn(0x01ff_e018).round_insert(WAL), Lsn(0x01ff_e000));
    }

    #[test]
    fn an_impossible_geometry_rounds_nothing() {
        assert_eq!(Lsn(40).round_insert(WalGeometry { block: 0, segment: 0 }), Lsn(40));
    }

    #[test]
    fn a_fence_is_passed_at_its_own_position_and_on_its_own_timeline_only() {
        let fence = Fence { timeline: Timeline(2), lsn: Lsn(100) };
        let at = |timeline: Option<u32>, replay| Position {
            timeline: timeline.map(Timeline),
            replay: Lsn(replay),
        };
        assert!(at(Some(2), 100).has_passed(fence));
        assert!(!at(Some(2), 99).has_passed(fence));
        assert!(!at(Some(1), 200).has_passed(fence));
        assert!(!at(Some(3), 200).has_passed(fence));
        assert!(!at(None, 200).has_passed(fence));
    }

    #[test]
    fn joined_fences_keep_the_newer_timeline_then_the_higher_position() {
        let fence = |timeline, lsn| Fence { timeline: Timeline(timeline), lsn: Lsn(lsn) };
        assert_eq!(fence(1, 100).join(fence(1, 99)), fence(1, 100));
        assert_eq!(fence(1, 99).join(fence(1, 100)), fence(1, 100));
        assert_eq!(fence(1, 100).join(fence(2, 1)), fence(2, 1));
        assert_eq!(fence(2, 1).join(fence(1, 100)), fence(2, 1));
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in [
            "",
            "/",
            "1/",
            "/1",
            "16",
            "16/B374D848/0",
            "+1/0",
            "1/-1",
            "1/ 0",
            "G/0",
            "123456789/0",
            "1/123456789",
        ] {
            assert_eq!(text.parse::<Lsn>(), Err(ParseLsnError), "{text:?}");
        }
    }

    #[test]
    fn positions_are_printed_as_postgres_prints_them() {
        assert_eq!(Lsn(0x16_B374_D848).to_string(), "16/B374D848");
        assert_eq!(Lsn(0).to_string(), "0/0");
        assert_eq!(Lsn(0xff).to_string(), "0/FF");
        assert_eq!("ffffffff/ffffffff".parse(), Ok(Lsn(u64::MAX)));
    }

    proptest! {
        #[test]
        fn a_printed_position_reads_back(lsn in any::<u64>()) {
            prop_assert_eq!(Lsn(lsn).to_string().parse(), Ok(Lsn(lsn)));
        }

        #[test]
        fn rounding_only_goes_down_to_a_page_start(lsn in any::<u64>()) {
            let rounded = Lsn(lsn).round_insert(WAL);
            prop_assert!(rounded == Lsn(lsn) || (rounded.0.is_multiple_of(WAL.block) && lsn - rounded.0 <= 40));
        }
    }
}
