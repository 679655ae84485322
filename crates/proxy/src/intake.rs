//! Where does a cycle end? Splits what a client sent, without reading what it means.

use wire::{FrameError, ftag, peek_header};

/// Bytes gathered before a cycle must be routed undecided, as a write.
pub(crate) const GATHER: usize = 256 * 1024;
/// A `Parse` is gathered whole up to this size: its text must be known to be prepared elsewhere.
pub(crate) const GATHER_PARSE: usize = 16 * 1024 * 1024;
/// Of a message larger than that, what must be there: it begins with the names that are rewritten.
const HEAD: usize = 16 * 1024;
const HEADER: usize = 5;

/// What stands at the start of a client's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gathered {
    /// Nothing that can be used yet: read more.
    More,
    /// This many bytes belong to no cycle (COPY data behind a COPY that failed): skip them.
    Stray(usize),
    /// `Terminate`.
    Terminate,
    /// No client may send this, or not now: tell it and close.
    Unknown(u8),
    /// This many bytes form a cycle, or a part of one.
    Cycle { length: usize, end: End },
}

/// How a run of messages ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// `Query` or `FunctionCall`: the server answers with `ReadyForQuery` by itself.
    Query,
    /// `Sync`.
    Sync,
    /// `Flush` behind messages that only prepare and describe statements: they can be closed by a
    /// `Sync` of Weir's own, so that what runs them is routed by what it does.
    Prepared,
    /// `Flush`, or more bytes than are gathered: the group stays open.
    Open,
    /// The beginning of one message too large to gather; so many bytes of it are still to come.
    Cut { missing: usize },
}

/// Finds the cycle at the start of `buf`.
///
/// # Errors
///
/// [`FrameError`]: the stream can't be trusted any more; tell the client and close.
pub(crate) fn gather(buf: &[u8], max_body: usize) -> Result<Gathered, FrameError> {
    let mut length = 0_usize;
    let mut prepares = true;
    loop {
        let rest = buf.get(length..).unwrap_or_default();
        let Some(header) = peek_header(rest, max_body)? else { break };
        let total = header.body_len.saturating_add(HEADER);
        let end = match header.tag {
            ftag::QUERY | ftag::FUNCTION_CALL => Some(End::Query),
            ftag::SYNC => Some(End::Sync),
            ftag::FLUSH if prepares => Some(End::Prepared),
            ftag::FLUSH => Some(End::Open),
            ftag::TERMINATE if length == 0 => return Ok(Gathered::Terminate),
            ftag::TERMINATE => return Ok(Gathered::Cycle { length, end: End::Open }),
            ftag::PARSE
            | ftag::BIND
            | ftag::DESCRIBE
            | ftag::EXECUTE
            | ftag::CLOSE
            | ftag::COPY_DATA
            | ftag::COPY_DONE
            | ftag::COPY_FAIL => None,
            unknown if length == 0 => return Ok(Gathered::Unknown(unknown)),
            _ => return Ok(Gathered::Cycle { length, end: End::Open }),
        };
        if rest.len() < total {
            let limit = if header.tag == ftag::PARSE { GATHER_PARSE } else { GATHER };
            return Ok(unfinished(length, rest.len(), total, limit));
        }
        if matches!(header.tag, ftag::COPY_DATA | ftag::COPY_DONE | ftag::COPY_FAIL) {
            // Ignored outside of COPY, as the server does (manual, 55.2.6).
            return Ok(if length == 0 {
                Gathered::Stray(total)
            } else {
                Gathered::Cycle { length, end: End::Open }
            });
        }
        prepares &= match header.tag {
            ftag::PARSE => true,
            // The kind of name: a statement's.
            ftag::DESCRIBE | ftag::CLOSE => rest.get(HEADER) == Some(&b'S'),
            _ => false,
        };
        length = length.saturating_add(total);
        match end {
            Some(end) => return Ok(Gathered::Cycle { length, end }),
            None if length >= GATHER => return Ok(Gathered::Cycle { length, end: End::Open }),
            None => {}
        }
    }
    Ok(Gathered::More)
}

/// A message whose end is not there yet, behind `before` bytes of whole ones.
fn unfinished(before: usize, there: usize, total: usize, limit: usize) -> Gathered {
    if before.saturating_add(total) <= limit {
        return Gathered::More;
    }
    if before > 0 {
        return Gathered::Cycle { length: before, end: End::Open };
    }
    if there < HEAD {
        return Gathered::More;
    }
    Gathered::Cycle { length: there, end: End::Cut { missing: total.saturating_sub(there) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1 << 30;

    fn frame(tag: u8, body: usize) -> Vec<u8> {
        let mut bytes = vec![tag];
        bytes.extend_from_slice(
            &u32::try_from(body.saturating_add(4)).expect("a small test frame").to_be_bytes(),
        );
        bytes.resize(body.saturating_add(HEADER), b'x');
        bytes
    }

    #[test]
    fn a_group_ends_at_its_sync_and_the_next_one_stays() {
        let mut bytes = [frame(b'P', 10), frame(b'B', 10), frame(b'S', 0)].concat();
        let length = bytes.len();
        bytes.extend(frame(b'Q', 3));
        assert_eq!(gather(&bytes, MAX), Ok(Gathered::Cycle { length, end: End::Sync }));
        assert_eq!(gather(&bytes[..length - 1], MAX), Ok(Gathered::More));
    }

    #[test]
    fn a_flush_leaves_the_group_open() {
        let bytes = [frame(b'P', 10), frame(b'B', 10), frame(b'H', 0)].concat();
        let open = Gathered::Cycle { length: bytes.len(), end: End::Open };
        assert_eq!(gather(&bytes, MAX), Ok(open));
        // `x` is no kind of name; a portal's is not enough either.
        let bytes = [frame(b'P', 10), frame(b'D', 2), frame(b'H', 0)].concat();
        let open = Gathered::Cycle { length: bytes.len(), end: End::Open };
        assert_eq!(gather(&bytes, MAX), Ok(open));
    }

    #[test]
    fn a_flush_behind_what_only_prepares_may_be_closed() {
        let mut describe = frame(b'D', 2);
        describe[HEADER] = b'S';
        let bytes = [frame(b'P', 10), describe, frame(b'H', 0)].concat();
        let prepared = Gathered::Cycle { length: bytes.len(), end: End::Prepared };
        assert_eq!(gather(&bytes, MAX), Ok(prepared));
    }

    #[test]
    fn copy_data_behind_a_failed_copy_is_stray() {
        assert_eq!(gather(&frame(b'd', 3), MAX), Ok(Gathered::Stray(8)));
    }

    #[test]
    fn a_message_too_large_to_gather_is_cut_once_its_head_is_there() {
        let bytes = frame(b'Q', GATHER);
        assert_eq!(gather(&bytes[..HEAD - 1], MAX), Ok(Gathered::More));
        let end = End::Cut { missing: GATHER + HEADER - HEAD };
        assert_eq!(gather(&bytes[..HEAD], MAX), Ok(Gathered::Cycle { length: HEAD, end }));
    }

    #[test]
    fn a_message_beyond_max_packet_size_is_an_error() {
        assert!(gather(&frame(b'Q', 100)[..HEADER], 99).is_err());
    }
}
