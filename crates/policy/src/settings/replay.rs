//! The queries that bring a server from one set of settings to another.

use super::{Settings, is_identity};

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
    let mut first = back_to_login(from, to);
    let mut second = String::new();
    if to.is_ascii() || (from.is_some() && !differs(ENCODING)) {
        set(&mut first, to, differs);
    } else {
        set(&mut first, to, |name| name == ENCODING);
        set(&mut second, to, |name| name != ENCODING && differs(name));
    }
    let last = if second.is_empty() { &mut first } else { &mut second };
    let only_identity = from.is_some_and(|from| identity(from) == identity(to));
    if !(only_identity && last.is_empty()) {
        set(last, to, |name| name == "session_authorization");
        set(last, to, |name| name == "role");
    }
    [first, second].into_iter().filter(|query| !query.is_empty()).collect()
}

const ENCODING: &str = "client_encoding";

fn identity(settings: &Settings) -> [Option<&str>; 2] {
    ["session_authorization", "role"].map(|name| settings.value(name))
}

/// Undoes what `to` does not have. As whom the others were set is not known, so all is done as the
/// user who logged in.
fn back_to_login(from: Option<&Settings>, to: &Settings) -> String {
    let Some(from) = from else {
        return "RESET SESSION AUTHORIZATION;RESET ROLE;RESET ALL;".to_owned();
    };
    let mut sql = String::new();
    if from.pairs() == to.pairs() {
        return sql;
    }
    for (name, undo) in
        [("session_authorization", "RESET SESSION AUTHORIZATION;"), ("role", "RESET ROLE;")]
    {
        if from.value(name).is_some() {
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
