//! Messages of clients, one function each: `[parse("s", "SELECT 1"), sync()].concat()`.

use wire::Described;

fn message(put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out);
    out
}

/// Query.
#[must_use]
pub fn query(sql: &str) -> Vec<u8> {
    message(|out| wire::put_query(out, sql.as_bytes()))
}

/// Parse, without parameter types.
#[must_use]
pub fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(|out| wire::put_parse(out, name.as_bytes(), sql.as_bytes(), &[]))
}

/// Bind without parameters, results as text.
#[must_use]
pub fn bind(portal: &str, statement: &str) -> Vec<u8> {
    message(|out| wire::put_bind(out, portal.as_bytes(), statement.as_bytes(), &[0; 6]))
}

/// Describe of a statement.
#[must_use]
pub fn describe(statement: &str) -> Vec<u8> {
    message(|out| wire::put_describe(out, Described::Statement, statement.as_bytes()))
}

/// Describe of a portal.
#[must_use]
pub fn describe_portal(portal: &str) -> Vec<u8> {
    message(|out| wire::put_describe(out, Described::Portal, portal.as_bytes()))
}

/// Execute; 0 rows are all.
#[must_use]
pub fn execute(portal: &str, rows: i32) -> Vec<u8> {
    message(|out| wire::put_execute(out, portal.as_bytes(), rows))
}

/// Close of a statement.
#[must_use]
pub fn close(statement: &str) -> Vec<u8> {
    message(|out| wire::put_close(out, Described::Statement, statement.as_bytes()))
}

/// Flush.
#[must_use]
pub fn flush() -> Vec<u8> {
    message(wire::put_flush)
}

/// Sync.
#[must_use]
pub fn sync() -> Vec<u8> {
    message(wire::put_sync)
}

/// Any message by its parts.
#[must_use]
pub fn raw(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).saturating_add(4);
    [&[tag], &length.to_be_bytes()[..], body].concat()
}
