//! The SQL that reads a database's catalog, as any role may run it.

/// One query of the catalog; run them all, in one REPEATABLE READ transaction if possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CatalogPart {
    /// User functions and aggregates.
    Functions,
}

impl CatalogPart {
    /// All queries that a catalog needs.
    pub const ALL: &[Self] = &[Self::Functions];

    /// The query's text: takes no parameters, gives text columns only.
    #[must_use]
    pub const fn sql(self) -> &'static str {
        match self {
            Self::Functions => "SELECT 1::text WHERE false",
        }
    }
}
