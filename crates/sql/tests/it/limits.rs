//! Long, deep, broken and random texts.

use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use sql::{Class, Classifier, Effect, Pin, Scanner, Why, leading_hint};

use crate::common::{catalog, class, classify};

/// A chain of `links`, as a query.
fn chain(head: &str, link: &str, tail: &str, links: usize) -> String {
    format!("SELECT {head}{}{tail}", link.repeat(links))
}

#[test]
fn flat_chains_of_any_length_are_refused_before_they_are_parsed() {
    let chains = [
        ("1", "+1", ""),
        ("a=1", " OR a=1", ""),
        ("1", "::int", ""),
        ("", "(", ""),
        ("", "- ", "1"),
        ("", "NOT ", "true"),
    ];
    let more = [
        ("1", " IS NULL", ""),
        ("a", "[1]", ""),
        ("1", " UNION SELECT 1", ""),
        ("a", ", a", ""),
        ("a", ".b", ""),
    ];
    for (head, link, tail) in chains.into_iter().chain(more) {
        let found = classify(&chain(head, link, tail, 50_000));
        assert_eq!((found.class, found.why), (Class::Write, Why::TooLong), "{link}");
    }
}

#[test]
fn the_longest_chains_that_are_parsed_do_no_harm() {
    for (head, link, tail) in [
        ("1", "+1", ""),
        ("a=1", " OR a=1", " FROM t"),
        ("1", "::int", ""),
        ("1", " IS NULL", ""),
        ("1", " UNION SELECT 1", ""),
        ("1", " COLLATE x", ""),
        ("a", "[1]", " FROM t"),
        ("'a'", "||$1", ""),
        ("", "(SELECT ", "1"),
        ("", "(", "1"),
        ("", "CASE WHEN ", ""),
        ("", "abs(", ""),
        ("", "-", "1"),
        ("", "- ", "1"),
        ("1", "^1", ""),
        ("* FROM t", " JOIN t2 USING (a)", ""),
    ] {
        let links = 3_900
            / link.split_inclusive([' ', ':', '[', '1', '(', '+', '^', '|', '$']).count().max(1);
        let found = classify(&chain(head, link, tail, links.min(3_000)));
        assert!(
            found.class == Class::Write || found.why == Why::ReadOnly,
            "{link}: {:?}",
            found.why
        );
    }
}

#[test]
fn a_list_of_thousands_of_literals_is_still_a_read() {
    assert_eq!(
        class(&format!("SELECT * FROM t WHERE a IN (1{})", ", $2".repeat(1_900))),
        Class::Read
    );
}

#[test]
fn deep_nesting_is_refused() {
    let found = classify(&format!("SELECT {}1{}", "(".repeat(1_000), ")".repeat(1_000)));
    assert_eq!((found.class, found.why), (Class::Write, Why::NestingTooDeep));
    assert_eq!(class(&format!("SELECT {}1{}", "(".repeat(20), ")".repeat(20))), Class::Read);
}

#[test]
fn what_a_long_text_leaves_in_the_session_is_found_to_its_end() {
    let values = ", (1, 'x')".repeat(100_000);
    let found = classify(&format!("INSERT INTO t VALUES (1, 'x'){values}"));
    assert_eq!(
        (found.class, found.why, found.effects.len()),
        (Class::Write, Why::DataModifying, 0)
    );
    for at in 0..40 {
        // An odd and an even number of tokens, so that the parts end between any two tokens of the call.
        let (sign, pad) = (["", "+"][at % 2], "1,".repeat(1_980 + at / 2));
        let found = classify(&format!("SELECT {sign} {pad} pg_catalog.pg_advisory_lock(1)"));
        assert_eq!(found.effects, [Effect::Pin(Pin::AdvisoryLock)], "{at}");
    }
    let found = classify(&format!("SELECT {} 1; LISTEN a", "1,".repeat(9_000)));
    assert_eq!((found.statements, found.effects), (2, vec![Effect::Pin(Pin::Listen)]));
}

#[test]
fn hints_lead_or_are_not_read() {
    let pairs = |sql: &'static str| {
        leading_hint(sql)
            .map(|hint| hint.pairs.map(|pair| pair.map_err(|error| error.part)).collect::<Vec<_>>())
    };
    let sql = "  /* weir: route=primary, consistency = eventual,max_lag=500ms */ SELECT 1";
    assert_eq!(
        pairs(sql),
        Some(vec![
            Ok(("route", "primary")),
            Ok(("consistency", "eventual")),
            Ok(("max_lag", "500ms"))
        ])
    );
    assert_eq!(pairs("/*NO LOAD BALANCE*/ SELECT 1"), Some(vec![Ok(("route", "primary"))]));
    assert_eq!(pairs("/* pgdog_role: replica */ SELECT 1"), Some(vec![Ok(("route", "replica"))]));
    assert_eq!(pairs("/* weir: route */ SELECT 1"), Some(vec![Err("route")]));
    assert_eq!(pairs("/* weir: =x, a=b */ SELECT 1"), Some(vec![Err("=x"), Ok(("a", "b"))]));
    assert_eq!(pairs("/* pgdog_role: any */ SELECT 1"), Some(vec![Err("any")]));
    for sql in [
        "SELECT 1 /* weir: route=primary */",
        "SELECT '/* weir: route=primary */'",
        "-- weir: route=primary\nSELECT 1",
        "/* x */ /* weir: a=b */",
        "/* weir: a=b",
        "",
    ] {
        assert_eq!(pairs(sql), None, "{sql}");
    }
}

/// Pieces that make texts which nearly mean something.
fn piece() -> impl Strategy<Value = String> {
    let pieces = [
        "SELECT",
        "FROM",
        "t",
        "(",
        ")",
        ",",
        ";",
        "'",
        "\"",
        "$$",
        "$a$",
        "/*",
        "*/",
        "--",
        "\n",
        "\\",
        "E'",
        "U&'",
        "1",
        "$1",
        "::",
        "int",
        "+",
        "*",
        "WITH",
        "AS",
        "SET",
        "=",
        "a",
        ".",
        "BEGIN",
        "COPY",
        "TO",
        "STDOUT",
        "EXPLAIN",
        "CASE",
        "WHEN",
        "END",
        "[",
        "]",
        "set_config",
        "CREATE",
        "ATOMIC",
        "DECLARE",
        "CURSOR",
        "FOR",
        "OPERATOR",
        "TABLE",
        "VALUES",
        "ORDER BY",
        "LIMIT",
        "INTO",
        "TEMP",
        "é",
    ];
    prop_oneof![
        prop::sample::select(pieces.to_vec()).prop_map(str::to_owned),
        any::<char>().prop_map(String::from)
    ]
}

proptest! {
    #[test]
    fn nothing_panics_on_any_text(pieces in prop::collection::vec(piece(), 0..60), spaced in any::<bool>()) {
        let sql = pieces.join(if spaced { " " } else { "" });
        let catalog = catalog();
        let found = Classifier::new().classify(&sql, Some(&catalog));
        prop_assert!(found.class != Class::Read || !found.effects.contains(&Effect::Pin(Pin::AdvisoryLock)));
        let scan = Scanner::new([3, 4]).scan(sql.as_bytes());
        if scan.malformed {
            prop_assert_eq!(found.class, Class::Write);
        }
        let _pairs = leading_hint(&sql).map(|hint| hint.pairs.count());
    }

    #[test]
    fn no_bytes_panic_the_scanner(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _scan = Scanner::new([3, 4]).scan(&bytes);
    }

    #[test]
    fn a_fingerprint_knows_no_literals_comments_spaces_or_case(
        number in 0_u64.., text in "[^'\\\\]{0,20}", blank in "[ \t\n]{1,5}", comment in "[^*/]{0,10}", upper in any::<bool>()
    ) {
        let scanner = Scanner::new([3, 4]);
        let plain = scanner.scan(b"select a from t where b = 1 and c = 'x'");
        let mut words = vec!["select", "a", "from", "t", "where", "b", "="];
        let number = number.to_string();
        let (comment, text) = (format!("/*{comment}*/"), format!("'{text}'"));
        words.extend([number.as_str(), comment.as_str(), "and", "c", "=", text.as_str()]);
        let mut sql = words.join(&blank);
        if upper {
            sql = sql.to_ascii_uppercase();
        }
        prop_assert_eq!(scanner.scan(sql.as_bytes()), plain, "{}", sql);
    }

    /// Whatever texts share a fingerprint share a class, unless their answers say that they are kept by text.
    #[test]
    fn texts_of_one_fingerprint_have_one_class(pieces in prop::collection::vec(piece(), 0..30), literal in "[a-z.]{1,8}") {
        let scanner = Scanner::new([3, 4]);
        let one = format!("SELECT 'x' {}", pieces.join(" "));
        let other = format!("SELECT '{literal}' {}", pieces.join("\t"));
        if scanner.scan(one.as_bytes()) == scanner.scan(other.as_bytes()) {
            let catalog = catalog();
            let classify = |sql: &str| Classifier::new().classify(sql, Some(&catalog));
            let (one, other) = (classify(&one), classify(&other));
            prop_assert_eq!(one.keyed_by, other.keyed_by);
            prop_assert_eq!(one.class, other.class);
        }
    }
}

#[test]
fn of_very_many_statements_nothing_is_known_to_be_left() {
    let of = |count: usize| classify(&"SELECT 1;".repeat(count));
    assert_eq!((of(1_000).class, of(1_000).statements), (Class::Read, 1_000));
    let found = of(1_001);
    assert_eq!((found.class, found.why), (Class::Write, Why::TooLong));
    assert_eq!(found.effects, [Effect::Pin(Pin::Unknown)]);
    assert_eq!(of(100_000), found);
}
