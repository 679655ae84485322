//! Text to class and effects: splits a text into statements and joins what each may do.

mod bridge;
mod expr;
mod findings;
mod grammar;
mod query;
mod relation;
mod setting;
mod spelling;
mod split;
mod statement;
mod surface;
mod transaction;
mod utility;
mod words;

use crate::catalog::Catalog;
use crate::class::{Class, Classified, KeyedBy, Why};
use crate::effect::{Effect, Pin};
use crate::names::Names;
use crate::scan::{Backslash, Kind, Lexer};
use crate::search_path::Namespace;
use findings::Findings;
use split::Splitter;

/// How many statements of a text are looked at: a hundred thousand tiny ones would hold their worker for a quarter of a second.
const MOST_STATEMENTS: u32 = 1_000;

/// Decides what texts may do; cheap to make, holds no state between texts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Classifier {}

impl Classifier {
    /// Makes a classifier.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }

    /// Says what `sql`, of one or many statements, may do where names mean what `space` says.
    ///
    /// Without a catalog nothing that holds a statement is below [`Class::PrimaryRead`]. A statement of more than
    /// 4,000 tokens is not parsed: it is a write, with the effects that its tokens show. What follows the first 1,000
    /// statements is not looked at: the text is a write, and may leave anything.
    #[expect(single_use_lifetimes, reason = "an elided lifetime in `impl Trait` is not stable yet")]
    pub fn classify<'c>(&self, sql: &str, space: impl Into<Namespace<'c>>) -> Classified {
        let mut names = Names::new(space.into());
        let catalog = names.catalog();
        let mut splitter = Splitter::new(sql, names);
        let mut all = Findings::default();
        let mut statements = 0_u32;
        let mut steps = Vec::new();
        while let Some(statement) = splitter.next_statement() {
            if statements >= MOST_STATEMENTS {
                all.raise(Class::Write, Why::TooLong);
                all.pins(Pin::Unknown);
                all.outside = true;
                break;
            }
            let found = statement::classify(sql, names, statement);
            if statements == 0 {
                all.why = found.why;
            }
            all.join(found);
            steps.resize(all.effects.len(), statements);
            statements = statements.saturating_add(1);
            if !all.effects.is_empty() {
                // The search path may be another one now.
                names = names.anywhere();
                splitter.knows_no_path();
            }
        }
        if splitter.is_malformed() {
            all.raise(Class::Write, Why::Malformed);
            all.pins(Pin::Unknown);
            all.keyed_by = KeyedBy::Nothing;
        } else if splitter.is_ambiguous() {
            judge_ambiguous(sql, &mut all);
        }
        if all.class == Class::Write && catalog.is_some_and(Catalog::may_set) {
            all.effects.push(Effect::MayHaveSet);
        }
        if statements == 0 && all.class == Class::Read {
            all.why = Why::Empty;
        } else if catalog.is_none() {
            all.raise(Class::PrimaryRead, Why::CatalogMissing);
        }
        // What is not of one statement counts as soon as the first one was carried out.
        steps.resize(all.effects.len(), 0);
        all.into_classified(statements, steps)
    }
}

/// A string such as `'\'` ends elsewhere when `standard_conforming_strings` is off.
///
/// Nothing here knows the session's setting, so the text must be harmless under both readings. Under the other one it is
/// nearly always an error (`LIKE $1 ESCAPE '\'` is never closed), and an error does nothing. When it is not, the text is
/// a write that pins. Fingerprints mark such strings, and what is cached for them is keyed by the whole text.
fn judge_ambiguous(sql: &str, all: &mut Findings) {
    all.keyed_by = all.keyed_by.max(KeyedBy::Text);
    if Lexer::new(sql.as_bytes(), Backslash::Escapes).all(|token| token.kind != Kind::Malformed) {
        all.raise(Class::Write, Why::AmbiguousString);
        all.pins(Pin::Unknown);
    }
}

impl Findings {
    fn into_classified(self, statements: u32, steps: Vec<u32>) -> Classified {
        let Self { class, why, effects, outside, mut keyed_by } = self;
        if class == Class::Read && effects.is_empty() {
            // It can't do less.
            keyed_by =
                if keyed_by == KeyedBy::SearchPath { KeyedBy::Fingerprint } else { keyed_by };
        }
        Classified { class, why, effects, steps, reaches_outside: outside, keyed_by, statements }
    }
}
