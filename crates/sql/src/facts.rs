//! What using one object may do.

use crate::class::{Class, KeyedBy, Why};
use crate::effect::Pin;

/// What using a function, relation, operator or type may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) class: Class,
    pub(crate) why: Why,
    /// What it leaves in the session.
    pub(crate) pin: Option<Pin>,
    /// May act outside of the database.
    pub(crate) outside: bool,
    /// May leave something in the session that the server can be asked for.
    pub(crate) suspect: bool,
    /// Whether another search path may give less.
    pub(crate) keyed_by: KeyedBy,
}

impl Facts {
    /// Harmless everywhere.
    pub(crate) const READ: Self = Self::new(Class::Read, Why::ReadOnly);

    pub(crate) const fn new(class: Class, why: Why) -> Self {
        let keyed_by = KeyedBy::Fingerprint;
        Self { class, why, pin: None, outside: false, suspect: false, keyed_by }
    }

    pub(crate) const fn pinning(mut self, pin: Pin) -> Self {
        self.pin = Some(pin);
        self
    }

    pub(crate) const fn outside(mut self) -> Self {
        self.outside = true;
        self
    }

    pub(crate) const fn suspect(mut self) -> Self {
        self.suspect = true;
        self
    }

    /// Joins what two objects of one name may do.
    pub(crate) fn or(self, other: Self) -> Self {
        let stronger = if other.class > self.class { other } else { self };
        Self {
            pin: self.pin.or(other.pin),
            outside: self.outside || other.outside,
            suspect: self.suspect || other.suspect,
            keyed_by: self.keyed_by.max(other.keyed_by),
            ..stronger
        }
    }

    /// The same, where only some of the objects of that name may do so much.
    pub(crate) const fn by_path(mut self) -> Self {
        self.keyed_by = KeyedBy::SearchPath;
        self
    }

    /// The same effect for a reason of the object that leads to it.
    pub(crate) const fn because(mut self, why: Why) -> Self {
        self.why = why;
        self
    }
}
