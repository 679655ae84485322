//! Where frames end.

use proptest::prelude::*;
use wire::{Frame, FrameError, Header, next_frame, peek_header};

use crate::common as any;

#[test]
fn an_incomplete_header_or_body_asks_for_more() {
    let whole = b"Q\0\0\0\x06ab";
    for cut in 0..whole.len() {
        assert_eq!(next_frame(&whole[..cut], 2), Ok(None), "{cut} bytes");
    }
    assert_eq!(peek_header(&whole[..4], 2), Ok(None));
    assert_eq!(peek_header(&whole[..5], 2), Ok(Some(Header { tag: b'Q', body_len: 2 })));
}

#[test]
fn a_body_exactly_at_the_limit_is_accepted() {
    let frame = Frame { tag: b'Q', body: b"ab", bytes: b"Q\0\0\0\x06ab" };
    assert_eq!(next_frame(b"Q\0\0\0\x06abc", 2), Ok(Some((frame, &b"c"[..]))));
    let error = FrameError::TooLong { tag: b'Q', length: 2, limit: 1 };
    assert_eq!(next_frame(b"Q\0\0\0\x06", 1), Err(error));
}

#[test]
fn an_empty_body_is_a_frame() {
    let frame = Frame { tag: b'S', body: b"", bytes: b"S\0\0\0\x04" };
    assert_eq!(next_frame(b"S\0\0\0\x04", 0), Ok(Some((frame, &b""[..]))));
}

#[test]
fn a_length_smaller_than_its_own_field_is_refused() {
    for length in [3, 0, -1, i32::MIN] {
        let mut bytes = vec![b'Q'];
        bytes.extend(length.to_be_bytes());
        let error = FrameError::BadLength { tag: b'Q', length };
        assert_eq!(next_frame(&bytes, usize::MAX), Err(error));
        assert_eq!(peek_header(&bytes, usize::MAX), Err(error));
    }
}

#[test]
fn the_largest_length_is_only_a_long_message() {
    let header = Header { tag: b'D', body_len: 0x7fff_fffb };
    assert_eq!(peek_header(b"D\x7f\xff\xff\xff", usize::MAX), Ok(Some(header)));
    assert_eq!(next_frame(b"D\x7f\xff\xff\xff", usize::MAX), Ok(None));
}

#[test]
fn errors_name_the_message_type_also_when_it_is_not_printable() {
    let error = FrameError::TooLong { tag: 0xff, length: 7, limit: 3 };
    let text = "message of type \\xff has 7 bytes, more than the 3 accepted";
    assert_eq!(error.to_string(), text);
}

proptest! {
    #[test]
    fn frames_in_a_row_come_out_one_by_one(
        messages in proptest::collection::vec((any::<u8>(), any::bytes()), 0..8)
    ) {
        let mut bytes = Vec::new();
        for (tag, body) in &messages {
            bytes.push(*tag);
            bytes.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
            bytes.extend(body);
        }
        let mut rest = &bytes[..];
        for (tag, body) in &messages {
            let (frame, after) = next_frame(rest, body.len()).unwrap().unwrap();
            prop_assert_eq!((frame.tag, frame.body), (*tag, &body[..]));
            prop_assert_eq!(frame.bytes, &rest[..body.len() + 5]);
            rest = after;
        }
        prop_assert!(rest.is_empty());
    }
}
