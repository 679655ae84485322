//! Finds the end of a server's answer.

use std::io;

use wire::{Interest, ReplyScanner, Step, tag};

const INTEREST: Interest = Interest::of(&[tag::READY, tag::ERROR]);
const READY: Interest = Interest::of(&[tag::READY]);

/// The part of an answer that came so far.
#[derive(Debug, Default)]
pub struct Reply {
    scanner: ReplyScanner,
    /// Less than one message, unless that is an error.
    rest: Vec<u8>,
}

impl Reply {
    /// Takes what was read; how many `ReadyForQuery` were in it.
    ///
    /// # Errors
    ///
    /// What the server told, or that it left the protocol: drop the connection.
    pub fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.scan(bytes, INTEREST)
    }

    /// The same for who does not care about errors, or about a stream that can't be read.
    pub fn count(&mut self, bytes: &[u8]) -> usize {
        self.scan(bytes, READY).unwrap_or(0)
    }

    fn scan(&mut self, bytes: &[u8], interest: Interest) -> io::Result<usize> {
        if self.rest.is_empty() {
            let (ready, left) = scan(&mut self.scanner, bytes, interest)?;
            self.rest.extend_from_slice(left);
            return Ok(ready);
        }
        self.rest.extend_from_slice(bytes);
        let (ready, left) = scan(&mut self.scanner, &self.rest, interest)?;
        let gone = self.rest.len().saturating_sub(left.len());
        self.rest.drain(..gone);
        Ok(ready)
    }
}

fn scan<'b>(
    scanner: &mut ReplyScanner,
    bytes: &'b [u8],
    interest: Interest,
) -> io::Result<(usize, &'b [u8])> {
    let (mut ready, mut left) = (0_usize, bytes);
    loop {
        let step = scanner.next(left, interest, false).map_err(io::Error::other)?;
        let length = match step {
            Step::More => return Ok((ready, left)),
            Step::Pass(length) => length,
            Step::Message { frame, .. } if frame.tag == tag::ERROR => {
                return Err(io::Error::other(wire::parse_error(frame.body).to_string()));
            }
            Step::Message { frame, .. } => {
                ready = ready.saturating_add(1);
                frame.bytes.len()
            }
        };
        left = left.get(length..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Vec<u8> {
        let mut out = Vec::new();
        wire::put_data_row(&mut out, &[Some(b"Z\0\0\0\x05I")]);
        wire::put_command_complete(&mut out, "SELECT 1");
        wire::put_ready(&mut out, wire::TxStatus::Idle);
        out
    }

    #[test]
    fn an_answer_is_found_however_it_was_cut() {
        let both = [answer(), answer()].concat();
        for size in 1..=both.len() {
            let mut reply = Reply::default();
            let ready: usize = both.chunks(size).map(|part| reply.take(part).unwrap()).sum();
            assert_eq!(ready, 2, "in parts of {size}");
        }
    }

    #[test]
    fn an_error_is_told_and_not_taken_for_an_answer() {
        let mut out = Vec::new();
        wire::put_error(
            &mut out,
            &wire::Report {
                severity: wire::Severity::Error,
                code: wire::SqlState::parse(b"42P01").unwrap(),
                message: "no such table",
                detail: None,
                hint: None,
                routine: None,
            },
        );
        out.extend(answer());
        let error = Reply::default().take(&out).unwrap_err().to_string();
        assert!(error.contains("no such table"), "{error}");
    }
}
