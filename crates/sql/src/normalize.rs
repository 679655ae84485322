//! Texts that stand for others: one without its literals to be shown, one with literals to be judged.

use crate::scan::{Backslash, Kind, Lexer, Token};

/// What stands in a literal's place.
const HIDDEN: &str = "?";
/// Ends a text that goes on.
const MORE: &str = "…";

/// Writes `sql` on one line with `?` for each literal, in at most `most` bytes and the mark `…` where it was cut.
///
/// Names, key words and parameters stay as they were written. Of a text whose strings may begin or end elsewhere than it
/// seems (a quote that is not closed, `'\'`) only what stands before the first string is shown: the rest may be data.
#[must_use]
pub fn normalized(sql: &str, most: usize) -> String {
    let mut line = Line { text: String::new(), most, is_full: false };
    let mut lexer = Lexer::new(sql.as_bytes(), Backslash::Plain);
    let mut before = 0;
    let mut first_string = None;
    while let Some(token) = lexer.next() {
        if is_string(token.kind) && first_string.is_none() {
            first_string = Some(line.text.len());
        }
        if token.kind == Kind::Malformed || lexer.is_ambiguous() {
            line.cut(first_string.unwrap_or(line.text.len()));
            break;
        }
        if !line.is_full {
            let gap = if before < token.start && !line.text.is_empty() { " " } else { "" };
            line.push(gap, shown(sql, token));
        }
        before = token.end;
    }
    line.text
}

/// Writes a constant for each parameter of `sql`, as it may have been before a server took its constants out.
///
/// `pg_stat_statements` shows `date $1` for `date '2026-01-01'`, which no grammar allows.
#[must_use]
pub fn with_constants(sql: &str) -> String {
    let mut text = String::with_capacity(sql.len());
    let mut before = 0;
    for token in Lexer::new(sql.as_bytes(), Backslash::Plain) {
        if token.kind == Kind::Param {
            text.push_str(sql.get(before..token.start).unwrap_or_default());
            text.push_str("'0'");
            before = token.end;
        }
    }
    text.push_str(sql.get(before..).unwrap_or_default());
    text
}

/// Kinds whose text begins and ends with a quote.
const fn is_string(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Text | Kind::EscapeText | Kind::UnicodeText | Kind::PrefixedText | Kind::Dollar
    )
}

fn shown(sql: &str, token: Token) -> &str {
    if is_string(token.kind) || token.kind == Kind::Number {
        return HIDDEN;
    }
    sql.get(token.start..token.end).unwrap_or(HIDDEN)
}

/// What was written so far.
struct Line {
    text: String,
    most: usize,
    is_full: bool,
}

impl Line {
    fn push(&mut self, gap: &str, word: &str) {
        let length = self.text.len().saturating_add(gap.len()).saturating_add(word.len());
        if length > self.most {
            self.is_full = true;
            self.text.push_str(MORE);
            return;
        }
        self.text.push_str(gap);
        self.text.push_str(word);
    }

    /// Forgets what stands behind `length`.
    fn cut(&mut self, length: usize) {
        if !self.is_full || length < self.text.len() {
            self.text.truncate(length);
            self.text.push_str(MORE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{normalized, with_constants};

    #[test]
    fn literals_of_every_kind_are_hidden() {
        for (sql, shown) in [
            ("SELECT 'a', E'b\\'', U&'c', B'1', x'ff'", "SELECT ?, ?, ?, ?, ?"),
            ("SELECT 1, -2.5e3, .5, 0x1F, 1_000", "SELECT ?, -?, ?, ?, ?"),
            ("DO $$ it's; secret $$", "DO ?"),
            ("SELECT 'a'\n 'b'", "SELECT ?"),
            ("VALUES (U&'\\0041' UESCAPE '!')", "VALUES (? UESCAPE ?)"),
        ] {
            assert_eq!(normalized(sql, 80), shown);
        }
    }

    #[test]
    fn names_parameters_and_case_stay() {
        let sql = "Select \"Ünï\".a2, $1::int4, t.b[$2] FROM T1";
        assert_eq!(normalized(sql, 80), sql);
    }

    #[test]
    fn comments_go_and_blanks_become_one() {
        let sql = "/* password=x */ SELECT\n\ta,b -- it's\r\n FROM/* nested /* ' */ */t ;";
        assert_eq!(normalized(sql, 80), "SELECT a,b FROM t ;");
    }

    #[test]
    fn a_text_at_the_limit_is_whole_and_a_longer_one_is_cut_between_words() {
        assert_eq!(normalized("SELECT abc", 10), "SELECT abc");
        assert_eq!(normalized("SELECT abcd", 10), "SELECT…");
        assert_eq!(normalized("SELECT éé, b", 12), "SELECT éé,…");
        assert_eq!(normalized("SELECT", 3), "…");
    }

    #[test]
    fn nothing_is_shown_behind_a_string_that_may_end_elsewhere() {
        assert_eq!(normalized("SELECT a, don't, 'secret'", 80), "SELECT a, don…");
        assert_eq!(normalized("SELECT a, 'x\\', secret, 'b'", 80), "SELECT a,…");
        assert_eq!(normalized("SELECT a, $a$ secret", 80), "SELECT a,…");
        assert_eq!(normalized("SELECT a /* secret", 80), "SELECT a…");
        assert_eq!(normalized("SELECT a \\ secret", 80), "SELECT a…");
    }

    #[test]
    fn what_comes_behind_the_limit_counts_too() {
        let sql = format!("SELECT a, 'b', secret, {} '", "c, ".repeat(30));
        assert_eq!(normalized(&sql, 30), "SELECT a,…");
        assert_eq!(normalized(&format!("SELECT a, {} '", "c, ".repeat(30)), 12), "SELECT a, c,…");
    }

    #[test]
    fn parameters_become_constants_and_what_looks_like_them_stays() {
        let sql = "SELECT date $1, '$2', $a$ $3 $a$, a$4 /* $5 */ FROM t LIMIT $11";
        let expected = "SELECT date '0', '$2', $a$ $3 $a$, a$4 /* $5 */ FROM t LIMIT '0'";
        assert_eq!(with_constants(sql), expected);
    }

    #[test]
    fn an_empty_text_is_empty() {
        assert_eq!(normalized(" ; ", 80), ";");
        assert_eq!(normalized("-- nothing", 80), "");
    }
}
