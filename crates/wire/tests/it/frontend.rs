//! Client messages.

use proptest::{collection::vec, prelude::*};
use wire::{
    Described, Formats, Frame, Frontend, MessageError, SaslInitial, bind_result_formats,
    bind_values, ftag, parse_frontend, parse_password, parse_sasl_initial, put_bind, put_close,
    put_copy_fail, put_describe, put_execute, put_flush, put_parse, put_password, put_query,
    put_sasl_initial, put_sasl_response, put_sync, put_terminate, server_name,
};

use crate::common::{self as any, only_frame};

fn parse(tag: u8, body: &[u8]) -> Result<Frontend<'_>, MessageError> {
    parse_frontend(&Frame { tag, body, bytes: &[] })
}

fn is_malformed(tag: u8, body: &[u8]) -> bool {
    matches!(parse(tag, body), Err(MessageError::Malformed { tag: named, .. }) if named == tag)
}

#[test]
fn messages_without_fields_read_back() {
    let read_back = |put: fn(&mut Vec<u8>), message| {
        let mut bytes = Vec::new();
        put(&mut bytes);
        assert_eq!(parse_frontend(&only_frame(&bytes)), Ok(message));
    };
    read_back(put_sync, Frontend::Sync);
    read_back(put_flush, Frontend::Flush);
    read_back(put_terminate, Frontend::Terminate);
    assert!(is_malformed(ftag::SYNC, b"x"));
}

#[test]
fn a_parse_of_65535_parameters_reads_back_as_its_count_is_unsigned() {
    let types = vec![7; 65_535 * 4];
    let mut bytes = Vec::new();
    put_parse(&mut bytes, b"s", b"select", &types);
    let message = Frontend::Parse { name: b"s", sql: b"select", types: &types };
    assert_eq!(parse_frontend(&only_frame(&bytes)), Ok(message));
}

#[test]
fn a_parse_must_hold_as_many_types_as_it_says() {
    assert!(is_malformed(ftag::PARSE, b"s\0q\0\0\x01\0\0\0"));
    assert!(is_malformed(ftag::PARSE, b"s\0q\0\0\x01\0\0\0\x17x"));
    assert!(is_malformed(ftag::PARSE, b"s\0q\0"));
    assert!(parse(ftag::PARSE, b"s\0q\0\0\x01\0\0\0\x17").is_ok());
}

#[test]
fn the_values_of_a_bind_are_read_up_to_where_its_layout_is_wrong() {
    let rest = b"\0\x01\0\x01\0\x03\0\0\0\x02ab\xff\xff\xff\xff\0\0\0\0\0\0";
    let values: Vec<_> = bind_values(rest).collect();
    assert_eq!(values, [Some(&b"ab"[..]), None, Some(&b""[..])]);
    assert_eq!(bind_values(&rest[..10]).count(), 0);
    assert_eq!(bind_values(&rest[..15]).count(), 1);
    assert_eq!(bind_values(b"\0").count(), 0);
}

#[test]
fn renaming_a_statement_changes_nothing_but_its_name() {
    let rest = b"\0\0\0\x01\0\0\0\x02ab\0\0";
    let (mut client, mut server, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    put_bind(&mut client, b"p", b"mine", rest);
    let Ok(Frontend::Bind { portal, rest, .. }) = parse_frontend(&only_frame(&client)) else {
        panic!()
    };
    put_bind(&mut server, portal, &server_name(7), rest);
    put_bind(&mut expected, b"p", b"weir_7", rest);
    assert_eq!(server, expected);
}

#[test]
fn describe_and_close_know_statements_and_portals_only() {
    for tag in [ftag::DESCRIBE, ftag::CLOSE] {
        assert!(parse(tag, b"Sname\0").is_ok() && parse(tag, b"P\0").is_ok());
        for body in [&b"Xname\0"[..], b"S", b"Sname", b"Sname\0x", b""] {
            assert!(is_malformed(tag, body), "{}", body.escape_ascii());
        }
    }
}

#[test]
fn text_without_an_end_or_with_two_is_refused() {
    for body in [&b""[..], b"select", b"select\0;\0"] {
        assert!(is_malformed(ftag::QUERY, body), "{}", body.escape_ascii());
    }
    assert!(is_malformed(ftag::EXECUTE, b"p\0\0\0\0"));
    assert!(is_malformed(ftag::BIND, b"p\0s"));
    assert!(is_malformed(ftag::COPY_FAIL, b"why"));
    assert!(is_malformed(ftag::COPY_DONE, b"x"));
}

#[test]
fn sql_with_a_nul_is_refused_by_the_receiver_and_not_run_in_part() {
    let mut bytes = Vec::new();
    put_query(&mut bytes, b"delete from t\0 where id = 1");
    assert!(parse_frontend(&only_frame(&bytes)).is_err());
}

#[test]
fn every_other_tag_is_unknown() {
    let known = b"QPBDECHSdcfFXp";
    for tag in (0..=u8::MAX).filter(|tag| !known.contains(tag)) {
        assert_eq!(parse(tag, b""), Err(MessageError::UnknownTag(tag)));
    }
}

#[test]
fn result_formats_are_found_behind_the_parameters() {
    for (rest, formats) in [
        (&b"\0\0\0\0\0\0"[..], Formats::Text),
        (b"\0\0\0\0\0\x01\0\0", Formats::Text),
        (b"\0\0\0\0\0\x01\0\x01", Formats::Binary),
        (b"\0\0\0\0\0\x02\0\x01\0\0", Formats::PerColumn(2)),
        // Two parameters, one of them NULL, one empty, with a format each.
        (b"\0\x02\0\x01\0\0\0\x02\xff\xff\xff\xff\0\0\0\0\0\x01\0\x01", Formats::Binary),
    ] {
        assert_eq!(bind_result_formats(rest), Ok(formats), "{}", rest.escape_ascii());
    }
}

#[test]
fn wrong_result_formats_are_refused() {
    for rest in [
        &b""[..],
        b"\0\0\0\0\0",                     // cut off
        b"\0\0\0\0\0\x01\0",               // a code cut off
        b"\0\0\0\0\0\x01\0\x02",           // neither text nor binary
        b"\0\0\0\0\0\x01\xff\xff",         // negative
        b"\0\0\0\0\0\0x",                  // something behind
        b"\0\0\0\x01\xff\xff\xff\xfe\0\0", // a length below NULL's
        b"\0\0\0\x01\0\0\0\x09abc\0\0",    // a value cut off
        b"\0\0\xff\xff\0\0",               // fewer values than said
    ] {
        assert!(bind_result_formats(rest).is_err(), "{}", rest.escape_ascii());
    }
}

#[test]
fn a_sasl_response_that_is_absent_differs_from_an_empty_one() {
    let initial = |response| Ok(SaslInitial { mechanism: b"M", response });
    assert_eq!(parse_sasl_initial(b"M\0\xff\xff\xff\xff"), initial(None));
    assert_eq!(parse_sasl_initial(b"M\0\0\0\0\0"), initial(Some(b"")));
    for body in [
        &b"M\0\0\0\0\x01"[..],
        b"M\0\0\0\0\0x",
        b"M\0\xff\xff\xff\xffx",
        b"M\0\xff\xff\xff\xfe",
        b"M\0\0",
        b"M",
    ] {
        assert!(parse_sasl_initial(body).is_err(), "{}", body.escape_ascii());
    }
}

proptest! {
    #[test]
    fn whatever_is_put_reads_back(
        (a, b, rest) in (any::cstr(), any::cstr(), any::bytes()),
        types in vec(any::<[u8; 4]>(), 0..20),
        (max_rows, portal) in (any::<i32>(), any::<bool>()),
    ) {
        let kind = if portal { Described::Portal } else { Described::Statement };
        let types = types.concat();
        let mut bytes = Vec::new();
        put_query(&mut bytes, &a);
        put_parse(&mut bytes, &a, &b, &types);
        put_bind(&mut bytes, &a, &b, &rest);
        put_describe(&mut bytes, kind, &a);
        put_execute(&mut bytes, &a, max_rows);
        put_close(&mut bytes, kind, &a);
        put_copy_fail(&mut bytes, &b);
        put_sasl_response(&mut bytes, &rest);
        let mut left = &bytes[..];
        for expected in [
            Frontend::Query { sql: &a },
            Frontend::Parse { name: &a, sql: &b, types: &types },
            Frontend::Bind { portal: &a, statement: &b, rest: &rest },
            Frontend::Describe { kind, name: &a },
            Frontend::Execute { portal: &a, max_rows },
            Frontend::Close { kind, name: &a },
            Frontend::CopyFail,
            Frontend::Password { body: &rest },
        ] {
            let (frame, after) = wire::next_frame(left, bytes.len()).unwrap().unwrap();
            prop_assert_eq!(parse_frontend(&frame), Ok(expected));
            left = after;
        }
        prop_assert!(left.is_empty());
    }

    #[test]
    fn passwords_and_sasl_responses_read_back(password in any::cstr(), data in any::bytes()) {
        let mut bytes = Vec::new();
        put_password(&mut bytes, &password);
        prop_assert_eq!(parse_password(only_frame(&bytes).body), Ok(&password[..]));
        bytes.clear();
        put_sasl_initial(&mut bytes, wire::SCRAM_SHA_256, &data);
        let initial = SaslInitial { mechanism: b"SCRAM-SHA-256", response: Some(&data) };
        prop_assert_eq!(parse_sasl_initial(only_frame(&bytes).body), Ok(initial));
    }
}
