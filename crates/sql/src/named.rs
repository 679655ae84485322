//! Which prepared statement does a text name, by EXECUTE or DEALLOCATE?

use std::ops::Range;

use crate::scan::{Backslash, Kind, Lexer, Token};

/// A text that is one EXECUTE or DEALLOCATE of a named statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedStatement {
    /// Which of both.
    pub verb: Verb,
    /// The name as the server folds it.
    pub name: String,
    /// Where the name stands in the text, quotes included.
    pub place: Range<usize>,
}

/// What a text does with a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// EXECUTE.
    Execute,
    /// DEALLOCATE.
    Deallocate,
}

/// Reads a text that begins with EXECUTE or DEALLOCATE and is one statement; `None` for all others.
///
/// Costs a look at the first word where it is another.
#[must_use]
#[expect(clippy::wildcard_enum_match_arm, reason = "the other kinds are no names")]
pub fn named_statement(sql: &[u8]) -> Option<NamedStatement> {
    let begins = |word: &[u8]| {
        sql.trim_ascii_start().get(..word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word))
    };
    if !begins(b"execute") && !begins(b"deallocate") {
        return None;
    }
    let text = std::str::from_utf8(sql).ok()?;
    let tokens: Vec<Token> = Lexer::new(sql, Backslash::Plain).collect();
    let statement = match tokens.as_slice() {
        [inner @ .., last] if last.kind == Kind::Semicolon => inner,
        all => all,
    };
    if statement.iter().any(|token| matches!(token.kind, Kind::Semicolon | Kind::Malformed)) {
        return None;
    }
    let (verb, rest) = statement.split_first()?;
    let is = |token: &Token, word: &str| {
        token.kind == Kind::Word
            && text.get(token.start..token.end).is_some_and(|it| it.eq_ignore_ascii_case(word))
    };
    let (verb, named) = match rest {
        [name, ..] if is(verb, "execute") => (Verb::Execute, name),
        [prepare, name] if is(verb, "deallocate") && is(prepare, "prepare") => {
            (Verb::Deallocate, name)
        }
        [name] if is(verb, "deallocate") => (Verb::Deallocate, name),
        _ => return None,
    };
    if verb == Verb::Deallocate && is(named, "all") {
        return None;
    }
    let spelled = text.get(named.start..named.end)?;
    let name = match named.kind {
        Kind::Word => spelled.to_ascii_lowercase(),
        Kind::Quoted => spelled.get(1..spelled.len().saturating_sub(1))?.replace("\"\"", "\""),
        _ => return None,
    };
    Some(NamedStatement { verb, name, place: named.start..named.end })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(sql: &str) -> Option<(Verb, String, &str)> {
        let found = named_statement(sql.as_bytes())?;
        Some((found.verb, found.name, &sql[found.place]))
    }

    #[test]
    fn a_name_is_read_as_the_server_folds_it() {
        let s1 = |verb, spelled| Some((verb, "s1".to_owned(), spelled));
        assert_eq!(named("EXECUTE S1"), s1(Verb::Execute, "S1"));
        assert_eq!(named(" execute /* x */ \"s1\"(1, ';') ;"), s1(Verb::Execute, "\"s1\""));
        assert_eq!(named("DEALLOCATE s1;"), s1(Verb::Deallocate, "s1"));
        assert_eq!(named("DEALLOCATE PREPARE s1"), s1(Verb::Deallocate, "s1"));
        let odd = Some((Verb::Deallocate, "a \"b".to_owned(), "\"a \"\"b\""));
        assert_eq!(named("DEALLOCATE \"a \"\"b\""), odd);
        assert_eq!(named("DEALLOCATE \"all\""), Some((Verb::Deallocate, "all".into(), "\"all\"")));
    }

    #[test]
    fn what_is_more_or_something_else_is_left_alone() {
        for sql in [
            "DEALLOCATE ALL",
            "DEALLOCATE PREPARE ALL",
            "EXECUTE",
            "EXECUTE s1; SELECT 1",
            "DEALLOCATE s1 s2",
            "SELECT 1",
            "executes s1",
            "EXECUTE 'open",
        ] {
            assert_eq!(named(sql), None, "{sql}");
        }
    }
}
