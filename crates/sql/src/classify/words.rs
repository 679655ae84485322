//! A cursor over a statement's tokens.

use std::borrow::Cow;

use crate::scan::{Kind, Token};

/// Reads a statement word by word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    pub(super) sql: &'a str,
    pub(super) tokens: &'a [Token],
}

impl<'a> Words<'a> {
    pub(super) const fn new(sql: &'a str, tokens: &'a [Token]) -> Self {
        Self { sql, tokens }
    }

    pub(super) fn text(&self, token: Token) -> &'a str {
        self.sql.get(token.start..token.end).unwrap_or_default()
    }

    pub(super) fn at(&self, index: usize) -> Option<Token> {
        self.tokens.get(index).copied()
    }

    pub(super) fn kind(&self, index: usize) -> Option<Kind> {
        self.at(index).map(|token| token.kind)
    }

    /// Whether the token at `index` is this key word.
    pub(super) fn is(&self, index: usize, word: &str) -> bool {
        self.at(index).is_some_and(|token| {
            token.kind == Kind::Word && self.text(token).eq_ignore_ascii_case(word)
        })
    }

    /// Whether the token at `index` is one of these key words.
    pub(super) fn is_any(&self, index: usize, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(index, word))
    }

    pub(super) const fn is_done(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Passes `count` tokens.
    pub(super) fn pass(&mut self, count: usize) {
        self.tokens = self.tokens.get(count..).unwrap_or_default();
    }

    /// Passes the next token if it is this key word.
    pub(super) fn eat(&mut self, word: &str) -> bool {
        let found = self.is(0, word);
        if found {
            self.pass(1);
        }
        found
    }

    /// Passes the next tokens if they are these key words.
    pub(super) fn eat_all(&mut self, words: &[&str]) -> bool {
        let found = words.iter().enumerate().all(|(index, word)| self.is(index, word));
        if found {
            self.pass(words.len());
        }
        found
    }

    pub(super) fn eat_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.eat(word))
    }

    pub(super) fn eat_kind(&mut self, kind: Kind) -> bool {
        let found = self.kind(0) == Some(kind);
        if found {
            self.pass(1);
        }
        found
    }

    /// Finds the parenthesis that closes the one at `open`.
    pub(super) fn close_of(&self, open: usize) -> Option<usize> {
        let mut group = *self;
        group.pass(open);
        let inner = group.group()?;
        open.checked_add(inner.tokens.len())?.checked_add(1)
    }

    /// Finds the parenthesis that the one at `close` closes.
    pub(super) fn open_of(&self, close: usize) -> Option<usize> {
        let mut depth = 0_usize;
        self.tokens.get(..=close)?.iter().rposition(|token| {
            if token.kind == Kind::Close {
                depth = depth.saturating_add(1);
            } else if token.kind == Kind::Open {
                depth = depth.saturating_sub(1);
            }
            depth == 0
        })
    }

    /// Passes a group in parentheses, which may hold groups; `None` when the next token opens none.
    pub(super) fn group(&mut self) -> Option<Self> {
        if self.kind(0) != Some(Kind::Open) {
            return None;
        }
        let mut depth = 0_usize;
        let end = self.tokens.iter().position(|token| {
            if token.kind == Kind::Open {
                depth = depth.saturating_add(1);
            } else if token.kind == Kind::Close {
                depth = depth.saturating_sub(1);
            }
            depth == 0
        })?;
        let inner = Self::new(self.sql, self.tokens.get(1..end).unwrap_or_default());
        self.pass(end.saturating_add(1));
        Some(inner)
    }

    /// Reads the name that the token at `index` stands for, as the server folds it.
    pub(super) fn name(&self, index: usize) -> Option<String> {
        self.folded(index).map(Cow::into_owned)
    }

    /// The same without a copy, where the name is spelled as it is folded.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other kinds are no names")]
    pub(super) fn folded(&self, index: usize) -> Option<Cow<'a, str>> {
        let token = self.at(index)?;
        let text = self.text(token);
        match token.kind {
            Kind::Word if text.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                Some(text.to_ascii_lowercase().into())
            }
            Kind::Word => Some(text.into()),
            Kind::Quoted => {
                let name = text.get(1..text.len().saturating_sub(1))?;
                Some(if name.contains('"') {
                    name.replace("\"\"", "\"").into()
                } else {
                    name.into()
                })
            }
            _ => None,
        }
    }

    /// Reads the string at `index` when its value needs no knowledge of the session.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the other kinds are no strings of a known value"
    )]
    pub(super) fn string(&self, index: usize) -> Option<String> {
        let token = self.at(index)?;
        let text = self.text(token);
        let inner = match token.kind {
            Kind::Text => text,
            Kind::EscapeText => text.get(1..)?,
            Kind::Dollar => {
                let tag = text.get(1..)?.find('$')?.saturating_add(2);
                return Some(text.get(tag..text.len().saturating_sub(tag))?.to_owned());
            }
            _ => return None,
        };
        let inner = inner.get(1..inner.len().saturating_sub(1))?;
        // A backslash's meaning, and a string continued on another line, are left to the server.
        let plain = !inner.contains('\\') && !inner.replace("''", "").contains('\'');
        plain.then(|| inner.replace("''", "'"))
    }

    /// The string at `index` as it stands, where its value may hang on escapes.
    pub(super) fn raw(&self, index: usize) -> Option<String> {
        let token = self.at(index)?;
        matches!(token.kind, Kind::Text | Kind::EscapeText)
            .then(|| self.text(token).trim_start_matches(['e', 'E']).trim_matches('\'').to_owned())
    }

    /// The schema and name of the name that ends at `index`: `a.b.c` has schema `b`.
    pub(super) fn qualified(&self, index: usize) -> Option<(Option<Cow<'a, str>>, Cow<'a, str>)> {
        let name = self.folded(index)?;
        let dot = index.checked_sub(1).and_then(|dot| self.kind(dot)) == Some(Kind::Dot);
        let schema =
            if dot { index.checked_sub(2).and_then(|schema| self.folded(schema)) } else { None };
        Some((schema, name))
    }
}
