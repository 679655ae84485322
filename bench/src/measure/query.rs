//! The statements that are asked, as bytes.

use std::fmt;

/// One account: what `pgbench -S` asks.
const ACCOUNT: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = ";

/// The prepared statement's name.
const NAME: &[u8] = b"account";

/// How an account is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// `Query`.
    Simple,
    /// `Bind`, `Execute`, `Sync` of a named statement.
    Prepared,
}

impl Asking {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Simple, Self::Prepared];

    /// What a connection sends once, before anything else; each gets one answer.
    #[must_use]
    pub fn beginning(self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Simple => wire::put_query(&mut out, b"SELECT 1"),
            Self::Prepared => {
                wire::put_parse(&mut out, NAME, format!("{ACCOUNT}$1").as_bytes(), &[]);
                wire::put_sync(&mut out);
            }
        }
        out
    }

    /// Replaces `out` by the request for an account.
    pub fn write(self, out: &mut Vec<u8>, account: u64) {
        use std::io::Write as _;
        out.clear();
        let mut text = [0_u8; 96];
        let mut rest = text.as_mut_slice();
        // Long enough for the statement and 20 digits.
        let _fits = match self {
            Self::Simple => write!(rest, "{ACCOUNT}{account}"),
            Self::Prepared => write!(rest, "{account}"),
        };
        let left = rest.len();
        let text = text.get(..text.len().saturating_sub(left)).unwrap_or_default();
        match self {
            Self::Simple => wire::put_query(out, text),
            Self::Prepared => {
                wire::put_bind(out, b"", NAME, &one_text_value(text));
                wire::put_execute(out, b"", 0);
                wire::put_sync(out);
            }
        }
    }
}

impl fmt::Display for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Simple => "simple",
            Self::Prepared => "prepared",
        })
    }
}

/// What follows the names in a Bind: a value in text format, results in text format.
fn one_text_value(value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(value.len()).unwrap_or(0);
    [&[0, 0, 0, 1], length.to_be_bytes().as_slice(), value, &[0, 0]].concat()
}

/// Accounts in an order that has no pattern, the same in each run.
#[must_use]
pub fn account(arrival: u64, accounts: u64) -> u64 {
    // Odd, so that all residues of a power of two come by.
    let mixed = arrival.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    mixed.checked_rem(accounts).unwrap_or(0).saturating_add(1)
}

/// A simple query.
#[must_use]
pub fn simple(sql: &str) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_query(&mut out, sql.as_bytes());
    out
}

/// Rows of 1,000 bytes, so many of them.
#[must_use]
pub fn large(rows: u32) -> Vec<u8> {
    simple(&format!("SELECT repeat('x', 1000) FROM generate_series(1, {rows})"))
}

/// What `bytes`, the messages of one whole cycle, ask of a known statement.
///
/// `statements` are the names under which it was prepared.
#[must_use]
pub fn known(bytes: &[u8], statements: &[Vec<u8>]) -> Option<Asking> {
    let (frame, rest) = wire::next_frame(bytes, usize::MAX).ok()??;
    match frame.tag {
        wire::ftag::QUERY => (rest.is_empty() && frame.body.starts_with(ACCOUNT.as_bytes()))
            .then_some(Asking::Simple),
        wire::ftag::BIND => {
            let mut names = frame.body.split(|byte| *byte == 0);
            let (portal, statement) = (names.next()?, names.next()?);
            let (execute, rest) = wire::next_frame(rest, usize::MAX).ok()??;
            let (sync, rest) = wire::next_frame(rest, usize::MAX).ok()??;
            let asked = portal.is_empty()
                && (execute.tag, sync.tag) == (wire::ftag::EXECUTE, wire::ftag::SYNC)
                && rest.is_empty()
                && statements.iter().any(|name| name == statement);
            asked.then_some(Asking::Prepared)
        }
        _ => None,
    }
}

/// The name that a `Parse` gives to the known statement.
#[must_use]
pub fn names_known(frame: &wire::Frame<'_>) -> Option<Vec<u8>> {
    let mut parts = frame.body.split(|byte| *byte == 0);
    let (name, sql) = (parts.next()?, parts.next()?);
    let known =
        frame.tag == wire::ftag::PARSE && sql.strip_suffix(b"$1") == Some(ACCOUNT.as_bytes());
    known.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(asking: Asking, account: u64) -> Vec<u8> {
        let mut out = vec![1, 2, 3];
        asking.write(&mut out, account);
        out
    }

    #[test]
    fn a_simple_request_is_one_query() {
        let mut expected = Vec::new();
        wire::put_query(&mut expected, format!("{ACCOUNT}{}", u64::MAX).as_bytes());
        assert_eq!(request(Asking::Simple, u64::MAX), expected);
    }

    #[test]
    fn a_prepared_request_binds_one_text_value() {
        let bytes = request(Asking::Prepared, 77);
        let (frame, _) = wire::next_frame(&bytes, 100).unwrap().unwrap();
        assert_eq!(frame.body, b"\0account\0\0\0\0\x01\0\0\0\x0277\0\0");
    }

    #[test]
    fn accounts_stay_in_bounds_and_are_spread() {
        let drawn: std::collections::BTreeSet<_> = (0..1_000).map(|k| account(k, 1_000)).collect();
        assert!(drawn.iter().all(|account| (1..=1_000).contains(account)));
        assert!(drawn.len() > 500, "{}", drawn.len());
        assert_eq!(account(5, 0), 1);
    }

    #[test]
    fn only_whole_cycles_of_the_known_statement_are_known() {
        let names = [b"account".to_vec()];
        assert_eq!(known(&request(Asking::Simple, 1), &[]), Some(Asking::Simple));
        assert_eq!(known(&request(Asking::Prepared, 1), &names), Some(Asking::Prepared));
        assert_eq!(known(&request(Asking::Prepared, 1), &[]), None);
        assert_eq!(known(&simple("SELECT 1"), &names), None);
        let two = [request(Asking::Simple, 1), simple("SELECT 1")].concat();
        assert_eq!(known(&two, &names), None);
        let prepared = request(Asking::Prepared, 1);
        assert_eq!(known(&prepared[..prepared.len() - 5], &names), None);
    }

    #[test]
    fn a_parse_of_the_known_statement_tells_its_name() {
        let bytes = Asking::Prepared.beginning();
        let (frame, _) = wire::next_frame(&bytes, 200).unwrap().unwrap();
        assert_eq!(names_known(&frame), Some(NAME.to_vec()));
        let mut other = Vec::new();
        wire::put_parse(&mut other, b"x", b"SELECT $1", &[]);
        let (frame, _) = wire::next_frame(&other, 200).unwrap().unwrap();
        assert_eq!(names_known(&frame), None);
    }
}
