//! SET, RESET, SHOW, DISCARD and `set_config` (manual: SET, SET ROLE, SET SESSION AUTHORIZATION, 9.28.1).

use super::findings::Findings;
use super::transaction;
use super::words::Words;
use crate::class::{Class, KeyedBy, Why};
use crate::effect::{Effect, Operand, Pin, SetConfig, SetScope};
use crate::scan::Kind;

/// After SET.
pub(super) fn set(mut words: Words<'_>) -> Findings {
    if words.eat("constraints") {
        return Findings::new(Class::Read, Why::Transaction);
    }
    if words.eat_all(&["session", "characteristics", "as", "transaction"]) {
        return transaction::set_characteristics(words);
    }
    let assigned = words.kind(1) == Some(Kind::Operator)
        || words.is(1, "to")
        || words.kind(1) == Some(Kind::Dot);
    let scope = if !assigned && words.eat("local") {
        SetScope::Local
    } else {
        // SET SESSION AUTHORIZATION names a setting, SET SESSION x a scope.
        let authorization = words.is(1, "authorization") && !words.is(2, "to");
        if !assigned && !authorization {
            words.eat("session");
        }
        SetScope::Session
    };
    if words.eat("transaction") {
        return transaction::set_transaction(words);
    }
    let value = setting(&mut words).and_then(|name| Some((value(words, &name)?, name)));
    let Some((value, name)) = value else {
        return Findings::new(Class::PrimaryRead, Why::SessionState)
            .with(Effect::Pin(Pin::SessionSetting))
            .by_text();
    };
    let class = class_of(&name, scope);
    let effect = Effect::Set { name: name.into(), value: value.map(String::into_boxed_str), scope };
    Findings::new(class, Why::SessionState).with(effect).by_text()
}

/// SET LOCAL lasts as long as its transaction and runs where that runs, unless a standby refuses it.
fn class_of(name: &str, scope: SetScope) -> Class {
    match scope {
        SetScope::Local if !matches!(name, "transaction_read_only" | "transaction_isolation") => {
            Class::Read
        }
        SetScope::Local | SetScope::Session => Class::PrimaryRead,
    }
}

/// Reads what is set, up to its value.
fn setting(words: &mut Words<'_>) -> Option<String> {
    if words.eat_all(&["time", "zone"]) {
        return Some("timezone".to_owned());
    }
    if words.eat_all(&["session", "authorization"]) {
        return Some("session_authorization".to_owned());
    }
    if words.eat_all(&["xml", "option"]) {
        return Some("xmloption".to_owned());
    }
    let assigned = words.kind(1) == Some(Kind::Operator) || words.is(1, "to");
    let special = [("names", "client_encoding"), ("schema", "search_path"), ("role", "role")];
    if let Some((_, name)) = special.iter().find(|(word, _)| !assigned && words.eat(word)) {
        return Some((*name).to_owned());
    }
    let name = dotted(words)?;
    let equals = words.at(0).is_some_and(|token| words.text(token) == "=");
    if equals {
        words.pass(1);
    } else if !words.eat("to") {
        return None;
    }
    Some(name)
}

/// Reads `a.b.c`, in lower case: settings' names are.
fn dotted(words: &mut Words<'_>) -> Option<String> {
    let mut name = words.name(0)?;
    words.pass(1);
    while words.eat_kind(Kind::Dot) {
        name.push('.');
        name.push_str(&words.name(0)?);
        words.pass(1);
    }
    Some(name.to_ascii_lowercase())
}

/// Reads the value to the end: `None` when not understood, `Some(None)` for DEFAULT.
#[expect(
    clippy::option_option,
    reason = "not understood, DEFAULT and a value are three different things"
)]
fn value(mut words: Words<'_>, name: &str) -> Option<Option<String>> {
    let only = words.tokens.len() == 1;
    let default = words.is(0, "default") || (name == "timezone" && words.is(0, "local"));
    if (only && default) || (words.is_done() && name == "client_encoding") {
        return Some(None);
    }
    let mut items: Vec<String> = Vec::new();
    loop {
        items.push(listed(item(&mut words)?, name));
        if words.is_done() {
            return Some(Some(items.join(", ")));
        }
        if !words.eat_kind(Kind::Comma) {
            return None;
        }
    }
}

fn item(words: &mut Words<'_>) -> Option<String> {
    let sign = words.at(0).map(|token| words.text(token)).filter(|text| matches!(*text, "-" | "+"));
    words.pass(usize::from(sign.is_some()));
    let token = words.at(0)?;
    let item = if token.kind == Kind::Number {
        let minus = if sign == Some("-") { "-" } else { "" };
        Some(format!("{minus}{}", words.text(token)))
    } else if sign.is_some() {
        None
    } else {
        words.name(0).or_else(|| words.string(0))
    };
    words.pass(1);
    item
}

/// These take lists of names, so SET quotes each item where needed; what it stores is such a list as text.
fn listed(item: String, name: &str) -> String {
    const LISTS: [&str; 4] =
        ["search_path", "temp_tablespaces", "local_preload_libraries", "session_preload_libraries"];
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit();
    let safe =
        item.bytes().all(plain) && item.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    if LISTS.contains(&name) && !safe { format!("\"{}\"", item.replace('"', "\"\"")) } else { item }
}

/// After RESET.
pub(super) fn reset(mut words: Words<'_>) -> Findings {
    let found = Findings::new(Class::PrimaryRead, Why::SessionState);
    if words.is(0, "all") && words.tokens.len() == 1 {
        return found.with(Effect::ResetAll);
    }
    match named(&mut words) {
        Some(name) => found.with(Effect::Reset(name.into())),
        None => found.with(Effect::Pin(Pin::SessionSetting)),
    }
}

/// After SHOW.
pub(super) fn show(mut words: Words<'_>) -> Findings {
    let found = Findings::new(Class::PrimaryRead, Why::SessionState);
    match named(&mut words) {
        Some(name) => found.with(Effect::Show(name.into())),
        None => found,
    }
}

/// Reads a setting's name to the end, also where the grammar has words of its own for it.
fn named(words: &mut Words<'_>) -> Option<String> {
    let special = [
        (&["time", "zone"][..], "timezone"),
        (&["session", "authorization"], "session_authorization"),
        (&["transaction", "isolation", "level"], "transaction_isolation"),
    ];
    let name = match special.iter().find(|(spelled, _)| words.eat_all(spelled)) {
        Some((_, name)) => (*name).to_owned(),
        None => dotted(words)?,
    };
    words.is_done().then_some(name)
}

/// After DISCARD.
pub(super) fn discard(words: Words<'_>) -> Findings {
    let found = Findings::new(Class::PrimaryRead, Why::SessionState);
    let effects = [
        (&["all"][..], Effect::DiscardAll),
        (&["plans"], Effect::DiscardPlans),
        (&["sequences"], Effect::DiscardSequences),
        (&["temp", "temporary"], Effect::DiscardTemp),
    ];
    match effects.into_iter().find(|(spelled, _)| words.is_any(0, spelled)) {
        Some((_, effect)) => found.with(effect),
        None => found.with(Effect::Pin(Pin::Unknown)),
    }
}

/// A call of `set_config`, at `index`, within a statement.
///
/// A constant `true` as last argument makes it local to the transaction, which has a server of its own. Otherwise only
/// `SELECT set_config('a', $1, false)` by itself is sure to run once: anything else pins.
pub(super) fn set_config(words: Words<'_>, index: usize, found: &mut Findings) {
    found.keyed_by = found.keyed_by.max(KeyedBy::Text);
    found.raise(Class::PrimaryRead, Why::SessionState);
    let mut call = words;
    call.pass(index.saturating_add(1));
    let arguments = call.group().map(|inner| inner.tokens).unwrap_or_default();
    let last = Words::new(
        words.sql,
        arguments.get(arguments.len().saturating_sub(2)..).unwrap_or_default(),
    );
    let local = last.kind(0) == Some(Kind::Comma) && last.is(1, "true");
    match sole_set_config(words, index) {
        Some(effect) => found.effects.push(effect),
        None if local => {}
        None => found.pins(Pin::SessionSetting),
    }
}

/// The effect of one call in `SELECT set_config(…) [AS a] [, set_config(…) [AS b] …]`.
fn sole_set_config(words: Words<'_>, index: usize) -> Option<Effect> {
    let mut rest = words;
    if !rest.eat("select") {
        return None;
    }
    let mut effect = None;
    loop {
        if rest.name(0).as_deref() == Some("pg_catalog") && rest.kind(1) == Some(Kind::Dot) {
            rest.pass(2);
        }
        let here = words.tokens.len().saturating_sub(rest.tokens.len()) == index;
        if rest.name(0).as_deref() != Some("set_config") {
            return None;
        }
        rest.pass(1);
        let set = arguments(rest.group()?)?;
        if here {
            effect = Some(set);
        }
        if rest.eat("as") {
            rest.name(0)?;
            rest.pass(1);
        }
        if rest.is_done() {
            return effect;
        }
        if !rest.eat_kind(Kind::Comma) {
            return None;
        }
    }
}

fn arguments(mut words: Words<'_>) -> Option<Effect> {
    let name = operand(&mut words)?;
    words.eat_kind(Kind::Comma).then_some(())?;
    let value = operand(&mut words)?;
    words.eat_kind(Kind::Comma).then_some(())?;
    let is_local = operand(&mut words)?;
    words.is_done().then_some(())?;
    let call = SetConfig { name, value, is_local };
    Some(call.resolve(|_| None).unwrap_or_else(|| Effect::SetConfig(Box::new(call))))
}

/// A constant or a parameter, with or without a cast to a type that keeps its text.
fn operand(words: &mut Words<'_>) -> Option<Operand> {
    let operand = if words.kind(0) == Some(Kind::Param) {
        let number = words.at(0).map(|token| words.text(token))?;
        Operand::Param(number.get(1..)?.parse().ok()?)
    } else if words.is(0, "null") {
        Operand::Null
    } else if words.is_any(0, &["true", "false"]) {
        Operand::Text(words.name(0)?.into())
    } else {
        Operand::Text(words.string(0)?.into())
    };
    words.pass(1);
    if words.eat_kind(Kind::Cast) && !words.eat_any(&["text", "varchar", "boolean", "bool"]) {
        return None;
    }
    Some(operand)
}
