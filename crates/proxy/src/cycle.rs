//! Reads a cycle, message by message, with what is known of the client's statements.

use std::ops::Range;
use std::rc::Rc;

use policy::prepared::ClientStatements;
use policy::{Fence, NoToken, Preferences, Token, TokenVerdict};
use sql::Class;
use wire::{Described, Frontend, MessageError};

use crate::classes::{Classes, Judged, Space};
use crate::intake::End;
use crate::metrics::Metrics;
use crate::reading::{Columns, Kind, Reading};
use crate::shown::Second;
use crate::token;
use crate::view::ClusterView;

/// One cycle's bytes: the first `length` of the client's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cycle {
    pub(crate) length: usize,
    pub(crate) end: End,
}

/// All that reading a cycle needs to know.
pub(crate) struct Reader<'a> {
    pub(crate) classes: &'a Classes,
    pub(crate) space: Space<'a>,
    pub(crate) metrics: &'a Metrics,
    pub(crate) now: Second,
    pub(crate) statements: &'a ClientStatements,
    pub(crate) wishes: &'a Preferences,
    /// Judges tokens in hints.
    pub(crate) cluster: &'a ClusterView,
    /// Whether the server may know statements that the client made by SQL.
    pub(crate) by_sql: bool,
}

/// What a cycle said so far, by the names that it gave.
#[derive(Default)]
struct Within<'b> {
    parsed: Vec<(&'b [u8], Rc<Judged>)>,
    /// Where the effects of each portal's statement stand.
    bound: Vec<(&'b [u8], Range<usize>)>,
}

impl Reader<'_> {
    /// Reads a cycle.
    ///
    /// # Errors
    ///
    /// [`MessageError`]: a message is malformed; tell the client and close.
    pub(crate) fn read(&self, bytes: &[u8], end: End) -> Result<Reading, MessageError> {
        let mut reading = Reading::new();
        if matches!(end, End::Cut { .. }) {
            reading.suspect();
            return Ok(reading);
        }
        let mut within = Within::default();
        let mut rest = bytes;
        while let Ok(Some((frame, after))) = wire::next_frame(rest, usize::MAX) {
            rest = after;
            self.message(&mut reading, &mut within, wire::parse_frontend(&frame)?);
            if frame.tag == wire::ftag::QUERY && frame.bytes.len() == bytes.len() {
                reading.kind = Kind::Simple;
            }
        }
        if end == End::Open && reading.class == Class::Read {
            // What follows the Flush is not known yet.
            reading.leave_undecided();
        }
        Ok(reading)
    }

    fn message<'b>(&self, reading: &mut Reading, within: &mut Within<'b>, message: Frontend<'b>) {
        match message {
            Frontend::Query { sql } => {
                reading.kind = Kind::Opaque;
                self.hint(reading, sql);
                let space = self.space_behind(reading);
                let class = self.classes.of(sql, space, self.metrics, self.now);
                class.runs(self.metrics);
                reading.query(&class);
            }
            Frontend::Parse { name, sql, .. } => {
                reading.kind = Kind::Extended;
                self.hint(reading, sql);
                let space = self.space_behind(reading);
                let class = self.classes.of_parsed(sql, space, self.metrics, self.now);
                reading.weigh(&class);
                within.parsed.push((name, class));
            }
            Frontend::Bind { portal, statement, rest } => {
                reading.kind = Kind::Extended;
                match self.known(reading, within, statement) {
                    Some(class) => {
                        class.runs(self.metrics);
                        let place = reading.bind(&class, rest);
                        // Nearly no statement has effects, and a list costs an allocation.
                        if !place.is_empty() {
                            within.bound.push((portal, place));
                        }
                    }
                    None if self.by_sql => reading.leave_undecided(),
                    // The server will refuse it; where does not matter.
                    None => reading.statements = reading.statements.saturating_add(1),
                }
            }
            Frontend::Describe { kind, name } => {
                reading.kind = Kind::Extended;
                reading.columns = Columns::Asked;
                if kind == Described::Statement
                    && let Some(class) = self.known(reading, within, name)
                {
                    reading.weigh(&class);
                }
            }
            Frontend::Execute { portal, .. } => {
                reading.kind = Kind::Extended;
                let place = within.bound.iter().rev().find(|(name, _)| *name == portal);
                reading.execute(place.map(|(_, place)| place.clone()));
            }
            Frontend::Close { kind: Described::Statement, name } if !name.is_empty() => {}
            Frontend::Close { .. } => reading.kind = Kind::Extended,
            Frontend::FunctionCall => reading.suspect(),
            Frontend::Flush
            | Frontend::Sync
            | Frontend::CopyData
            | Frontend::CopyDone
            | Frontend::CopyFail
            | Frontend::Terminate
            | Frontend::Password { .. } => {}
        }
    }

    /// What names mean behind what the cycle said so far.
    fn space_behind(&self, reading: &Reading) -> Space<'_> {
        if reading.effects().is_empty() { self.space } else { self.space.anywhere() }
    }

    fn known(&self, reading: &mut Reading, within: &Within<'_>, name: &[u8]) -> Option<Rc<Judged>> {
        if let Some((_, class)) = within.parsed.iter().rev().find(|(known, _)| *known == name) {
            return Some(Rc::clone(class));
        }
        if name.is_empty() {
            let sql = self.statements.unnamed().map(|unnamed| unnamed.sql.as_slice())?;
            self.hint(reading, sql);
            let space = self.space_behind(reading);
            return Some(self.classes.of_parsed(sql, space, self.metrics, self.now));
        }
        let statement = self.statements.get(name)?;
        self.hint(reading, &statement.sql);
        let space = self.space_behind(reading);
        Some(self.classes.of_statement(statement, space, self.metrics, self.now))
    }

    fn hint(&self, reading: &mut Reading, sql: &[u8]) {
        // Cheap first: nearly no text begins with a comment.
        if sql.trim_ascii_start().first() != Some(&b'/') {
            return;
        }
        let Some(hint) = std::str::from_utf8(sql).ok().and_then(sql::leading_hint) else { return };
        let mut wishes = reading.hinted.take().unwrap_or_else(|| Box::new(self.wishes.clone()));
        for pair in hint.pairs {
            let problem = match pair {
                Ok(("min_lsn", text)) => self
                    .token(reading, text)
                    .err()
                    .map(|problem| format!("min_lsn={text}: {problem}")),
                Ok((name, value)) => {
                    wishes.set(name, value).err().map(|error| format!("{name}={value}: {error}"))
                }
                Err(error) => Some(error.part.to_owned()),
            };
            if let Some(problem) = problem {
                // A hint that is wrong must not send a statement where it does harm.
                tracing::warn!(
                    problem,
                    "a hint was not understood: the statement goes to the primary"
                );
                wishes.route = policy::Route::Primary;
            }
        }
        reading.hinted = Some(wishes);
    }

    /// Takes note of a token in a hint; one that is of no use here is told apart, and nobody waits.
    fn token(&self, reading: &mut Reading, text: &str) -> Result<(), String> {
        let token: Token = text.parse().map_err(|error: NoToken| error.to_string())?;
        let verdict = match token::at_a_glance(token, self.cluster) {
            // It may be younger than what the clock was told last.
            TokenVerdict::Ahead => TokenVerdict::Taken,
            verdict @ (TokenVerdict::Taken
            | TokenVerdict::OtherTimeline
            | TokenVerdict::OtherSystem) => verdict,
        };
        if reading.min_lsn != Some(token.fence) {
            token::report(token, verdict, self.cluster, self.metrics);
        }
        if let Some(problem) = verdict.refusal() {
            return Err(problem.to_owned());
        }
        reading.min_lsn = Fence::strongest(reading.min_lsn, Some(token.fence));
        Ok(())
    }
}
