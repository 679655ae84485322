//! The causal token: what `SHOW weir.lsn` gives and `weir.min_lsn` takes, and what one is worth here.
//!
//! It carries the database system's identifier and the timeline, since a bare LSN means nothing in
//! another system or on another branch. It is not signed: what is wrong with one is judged by what the
//! primary says of itself.

use std::fmt;
use std::str::FromStr;

use crate::clock::Answer;
use crate::lsn::{Fence, Timeline};
use crate::topology::Topology;

/// A position that another session's reads must have passed: `system/timeline/lsn` with colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// `pg_control_system().system_identifier`.
    pub system: u64,
    /// Timeline and position.
    pub fence: Fence,
}

/// What a token is worth in a cluster.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenVerdict {
    /// It is a fence like any other, or nobody can tell.
    Taken,
    /// It is of another timeline than the primary's: no position is compared with it.
    OtherTimeline,
    /// It is of another database system: it says nothing here.
    OtherSystem,
    /// The primary had not written that far when it answered.
    Ahead,
}

impl Token {
    /// What the token is worth, by the newest answer of the clock.
    ///
    /// A token may be younger than the answer: [`TokenVerdict::Ahead`] is final only where the question
    /// was asked after the token had come. Without a primary nobody can tell, and it is taken.
    pub fn judge(&self, topology: &Topology, newest: Option<&Answer>) -> TokenVerdict {
        if topology.system.is_some_and(|system| system != self.system) {
            return TokenVerdict::OtherSystem;
        }
        match topology.timeline() {
            None => TokenVerdict::Taken,
            Some(timeline) if timeline != self.fence.timeline => TokenVerdict::OtherTimeline,
            Some(_) if reaches(newest, topology, self.fence) => TokenVerdict::Taken,
            Some(_) => TokenVerdict::Ahead,
        }
    }
}

fn reaches(newest: Option<&Answer>, topology: &Topology, fence: Fence) -> bool {
    let of_term = newest.filter(|answer| answer.epoch == topology.epoch);
    of_term.is_some_and(|answer| answer.reaches(fence))
}

impl TokenVerdict {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Taken, Self::OtherTimeline, Self::OtherSystem, Self::Ahead];

    /// The word for it: metric label, log field.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::OtherTimeline => "other_timeline",
            Self::OtherSystem => "other_system",
            Self::Ahead => "ahead",
        }
    }

    /// Why the token is refused, if it is.
    #[must_use]
    pub const fn refusal(self) -> Option<&'static str> {
        match self {
            Self::Taken | Self::OtherTimeline => None,
            Self::OtherSystem => Some("the token is of another database system"),
            Self::Ahead => Some(
                "the primary has not written that far: the token was altered, or is of a branch that a failover lost",
            ),
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.system, self.fence.timeline, self.fence.lsn)
    }
}

/// The text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoToken;

impl fmt::Display for NoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not a token; take one from SHOW weir.lsn, such as 7301234567890123456:1:0/16B3740",
        )
    }
}

impl std::error::Error for NoToken {}

impl FromStr for Token {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Self, NoToken> {
        let mut parts = text.splitn(3, ':');
        let mut part = || parts.next().ok_or(NoToken);
        let system = number(part()?)?;
        let timeline = Timeline(number(part()?)?);
        let lsn = part()?.parse().map_err(|_| NoToken)?;
        Ok(Self { system, fence: Fence { timeline, lsn } })
    }
}

/// Digits alone: what Rust reads besides, a plus sign, no token has.
fn number<T: FromStr>(text: &str) -> Result<T, NoToken> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(NoToken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Configured, Ticket};
    use crate::lsn::Lsn;
    use crate::testing::{ms, start};
    use crate::topology::{Epoch, Leader, NodeId};

    fn topology(leader: Leader) -> Topology {
        Topology {
            cluster: "main".into(),
            system: Some(7),
            generation: 1,
            epoch: Epoch(3),
            leader,
            nodes: Vec::new(),
            sampled: None,
            silent_since: None,
        }
    }

    fn led() -> Topology {
        topology(Leader::Node { id: NodeId(1), timeline: Timeline(2) })
    }

    fn answer(epoch: u64, insert: u64) -> Answer {
        Answer {
            through: Ticket(1),
            sent: start(),
            epoch: Epoch(epoch),
            timeline: Timeline(2),
            insert: Lsn(insert),
            flush: Lsn(insert),
            mark: Lsn(insert),
            took: ms(1),
            configured: Configured {
                since: start(),
                after: Ticket(0),
                loaded: 1,
                covers: Some(Lsn(0)),
            },
        }
    }

    fn token(system: u64, timeline: u32, lsn: u64) -> Token {
        Token { system, fence: Fence { timeline: Timeline(timeline), lsn: Lsn(lsn) } }
    }

    #[test]
    fn a_token_up_to_what_the_primary_wrote_is_taken_and_one_beyond_is_ahead() {
        let (topology, newest) = (led(), answer(3, 1000));
        let verdict = |lsn| token(7, 2, lsn).judge(&topology, Some(&newest));
        assert_eq!(verdict(0), TokenVerdict::Taken);
        assert_eq!(verdict(1000), TokenVerdict::Taken);
        assert_eq!(verdict(1001), TokenVerdict::Ahead);
    }

    #[test]
    fn an_answer_of_another_term_or_none_reaches_no_token() {
        let topology = led();
        assert_eq!(token(7, 2, 1).judge(&topology, None), TokenVerdict::Ahead);
        assert_eq!(token(7, 2, 1).judge(&topology, Some(&answer(2, 1000))), TokenVerdict::Ahead);
    }

    #[test]
    fn a_token_of_an_older_or_newer_timeline_is_told_apart_whatever_its_position() {
        let (topology, newest) = (led(), answer(3, 1000));
        for (timeline, lsn) in [(1, 1), (1, 5000), (3, 1), (3, 5000)] {
            let verdict = token(7, timeline, lsn).judge(&topology, Some(&newest));
            assert_eq!(verdict, TokenVerdict::OtherTimeline, "{timeline} {lsn}");
        }
    }

    #[test]
    fn a_token_of_another_system_is_refused_with_and_without_a_primary() {
        let missing = topology(Leader::Missing { since: start() });
        for topology in [led(), missing] {
            let verdict = token(8, 2, 1).judge(&topology, Some(&answer(3, 1000)));
            assert_eq!(verdict, TokenVerdict::OtherSystem);
        }
    }

    #[test]
    fn without_a_primary_nobody_can_tell_and_a_token_is_taken() {
        for leader in [Leader::Missing { since: start() }, Leader::SplitBrain] {
            let verdict = token(7, 9, 5000).judge(&topology(leader), Some(&answer(3, 1000)));
            assert_eq!(verdict, TokenVerdict::Taken);
        }
    }

    #[test]
    fn before_any_node_has_answered_no_system_is_another_one() {
        let unheard = Topology { system: None, ..topology(Leader::Missing { since: start() }) };
        assert_eq!(token(8, 2, 1).judge(&unheard, None), TokenVerdict::Taken);
    }

    #[test]
    fn only_what_can_not_be_honoured_is_refused() {
        let refused = TokenVerdict::ALL.map(|verdict| verdict.refusal().is_some());
        assert_eq!(refused, [false, false, true, true]);
    }

    #[test]
    fn a_token_survives_being_written_and_read() {
        let text = "7301234567890123456:3:16/B374D848";
        assert_eq!(text.parse::<Token>().map(|token| token.to_string()), Ok(text.to_owned()));
    }

    #[test]
    fn what_lacks_a_part_is_no_token() {
        for text in [
            "",
            "1",
            "1:1",
            "1:1:",
            "0/16B3740",
            "x:1:0/0",
            "1:-1:0/0",
            "+1:1:0/0",
            "1:+1:0/0",
            " 1:1:0/0",
        ] {
            assert_eq!(text.parse::<Token>(), Err(NoToken), "{text}");
        }
    }
}
