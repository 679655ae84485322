//! One statement: its first words say who reads the rest.

use super::findings::Findings;
use super::split::Statement;
use super::words::Words;
use super::{query, setting, transaction, utility};
use crate::class::{Class, Why};
use crate::effect::{Effect, Pin};
use crate::names::Names;

/// Classifies one statement of a text.
pub(super) fn classify(sql: &str, names: Names<'_>, statement: Statement<'_>) -> Findings {
    let words = Words::new(sql, statement.tokens);
    let Some(beyond) = statement.beyond else { return inner(words, names) };
    if is_long_by_nature(words) {
        let mut found = inner(words, names);
        found.join_overlap(beyond);
        return found;
    }
    let mut found = Findings::new(Class::Write, Why::TooLong).reaching_outside();
    found.join_effects(utility::modifying(words, names, Why::TooLong));
    found.join_overlap(beyond);
    found
}

/// Bulk inserts and function bodies: their first word says that they write, and nothing else is to be learned.
fn is_long_by_nature(words: Words<'_>) -> bool {
    words.is_any(
        0,
        &[
            "insert", "update", "delete", "merge", "create", "alter", "do", "call", "comment",
            "grant",
        ],
    )
}

/// Classifies a statement, whole or within EXPLAIN or COPY.
pub(super) fn inner(words: Words<'_>, names: Names<'_>) -> Findings {
    if utility::is_query(words) {
        return query::classify(words, names);
    }
    let Some(first) = words.name(0) else { return unknown() };
    let mut rest = words;
    rest.pass(1);
    match first.as_str() {
        "begin" => transaction::begin(rest),
        "start" if rest.eat("transaction") => transaction::begin(rest),
        "commit" | "end" => transaction::commit(rest),
        "rollback" | "abort" => transaction::rollback(rest),
        "savepoint" => transaction::savepoint(rest, Effect::Savepoint),
        "release" => transaction::savepoint(rest, Effect::ReleaseSavepoint),
        "set" => setting::set(rest),
        "reset" => setting::reset(rest),
        "show" => setting::show(rest),
        "discard" => setting::discard(rest),
        "explain" => utility::explain(rest, names),
        "copy" => utility::copy(rest, names),
        "declare" => utility::declare(rest, names),
        "fetch" | "move" => Findings::new(Class::Read, Why::Cursor),
        "close" => Findings::new(Class::Read, Why::Cursor).with(Effect::CloseCursor),
        "create" => utility::create(rest, names),
        "alter" => utility::alter(rest),
        "prepare" => utility::prepare(rest, names),
        "deallocate" => utility::deallocate(rest),
        other => command(other, words, names),
    }
}

/// Commands that their first word decides.
fn command(first: &str, words: Words<'_>, names: Names<'_>) -> Findings {
    let write = |why| Findings::new(Class::Write, why);
    match first {
        "insert" | "update" | "delete" | "merge" => {
            utility::modifying(words, names, Why::DataModifying)
        }
        "call" => {
            utility::modifying(words, names, Why::Call).with(Effect::Suspect).reaching_outside()
        }
        "do" => utility::block(words),
        // What it leaves behind was found when it was prepared.
        "execute" => utility::modifying(words, names, Why::Prepared).reaching_outside(),
        "drop" | "import" | "reassign" => write(Why::Ddl).with(Effect::SchemaChange),
        "truncate" | "comment" | "grant" | "revoke" | "security" | "refresh" => write(Why::Ddl),
        "vacuum" | "analyze" | "analyse" | "cluster" | "reindex" | "checkpoint" | "lock"
        | "repack" => write(Why::Utility),
        "load" => write(Why::Utility).with(Effect::Pin(Pin::Load)).reaching_outside(),
        "listen" => write(Why::Notify).with(Effect::Pin(Pin::Listen)),
        "notify" => write(Why::Notify),
        "unlisten" => Findings::new(Class::PrimaryRead, Why::Notify).with(Effect::Unlisten),
        "wait" => Findings::new(Class::PrimaryRead, Why::Utility),
        _ => unknown(),
    }
}

/// A command that this version does not know may leave anything in the session. (A misspelt one fails and leaves nothing:
/// effects count only once a statement succeeded.)
fn unknown() -> Findings {
    Findings::new(Class::Write, Why::Unparsed).with(Effect::Pin(Pin::Unknown)).reaching_outside()
}
