//! When is it worth going through a table for entries that nobody uses any more?
//!
//! Each time it has doubled since the last time. So an addition pays for two looks at most on average, however many
//! entries are in use, and no more than half of a table is waste.

/// When the next look is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    least: usize,
    at: usize,
}

impl Sweep {
    /// For a table that may have `least` entries before it is looked through at all.
    #[must_use]
    pub const fn from(least: usize) -> Self {
        Self { least, at: least }
    }

    /// Whether a table of so many entries is to be looked through before one more is added.
    #[must_use]
    pub const fn is_due(&self, entries: usize) -> bool {
        entries >= self.at
    }

    /// Takes note that it was, and how many entries were left.
    pub fn swept(&mut self, left: usize) {
        self.at = left.saturating_mul(2).max(self.least);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries looked at while so many are added, of which every `kept`-th stays in use.
    fn looks(added: usize, kept: usize) -> (usize, usize) {
        let (mut sweep, mut entries, mut used, mut looks) = (Sweep::from(1024), 0, 0, 0);
        for number in 0..added {
            if sweep.is_due(entries) {
                looks += entries;
                entries = used;
                sweep.swept(entries);
            }
            entries += 1;
            used += usize::from(number % kept == 0);
        }
        (looks, entries)
    }

    #[test]
    fn an_addition_costs_two_looks_at_most_however_many_entries_are_in_use() {
        for kept in [1, 2, 100, usize::MAX] {
            let (looks, _) = looks(100_000, kept);
            assert!(looks <= 200_000, "{looks} looks where one in {kept} stays");
        }
    }

    #[test]
    fn what_nobody_uses_is_no_more_than_what_is_used_or_the_least() {
        for added in [1023, 1024, 1025, 5_000, 100_000] {
            assert!(looks(added, usize::MAX).1 <= 1024);
            let used = added.div_ceil(2);
            assert!(looks(added, 2).1 <= (2 * used).max(1024));
        }
    }

    #[test]
    fn the_least_holds_however_few_were_left() {
        let mut sweep = Sweep::from(10);
        assert!(!sweep.is_due(9) && sweep.is_due(10));
        sweep.swept(3);
        assert!(!sweep.is_due(9) && sweep.is_due(10));
        sweep.swept(8);
        assert!(!sweep.is_due(15) && sweep.is_due(16));
    }
}
