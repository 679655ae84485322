//! Nothing that a peer sends may panic.

use std::fmt;

use proptest::{collection::vec, prelude::*};
use wire::{
    ClientExchange, Credentials, Frame, Interest, ReplyScanner, ServerExchange, Step, Verifier,
};

use crate::common as any;

/// Bytes that often look like messages.
fn almost() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        any::bytes(),
        (any::<u8>(), 0..40_u32, any::bytes()).prop_map(|(tag, length, body)| {
            [&[tag][..], &length.to_be_bytes(), &body].concat()
        }),
        vec(prop::sample::select(&[0, 0, 1, 3, 4, 0xff, b'S', b'=', b',', b'-'][..]), 0..40),
    ];
    vec(part, 0..4).prop_map(|parts| parts.concat())
}

/// Takes a result as a log would; that must not panic either.
fn shown(result: &impl fmt::Debug) {
    assert!(!format!("{result:?}").is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn readers_of_messages_survive(tag in any::<u8>(), body in almost()) {
        let frame = Frame { tag, body: &body, bytes: &body };
        shown(&wire::next_frame(&body, 1000));
        shown(&wire::next_startup(&body, 1000));
        shown(&wire::parse_frontend(&frame));
        shown(&wire::bind_result_formats(&body));
        shown(&wire::parse_sasl_initial(&body));
        shown(&wire::parse_password(&body));
        shown(&wire::parse_error(&body).to_string());
        shown(&wire::parameter_status(&body));
        shown(&wire::backend_key(&body));
        shown(&wire::parse_negotiate(&body));
        shown(&wire::parse_authentication(&body));
        shown(&wire::ready_status(&body));
        shown(&wire::command_tag(&body));
    }

    #[test]
    fn the_scanner_survives_and_always_moves(body in almost(), full in any::<bool>()) {
        let mut scanner = ReplyScanner::default();
        let mut rest = &body[..];
        loop {
            rest = match scanner.next(rest, Interest::of(b"ZCSE"), full) {
                Ok(Step::Pass(n)) if n > 0 => &rest[n..],
                Ok(Step::Message { frame, .. }) if !frame.bytes.is_empty() => {
                    &rest[frame.bytes.len()..]
                }
                Ok(Step::More) | Err(_) => break,
                Ok(step) => return Err(TestCaseError::fail(format!("{step:?}"))),
            };
        }
    }

    #[test]
    fn readers_of_text_survive(text in ".{0,60}") {
        shown(&wire::parse_options(&text));
        shown(&Verifier::parse(&text));
        shown(&Verifier::parse(&format!("SCRAM-SHA-256${text}")));
    }

    #[test]
    fn exchanges_survive(message in almost(), text in "[nyrsipcv=,0-9A-Za-z/+]{0,60}") {
        let verifier = Verifier::mock(b"seed", "user");
        for message in [&message[..], text.as_bytes()] {
            shown(&ServerExchange::start(message, &verifier, "b"));
            let (server, _) = ServerExchange::start(b"n,,n=,r=a", &verifier, "b").unwrap();
            prop_assert!(server.finish(message).is_err());
            let (client, _) = ClientExchange::start(Credentials::Password(String::new()), "a");
            let (done, _) = client.respond(b"r=ab,s=c2FsdA==,i=1").unwrap();
            prop_assert!(done.verify(message).is_err());
            let (client, _) = ClientExchange::start(Credentials::Password(String::new()), "a");
            if message.len() < 20 {
                shown(&client.respond(message));
            }
        }
    }
}
