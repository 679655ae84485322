//! Text to class and effects.

use crate::catalog::Catalog;
use crate::class::{Class, Classified, KeyedBy, Why};

/// Decides what texts may do; cheap to make, holds no state between texts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Classifier {}

impl Classifier {
    /// Makes a classifier.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }

    /// Says what `sql`, of one or many statements, may do in the database that `catalog` describes.
    ///
    /// Without a catalog nothing is below [`Class::PrimaryRead`].
    pub fn classify(&self, _sql: &str, _catalog: Option<&Catalog>) -> Classified {
        Classified {
            class: Class::Write,
            why: Why::Unparsed,
            effects: Vec::new(),
            reaches_outside: true,
            keyed_by: KeyedBy::Nothing,
            statements: 1,
        }
    }
}
