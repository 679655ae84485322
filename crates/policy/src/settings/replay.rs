//! The queries that bring a server from one set of settings to another.

use super::{Settings, is_identity, needs_superuser};

/// The queries, none or one or two, that bring a server to `to`; `from` is `None` where nobody knows
/// what it is set to.
///
/// `set_config` rather than `SET`: it takes list values such as a `search_path` as one text, just as
/// a startup packet does. Two queries only where the text of the second must be read by another
/// `client_encoding`, which is the one that holds when it arrives.
#[must_use]
pub fn replay(from: Option<&Settings>, to: &Settings) -> Vec<String> {
    let had = |name: &str| from.and_then(|from| from.value(name));
    let differs = |name: &str| !is_identity(name) && had(name) != to.value(name);
    let as_is = from.is_some_and(|from| keeps_identity(from, to));
    let mut first = undo(from, to, as_is);
    let mut second = String::new();
    if to.is_ascii() || (from.is_some() && !differs(ENCODING)) {
        set(&mut first, to, differs);
    } else {
        set(&mut first, to, |name| name == ENCODING);
        set(&mut second, to, |name| name != ENCODING && differs(name));
    }
    if !as_is {
        let last = if second.is_empty() { &mut first } else { &mut second };
        set(last, to, |name| name == "session_authorization");
        set(last, to, |name| name == "role");
    }
    [first, second].into_iter().filter(|query| !query.is_empty()).collect()
}

const ENCODING: &str = "client_encoding";

/// Whether what differs can be set as whoever the statements run as, before and after.
///
/// Else all is done as the user who logged in: nothing tells who else may set it.
fn keeps_identity(from: &Settings, to: &Settings) -> bool {
    let identity = |settings: &Settings| {
        ["session_authorization", "role"].map(|name| settings.value(name).map(str::to_owned))
    };
    // What belongs to an extension may need a superuser, too.
    let anybodys = |name: &str| !needs_superuser(name) && !name.contains('.');
    let names = from.pairs().iter().chain(to.pairs()).map(|(name, _)| &**name);
    identity(from) == identity(to)
        && (!from.has_identity()
            || names.filter(|name| from.value(name) != to.value(name)).all(anybodys))
}

/// Undoes what `to` does not have.
#[expect(clippy::fn_params_excessive_bools, reason = "a fact of both sets, not a mode")]
fn undo(from: Option<&Settings>, to: &Settings, as_is: bool) -> String {
    let Some(from) = from else {
        return "RESET SESSION AUTHORIZATION;RESET ROLE;RESET ALL;".to_owned();
    };
    let mut sql = String::new();
    for (name, undo) in
        [("session_authorization", "RESET SESSION AUTHORIZATION;"), ("role", "RESET ROLE;")]
    {
        if !as_is && from.value(name).is_some() {
            sql.push_str(undo);
        }
    }
    for (name, _) in from.pairs() {
        if !is_identity(name) && to.value(name).is_none() {
            reset(&mut sql, name);
        }
    }
    sql
}

/// Appends `RESET a."B"`.
fn reset(sql: &mut String, name: &str) {
    sql.push_str("RESET ");
    for (index, part) in name.split('.').enumerate() {
        if index > 0 {
            sql.push('.');
        }
        sql.push('"');
        sql.push_str(&part.replace('"', "\"\""));
        sql.push('"');
    }
    sql.push(';');
}

/// Appends a call of `set_config` for each wanted name.
fn set(sql: &mut String, to: &Settings, wanted: impl Fn(&str) -> bool) {
    let mut separator = "SELECT ";
    for (name, value) in to.pairs().iter().filter(|(name, _)| wanted(name)) {
        sql.push_str(separator);
        separator = ",";
        sql.push_str("pg_catalog.set_config(");
        quote(sql, name);
        sql.push(',');
        quote(sql, value);
        sql.push_str(",false)");
    }
    if separator == "," {
        sql.push(';');
    }
}

/// Appends a literal that means the same whatever `standard_conforming_strings` is.
fn quote(sql: &mut String, text: &str) {
    if text.contains('\\') {
        sql.push('E');
    }
    sql.push('\'');
    for character in text.chars() {
        if matches!(character, '\'' | '\\') {
            sql.push(character);
        }
        sql.push(character);
    }
    sql.push('\'');
}
