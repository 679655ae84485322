//! Functions whose body shows that they only read, whatever their label says.
//!
//! CREATE FUNCTION makes VOLATILE what is not said to be anything else. The body of a function in SQL is text that can be
//! classified like any other, so one that only reads is as harmless as its body.

use crate::catalog::{Catalog, CatalogBuilder};
use crate::class::Class;
use crate::classify::Classifier;
use crate::facts::Facts;

impl CatalogBuilder {
    /// Resolves what depends on what; `version` tells this catalog from others in cache keys.
    ///
    /// All bodies are believed to read at first, and those that don't under that belief are not believed any more, until
    /// none is left. That is sound, functions that call each other included: what does write is at last done by something
    /// that was never believed, and doubt spreads from there to whatever calls it.
    #[must_use]
    pub fn finish(mut self, version: u64) -> Catalog {
        let mut bodies = std::mem::take(&mut self.bodies);
        let mut believed = Vec::new();
        for (oid, _) in &bodies {
            let own = self.functions.get_mut(oid);
            believed.extend(own.map(|own| (*oid, std::mem::replace(&mut own.facts, Facts::READ))));
        }
        loop {
            if bodies.is_empty() {
                return crate::catalog::resolve(self, version);
            }
            let catalog = crate::catalog::resolve(self.clone(), version);
            let before = bodies.len();
            bodies.retain(|(oid, body)| {
                let reads = reads(body, &catalog);
                if !reads
                    && let Some((_, facts)) = believed.iter().find(|(known, _)| known == oid)
                    && let Some(own) = self.functions.get_mut(oid)
                {
                    own.facts = *facts;
                }
                reads
            });
            if bodies.len() == before {
                return catalog;
            }
        }
    }
}

/// Whether a function's body does nothing but read: it has statements, and none of them leaves anything.
fn reads(body: &str, catalog: &Catalog) -> bool {
    let found = Classifier::new().classify(body, Some(catalog));
    found.class == Class::Read
        && found.statements > 0
        && found.effects.is_empty()
        && !found.reaches_outside
}
