//! What PostgreSQL itself brings: functions, operators, types, relations and key words.

mod curated;
mod generated;

use crate::facts::Facts;

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
    has(generated::KEYWORDS, word) || curated::is_newer_keyword(word)
}

fn has(sorted: &[&str], name: &str) -> bool {
    sorted.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{curated, function, generated, has};
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
