//! Bytes to messages.

use std::hint::black_box;

use wire::{Described, Interest, ReplyScanner, Step, next_frame, parse_frontend, tag};

use super::Work;
use crate::texts::{PRIMARY_KEY, SHORT};

/// What a relay looks at while it shows all.
const INTEREST: Interest = Interest::of(&[
    tag::READY,
    tag::COMMAND_COMPLETE,
    tag::PARAMETER_STATUS,
    tag::ERROR,
    tag::EMPTY_QUERY,
]);

/// More than any message here.
const MAX: usize = 1 << 20;

pub(super) fn all() -> Vec<Work> {
    let mut query = Vec::new();
    wire::put_query(&mut query, SHORT.as_bytes());
    vec![
        // Rows at once, then two messages of interest.
        walked("wire: reply of one row", reply(1), 3),
        walked("wire: reply of 100 rows", reply(100), 3),
        parsed("wire: Query", query, 1),
        parsed("wire: Parse, Bind, Describe, Execute, Sync", group(), 5),
    ]
}

fn walked(name: &str, reply: Vec<u8>, steps: usize) -> Work {
    let bytes = reply.len();
    Work::new(name, steps, move || walk(black_box(&reply))).reading(bytes)
}

fn parsed(name: &str, messages: Vec<u8>, count: usize) -> Work {
    let bytes = messages.len();
    Work::new(name, count, move || parse(black_box(&messages))).reading(bytes)
}

/// How many steps a reply takes.
fn walk(reply: &[u8]) -> usize {
    let (mut scanner, mut rest, mut steps) = (ReplyScanner::default(), reply, 0_usize);
    loop {
        let taken = match scanner.next(rest, INTEREST, false) {
            Ok(Step::Pass(passed)) => passed,
            Ok(Step::Message { frame, .. }) => frame.bytes.len(),
            Ok(Step::More) | Err(_) => return steps,
        };
        rest = rest.get(taken..).unwrap_or_default();
        steps = steps.saturating_add(1);
    }
}

/// How many messages were understood.
fn parse(mut rest: &[u8]) -> usize {
    let mut understood = 0_usize;
    while let Ok(Some((frame, after))) = next_frame(rest, MAX) {
        understood =
            understood.saturating_add(usize::from(black_box(parse_frontend(&frame)).is_ok()));
        rest = after;
    }
    understood
}

fn reply(rows: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::put_row_description(&mut bytes, &["id", "name"]);
    for _ in 0..rows {
        wire::put_data_row(&mut bytes, &[Some(b"4711"), Some(&[b'x'; 80])]);
    }
    wire::put_command_complete(&mut bytes, &format!("SELECT {rows}"));
    wire::put_ready(&mut bytes, wire::TxStatus::Idle);
    bytes
}

fn group() -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::put_parse(&mut bytes, b"", PRIMARY_KEY.as_bytes(), &[]);
    wire::put_bind(&mut bytes, b"", b"", b"\0\0\0\x01\0\0\0\x017\0\0");
    wire::put_describe(&mut bytes, Described::Portal, b"");
    wire::put_execute(&mut bytes, b"", 0);
    wire::put_sync(&mut bytes);
    bytes
}
