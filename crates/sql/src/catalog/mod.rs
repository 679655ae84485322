//! What a database's own objects may do, looked up by name.

mod builder;
mod queries;

pub use builder::{
    CatalogBuilder, CatalogError, FunctionEffect, Persistence, RelationKind, Volatility,
};
pub use queries::CatalogPart;

/// The user objects of one database, as far as routing depends on them.
#[derive(Debug)]
pub struct Catalog {
    version: u64,
}

impl Catalog {
    /// Makes the catalog of a database without objects of its own: what PostgreSQL brings.
    #[must_use]
    pub fn builtin_only() -> Self {
        Self { version: 0 }
    }

    /// The version given to [`CatalogBuilder::finish`]; part of a class cache's key.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }
}
