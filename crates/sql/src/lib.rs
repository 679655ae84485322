//! SQL text to what it may do: fingerprints, classes, session effects, hints.
//!
//! Knows the SQL that PostgreSQL 15 to 19 accept and what a database's catalog says of its functions, relations, types
//! and operators. Does not know nodes, config, sockets, time or randomness: every answer is a function of its arguments.
//!
//! - [`Scanner`] one pass over a text, without allocation: the [`Fingerprint`] that keys a class cache
//! - [`Classifier`] text and [`Namespace`] to [`Classified`]: [`Class`], [`Why`], [`Effect`]s
//! - [`SearchPath`] where names without a schema are looked up
//! - [`CatalogBuilder`] rows of [`CatalogPart`]'s queries to a [`Catalog`]
//! - [`named_statement`] the prepared statement that EXECUTE or DEALLOCATE names
//! - [`is_keyword`] whether a word is one of the grammar's
//! - [`leading_hint`] routing wishes in a leading comment
//! - [`normalized`] a text to one that shows no data
//! - [`statements`] a script to its statements
//!
//! Soundness first: nothing is a [`Class::Read`] that was not understood as a whole.

mod bodies;
mod builtin;
mod catalog;
mod class;
mod classify;
mod depth;
mod effect;
mod facts;
mod fingerprint;
mod hint;
mod named;
mod names;
mod normalize;
mod scan;
mod script;
mod search_path;

pub use builtin::is_keyword;
pub use catalog::{
    Catalog, CatalogBuilder, CatalogError, CatalogPart, FunctionEffect, Persistence, RelationKind,
    Volatility,
};
pub use class::{Class, Classified, KeyedBy, Why};
pub use classify::Classifier;
pub use effect::{
    Access, Chain, Deferrable, Effect, Isolation, Operand, Pin, SetConfig, SetScope, TxModes,
};
pub use fingerprint::{Fingerprint, Scan, Scanner};
pub use hint::{Hint, HintError, Pairs, leading_hint};
pub use named::{NamedStatement, Verb, named_statement};
pub use normalize::{normalized, with_constants};
pub use script::{Statements, statements};
pub use search_path::{Namespace, SearchPath};
