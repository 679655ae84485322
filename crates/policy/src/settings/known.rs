//! A worker's known sets of settings.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::{Pairs, Settings, is_identity};

/// Sets kept before those that nobody uses are forgotten.
const SWEEP_AT: usize = 1024;

/// A worker's known sets of settings.
#[derive(Debug)]
pub struct KnownSettings {
    none: Rc<Settings>,
    known: RefCell<HashMap<Pairs, Rc<Settings>>>,
}

impl Default for KnownSettings {
    fn default() -> Self {
        Self { none: Rc::new(Settings::new(Vec::new())), known: RefCell::default() }
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
        let mut known = self.known.borrow_mut();
        if let Some(settings) = known.get(&pairs) {
            return Rc::clone(settings);
        }
        if known.len() >= SWEEP_AT {
            known.retain(|_, settings| Rc::strong_count(settings) > 1);
        }
        let settings = Rc::new(Settings::new(pairs.clone()));
        known.insert(pairs, Rc::clone(&settings));
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
