//! What do servers report of themselves, and what was the client told last?
//!
//! A session that moves must hear of what differs on its new server (manual, 55.2.7), and of
//! nothing else. Sets are interned, so that "nothing differs" is one comparison of pointers.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

use crate::sweep::Sweep;

/// Names and values of the parameters that were reported, sorted by name.
#[derive(Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reports(Vec<Report>);

/// A parameter's name and value.
type Report = (Box<[u8]>, Box<[u8]>);

/// True for a server alone: a session through Weir can write whatever node serves it.
const OF_THE_NODE: &[u8] = b"in_hot_standby";

impl Reports {
    /// Nothing was reported.
    pub const NONE: Self = Self(Vec::new());

    /// The value reported for a name.
    #[must_use]
    pub fn value(&self, name: &[u8]) -> Option<&[u8]> {
        let found = self.0.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        self.0.get(found).map(|(_, value)| &**value)
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// What a client that was told `told` has to hear.
    pub fn news<'a>(&'a self, told: &'a Self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.iter().filter(|(name, value)| told.value(name) != Some(value))
    }
}

/// A worker's known sets of reports.
#[derive(Debug)]
pub struct KnownReports(RefCell<(HashSet<Rc<Reports>>, Sweep)>);

/// Sets kept before those that nobody uses are forgotten.
const LEAST: usize = 1024;

impl Default for KnownReports {
    fn default() -> Self {
        Self(RefCell::new((HashSet::new(), Sweep::from(LEAST))))
    }
}

impl KnownReports {
    /// `reports` after a server reported `name`; what is true for the node alone is left out.
    pub fn with(&self, reports: &Rc<Reports>, name: &[u8], value: &[u8]) -> Rc<Reports> {
        if name == OF_THE_NODE || reports.value(name) == Some(value) {
            return Rc::clone(reports);
        }
        let others = reports.0.iter().filter(|(known, _)| **known != *name).cloned();
        let mut pairs: Vec<_> = others.chain([(name.into(), value.into())]).collect();
        pairs.sort();
        self.intern(Reports(pairs))
    }

    fn intern(&self, reports: Reports) -> Rc<Reports> {
        let (known, sweep) = &mut *self.0.borrow_mut();
        if let Some(same) = known.get(&reports) {
            return Rc::clone(same);
        }
        if sweep.is_due(known.len()) {
            known.retain(|reports| Rc::strong_count(reports) > 1);
            sweep.swept(known.len());
        }
        let reports = Rc::new(reports);
        known.insert(Rc::clone(&reports));
        reports
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_reports_are_one_set_and_only_what_differs_is_news() {
        let known = KnownReports::default();
        let none = Rc::new(Reports::default());
        let utc = known.with(&known.with(&none, b"TimeZone", b"UTC"), b"DateStyle", b"ISO, MDY");
        let same = known.with(&known.with(&none, b"DateStyle", b"ISO, MDY"), b"TimeZone", b"UTC");
        assert!(Rc::ptr_eq(&utc, &same));
        let tokyo = known.with(&utc, b"TimeZone", b"Asia/Tokyo");
        let news: Vec<_> = tokyo.news(&utc).collect();
        assert_eq!(news, [(&b"TimeZone"[..], &b"Asia/Tokyo"[..])]);
        assert_eq!(utc.news(&same).count(), 0);
    }

    #[test]
    fn that_a_node_is_a_standby_is_no_business_of_the_client() {
        let known = KnownReports::default();
        let none = Rc::new(Reports::default());
        assert!(Rc::ptr_eq(&known.with(&none, b"in_hot_standby", b"on"), &none));
    }

    #[test]
    fn reports_that_nobody_holds_are_forgotten_and_those_that_are_held_stay_the_same() {
        let known = KnownReports::default();
        let none = Rc::new(Reports::default());
        let named =
            |number: usize| known.with(&none, b"application_name", number.to_string().as_bytes());
        let held: Vec<_> = (0..LEAST).map(named).collect();
        for number in LEAST..20 * LEAST {
            drop(named(number));
        }
        assert!(known.0.borrow().0.len() <= 2 * LEAST);
        assert!(held.iter().enumerate().all(|(number, kept)| Rc::ptr_eq(kept, &named(number))));
    }
}
