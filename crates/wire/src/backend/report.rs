//! Errors and notices ("Error and Notice Message Fields" in the manual).

use std::fmt;

use crate::{
    SqlState,
    cursor::Cursor,
    encode::{message, text},
    tag,
};

/// How bad it is, and whether the session lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The statement failed; the session lives.
    Error,
    /// The session ends.
    Fatal,
    /// Something to look at.
    Warning,
    /// Something to know.
    Notice,
}

impl Severity {
    /// The word that stands for it, in English as in the field `V`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Warning => "WARNING",
            Self::Notice => "NOTICE",
        }
    }
}

/// An error or a notice of Weir's own.
///
/// Texts are cut at a NUL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report<'a> {
    /// Error or Fatal for [`put_error`], Warning or Notice for [`put_notice`].
    pub severity: Severity,
    /// What programs act on.
    pub code: SqlState,
    /// One line for people.
    pub message: &'a str,
    /// More about this case.
    pub detail: Option<&'a str>,
    /// What to do next.
    pub hint: Option<&'a str>,
    /// The function in PostgreSQL's source that tells it, for clients that go by that.
    pub routine: Option<&'a str>,
}

/// Appends an `ErrorResponse`.
pub fn put_error(out: &mut Vec<u8>, report: &Report<'_>) {
    put(out, tag::ERROR, report);
}

/// Appends a `NoticeResponse`.
pub fn put_notice(out: &mut Vec<u8>, report: &Report<'_>) {
    put(out, tag::NOTICE, report);
}

fn put(out: &mut Vec<u8>, tag: u8, report: &Report<'_>) {
    let severity = Some(report.severity.as_str());
    message(out, tag, |out| {
        for (field, value) in [
            (b'S', severity),
            (b'V', severity),
            (b'C', Some(report.code.as_str())),
            (b'M', Some(report.message)),
            (b'D', report.detail),
            (b'H', report.hint),
            (b'R', report.routine),
        ] {
            if let Some(value) = value {
                out.push(field);
                text(out, value);
            }
        }
        out.push(0);
    });
}

/// What a server's error or notice says; texts are in the client's encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorFields<'a> {
    /// In English where the server says so (9.6 and later), else translated.
    pub severity: &'a [u8],
    /// `XX000` if there is none.
    pub code: SqlState,
    /// One line for people.
    pub message: &'a [u8],
    /// More about this case.
    pub detail: Option<&'a [u8]>,
    /// What to do next.
    pub hint: Option<&'a [u8]>,
    /// The function in the server's source that told it: the same in all languages.
    pub routine: &'a [u8],
}

impl ErrorFields<'_> {
    /// Whether the server ends the session with it.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self.severity, b"FATAL" | b"PANIC")
    }
}

/// `FATAL 57P03: the database system is starting up`, for logs.
impl fmt::Display for ErrorFields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = String::from_utf8_lossy(self.severity);
        let message = String::from_utf8_lossy(self.message);
        write!(f, "{severity} {}: {message}", self.code)
    }
}

/// Reads the body of an `ErrorResponse` or `NoticeResponse`, cut off or not.
#[must_use]
pub fn parse_error(body: &[u8]) -> ErrorFields<'_> {
    let mut fields = ErrorFields {
        severity: b"ERROR",
        code: SqlState::INTERNAL_ERROR,
        message: b"",
        detail: None,
        hint: None,
        routine: b"",
    };
    let mut in_english = false;
    let mut cursor = Cursor::new(body);
    while let Some(field) = cursor.byte().filter(|&field| field != 0) {
        // In a message that was cut off, the last text has no end.
        let cut_off = cursor.rest();
        let value = cursor.cstr();
        let text = value.unwrap_or(cut_off);
        match field {
            b'S' if !in_english => fields.severity = text,
            b'V' => (fields.severity, in_english) = (text, true),
            b'C' => fields.code = SqlState::parse(text).unwrap_or(fields.code),
            b'M' => fields.message = text,
            b'D' => fields.detail = Some(text),
            b'H' => fields.hint = Some(text),
            b'R' => fields.routine = text,
            _ => {}
        }
        if value.is_none() {
            break;
        }
    }
    fields
}
