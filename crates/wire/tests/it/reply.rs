//! The scanner sees the same messages however the stream is cut.

use proptest::{collection::vec, prelude::*};
use wire::{FrameError, Interest, ReplyScanner, Step, tag};

const INTEREST: Interest = Interest::of(b"ZCSE");

fn put(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    out.push(tag);
    out.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    out.extend(body);
}

fn stream(messages: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (tag, body) in messages {
        put(&mut out, *tag, body);
    }
    out
}

/// A message of interest: its tag, the part of its body that was there, the rest's length.
type Seen = (u8, Vec<u8>, usize);

/// Relays as the proxy does: a buffer of `capacity`, filled by reads of `reads` bytes.
fn relay(stream: &[u8], reads: &[usize], capacity: usize) -> (Vec<u8>, Vec<Seen>) {
    let (mut out, mut seen, mut buf) = (Vec::new(), Vec::new(), Vec::new());
    let mut scanner = ReplyScanner::default();
    let mut rest = stream;
    for read in reads.iter().cycle() {
        let take = (*read).min(capacity - buf.len()).min(rest.len());
        buf.extend(&rest[..take]);
        rest = &rest[take..];
        loop {
            let used = match scanner.next(&buf, INTEREST, buf.len() == capacity).unwrap() {
                Step::More => break,
                Step::Pass(n) => {
                    assert!(n > 0, "a step must move");
                    n
                }
                Step::Message { frame, missing } => {
                    assert!(INTEREST.has(frame.tag));
                    seen.push((frame.tag, frame.body.to_vec(), missing));
                    frame.bytes.len()
                }
            };
            out.extend(buf.drain(..used));
        }
        if rest.is_empty() {
            break;
        }
    }
    assert!(buf.is_empty() && scanner.is_idle(), "whole messages leave nothing behind");
    (out, seen)
}

fn wanted(messages: &[(u8, Vec<u8>)]) -> Vec<Seen> {
    let of_interest = messages.iter().filter(|(tag, _)| INTEREST.has(*tag));
    of_interest.map(|(tag, body)| (*tag, body.clone(), 0)).collect()
}

fn reply() -> Vec<(u8, Vec<u8>)> {
    vec![
        (tag::ROW_DESCRIPTION, b"columns".to_vec()),
        (tag::DATA_ROW, b"one".to_vec()),
        (tag::DATA_ROW, vec![]),
        (tag::DATA_ROW, b"three with more bytes than a header".to_vec()),
        (tag::COMMAND_COMPLETE, b"SELECT 3\0".to_vec()),
        (tag::PARAMETER_STATUS, b"a\0b\0".to_vec()),
        (tag::PARSE_COMPLETE, vec![]),
        (tag::READY, b"I".to_vec()),
    ]
}

#[test]
fn every_split_in_three_yields_what_the_whole_yields() {
    let messages = reply();
    let bytes = stream(&messages);
    for first in 1..bytes.len() {
        for second in 1..=bytes.len() - first {
            let (out, seen) = relay(&bytes, &[first, second, bytes.len()], 4096);
            assert_eq!((out, seen), (bytes.clone(), wanted(&messages)), "{first} then {second}");
        }
    }
}

#[test]
fn every_size_of_read_yields_what_the_whole_yields() {
    let messages = reply();
    let bytes = stream(&messages);
    for read in 1..bytes.len() {
        assert_eq!(relay(&bytes, &[read], 4096), (bytes.clone(), wanted(&messages)), "{read}");
    }
}

#[test]
fn rows_and_the_start_of_another_are_one_step() {
    let mut bytes = stream(&reply());
    let ready = bytes.len() - 6;
    let complete = stream(&reply()[..4]).len();
    assert_eq!(ReplyScanner::default().next(&bytes, INTEREST, false), Ok(Step::Pass(complete)));

    // A header that is there in part stays behind, a row that is there in part does not.
    let mut scanner = ReplyScanner::default();
    assert_eq!(scanner.next(&bytes[..complete + 4], INTEREST, false), Ok(Step::Pass(complete)));
    assert!(scanner.is_idle());
    assert_eq!(scanner.next(&bytes[..complete - 1], INTEREST, false), Ok(Step::Pass(complete - 1)));
    assert!(!scanner.is_idle());

    // The rest of that row and messages of no interest behind it are one step, too.
    bytes.splice(..complete - 1, []);
    let none = Interest::of(b"Z");
    let until_ready = ready - (complete - 1);
    assert_eq!(scanner.next(&bytes, none, false), Ok(Step::Pass(until_ready)));
    assert!(scanner.is_idle());
}

#[test]
fn a_message_of_interest_waits_until_it_is_whole() {
    let bytes = stream(&[(tag::ERROR, b"SERROR\0\0".to_vec())]);
    let mut scanner = ReplyScanner::default();
    for cut in 0..bytes.len() {
        assert_eq!(scanner.next(&bytes[..cut], INTEREST, false), Ok(Step::More), "{cut}");
    }
    assert!(matches!(
        scanner.next(&bytes, INTEREST, false),
        Ok(Step::Message { missing: 0, frame }) if frame.bytes == bytes
    ));
}

#[test]
fn a_message_of_interest_that_exceeds_the_buffer_is_cut_and_then_passed() {
    let messages = [(tag::ERROR, vec![b'x'; 100]), (tag::READY, b"E".to_vec())];
    let bytes = stream(&messages);
    let (out, seen) = relay(&bytes, &[bytes.len()], 10);
    assert_eq!(out, bytes);
    assert_eq!(seen, [(tag::ERROR, vec![b'x'; 5], 95), (tag::READY, b"E".to_vec(), 0)]);
}

#[test]
fn a_full_buffer_that_holds_the_message_does_not_cut_it() {
    let messages = [(tag::ERROR, vec![b'x'; 5])];
    assert_eq!(relay(&stream(&messages), &[10], 10).1, wanted(&messages));
}

#[test]
fn all_before_a_bad_length_is_passed_before_it_is_reported() {
    let mut bytes = stream(&[(tag::DATA_ROW, b"row".to_vec())]);
    let good = bytes.len();
    bytes.extend(b"D\0\0\0\x03");
    let mut scanner = ReplyScanner::default();
    assert_eq!(scanner.next(&bytes, INTEREST, false), Ok(Step::Pass(good)));
    let error = FrameError::BadLength { tag: b'D', length: 3 };
    assert_eq!(scanner.next(&bytes[good..], INTEREST, false), Err(error));
}

#[test]
fn interest_holds_ascii_tags_only() {
    let all: Vec<u8> = (0..=u8::MAX).collect();
    let set = Interest::of(&all);
    assert_eq!(set, Interest::of(&all[..128]));
    assert!(set.has(0) && set.has(127) && !set.has(128) && !set.has(255));
    assert!(!Interest::default().has(0) && Interest::default().with(0).has(0));
}

proptest! {
    #[test]
    fn any_stream_in_any_reads_and_buffer_comes_out_whole(
        messages in vec((prop::sample::select(&b"ZCSEDTdn1\xff"[..]), vec(any::<u8>(), 0..60)), 0..20),
        reads in vec(1..90_usize, 1..20),
        capacity in 5..80_usize,
    ) {
        let bytes = stream(&messages);
        let (out, seen) = relay(&bytes, &reads, capacity);
        prop_assert_eq!(out, bytes);
        let wanted = wanted(&messages);
        prop_assert_eq!(seen.len(), wanted.len());
        for ((tag, start, missing), (wanted_tag, body, _)) in seen.iter().zip(&wanted) {
            prop_assert_eq!(tag, wanted_tag);
            prop_assert!(body.starts_with(start));
            prop_assert_eq!(start.len() + missing, body.len());
            prop_assert!(*missing == 0 || start.len() + 5 == capacity);
        }
    }
}
