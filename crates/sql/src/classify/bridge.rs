//! Our tokens to the parser's.
//!
//! The parser never sees the text, so it can't disagree with the server on where a string or comment ends, nor take a
//! name for a key word of another database: every word that PostgreSQL's grammar does not know is passed as a quoted
//! name. Literals lose their value, and a list of literals all but one of its members, since neither changes what a
//! statement may do. Spellings that the parser lacks are replaced by others ([`super::spelling`]); operators, already looked
//! up by [`super::surface`], become one of few.

use std::borrow::Cow;
use std::cmp::Ordering;

use sqlparser::keywords::{ALL_KEYWORDS, ALL_KEYWORDS_INDEX, Keyword};
use sqlparser::tokenizer::{Span, Token as Parsed, TokenWithSpan, Word};

use super::words::Words;
use crate::builtin;
use crate::scan::{Kind, Token};

/// Translates a whole query; `None` when a token has no place in one.
pub(super) fn translate(words: Words<'_>) -> Option<Vec<TokenWithSpan>> {
    let out = Vec::with_capacity(words.tokens.len());
    let mut bridge = Bridge { words, at: 0, out, similar: false };
    while let Some(token) = words.at(bridge.at) {
        bridge.step(token)?;
    }
    Some(bridge.out)
}

/// The tokens so far of a query on its way to the parser.
pub(super) struct Bridge<'a> {
    pub(super) words: Words<'a>,
    pub(super) at: usize,
    out: Vec<TokenWithSpan>,
    /// Within `SUBSTRING(… SIMILAR … ESCAPE …)`, before the second word.
    pub(super) similar: bool,
}

impl Bridge<'_> {
    fn step(&mut self, token: Token) -> Option<()> {
        match token.kind {
            Kind::Word => self.word(),
            Kind::Quoted => {
                let name = self.words.folded(self.at)?;
                self.named(name);
            }
            Kind::Text
            | Kind::EscapeText
            | Kind::UnicodeText
            | Kind::PrefixedText
            | Kind::Dollar => {
                self.literal(Parsed::SingleQuotedString(String::new()));
            }
            Kind::Number => self.literal(Parsed::Number("1".to_owned(), false)),
            Kind::Param => self.literal(Parsed::Placeholder("$1".to_owned())),
            Kind::Operator => self.operator(self.words.text(token)),
            Kind::Dot => self.dot(),
            Kind::Cast => self.put(Parsed::DoubleColon, 1),
            Kind::Assign => self.put(Parsed::Assignment, 1),
            Kind::Colon => self.put(Parsed::Colon, 1),
            Kind::Comma => self.put(Parsed::Comma, 1),
            Kind::Open => self.put(Parsed::LParen, 1),
            Kind::Close => self.put(Parsed::RParen, 1),
            Kind::OpenBracket => self.put(Parsed::LBracket, 1),
            Kind::CloseBracket => self.put(Parsed::RBracket, 1),
            Kind::UnicodeName | Kind::Semicolon | Kind::Malformed => return None,
        }
        Some(())
    }

    pub(super) fn push(&mut self, token: Parsed) {
        self.out.push(TokenWithSpan { token, span: Span::empty() });
    }

    pub(super) fn put(&mut self, token: Parsed, passed: usize) {
        self.push(token);
        self.at = self.at.saturating_add(passed);
    }

    pub(super) fn pass(&mut self, count: usize) {
        self.at = self.at.saturating_add(count);
    }

    pub(super) fn before(&self) -> usize {
        // Beyond every index when there is none.
        self.at.wrapping_sub(1)
    }

    pub(super) fn next(&self) -> usize {
        self.at.saturating_add(1)
    }

    /// `1, 2, 3` uses what `1` uses.
    fn literal(&mut self, token: Parsed) {
        if let [.., last, comma] = self.out.as_slice()
            && comma.token == Parsed::Comma
            && is_literal(&last.token)
        {
            self.out.truncate(self.out.len().saturating_sub(1));
            return self.pass(1);
        }
        self.put(token, 1);
    }

    fn word(&mut self) {
        let (words, at) = (self.words, self.at);
        let Some(name) = words.folded(at) else { return self.pass(1) };
        if words.kind(self.before()) == Some(Kind::Dot) {
            return self.named(name);
        }
        let Some(word) = keyword(&name) else { return self.named(name) };
        if !self.respell(&name) {
            let value = name.into_owned();
            self.put(Parsed::Word(Word { value, quote_style: None, keyword: word }), 1);
        }
    }

    pub(super) fn named(&mut self, name: Cow<'_, str>) {
        let name = quoted(name);
        if self.is_typed_literal() {
            // `date '…'` is a cast of its literal.
            self.push(Parsed::SingleQuotedString(String::new()));
            self.push(Parsed::DoubleColon);
            self.put(name, 2);
        } else {
            if self.words.kind(self.before()) == Some(Kind::CloseBracket) {
                // `a[1] x` is an element by another name; the parser takes it for a literal of the type `a[1]`.
                self.push(Parsed::make_word("AS", None));
            }
            self.put(name, 1);
        }
    }

    /// Whether the name here is followed by a literal of that type.
    pub(super) fn is_typed_literal(&self) -> bool {
        self.words.kind(self.next()) == Some(Kind::Text)
            && self.words.kind(self.before()) != Some(Kind::Dot)
    }

    fn operator(&mut self, symbol: &str) {
        let token = match symbol {
            "*" if self.is_inheriting() => return self.pass(1),
            "*" => Parsed::Mul,
            "=" => Parsed::Eq,
            "<>" | "!=" => Parsed::Neq,
            "<" => Parsed::Lt,
            ">" => Parsed::Gt,
            "<=" => Parsed::LtEq,
            ">=" => Parsed::GtEq,
            "-" => Parsed::Minus,
            "/" => Parsed::Div,
            "%" => Parsed::Mod,
            "||" => Parsed::StringConcat,
            "=>" => Parsed::RArrow,
            _ => {
                self.pass(1);
                return self.infix();
            }
        };
        self.put(token, 1);
    }

    /// Puts an operator that may stand before one operand or between two.
    pub(super) fn infix(&mut self) {
        let compares = self.words.is_any(self.at, &["any", "all", "some"]);
        self.push(if compares { Parsed::Eq } else { Parsed::Plus });
    }

    /// `(row).*` uses what `(row)` uses.
    fn dot(&mut self) {
        let star = self.words.at(self.next()).is_some_and(|token| self.words.text(token) == "*");
        let row = matches!(self.words.kind(self.before()), Some(Kind::Close | Kind::CloseBracket));
        // `row.*::type` casts the row.
        let cast = self.words.kind(self.at.saturating_add(2)) == Some(Kind::Cast);
        if star && (row || cast) {
            self.pass(2);
        } else {
            self.put(Parsed::Period, 1);
        }
    }
}

/// What the parser calls a word of the grammar; `None` for a plain name.
fn keyword(name: &str) -> Option<Keyword> {
    if let Some(at) = builtin::listed_keyword(name) {
        return PARSED.get(at).copied();
    }
    let newer = builtin::is_newer_keyword(name).then(|| Parsed::make_word(name, None))?;
    if let Parsed::Word(word) = newer { Some(word.keyword) } else { None }
}

/// What the parser calls each of the grammar's key words; it lacks some.
static PARSED: [Keyword; builtin::KEYWORDS.len()] = parsed();

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "it runs while this is compiled"
)]
const fn parsed() -> [Keyword; builtin::KEYWORDS.len()] {
    let mut all = [Keyword::NoKeyword; builtin::KEYWORDS.len()];
    let mut at = 0;
    while at < all.len() {
        let (mut from, mut to) = (0, ALL_KEYWORDS.len());
        while from < to {
            let middle = usize::midpoint(from, to);
            match compare(ALL_KEYWORDS[middle].as_bytes(), builtin::KEYWORDS[at].as_bytes()) {
                Ordering::Less => from = middle + 1,
                Ordering::Greater => to = middle,
                Ordering::Equal => {
                    all[at] = ALL_KEYWORDS_INDEX[middle];
                    break;
                }
            }
        }
        at += 1;
    }
    all
}

/// Compares a word in upper case with one in lower case.
#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "it runs while this is compiled"
)]
const fn compare(upper: &[u8], lower: &[u8]) -> Ordering {
    let mut at = 0;
    while at < upper.len() && at < lower.len() {
        let (one, other) = (upper[at], lower[at].to_ascii_uppercase());
        if one != other {
            return if one < other { Ordering::Less } else { Ordering::Greater };
        }
        at += 1;
    }
    if upper.len() == lower.len() {
        Ordering::Equal
    } else if upper.len() < lower.len() {
        Ordering::Less
    } else {
        Ordering::Greater
    }
}

fn quoted(name: Cow<'_, str>) -> Parsed {
    let (value, keyword) = (name.into_owned(), Keyword::NoKeyword);
    Parsed::Word(Word { value, quote_style: Some('"'), keyword })
}

const fn is_literal(token: &Parsed) -> bool {
    matches!(token, Parsed::SingleQuotedString(_) | Parsed::Number(..) | Parsed::Placeholder(_))
}

#[cfg(test)]
mod tests {
    use sqlparser::tokenizer::Token as Parsed;

    use super::PARSED;
    use crate::builtin::KEYWORDS;

    #[test]
    fn key_words_are_what_the_parser_takes_them_for() {
        for (word, keyword) in KEYWORDS.iter().zip(PARSED) {
            let Parsed::Word(own) = Parsed::make_word(word, None) else { panic!("{word}") };
            assert_eq!(own.keyword, keyword, "{word}");
        }
    }
}
