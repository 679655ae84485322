//! Which settings does a session have, and how is a server brought to them?
//!
//! Servers are opened without any client's settings, so "none" is what they all begin with. A
//! server whose settings differ from the session's gets a query of Weir's own in front of the
//! client's bytes, in the same write. Sets are interned: equal ones are one [`Rc`].

mod known;
mod replay;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use sql::SearchPath;

pub use self::known::KnownSettings;
pub use self::replay::replay;

/// Names (lower case) and values, sorted by name.
pub type Pairs = Vec<(Box<str>, Box<str>)>;

/// A set of settings, identified within one worker by its [`Rc`].
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    pairs: Pairs,
    shape: Box<str>,
    search_path: Option<SearchPath>,
    traits: Traits,
}

/// What a set of settings means for routing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Traits {
    encoding: Encoding,
    needs_primary: bool,
    limits_time: bool,
}

/// Whether a byte that looks like a quote is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    /// No byte of a longer character looks like ASCII.
    AsciiSafe,
    /// A quote may be the second byte of a character.
    Ambiguous,
}

impl Encoding {
    fn of(name: &str) -> Self {
        let name: String = name
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_ascii_uppercase();
        let safe = ["UTF8", "UNICODE", "SQLASCII", "LATIN", "WIN", "ISO8859"];
        if safe.iter().any(|safe| name.starts_with(safe)) {
            Self::AsciiSafe
        } else {
            Self::Ambiguous
        }
    }
}

/// Settings that a statement's meaning does not hang on, so that sessions that differ in them share
/// prepared statements: what limits time and memory, what is logged, how answers are written.
const SHAPELESS: &[&str] = &[
    "application_name",
    "bytea_output",
    "client_min_messages",
    "commit_delay",
    "commit_siblings",
    "extra_float_digits",
    "maintenance_work_mem",
    "statement_timeout",
    "synchronous_commit",
    "temp_buffers",
    "temp_file_limit",
    "work_mem",
];

fn is_shapeless(name: &str) -> bool {
    // Settings of an application's own are read when a statement runs.
    name.contains('.')
        || name.ends_with("_timeout")
        || name.starts_with("log_")
        || name.starts_with("track_")
        || SHAPELESS.contains(&name)
}

impl Settings {
    fn new(pairs: Pairs) -> Self {
        let find = |name: &str| {
            pairs.iter().find(|(known, _)| &**known == name).map(|(_, value)| &**value)
        };
        let traits = Traits {
            encoding: find("client_encoding").map_or(Encoding::AsciiSafe, Encoding::of),
            needs_primary: find("default_transaction_isolation")
                .is_some_and(|level| level.eq_ignore_ascii_case("serializable"))
                || find("search_path").is_some_and(|path| path.contains("pg_temp")),
            limits_time: find("statement_timeout").or(find("transaction_timeout")).is_some(),
        };
        let search_path = find("search_path").and_then(SearchPath::parse);
        let mut shape = String::new();
        for (name, value) in pairs.iter().filter(|(name, _)| !is_shapeless(name)) {
            shape.extend([name, "\0", value, "\0"]);
        }
        Self { traits, shape: shape.into(), search_path, pairs }
    }

    /// A setting's value.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| &**known == name).map(|(_, value)| &**value)
    }

    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Whether statements run as somebody other than who logged in.
    pub(crate) fn has_identity(&self) -> bool {
        self.pairs.iter().any(|(name, _)| is_identity(name))
    }

    /// Whether every encoding that PostgreSQL has reads the values alike.
    pub(crate) fn is_ascii(&self) -> bool {
        self.pairs.iter().all(|(name, value)| name.is_ascii() && value.is_ascii())
    }

    /// Names and values, sorted by name.
    #[must_use]
    pub fn pairs(&self) -> &[(Box<str>, Box<str>)] {
        &self.pairs
    }

    /// Whether the client's SQL can be read byte by byte.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.traits.encoding == Encoding::AsciiSafe
    }

    /// Whether no read can run on a standby: it knows no SERIALIZABLE, and makes no temporary schema, which
    /// `current_schema()` does where the search path begins with it.
    #[must_use]
    pub fn needs_primary(&self) -> bool {
        self.traits.needs_primary
    }

    /// Whether a time limit may cut short the very query that is to replace these settings by
    /// others: then what comes behind it must wait for its answer.
    #[must_use]
    pub fn limits_time(&self) -> bool {
        self.traits.limits_time
    }

    /// What a prepared statement's meaning may hang on: names and literals are resolved when it is
    /// parsed, by `search_path`, role, `DateStyle`, `TimeZone` and their like.
    #[must_use]
    pub fn shape(&self) -> &[u8] {
        self.shape.as_bytes()
    }

    /// Where names without a schema are looked up; `None` while only the server knows.
    #[must_use]
    pub const fn search_path(&self) -> Option<&SearchPath> {
        self.search_path.as_ref()
    }

    /// Whether both are the same set.
    #[must_use]
    pub fn is(self: &Rc<Self>, other: &Rc<Self>) -> bool {
        Rc::ptr_eq(self, other)
    }
}

/// Settings that say who runs a statement: `RESET ALL` leaves them alone, and they are set last.
pub(crate) fn is_identity(name: &str) -> bool {
    matches!(name, "role" | "session_authorization")
}

/// Settings that only a superuser, or who was granted them, may change (`pg_settings.context`).
pub(crate) fn needs_superuser(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "allow_in_place_tablespaces",
        "allow_system_table_mods",
        "backtrace_functions",
        "commit_delay",
        "compute_query_id",
        "deadlock_timeout",
        "debug_discard_caches",
        "dynamic_library_path",
        "event_triggers",
        "extension_control_path",
        "ignore_checksum_failure",
        "jit_debugging_support",
        "jit_dump_bitcode",
        "jit_profiling_support",
        "lc_messages",
        "lo_compat_privileges",
        "max_stack_depth",
        "session_preload_libraries",
        "session_replication_role",
        "temp_file_limit",
        "track_activities",
        "track_cost_delay_timing",
        "track_counts",
        "track_functions",
        "track_io_timing",
        "track_wal_io_timing",
        "update_process_title",
        "wal_compression",
        "wal_consistency_checking",
        "wal_init_zero",
        "wal_recycle",
        "zero_damaged_pages",
    ];
    NAMES.contains(&name)
        || (name.starts_with("log_") && name != "log_parameter_max_length_on_error")
}
