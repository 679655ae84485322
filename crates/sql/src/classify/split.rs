//! A text's statements, as lists of tokens of bounded length.

use super::findings::Findings;
use super::surface;
use super::words::Words;
use crate::depth::Depth;
use crate::names::Names;
use crate::scan::{Backslash, Kind, Lexer, Token};

/// What is parsed at most: deep flat chains beyond would overflow the stack when the tree is dropped.
const MOST_TOKENS: usize = 4_000;
/// What is kept of a longer statement's start: enough to tell which statement it is.
const HEAD: usize = 64;
/// What is seen again with the next part, so that no call falls between two parts.
const OVERLAP: usize = 16;

/// One statement's tokens, without the semicolon.
pub(super) struct Statement<'s> {
    pub(super) tokens: &'s [Token],
    /// For a statement that is too long to be parsed: what its tokens beyond the head show.
    pub(super) beyond: Option<Findings>,
}

/// Splits a text at its semicolons.
pub(super) struct Splitter<'a> {
    sql: &'a str,
    names: Names<'a>,
    lexer: Lexer<'a>,
    tokens: Vec<Token>,
    malformed: bool,
    depth: Depth,
}

impl<'a> Splitter<'a> {
    pub(super) fn new(sql: &'a str, names: Names<'a>) -> Self {
        let lexer = Lexer::new(sql.as_bytes(), Backslash::Plain);
        // A token and the blank behind it have about four bytes.
        let tokens = Vec::with_capacity((sql.len() / 4).clamp(4, MOST_TOKENS));
        Self { sql, names, lexer, tokens, malformed: false, depth: Depth::default() }
    }

    /// From now on, names without a schema may mean anything.
    pub(super) const fn knows_no_path(&mut self) {
        self.names = self.names.anywhere();
    }

    /// Whether anything met so far makes the server refuse the whole text.
    pub(super) const fn is_malformed(&self) -> bool {
        self.malformed
    }

    pub(super) const fn is_ambiguous(&self) -> bool {
        self.lexer.is_ambiguous()
    }

    /// Reads the next statement that is not empty.
    pub(super) fn next_statement(&mut self) -> Option<Statement<'_>> {
        self.tokens.clear();
        self.depth = Depth::default();
        let mut beyond = None;
        for token in self.lexer.by_ref() {
            self.malformed |= token.kind == Kind::Malformed;
            if self.depth.ends_at(token.kind, self.sql.get(token.start..token.end)) {
                if self.tokens.is_empty() {
                    continue;
                }
                break;
            }
            self.tokens.push(token);
            if self.tokens.len() > MOST_TOKENS {
                let found = beyond.get_or_insert_with(Findings::default);
                surface::look(Words::new(self.sql, &self.tokens), self.names, found);
                self.tokens.drain(HEAD..self.tokens.len().saturating_sub(OVERLAP));
            }
        }
        (!self.tokens.is_empty()).then_some(Statement { tokens: &self.tokens, beyond })
    }
}
