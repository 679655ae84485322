//! Routing wishes in a text's leading comment.

use std::fmt;

/// The pairs of a leading hint, in order.
#[derive(Clone, Debug)]
pub struct Hint<'a> {
    /// `key=value` pairs; a part that is not one is an error in its place.
    pub pairs: Pairs<'a>,
}

/// Iterates over a hint's `key=value` pairs.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    rest: &'a str,
}

/// A part of a hint that is not `key=value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HintError<'a> {
    /// The part as it was written.
    pub part: &'a str,
}

impl fmt::Display for HintError<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "hint part {:?} is not key=value", self.part)
    }
}

impl std::error::Error for HintError<'_> {}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<(&'a str, &'a str), HintError<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let (part, rest) = self.rest.split_once(',').unwrap_or((self.rest, ""));
            self.rest = rest;
            let part = part.trim();
            if part.is_empty() {
                continue;
            }
            return Some(match part.split_once('=') {
                Some((key, value)) if is_key(key.trim()) && !value.trim().is_empty() => {
                    Ok((key.trim(), value.trim()))
                }
                Some(_) | None => Err(HintError { part }),
            });
        }
    }
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// Reads the hint in `sql`'s first comment, if the text starts with one.
///
/// Understood are `/* weir: key=value, … */`, `/*NO LOAD BALANCE*/` (as `route=primary`) and
/// `/* pgdog_role: primary|replica */` (as `route=…`). Comments elsewhere are never read: user data may get there.
#[must_use]
pub fn leading_hint(sql: &str) -> Option<Hint<'_>> {
    let body =
        sql.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']).strip_prefix("/*")?;
    let body = body.split_once("*/")?.0;
    if body.contains("/*") {
        return None;
    }
    let body = body.trim();
    if body.eq_ignore_ascii_case("NO LOAD BALANCE") {
        return Some(Hint { pairs: Pairs { rest: "route=primary" } });
    }
    if let Some(rest) = body.strip_prefix("weir:") {
        return Some(Hint { pairs: Pairs { rest } });
    }
    match body.strip_prefix("pgdog_role:")?.trim() {
        "primary" => Some(Hint { pairs: Pairs { rest: "route=primary" } }),
        "replica" => Some(Hint { pairs: Pairs { rest: "route=replica" } }),
        other => Some(Hint { pairs: Pairs { rest: other } }),
    }
}
