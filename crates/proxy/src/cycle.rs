//! What does a cycle say? The strongest class of its statements, their effects, and the hint.

use std::rc::Rc;
use std::sync::Arc;

use policy::Preferences;
use policy::decide::RouteFrom;
use policy::prepared::ClientStatements;
use sql::{Catalog, Class, Classified, Effect, SetScope, Why};
use wire::{Described, Frontend, MessageError};

use crate::classes::Classes;
use crate::intake::End;
use crate::metrics::Metrics;

/// One cycle's bytes: the first `length` of the client's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cycle {
    pub(crate) length: usize,
    pub(crate) end: End,
}

/// How a cycle's messages are to be answered if no server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One `Query`.
    Simple,
    /// A group of extended-protocol messages.
    Extended,
    /// A group that asks nothing of a server: `Sync`, or `Close` of statements.
    Housekeeping,
    /// Both, or a function call, or a message that could not be gathered whole.
    Opaque,
}

/// What a cycle says.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) kind: Kind,
    pub(crate) class: Class,
    pub(crate) why: Why,
    pub(crate) statements: u32,
    pub(crate) reaches_outside: bool,
    /// It had to be routed before all that it says was known.
    pub(crate) undecided: bool,
    /// The session's wishes with the hint applied, if there is one.
    pub(crate) hinted: Option<Box<Preferences>>,
    one: Option<Rc<Classified>>,
    effects: Vec<Effect>,
    /// Texts said, and how many of them are about `weir.*` settings alone.
    texts: (u32, u32),
}

/// A `SHOW`, `SET` or `RESET` of a `weir.*` setting; names without the prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own<'a> {
    Show(&'a str),
    Set { name: &'a str, value: Option<&'a str>, scope: SetScope },
}

impl<'a> Own<'a> {
    /// What `effect` does to a `weir.*` setting, if it is about one.
    pub(crate) fn of(effect: &'a Effect) -> Option<Self> {
        let own = |name: &'a str| name.strip_prefix("weir.");
        if let Effect::Show(name) = effect {
            own(name).map(Self::Show)
        } else if let Effect::Set { name, value, scope } = effect {
            own(name).map(|name| Self::Set { name, value: value.as_deref(), scope: *scope })
        } else if let Effect::Reset(name) = effect {
            own(name).map(|name| Self::Set { name, value: None, scope: SetScope::Session })
        } else {
            None
        }
    }

    /// The one that a text consists of.
    pub(crate) fn alone(class: &'a Classified) -> Option<Self> {
        match (class.statements, class.effects.as_slice()) {
            (1, [effect]) => Self::of(effect),
            _ => None,
        }
    }
}

impl Reading {
    fn new() -> Self {
        Self {
            kind: Kind::Housekeeping,
            class: Class::Read,
            why: Why::Empty,
            statements: 0,
            reaches_outside: false,
            undecided: false,
            hinted: None,
            one: None,
            effects: Vec::new(),
            texts: (0, 0),
        }
    }

    /// Whether all that the cycle says is about `weir.*` settings, which Weir answers itself.
    pub(crate) fn is_own(&self) -> bool {
        let (texts, own) = self.texts;
        texts > 0 && texts == own && matches!(self.kind, Kind::Simple | Kind::Extended)
    }

    /// What the executed statements do to the session, in order.
    pub(crate) fn effects(&self) -> &[Effect] {
        self.one.as_ref().map_or(&self.effects, |one| &one.effects)
    }

    /// The one effect of a cycle that holds one statement.
    pub(crate) fn lone_effect(&self) -> Option<&Effect> {
        match (self.statements, self.effects()) {
            (1, [effect]) => Some(effect),
            _ => None,
        }
    }

    /// Which layer set the route, given which one did before the hint was read.
    pub(crate) fn route_from(&self, session: RouteFrom) -> RouteFrom {
        if self.hinted.is_some() { RouteFrom::Hint } else { session }
    }

    fn weigh(&mut self, class: &Classified) {
        if class.class > self.class || self.why == Why::Empty {
            self.class = class.class;
            self.why = class.why;
        }
        self.reaches_outside |= class.reaches_outside;
        let own = u32::from(Own::alone(class).is_some());
        self.texts = (self.texts.0.saturating_add(1), self.texts.1.saturating_add(own));
    }

    fn execute(&mut self, class: &Rc<Classified>) {
        self.weigh(class);
        if self.statements == 0 {
            self.one = Some(Rc::clone(class));
        } else if let Some(one) = self.one.take() {
            self.effects.extend(one.effects.iter().cloned());
            self.effects.extend(class.effects.iter().cloned());
        } else {
            self.effects.extend(class.effects.iter().cloned());
        }
        self.statements = self.statements.saturating_add(class.statements);
    }

    /// This part of a group, behind what its earlier parts said.
    pub(crate) fn after(mut self, mut earlier: Self) -> Self {
        let mut effects = earlier.effects().to_vec();
        effects.extend_from_slice(self.effects());
        earlier.one = None;
        earlier.effects = effects;
        earlier.kind = Kind::Opaque;
        if self.class > earlier.class {
            (earlier.class, earlier.why) = (self.class, self.why);
        }
        earlier.statements = earlier.statements.saturating_add(self.statements);
        earlier.reaches_outside |= self.reaches_outside;
        earlier.undecided |= self.undecided;
        earlier.hinted = self.hinted.take().or(earlier.hinted);
        earlier
    }

    /// Whether losing the server leaves open what became of it.
    pub(crate) fn may_have_written(&self) -> bool {
        let ends =
            |effect: &Effect| matches!(effect, Effect::Commit { .. } | Effect::PrepareTransaction);
        self.class == Class::Write || self.effects().iter().any(ends)
    }

    /// Sends the cycle to the primary: its text may not mean what it seems to.
    pub(crate) fn distrust(&mut self) {
        self.class = Class::Write;
        self.why = Why::AmbiguousString;
    }

    /// Routes the cycle as a write: not everything it says is known.
    fn leave_undecided(&mut self) {
        self.undecided = true;
        self.kind = Kind::Opaque;
        self.class = Class::Write;
        self.why = Why::NotUnderstood;
        self.reaches_outside = true;
        self.statements = self.statements.saturating_add(2);
    }
}

/// All that reading a cycle needs to know.
pub(crate) struct Reader<'a> {
    pub(crate) classes: &'a Classes,
    pub(crate) catalog: Option<&'a Arc<Catalog>>,
    pub(crate) metrics: &'a Metrics,
    pub(crate) statements: &'a ClientStatements,
    pub(crate) wishes: &'a Preferences,
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
            reading.leave_undecided();
            return Ok(reading);
        }
        // Statements parsed within this cycle, by name.
        let mut parsed: Vec<(&[u8], Rc<Classified>)> = Vec::new();
        let mut rest = bytes;
        while let Ok(Some((frame, after))) = wire::next_frame(rest, usize::MAX) {
            rest = after;
            match wire::parse_frontend(&frame)? {
                Frontend::Query { sql } => {
                    reading.kind =
                        if frame.bytes.len() == bytes.len() { Kind::Simple } else { Kind::Opaque };
                    self.hint(&mut reading, sql);
                    reading.execute(&self.class(sql));
                }
                Frontend::Parse { name, sql, .. } => {
                    reading.kind = Kind::Extended;
                    self.hint(&mut reading, sql);
                    let class = self.class(sql);
                    reading.weigh(&class);
                    parsed.push((name, class));
                }
                Frontend::Bind { statement, .. } => {
                    reading.kind = Kind::Extended;
                    match self.known(&mut reading, &parsed, statement) {
                        Some(class) => reading.execute(&class),
                        // The server will refuse it; where does not matter.
                        None => reading.statements = reading.statements.saturating_add(1),
                    }
                }
                Frontend::Describe { kind: Described::Statement, name } => {
                    reading.kind = Kind::Extended;
                    if let Some(class) = self.known(&mut reading, &parsed, name) {
                        reading.weigh(&class);
                    }
                }
                Frontend::FunctionCall => reading.leave_undecided(),
                Frontend::Close { kind: Described::Statement, name } if !name.is_empty() => {}
                Frontend::Describe { .. } | Frontend::Execute { .. } | Frontend::Close { .. } => {
                    reading.kind = Kind::Extended;
                }
                Frontend::Flush
                | Frontend::Sync
                | Frontend::CopyData
                | Frontend::CopyDone
                | Frontend::CopyFail
                | Frontend::Terminate
                | Frontend::Password { .. } => {}
            }
        }
        if end == End::Open && reading.class == Class::Read {
            // What follows the Flush is not known yet.
            reading.leave_undecided();
        }
        Ok(reading)
    }

    fn class(&self, sql: &[u8]) -> Rc<Classified> {
        self.classes.of(sql, self.catalog, self.metrics)
    }

    fn known(
        &self,
        reading: &mut Reading,
        parsed: &[(&[u8], Rc<Classified>)],
        name: &[u8],
    ) -> Option<Rc<Classified>> {
        if let Some((_, class)) = parsed.iter().rev().find(|(known, _)| *known == name) {
            return Some(Rc::clone(class));
        }
        let sql = if name.is_empty() {
            self.statements.unnamed().map(|unnamed| unnamed.sql.as_slice())
        } else {
            self.statements.get(name).map(|statement| &*statement.sql)
        }?;
        self.hint(reading, sql);
        Some(self.class(sql))
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
}
