//! What a text may do, and why we think so.

use crate::effect::Effect;

/// The strongest thing that a text may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Reads only, and any replica with the same session state gives an equally right answer.
    Read,
    /// Does not write, but its answer belongs to the primary or to this session's server.
    PrimaryRead,
    /// May write, lock, or was not understood.
    Write,
}

impl Class {
    /// Names the class as it is printed: `read`, `primary_read`, `write`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::PrimaryRead => "primary_read",
            Self::Write => "write",
        }
    }
}

macro_rules! whys {
    ($($(#[doc = $doc:literal])+ $name:ident = $label:literal,)+) => {
        /// Why a text has its class: the first cause of the strongest effect.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Why {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Why {
            /// Every cause, in the order of their declaration.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Names the cause as metrics, logs and `explain` print it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)+
                }
            }
        }
    };
}

whys! {
    /// Every part was understood and none writes.
    ReadOnly = "read_only",
    /// Nothing but white space, comments and semicolons.
    Empty = "empty",
    /// The parser does not know this grammar.
    Unparsed = "unparsed",
    /// Too many bytes, tokens or links to be parsed safely.
    TooLong = "too_long",
    /// A quote or comment is not closed, or a byte is no SQL.
    Malformed = "malformed",
    /// Reads differently where `standard_conforming_strings` is off.
    AmbiguousString = "ambiguous_string",
    /// No catalog was read yet.
    CatalogMissing = "catalog_missing",
    /// INSERT, UPDATE, DELETE, MERGE, also within WITH.
    DataModifying = "data_modifying",
    /// FOR UPDATE, FOR SHARE and their kin.
    LockingClause = "locking_clause",
    /// SELECT INTO creates a table.
    SelectInto = "select_into",
    /// A function that may write.
    VolatileFunction = "volatile_function",
    /// A function that neither PostgreSQL nor the catalog has.
    UnknownFunction = "unknown_function",
    /// A function whose answer differs from server to server.
    PrimaryOnlyFunction = "primary_only_function",
    /// An operator that is neither built in nor known to be harmless.
    UnknownOperator = "unknown_operator",
    /// A type that is neither built in nor known to be harmless.
    UnknownType = "unknown_type",
    /// An unlogged relation is empty or missing on a standby.
    UnloggedRelation = "unlogged_relation",
    /// A temporary relation exists in one session only.
    TemporaryRelation = "temporary_relation",
    /// A foreign table reaches another database.
    ForeignRelation = "foreign_relation",
    /// A view that calls what may write or reads what is not to be read on a standby.
    VolatileView = "volatile_view",
    /// A relation that the catalog does not have.
    UnknownRelation = "unknown_relation",
    /// A system relation whose rows differ from server to server.
    SystemRelation = "system_relation",
    /// A row security policy that calls what may write.
    RowSecurity = "row_security",
    /// VACUUM, CHECKPOINT, ALTER SYSTEM, LOCK, LOAD and the like.
    Utility = "utility",
    /// Data definition.
    Ddl = "ddl",
    /// COPY from the client, or to or from a file or program.
    Copy = "copy",
    /// An anonymous block: nobody knows what it does.
    Do = "do",
    /// A procedure, which may also end transactions.
    Call = "call",
    /// EXPLAIN of a read: the plan is the primary's by preference.
    Explain = "explain",
    /// A transaction begins or ends.
    Transaction = "transaction",
    /// A setting is changed or shown.
    SessionState = "session_state",
    /// SQL-level PREPARE, EXECUTE, DEALLOCATE.
    Prepared = "prepared",
    /// A cursor, on the server of its transaction.
    Cursor = "cursor",
    /// LISTEN, NOTIFY, UNLISTEN.
    Notify = "notify",
    /// Parsed, but a part of it is not on the list of harmless ones.
    NotUnderstood = "not_understood",
    /// Nested more deeply than we follow.
    NestingTooDeep = "nesting_too_deep",
    /// Taken for a read until a standby refused it and the primary ran it.
    RefusedByStandby = "refused_by_standby",
}

impl Why {
    /// The place in [`Why::ALL`], to count by it without a map.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether the text may be a read all the same: it was not understood, or what it uses is not known to be harmless.
    #[must_use]
    pub const fn is_doubt(self) -> bool {
        match self {
            Self::Unparsed
            | Self::TooLong
            | Self::AmbiguousString
            | Self::VolatileFunction
            | Self::UnknownFunction
            | Self::UnknownOperator
            | Self::UnknownType
            | Self::VolatileView
            | Self::UnknownRelation
            | Self::RowSecurity
            | Self::NotUnderstood
            | Self::NestingTooDeep
            | Self::RefusedByStandby => true,
            Self::ReadOnly
            | Self::Empty
            | Self::Malformed
            | Self::CatalogMissing
            | Self::DataModifying
            | Self::LockingClause
            | Self::SelectInto
            | Self::PrimaryOnlyFunction
            | Self::UnloggedRelation
            | Self::TemporaryRelation
            | Self::ForeignRelation
            | Self::SystemRelation
            | Self::Utility
            | Self::Ddl
            | Self::Copy
            | Self::Do
            | Self::Call
            | Self::Explain
            | Self::Transaction
            | Self::SessionState
            | Self::Prepared
            | Self::Cursor
            | Self::Notify => false,
        }
    }
}

/// What a cached answer for a text may be found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyedBy {
    /// Every text of the same fingerprint has this class and these effects.
    Fingerprint,
    /// The same, under any search path; one that is known may give less.
    SearchPath,
    /// Class or effects depend on a literal: only the same bytes, under the same search path, have them.
    Text,
    /// Not worth keeping, or not safe to keep.
    Nothing,
}

/// What one text, of one or many statements, may do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Classified {
    /// The strongest class of all statements.
    pub class: Class,
    /// The cause of that class.
    pub why: Why,
    /// What the session must remember, in the order of the statements.
    pub effects: Vec<Effect>,
    /// Which statement, counted from 0, each of [`Self::effects`] is of.
    pub steps: Vec<u32>,
    /// May act outside of the database: must never be run twice.
    pub reaches_outside: bool,
    /// What may be cached.
    pub keyed_by: KeyedBy,
    /// How many statements the text holds; empty ones don't count.
    pub statements: u32,
}
