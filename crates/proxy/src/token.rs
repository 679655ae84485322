//! The causal token: what `SHOW weir.lsn` gives and `SET weir.min_lsn` takes.
//!
//! It carries the database system's identifier and the timeline, since a bare LSN means nothing in
//! another system or on another branch.

use std::fmt;
use std::str::FromStr;

use policy::{Fence, Timeline};

/// A position that another session's reads must have passed: `system/timeline/lsn` with colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    /// `pg_control_system().system_identifier`.
    pub(crate) system: u64,
    /// Timeline and position.
    pub(crate) fence: Fence,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.system, self.fence.timeline, self.fence.lsn)
    }
}

/// The text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoToken;

impl fmt::Display for NoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not a token; take one from SHOW weir.lsn, such as 7301234567890123456:1:0/16B3740",
        )
    }
}

impl FromStr for Token {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Self, NoToken> {
        let mut parts = text.splitn(3, ':');
        let mut part = || parts.next().ok_or(NoToken);
        let system = part()?.parse().map_err(|_| NoToken)?;
        let timeline = Timeline(part()?.parse().map_err(|_| NoToken)?);
        let lsn = part()?.parse().map_err(|_| NoToken)?;
        Ok(Self { system, fence: Fence { timeline, lsn } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_being_written_and_read() {
        let text = "7301234567890123456:3:16/B374D848";
        assert_eq!(text.parse::<Token>().map(|token| token.to_string()), Ok(text.to_owned()));
    }

    #[test]
    fn what_lacks_a_part_is_no_token() {
        for text in ["", "1", "1:1", "1:1:", "0/16B3740", "x:1:0/0", "1:-1:0/0"] {
            assert_eq!(text.parse::<Token>(), Err(NoToken), "{text}");
        }
    }
}
