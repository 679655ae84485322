//! PostgreSQL's lexical rules (manual 4.1), without allocation.
//!
//! One lexer serves fingerprints, statement splitting and the parser, so that they can't disagree on where a string or
//! comment ends. It follows `src/backend/parser/scan.l`; what that refuses is [`Kind::Malformed`].

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A key word or unquoted name.
    Word,
    /// `"name"`
    Quoted,
    /// `U&"name"`, whose escapes depend on a later UESCAPE.
    UnicodeName,
    /// A number.
    Number,
    /// `'text'`
    Text,
    /// `E'text'`
    EscapeText,
    /// `U&'text'`
    UnicodeText,
    /// `B'01'`, `X'FF'`
    PrefixedText,
    /// `$tag$text$tag$`
    Dollar,
    /// `$1`
    Param,
    /// A run of operator characters.
    Operator,
    /// `::`
    Cast,
    /// `:=`
    Assign,
    /// `:`
    Colon,
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// `.`
    Dot,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `[`
    OpenBracket,
    /// `]`
    CloseBracket,
    /// Not closed, or no SQL at all: PostgreSQL refuses the whole text.
    Malformed,
}

/// A token and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// What a backslash in `'text'` means: a session setting, `on` by default and fixed to `on` from PostgreSQL 19.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backslash {
    /// `standard_conforming_strings = on`: nothing.
    Plain,
    /// `off`: it escapes the next byte.
    Escapes,
}

/// Splits a text into tokens.
#[derive(Clone, Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    backslash: Backslash,
    /// A `'text'` was met whose end depends on [`Backslash`].
    ambiguous: bool,
    /// Up to here each sign is an operator by itself: a run of signs is looked through once, not once for each of them.
    signs_until: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) const fn new(text: &'a [u8], backslash: Backslash) -> Self {
        Self { text, at: 0, backslash, ambiguous: false, signs_until: 0 }
    }

    /// Whether a string met so far ends elsewhere under the other reading of backslashes.
    pub(crate) const fn is_ambiguous(&self) -> bool {
        self.ambiguous
    }

    /// Whether the last string read so far makes the text ambiguous; forgets it.
    pub(crate) const fn take_ambiguous(&mut self) -> bool {
        std::mem::replace(&mut self.ambiguous, false)
    }

    #[inline]
    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at.saturating_add(ahead)).copied().unwrap_or(0)
    }

    #[inline]
    const fn pass(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    #[inline]
    fn pass_while(&mut self, wanted: impl Fn(u8) -> bool) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let run = rest.iter().position(|byte| !wanted(*byte)).unwrap_or(rest.len());
        self.pass(run);
    }

    /// Passes white space and comments; false when a comment is not closed.
    #[inline]
    fn skip_blank(&mut self) -> bool {
        loop {
            match self.peek(0) {
                b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => self.pass(1),
                b'-' if self.peek(1) == b'-' => {
                    self.pass_while(|byte| byte != b'\n' && byte != b'\r');
                }
                b'/' if self.peek(1) == b'*' => {
                    if !self.skip_comment() {
                        return false;
                    }
                }
                _ => return true,
            }
        }
    }

    fn skip_comment(&mut self) -> bool {
        let mut depth = 0_usize;
        while self.at < self.text.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => {
                    depth = depth.saturating_add(1);
                    self.pass(2);
                }
                (b'*', b'/') => {
                    depth = depth.saturating_sub(1);
                    self.pass(2);
                    if depth == 0 {
                        return true;
                    }
                }
                _ => self.pass(1),
            }
        }
        false
    }

    fn lex(&mut self, first: u8) -> Kind {
        match first {
            b'\'' => self.quoted_text(0, Kind::Text),
            b'e' | b'E' if self.peek(1) == b'\'' => self.quoted_text(1, Kind::EscapeText),
            b'b' | b'B' | b'x' | b'X' if self.peek(1) == b'\'' => {
                self.quoted_text(1, Kind::PrefixedText)
            }
            b'u' | b'U' if self.peek(1) == b'&' && self.peek(2) == b'\'' => {
                self.quoted_text(2, Kind::UnicodeText)
            }
            b'u' | b'U' if self.peek(1) == b'&' && self.peek(2) == b'"' => {
                self.pass(2);
                self.quoted_name(Kind::UnicodeName)
            }
            _ if is_name_start(first) => {
                self.pass_while(is_name_part);
                Kind::Word
            }
            b'"' => self.quoted_name(Kind::Quoted),
            b'0'..=b'9' => self.number(),
            b'.' if self.peek(1).is_ascii_digit() => self.number(),
            b'$' => self.dollar(),
            b':' => match self.peek(1) {
                b':' => self.fixed(2, Kind::Cast),
                b'=' => self.fixed(2, Kind::Assign),
                _ => self.fixed(1, Kind::Colon),
            },
            b',' => self.fixed(1, Kind::Comma),
            b';' => self.fixed(1, Kind::Semicolon),
            b'.' => self.fixed(1, Kind::Dot),
            b'(' => self.fixed(1, Kind::Open),
            b')' => self.fixed(1, Kind::Close),
            b'[' => self.fixed(1, Kind::OpenBracket),
            b']' => self.fixed(1, Kind::CloseBracket),
            _ if is_operator(first) => self.operator(),
            _ => self.fixed(1, Kind::Malformed),
        }
    }

    const fn fixed(&mut self, bytes: usize, kind: Kind) -> Kind {
        self.pass(bytes);
        kind
    }

    fn quoted_name(&mut self, kind: Kind) -> Kind {
        self.pass(1);
        loop {
            self.pass_while(|byte| byte != b'"');
            if self.at >= self.text.len() {
                return Kind::Malformed;
            }
            self.pass(1);
            if self.peek(0) != b'"' {
                return kind;
            }
            self.pass(1);
        }
    }

    /// Reads a string and the segments that continue it on later lines; those keep its way with backslashes.
    fn quoted_text(&mut self, prefix: usize, kind: Kind) -> Kind {
        self.pass(prefix);
        let escapes = kind == Kind::EscapeText
            || (kind == Kind::Text && self.backslash == Backslash::Escapes);
        self.pass(1);
        loop {
            self.pass_while(|byte| byte != b'\'' && byte != b'\\');
            match self.peek(0) {
                b'\\' if escapes => self.pass(2),
                b'\\' => {
                    // Passing a pair of backslashes at once finds a quote that the other reading would escape.
                    self.ambiguous |= kind == Kind::Text && self.peek(1) == b'\'';
                    self.pass(if self.peek(1) == b'\\' { 2 } else { 1 });
                }
                b'\'' if self.peek(1) == b'\'' => self.pass(2),
                b'\'' => {
                    self.pass(1);
                    match self.continuation() {
                        Some(at) => self.at = at,
                        None => return kind,
                    }
                }
                _ => {
                    self.at = self.text.len();
                    return Kind::Malformed;
                }
            }
        }
    }

    /// Finds the byte after the quote that continues a string: at least one line end and nothing but `--` comments between.
    fn continuation(&self) -> Option<usize> {
        let mut ahead = Lexer { at: self.at, ..Lexer::new(self.text, self.backslash) };
        let mut newline = false;
        loop {
            match ahead.peek(0) {
                b'\n' | b'\r' => newline = true,
                b' ' | b'\t' | 0x0b | 0x0c => {}
                b'-' if ahead.peek(1) == b'-' => {
                    ahead.pass_while(|byte| byte != b'\n' && byte != b'\r');
                    continue;
                }
                b'\'' if newline => return ahead.at.checked_add(1),
                _ => return None,
            }
            ahead.pass(1);
        }
    }

    fn number(&mut self) -> Kind {
        let digits = |byte: u8| byte.is_ascii_digit() || byte == b'_';
        self.pass_while(digits);
        if self.peek(0) == b'.' && self.peek(1) != b'.' {
            self.pass(1);
            self.pass_while(digits);
        }
        if matches!(self.peek(0), b'e' | b'E')
            && matches!(self.peek(1), b'+' | b'-')
            && self.peek(2).is_ascii_digit()
        {
            self.pass(2);
            self.pass_while(digits);
        }
        // Radix prefixes and exponents, too.
        self.junk();
        Kind::Number
    }

    /// Passes a name that sticks to a number, which PostgreSQL refuses from 15 on; a dollar sign there begins a token.
    fn junk(&mut self) {
        if is_name_start(self.peek(0)) {
            self.pass_while(is_name_part);
        }
    }

    fn dollar(&mut self) -> Kind {
        if self.peek(1).is_ascii_digit() {
            self.pass(1);
            self.pass_while(|byte| byte.is_ascii_digit());
            self.junk();
            return Kind::Param;
        }
        let start = self.at;
        self.pass(1);
        if is_name_start(self.peek(0)) {
            self.pass_while(|byte| byte != b'$' && is_name_part(byte));
        }
        if self.peek(0) != b'$' {
            return Kind::Malformed;
        }
        self.pass(1);
        let tag = self.text.get(start..self.at).unwrap_or_default();
        loop {
            self.pass_while(|byte| byte != b'$');
            match self.text.get(self.at..) {
                Some(rest) if rest.starts_with(tag) => {
                    self.pass(tag.len());
                    return Kind::Dollar;
                }
                Some(rest) if !rest.is_empty() => self.pass(1),
                Some(_) | None => return Kind::Malformed,
            }
        }
    }

    /// Reads the longest operator: comments end it, and a trailing sign belongs to it only after certain bytes.
    fn operator(&mut self) -> Kind {
        if self.at < self.signs_until {
            return self.fixed(1, Kind::Operator);
        }
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut length = rest.iter().position(|byte| !is_operator(*byte)).unwrap_or(rest.len());
        let comment = rest
            .get(..length)
            .unwrap_or_default()
            .windows(2)
            .position(|pair| pair == b"--" || pair == b"/*");
        length = comment.unwrap_or(length);
        let run = rest.get(..length).unwrap_or_default();
        if !run.iter().any(|byte| {
            matches!(byte, b'~' | b'!' | b'@' | b'#' | b'%' | b'^' | b'&' | b'|' | b'`' | b'?')
        }) {
            let signs = run.iter().rev().take_while(|byte| matches!(byte, b'+' | b'-')).count();
            self.signs_until = self.at.saturating_add(length);
            length = length.saturating_sub(signs).max(1);
        }
        self.pass(length.max(1));
        Kind::Operator
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    #[inline]
    fn next(&mut self) -> Option<Token> {
        let before = self.at;
        if !self.skip_blank() {
            return Some(Token { kind: Kind::Malformed, start: before, end: self.at });
        }
        let start = self.at;
        let first = *self.text.get(start)?;
        let kind = self.lex(first);
        self.at = self.at.min(self.text.len());
        Some(Token { kind, start, end: self.at })
    }
}

const fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

#[inline]
fn is_name_part(byte: u8) -> bool {
    NAME_PARTS.get(usize::from(byte)).is_some_and(|is| *is)
}

/// By byte: nearly all bytes of a text are asked for.
static NAME_PARTS: [bool; 256] = name_parts();

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "it runs while this is compiled"
)]
const fn name_parts() -> [bool; 256] {
    let mut parts = [false; 256];
    let mut byte = 0_u8;
    while byte < u8::MAX {
        parts[byte as usize] = is_name_start(byte) || byte.is_ascii_digit() || byte == b'$';
        byte += 1;
    }
    parts[u8::MAX as usize] = is_name_start(u8::MAX);
    parts
}

const fn is_operator(byte: u8) -> bool {
    matches!(
        byte,
        b'~' | b'!'
            | b'@'
            | b'#'
            | b'^'
            | b'&'
            | b'|'
            | b'`'
            | b'?'
            | b'+'
            | b'-'
            | b'*'
            | b'/'
            | b'%'
            | b'<'
            | b'>'
            | b'='
    )
}

#[cfg(test)]
mod tests {
    use super::{Backslash, Kind, Lexer};

    fn lexed(sql: &str) -> Vec<(Kind, &str)> {
        Lexer::new(sql.as_bytes(), Backslash::Plain)
            .map(|token| (token.kind, &sql[token.start..token.end]))
            .collect()
    }

    fn texts(sql: &str) -> Vec<&str> {
        lexed(sql).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn comments_nest_and_line_comments_end_at_either_line_end() {
        assert_eq!(texts("a /* x /* y */ ' */ b"), ["a", "b"]);
        assert_eq!(texts("a -- b\rc -- d\ne"), ["a", "c", "e"]);
        assert_eq!(lexed("a /* x /* y */")[1].0, Kind::Malformed);
    }

    #[test]
    fn a_backslash_escapes_a_quote_in_e_strings_only() {
        assert_eq!(texts(r"E'a\'b' c"), [r"E'a\'b'", "c"]);
        assert_eq!(texts(r"'a\' c"), [r"'a\'", "c"]);
        assert_eq!(texts("'a''b' c"), ["'a''b'", "c"]);
    }

    #[test]
    fn a_string_continued_on_the_next_line_keeps_its_escapes() {
        assert_eq!(texts("E'a' -- c\n  '\\'' d"), ["E'a' -- c\n  '\\''", "d"]);
        assert_eq!(texts("'a' 'b'"), ["'a'", "'b'"]);
    }

    #[test]
    fn dollar_quotes_end_at_their_own_tag() {
        assert_eq!(texts("$a$ ; $b$ $$ $a$ x"), ["$a$ ; $b$ $$ $a$", "x"]);
        assert_eq!(texts("a$b$c $1 $2"), ["a$b$c", "$1", "$2"]);
        assert_eq!(lexed("$a$ $b$")[0].0, Kind::Malformed);
    }

    #[test]
    fn operators_end_before_comments_and_give_back_trailing_signs() {
        assert_eq!(texts("a<-1"), ["a", "<", "-", "1"]);
        assert_eq!(texts("a@-1"), ["a", "@-", "1"]);
        assert_eq!(texts("a+--x\n1"), ["a", "+", "1"]);
        assert_eq!(texts("a*/*x*/1"), ["a", "*", "1"]);
        assert_eq!(texts("a<+-+-@ +-+1-+--"), ["a", "<+-+-@", "+", "-", "+", "1", "-", "+"]);
        assert_eq!(texts("++/**/+@+--\n+="), ["+", "+", "+@+", "+="]);
    }

    #[test]
    fn numbers_take_fraction_exponent_and_radix() {
        assert_eq!(
            texts("1.5e-3 .5 0x1F 1_000 1. 1..2"),
            ["1.5e-3", ".5", "0x1F", "1_000", "1.", "1", ".", ".2"]
        );
    }

    #[test]
    fn a_dollar_sign_behind_digits_begins_a_token() {
        assert_eq!(texts("$1$2 1$3"), ["$1", "$2", "1", "$3"]);
        assert_eq!(texts("$1$a$ ; $a$ 1$$;$$"), ["$1", "$a$ ; $a$", "1", "$$;$$"]);
        assert_eq!(texts("$1a$2 1a$2"), ["$1a$2", "1a$2"]);
    }

    #[test]
    fn strings_whose_end_depends_on_a_setting_are_known() {
        for (sql, ambiguous) in
            [(r"'\'", true), (r"'a\''b'", true), (r"'\d+\\'", false), (r"E'\''", false)]
        {
            let mut lexer = Lexer::new(sql.as_bytes(), Backslash::Plain);
            lexer.by_ref().for_each(drop);
            assert_eq!(lexer.is_ambiguous(), ambiguous, "{sql}");
        }
    }
}
