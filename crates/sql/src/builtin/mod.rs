//! What PostgreSQL itself brings: functions, operators, types, relations and key words.

mod curated;
mod generated;

use crate::facts::Facts;

pub(crate) use curated::is_newer_keyword;
pub(crate) use generated::KEYWORDS;

/// What calling a function of `pg_catalog` may do; `None` when it is not known.
pub(crate) fn function(name: &str) -> Option<Facts> {
    curated::function(name)
        .or_else(|| has(generated::FUNCTIONS, name).then_some(Facts::READ))
        .or_else(|| has(generated::VOLATILE, name).then_some(curated::VOLATILE))
}

/// Whether `pg_catalog` has an operator of this name; all of them are harmless.
pub(crate) fn has_operator(name: &str) -> bool {
    has(generated::OPERATORS, name) || matches!(name, "!=")
}

/// Whether PostgreSQL has a type of this name; the input functions of all of them are harmless.
pub(crate) fn has_type(name: &str) -> bool {
    has(generated::TYPES, name)
}

/// What reading a relation of `pg_catalog` may do; `None` when it is not known.
pub(crate) fn relation(name: &str) -> Option<Facts> {
    if has(generated::SYSTEM_TABLES, name) {
        return Some(Facts::READ);
    }
    curated::system_view(name)
        .or_else(|| has(generated::SYSTEM_VIEWS, name).then_some(curated::SYSTEM_RELATION))
}

/// Whether `information_schema` has a relation of this name; all of them are harmless.
pub(crate) fn has_information_schema(name: &str) -> bool {
    has(generated::INFORMATION_SCHEMA, name)
}

/// Says whether PostgreSQL's grammar knows this word, in lower case.
#[must_use]
pub fn is_keyword(word: &str) -> bool {
    listed_keyword(word).is_some() || is_newer_keyword(word)
}

/// The place of a word in [`KEYWORDS`].
pub(crate) fn listed_keyword(word: &str) -> Option<usize> {
    let first = usize::from(*word.as_bytes().first()?);
    let (from, to) = (*STARTS.get(first)?, *STARTS.get(first.checked_add(1)?)?);
    KEYWORDS.get(from..to)?.binary_search(&word).ok()?.checked_add(from)
}

/// Where the key words of each first letter begin: every word of every statement is looked up.
static STARTS: [usize; 129] = starts();

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "it runs while this is compiled"
)]
const fn starts() -> [usize; 129] {
    let mut starts = [0; 129];
    let (mut letter, mut word) = (0, 0);
    while letter < starts.len() {
        while word < KEYWORDS.len() && (KEYWORDS[word].as_bytes()[0] as usize) < letter {
            word += 1;
        }
        starts[letter] = word;
        letter += 1;
    }
    starts
}

fn has(sorted: &[&str], name: &str) -> bool {
    sorted.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{curated, function, generated, has, is_keyword};
    use crate::class::Class;

    #[test]
    fn generated_lists_are_sorted_for_binary_search() {
        for list in [
            generated::FUNCTIONS,
            generated::VOLATILE,
            generated::OPERATORS,
            generated::TYPES,
            generated::SYSTEM_TABLES,
            generated::SYSTEM_VIEWS,
            generated::INFORMATION_SCHEMA,
            generated::KEYWORDS,
        ] {
            assert!(list.is_sorted() && !list.is_empty());
        }
    }

    #[test]
    fn every_key_word_is_found_and_nothing_beside_them() {
        assert!(
            generated::KEYWORDS.iter().chain(&["wait", "bernoulli"]).all(|word| is_keyword(word))
        );
        for word in ["", "a", "zzz", "SELECT", "selec", "selects", "_", "{", "\u{7f}", "é", "\0"] {
            assert!(!is_keyword(word), "{word:?}");
        }
    }

    /// A name that no server has is a slip of the pen, and what it should have caught is not caught.
    #[test]
    fn every_exception_is_for_a_function_that_some_version_has() {
        let of_server =
            |name: &&str| has(generated::FUNCTIONS, name) || has(generated::VOLATILE, name);
        let missing: Vec<_> = curated::names().filter(|name| !of_server(name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        let matched = |prefix: &&str| {
            let mut names = generated::FUNCTIONS.iter().chain(generated::VOLATILE);
            names.any(|name| name.starts_with(prefix))
        };
        let unmatched: Vec<_> = curated::prefixes().filter(|prefix| !matched(prefix)).collect();
        assert!(unmatched.is_empty(), "{unmatched:?}");
    }

    #[test]
    fn a_function_is_listed_as_harmless_or_as_volatile_never_as_both() {
        let both = |name: &&&str| has(generated::VOLATILE, name);
        assert_eq!(generated::FUNCTIONS.iter().find(both), None);
    }

    #[test]
    fn exceptions_win_over_what_the_catalog_says() {
        for name in [
            "txid_current",
            "table_to_xml",
            "ts_rewrite",
            "version",
            "pg_walfile_name",
            "pg_stat_get_activity",
        ] {
            assert!(function(name).is_some_and(|facts| facts.class > Class::Read), "{name}");
        }
        for name in ["random", "pg_sleep", "lower", "count", "now", "uuidv7"] {
            assert!(function(name).is_some_and(|facts| facts.class == Class::Read), "{name}");
        }
        assert!(function("my_function").is_none());
    }
}
