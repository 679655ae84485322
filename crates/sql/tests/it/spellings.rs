//! Comments, blanks and literals in every form never change a fingerprint; names do.

use proptest::prelude::{
    BoxedStrategy, Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_assert_ne,
    prop_oneof, proptest,
};
use proptest::sample::Index;
use sql::{Classified, Classifier, Fingerprint, KeyedBy, Scanner};

use crate::common::catalog;

/// A token that two texts have in common, as each of them spells it.
#[derive(Clone, Debug)]
struct Spelled {
    one: String,
    other: String,
}

fn both(of: impl Strategy<Value = String> + Clone + 'static) -> BoxedStrategy<Spelled> {
    (of.clone(), of).prop_map(|(one, other)| Spelled { one, other }).boxed()
}

/// White space and comments; no minus may stand before `--`, so a space does.
fn blank() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[ \t\r\n\x0b\x0c]{1,3}",
        "/\\*[^*/]{0,6}\\*/",
        "/\\*[^*/]{0,3}/\\*[^*/]{0,3}\\*/[^*/]{0,3}\\*/",
        Just("/*/**//***/*/".to_owned()),
        " --[^\r\n]{0,6}[\r\n]",
    ];
    prop::collection::vec(part, 1..4).prop_map(|parts| parts.concat())
}

/// Two literals of one kind. A comma behind keeps a string from going on in the next one.
fn literal() -> impl Strategy<Value = Spelled> {
    let ended = |inner: &'static str, prefix: &'static str| {
        both(inner.prop_map(move |inner| format!("{prefix}'{}',", inner.replace('\'', "''"))))
    };
    let number = prop_oneof![
        "[0-9]{1,20},",
        "[0-9]{1,3}\\.[0-9]{0,3},",
        "\\.[0-9]{1,3}([eE][+-]?[0-9]{1,2})?,",
        "[0-9]{1,3}[eE][+-]?[0-9]{1,2},",
        "0[xX][0-9a-fA-F]{1,4},",
        "0[oO][0-7]{1,4},",
        "0[bB][01]{1,4},",
        "[0-9]{1,3}_[0-9]{1,3},",
    ];
    let dollar = ("[a-zé_]{0,3}[0-9]?", "[^$]{0,9}")
        .prop_filter("a tag begins like a name", |(tag, _)| {
            !tag.starts_with(|first: char| first.is_ascii_digit())
        })
        .prop_map(|(tag, text)| format!("${tag}${text}${tag}$,"));
    prop_oneof![
        ended("[^\\\\]{0,9}", ""),
        ended("[a-z]{0,3}(\\\\[a-z]){1,3}", ""),
        both("[eE]'([^'\\\\]|''|\\\\.){0,6}',"),
        ended("[^\\\\]{0,9}", "U&"),
        both("[bB]'[01]{0,9}',|[xX]'[0-9A-F]{0,9}',"),
        both(number),
        both(dollar),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-dF-Zé_][a-d0-9$_é]{0,4}",
        "\"([^\"]|\"\"){1,5}\"",
        "U&\"([^\"\\\\]|\"\"){1,5}\"",
    ]
}

/// A name that both texts have, in either case where that is the same name.
fn named() -> impl Strategy<Value = Spelled> {
    name().prop_map(|one| {
        let folds = !one.contains('"');
        let other = if folds { one.to_ascii_uppercase() } else { one.clone() };
        Spelled { one, other }
    })
}

fn fixed() -> impl Strategy<Value = Spelled> {
    let fixed = [
        "select", "from", "where", "(", ")", "[", "]", ",", ";", ".", "::", ":=", ":", "+", "-",
        "*", "/", "@-", "<=", "$1", "$23",
    ];
    prop::sample::select(fixed.to_vec())
        .prop_map(|text| Spelled { one: text.to_owned(), other: text.to_ascii_uppercase() })
}

fn spelled() -> impl Strategy<Value = (Spelled, String, String)> {
    (prop_oneof![2 => fixed(), 2 => literal(), 1 => named()], blank(), blank())
}

fn print(sql: &str) -> Fingerprint {
    Scanner::new([3, 4]).scan(sql.as_bytes()).fingerprint
}

/// Statements with places for literals.
const TEMPLATES: &[&str] = &[
    "SELECT a FROM t WHERE a = ? AND b IN (?, ?)",
    "SELECT lower(?), * FROM t ORDER BY ? LIMIT ?",
    "SELECT * FROM t WHERE b = ? FOR UPDATE",
    "SELECT nextval(?)",
    "SELECT set_config(?, ?, false)",
    "SELECT current_setting(?)",
    "INSERT INTO t VALUES (?, ?), (?, ?)",
    "SET x.y = ?",
    "SET LOCAL x.y = ?, ?",
    "COPY (SELECT ?) TO STDOUT",
    "DO ?",
    "EXECUTE p(?)",
    "WITH x AS (SELECT ?) SELECT * FROM x; SELECT ?",
];

/// A template with its places filled in and its blanks exchanged.
fn fill(template: &str, literals: &[String], blanks: &[String]) -> String {
    let mut literals = literals.iter().cycle();
    let mut blanks = blanks.iter().cycle();
    let mut text = String::new();
    for part in template.split_inclusive(['?', ' ']) {
        match part.strip_suffix('?') {
            Some(before) => text.extend([before, literals.next().map_or("1", String::as_str)]),
            None => text.extend([part, blanks.next().map_or(" ", String::as_str)]),
        }
    }
    text
}

/// Literals of one kind for two texts, without the comma.
fn pairs() -> impl Strategy<Value = (Vec<String>, Vec<String>)> {
    prop::collection::vec(literal(), 1..4).prop_map(|pairs| {
        let cut = |text: &str| text.trim_end_matches(',').to_owned();
        pairs.iter().map(|pair| (cut(&pair.one), cut(&pair.other))).unzip()
    })
}

fn classify(sql: &str) -> Classified {
    Classifier::new().classify(sql, Some(&catalog()))
}

proptest! {
    #[test]
    fn comments_and_literals_never_change_the_fingerprint(tokens in prop::collection::vec(spelled(), 0..20)) {
        let one: String = tokens.iter().map(|(token, blank, _)| token.one.clone() + blank).collect();
        let other: String = tokens.iter().map(|(token, _, blank)| token.other.clone() + blank).collect();
        prop_assert_eq!(print(&one), print(&other), "{}\n{}", one, other);
        prop_assert!(!Scanner::new([3, 4]).scan(one.as_bytes()).malformed, "{}", one);
    }

    #[test]
    fn another_name_changes_the_fingerprint(
        tokens in prop::collection::vec(spelled(), 1..12), mine in named(), at in any::<Index>(), name in name()
    ) {
        let mut tokens: Vec<Spelled> = tokens.into_iter().map(|(token, ..)| token).collect();
        let at = at.index(tokens.len());
        tokens.insert(at, mine.clone());
        let text = |tokens: &[Spelled]| tokens.iter().map(|token| token.one.clone() + " ").collect::<String>();
        let before = text(&tokens);
        let folded = |name: &str| if name.contains('"') { name.to_owned() } else { name.to_ascii_lowercase() };
        tokens[at].one.clone_from(&name);
        if folded(&name) == folded(&mine.one) {
            prop_assert_eq!(print(&before), print(&text(&tokens)));
        } else {
            prop_assert_ne!(print(&before), print(&text(&tokens)), "{}", before);
        }
    }

    #[test]
    fn literals_change_nothing_that_is_kept_by_fingerprint(
        template in prop::sample::select(TEMPLATES.to_vec()), (one, other) in pairs(), blanks in prop::collection::vec(blank(), 3)
    ) {
        let (one, other) = (fill(template, &one, &[]), fill(template, &other, &blanks));
        prop_assert_eq!(print(&one), print(&other), "{}\n{}", one, other);
        let (one, other) = (classify(&one), classify(&other));
        prop_assert_eq!(one.keyed_by, other.keyed_by);
        if one.keyed_by == KeyedBy::Fingerprint {
            prop_assert_eq!(one, other);
        }
    }
}
