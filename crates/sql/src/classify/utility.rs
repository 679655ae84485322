//! EXPLAIN, COPY, DECLARE, CREATE and other commands around a query.

use super::findings::Findings;
use super::words::Words;
use super::{query, statement, surface};
use crate::class::{Class, Why};
use crate::effect::{Effect, Pin};
use crate::names::Names;
use crate::scan::{Backslash, Kind, Lexer, Token};

/// After EXPLAIN.
pub(super) fn explain(mut words: Words<'_>, names: Names<'_>) -> Findings {
    let mut runs = false;
    // An opening parenthesis begins options, unless a query begins with it.
    let options = words.kind(0) == Some(Kind::Open)
        && !words.is_any(1, &["select", "with", "values", "table"]);
    if options && words.kind(1) != Some(Kind::Open) {
        let Some(options) = words.group() else {
            return Findings::new(Class::Write, Why::Unparsed);
        };
        runs = executes(options);
    } else {
        runs |= words.eat_any(&["analyze", "analyse"]);
        words.eat("verbose");
    }
    let inner = statement::inner(words, names);
    if runs {
        inner
    } else {
        // Planning alone changes nothing. The plan that people mean is the primary's.
        Findings::new(Class::PrimaryRead, Why::Explain)
    }
}

/// Whether EXPLAIN's options make it run the statement; a value that is a literal counts as true.
fn executes(options: Words<'_>) -> bool {
    (0..options.tokens.len()).any(|index| {
        let starts =
            index.checked_sub(1).is_none_or(|before| options.kind(before) == Some(Kind::Comma));
        let off = ["false", "off"];
        starts
            && options.is_any(index, &["analyze", "analyse"])
            && !options.is_any(index.saturating_add(1), &off)
    })
}

/// After COPY.
pub(super) fn copy(mut words: Words<'_>, names: Names<'_>) -> Findings {
    words.eat("binary");
    let whole = words;
    let inner = words.group();
    let mut found = match inner {
        Some(inner) => statement::inner(inner, names),
        None => copied_relation(&mut words, names),
    };
    let to_client = words.eat("to") && words.eat_any(&["stdout", "stdin"]);
    if to_client {
        return found;
    }
    found.raise(Class::Write, Why::Copy);
    found.why = Why::Copy;
    if words.is(0, "from") && words.is_any(1, &["stdin", "stdout"]) && inner.is_none() {
        found.effects.push(Effect::CopyIn);
        // COPY … FROM … WHERE may call what it likes.
        let mut shown = Findings::default();
        surface::look(whole, names, &mut shown);
        found.join_effects(shown);
        return found;
    }
    found.reaching_outside()
}

/// Reads the relation and its columns.
fn copied_relation(words: &mut Words<'_>, names: Names<'_>) -> Findings {
    let mut found = Findings::default();
    let mut last = 0_usize;
    while words.kind(last.saturating_add(1)) == Some(Kind::Dot) {
        last = last.saturating_add(2);
    }
    match words.qualified(last) {
        Some((schema, name)) => found.uses(names.relation(schema.as_deref(), &name)),
        None => found.raise(Class::Write, Why::NotUnderstood),
    }
    words.pass(last.saturating_add(1));
    words.group();
    found
}

/// After DECLARE: `name … CURSOR [WITH | WITHOUT HOLD] FOR query`.
pub(super) fn declare(mut words: Words<'_>, names: Names<'_>) -> Findings {
    let unparsed = Findings::new(Class::Write, Why::Unparsed).with(Effect::Pin(Pin::HoldCursor));
    words.pass(1);
    while words.eat_any(&["binary", "asensitive", "insensitive", "no", "scroll"]) {}
    if !words.eat("cursor") {
        return unparsed;
    }
    let hold = words.eat_all(&["with", "hold"]);
    if !hold {
        words.eat_all(&["without", "hold"]);
    }
    if !words.eat("for") {
        return unparsed;
    }
    let mut found = query::classify(words, names);
    if found.class == Class::Read {
        found.why = Why::Cursor;
    }
    if hold {
        // It pins the session: on a replica that would end all writing.
        found.raise(Class::PrimaryRead, Why::Cursor);
        found.pins(Pin::HoldCursor);
    }
    found
}

/// After CREATE.
pub(super) fn create(words: Words<'_>, names: Names<'_>) -> Findings {
    let mut found = Findings::new(Class::Write, Why::Ddl);
    let mut kind = words;
    kind.eat_all(&["or", "replace"]);
    kind.eat_any(&["global", "local"]);
    if kind.eat_any(&["temp", "temporary"]) || names_temporary(words) {
        found.effects.push(Effect::Pin(Pin::TemporaryRelation));
    }
    kind.eat("unlogged");
    if kind.is_any(0, &["table", "materialized"]) {
        // CREATE TABLE AS runs its query: what that leaves in the session stays.
        let mut shown = Findings::default();
        surface::look(words, names, &mut shown);
        found.join_effects(shown);
    }
    if !found.effects.contains(&Effect::SchemaChange) {
        found.effects.push(Effect::SchemaChange);
    }
    found
}

fn names_temporary(words: Words<'_>) -> bool {
    (0..words.tokens.len()).any(|index| {
        words.kind(index.saturating_add(1)) == Some(Kind::Dot)
            && words.name(index).is_some_and(|name| name.starts_with("pg_temp"))
    })
}

/// After ALTER.
pub(super) fn alter(words: Words<'_>) -> Findings {
    if words.is(0, "system") {
        return Findings::new(Class::Write, Why::Utility);
    }
    let found = Findings::new(Class::Write, Why::Ddl).with(Effect::SchemaChange);
    let sets = (0..words.tokens.len()).any(|at| words.is_any(at, &["set", "reset"]));
    if sets && words.is_any(0, &["role", "user", "database"]) {
        found.with(Effect::LoginDefaults)
    } else {
        found
    }
}

/// After DEALLOCATE.
pub(super) fn deallocate(mut words: Words<'_>) -> Findings {
    words.eat("prepare");
    let found = Findings::new(Class::PrimaryRead, Why::Prepared).by_text();
    match words.name(0) {
        _ if words.is(0, "all") => found.with(Effect::DeallocateAll),
        Some(name) => found.with(Effect::Deallocate(name.into())),
        None => found.with(Effect::Pin(Pin::Unknown)),
    }
}

/// DO: what its code does is not known, but what the server can't be asked for afterwards shows in it.
pub(super) fn block(words: Words<'_>) -> Findings {
    let mut found = Findings::new(Class::Write, Why::Do).with(Effect::Suspect).reaching_outside();
    for index in 0..words.tokens.len() {
        let Some(code) = words.string(index).or_else(|| words.raw(index)) else { continue };
        let tokens: Vec<Token> = Lexer::new(code.as_bytes(), Backslash::Plain).collect();
        let code = Words::new(&code, &tokens);
        for at in 0..tokens.len() {
            if code.is_any(at, &["set_config", "setseed"]) || sets(code, at) {
                found.pins(Pin::SessionSetting);
            } else if code.is(at, "load") {
                found.pins(Pin::Load);
            }
        }
    }
    found.by_text()
}

/// Whether a statement that begins at `at` changes a setting for longer than its transaction.
fn sets(code: Words<'_>, at: usize) -> bool {
    let begins = at.checked_sub(1).is_none_or(|before| {
        code.kind(before) == Some(Kind::Semicolon)
            || code.is_any(before, &["begin", "then", "else", "loop"])
    });
    begins
        && code.is_any(at, &["set", "reset"])
        && !code.is_any(at.saturating_add(1), &["local", "constraints", "transaction"])
}

/// After PREPARE.
pub(super) fn prepare(words: Words<'_>, names: Names<'_>) -> Findings {
    if words.is(0, "transaction") {
        return Findings::new(Class::Write, Why::Transaction).with(Effect::PrepareTransaction);
    }
    let mut found = modifying(words, names, Why::Prepared);
    // When it sets something, or whether it ever does, is for each EXECUTE to say.
    let sets = |effect: &Effect| matches!(effect, Effect::Set { .. } | Effect::SetConfig(_));
    if found.effects.iter().any(sets) {
        found.effects.retain(|effect| !sets(effect));
        found.pins(Pin::SessionSetting);
    }
    found.pins(Pin::Prepare);
    found.reaching_outside()
}

/// `TABLE name`, as a statement of its own or behind COPY's and EXPLAIN's words, is a query like any other.
pub(super) fn is_query(words: Words<'_>) -> bool {
    words.kind(0) == Some(Kind::Open) || words.is_any(0, &["select", "with", "values", "table"])
}

/// INSERT, UPDATE, DELETE, MERGE and what else may hold expressions: a write, with the effects its tokens show.
pub(super) fn modifying(words: Words<'_>, names: Names<'_>, why: Why) -> Findings {
    let mut shown = Findings::default();
    surface::look(words, names, &mut shown);
    let mut found = Findings::new(Class::Write, why);
    found.join_effects(shown);
    found.effects.retain(|effect| *effect != Effect::SchemaChange);
    found
}
