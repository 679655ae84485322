//! What it means that a statement came out so here and so there. Pure.

use sql::{Class, Why};

use crate::answer::{Answer, Failure};
use crate::text::Kind;

/// Where the client stood when it asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Between transactions: a standby could see all that the statement sees.
    Alone,
    /// In a transaction, whose changes nobody else sees, or one of several statements.
    Within,
}

/// What lies behind a class, told by the catalog's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The statement itself.
    Statement,
    /// It calls a function of the database's that its owner has labelled VOLATILE.
    Label,
}

/// A statement, what was said of it, and what came of it.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The test's name.
    pub(crate) file: String,
    /// As the client sent it.
    pub(crate) text: String,
    pub(crate) kind: Kind,
    pub(crate) place: Place,
    pub(crate) class: Class,
    pub(crate) why: Why,
    /// Whose word it is that it may do more than read.
    pub(crate) cause: Cause,
    /// Why it must not run on a standby, which is why it did not.
    pub(crate) silent: Option<&'static str>,
    /// Why its answers may differ.
    pub(crate) excuse: Option<&'static str>,
    pub(crate) standby: Answer,
    pub(crate) primary: Answer,
}

/// What a statement says of the classifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Unsound: called a read, and a standby refuses it.
    Refused,
    /// Unsound: called a read, and it does something to the server or the session.
    Silent,
    /// Called a read, and a standby answers otherwise; with the excuse if there is one.
    Differs(Option<&'static str>),
    /// Called a read, rightly.
    Hit,
    /// A standby could have run it, but it is not called a read.
    Missed,
    /// Says nothing.
    Apart,
}

impl Seen {
    /// What it says of the classifier.
    pub(crate) fn verdict(&self) -> Verdict {
        if self.class == Class::Read { self.of_read() } else { self.of_other() }
    }

    fn of_read(&self) -> Verdict {
        if self.silent.is_some() {
            return Verdict::Silent;
        }
        if let Some(failure) = &self.standby.failure
            && is_of_standby(failure)
            && self.primary.outcome() != failure.code
        {
            return Verdict::Refused;
        }
        if self.place == Place::Within || !self.primary.is_ok() {
            Verdict::Apart
        } else if self.standby.is_ok() && self.standby.is_like(&self.primary) {
            self.counted(Verdict::Hit)
        } else {
            Verdict::Differs(self.excuse)
        }
    }

    fn of_other(&self) -> Verdict {
        let ran = self.silent.is_none() && self.standby.is_ok() && self.primary.is_ok();
        let same = ran && self.standby.is_like(&self.primary);
        if same && self.place == Place::Alone {
            self.counted(Verdict::Missed)
        } else {
            Verdict::Apart
        }
    }

    /// EXPLAIN is not in the figure: its plan is the primary's by preference.
    fn counted(&self, verdict: Verdict) -> Verdict {
        if matches!(self.kind, Kind::Query | Kind::CopyOut) { verdict } else { Verdict::Apart }
    }
}

/// Whether the error is one by which a standby refuses what a primary would do.
fn is_of_standby(failure: &Failure) -> bool {
    let speaks = |words: &[&str]| words.iter().any(|word| failure.message.contains(word));
    match failure.code.as_str() {
        "25006" | "25001" | "0A000" => true,
        "55000" => speaks(&["recovery"]),
        "XX000" => speaks(&["recovery", "WAL", "OID"]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(rows: u64) -> Answer {
        Answer { rows, status: Some(wire::TxStatus::Idle), ..Answer::default() }
    }

    fn failed(code: &str, message: &str) -> Answer {
        let failure = Failure { code: code.to_owned(), message: message.to_owned() };
        Answer { failure: Some(failure), ..answer(0) }
    }

    fn seen(class: Class, standby: Answer, primary: Answer) -> Seen {
        let (why, cause) = (Why::ReadOnly, Cause::Statement);
        let (file, text) = (String::new(), String::new());
        let (kind, place, silent, excuse) = (Kind::Query, Place::Alone, None, None);
        Seen { file, text, kind, place, class, why, cause, silent, excuse, standby, primary }
    }

    #[test]
    fn a_read_that_a_standby_refuses_is_a_fault_also_within_a_transaction() {
        let mut refused = seen(Class::Read, failed("25006", "cannot"), answer(1));
        assert_eq!(refused.verdict(), Verdict::Refused);
        refused.place = Place::Within;
        assert_eq!(refused.verdict(), Verdict::Refused);
        let mut both = seen(Class::Read, failed("25006", ""), failed("25006", ""));
        both.place = Place::Within;
        assert_eq!(both.verdict(), Verdict::Apart);
    }

    #[test]
    fn some_codes_are_a_standbys_only_by_their_message() {
        for (code, message) in [("55000", "recovery is in progress"), ("XX000", "assign OIDs")] {
            let refused = seen(Class::Read, failed(code, message), answer(1));
            assert_eq!(refused.verdict(), Verdict::Refused, "{code}");
            let other = seen(Class::Read, failed(code, "something else"), answer(1));
            assert_eq!(other.verdict(), Verdict::Differs(None), "{code}");
        }
    }

    #[test]
    fn a_read_with_other_rows_is_a_fault_and_with_the_same_a_hit() {
        assert_eq!(seen(Class::Read, answer(1), answer(2)).verdict(), Verdict::Differs(None));
        assert_eq!(seen(Class::Read, answer(2), answer(2)).verdict(), Verdict::Hit);
    }

    #[test]
    fn a_read_that_acts_on_one_server_is_a_fault_though_it_never_ran() {
        let mut read = seen(Class::Read, Answer::default(), answer(1));
        read.silent = Some("takes a lock");
        assert_eq!(read.verdict(), Verdict::Silent);
    }

    #[test]
    fn what_is_no_read_is_missed_only_if_a_standby_gives_the_same() {
        assert_eq!(seen(Class::Write, answer(1), answer(1)).verdict(), Verdict::Missed);
        assert_eq!(seen(Class::Write, answer(0), answer(1)).verdict(), Verdict::Apart);
        assert_eq!(seen(Class::Write, failed("25006", ""), answer(1)).verdict(), Verdict::Apart);
        let mut explain = seen(Class::PrimaryRead, answer(1), answer(1));
        explain.kind = Kind::Explain;
        assert_eq!(explain.verdict(), Verdict::Apart);
    }
}
