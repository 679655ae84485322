//! What was found in a statement so far.

use crate::class::{Class, KeyedBy, Why};
use crate::effect::{Effect, Pin};
use crate::facts::Facts;

/// Grows stronger as a statement is read, never weaker.
#[derive(Clone, Debug)]
pub(super) struct Findings {
    pub(super) class: Class,
    pub(super) why: Why,
    pub(super) effects: Vec<Effect>,
    pub(super) outside: bool,
    pub(super) keyed_by: KeyedBy,
}

impl Default for Findings {
    fn default() -> Self {
        Self::new(Class::Read, Why::ReadOnly)
    }
}

impl Findings {
    pub(super) const fn new(class: Class, why: Why) -> Self {
        Self { class, why, effects: Vec::new(), outside: false, keyed_by: KeyedBy::Fingerprint }
    }

    /// Notes an effect beside what is there.
    #[must_use]
    pub(super) fn with(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }

    /// Notes that the class or effects depend on a literal.
    #[must_use]
    pub(super) fn by_text(mut self) -> Self {
        self.keyed_by = self.keyed_by.max(KeyedBy::Text);
        self
    }

    #[must_use]
    pub(super) const fn reaching_outside(mut self) -> Self {
        self.outside = true;
        self
    }

    /// Raises the class; the first cause of the strongest class stays.
    pub(super) fn raise(&mut self, class: Class, why: Why) {
        if class > self.class {
            self.class = class;
            self.why = why;
        }
    }

    /// Notes that an object is used.
    pub(super) fn uses(&mut self, facts: Facts) {
        self.raise(facts.class, facts.why);
        self.outside |= facts.outside;
        self.keyed_by = self.keyed_by.max(facts.keyed_by);
        if let Some(pin) = facts.pin {
            self.pins(pin);
        }
        if facts.suspect && !self.effects.contains(&Effect::Suspect) {
            self.effects.push(Effect::Suspect);
        }
    }

    pub(super) fn pins(&mut self, pin: Pin) {
        let effect = Effect::Pin(pin);
        if !self.effects.contains(&effect) {
            self.effects.push(effect);
        }
    }

    /// Adds what was found in a later part.
    pub(super) fn join(&mut self, later: Self) {
        self.raise(later.class, later.why);
        self.join_effects(later);
    }

    /// Adds all that was found in a part that overlaps with this one, but its class.
    pub(super) fn join_overlap(&mut self, mut later: Self) {
        later.effects.retain(|effect| !self.effects.contains(effect));
        self.join_effects(later);
    }

    /// Adds all that was found in a part but its class.
    pub(super) fn join_effects(&mut self, later: Self) {
        self.effects.extend(later.effects);
        self.outside |= later.outside;
        self.keyed_by = self.keyed_by.max(later.keyed_by);
    }
}
