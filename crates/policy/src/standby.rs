//! What must a standby not be asked, and when is its refusal not the last word?

use sql::{Class, Effect, Pin, Why};
use wire::{ErrorFields, SqlState};

use crate::session::pinned_by;

/// Whether a statement may succeed on a standby and do the wrong thing there.
///
/// Asked within a read-only transaction that runs on a replica, where it is too late to move. What
/// a standby refuses by itself (25006) is left to it. `docs/routing.md` has the list.
#[must_use]
pub fn harms_a_standby(class: Class, why: Why, effects: &[Effect]) -> bool {
    // What outlives the transaction would tie the session to a server that can never write.
    let stays = |effect: &Effect| {
        pinned_by(effect).is_some()
            || matches!(effect, Effect::Unlisten | Effect::Pin(Pin::SequenceValue))
    };
    let unknowable = matches!(
        why,
        Why::VolatileFunction
            | Why::UnknownFunction
            | Why::ForeignRelation
            | Why::Utility
            | Why::Copy
            | Why::Do
            | Why::Call
            | Why::Notify
            | Why::Prepared
            | Why::Unparsed
            | Why::TooLong
            | Why::Malformed
            | Why::AmbiguousString
            | Why::NotUnderstood
            | Why::NestingTooDeep
            | Why::CatalogMissing
    );
    effects.iter().any(stays) || (class == Class::Write && unknowable)
}

/// Whether a read that a standby refused with this code may succeed on the primary.
///
/// 25006: it writes after all. 0A000: unlogged or temporary relation, serializable. 55000 and
/// XX000: what recovery forbids. 40001: cancelled by a recovery conflict. 57P0x: the server goes
/// down or is not up yet. 42P01, 42883, 42703: schema changes may not have been replayed yet.
#[must_use]
pub fn may_succeed_elsewhere(code: SqlState) -> bool {
    matches!(
        code.as_str(),
        "25006"
            | "0A000"
            | "55000"
            | "XX000"
            | "40001"
            | "57P01"
            | "57P02"
            | "57P03"
            | "42P01"
            | "42883"
            | "42703"
    )
}

/// Whether a standby that refuses a read with this code would refuse it again: it writes after all, or uses what only a
/// primary has.
///
/// Only if the primary then runs it: a client that is read-only itself gets 25006 there, too.
#[must_use]
pub fn teaches(code: SqlState) -> bool {
    matches!(code.as_str(), "25006" | "0A000" | "55000" | "XX000")
}

/// Whether a statement was prepared before its tables changed, so that it has to be prepared anew.
///
/// The code alone says no more than "not supported"; the message may be translated.
#[must_use]
pub fn is_stale_plan(error: &ErrorFields<'_>) -> bool {
    error.code == SqlState::FEATURE_NOT_SUPPORTED && error.routine == b"RevalidateCachedQuery"
}

/// Whether this refusal is about the node, not the statement, so that any other standby will do.
///
/// Reads go on by it when a standby ends while there is no primary.
#[must_use]
pub fn another_standby_will_do(code: SqlState) -> bool {
    matches!(code.as_str(), "40001" | "57P01" | "57P02" | "57P03")
}

#[cfg(test)]
mod tests {
    use sql::SetScope;

    use super::*;

    #[test]
    fn what_a_standby_would_do_silently_is_not_asked_of_it() {
        assert!(harms_a_standby(
            Class::PrimaryRead,
            Why::PrimaryOnlyFunction,
            &[Effect::Pin(Pin::AdvisoryLock)]
        ));
        assert!(harms_a_standby(Class::Write, Why::VolatileFunction, &[]));
        assert!(harms_a_standby(Class::PrimaryRead, Why::Cursor, &[Effect::Pin(Pin::HoldCursor)]));
        assert!(harms_a_standby(Class::PrimaryRead, Why::Notify, &[Effect::Unlisten]));
    }

    #[test]
    fn what_a_standby_refuses_or_may_do_is_left_to_it() {
        assert!(!harms_a_standby(Class::Write, Why::DataModifying, &[]));
        assert!(!harms_a_standby(Class::PrimaryRead, Why::SessionState, &[]));
        let set = |scope| Effect::Set { name: "work_mem".into(), value: None, scope };
        let refused = |scope| harms_a_standby(Class::Read, Why::SessionState, &[set(scope)]);
        assert!(!refused(SetScope::Local) && !refused(SetScope::Session), "settings travel");
        assert!(!harms_a_standby(Class::Read, Why::ReadOnly, &[]));
    }

    #[test]
    fn a_mistake_of_the_client_is_not_asked_of_another_node() {
        for code in
            [SqlState::SYNTAX_ERROR, SqlState::QUERY_CANCELED, SqlState::INSUFFICIENT_PRIVILEGE]
        {
            assert!(!may_succeed_elsewhere(code));
        }
        assert!(may_succeed_elsewhere(SqlState::READ_ONLY_SQL_TRANSACTION));
        assert!(may_succeed_elsewhere(SqlState::UNDEFINED_TABLE));
    }

    #[test]
    fn only_what_recovery_forbids_teaches() {
        assert!(teaches(SqlState::READ_ONLY_SQL_TRANSACTION));
        for code in [SqlState::UNDEFINED_TABLE, SqlState::ADMIN_SHUTDOWN] {
            assert!(!teaches(code), "another time it may be served");
        }
    }

    #[test]
    fn a_standby_that_ends_is_replaced_by_another_and_one_that_may_not_write_is_not() {
        assert!(another_standby_will_do(SqlState::ADMIN_SHUTDOWN));
        assert!(!another_standby_will_do(SqlState::READ_ONLY_SQL_TRANSACTION));
        assert!(!another_standby_will_do(SqlState::UNDEFINED_TABLE));
    }
}
