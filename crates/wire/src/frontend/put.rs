//! Encoders of client messages: what Weir says to servers.
//!
//! Names and SQL are written unchanged. They come from C strings; if one held a
//! NUL all the same, the server would refuse the message rather than run a part.

use crate::{
    Described,
    encode::{count, cstr, message, text},
    ftag,
};

/// Appends a Query.
pub fn put_query(out: &mut Vec<u8>, sql: &[u8]) {
    message(out, ftag::QUERY, |out| cstr(out, sql));
}

/// Appends a Parse; `types` are OIDs of 4 bytes each, 65,535 at most.
pub fn put_parse(out: &mut Vec<u8>, name: &[u8], sql: &[u8], types: &[u8]) {
    message(out, ftag::PARSE, |out| {
        cstr(out, name);
        cstr(out, sql);
        let (oids, _) = types.as_chunks::<4>();
        let fits = count(out, oids.len());
        out.extend(oids.iter().take(fits).flatten());
    });
}

/// Appends a Bind; `rest` is what followed the statement name in the client's.
pub fn put_bind(out: &mut Vec<u8>, portal: &[u8], statement: &[u8], rest: &[u8]) {
    message(out, ftag::BIND, |out| {
        cstr(out, portal);
        cstr(out, statement);
        out.extend_from_slice(rest);
    });
}

/// Appends a Describe.
pub fn put_describe(out: &mut Vec<u8>, kind: Described, name: &[u8]) {
    named(out, ftag::DESCRIBE, kind, name);
}

/// Appends an Execute; `max_rows` 0 means all.
pub fn put_execute(out: &mut Vec<u8>, portal: &[u8], max_rows: i32) {
    message(out, ftag::EXECUTE, |out| {
        cstr(out, portal);
        out.extend_from_slice(&max_rows.to_be_bytes());
    });
}

/// Appends a Close.
pub fn put_close(out: &mut Vec<u8>, kind: Described, name: &[u8]) {
    named(out, ftag::CLOSE, kind, name);
}

/// Appends a Sync.
pub fn put_sync(out: &mut Vec<u8>) {
    message(out, ftag::SYNC, |_| {});
}

/// Appends a Flush.
pub fn put_flush(out: &mut Vec<u8>) {
    message(out, ftag::FLUSH, |_| {});
}

/// Appends a Terminate.
pub fn put_terminate(out: &mut Vec<u8>) {
    message(out, ftag::TERMINATE, |_| {});
}

/// Appends a `CopyFail`; the server's error quotes `reason`.
pub fn put_copy_fail(out: &mut Vec<u8>, reason: impl AsRef<[u8]>) {
    message(out, ftag::COPY_FAIL, |out| text(out, reason));
}

fn named(out: &mut Vec<u8>, tag: u8, kind: Described, name: &[u8]) {
    message(out, tag, |out| {
        out.push(kind.byte());
        cstr(out, name);
    });
}
