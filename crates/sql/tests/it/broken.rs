//! Bad input: NULs, bytes that are no UTF-8, what is not closed, and what is very long.

use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};
use proptest::sample::Index;
use sql::{Class, Effect, KeyedBy, Pin, Scanner, Why, named_statement};

use crate::common::{class, classify};

/// About a megabyte.
const MUCH: usize = 1 << 20;

#[test]
fn a_nul_outside_of_quotes_is_no_sql() {
    for sql in ["\0", "SELECT 1\0", "SELECT \0 1", "SELECT a\0b", "\0/* weir: route=replica */"] {
        let found = classify(sql);
        assert_eq!((found.class, found.keyed_by), (Class::Write, KeyedBy::Nothing), "{sql:?}");
    }
}

#[test]
fn what_is_not_closed_is_the_primarys_and_pins() {
    for open in [
        "'",
        "'a''",
        "E'\\'",
        "U&'",
        "x'",
        "\"",
        "U&\"",
        "\"\"\"",
        "$$",
        "$a$ $$ $b$",
        "/*",
        "/*/**/",
        "/*/",
    ] {
        for sql in [
            open.to_owned(),
            format!("SELECT a FROM t WHERE b = {open}"),
            format!("SELECT 1; {open} SELECT 1"),
        ] {
            let found = classify(&sql);
            assert_eq!(found.class, Class::Write, "{sql}");
            assert_eq!(found.keyed_by, KeyedBy::Nothing, "{sql}");
            assert!(found.effects.contains(&Effect::Pin(Pin::Unknown)), "{sql}");
            assert!(Scanner::new([3, 4]).scan(sql.as_bytes()).malformed, "{sql}");
        }
    }
}

#[test]
fn a_megabyte_in_one_token_is_read_as_that_token() {
    let much = "x".repeat(MUCH);
    for sql in [
        format!("SELECT '{much}'"),
        format!("SELECT E'{}'", "\\'".repeat(MUCH / 2)),
        format!("SELECT $a${}$a$", "$".repeat(MUCH)),
        format!("SELECT /*{much}*/ 1"),
        format!("SELECT 1 --{much}"),
        format!("SELECT {}", "1".repeat(MUCH)),
        format!("SELECT 1 AS \"{much}\""),
        format!("{} SELECT 1", "/* */".repeat(MUCH / 5)),
        format!("SELECT {}1{}", "/*".repeat(MUCH / 4), "*/".repeat(MUCH / 4)).replacen('1', "", 1)
            + " 1",
    ] {
        assert_eq!(class(&sql), Class::Read, "{}", &sql[..20]);
    }
}

#[test]
fn many_tokens_are_the_primarys() {
    let pieces = [
        "(",
        ")",
        "[",
        "\"a\" ",
        "$",
        "$$",
        "$1",
        "/*",
        "--",
        "\\",
        "\0",
        "é ",
        ".",
        "::",
        "+",
        "a ",
        "1 ",
        "a.",
        "a(",
        "SELECT ",
        "WITH a AS (",
        "CASE ",
        "set_config(",
        "nextval(",
        "BEGIN ATOMIC ",
        "UNION ",
        "E'",
        "$a$",
        "U&\"",
    ];
    for piece in pieces {
        let found = classify(&format!("SELECT {}", piece.repeat(MUCH / 4 / piece.len())));
        let empty = piece == "--";
        assert!(found.class == Class::Write || empty, "{piece}: {:?}", found.class);
    }
}

#[test]
fn a_semicolon_a_byte_holds_no_statement() {
    let found = classify(&";".repeat(MUCH));
    assert_eq!((found.class, found.why, found.statements), (Class::Read, Why::Empty, 0));
}

#[test]
fn one_write_among_many_reads_is_found() {
    let reads = "SELECT 1;".repeat(400);
    let found = classify(&format!("{reads} SELECT nextval('s'); {reads}"));
    assert_eq!((found.class, found.why), (Class::Write, Why::VolatileFunction));
    assert_eq!(found.statements, 801);
}

fn sql() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "SELECT a, 'it''s', E'\\'', $a$ x $a$ FROM t WHERE b = U&'\\0041' /* c /* d */ */ AND \"A\" = 1.5e3",
        "EXECUTE \"p\" (1, 'x')",
        "INSERT INTO t VALUES ($1, x'1F') -- c\n; DEALLOCATE p",
        "BEGIN READ ONLY; FETCH ALL FROM c; SET LOCAL a.b = 'c'",
        "/* weir: route=primary */ COPY (SELECT 1) TO STDOUT",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn a_text_cut_anywhere_is_whole_or_a_write(sql in sql(), at in any::<Index>()) {
        let starts: Vec<usize> = sql.char_indices().map(|(start, _)| start).collect();
        let at = *at.get(&starts);
        let cut = &sql[..at];
        let found = classify(cut);
        if Scanner::new([3, 4]).scan(cut.as_bytes()).malformed {
            prop_assert_eq!(found.class, Class::Write);
            prop_assert_eq!(found.keyed_by, KeyedBy::Nothing);
        }
    }

    #[test]
    fn bytes_that_are_no_utf8_name_no_statement_and_share_no_entry(sql in sql(), at in any::<Index>(), bytes in prop::collection::vec(0x80_u8.., 1..4)) {
        let mut broken = sql.clone().into_bytes();
        let at = at.index(sql.len());
        broken.splice(at..at, bytes);
        let scanner = Scanner::new([3, 4]);
        prop_assert_eq!(scanner.scan(&broken), scanner.scan(&broken));
        if std::str::from_utf8(&broken).is_err() {
            prop_assert_eq!(named_statement(&broken), None);
        }
    }

    /// A statement that only `standard_conforming_strings = off` shows is never overlooked.
    #[test]
    fn what_a_backslash_may_hide_is_never_a_read(
        hidden in prop::sample::select(vec!["FROM t FOR UPDATE", ", nextval($$s$$)", "; DELETE FROM t", "INTO x"]),
        before in "[a-z]{0,3}(\\\\\\\\){0,2}", after in "[a-z ]{0,3}"
    ) {
        for sql in [
            format!("SELECT '{before}\\' || '{after} {hidden} --'"),
            format!("SELECT '{before}\\', '{after} {hidden} --'"),
            format!("SELECT '{before}\\'' {hidden} --'"),
        ] {
            prop_assert!(class(&sql) > Class::Read, "{}", sql);
        }
    }
}
