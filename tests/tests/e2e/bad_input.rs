//! Garbage, lies and silence hurt only those they come from.

use std::time::Duration;

use testkit::Cluster;
use weir_tests::say::{bind, execute, parse, query, raw, sync};
use weir_tests::{Config, Message, Raw, Weir, eventually, now};

use crate::{SOON, pool, rig};

/// A rig whose every misuse ends with a look at what is left.
struct Rig {
    cluster: Cluster,
    weir: Weir,
    /// Another session, logged in before anything went wrong.
    other: Raw,
}

impl Rig {
    fn new(replicas: usize, config: &Config) -> Self {
        let (cluster, weir) = rig(replicas, config);
        let mut other = Raw::login(weir.port(), "app", &[]).unwrap();
        assert_eq!(other.query("SELECT 1").as_deref(), Some("1"));
        Self { cluster, weir, other }
    }

    fn login(&self) -> Raw {
        Raw::login(self.weir.port(), "app", &[]).unwrap()
    }

    /// Nobody else was disturbed, no server leaked, nothing panicked.
    #[track_caller]
    fn unharmed(&mut self, after: &str) {
        assert_eq!(self.other.query("SELECT 1").as_deref(), Some("1"), "after {after}");
        let mut fresh = self.login();
        assert_eq!(fresh.query("SELECT 1").as_deref(), Some("1"), "after {after}");
        for node in self.cluster.nodes() {
            let busy = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' \
                        AND (state <> 'idle' OR state IS NULL)";
            eventually(&format!("no server works for nobody after {after}"), SOON, || {
                node.psql(busy).unwrap() == "0"
            });
        }
        assert!(!self.weir.log().contains("panicked"), "after {after}");
    }

    fn servers(&self) -> usize {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'";
        let counts = self.cluster.nodes().iter().map(|node| node.psql(sql).unwrap());
        counts.map(|count| count.parse::<usize>().unwrap()).sum()
    }
}

/// The error at the end of what a connection is told before it is closed.
#[track_caller]
fn last_words(raw: &mut Raw) -> (String, String, String) {
    let mut last: Option<Message> = None;
    while let Some(message) = raw.message() {
        last = Some(message);
    }
    let told = last.expect("a word before the end").error();
    assert!(!told.2.is_empty(), "no hint: {told:?}");
    told
}

fn startup(version: u32, params: &[u8]) -> Vec<u8> {
    let length = u32::try_from(params.len() + 8).unwrap();
    [&length.to_be_bytes()[..], &version.to_be_bytes(), params].concat()
}

#[test]
fn what_is_no_startup_packet_is_told_so() {
    let mut rig = Rig::new(0, &Config::default());
    let version = 3 << 16;
    for (name, bytes, code, word) in [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), "08P01", "HTTP"),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), "08P01", "SSH"),
        ("TLS at once", vec![0x16, 3, 1, 2, 0, 1, 0, 1], "08P01", "SSLRequest"),
        ("a negative length", vec![0xff; 16], "08P01", "4294967295 bytes"),
        ("a huge length", vec![0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0], "08P01", "bytes"),
        ("no room for a version", vec![0, 0, 0, 4, 0, 0, 0, 0], "08P01", "length 4"),
        ("length zero", vec![0; 8], "08P01", "length 0"),
        ("protocol 2.0", startup(2 << 16, b"user\0app\0\0"), "0A000", "protocol version"),
        ("protocol 4.0", startup(4 << 16, b"user\0app\0\0"), "0A000", "protocol version"),
        ("no user", startup(version, b"database\0app\0\0"), "08P01", "no user"),
        ("no end", startup(version, b"user\0app"), "08P01", "malformed"),
        ("half a pair", startup(version, b"user\0\0"), "08P01", ""),
    ] {
        let mut raw = Raw::connect(rig.weir.port());
        raw.send(&bytes);
        let (told, message, hint) = last_words(&mut raw);
        assert_eq!(told, code, "{name}: {message}");
        assert!(message.contains(word), "{name}: {message}; {hint}");
        rig.unharmed(name);
    }
}

#[test]
fn random_bytes_end_their_own_connection() {
    let mut rig = Rig::new(0, &pool(&[("client_login_timeout", "300ms")]));
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u8::try_from(state >> 56).unwrap()
    };
    for length in [1, 3, 4, 7, 8, 9, 64, 1000, 20_000] {
        let bytes: Vec<u8> = (0..length).map(|_| random()).collect();
        let mut raw = Raw::connect(rig.weir.port());
        raw.send(&bytes);
        while raw.some().is_some() {}
        let mut raw = rig.login();
        raw.send(&bytes);
    }
    rig.unharmed("random bytes");
}

#[test]
fn who_connects_and_says_nothing_is_shown_out() {
    let mut rig = Rig::new(0, &pool(&[("client_login_timeout", "300ms")]));
    let mut half_a_packet = Vec::new();
    wire::put_startup(&mut half_a_packet, 0, &[("user", "app"), ("database", "app")]);
    let whole = half_a_packet.clone();
    half_a_packet.truncate(10);
    for (name, bytes) in
        [("silence", Vec::new()), ("half a packet", half_a_packet), ("no password", whole)]
    {
        let since = now();
        let mut raw = Raw::connect(rig.weir.port());
        raw.send(&bytes);
        let (code, message, _) = last_words(&mut raw);
        assert_eq!(code, "08006", "{name}: {message}");
        assert!(message.contains("client_login_timeout"), "{name}: {message}");
        assert!(since.elapsed() >= Duration::from_millis(300), "{name}");
        rig.unharmed(name);
    }
}

#[test]
fn an_exchange_of_passwords_that_goes_astray_ends_the_login() {
    let mut rig = Rig::new(0, &Config::default());
    let mut hello = Vec::new();
    wire::put_startup(&mut hello, 0, &[("user", "app"), ("database", "app")]);
    for (name, answer) in [
        ("a query", query("SELECT 1")),
        ("an empty password", raw(b'p', b"")),
        ("another mechanism", raw(b'p', b"SCRAM-SHA-1\0\0\0\0\x03n,,")),
        ("no exchange", raw(b'p', b"SCRAM-SHA-256\0\xff\xff\xff\xff")),
        ("garbage", raw(b'p', b"SCRAM-SHA-256\0\0\0\0\x05\xff\xff\xff\xff\xff")),
        ("a huge password", [&b"p\x7f\xff\xff\xff"[..], &[0; 100]].concat()),
    ] {
        let mut raw = Raw::connect(rig.weir.port());
        raw.send(&hello);
        raw.message().expect("a request for the password");
        raw.send(&answer);
        let (code, message, _) = last_words(&mut raw);
        assert_eq!(code, "08P01", "{name}: {message}");
        rig.unharmed(name);
    }
}

#[test]
fn a_message_that_makes_no_sense_ends_its_session() {
    let mut rig = Rig::new(1, &Config::default());
    for (name, bytes) in [
        ("an unknown tag", raw(b'y', b"what?")),
        ("a tag of zero", raw(0, b"")),
        ("a negative length", b"Q\xff\xff\xff\xff".to_vec()),
        ("a length below four", b"Q\0\0\0\x03".to_vec()),
        ("a Query without its end", raw(b'Q', b"SELECT 1")),
        ("a Query with more behind its end", raw(b'Q', b"SELECT 1\0SELECT 2\0")),
        ("a Parse without a text", [raw(b'P', b"s\0"), sync()].concat()),
        ("a Parse whose types are cut off", [raw(b'P', b"s\0SELECT 1\0\0\x02\0"), sync()].concat()),
        ("a Bind without a statement", [raw(b'B', b"p"), sync()].concat()),
        ("a Describe of nothing", [raw(b'D', b"X\0"), sync()].concat()),
        ("a Close of nothing", [raw(b'C', b"?s\0"), sync()].concat()),
        ("an Execute cut off", [raw(b'E', b"\0\0"), sync()].concat()),
        ("a password", raw(b'p', b"secret\0")),
    ] {
        for begin in ["SELECT 1", "BEGIN", "BEGIN READ ONLY"] {
            let mut raw = rig.login();
            drop(raw.talk(&query(begin)));
            raw.send(&bytes);
            let (code, message, _) = last_words(&mut raw);
            assert_eq!(code, "08P01", "{name} behind {begin}: {message}");
        }
        rig.unharmed(name);
    }
}

#[test]
fn a_message_beyond_max_packet_size_is_refused_with_what_to_do() {
    let mut rig = Rig::new(0, &pool(&[("max_packet_size", "64KiB")]));
    let fits = "x".repeat(60_000);
    let too_long = "x".repeat(66_000);
    let mut raw = rig.login();
    assert_eq!(raw.query(&format!("SELECT '{fits}'")).map(|text| text.len()), Some(60_000));
    for bytes in [
        query(&format!("SELECT '{too_long}'")),
        [parse("s", &format!("SELECT '{too_long}'")), sync()].concat(),
        b"d\x40\0\0\0".to_vec(),
    ] {
        let mut raw = rig.login();
        raw.send(&bytes);
        let (code, message, hint) = last_words(&mut raw);
        assert_eq!(code, "54000", "{message}");
        assert!(hint.contains("max_packet_size"), "{hint}");
        rig.unharmed("a message that is too long");
    }
}

#[test]
fn a_session_that_trickles_in_byte_by_byte_is_served() {
    let mut rig = Rig::new(0, &Config::default());
    let mut raw = rig.login();
    let bytes = [parse("s", "SELECT 7"), bind("", "s"), execute("", 0), sync()].concat();
    for byte in &bytes {
        raw.send(&[*byte]);
    }
    assert_eq!(weir_tests::tags(&raw.until_ready()), "12DCZ");
    rig.unharmed("a trickle");
}

#[test]
fn a_server_that_dies_mid_row_ends_only_the_session_it_worked_for() {
    let mut rig = Rig::new(0, &Config::default());
    for sql in [
        "SELECT repeat('x', 100000) FROM generate_series(1, 1000000)",
        "COPY (SELECT repeat('x', 100000) FROM generate_series(1, 1000000)) TO STDOUT",
    ] {
        let mut raw = rig.login();
        raw.send(&query(sql));
        for _ in 0..10 {
            raw.message().expect("rows flow");
        }
        let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                    WHERE usename = 'app' AND query LIKE '%1000000%'";
        assert_eq!(rig.cluster.primary().psql(kill).unwrap(), "1");
        let whole = vec![b'x'; 100_000];
        // A backend that is killed while it writes can't end its row: what follows must not be
        // taken for the rest of it.
        while let Some(message) = raw.message() {
            let row = message.body.trim_ascii_end();
            assert!(row.ends_with(&whole) || message.tag == wire::tag::ERROR, "{}", message.line());
        }
        rig.unharmed("a server's death");
    }
}

#[test]
fn a_server_that_dies_at_work_is_told_as_what_it_may_mean() {
    let mut rig = Rig::new(0, &Config::default());
    drop(rig.other.talk(&query("CREATE TABLE t (id int)")));
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE usename = 'app' AND query LIKE '%sleep(60)%'";
    let mut raw = rig.login();
    raw.send(&query("INSERT INTO t SELECT 1 FROM pg_sleep(60)"));
    let primary = rig.cluster.primary().clone();
    eventually("the server is killed", SOON, || primary.psql(kill).unwrap() == "1");
    let (code, message, _) = raw.message().expect("a word").error();
    assert_eq!(code, "57P01", "{message}");
    assert_eq!(raw.message(), None);
    rig.unharmed("a server's death at a write");
}

#[test]
fn a_read_whose_replica_dies_is_answered_by_the_primary() {
    let mut rig = Rig::new(1, &Config::default());
    let mut raw = rig.login();
    raw.send(&query("/* weir: route=replica */ SELECT count(*) FROM pg_sleep(1)"));
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE usename = 'app' AND query LIKE '%pg_sleep(1)' AND state = 'active'";
    let replica = rig.cluster.replicas()[0].clone();
    eventually("the server is killed", SOON, || replica.psql(kill).unwrap() == "1");
    assert_eq!(weir_tests::tags(&raw.until_ready()), "TDCZ");
    assert_eq!(raw.query("SHOW weir.last_route").as_deref(), Some("primary a retried"));
    rig.unharmed("a replica's death");
}

#[test]
fn a_client_that_vanishes_stops_what_its_server_does() {
    let mut rig = Rig::new(0, &pool(&[("default_pool_size", "3")]));
    drop(rig.other.talk(&query("CREATE TABLE t (id int)")));
    let rows = raw(b'd', b"1\n");
    for (name, bytes) in [
        ("a query", query("SELECT pg_sleep(60)")),
        ("a query in a transaction", query("BEGIN; LOCK TABLE t; SELECT pg_sleep(60)")),
        (
            "an extended query",
            [parse("", "SELECT pg_sleep(60)"), bind("", ""), execute("", 0), sync()].concat(),
        ),
        ("a transaction", query("BEGIN; LOCK TABLE t")),
        ("a COPY", [query("COPY t FROM STDIN"), rows].concat()),
        (
            "a group without its Sync",
            [parse("", "LOCK TABLE t"), weir_tests::say::flush()].concat(),
        ),
        (
            "rows that nobody reads",
            query("SELECT repeat('x', 1000) FROM generate_series(1, 1000000)"),
        ),
    ] {
        for _ in 0..3 {
            let mut raw = rig.login();
            raw.send(&bytes);
            let working = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' \
                           AND state <> 'idle'";
            let primary = rig.cluster.primary().clone();
            let begun = || primary.psql(working).unwrap() != "0";
            if !name.contains("nobody reads") && !name.contains("Sync") {
                eventually("the server is at work", SOON, begun);
            }
        }
        rig.unharmed(name);
        assert!(rig.servers() <= 3, "{name}: {} servers", rig.servers());
        assert_eq!(weir_tests::tags(&rig.other.talk(&query("LOCK TABLE t"))), "EZ");
        assert_eq!(
            weir_tests::tags(&rig.other.talk(&query("BEGIN; LOCK TABLE t; COMMIT"))),
            "CCCZ"
        );
    }
}

#[test]
fn a_client_that_does_not_read_costs_no_memory_and_hinders_nobody() {
    let mut rig = Rig::new(0, &Config::default());
    let before = rig.weir.resident();
    let mut idle: Vec<Raw> = (0..4).map(|_| rig.login()).collect();
    for raw in &mut idle {
        raw.send(&query("SELECT repeat('x', 1000) FROM generate_series(1, 200000)"));
    }
    for _ in 0..100 {
        assert_eq!(rig.other.query("SELECT 1").as_deref(), Some("1"));
    }
    let grown = rig.weir.peak_resident().saturating_sub(before);
    assert!(grown < 16 << 20, "resident memory grew by {grown} bytes");
    drop(idle);
    rig.unharmed("clients that do not read");
}

#[test]
fn a_pipeline_larger_than_all_buffers_is_answered_to_its_end() {
    let mut rig = Rig::new(0, &Config::default());
    let mut raw = rig.login();
    let one =
        [parse("", "SELECT repeat('x', 1000)"), bind("", ""), execute("", 0), sync()].concat();
    // Nothing is read before all is written: 2 MB of requests, 20 MB of answers.
    let groups = 20_000;
    let all = one.repeat(groups);
    std::thread::scope(|scope| {
        let (mut writer, all) = (raw.writer(), &all);
        scope.spawn(move || std::io::Write::write_all(&mut writer, all).unwrap());
        for _ in 0..groups {
            assert_eq!(weir_tests::tags(&raw.until_ready()), "12DCZ");
        }
    });
    rig.unharmed("a long pipeline");
}

#[test]
fn what_a_startup_asks_for_beyond_weir_is_negotiated_or_refused() {
    let mut rig = Rig::new(0, &Config::default());
    let mut newer = Vec::new();
    wire::put_startup(&mut newer, 9, &[("user", "app"), ("database", "app"), ("_pq_.odd", "1")]);
    let mut raw = Raw::connect(rig.weir.port());
    raw.send(&newer);
    let message = raw.message().expect("an offer");
    assert_eq!(message.tag, wire::tag::NEGOTIATE, "{}", message.line());
    let offer = wire::parse_negotiate(&message.body).unwrap();
    assert_eq!((offer.minor, offer.unsupported), (2, vec![&b"_pq_.odd"[..]]));
    assert_eq!(raw.message().expect("a request for the password").tag, wire::tag::AUTHENTICATION);

    let mut raw = Raw::connect(rig.weir.port());
    // GSSENCRequest: 80877104 in a packet of eight bytes.
    raw.send(&[&8_u32.to_be_bytes()[..], &80_877_104_u32.to_be_bytes()].concat());
    assert_eq!(raw.some().as_deref(), Some(&b"N"[..]));

    let refused = Raw::login(rig.weir.port(), "app", &[("options", "-c role=postgres")]);
    assert_eq!(refused.expect_err("app is no superuser").error().0, "42501");
    rig.unharmed("odd startups");
}
