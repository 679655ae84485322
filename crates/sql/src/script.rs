//! A script's statements, cut as psql cuts them.
//!
//! psql's own commands and the data of COPY are passed over. Does not know psql's variables: `:x` stays what it is.

use crate::depth::Depth;
use crate::scan::{Backslash, Kind, Lexer, Token};

/// Iterates over the statements of a script.
#[derive(Clone, Debug)]
pub struct Statements<'a> {
    script: &'a [u8],
    at: usize,
    /// Whether data of a COPY may still follow: some `\.` has not been passed.
    has_data: bool,
}

/// Cuts `script` into its statements: without the semicolon, with comments in front of them, none of them empty.
///
/// A line is passed over from a backslash outside of quotes on (`\set x 1`), which also ends the statement before it
/// (`… \gset`); so are the lines from behind `COPY … FROM STDIN;` to `\.`, if that is there. Where psql would go on with
/// a statement behind one of its own commands (`\if` within a query), pieces come out.
#[must_use]
pub const fn statements(script: &[u8]) -> Statements<'_> {
    Statements { script, at: 0, has_data: true }
}

impl<'a> Iterator for Statements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while self.at < self.script.len() {
            if let Some(statement) = self.piece() {
                return Some(statement);
            }
        }
        None
    }
}

impl<'a> Statements<'a> {
    /// Reads up to the next semicolon or backslash; `None` when nothing stands before it.
    fn piece(&mut self) -> Option<&'a [u8]> {
        let rest = self.script.get(self.at..)?;
        let mut depth = Depth::default();
        let mut copy = CopyIn::default();
        let mut end = None;
        let mut next = rest.len();
        for token in Lexer::new(rest, Backslash::Plain) {
            let text = rest.get(token.start..token.end).unwrap_or_default();
            if text == b"\\" {
                next = behind_command(rest, token);
                break;
            }
            // Key words are ASCII: what is no UTF-8 is none.
            if depth.ends_at(token.kind, std::str::from_utf8(text).ok()) {
                next = token.end;
                break;
            }
            copy.take(token.kind, text);
            end = Some(token.end);
        }
        self.at = self.at.saturating_add(next);
        if copy == CopyIn::FromStdin {
            self.pass_data();
        }
        rest.get(..end?).map(<[u8]>::trim_ascii_start)
    }

    /// Passes the lines up to `\.`.
    fn pass_data(&mut self) {
        let mut at = line_end(self.script, self.at);
        while self.has_data && at < self.script.len() {
            let end = line_end(self.script, at);
            if self.script.get(at..end).is_some_and(|line| line.trim_ascii_end() == b"\\.") {
                self.at = end;
                return;
            }
            at = end;
        }
        self.has_data = false;
    }
}

/// Where psql goes on behind its command; `\;` is no more than a semicolon.
fn behind_command(text: &[u8], backslash: Token) -> usize {
    if text.get(backslash.end) == Some(&b';') {
        return backslash.end.saturating_add(1);
    }
    line_end(text, backslash.end)
}

/// The start of the line behind the one that `at` is in.
fn line_end(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let length = rest.iter().position(|byte| *byte == b'\n').map(|line| line.saturating_add(1));
    at.saturating_add(length.unwrap_or(rest.len()))
}

/// How much of `COPY … FROM STDIN` was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum CopyIn {
    #[default]
    Nothing,
    Copy,
    From,
    FromStdin,
    /// It is another statement.
    Other,
}

impl CopyIn {
    fn take(&mut self, kind: Kind, text: &[u8]) {
        let is = |word: &[u8]| kind == Kind::Word && text.eq_ignore_ascii_case(word);
        *self = match self {
            Self::Nothing if is(b"copy") => Self::Copy,
            Self::From if is(b"stdin") || is(b"pstdin") => Self::FromStdin,
            Self::Copy | Self::From if is(b"from") => Self::From,
            Self::Copy | Self::From => Self::Copy,
            Self::FromStdin => Self::FromStdin,
            Self::Nothing | Self::Other => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::statements;

    fn cut(script: &str) -> Vec<&str> {
        statements(script.as_bytes()).map(|bytes| std::str::from_utf8(bytes).unwrap()).collect()
    }

    #[test]
    fn semicolons_end_statements_outside_of_quotes_comments_and_parentheses() {
        assert_eq!(cut("SELECT 1;\n;; SELECT 2"), ["SELECT 1", "SELECT 2"]);
        for whole in [
            "SELECT ';', \";\", $a$;$a$, E'\\';' /* ; */ -- ;\n, 1",
            "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END",
        ] {
            assert_eq!(cut(&format!("{whole}; SELECT 1;")), [whole, "SELECT 1"]);
        }
        assert_eq!(cut("BEGIN; END;"), ["BEGIN", "END"]);
    }

    #[test]
    fn comments_in_front_stay_and_alone_are_nothing() {
        let hint = "/* weir: route=primary */ SELECT 1";
        assert_eq!(cut(&format!("-- note\n{hint};\n-- end")), [format!("-- note\n{hint}")]);
        assert_eq!(cut(" -- nothing\n"), [""; 0]);
    }

    #[test]
    fn commands_of_psql_are_passed_over_and_end_what_is_before_them() {
        assert_eq!(
            cut("\\set x ';'\nSELECT :x;\n  \\echo it's\nSELECT 2"),
            ["SELECT :x", "SELECT 2"]
        );
        assert_eq!(cut("SELECT 1 AS a \\gset p_\nSELECT 2;"), ["SELECT 1 AS a", "SELECT 2"]);
        assert_eq!(cut("SELECT 1\\; SELECT 2;"), ["SELECT 1", "SELECT 2"]);
        assert_eq!(cut("SELECT '\\';\nSELECT 2;"), ["SELECT '\\'", "SELECT 2"]);
    }

    #[test]
    fn data_of_copy_is_passed_over_where_it_is() {
        let copy = "COPY t (a, b) FROM STDIN";
        let data = "1\tit's;\n\\N\tx\n\\.";
        assert_eq!(cut(&format!("{copy};\n{data}\nSELECT 1;")), [copy, "SELECT 1"]);
        assert_eq!(cut(&format!("{copy} WITH (FORMAT csv); -- x\r\n{data}\r\n")).len(), 1);
        assert_eq!(cut(&format!("{copy};\nSELECT 1;\n{copy};\nSELECT 2;")).len(), 4);
        assert_eq!(cut("COPY t FROM 'stdin';\n\\.\nSELECT 1;").len(), 2);
        assert_eq!(cut("SELECT a FROM stdin;\nSELECT 1;\n\\.\n").len(), 2);
    }

    #[test]
    fn what_is_not_closed_or_not_utf8_is_a_statement_too() {
        assert_eq!(cut("SELECT 1; SELECT 'a; SELECT 2;"), ["SELECT 1", "SELECT 'a; SELECT 2;"]);
        let cut: Vec<&[u8]> = statements(b"SELECT '\xff'; SELECT \xfe;SELECT 1").collect();
        assert_eq!(cut, [b"SELECT '\xff'".as_slice(), b"SELECT \xfe", b"SELECT 1"]);
    }
}
