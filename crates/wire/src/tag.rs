//! First bytes of the messages that servers send ("Message Formats" in the manual).

/// `ReadyForQuery`: a cycle's last message.
pub const READY: u8 = b'Z';
/// `CommandComplete`.
pub const COMMAND_COMPLETE: u8 = b'C';
/// `ErrorResponse`.
pub const ERROR: u8 = b'E';
/// `NoticeResponse`: may come at any time.
pub const NOTICE: u8 = b'N';
/// `ParameterStatus`: may come at any time.
pub const PARAMETER_STATUS: u8 = b'S';
/// `RowDescription`.
pub const ROW_DESCRIPTION: u8 = b'T';
/// `DataRow`.
pub const DATA_ROW: u8 = b'D';
/// `ParseComplete`.
pub const PARSE_COMPLETE: u8 = b'1';
/// `BindComplete`.
pub const BIND_COMPLETE: u8 = b'2';
/// `CloseComplete`.
pub const CLOSE_COMPLETE: u8 = b'3';
/// `NoData`: the statement described returns no rows.
pub const NO_DATA: u8 = b'n';
/// `ParameterDescription`.
pub const PARAMETER_DESCRIPTION: u8 = b't';
/// `PortalSuspended`: Execute's row limit was reached.
pub const PORTAL_SUSPENDED: u8 = b's';
/// `EmptyQueryResponse`: stands in for `CommandComplete`.
pub const EMPTY_QUERY: u8 = b'I';
/// `CopyInResponse`: the server now waits for data.
pub const COPY_IN: u8 = b'G';
/// `CopyOutResponse`.
pub const COPY_OUT: u8 = b'H';
/// `CopyBothResponse`: replication only.
pub const COPY_BOTH: u8 = b'W';
/// `CopyData`.
pub const COPY_DATA: u8 = b'd';
/// `CopyDone`.
pub const COPY_DONE: u8 = b'c';
/// every authentication request.
pub const AUTHENTICATION: u8 = b'R';
/// `BackendKeyData`.
pub const BACKEND_KEY: u8 = b'K';
/// `NegotiateProtocolVersion`.
pub const NEGOTIATE: u8 = b'v';
/// `NotificationResponse`: may come at any time.
pub const NOTIFICATION: u8 = b'A';
/// `FunctionCallResponse`.
pub const FUNCTION_RESULT: u8 = b'V';
