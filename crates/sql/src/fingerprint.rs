//! A text's keyed 128-bit hash, without its literals, comments and spacing.

mod sip;

use crate::scan::{Backslash, Kind, Lexer};
use sip::Sip;

/// Tells texts apart up to literals, comments, spacing and letter case.
///
/// Keyed by the [`Scanner`]'s seed, so that nobody who lacks it can make a write share a read's fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u128);

/// What one pass over a text found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The key of the class cache.
    pub fingerprint: Fingerprint,
    /// A quote or comment is not closed, or a byte is no SQL: classify says [`crate::Class::Write`].
    pub malformed: bool,
}

/// Makes fingerprints under one secret seed.
#[derive(Clone, Copy, Debug)]
pub struct Scanner {
    seed: [u64; 2],
}

impl Scanner {
    /// Makes a scanner; `seed` must be random and secret, one for the process.
    #[must_use]
    pub const fn new(seed: [u64; 2]) -> Self {
        Self { seed }
    }

    /// Tells texts apart byte by byte: the key of what hangs on a literal.
    #[must_use]
    pub fn text(&self, sql: &[u8]) -> Fingerprint {
        let mut hash = Sip::new(self.seed);
        // No token's kind: a text is never taken for the tokens of another.
        hash.byte(0xfe);
        hash.bytes(sql);
        Fingerprint(hash.finish())
    }

    /// Scans `sql` once, without allocation.
    ///
    /// Literals are replaced by their kind, names outside quotes by lower case; parameters stay what they are. A string
    /// that `standard_conforming_strings = off` would end elsewhere gives a fingerprint of its own kind, so that no
    /// text that may hide a statement shares the entry of one that can't.
    #[must_use]
    pub fn scan(&self, sql: &[u8]) -> Scan {
        let mut hash = Sip::new(self.seed);
        let mut malformed = false;
        let mut lexer = Lexer::new(sql, Backslash::Plain);
        while let Some(token) = lexer.next() {
            // The kind's byte is below any byte of a word or operator, so it also ends the token before it.
            hash.byte(token.kind as u8);
            let text = sql.get(token.start..token.end).unwrap_or_default();
            match token.kind {
                Kind::Word => hash.lower(text),
                Kind::Operator | Kind::Param => hash.bytes(text),
                Kind::Quoted | Kind::UnicodeName => {
                    // Quoted names may hold any byte: their length keeps them apart from what follows.
                    hash.bytes(&text.len().to_le_bytes());
                    hash.bytes(text);
                }
                Kind::Malformed => malformed = true,
                Kind::Text if lexer.take_ambiguous() => hash.byte(0xff),
                Kind::Text
                | Kind::Number
                | Kind::EscapeText
                | Kind::UnicodeText
                | Kind::PrefixedText
                | Kind::Dollar
                | Kind::Cast
                | Kind::Assign
                | Kind::Colon
                | Kind::Comma
                | Kind::Semicolon
                | Kind::Dot
                | Kind::Open
                | Kind::Close
                | Kind::OpenBracket
                | Kind::CloseBracket => {}
            }
        }
        Scan { fingerprint: Fingerprint(hash.finish()), malformed }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fingerprint, Scanner};

    fn print(sql: &str) -> Fingerprint {
        Scanner::new([1, 2]).scan(sql.as_bytes()).fingerprint
    }

    #[test]
    fn literals_comments_spacing_and_case_do_not_count() {
        let plain = print("select a from t where b = 'x' and c = 5");
        assert_eq!(plain, print("SELECT a\n FROM T -- hm\n WHERE b='it''s' /* ; */ AND c =   7"));
        assert_eq!(plain, print("select a from t where b = 'x' and c = 5.25e10 "));
    }

    #[test]
    fn what_may_change_the_class_counts() {
        let plain = print("select f($1) from t where a = 1");
        for other in [
            "select f($2) from t where a = 1",
            "select g($1) from t where a = 1",
            "select f($1) from \"t\" where a = 1",
            "select f($1) from t where a = '1'",
            "select f($1) from t where a = 1;",
            "select f($1) from t where a <> 1",
            "select f ($1) from t where a = '\\'",
        ] {
            assert_ne!(plain, print(other), "{other}");
        }
        assert_ne!(print("select '\\'"), print("select 'x'"));
    }

    #[test]
    fn texts_are_told_apart_by_every_byte_and_from_fingerprints() {
        let text = |sql: &str| Scanner::new([1, 2]).text(sql.as_bytes());
        assert_ne!(text("select 1"), text("select 2"));
        assert_ne!(text("select 1"), print("select 1"));
        assert_eq!(text("select 1"), text("select 1"));
    }

    #[test]
    fn the_seed_changes_every_fingerprint() {
        assert_ne!(Scanner::new([1, 2]).scan(b"select 1"), Scanner::new([1, 3]).scan(b"select 1"));
    }

    #[test]
    fn unclosed_text_is_flagged() {
        for sql in ["select 'a", "select \"a", "select $a$ x", "select 1 /* x", "select \\"] {
            assert!(Scanner::new([0, 0]).scan(sql.as_bytes()).malformed, "{sql}");
        }
        assert!(!Scanner::new([0, 0]).scan(b"select 'a'").malformed);
    }
}
