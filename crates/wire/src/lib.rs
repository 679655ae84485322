//! Postgres protocol 3.0 and 3.2: bytes to messages and back, without I/O.
//!
//! Knows frames, the startup family, what clients and servers say, SQLSTATEs and
//! the password exchanges. Does not know sockets, time, randomness (nonces and
//! salts are arguments) or SQL. Nothing here panics on what a peer sent.
//!
//! - [`frame`](next_frame), [`reply`](ReplyScanner): where messages begin and end
//! - [`startup`](next_startup): what comes before the first tagged message
//! - [`frontend`](parse_frontend), [`backend`](parse_error): one message in detail
//! - [`scram`](ServerExchange), [`md5_password`]: proving a password
//!
//! Every encoder appends to a `Vec<u8>`, so that messages pipeline into one write.

pub mod ftag;
pub mod tag;

mod backend;
mod cursor;
mod encode;
mod frame;
mod frontend;
mod md5;
mod message;
mod prepared;
mod reply;
mod scram;
mod sqlstate;
mod startup;

pub use backend::{
    Authentication, ErrorFields, Mechanisms, Negotiation, Report, Severity, TxStatus, backend_key,
    command_tag, parameter_status, parse_authentication, parse_error, parse_negotiate,
    put_auth_cleartext, put_auth_md5, put_auth_ok, put_auth_sasl, put_auth_sasl_continue,
    put_auth_sasl_final, put_backend_key, put_bind_complete, put_close_complete,
    put_command_complete, put_data_row, put_empty_query, put_error, put_negotiate, put_no_data,
    put_notice, put_parameter_description_empty, put_parameter_status, put_parse_complete,
    put_portal_suspended, put_ready, put_row_description, ready_status,
};
pub use frame::{Frame, FrameError, Header, next_frame, peek_header};
pub use frontend::{
    Described, Formats, Frontend, SaslInitial, bind_result_formats, bind_values, parse_frontend,
    parse_password, parse_sasl_initial, put_bind, put_close, put_copy_fail, put_describe,
    put_execute, put_flush, put_parse, put_password, put_query, put_sasl_initial,
    put_sasl_response, put_sync, put_terminate,
};
pub use md5::md5_password;
pub use message::MessageError;
pub use prepared::{ServerName, server_name};
pub use reply::{Interest, ReplyScanner, Step};
pub use scram::{
    ClientExchange, ClientFinal, ClientKey, Credentials, MAX_ITERATIONS, SCRAM_SHA_256, ScramError,
    ServerExchange, ServerKey, Verifier,
};
pub use sqlstate::SqlState;
pub use startup::{
    CancelKey, DIRECT_TLS, StartupError, StartupMessage, StartupPacket, Stranger, next_startup,
    parse_options, put_cancel, put_ssl_request, put_startup,
};
