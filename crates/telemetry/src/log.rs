//! Where logs go.

use std::fmt;
use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, fields at its top level.
    Json,
}

/// Sends logs to stderr from now on, for the whole process.
///
/// `filter` is a level (`info`) or a list of `target=level` as `tracing-subscriber` reads it.
///
/// # Errors
///
/// [`InitError::BadFilter`]: tell the operator what was wrong with it.
/// [`InitError::AlreadySet`]: logs keep going where they went.
pub fn init(format: LogFormat, filter: &str) -> Result<(), InitError> {
    let filter = parse(filter)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let set = match format {
        LogFormat::Text => {
            lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).finish().try_init()
        }
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    };
    set.map_err(|_| InitError::AlreadySet)
}

/// Says whether [`init`] would understand `filter`.
///
/// # Errors
///
/// [`InitError::BadFilter`], as [`init`] would give it.
pub fn check_filter(filter: &str) -> Result<(), InitError> {
    parse(filter).map(drop)
}

fn parse(filter: &str) -> Result<EnvFilter, InitError> {
    EnvFilter::try_new(filter).map_err(InitError::BadFilter)
}

/// Why logs could not be set up.
#[derive(Debug)]
pub enum InitError {
    /// The filter is not one.
    BadFilter(ParseError),
    /// Another subscriber was set before.
    AlreadySet,
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadFilter(cause) => {
                write!(f, "not a log filter such as info or weir=debug,info: {cause}")
            }
            Self::AlreadySet => f.write_str("logs were set up before"),
        }
    }
}

impl std::error::Error for InitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::BadFilter(cause) => Some(cause),
            Self::AlreadySet => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check_filter;

    #[test]
    fn levels_and_target_lists_are_filters() {
        assert!(check_filter("info").is_ok());
        assert!(check_filter("proxy=debug,info").is_ok());
    }

    #[test]
    fn a_filter_that_is_none_says_what_one_looks_like() {
        let error = check_filter("proxy=loudly").unwrap_err();
        assert!(error.to_string().starts_with("not a log filter such as info"), "{error}");
    }
}
