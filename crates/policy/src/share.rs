//! How much of the primary may reads take that went there only because no replica was fresh enough?
//!
//! A lag storm must not drown the primary in reads. Reads of one's own writes are no part of it: nobody
//! else could answer them, and they are as many as there are writers.

use std::fmt;
use std::str::FromStr;

use crate::decide::Reason;

/// A share of a pool's servers, percent: 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Share(u8);

impl Share {
    /// How many servers of a pool of this size that is; at least one, or no read would ever be served.
    #[must_use]
    pub fn of(self, pool: u32) -> u32 {
        let servers = u64::from(pool).saturating_mul(self.0.into()).checked_div(100);
        servers.and_then(|servers| u32::try_from(servers).ok()).unwrap_or(pool).max(1)
    }

    /// Whether a read that goes to the primary for this reason would be a replica's, were one fresher.
    #[must_use]
    pub const fn counts(reason: Reason) -> bool {
        matches!(reason, Reason::TooFarBehind | Reason::NoReplica | Reason::NotMonotonic)
    }
}

/// The text is no share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoShare;

impl fmt::Display for NoShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a share of the pool from 1% to 100%, such as 50%, or off")
    }
}

impl std::error::Error for NoShare {}

impl FromStr for Share {
    type Err = NoShare;

    fn from_str(text: &str) -> Result<Self, NoShare> {
        let digits = text.trim().strip_suffix('%').ok_or(NoShare)?.trim_end();
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        let percent = digits.parse().ok().filter(|percent| plain && (1..=100).contains(percent));
        percent.map(Self).ok_or(NoShare)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(text: &str) -> Result<Share, NoShare> {
        text.parse()
    }

    #[test]
    fn a_share_of_a_pool_is_rounded_down_and_never_nothing() {
        let of = |text, pool| share(text).unwrap().of(pool);
        assert_eq!([of("50%", 4), of("50%", 5), of("50%", 1)], [2, 2, 1]);
        assert_eq!([of("1%", 20), of("100%", 20), of("100%", u32::MAX)], [1, 20, u32::MAX]);
        assert_eq!(of("50%", 0), 1);
    }

    #[test]
    fn only_reads_that_a_fresher_replica_would_have_served_are_limited() {
        let counted: Vec<Reason> =
            Reason::ALL.into_iter().filter(|reason| Share::counts(*reason)).collect();
        assert_eq!(counted, [Reason::NotMonotonic, Reason::TooFarBehind, Reason::NoReplica]);
    }

    #[test]
    fn a_share_has_its_percent_sign_and_is_within_the_pool() {
        assert_eq!(share(" 50 % ").map(|share| share.to_string()), Ok("50%".to_owned()));
        for wrong in ["", "%", "50", "0%", "101%", "+5%", "-5%", "0.5%", "half", "256%"] {
            assert_eq!(share(wrong), Err(NoShare), "{wrong:?}");
        }
    }
}
