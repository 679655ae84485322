//! Spellings that the parser lacks, replaced by ones that use the same objects.
//!
//! What is passed over names nothing that may act, or was looked at by [`super::surface`]: operators, and calls. A spelling
//! that is met elsewhere than where it is meant becomes one that the parser refuses, or one that uses as much.

use std::borrow::Cow;

use sqlparser::tokenizer::Token as Parsed;

use super::bridge::Bridge;
use crate::builtin;
use crate::scan::Kind;

/// What a query in parentheses begins with; anything else there is a list.
const QUERIES: &[&str] =
    &["select", "with", "values", "table", "insert", "update", "delete", "merge"];

impl Bridge<'_> {
    /// Puts another spelling of what begins with the key word here, if it needs one.
    pub(super) fn respell(&mut self, word: &str) -> bool {
        self.respell_clause(word) || self.respell_text(word) || self.respell_expression(word)
    }

    fn respell_clause(&mut self, word: &str) -> bool {
        let (words, before, next) = (self.words, self.before(), self.next());
        let after = next.saturating_add(1);
        match word {
            // `TABLE t` is `SELECT * FROM t`.
            "table" => {
                self.push(Parsed::make_word("SELECT", None));
                self.push(Parsed::Mul);
                self.put(Parsed::make_word("FROM", None), 1);
            }
            "only" if !words.is_any(before, &["row", "rows"]) => self.pass(1),
            "distinct" | "all" if words.is(before, "by") => self.pass(1),
            "exclude" => return self.frame_exclusion(),
            // ROWS FROM (f(), g()) uses what (SELECT * FROM f(), g()) uses.
            "rows" if words.is(next, "from") && words.kind(after) == Some(Kind::Open) => {
                self.push(Parsed::LParen);
                self.push(Parsed::make_word("SELECT", None));
                self.push(Parsed::Mul);
                self.put(Parsed::make_word("FROM", None), 3);
            }
            "with" if words.is(next, "ordinality") && self.closes_rows_from(before) => self.pass(2),
            // ORDER BY a USING >
            "using" if words.kind(next) == Some(Kind::Operator) => self.pass(2),
            "using" if words.is(next, "operator") => {
                let Some(close) = self.close_of_operator(after) else { return false };
                self.at = close.saturating_add(1);
            }
            "for" if words.is(next, "read") && words.is(after, "only") => self.pass(3),
            // WITH … AS (…) SEARCH DEPTH FIRST BY a SET b CYCLE a SET c [TO x DEFAULT y] USING d
            "search" if words.is_any(next, &["depth", "breadth"]) && self.closes_with(before) => {
                let Some(end) = self.end_of(self.at, "set") else { return false };
                let cycle = words.is(end, "cycle").then(|| self.end_of(end, "using")).flatten();
                self.at = cycle.unwrap_or(end);
            }
            "cycle" if self.closes_with(before) => {
                let Some(end) = self.end_of(self.at, "using") else { return false };
                self.at = end;
            }
            "as" => return self.respell_alias(),
            _ => return false,
        }
        true
    }

    /// What works on text: patterns, and functions with a grammar of their own.
    fn respell_text(&mut self, word: &str) -> bool {
        let (words, before, next) = (self.words, self.before(), self.next());
        let after = next.saturating_add(1);
        match word {
            // TRIM(BOTH FROM x)
            "from" if words.is_any(before, &["both", "leading", "trailing"]) => self.pass(1),
            // SUBSTRING(x SIMILAR y ESCAPE z) is SUBSTRING(x, y, z).
            "similar" if !words.is(next, "to") => {
                self.similar = true;
                self.put(Parsed::Comma, 1);
            }
            "escape" if self.similar => {
                self.similar = false;
                self.put(Parsed::Comma, 1);
            }
            // x LIKE ANY (…) compares as x = ANY (…) does.
            "like" | "ilike" if words.is_any(next, &["any", "all", "some"]) => {
                self.put(Parsed::Eq, 1);
            }
            "not"
                if words.is_any(next, &["like", "ilike"])
                    && words.is_any(after, &["any", "all", "some"]) =>
            {
                self.pass(1);
            }
            _ => return false,
        }
        true
    }

    fn respell_expression(&mut self, word: &str) -> bool {
        let (words, before, next) = (self.words, self.before(), self.next());
        match word {
            "variadic" => self.pass(1),
            "symmetric" | "asymmetric" if words.is(before, "between") => self.pass(1),
            // Elsewhere it may be the name of a type.
            "uescape"
                if words.kind(next) == Some(Kind::Text)
                    && words.kind(before) == Some(Kind::UnicodeText) =>
            {
                self.pass(2);
            }
            // OPERATOR(schema.+); elsewhere it may be the name of a function.
            "operator" => {
                let Some(close) = self.close_of_operator(next) else { return false };
                self.at = close.saturating_add(1);
                self.infix();
            }
            // A collation does nothing.
            "collate" => {
                let mut last = next;
                while words.kind(last.saturating_add(1)) == Some(Kind::Dot) {
                    last = last.saturating_add(2);
                }
                self.at = last.saturating_add(1);
            }
            "collation" if words.is(next, "for") => self.pass(2),
            "document" if words.is_any(before, &["is", "not"]) => {
                self.put(Parsed::make_word("NULL", None), 1);
            }
            // XMLELEMENT(NAME a, …), XMLPI(NAME a, …)
            "name"
                if words.kind(before) == Some(Kind::Open)
                    && words.is_any(before.wrapping_sub(1), &["xmlelement", "xmlpi"]) =>
            {
                self.put(Parsed::SingleQuotedString(String::new()), 2);
            }
            // `name 'x'`: the type's name is a key word as well.
            plain if self.is_typed_literal() && self.is_plain_type(plain) => {
                self.named(Cow::Borrowed(plain));
            }
            _ => return false,
        }
        true
    }

    /// Where a clause ends that begins at `from` and has but names and literals up to `word` and the name behind it.
    fn end_of(&self, from: usize, word: &str) -> Option<usize> {
        let plain = |at: &usize| {
            let kind = self.words.kind(*at);
            matches!(
                kind,
                Some(Kind::Word | Kind::Quoted | Kind::Comma | Kind::Text | Kind::Number)
            )
        };
        let mut clause = (from..self.words.tokens.len()).take_while(plain);
        clause.find(|at| self.words.is(*at, word))?.checked_add(2)
    }

    /// Whether the parenthesis before closes a query of WITH: SEARCH and CYCLE are names elsewhere.
    fn closes_with(&self, close: usize) -> bool {
        let open = self.words.open_of(close).filter(|open| *open < close);
        open.is_some_and(|open| self.words.is_any(open.wrapping_sub(1), &["as", "materialized"]))
    }

    /// Where `(schema.+)` closes: within it stand a name and dots, and the operator last.
    fn close_of_operator(&self, open: usize) -> Option<usize> {
        let close = self.words.close_of(open)?;
        let symbol = close.checked_sub(1)?;
        let named = |at| matches!(self.words.kind(at), Some(Kind::Word | Kind::Quoted | Kind::Dot));
        let operator = self.words.kind(symbol) == Some(Kind::Operator)
            && (open.checked_add(1)?..symbol).all(named);
        operator.then_some(close)
    }

    fn closes_rows_from(&self, close: usize) -> bool {
        let open = self.words.open_of(close);
        open.is_some_and(|open| {
            self.words.is(open.wrapping_sub(1), "from")
                && self.words.is(open.wrapping_sub(2), "rows")
        })
    }

    /// `JOIN … USING (a) AS x`, and the columns of a function that has no name: `f() AS (a int)`.
    fn respell_alias(&mut self) -> bool {
        let (words, before, next) = (self.words, self.before(), self.next());
        if words.kind(before) != Some(Kind::Close) {
            return false;
        }
        if words.kind(next) == Some(Kind::Open) {
            let inner = next.saturating_add(1);
            if words.is_any(inner, QUERIES) || words.kind(inner) == Some(Kind::Open) {
                return false;
            }
            self.push(Parsed::make_word("AS", None));
            self.put(Parsed::make_word("unnamed", Some('"')), 1);
            return true;
        }
        let of_using =
            words.open_of(before).is_some_and(|open| words.is(open.wrapping_sub(1), "using"));
        if of_using {
            self.pass(2);
        }
        of_using
    }

    /// Passes `EXCLUDE CURRENT ROW | GROUP | TIES | NO OTHERS` of a window frame.
    fn frame_exclusion(&mut self) -> bool {
        // Elsewhere it is the name of a relation or its alias.
        let (words, next) = (self.words, self.next());
        let after = next.saturating_add(1);
        if !words.is_any(self.before(), &["row", "preceding", "following"]) {
            return false;
        }
        let count = if words.is_any(next, &["group", "ties"]) {
            2
        } else if (words.is(next, "current") && words.is(after, "row"))
            || (words.is(next, "no") && words.is(after, "others"))
        {
            3
        } else {
            return false;
        };
        self.pass(count);
        true
    }

    /// Whether a key word names a type that the parser does not know as one, and stands where a value begins.
    fn is_plain_type(&self, name: &str) -> bool {
        matches!(name, "name" | "path" | "text" | "json" | "xml" | "lsn")
            && builtin::has_type(name)
            && !matches!(
                self.words.kind(self.before()),
                Some(Kind::Close | Kind::CloseBracket | Kind::Quoted | Kind::Number | Kind::Param)
            )
            && !self.words.is(self.before(), "as")
    }

    /// Whether `*` stands behind a relation in FROM, where it means what no `ONLY` means.
    pub(super) fn is_inheriting(&self) -> bool {
        let mut first = self.before();
        while self.words.kind(first.wrapping_sub(1)) == Some(Kind::Dot) {
            first = first.wrapping_sub(2);
        }
        self.words.is_any(first.wrapping_sub(1), &["from", "join"])
            && matches!(self.words.kind(first), Some(Kind::Word | Kind::Quoted))
    }
}
