//! Was what a cycle wrote on disk when its end was acknowledged?
//!
//! If so, the primary's flush position covers it, which replicas reach within milliseconds; the insert
//! position may stay out of their reach for as long as another session's transaction is open. A commit
//! is synchronous unless `synchronous_commit` is `off` for it (manual, 30.4), and flushes only where
//! something was changed. What isn't known to be so rests on the insert position (ADR 8).

use sql::{Effect, SetScope, Why};

use super::{Seen, Session};
use crate::clock::Wal;

/// How the servers' sessions commit where nobody says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitDefault {
    /// Synchronously: neither the configuration, nor a role or database, nor a function turns it off.
    Synchronous,
    /// Asynchronously, or nobody knows.
    Unknown,
}

impl CommitDefault {
    /// By a value of `synchronous_commit`.
    #[must_use]
    pub fn of(value: &[u8]) -> Self {
        let synchronous = std::str::from_utf8(value).is_ok_and(is_synchronous);
        if synchronous { Self::Synchronous } else { Self::Unknown }
    }
}

/// What a transaction did so far; later ones outweigh earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Trail {
    /// No row was changed, as far as the command tags say: its end need not be flushed.
    #[default]
    Unchanged,
    /// Rows were changed.
    Changed,
    /// Something may have changed how it commits, or ran behind the commit.
    Opaque,
}

const NAME: &str = "synchronous_commit";

impl Session {
    /// What the cycle adds to its transaction's trail.
    pub(super) fn trail_of(&self, seen: &Seen<'_>) -> Trail {
        let opaque = seen.failed
            || !is_plain(seen.why)
            || seen.effects.iter().any(may_set)
            || statements_besides_control(seen) > 1
            || goes_on_behind_commit(seen)
            || self.leaves_settings_alone();
        match (opaque, seen.modified) {
            (true, _) => Trail::Opaque,
            (false, true) => Trail::Changed,
            (false, false) => Trail::Unchanged,
        }
    }

    /// Which position of the primary covers a transaction that has ended.
    pub(super) fn wal_of(&self, trail: Trail, seen: &Seen<'_>) -> Wal {
        let value = self.settings().value(NAME);
        let synchronous = match value {
            Some(value) => is_synchronous(value),
            None => seen.commits == CommitDefault::Synchronous,
        };
        if synchronous && trail == Trail::Changed { Wal::Flushed } else { Wal::Inserted }
    }
}

/// The values of `synchronous_commit` that wait for the local flush at least; others are `off`, or no values.
fn is_synchronous(value: &str) -> bool {
    ["on", "local", "remote_write", "remote_apply"].iter().any(|on| value.eq_ignore_ascii_case(on))
}

/// Whether all that such a statement runs is its own text and functions that the catalog knows.
const fn is_plain(why: Why) -> bool {
    match why {
        Why::ReadOnly
        | Why::Empty
        | Why::DataModifying
        | Why::LockingClause
        | Why::VolatileFunction
        | Why::PrimaryOnlyFunction
        | Why::Copy
        | Why::Transaction
        | Why::SessionState
        | Why::Explain
        | Why::Cursor => true,
        Why::Unparsed
        | Why::TooLong
        | Why::Malformed
        | Why::AmbiguousString
        | Why::CatalogMissing
        | Why::SelectInto
        | Why::UnknownFunction
        | Why::UnknownOperator
        | Why::UnknownType
        | Why::UnloggedRelation
        | Why::TemporaryRelation
        | Why::ForeignRelation
        | Why::VolatileView
        | Why::UnknownRelation
        | Why::SystemRelation
        | Why::RowSecurity
        | Why::Utility
        | Why::Ddl
        | Why::Do
        | Why::Call
        | Why::Prepared
        | Why::Notify
        | Why::NotUnderstood
        | Why::NestingTooDeep
        | Why::RefusedByStandby => false,
    }
}

/// Whether an effect may change how the transaction commits, beyond what the session remembers of it.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others set nothing")]
fn may_set(effect: &Effect) -> bool {
    match effect {
        Effect::Set { name, scope, .. } => {
            // What is set for the session is known behind the cycle.
            **name == *NAME && *scope == SetScope::Local
        }
        Effect::SetConfig(_) | Effect::Suspect | Effect::ResetAll | Effect::DiscardAll => true,
        Effect::Reset(name) => **name == *NAME,
        _ => false,
    }
}

fn is_control(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Begin(_)
            | Effect::Commit { .. }
            | Effect::Savepoint(_)
            | Effect::ReleaseSavepoint(_)
    )
}

/// How many statements could hide behind the cause that is told of the strongest.
fn statements_besides_control(seen: &Seen<'_>) -> u32 {
    let control = seen.effects.iter().filter(|effect| is_control(effect)).count();
    seen.statements.saturating_sub(u32::try_from(control).unwrap_or(u32::MAX))
}

/// Whether a transaction ended within the cycle, so that one that is open now is another.
pub(super) fn ends_one(seen: &Seen<'_>) -> bool {
    let ends = |effect: &Effect| matches!(effect, Effect::Commit { .. } | Effect::Rollback { .. });
    seen.effects.iter().any(ends)
}

/// Whether a statement ran after a COMMIT of the same cycle: it may have seen more than was flushed.
fn goes_on_behind_commit(seen: &Seen<'_>) -> bool {
    let last = seen.completed.saturating_sub(1);
    let mut steps = seen.effects.iter().zip(seen.steps);
    steps.any(|(effect, step)| matches!(effect, Effect::Commit { .. }) && *step < last)
}

#[cfg(test)]
mod tests {
    use sql::{Chain, Class, TxModes};
    use wire::TxStatus;

    use super::super::tests::{Rig, seen, session, set};
    use super::super::{LastCommand, TakeTicket};
    use super::*;

    const BEGIN: &[Effect] =
        &[Effect::Begin(TxModes { access: None, isolation: None, deferrable: None })];
    const COMMIT: [Effect; 1] = [Effect::Commit { chain: Chain::No }];

    /// A write of one statement, on a server that commits synchronously by default.
    fn write(effects: &[Effect], status: TxStatus) -> Seen<'_> {
        Seen {
            commits: CommitDefault::Synchronous,
            ..seen(Class::Write, Why::DataModifying, effects, status)
        }
    }

    fn commit() -> Seen<'static> {
        let commit = seen(Class::Read, Why::Transaction, &COMMIT, TxStatus::Idle);
        Seen {
            commits: CommitDefault::Synchronous,
            modified: false,
            last: LastCommand::Commit,
            ..commit
        }
    }

    /// The ticket behind the last of these cycles.
    fn ticket<const N: usize>(rig: &mut Rig, cycles: [Seen<'_>; N]) -> TakeTicket {
        let taken = cycles.into_iter().map(|seen| rig.settle(&seen).ticket);
        taken.last().unwrap()
    }

    const FLUSHED: TakeTicket = TakeTicket::Scope(Wal::Flushed);
    const INSERTED: TakeTicket = TakeTicket::Scope(Wal::Inserted);

    #[test]
    fn a_synchronous_write_is_covered_by_the_flush_position() {
        assert_eq!(ticket(&mut session(), [write(&[], TxStatus::Idle)]), FLUSHED);
        let cycles = [write(BEGIN, TxStatus::Open), write(&[], TxStatus::Open), commit()];
        assert_eq!(ticket(&mut session(), cycles), FLUSHED);
    }

    #[test]
    fn what_is_not_known_to_be_synchronous_rests_on_the_insert_position() {
        let unknown = Seen { commits: CommitDefault::Unknown, ..write(&[], TxStatus::Idle) };
        assert_eq!(ticket(&mut session(), [unknown]), INSERTED);
        // No row was changed: nothing had to be flushed, and what it read may not have been.
        let changed_nothing = Seen { modified: false, ..write(&[], TxStatus::Idle) };
        assert_eq!(ticket(&mut session(), [changed_nothing]), INSERTED);
        for why in [Why::Do, Why::Call, Why::Ddl, Why::Unparsed, Why::UnknownFunction] {
            let opaque = Seen { why, ..write(&[], TxStatus::Idle) };
            assert_eq!(ticket(&mut session(), [opaque]), INSERTED, "{why:?}");
        }
        let two = Seen { statements: 2, completed: 2, ..write(&[], TxStatus::Idle) };
        assert_eq!(ticket(&mut session(), [two]), INSERTED);
        let failed = Seen { failed: true, ..write(&[], TxStatus::Idle) };
        assert_eq!(ticket(&mut session(), [failed]), INSERTED);
    }

    #[test]
    fn the_session_s_own_setting_outweighs_the_default() {
        let set_to = |value: &str| {
            let mut rig = session();
            let set = [set("synchronous_commit", value)];
            let _set =
                rig.settle(&seen(Class::PrimaryRead, Why::SessionState, &set, TxStatus::Idle));
            let unknown = Seen { commits: CommitDefault::Unknown, ..write(&[], TxStatus::Idle) };
            (ticket(&mut rig, [write(&[], TxStatus::Idle)]), ticket(&mut rig, [unknown]))
        };
        for on in ["on", "LOCAL", "remote_write", "remote_apply"] {
            assert_eq!(set_to(on), (FLUSHED, FLUSHED), "{on}");
        }
        for off in ["off", "false", "0", "no", "of", "onn"] {
            assert_eq!(set_to(off), (INSERTED, INSERTED), "{off}");
        }
    }

    #[test]
    fn a_transaction_that_was_set_to_off_does_not_count_however_it_ends() {
        let local = [Effect::Set {
            name: "synchronous_commit".into(),
            value: Some("off".into()),
            scope: SetScope::Local,
        }];
        let cycles = [
            write(BEGIN, TxStatus::Open),
            Seen { why: Why::SessionState, ..write(&local, TxStatus::Open) },
            write(&[], TxStatus::Open),
            commit(),
        ];
        let mut rig = session();
        assert_eq!(ticket(&mut rig, cycles), INSERTED);
        assert_eq!(ticket(&mut rig, [write(&[], TxStatus::Idle)]), FLUSHED, "it was local");
        let suspect = [Effect::Suspect];
        let cycles = [write(BEGIN, TxStatus::Open), write(&suspect, TxStatus::Open), commit()];
        assert_eq!(ticket(&mut session(), cycles), INSERTED);
    }

    #[test]
    fn what_is_read_behind_a_commit_of_the_same_cycle_may_not_be_flushed() {
        let effects = [BEGIN[0].clone(), Effect::Commit { chain: Chain::No }];
        let whole = |steps, statements| Seen {
            steps,
            statements,
            completed: statements,
            last: LastCommand::Commit,
            ..write(&effects, TxStatus::Idle)
        };
        assert_eq!(ticket(&mut session(), [whole(&[0, 2], 3)]), FLUSHED);
        assert_eq!(ticket(&mut session(), [whole(&[0, 1], 3)]), INSERTED);
    }

    #[test]
    fn a_chained_transaction_has_changed_nothing_yet() {
        let chained = [Effect::Commit { chain: Chain::Yes }];
        let first =
            Seen { why: Why::Transaction, modified: false, ..write(&chained, TxStatus::Open) };
        let cycles = [write(BEGIN, TxStatus::Open), write(&[], TxStatus::Open), first.clone()];
        assert_eq!(ticket(&mut session(), cycles), FLUSHED);
        let nothing = Seen { modified: false, ..write(&[], TxStatus::Open) };
        let cycles =
            [write(BEGIN, TxStatus::Open), write(&[], TxStatus::Open), first, nothing, commit()];
        assert_eq!(ticket(&mut session(), cycles), INSERTED);
    }
}
