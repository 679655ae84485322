//! Server messages.

use proptest::{collection::vec, option, prelude::*};
use wire::{
    Authentication, CancelKey, Report, Severity, SqlState, TxStatus, backend_key, command_tag,
    parameter_status, parse_authentication, parse_error, parse_negotiate, put_auth_cleartext,
    put_auth_md5, put_auth_ok, put_auth_sasl, put_auth_sasl_continue, put_auth_sasl_final,
    put_backend_key, put_bind_complete, put_close_complete, put_command_complete, put_data_row,
    put_empty_query, put_error, put_negotiate, put_no_data, put_notice,
    put_parameter_description_empty, put_parameter_status, put_parse_complete,
    put_portal_suspended, put_ready, put_row_description, ready_status, tag,
};

use crate::common::{self as any, only_frame};

fn put(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes);
    bytes
}

#[test]
fn messages_without_fields_are_laid_out_as_in_the_manual() {
    assert_eq!(put(put_parse_complete), b"1\0\0\0\x04");
    assert_eq!(put(put_bind_complete), b"2\0\0\0\x04");
    assert_eq!(put(put_close_complete), b"3\0\0\0\x04");
    assert_eq!(put(put_no_data), b"n\0\0\0\x04");
    assert_eq!(put(put_empty_query), b"I\0\0\0\x04");
    assert_eq!(put(put_portal_suspended), b"s\0\0\0\x04");
    assert_eq!(put(put_parameter_description_empty), b"t\0\0\0\x06\0\0");
}

#[test]
fn every_transaction_status_reads_back_and_nothing_else_is_one() {
    for status in [TxStatus::Idle, TxStatus::Open, TxStatus::Failed] {
        let bytes = put(|out| put_ready(out, status));
        assert_eq!(ready_status(only_frame(&bytes).body), Ok(status));
    }
    for body in [&b""[..], b"X", b"II", b"\0"] {
        assert!(ready_status(body).is_err(), "{}", body.escape_ascii());
    }
}

#[test]
fn a_row_of_text_is_what_psql_expects() {
    let bytes = put(|out| put_row_description(out, &["lsn"]));
    let column = b"lsn\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0";
    assert_eq!(only_frame(&bytes).body, [&b"\0\x01"[..], column].concat());
    let bytes = put(|out| put_data_row(out, &[Some(b"0/1"), None, Some(b"")]));
    let body = b"\0\x03\0\0\0\x030/1\xff\xff\xff\xff\0\0\0\0";
    assert_eq!(only_frame(&bytes).body, body);
}

#[test]
fn negotiation_carries_the_whole_version_as_servers_send_it() {
    let bytes = put(|out| put_negotiate(out, 2, &["_pq_.a", "_pq_.b"]));
    let frame = only_frame(&bytes);
    assert_eq!(frame.body, b"\0\x03\0\x02\0\0\0\x02_pq_.a\0_pq_.b\0");
    let read = parse_negotiate(frame.body).unwrap();
    assert_eq!((read.minor, &read.unsupported[..]), (2, &[&b"_pq_.a"[..], b"_pq_.b"][..]));
    assert!(parse_negotiate(b"\0\x03\0\x02\x7f\xff\xff\xff").is_err());
}

#[test]
fn authentication_requests_read_back() {
    let read = |bytes: &[u8]| match parse_authentication(only_frame(bytes).body).unwrap() {
        Authentication::Ok => "ok".to_owned(),
        Authentication::Cleartext => "cleartext".to_owned(),
        Authentication::Md5 { salt } => format!("md5 {salt:?}"),
        Authentication::Sasl { mechanisms } => {
            mechanisms.iter().map(|name| String::from_utf8_lossy(name).into_owned() + " ").collect()
        }
        Authentication::SaslContinue(data) => format!("continue {}", data.escape_ascii()),
        Authentication::SaslFinal(data) => format!("final {}", data.escape_ascii()),
        Authentication::Unsupported(method) => format!("unsupported {method}"),
    };
    assert_eq!(read(&put(put_auth_ok)), "ok");
    assert_eq!(read(&put(put_auth_cleartext)), "cleartext");
    assert_eq!(read(&put(|out| put_auth_md5(out, [1, 2, 3, 4]))), "md5 [1, 2, 3, 4]");
    assert_eq!(read(&put(|out| put_auth_sasl(out, &["A", "B"]))), "A B ");
    assert_eq!(read(&put(|out| put_auth_sasl_continue(out, b"r=1"))), "continue r=1");
    assert_eq!(read(&put(|out| put_auth_sasl_final(out, b"v=1"))), "final v=1");
    assert_eq!(read(b"R\0\0\0\x08\0\0\0\x07"), "unsupported 7");
    assert!(parse_authentication(b"\0\0\0\x05\x01\x02\x03").is_err());
    assert!(parse_authentication(b"\0\0\0").is_err());
}

#[test]
fn a_mechanism_is_offered_only_by_its_whole_name() {
    let bytes = put(|out| put_auth_sasl(out, &["SCRAM-SHA-256-PLUS", "OTHER"]));
    let Ok(Authentication::Sasl { mechanisms }) = parse_authentication(only_frame(&bytes).body)
    else {
        panic!()
    };
    assert!(mechanisms.offers("OTHER") && !mechanisms.offers(wire::SCRAM_SHA_256));
}

#[test]
fn a_cancel_key_of_4_to_256_bytes_reads_back() {
    for (length, good) in [(3, false), (4, true), (32, true), (256, true), (257, false)] {
        let key = CancelKey { pid: i32::MIN, secret: vec![1; length] };
        let bytes = put(|out| put_backend_key(out, &key));
        let read = backend_key(only_frame(&bytes).body);
        assert_eq!(read.ok(), good.then_some(key), "{length}");
    }
}

#[test]
fn an_error_is_laid_out_as_servers_do() {
    let report = Report {
        severity: Severity::Fatal,
        code: SqlState::TOO_MANY_CONNECTIONS,
        message: "full\0stop",
        detail: None,
        hint: Some("wait"),
        routine: Some("ProcessStartupPacket"),
    };
    let bytes = put(|out| put_error(out, &report));
    assert_eq!(
        only_frame(&bytes).body,
        b"SFATAL\0VFATAL\0C53300\0Mfull\0Hwait\0RProcessStartupPacket\0\0"
    );
    assert_eq!(put(|out| put_notice(out, &report))[0], tag::NOTICE);
}

#[test]
fn the_severity_in_english_wins_wherever_it_stands() {
    for body in [&b"SFATALE\0VFATAL\0\0"[..], b"VFATAL\0SFATALE\0\0"] {
        let fields = parse_error(body);
        assert_eq!((fields.severity, fields.is_fatal()), (&b"FATAL"[..], true));
    }
    assert!(!parse_error(b"SERROR\0\0").is_fatal());
}

#[test]
fn an_error_cut_off_anywhere_tells_what_is_there() {
    let body = b"SERROR\0VERROR\0C25006\0Mcannot execute INSERT\0Hno\0\0";
    let code_ends = body.len() - b"\0Mcannot execute INSERT\0Hno\0\0".len();
    for cut in 0..=body.len() {
        let fields = parse_error(&body[..cut]);
        let known = cut >= code_ends;
        let code =
            if known { SqlState::READ_ONLY_SQL_TRANSACTION } else { SqlState::INTERNAL_ERROR };
        assert_eq!(fields.code, code, "{cut}");
        assert!(b"cannot execute INSERT".starts_with(fields.message), "{cut}");
    }
    assert_eq!(parse_error(body).to_string(), "ERROR 25006: cannot execute INSERT");
}

#[test]
fn a_command_tag_comes_without_its_nul() {
    let bytes = put(|out| put_command_complete(out, "SELECT 1"));
    assert_eq!(command_tag(only_frame(&bytes).body), b"SELECT 1");
    assert_eq!(command_tag(b"COMM"), b"COMM");
    assert_eq!(command_tag(b""), b"");
}

proptest! {
    #[test]
    fn reports_read_back(
        message in "[^\0]*",
        (detail, hint) in (option::of("[^\0]*"), option::of("[^\0]*")),
        code in "[0-9A-Z]{5}",
    ) {
        let code = SqlState::parse(code.as_bytes()).unwrap();
        let (detail, hint) = (detail.as_deref(), hint.as_deref());
        let report = Report { severity: Severity::Error, code, message: &message, detail, hint, routine: None };
        let bytes = put(|out| put_error(out, &report));
        let read = parse_error(only_frame(&bytes).body);
        prop_assert_eq!((read.severity, read.code), (&b"ERROR"[..], code));
        prop_assert_eq!(read.message, message.as_bytes());
        prop_assert_eq!((read.detail, read.hint), (detail.map(str::as_bytes), hint.map(str::as_bytes)));
    }

    #[test]
    fn parameters_read_back(name in any::cstr(), value in any::cstr()) {
        let bytes = put(|out| put_parameter_status(out, &name, &value));
        let body = only_frame(&bytes).body;
        prop_assert_eq!(parameter_status(body), Ok((&name[..], &value[..])));
        prop_assert!(parameter_status(&body[..body.len() - 1]).is_err());
    }

    #[test]
    fn rows_hold_every_value_with_its_length(values in vec(option::of(any::bytes()), 0..9)) {
        let borrowed: Vec<_> = values.iter().map(Option::as_deref).collect();
        let bytes = put(|out| put_data_row(out, &borrowed));
        let mut rest = &only_frame(&bytes).body[2..];
        for value in &borrowed {
            let (length, after) = rest.split_first_chunk().unwrap();
            let length = i32::from_be_bytes(*length);
            let (bytes, after) = after.split_at(usize::try_from(length).unwrap_or(0));
            prop_assert_eq!((length >= 0).then_some(bytes), *value);
            rest = after;
        }
        prop_assert!(rest.is_empty());
    }
}
