//! First bytes of the messages that clients send ("Message Formats" in the manual).

/// Query: SQL text, any number of statements.
pub const QUERY: u8 = b'Q';
/// Parse.
pub const PARSE: u8 = b'P';
/// Bind.
pub const BIND: u8 = b'B';
/// Describe.
pub const DESCRIBE: u8 = b'D';
/// Execute.
pub const EXECUTE: u8 = b'E';
/// Close.
pub const CLOSE: u8 = b'C';
/// Flush.
pub const FLUSH: u8 = b'H';
/// Sync: ends a group of extended messages.
pub const SYNC: u8 = b'S';
/// `CopyData`.
pub const COPY_DATA: u8 = b'd';
/// `CopyDone`.
pub const COPY_DONE: u8 = b'c';
/// `CopyFail`.
pub const COPY_FAIL: u8 = b'f';
/// `FunctionCall`.
pub const FUNCTION_CALL: u8 = b'F';
/// Terminate.
pub const TERMINATE: u8 = b'X';
/// `PasswordMessage`, `SASLInitialResponse` and `SASLResponse`.
pub const PASSWORD: u8 = b'p';
