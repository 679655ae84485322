//! Encoders of server messages: what Weir says to clients by itself.

use crate::{
    CancelKey, TxStatus,
    encode::{count, message, text},
    tag,
};

/// OID of the type `text`, which needs no conversion in either format.
const TEXT: i32 = 25;

/// Appends a `ParameterStatus`.
pub fn put_parameter_status(out: &mut Vec<u8>, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
    message(out, tag::PARAMETER_STATUS, |out| {
        text(out, name);
        text(out, value);
    });
}

/// Appends a `BackendKeyData`.
///
/// Before protocol 3.2 the secret must have exactly 4 bytes.
pub fn put_backend_key(out: &mut Vec<u8>, key: &CancelKey) {
    message(out, tag::BACKEND_KEY, |out| key.put(out));
}

/// Appends a `ReadyForQuery`.
pub fn put_ready(out: &mut Vec<u8>, status: TxStatus) {
    message(out, tag::READY, |out| out.push(status.byte()));
}

/// Appends a `NegotiateProtocolVersion`: 3.`newest_minor` and what is not understood.
///
/// The manual says "newest minor version", but servers send and libpq expects the
/// whole number, the major version in its upper half.
pub fn put_negotiate(out: &mut Vec<u8>, newest_minor: u32, unsupported: &[&str]) {
    message(out, tag::NEGOTIATE, |out| {
        out.extend_from_slice(&(3 << 16 | newest_minor & 0xffff).to_be_bytes());
        let number = i32::try_from(unsupported.len()).unwrap_or(i32::MAX);
        out.extend_from_slice(&number.to_be_bytes());
        for name in unsupported {
            text(out, name);
        }
    });
}

/// Appends a `RowDescription` of text columns with these names.
pub fn put_row_description(out: &mut Vec<u8>, columns: &[&str]) {
    message(out, tag::ROW_DESCRIPTION, |out| {
        let fits = count(out, columns.len());
        for column in columns.iter().take(fits) {
            text(out, column);
            out.extend_from_slice(&[0; 6]); // no table, no column number
            out.extend_from_slice(&TEXT.to_be_bytes());
            out.extend_from_slice(&(-1_i16).to_be_bytes()); // variable width
            out.extend_from_slice(&(-1_i32).to_be_bytes()); // no type modifier
            out.extend_from_slice(&[0; 2]); // text format
        }
    });
}

/// Appends a `DataRow`; `None` is NULL.
pub fn put_data_row(out: &mut Vec<u8>, values: &[Option<&[u8]>]) {
    message(out, tag::DATA_ROW, |out| {
        let fits = count(out, values.len());
        for value in values.iter().take(fits) {
            let length = value.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap_or(i32::MAX));
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(value.unwrap_or_default());
        }
    });
}

/// Appends a `CommandComplete` with a tag like `SELECT 1`.
pub fn put_command_complete(out: &mut Vec<u8>, command: &str) {
    message(out, tag::COMMAND_COMPLETE, |out| text(out, command));
}

/// Appends a `ParseComplete`.
pub fn put_parse_complete(out: &mut Vec<u8>) {
    message(out, tag::PARSE_COMPLETE, |_| {});
}

/// Appends a `BindComplete`.
pub fn put_bind_complete(out: &mut Vec<u8>) {
    message(out, tag::BIND_COMPLETE, |_| {});
}

/// Appends a `CloseComplete`.
pub fn put_close_complete(out: &mut Vec<u8>) {
    message(out, tag::CLOSE_COMPLETE, |_| {});
}

/// Appends a `NoData`.
pub fn put_no_data(out: &mut Vec<u8>) {
    message(out, tag::NO_DATA, |_| {});
}

/// Appends a `ParameterDescription` of a statement without parameters.
pub fn put_parameter_description_empty(out: &mut Vec<u8>) {
    message(out, tag::PARAMETER_DESCRIPTION, |out| {
        count(out, 0);
    });
}

/// Appends an `EmptyQueryResponse`.
pub fn put_empty_query(out: &mut Vec<u8>) {
    message(out, tag::EMPTY_QUERY, |_| {});
}

/// Appends a `PortalSuspended`.
pub fn put_portal_suspended(out: &mut Vec<u8>) {
    message(out, tag::PORTAL_SUSPENDED, |_| {});
}
