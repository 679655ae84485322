//! The startup family.

use proptest::{collection::vec, prelude::*};
use wire::{
    CancelKey, StartupError, StartupPacket, Stranger, next_startup, put_cancel, put_ssl_request,
    put_startup,
};

const MAX: usize = 10_000;

fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(body.len() + 8).unwrap().to_be_bytes().to_vec();
    out.extend(code.to_be_bytes());
    out.extend(body);
    out
}

fn start(body: &[u8]) -> Result<Option<(StartupPacket, usize)>, StartupError> {
    next_startup(&packet(3 << 16, body), MAX)
}

#[test]
fn a_startup_message_reads_back_and_says_how_long_it_was() {
    let mut bytes = Vec::new();
    let params = [("user", "app"), ("database", "shop"), ("_pq_.x", "1"), ("a", "")];
    put_startup(&mut bytes, 2, &params);
    let length = bytes.len();
    for cut in 0..length {
        assert_eq!(next_startup(&bytes[..cut], MAX), Ok(None), "{cut} bytes");
    }
    bytes.extend(b"more");
    let Ok(Some((StartupPacket::Start(message), used))) = next_startup(&bytes, MAX) else {
        panic!("not a startup message")
    };
    assert_eq!(used, length);
    assert_eq!((message.major, message.minor), (3, 2));
    assert_eq!((message.user(), message.database()), ("app", "shop"));
    assert_eq!(message.get("a"), Some(""));
    assert_eq!(message.get("A"), None);
    assert_eq!(message.protocol_options().collect::<Vec<_>>(), ["_pq_.x"]);
}

#[test]
fn the_last_of_equal_parameters_counts_and_the_database_is_named_like_the_user() {
    for body in [&b"user\0a\0user\0b\0\0"[..], b"user\0b\0database\0\0\0"] {
        let Ok(Some((StartupPacket::Start(message), _))) = start(body) else { panic!() };
        assert_eq!((message.user(), message.database()), ("b", "b"));
    }
}

#[test]
fn encryption_requests_are_told_apart() {
    let mut ssl = Vec::new();
    put_ssl_request(&mut ssl);
    assert_eq!(ssl, packet(80_877_103, b""));
    assert_eq!(next_startup(&ssl, MAX), Ok(Some((StartupPacket::Ssl, 8))));
    let gss = packet(80_877_104, b"");
    assert_eq!(next_startup(&gss, MAX), Ok(Some((StartupPacket::GssEnc, 8))));
    let long = packet(80_877_103, b"x");
    assert!(matches!(next_startup(&long, MAX), Err(StartupError::Malformed(_))));
}

#[test]
fn cancel_secrets_have_4_to_256_bytes() {
    for (length, good) in [(3, false), (4, true), (256, true), (257, false)] {
        let key = CancelKey { pid: -7, secret: vec![9; length] };
        let mut bytes = Vec::new();
        put_cancel(&mut bytes, &key);
        let read = next_startup(&bytes, MAX);
        if good {
            assert_eq!(read, Ok(Some((StartupPacket::Cancel(key), bytes.len()))));
        } else {
            assert!(matches!(read, Err(StartupError::Malformed(_))), "{length}");
        }
    }
}

#[test]
fn debug_of_a_cancel_key_hides_the_secret() {
    let key = CancelKey { pid: 7, secret: b"\xab\xcd\xef\x99".to_vec() };
    assert_eq!(format!("{key:?}"), "CancelKey { pid: 7, .. }");
}

#[test]
fn lengths_are_refused_outside_8_to_the_limit() {
    for length in [0, 7] {
        let bytes = u32::to_be_bytes(length);
        let length = usize::try_from(length).unwrap();
        assert_eq!(next_startup(&bytes, MAX), Err(StartupError::BadLength { length }));
    }
    assert_eq!(next_startup(&10_000_u32.to_be_bytes(), MAX), Ok(None));
    for length in [10_001, 0x8000_0000, u32::MAX] {
        let error = StartupError::TooLong { length, limit: MAX };
        assert_eq!(next_startup(&length.to_be_bytes(), MAX), Err(error));
    }
}

#[test]
fn strangers_are_recognised_by_their_first_bytes() {
    for (bytes, stranger) in [
        (&b"GET / HTTP/1.1\r\n"[..], Stranger::Http),
        (b"PRI * HTTP/2.0", Stranger::Http),
        (b"\x16\x03\x01\x02\x00\x01", Stranger::Tls),
        (b"SSH-2.0-OpenSSH", Stranger::Ssh),
    ] {
        let error = StartupError::Stranger(stranger);
        assert_eq!(next_startup(bytes, MAX), Err(error), "{}", bytes.escape_ascii());
    }
    // A query without a startup packet is no stranger, just lost.
    assert!(matches!(next_startup(b"Q\0\0\0\x05;", MAX), Err(StartupError::TooLong { .. })));
}

#[test]
fn only_major_version_3_is_spoken() {
    for major in [0, 2, 4, u16::MAX] {
        let error = StartupError::UnsupportedVersion { major, minor: 1 };
        let code = u32::from(major) << 16 | 1;
        assert_eq!(next_startup(&packet(code, b"\0"), MAX), Err(error));
    }
    // Newer minors are negotiated, not refused.
    let newest = next_startup(&packet(0x0003_270f, b"user\0a\0\0"), MAX);
    assert!(matches!(newest, Ok(Some((StartupPacket::Start(m), _))) if m.minor == 9_999));
}

#[test]
fn a_startup_message_that_is_laid_out_wrongly_is_refused() {
    for body in [
        &b""[..],           // no end
        b"user",            // a name without its end
        b"user\0a",         // a value without its end
        b"user\0a\0",       // no end of the list
        b"user\0a\0\0x",    // something behind it
        b"\0",              // no user
        b"user\0\0\0",      // an empty user
        b"database\0a\0\0", // no user among others
        b"user\0\xff\0\0",  // not UTF-8
    ] {
        let read = start(body);
        assert!(matches!(read, Err(StartupError::Malformed(_))), "{}", body.escape_ascii());
    }
}

#[test]
fn a_nul_in_a_value_can_not_smuggle_in_a_parameter() {
    let mut bytes = Vec::new();
    put_startup(&mut bytes, 0, &[("", "x"), ("\0", "y"), ("user", "app\0role\0postgres")]);
    let Ok(Some((StartupPacket::Start(message), _))) = next_startup(&bytes, MAX) else { panic!() };
    assert_eq!(message.params, [("user".to_owned(), "app".to_owned())]);
}

proptest! {
    #[test]
    fn any_parameters_read_back_in_order(
        minor in any::<u16>(),
        others in vec(("[^\0]{1,9}", "[^\0]{0,9}"), 0..9),
    ) {
        let mut params = others;
        params.push(("user".to_owned(), "app".to_owned()));
        let borrowed: Vec<_> = params.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let mut bytes = Vec::new();
        put_startup(&mut bytes, minor, &borrowed);
        let Ok(Some((StartupPacket::Start(message), used))) = next_startup(&bytes, MAX) else {
            panic!("does not read back")
        };
        prop_assert_eq!(used, bytes.len());
        prop_assert_eq!((message.minor, message.params), (minor, params));
    }
}
