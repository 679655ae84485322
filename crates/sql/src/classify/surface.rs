//! What a statement's tokens show on their own, wherever they stand.
//!
//! The parser may refuse a statement or may read it otherwise than the server. What must never be missed (a lock, a
//! sequence, a write in WITH, a changed setting) is therefore looked for by token, before and beside the syntax tree. It
//! may find too much (a column called `update`), never too little, and never says that a statement is a read.

use super::findings::Findings;
use super::setting::set_config;
use super::words::Words;
use crate::class::{Class, Why};
use crate::effect::{Effect, Pin};
use crate::names::Names;
use crate::scan::Kind;

/// Adds to `found` what the tokens of a statement, or of a part of one, show.
pub(super) fn look(words: Words<'_>, names: Names<'_>, found: &mut Findings) {
    for index in 0..words.tokens.len() {
        match words.kind(index) {
            Some(Kind::Word | Kind::Quoted) => name(words, index, names, found),
            Some(Kind::Operator) => operator(words, index, names, found),
            // Its spelling depends on escapes that nothing here decodes.
            Some(Kind::UnicodeName) => found.raise(Class::Write, Why::NotUnderstood),
            _ => {}
        }
    }
}

fn operator(words: Words<'_>, index: usize, names: Names<'_>, found: &mut Findings) {
    let symbol = words.at(index).map_or("", |token| words.text(token));
    // `name => value` is no operator.
    if symbol != "=>" {
        found.uses(names.operator(operator_schema(words, index).as_deref(), symbol));
    }
}

/// The schema in `OPERATOR(schema.symbol)`; `t.*` has none.
fn operator_schema(words: Words<'_>, index: usize) -> Option<String> {
    let mut first = index;
    while first.checked_sub(1).and_then(|dot| words.kind(dot)) == Some(Kind::Dot) {
        first = first.checked_sub(2)?;
    }
    let spelled = first.checked_sub(2).is_some_and(|word| words.is(word, "operator"));
    if spelled && first < index { words.name(index.checked_sub(2)?) } else { None }
}

fn name(words: Words<'_>, index: usize, names: Names<'_>, found: &mut Findings) {
    let before = index.checked_sub(1);
    let follows_dot = before.and_then(|before| words.kind(before)) == Some(Kind::Dot);
    match words.kind(index.saturating_add(1)) {
        Some(Kind::Open) => call(words, index, names, found),
        Some(Kind::Dot) if words.folded(index).is_some_and(|name| name.starts_with("pg_temp")) => {
            found.raise(Class::PrimaryRead, Why::TemporaryRelation);
        }
        _ if follows_dot => field(words, index, names, found),
        _ => {}
    }
    // `type 'text'`, where the type's name may be a key word that the parser takes for something else.
    if words.kind(index.saturating_add(1)) == Some(Kind::Text)
        && let Some((schema, name)) = words.qualified(index)
        && let Some(facts) = names.known_type(schema.as_deref(), &name)
    {
        found.uses(facts);
    }
    if !follows_dot {
        keyword(words, index, found);
    }
}

/// `name (`: a call, unless the name is a key word or an alias with columns.
fn call(words: Words<'_>, index: usize, names: Names<'_>, found: &mut Findings) {
    let Some((schema, name)) = words.qualified(index) else { return };
    match &*name {
        "set_config" => set_config(words, index, found),
        "current_setting" => current_setting(words, index, found),
        name => {
            if name.starts_with("pg_advisory_unlock") {
                found.effects.push(Effect::Unlock);
            }
            if let Some(facts) = names.known_function(schema.as_deref(), name) {
                found.uses(facts);
            }
        }
    }
}

/// `value.name` calls the function of that name when there is no such field: `('s'::regclass).nextval` draws a number.
fn field(words: Words<'_>, index: usize, names: Names<'_>, found: &mut Findings) {
    let Some(name) = words.folded(index) else { return };
    found.uses(names.row_function(&name));
    let of_value = index.checked_sub(2).and_then(|owner| words.kind(owner));
    if matches!(of_value, Some(Kind::Close | Kind::CloseBracket | Kind::Param))
        && let Some(facts) = names.known_function(None, &name)
    {
        found.uses(facts);
    }
}

/// Settings of an application's own are the session's and travel with it; others may tell one server from another.
fn current_setting(words: Words<'_>, index: usize, found: &mut Findings) {
    found.keyed_by = found.keyed_by.max(crate::class::KeyedBy::Text);
    let argument = words.string(index.saturating_add(2));
    if !argument.is_some_and(|name| name.contains('.')) {
        found.raise(Class::PrimaryRead, Why::PrimaryOnlyFunction);
    }
}

fn keyword(words: Words<'_>, index: usize, found: &mut Findings) {
    let next = index.saturating_add(1);
    if words.is(index, "into") {
        into(words, index, found);
    } else if words.is(index, "for") && words.is_any(next, &["update", "share", "no", "key"]) {
        found.raise(Class::Write, Why::LockingClause);
    } else if modifies(words, index) {
        found.raise(Class::Write, Why::DataModifying);
    }
}

/// INSERT INTO, MERGE INTO, DELETE FROM, UPDATE name: those words are also names of columns and functions.
fn modifies(words: Words<'_>, index: usize) -> bool {
    let next = index.saturating_add(1);
    words.is_any(index, &["insert", "merge"]) && words.is(next, "into")
        || words.is(index, "delete") && words.is(next, "from")
        || words.is(index, "update")
            && matches!(words.kind(next), Some(Kind::Word | Kind::Quoted | Kind::UnicodeName))
}

/// SELECT INTO makes a table; INSERT INTO and MERGE INTO are seen by their first word.
fn into(words: Words<'_>, index: usize, found: &mut Findings) {
    let before = index.checked_sub(1);
    if before.is_some_and(|before| words.is_any(before, &["insert", "merge"])) {
        return;
    }
    found.raise(Class::Write, Why::SelectInto);
    let next = index.saturating_add(1);
    let scoped = words.is_any(next, &["local", "global"]);
    let kind = if scoped { next.saturating_add(1) } else { next };
    if words.is_any(kind, &["temp", "temporary"]) {
        found.pins(Pin::TemporaryRelation);
    }
    if !found.effects.contains(&Effect::SchemaChange) {
        found.effects.push(Effect::SchemaChange);
    }
}
