//! Words for people; nobody is left to be told when an output is closed.

use std::io::{self, Write as _};

/// A line on standard output.
pub(crate) fn say(line: &str) {
    drop(writeln!(io::stdout().lock(), "sim: {line}"));
}

/// A line on standard error.
pub(crate) fn complain(line: &str) {
    drop(writeln!(io::stderr().lock(), "sim: {line}"));
}

/// A line as it is.
pub(crate) fn print(line: &str) {
    drop(writeln!(io::stdout().lock(), "{line}"));
}
