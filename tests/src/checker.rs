//! Judges a history of counters: who saw less than was promised?
//!
//! A pure function of what clients noted, on one clock; knows neither Weir nor PostgreSQL. Each row
//! holds a number that only counts up, so "older" is "less", and a read of all rows at once shows
//! how much of everybody's writes its snapshot held.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The index of a counter.
pub type Row = usize;

/// What a session was promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// Its scope's own writes, never less than before, and what its token stands for.
    Session,
    /// Besides, every commit that was acknowledged before the read began.
    Strong,
}

/// One session's operations, in the order in which it sent them.
#[derive(Debug, Clone)]
pub struct Session {
    /// Whose writes count as its own; sessions with the same number share them.
    pub scope: usize,
    /// What it was promised.
    pub promise: Promise,
    /// What it did.
    pub operations: Vec<Operation>,
}

/// One operation, between two moments of the clock that all sessions share.
#[derive(Debug, Clone)]
pub struct Operation {
    /// When its first byte was about to be sent; for reads in a transaction that is placed as a
    /// whole, the transaction's.
    pub began: Duration,
    /// When its answer had been read.
    pub ended: Duration,
    /// By which path, for whoever reads of a violation.
    pub path: &'static str,
    /// What came of it.
    pub did: Did,
}

/// What came of an operation, as far as its client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Did {
    /// Its commit, which counted the row up to this number, was acknowledged.
    Wrote(Row, u64),
    /// It may have counted the row up to this number: nobody was told of a commit.
    Tried(Row, u64),
    /// All counters, as one statement saw them.
    Saw(Vec<u64>),
    /// It took over a token that was asked for at this moment.
    Took(Duration),
}

/// What a read did not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broken {
    /// It missed a write that its own session had sent before it.
    OwnWrite,
    /// It missed a write that its scope was told of before it began.
    ScopeWrite,
    /// It missed a write that somebody was told of before its token was asked for.
    Token,
    /// It saw less than its session's reads before, of what somebody had been told of.
    SteppedBack,
    /// The same, but only of commits that nobody had been told of yet. PostgreSQL does not keep this
    /// either: a standby may replay a commit while its backend on the primary still hides it.
    SteppedBackUntold,
    /// It missed a write that somebody was told of before it began.
    Stale,
    /// It saw a number that nobody had begun to write: the history is not one of counters.
    FromNowhere,
}

/// A read that broke a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub broken: Broken,
    /// The session's index.
    pub session: usize,
    /// The operation's index in it.
    pub operation: usize,
    /// The counter.
    pub row: Row,
    /// What the read saw.
    pub saw: u64,
    /// The least, or for [`Broken::FromNowhere`] the most, that it could see.
    pub bound: u64,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { broken, session, operation, row, saw, bound } = self;
        write!(
            f,
            "{broken:?}: session {session}, operation {operation}, row {row}: {saw}, not {bound}"
        )
    }
}

/// Finds every read that broke a promise, in the order of sessions and operations.
#[must_use]
pub fn check(history: &[Session]) -> Vec<Violation> {
    let known = Known::of(history);
    let mut found = Vec::new();
    for (index, session) in history.iter().enumerate() {
        let mut judge = Judge {
            known: &known,
            session,
            index,
            own: Marks::new(),
            seen: Marks::new(),
            token: None,
        };
        for (number, operation) in session.operations.iter().enumerate() {
            found.extend(judge.hear(number, operation));
        }
    }
    found
}

/// Says what a violation missed: the read, and the write of the number that it should have seen.
#[must_use]
pub fn explain(history: &[Session], violation: &Violation) -> String {
    let Violation { session, operation, row, bound, .. } = violation;
    let read = history.get(*session).and_then(|session| session.operations.get(*operation));
    let missed = Did::Wrote(*row, *bound);
    let mut operations = history.iter().enumerate().flat_map(|(index, session)| {
        session.operations.iter().map(move |operation| (index, operation))
    });
    let missed = operations.find(|(_, operation)| operation.did == missed);
    format!("{violation}; read {read:?}; written {missed:?}")
}

/// The highest number of each row.
type Marks = BTreeMap<Row, u64>;

fn raise(marks: &mut Marks, row: Row, number: u64) {
    let mark = marks.entry(row).or_default();
    *mark = number.max(*mark);
}

fn mark(marks: &Marks, row: Row) -> u64 {
    marks.get(&row).copied().unwrap_or_default()
}

/// The highest number over time: (moment, highest up to then), both rising.
#[derive(Debug, Default)]
struct Rise(Vec<(Duration, u64)>);

impl Rise {
    fn of(mut writes: Vec<(Duration, u64)>) -> Self {
        writes.sort_unstable();
        let mut highest = 0;
        for (_, number) in &mut writes {
            highest = highest.max(*number);
            *number = highest;
        }
        Self(writes)
    }

    /// The highest number of all writes strictly before `moment`.
    fn before(&self, moment: Duration) -> u64 {
        let earlier = self.0.partition_point(|(at, _)| *at < moment);
        let last = earlier.checked_sub(1).and_then(|last| self.0.get(last));
        last.map(|(_, number)| *number).unwrap_or_default()
    }
}

/// When which number was told, and when it could first be seen.
struct Known {
    by_scope: BTreeMap<(usize, Row), Rise>,
    by_anybody: BTreeMap<Row, Rise>,
    begun: BTreeMap<Row, Rise>,
}

impl Known {
    fn of(history: &[Session]) -> Self {
        let mut by_scope: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut by_anybody: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut begun: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for session in history {
            for Operation { began, ended, did, .. } in &session.operations {
                if let Did::Wrote(row, number) = did {
                    by_scope.entry((session.scope, *row)).or_default().push((*ended, *number));
                    by_anybody.entry(*row).or_default().push((*ended, *number));
                }
                if let Did::Wrote(row, number) | Did::Tried(row, number) = did {
                    begun.entry(*row).or_default().push((*began, *number));
                }
            }
        }
        Self { by_scope: rises(by_scope), by_anybody: rises(by_anybody), begun: rises(begun) }
    }

    fn by_scope(&self, scope: usize, row: Row, moment: Duration) -> u64 {
        self.by_scope.get(&(scope, row)).map_or(0, |rise| rise.before(moment))
    }

    fn by_anybody(&self, row: Row, moment: Duration) -> u64 {
        self.by_anybody.get(&row).map_or(0, |rise| rise.before(moment))
    }

    fn begun(&self, row: Row, moment: Duration) -> u64 {
        self.begun.get(&row).map_or(0, |rise| rise.before(moment))
    }
}

fn rises<K: Ord>(writes: BTreeMap<K, Vec<(Duration, u64)>>) -> BTreeMap<K, Rise> {
    writes.into_iter().map(|(key, writes)| (key, Rise::of(writes))).collect()
}

/// One session, as far as it has been heard.
struct Judge<'a> {
    known: &'a Known,
    session: &'a Session,
    index: usize,
    /// What it wrote.
    own: Marks,
    /// What its reads showed.
    seen: Marks,
    /// When its newest token was asked for.
    token: Option<Duration>,
}

impl Judge<'_> {
    fn hear(&mut self, number: usize, operation: &Operation) -> Vec<Violation> {
        match &operation.did {
            Did::Wrote(row, written) => raise(&mut self.own, *row, *written),
            Did::Tried(..) => {}
            Did::Took(asked) => self.token = self.token.max(Some(*asked)),
            Did::Saw(numbers) => {
                let rows = numbers.iter().copied().enumerate();
                let broken = rows.clone().flat_map(|(row, saw)| {
                    let broken = self.broken(operation, row, saw);
                    let session = self.index;
                    broken.into_iter().map(move |(broken, bound)| Violation {
                        broken,
                        session,
                        operation: number,
                        row,
                        saw,
                        bound,
                    })
                });
                let broken = broken.collect();
                for (row, saw) in rows {
                    raise(&mut self.seen, row, saw);
                }
                return broken;
            }
        }
        Vec::new()
    }

    /// Which promises a read broke that saw this number in this row, and what would have kept them.
    fn broken(&self, read: &Operation, row: Row, saw: u64) -> Vec<(Broken, u64)> {
        let told = self.known.by_anybody(row, read.began);
        let seen = mark(&self.seen, row);
        let back = if saw < told { Broken::SteppedBack } else { Broken::SteppedBackUntold };
        let token = self.token.map_or(0, |asked| self.known.by_anybody(row, asked));
        let strong = match self.session.promise {
            Promise::Session => 0,
            Promise::Strong => told,
        };
        let least = [
            (Broken::OwnWrite, mark(&self.own, row)),
            (Broken::ScopeWrite, self.known.by_scope(self.session.scope, row, read.began)),
            (Broken::Token, token),
            (back, seen),
            (Broken::Stale, strong),
        ];
        let mut broken: Vec<_> = least.into_iter().filter(|(_, least)| saw < *least).collect();
        let most = self.known.begun(row, read.ended);
        if saw > most {
            broken.push((Broken::FromNowhere, most));
        }
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `began` and `ended` in milliseconds.
    fn did(began: u64, ended: u64, did: Did) -> Operation {
        let at = Duration::from_millis;
        Operation { began: at(began), ended: at(ended), path: "simple", did }
    }

    fn wrote(began: u64, ended: u64, number: u64) -> Operation {
        did(began, ended, Did::Wrote(0, number))
    }

    fn saw(began: u64, ended: u64, number: u64) -> Operation {
        did(began, ended, Did::Saw(vec![number]))
    }

    fn session(scope: usize, operations: &[Operation]) -> Session {
        Session { scope, promise: Promise::Session, operations: operations.to_vec() }
    }

    fn strong(scope: usize, operations: &[Operation]) -> Session {
        Session { promise: Promise::Strong, ..session(scope, operations) }
    }

    /// What was broken, by which session and operation, and what was seen instead of what.
    fn found(history: &[Session]) -> Vec<(Broken, usize, usize, u64, u64)> {
        let found = check(history);
        found
            .into_iter()
            .map(|it| (it.broken, it.session, it.operation, it.saw, it.bound))
            .collect()
    }

    #[test]
    fn a_history_that_keeps_every_promise_has_no_violation() {
        let writer = strong(0, &[wrote(0, 2, 1), saw(3, 4, 1), wrote(5, 9, 2), saw(10, 11, 2)]);
        let reader = strong(1, &[saw(0, 1, 0), saw(2, 3, 1), saw(6, 8, 2), saw(12, 13, 2)]);
        assert_eq!(found(&[writer, reader]), []);
    }

    #[test]
    fn a_session_that_misses_its_own_write_is_found() {
        let history = [session(0, &[wrote(0, 2, 1), saw(3, 4, 0)])];
        assert_eq!(
            found(&history),
            [(Broken::OwnWrite, 0, 1, 0, 1), (Broken::ScopeWrite, 0, 1, 0, 1)]
        );
    }

    #[test]
    fn a_read_sent_behind_its_own_write_sees_it_before_anybody_is_told() {
        // Pipelined: both were sent at once.
        let history = [session(0, &[wrote(0, 2, 1), saw(0, 3, 0)])];
        assert_eq!(found(&history), [(Broken::OwnWrite, 0, 1, 0, 1)]);
    }

    #[test]
    fn a_read_sent_in_front_of_its_own_write_need_not_see_it() {
        assert_eq!(found(&[session(0, &[saw(0, 1, 0), wrote(0, 2, 1)])]), []);
    }

    #[test]
    fn a_scope_shares_what_its_sessions_were_told_of() {
        let writer = session(0, &[wrote(0, 5, 1)]);
        let same = session(0, &[saw(5, 7, 0), saw(6, 8, 0)]);
        let other = session(1, &[saw(6, 8, 0)]);
        // The first began no later than the answer came: nobody was told.
        assert_eq!(found(&[writer, same, other]), [(Broken::ScopeWrite, 1, 1, 0, 1)]);
    }

    #[test]
    fn only_strong_promises_what_others_were_told_of() {
        let history = |promise| {
            let reader = Session { promise, ..session(1, &[saw(5, 7, 0), saw(6, 8, 0)]) };
            [session(0, &[wrote(0, 5, 1)]), reader]
        };
        assert_eq!(found(&history(Promise::Session)), []);
        assert_eq!(found(&history(Promise::Strong)), [(Broken::Stale, 1, 1, 0, 1)]);
    }

    #[test]
    fn a_step_back_is_told_apart_by_whether_anybody_was_told() {
        let writer = session(0, &[wrote(0, 2, 1), wrote(3, 20, 2)]);
        let reader = session(1, &[saw(4, 5, 2), saw(6, 7, 1), saw(8, 9, 0), saw(10, 11, 2)]);
        assert_eq!(
            found(&[writer, reader]),
            [(Broken::SteppedBackUntold, 1, 1, 1, 2), (Broken::SteppedBack, 1, 2, 0, 2)]
        );
    }

    #[test]
    fn steps_back_are_found_in_each_row_by_itself() {
        let writer = session(0, &[wrote(0, 2, 1), did(0, 2, Did::Wrote(1, 1))]);
        let saw = |at, numbers| did(at, at + 1, Did::Saw(numbers));
        let reader = session(1, &[saw(3, vec![1, 0]), saw(5, vec![0, 1])]);
        assert_eq!(found(&[writer, reader]), [(Broken::SteppedBack, 1, 1, 0, 1)]);
    }

    #[test]
    fn a_token_stands_for_what_was_told_before_it_was_asked_for() {
        let writer = session(0, &[wrote(0, 2, 1), wrote(3, 9, 2)]);
        let asked = Duration::from_millis(5);
        let reader = session(1, &[saw(4, 5, 0), did(6, 7, Did::Took(asked)), saw(8, 9, 0)]);
        let kept = session(2, &[did(6, 7, Did::Took(asked)), saw(12, 13, 1)]);
        assert_eq!(found(&[writer, reader, kept]), [(Broken::Token, 1, 2, 0, 1)]);
    }

    #[test]
    fn an_older_token_takes_nothing_back() {
        let writer = session(0, &[wrote(0, 2, 1)]);
        let took = |asked| did(6, 7, Did::Took(Duration::from_millis(asked)));
        let reader = session(1, &[took(5), took(1), saw(8, 9, 0)]);
        assert_eq!(found(&[writer, reader]), [(Broken::Token, 1, 2, 0, 1)]);
    }

    #[test]
    fn a_commit_that_nobody_was_told_of_may_be_seen_and_need_not_be() {
        let writer = session(0, &[did(0, 9, Did::Tried(0, 1))]);
        let reader = strong(1, &[saw(1, 2, 0), saw(3, 4, 1), saw(12, 13, 1)]);
        assert_eq!(found(&[writer, reader]), []);
    }

    #[test]
    fn a_number_that_nobody_had_begun_to_write_is_found() {
        let writer = session(0, &[wrote(5, 6, 1)]);
        let reader = session(1, &[saw(2, 5, 1), saw(2, 6, 1), saw(7, 8, 2)]);
        assert_eq!(
            found(&[writer, reader]),
            [(Broken::FromNowhere, 1, 0, 1, 0), (Broken::FromNowhere, 1, 2, 2, 1)]
        );
    }
}
