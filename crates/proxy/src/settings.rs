//! A client's startup settings and later `SET`s, and the statement that brings a server to them.
//!
//! Servers are opened without any client's settings, so `RESET ALL` is the common ground: a server
//! whose settings differ from the session's gets one query of Weir's own in front of the client's
//! bytes, in the same write.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Names and values, sorted by name.
type Pairs = Vec<(Box<str>, Box<str>)>;

/// Identifies a set of settings within one worker; the default is "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct SettingsId(u64);

impl SettingsId {
    /// A server in this state must be brought to the session's settings whatever they are.
    pub(crate) const UNKNOWN: Self = Self(u64::MAX);
}

/// Names (lowercase) and values, sorted by name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) id: SettingsId,
    pub(crate) pairs: Pairs,
    /// What the settings mean for reading the client's SQL.
    pub(crate) readable: bool,
    /// Whether every transaction is SERIALIZABLE, which no standby can run.
    pub(crate) serializable: bool,
}

/// Encodings in which no byte of a longer character looks like ASCII, so that quotes are quotes.
fn is_ascii_safe(encoding: &str) -> bool {
    let name: String = encoding
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_ascii_uppercase();
    ["UTF8", "UNICODE", "SQLASCII", "LATIN", "WIN", "ISO8859"]
        .iter()
        .any(|safe| name.starts_with(safe))
}

impl Settings {
    fn new(id: SettingsId, pairs: Pairs) -> Self {
        let find = |name: &str| {
            pairs.iter().find(|(known, _)| &**known == name).map(|(_, value)| &**value)
        };
        let readable = find("client_encoding").is_none_or(is_ascii_safe);
        let serializable = find("default_transaction_isolation")
            .is_some_and(|level| level.eq_ignore_ascii_case("serializable"));
        Self { id, pairs, readable, serializable }
    }

    /// A setting's value.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| &**known == name).map(|(_, value)| &**value)
    }

    /// The query that brings a server from `from` to these settings.
    ///
    /// `set_config` rather than `SET`: it takes list values such as a `search_path` as one text,
    /// just as a startup packet does.
    pub(crate) fn query(&self, from: SettingsId) -> String {
        let mut sql = String::new();
        if from != SettingsId::default() {
            sql.push_str("RESET ALL;");
        }
        for (index, (name, value)) in self.pairs.iter().enumerate() {
            sql.push_str(if index == 0 { "SELECT " } else { "," });
            sql.push_str("pg_catalog.set_config(");
            quote(&mut sql, name);
            sql.push(',');
            quote(&mut sql, value);
            sql.push_str(",false)");
        }
        sql
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

/// A worker's known sets of settings.
#[derive(Debug)]
pub(crate) struct KnownSettings {
    none: Rc<Settings>,
    known: RefCell<HashMap<Pairs, Rc<Settings>>>,
    next: std::cell::Cell<u64>,
}

impl Default for KnownSettings {
    fn default() -> Self {
        Self {
            none: Rc::new(Settings::new(SettingsId::default(), Vec::new())),
            known: RefCell::default(),
            next: std::cell::Cell::new(1),
        }
    }
}

/// Sets kept before those that no session uses are forgotten.
const SWEEP_AT: usize = 1024;

impl KnownSettings {
    /// The set of these pairs.
    pub(crate) fn intern(&self, mut pairs: Pairs) -> Rc<Settings> {
        pairs.sort();
        if pairs.is_empty() {
            return Rc::clone(&self.none);
        }
        let mut known = self.known.borrow_mut();
        if let Some(settings) = known.get(&pairs) {
            return Rc::clone(settings);
        }
        if known.len() >= SWEEP_AT {
            known.retain(|_, settings| Rc::strong_count(settings) > 1);
        }
        let id = self.next.get();
        self.next.set(id.saturating_add(1));
        let settings = Rc::new(Settings::new(SettingsId(id), pairs.clone()));
        known.insert(pairs, Rc::clone(&settings));
        settings
    }

    /// `settings` with one name changed, or removed if `value` is `None`.
    pub(crate) fn with(
        &self,
        settings: &Settings,
        name: &str,
        value: Option<&str>,
    ) -> Rc<Settings> {
        let mut pairs: Vec<_> =
            settings.pairs.iter().filter(|(known, _)| &**known != name).cloned().collect();
        if let Some(value) = value {
            pairs.push((name.into(), value.into()));
        }
        self.intern(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_settings_are_one_set_whatever_their_order() {
        let known = KnownSettings::default();
        let first = known.intern(vec![("a".into(), "1".into()), ("b".into(), "2".into())]);
        let second = known.intern(vec![("b".into(), "2".into()), ("a".into(), "1".into())]);
        assert_eq!(first.id, second.id);
        assert_ne!(known.with(&first, "a", Some("3")).id, first.id);
        assert_eq!(known.with(&known.with(&first, "c", Some("3")), "c", None).id, first.id);
    }

    #[test]
    fn a_value_can_not_break_out_of_its_literal() {
        let known = KnownSettings::default();
        let settings =
            known.intern(vec![("search_path".into(), "a', false); DROP TABLE t --\\".into())]);
        assert_eq!(
            settings.query(SettingsId::default()),
            "SELECT pg_catalog.set_config('search_path',E'a'', false); DROP TABLE t --\\\\',false)"
        );
    }

    #[test]
    fn a_server_with_other_settings_is_reset_first() {
        let known = KnownSettings::default();
        assert_eq!(known.intern(Vec::new()).query(SettingsId::UNKNOWN), "RESET ALL;");
    }
}
