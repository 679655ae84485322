//! `reads`: how fresh reads must be, for all databases or for one.

use policy::{PreferenceError, Preferences};

use super::section::Section;
use super::units;

/// Reads `reads` of the file or of one database; what is silent there is as in `default`.
///
/// Names and words are those of `SET weir.*`: policy has the only list of them.
pub(super) fn reads(parent: &mut Section<'_>, default: &Preferences) -> Preferences {
    let mut at = parent.section("reads");
    let mut merged = default.clone();
    for name in Preferences::NAMES {
        if let Some(word) = at.word(name) {
            match set(&mut merged, name, &word) {
                Ok(()) => {}
                Err(cause) => at.problem(name, cause.to_string()),
            }
        }
    }
    at.close();
    merged
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
