//! Reads that carry their proof: served by replicas that caught up since they were measured, never
//! by one that did not, and nobody sees that anything was asked.

use std::time::Duration;

use testkit::Cluster;
use tokio_postgres::{Client, SimpleQueryMessage};
use weir_tests::{Config, Raw, Weir, eventually, say, tags, value};

use crate::WEIR;

const SOON: Duration = Duration::from_secs(20);

fn rig() -> (Cluster, Weir) {
    let cluster = Cluster::builder().replicas(1).trust().start().unwrap();
    let sql = "CREATE TABLE own (id int PRIMARY KEY, n int NOT NULL); INSERT INTO own VALUES (1, 0); \
               GRANT ALL ON own TO app";
    cluster.primary().psql_in("app", sql).unwrap();
    cluster.wait_caught_up(cluster.replicas()[0], SOON).unwrap();
    let weir = Weir::start(WEIR, &cluster, &Config { trust: true, ..Config::default() });
    (cluster, weir)
}

fn guards(weir: &Weir, proof: &str) -> u64 {
    weir.sum(&format!("weir_guards_total{{proof=\"{proof}\"}}"))
}

async fn write_and_read(client: &Client) {
    let SimpleQueryMessage::Row(written) =
        &client.simple_query("UPDATE own SET n = n + 1 WHERE id = 1 RETURNING n").await.unwrap()[1]
    else {
        panic!("no row")
    };
    let read = value(client, "SELECT n FROM own WHERE id = 1").await.unwrap();
    assert_eq!(read.as_deref(), written.get(0), "an own write was not read back");
}

/// Writes and reads in turn until guards pass, so that they are known to be worth trying.
async fn teach(weir: &Weir, client: &Client) {
    for _ in 0..2_000 {
        write_and_read(client).await;
        if guards(weir, "passed") >= 10 {
            return;
        }
    }
    panic!("no guard is ever tried: {}", weir.admin("GET /metrics", "").body);
}

#[tokio::test]
async fn a_read_right_behind_a_write_is_served_by_a_replica_that_proves_it_has_it() {
    let (_cluster, weir) = rig();
    let client = weir.client().await;
    teach(&weir, &client).await;
    let before = (guards(&weir, "passed"), weir.cycles("replica"));
    for _ in 0..500 {
        write_and_read(&client).await;
    }
    let (passed, served) = (guards(&weir, "passed") - before.0, weir.cycles("replica") - before.1);
    assert!(passed > 0 && served >= 250, "{passed} guards passed, {served} of 500 by the replica");
}

#[tokio::test]
async fn a_replica_that_stands_still_fails_its_guards_and_nobody_sees_its_answers() {
    let (cluster, weir) = rig();
    let replica = cluster.replicas()[0].clone();
    let client = weir.client().await;
    let mut failed = 0;
    for _ in 0..10 {
        teach(&weir, &client).await;
        for _ in 0..200 {
            write_and_read(&client).await;
        }
        replica.pause_replay().unwrap();
        for _ in 0..50 {
            write_and_read(&client).await;
        }
        replica.resume_replay().unwrap();
        cluster.wait_caught_up(&replica, SOON).unwrap();
        failed = guards(&weir, "behind");
        if failed > 0 {
            break;
        }
    }
    assert!(failed > 0, "no guard failed while replay stood still");
    // The replica's servers were drained and serve on: none is left amid an answer.
    for _ in 0..200 {
        write_and_read(&client).await;
    }
    let leaked =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = '' AND state <> 'idle'";
    eventually("no server is left busy", SOON, || replica.psql(leaked).unwrap() == "0");
}

#[tokio::test]
async fn a_guard_shows_in_no_reply_of_either_protocol() {
    let (_cluster, weir) = rig();
    let client = weir.client().await;
    teach(&weir, &client).await;
    let mut raw = Raw::login(weir.port(), "app", &[]).unwrap();
    // The server would tell more than anybody wants to know, and the client would see it.
    raw.talk(&say::query("SET client_min_messages = debug5"));
    let passed = guards(&weir, "passed");
    let (mut simple, mut extended) = (Vec::new(), Vec::new());
    for turn in 0..400 {
        raw.talk(&say::query("UPDATE own SET n = n + 1 WHERE id = 1"));
        if turn % 2 == 0 {
            simple.push(tags(&raw.talk(&say::query("SELECT n FROM own"))));
        } else {
            let group = [
                say::parse("", "SELECT n FROM own"),
                say::bind("", ""),
                say::describe_portal(""),
                say::execute("", 0),
                say::sync(),
            ];
            extended.push(tags(&raw.talk(&group.concat())));
        }
    }
    assert!(guards(&weir, "passed") > passed, "no guard was tried");
    let shows = |all: &[String], expected: &str| {
        let odd: Vec<_> =
            all.iter().filter(|tags| tags.replace(['N', 'S'], "") != expected).collect();
        assert!(odd.is_empty(), "{odd:?} instead of {expected}");
    };
    shows(&simple, "TDCZ");
    shows(&extended, "12TDCZ");
}

/// Conversations behind a write, each of several writes of bytes that are answered by so many `ReadyForQuery`.
fn conversations() -> Vec<Vec<(usize, Vec<u8>)>> {
    let read = "SELECT n FROM own WHERE id = 1";
    let run =
        |statement: &str| [say::bind("", statement), say::execute("", 0), say::sync()].concat();
    let unnamed = |sql: &str| [say::parse("", sql), run("")].concat();
    vec![
        vec![(1, say::query(read))],
        vec![(1, unnamed(read)), (1, run(""))],
        vec![
            (1, [say::parse("s", read), say::describe("s"), say::sync()].concat()),
            (1, run("s")),
            (1, [say::close("s"), say::sync()].concat()),
        ],
        // Several groups in one write, the second of which fails.
        vec![(3, [unnamed(read), unnamed("SELECT 1 / (n - n) FROM own"), unnamed(read)].concat())],
        vec![(1, say::query("SELECT 1 / (n - n) FROM own")), (1, say::query(read))],
        vec![
            (1, say::query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")),
            (1, unnamed(read)),
            (1, say::query(read)),
            (1, say::query("COMMIT")),
        ],
        vec![(1, say::query("DISCARD ALL")), (1, say::query(read)), (1, unnamed(read))],
        vec![(1, say::query(read)), (1, say::query("DEALLOCATE ALL")), (1, unnamed(read))],
    ]
}

/// All that is answered, without notices and reports.
fn hold(raw: &mut Raw, conversation: &[(usize, Vec<u8>)]) -> Vec<String> {
    let mut heard = Vec::new();
    for (readies, bytes) in conversation {
        raw.send(bytes);
        for _ in 0..*readies {
            let lines = raw.until_ready().iter().map(weir_tests::Message::line).collect::<Vec<_>>();
            heard.extend(lines.into_iter().filter(|line| !line.starts_with(['N', 'S'])));
        }
    }
    heard
}

#[tokio::test]
async fn a_guarded_conversation_is_the_one_that_the_server_itself_would_hold() {
    let (cluster, weir) = rig();
    let client = weir.client().await;
    teach(&weir, &client).await;
    let mut through = Raw::login(weir.port(), "app", &[]).unwrap();
    let mut straight = Raw::login(cluster.primary().port(), "app", &[]).unwrap();
    let conversations = conversations();
    let mut passed = vec![0; conversations.len()];
    for turn in 0..20 {
        for (conversation, passed) in conversations.iter().zip(&mut passed) {
            let before = guards(&weir, "passed");
            through.talk(&say::query("UPDATE own SET n = n + 1 WHERE id = 1"));
            let heard = hold(&mut through, conversation);
            assert_eq!(heard, hold(&mut straight, conversation), "in turn {turn}");
            *passed += guards(&weir, "passed") - before;
        }
    }
    assert!(passed.iter().all(|passed| *passed > 0), "guards by conversation: {passed:?}");
}

/// One line of the replica's log for each statement: its process, its transaction, its text.
fn statements(log: &str) -> Vec<(String, String, String)> {
    let line = |line: &str| {
        let (place, text) = line.split_once(" LOG:  ")?;
        let (process, transaction) = place.split_once(' ')?;
        let (_kind, sql) = text.split_once(": ")?;
        Some((process.to_owned(), transaction.to_owned(), sql.to_owned()))
    };
    log.lines().filter_map(line).collect()
}

/// What a guard rests on: its position is read in a transaction that has ended before the client's begins,
/// whatever that is. Within the same one, a snapshot might be taken first.
#[tokio::test]
async fn a_guard_is_a_transaction_of_its_own_in_front_of_the_client_s() {
    let (cluster, weir) = rig();
    let replica = cluster.replicas()[0].clone();
    let client = weir.client().await;
    teach(&weir, &client).await;
    // The virtual transaction ID changes with each transaction (manual, 20.8.3 and 74.1).
    let all = "ALTER SYSTEM SET log_statement = 'all'; ALTER SYSTEM SET log_line_prefix = '%p %v '; \
               SELECT pg_reload_conf()";
    replica.psql(all).unwrap();
    let mut raw = Raw::login(weir.port(), "app", &[]).unwrap();
    let read = "SELECT n FROM own WHERE id = 1";
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    let group = [say::parse("", read), say::bind("", ""), say::execute("", 0), say::sync()];
    let mut seen = [0_u32; 3];
    for turn in 0..600 {
        raw.talk(&say::query("UPDATE own SET n = n + 1 WHERE id = 1"));
        match turn % 3 {
            0 => drop(raw.talk(&say::query(read))),
            1 => drop(raw.talk(&group.concat())),
            _ => {
                raw.talk(&say::query(begin));
                raw.talk(&group.concat());
                raw.talk(&say::query("COMMIT"));
            }
        }
    }
    let logged = statements(&replica.log().unwrap());
    let guards =
        logged.iter().enumerate().filter(|(_, (_, _, sql))| sql.contains("pg_last_wal_replay_lsn"));
    for (place, (process, transaction, _)) in guards {
        let next = logged.iter().skip(place + 1).find(|(other, _, _)| other == process);
        let Some((_, behind, sql)) = next else { continue };
        assert_ne!(transaction, behind, "in one transaction with the guard: {sql}");
        if sql == begin {
            seen[2] += 1;
        } else if sql == read {
            seen[0] += 1;
        } else {
            seen[1] += 1;
            assert!(!sql.contains("COMMIT"), "a guard within a transaction: {sql}");
        }
    }
    assert!(seen[0] > 0 && seen[2] > 0, "what stood behind guards: {seen:?}");
}
