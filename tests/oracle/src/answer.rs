//! What a server answered, reduced to what can be compared.

use std::hash::{DefaultHasher, Hash, Hasher};

use wire::{Frame, TxStatus, tag};

/// An `ErrorResponse`, without what says where it was raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// SQLSTATE.
    pub(crate) code: String,
    /// The primary message.
    pub(crate) message: String,
}

/// All that came between a request and its `ReadyForQuery`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    /// Rows, or lines of COPY.
    pub(crate) rows: u64,
    /// A sum over rows and their descriptions, so that the order of rows does not count.
    pub(crate) sum: u64,
    /// The first row, for people.
    pub(crate) first: String,
    /// The first error.
    pub(crate) failure: Option<Failure>,
    /// `None` when the connection ended instead.
    pub(crate) status: Option<TxStatus>,
}

impl Answer {
    /// Takes one more message of the answer.
    pub(crate) fn note(&mut self, frame: &Frame<'_>) {
        match frame.tag {
            tag::DATA_ROW | tag::COPY_DATA => {
                self.rows = self.rows.saturating_add(1);
                self.add(frame);
                if self.rows == 1 {
                    self.first = shown(frame.body);
                }
            }
            tag::ROW_DESCRIPTION => self.add(frame),
            tag::ERROR if self.failure.is_none() => self.failure = Some(Failure::read(frame.body)),
            tag::READY => self.status = wire::ready_status(frame.body).ok(),
            _ => {}
        }
    }

    /// Whether it ended without an error.
    pub(crate) const fn is_ok(&self) -> bool {
        self.failure.is_none() && self.status.is_some()
    }

    /// Whether rows and columns are the same, in whatever order.
    pub(crate) const fn is_like(&self, other: &Self) -> bool {
        self.rows == other.rows && self.sum == other.sum
    }

    /// SQLSTATE, `ok`, or `lost`.
    pub(crate) fn outcome(&self) -> &str {
        match (&self.failure, self.status) {
            (Some(failure), _) => &failure.code,
            (None, Some(_)) => "ok",
            (None, None) => "lost",
        }
    }

    fn add(&mut self, frame: &Frame<'_>) {
        let mut hasher = DefaultHasher::new();
        frame.bytes.hash(&mut hasher);
        self.sum = self.sum.wrapping_add(hasher.finish());
    }
}

impl Failure {
    fn read(body: &[u8]) -> Self {
        let fields = wire::parse_error(body);
        let message = String::from_utf8_lossy(fields.message).into_owned();
        Self { code: fields.code.as_str().to_owned(), message }
    }
}

/// A row's bytes with all that is no text as spaces, not too many of them.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let words = text.split(|it: char| it.is_control() || it == '\u{fffd}');
    let joined = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    joined.chars().take(80).collect()
}
