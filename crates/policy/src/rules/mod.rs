//! What the operator and the session ask for: consistency, scope, lag bound, route.
//!
//! One set of names and values serves the configuration (`reads:`), the startup `options`,
//! `SET weir.*` and the leading comment hint, so that they cannot drift apart.

mod bytes;
mod duration;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

pub use bytes::{format_bytes, parse_bytes};
pub use duration::{format_duration, parse_duration};

/// How fresh reads must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Consistency {
    /// Any replica within `max_lag`.
    Eventual,
    /// Read your own writes, and never older than what was read before.
    Session,
    /// See every commit that was acknowledged to anybody before the read began.
    Strong,
}

/// Who shares a fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One connection.
    Connection,
    /// All connections of one (client address, user, database): an app process with its own pool.
    Client,
    /// All connections to one database.
    Database,
}

/// Where the session wants its statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// By class.
    Auto,
    /// Always the primary.
    Primary,
    /// A replica for whatever is class `Read` or `PrimaryRead`, however old its data is.
    Replica,
}

/// What happens to a read that no replica can serve freshly enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnStale {
    /// The primary serves it.
    Primary,
    /// It waits for a replica for `stale_wait`, then the primary serves it.
    Wait,
    /// It is refused.
    Error,
}

/// What happens to an `eventual` read while no primary is reachable and lag can't be bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnNoPrimary {
    /// The most advanced replica serves it.
    Serve,
    /// It is refused.
    Error,
}

/// Resolved wishes for one cycle: configuration, then session, then hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preferences {
    /// How fresh.
    pub consistency: Consistency,
    /// Who shares a fence.
    pub scope: Scope,
    /// Where to.
    pub route: Route,
    /// The oldest data a replica may show; `None` is no bound in time.
    pub max_lag: Option<Duration>,
    /// The most WAL that a replica may have left to replay, bytes; `None` is no bound in bytes.
    pub max_lag_bytes: Option<u64>,
    /// When no replica is fresh enough.
    pub on_stale: OnStale,
    /// How long `OnStale::Wait` waits.
    pub stale_wait: Duration,
    /// When there is no primary.
    pub on_no_primary: OnNoPrimary,
}

impl Default for Preferences {
    fn default() -> Self {
        Self {
            consistency: Consistency::Session,
            scope: Scope::Client,
            route: Route::Auto,
            max_lag: Some(Duration::from_secs(1)),
            max_lag_bytes: None,
            on_stale: OnStale::Primary,
            stale_wait: Duration::from_millis(100),
            on_no_primary: OnNoPrimary::Serve,
        }
    }
}

impl Preferences {
    /// The names that [`Preferences::set`] and [`Preferences::get`] know, without `weir.`.
    pub const NAMES: [&'static str; 8] = [
        "route",
        "consistency",
        "scope",
        "max_lag",
        "max_lag_bytes",
        "on_stale",
        "stale_wait",
        "on_no_primary",
    ];

    /// Sets one wish from its text; names and values don't depend on case, as in Postgres.
    ///
    /// # Errors
    ///
    /// [`PreferenceError`] if there is no such name or value; nothing was changed then. Tell the
    /// client: its text says what would be accepted.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), PreferenceError> {
        match name.to_ascii_lowercase().as_str() {
            "route" => self.route = value.parse()?,
            "consistency" => self.consistency = value.parse()?,
            "scope" => self.scope = value.parse()?,
            "on_stale" => self.on_stale = value.parse()?,
            "on_no_primary" => self.on_no_primary = value.parse()?,
            "max_lag" if value.trim().eq_ignore_ascii_case("off") => self.max_lag = None,
            "max_lag" => {
                let bound = parse_duration(value).ok_or(PreferenceError::BadValue(
                    "a duration such as 500ms, 2s or 1min, a number of milliseconds, or off",
                ))?;
                self.max_lag = Some(bound);
            }
            "max_lag_bytes" if value.trim().eq_ignore_ascii_case("off") => {
                self.max_lag_bytes = None;
            }
            "max_lag_bytes" => {
                let bound = parse_bytes(value).ok_or(PreferenceError::BadValue(
                    "a size such as 512kB, 16MB or 1GB, a number of bytes, or off",
                ))?;
                self.max_lag_bytes = Some(bound);
            }
            "stale_wait" => {
                self.stale_wait = parse_duration(value).ok_or(PreferenceError::BadValue(
                    "a duration such as 500ms, 2s or 1min, or a number of milliseconds",
                ))?;
            }
            _ => return Err(PreferenceError::UnknownName),
        }
        Ok(())
    }

    /// The value of one wish as `SHOW` prints it and [`Preferences::set`] reads it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        Some(match name.to_ascii_lowercase().as_str() {
            "route" => self.route.as_str().to_owned(),
            "consistency" => self.consistency.as_str().to_owned(),
            "scope" => self.scope.as_str().to_owned(),
            "on_stale" => self.on_stale.as_str().to_owned(),
            "on_no_primary" => self.on_no_primary.as_str().to_owned(),
            "max_lag" => self.max_lag.map_or_else(|| "off".to_owned(), format_duration),
            "max_lag_bytes" => self.max_lag_bytes.map_or_else(|| "off".to_owned(), format_bytes),
            "stale_wait" => format_duration(self.stale_wait),
            _ => return None,
        })
    }
}

/// Gives an enum its words: `as_str`, `FromStr` and `Display` from one list.
macro_rules! words {
    ($name:ident, $allowed:literal, { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $name {
            /// The word for it in configuration, `SET`, hints and output.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl FromStr for $name {
            type Err = PreferenceError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $(if text.trim().eq_ignore_ascii_case($word) {
                    return Ok(Self::$variant);
                })+
                Err(PreferenceError::BadValue($allowed))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words!(Scope, "connection, client or database", {
    Connection => "connection",
    Client => "client",
    Database => "database",
});
words!(Route, "auto, primary or replica", {
    Auto => "auto",
    Primary => "primary",
    Replica => "replica",
});
words!(OnStale, "primary, wait or error", {
    Primary => "primary",
    Wait => "wait",
    Error => "error",
});
words!(OnNoPrimary, "serve or error", {
    Serve => "serve",
    Error => "error",
});

words!(Consistency, "eventual, session or strong", {
    Eventual => "eventual",
    Session => "session",
    Strong => "strong",
});

/// A name or value that `weir.*` does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreferenceError {
    /// No such setting.
    UnknownName,
    /// The setting exists; the value is none of those in the text.
    BadValue(&'static str),
}

impl fmt::Display for PreferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownName => f.write_str(
                "no such setting; there are route, consistency, scope, max_lag, max_lag_bytes, on_stale, stale_wait, on_no_primary and min_lsn",
            ),
            Self::BadValue(allowed) => write!(f, "expected {allowed}"),
        }
    }
}

impl std::error::Error for PreferenceError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(name: &str, value: &str) -> Result<Option<String>, PreferenceError> {
        let mut wishes = Preferences::default();
        wishes.set(name, value)?;
        Ok(wishes.get(name))
    }

    #[test]
    fn every_value_is_shown_as_it_is_set() {
        let table = [
            ("route", vec!["auto", "primary", "replica"]),
            ("consistency", vec!["eventual", "session", "strong"]),
            ("scope", vec!["connection", "client", "database"]),
            ("max_lag", vec!["off", "500ms", "2s", "1min", "250us"]),
            ("max_lag_bytes", vec!["off", "0B", "8kB", "16MB", "3GB", "1000B"]),
            ("on_stale", vec!["primary", "wait", "error"]),
            ("stale_wait", vec!["100ms", "1s"]),
            ("on_no_primary", vec!["serve", "error"]),
        ];
        assert_eq!(table.iter().map(|(name, _)| *name).collect::<Vec<_>>(), Preferences::NAMES);
        for (name, values) in table {
            for value in values {
                assert_eq!(set(name, value), Ok(Some(value.to_owned())), "{name}");
            }
        }
    }

    #[test]
    fn case_and_surrounding_space_do_not_matter() {
        assert_eq!(set("ROUTE", " Primary "), Ok(Some("primary".to_owned())));
        assert_eq!(set("Max_Lag", "OFF"), Ok(Some("off".to_owned())));
    }

    #[test]
    fn a_bad_value_changes_nothing_and_names_the_good_ones() {
        let mut wishes = Preferences::default();
        let error = wishes.set("route", "replicas").unwrap_err();
        assert_eq!(error.to_string(), "expected auto, primary or replica");
        assert!(wishes.set("max_lag", "soon").is_err());
        assert!(wishes.set("stale_wait", "off").is_err());
        assert_eq!(wishes, Preferences::default());
    }

    #[test]
    fn an_unknown_name_is_refused_and_every_known_one_named() {
        let error = set("min_lag", "1s").unwrap_err();
        assert_eq!(error, PreferenceError::UnknownName);
        for name in Preferences::NAMES {
            assert!(error.to_string().contains(name), "{name}");
        }
        assert_eq!(Preferences::default().get("min_lag"), None);
    }

    #[test]
    fn zero_is_a_bound_and_not_the_absence_of_one() {
        assert_eq!(set("max_lag", "0"), Ok(Some("0ms".to_owned())));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,12}") {
            let _parsed = parse_duration(&text);
            let _refused = Preferences::default().set("max_lag", &text);
        }
    }
}
