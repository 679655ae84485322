//! A worker's known sets of settings.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::{Pairs, Settings, is_identity};
use crate::sweep::Sweep;

/// Sets kept before those that nobody uses are forgotten.
const LEAST: usize = 1024;

/// A worker's known sets of settings.
#[derive(Debug)]
pub struct KnownSettings {
    none: Rc<Settings>,
    known: RefCell<Known>,
}

#[derive(Debug)]
struct Known {
    sets: HashMap<Pairs, Rc<Settings>>,
    sweep: Sweep,
}

impl Default for KnownSettings {
    fn default() -> Self {
        let known = Known { sets: HashMap::new(), sweep: Sweep::from(LEAST) };
        Self { none: Rc::new(Settings::new(Vec::new())), known: RefCell::new(known) }
    }
}

impl KnownSettings {
    /// What every server begins with.
    #[must_use]
    pub fn none(&self) -> Rc<Settings> {
        Rc::clone(&self.none)
    }

    /// The set of these pairs.
    pub fn intern(&self, mut pairs: Pairs) -> Rc<Settings> {
        pairs.sort();
        if pairs.is_empty() {
            return self.none();
        }
        let Known { sets, sweep } = &mut *self.known.borrow_mut();
        if let Some(settings) = sets.get(&pairs) {
            return Rc::clone(settings);
        }
        if sweep.is_due(sets.len()) {
            sets.retain(|_, settings| Rc::strong_count(settings) > 1);
            sweep.swept(sets.len());
        }
        let settings = Rc::new(Settings::new(pairs.clone()));
        sets.insert(pairs, Rc::clone(&settings));
        settings
    }

    /// `settings` after `name` was set, or reset if `value` is `None`.
    ///
    /// Another session authorization ends the role (manual, SET SESSION AUTHORIZATION).
    pub fn with(&self, settings: &Settings, name: &str, value: Option<&str>) -> Rc<Settings> {
        let ends_role = name == "session_authorization";
        let stays = |known: &str| known != name && !(ends_role && known == "role");
        let mut pairs: Pairs =
            settings.pairs().iter().filter(|(known, _)| stays(known)).cloned().collect();
        if let Some(value) = value {
            pairs.push((name.into(), value.into()));
        }
        self.intern(pairs)
    }

    /// `settings` after `RESET ALL`, which goes back to `startup` but leaves the identity alone.
    pub fn reset_all(&self, settings: &Settings, startup: &Settings) -> Rc<Settings> {
        let of = |set: &Settings, identity| {
            let wanted = move |(name, _): &&(Box<str>, Box<str>)| is_identity(name) == identity;
            set.pairs().iter().filter(wanted).cloned().collect::<Pairs>()
        };
        self.intern([of(settings, true), of(startup, false)].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(number: usize) -> Pairs {
        vec![("app.user".into(), number.to_string().into())]
    }

    #[test]
    fn sets_that_nobody_uses_are_forgotten_and_those_in_use_stay_the_same() {
        let known = KnownSettings::default();
        let used: Vec<_> = (0..LEAST).map(|number| known.intern(user(number))).collect();
        for number in LEAST..20 * LEAST {
            drop(known.intern(user(number)));
        }
        assert!(known.known.borrow().sets.len() <= 2 * LEAST);
        for (number, settings) in used.iter().enumerate() {
            assert!(Rc::ptr_eq(settings, &known.intern(user(number))), "{number}");
        }
    }

    #[test]
    fn as_many_sets_as_sessions_are_not_looked_through_for_each_new_one() {
        let known = KnownSettings::default();
        let (mut used, mut sweeps, mut before) = (Vec::new(), 0, known.known.borrow().sweep);
        for number in 0..64 * LEAST {
            used.push(known.intern(user(number)));
            let now = known.known.borrow().sweep;
            sweeps += usize::from(std::mem::replace(&mut before, now) != now);
        }
        assert_eq!(sweeps, 6, "once for each doubling");
    }
}
