//! What was read of a cycle: the strongest class of its statements, what they do to the session, and
//! which of them Weir can answer.

use std::ops::Range;
use std::rc::Rc;

use policy::decide::RouteFrom;
use policy::session::{NEVER, is_for_a_kept_server};
use policy::standby::teaches;
use policy::{Fence, Preferences};
use sql::{Class, Classified, Effect, SetScope, Why};
use wire::SqlState;

use crate::classes::Judged;

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
    /// What the client knows of the columns that come.
    pub(crate) columns: Columns,
    /// The session's wishes with the hint applied, if there is one.
    pub(crate) hinted: Option<Box<Preferences>>,
    /// What a token in the hint asks for.
    pub(crate) min_lsn: Option<Fence>,
    effects: Effects,
    /// `Execute` messages so far.
    executes: u32,
    texts: Texts,
}

/// What a client knows of the columns that its cycle answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Columns {
    /// It asks for them in the same cycle.
    Asked,
    /// It asked before, if ever: others would be taken for those.
    Assumed,
}

/// What a cycle's statements do to the session.
#[derive(Debug)]
enum Effects {
    /// One text's, as they were found.
    One(Rc<Judged>),
    /// Several texts', or some whose steps are not those of their text.
    Many(Vec<Effect>, Vec<u32>),
}

/// How many texts were said, and what Weir can answer of them.
#[derive(Debug, Clone, Copy, Default)]
struct Texts {
    all: u32,
    /// Those that Weir answers whatever else is going on.
    own: u32,
    /// Those that Weir answers while the session has no server.
    at_rest: u32,
}

/// A statement that Weir can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own<'a> {
    /// `SHOW` of a `weir.*` setting; the name without the prefix.
    Show(&'a str),
    /// `SET` or `RESET` of a `weir.*` setting; the name without the prefix.
    Set { name: &'a str, value: Option<&'a str>, scope: SetScope },
    /// What only a server that the session keeps could know of: `DISCARD`, `DEALLOCATE`, `UNLISTEN`.
    AtRest(&'a Effect),
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
            is_for_a_kept_server(effect).then_some(Self::AtRest(effect))
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
    pub(crate) fn new() -> Self {
        Self {
            kind: Kind::Housekeeping,
            class: Class::Read,
            why: Why::Empty,
            statements: 0,
            reaches_outside: false,
            undecided: false,
            columns: Columns::Assumed,
            hinted: None,
            min_lsn: None,
            effects: Effects::Many(Vec::new(), Vec::new()),
            executes: 0,
            texts: Texts::default(),
        }
    }

    /// Whether Weir can answer all that the cycle says, given whether the session is at rest: it
    /// has no server and no transaction.
    #[expect(clippy::fn_params_excessive_bools, reason = "a fact of the session, not a mode")]
    pub(crate) fn is_own(&self, at_rest: bool) -> bool {
        let Texts { all, own, at_rest: others } = self.texts;
        let answered = if at_rest { own.saturating_add(others) } else { own };
        all > 0 && all == answered && matches!(self.kind, Kind::Simple | Kind::Extended)
    }

    /// What the executed statements do to the session, in order.
    pub(crate) fn effects(&self) -> &[Effect] {
        match &self.effects {
            Effects::One(class) => &class.effects,
            Effects::Many(effects, _) => effects,
        }
    }

    /// Which step each of the effects is of: a statement of a `Query`, or an `Execute`.
    pub(crate) fn steps(&self) -> &[u32] {
        match &self.effects {
            Effects::One(class) => &class.steps,
            Effects::Many(_, steps) => steps,
        }
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

    pub(crate) fn weigh(&mut self, class: &Classified) {
        if class.class > self.class || self.why == Why::Empty {
            self.class = class.class;
            self.why = class.why;
        }
        self.reaches_outside |= class.reaches_outside;
        let texts = &mut self.texts;
        texts.all = texts.all.saturating_add(1);
        match Own::alone(class) {
            Some(Own::AtRest(_)) => texts.at_rest = texts.at_rest.saturating_add(1),
            Some(Own::Show(_) | Own::Set { .. }) => texts.own = texts.own.saturating_add(1),
            None => {}
        }
    }

    /// Adds the statements of a `Query`.
    pub(crate) fn query(&mut self, class: &Rc<Judged>) {
        self.weigh(class);
        if self.statements == 0 {
            self.effects = Effects::One(Rc::clone(class));
        } else {
            let before = self.statements;
            let steps = class.steps.iter().map(|step| step.saturating_add(before));
            self.many(class.effects.iter().cloned().zip(steps.collect::<Vec<_>>()));
        }
        self.statements = self.statements.saturating_add(class.statements);
    }

    /// Adds a statement that was bound, and gives the place of its effects, none of which has a step
    /// before its portal is run.
    pub(crate) fn bind(&mut self, class: &Classified, values: &[u8]) -> Range<usize> {
        self.weigh(class);
        self.statements = self.statements.saturating_add(class.statements);
        let begin = self.effects().len();
        if !class.effects.is_empty() {
            self.many(class.effects.iter().map(|effect| (resolved(effect, values), NEVER)));
        }
        begin..self.effects().len()
    }

    /// Takes note that the portal was run whose effects stand there.
    pub(crate) fn execute(&mut self, place: Option<Range<usize>>) {
        let step = self.executes;
        self.executes = step.saturating_add(1);
        if let (Some(place), Effects::Many(_, steps)) = (place, &mut self.effects) {
            let waiting = steps.get_mut(place).into_iter().flatten().filter(|step| **step == NEVER);
            waiting.for_each(|waiting| *waiting = step);
        }
    }

    fn many(&mut self, more: impl IntoIterator<Item = (Effect, u32)>) {
        let mut many = match std::mem::replace(&mut self.effects, Effects::Many(vec![], vec![])) {
            Effects::One(class) => (class.effects.clone(), class.steps.clone()),
            Effects::Many(effects, steps) => (effects, steps),
        };
        many.extend(more);
        self.effects = Effects::Many(many.0, many.1);
    }

    /// This part of a group, behind what its earlier parts said.
    pub(crate) fn after(mut self, mut earlier: Self) -> Self {
        let done = earlier.executes;
        let steps = self.steps().iter().map(|step| step.saturating_add(done));
        let more: Vec<_> = self.effects().iter().cloned().zip(steps).collect();
        earlier.many(more);
        earlier.executes = done.saturating_add(self.executes);
        earlier.kind = Kind::Opaque;
        if self.class > earlier.class {
            (earlier.class, earlier.why) = (self.class, self.why);
        }
        earlier.statements = earlier.statements.saturating_add(self.statements);
        earlier.reaches_outside |= self.reaches_outside;
        earlier.undecided |= self.undecided;
        earlier.hinted = self.hinted.take().or(earlier.hinted);
        earlier.min_lsn = Fence::strongest(earlier.min_lsn, self.min_lsn);
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

    /// Takes it for a write from now on, if a standby refused it for what it does: others have to see what it leaves.
    pub(crate) fn doubt(&mut self, code: SqlState) {
        if teaches(code) {
            (self.class, self.why) = (Class::Write, Why::RefusedByStandby);
        }
    }

    /// Routes the cycle as a write: not everything it says is known.
    pub(crate) fn leave_undecided(&mut self) {
        self.undecided = true;
        self.kind = Kind::Opaque;
        self.class = Class::Write;
        self.why = Why::NotUnderstood;
        self.reaches_outside = true;
        self.statements = self.statements.saturating_add(2);
    }

    /// Takes note that nothing is known of what the cycle runs.
    pub(crate) fn suspect(&mut self) {
        self.leave_undecided();
        self.many([(Effect::Suspect, 0)]);
    }
}

/// An effect with what the values of a `Bind` say of it.
fn resolved(effect: &Effect, values: &[u8]) -> Effect {
    let Effect::SetConfig(call) = effect else { return effect.clone() };
    let values: Vec<_> = wire::bind_values(values).collect();
    let text = |number: u16| {
        let value = values.get(usize::from(number).checked_sub(1)?)?;
        value.map_or(Some(None), |bytes| std::str::from_utf8(bytes).ok().map(Some))
    };
    call.resolve(text).unwrap_or_else(|| effect.clone())
}
