//! `reads`: how fresh reads must be, for all databases or for one.

use policy::{PreferenceError, Preferences, Share};

use super::section::Section;
use super::units;

/// What `reads` says.
#[derive(Debug, Clone, Default)]
pub(super) struct Reads {
    /// What a session may want otherwise.
    pub(super) wishes: Preferences,
    /// What it may not: a client must not lift the cap that others are under.
    pub(super) max_primary_read_share: Option<Share>,
}

/// Reads `reads` of the file or of one database; what is silent there is as in `default`.
///
/// Names and words are those of `SET weir.*`: policy has the only list of them.
pub(super) fn reads(parent: &mut Section<'_>, default: &Reads) -> Reads {
    let mut at = parent.section("reads");
    let mut merged = default.wishes.clone();
    for name in Preferences::NAMES {
        if let Some(word) = at.word(name) {
            match set(&mut merged, name, &word) {
                Ok(()) => {}
                Err(cause) => at.problem(name, cause.to_string()),
            }
        }
    }
    let share = share(&mut at, default.max_primary_read_share);
    at.close();
    Reads { wishes: merged, max_primary_read_share: share }
}

/// Reads `reads` of one user: only what it says, over what the database says.
pub(super) fn overrides(parent: &mut Section<'_>) -> Vec<(&'static str, String)> {
    let mut at = parent.section("reads");
    let mut found = Vec::new();
    let mut tried = Preferences::default();
    for name in Preferences::NAMES {
        let Some(word) = at.word(name) else { continue };
        match set(&mut tried, name, &word) {
            // As policy spells it: what YAML read as a Boolean is `off` again.
            Ok(()) => found.extend(tried.get(name).map(|value| (name, value))),
            Err(cause) => at.problem(name, cause.to_string()),
        }
    }
    at.close();
    found
}

fn share(at: &mut Section<'_>, default: Option<Share>) -> Option<Share> {
    let Some(word) = at.word("max_primary_read_share") else { return default };
    // YAML may read `off` as a Boolean.
    if matches!(word.as_str(), "off" | "false") {
        return None;
    }
    match word.parse() {
        Ok(share) => Some(share),
        Err(cause) => {
            at.problem("max_primary_read_share", cause.to_string());
            None
        }
    }
}

fn set(wishes: &mut Preferences, name: &str, word: &str) -> Result<(), PreferenceError> {
    // YAML may read `off` as a Boolean.
    let word = if word == "false" { "off" } else { word };
    let number =
        matches!(name, "max_lag" | "stale_wait") && word.bytes().all(|byte| byte.is_ascii_digit());
    if number && units::duration(word).is_none() {
        return Err(PreferenceError::BadValue("a duration with its unit, such as 500ms or 2s"));
    }
    wishes.set(name, word)
}
