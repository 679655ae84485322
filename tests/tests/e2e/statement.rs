//! `mode: statement`: a server goes back after each statement, and a transaction is one statement.

use weir_tests::say::{bind, execute, flush, parse, query, sync};
use weir_tests::{Config, Raw, tags};

use crate::limits::servers;
use crate::{SOON, failure, one, pool, rig};

#[tokio::test]
async fn a_server_serves_everybody_in_turn_and_blocks_are_refused_before_anything_is_sent() {
    let (cluster, weir) = rig(1, &pool(&[("mode", "statement"), ("default_pool_size", "1")]));
    let (one_client, other) = (weir.client().await, weir.client().await);
    one_client.batch_execute("CREATE TABLE t (n int)").await.unwrap();
    for text in [
        "BEGIN",
        "START TRANSACTION READ ONLY",
        "BEGIN READ ONLY",
        "/* a comment */ begin isolation level serializable",
        "BEGIN; INSERT INTO t VALUES (1); COMMIT",
        "INSERT INTO t VALUES (1); BEGIN",
    ] {
        let (code, message, hint) = failure(&one_client, text).await;
        assert_eq!(code, "25000", "{text}: {message}");
        assert!(message.contains("statement pooling"), "{message}");
        assert!(hint.contains("mode: transaction"), "{hint}");
        // No server is held.
        assert_eq!(one(&other, "SELECT count(*) FROM t WHERE n = 1").await, "0", "{text}");
    }
    assert_eq!(servers(cluster.primary(), "state LIKE 'idle in transaction%'"), 0);
    one_client.batch_execute("INSERT INTO t VALUES (2); INSERT INTO t VALUES (3)").await.unwrap();
    assert_eq!(one(&one_client, "/* weir: route=primary */ SELECT count(*) FROM t").await, "2");
}

#[test]
fn a_refused_block_of_the_extended_protocol_leaves_the_session_in_step() {
    let (_cluster, weir) = rig(0, &pool(&[("mode", "statement")]));
    let mut raw = Raw::login(weir.port(), "app", &[]).unwrap();
    let run = |sql: &str| [parse("", sql), bind("", ""), execute("", 0)].concat();
    let heard = raw.talk(&[run("BEGIN"), run("SELECT 1"), sync()].concat());
    assert_eq!(tags(&heard), "EZ");
    assert_eq!(heard[0].error().0, "25000");
    assert_eq!(heard[1].body, b"I");
    raw.send(&[run("BEGIN"), flush()].concat());
    assert_eq!(raw.message().unwrap().error().0, "25000");
    assert_eq!(tags(&raw.talk(&sync())), "Z");
    assert_eq!(raw.query("SELECT 7").as_deref(), Some("7"));
}

#[test]
fn a_block_that_slips_through_ends_the_session_and_its_server() {
    let (cluster, weir) = rig(0, &pool(&[("mode", "statement"), ("default_pool_size", "1")]));
    let run = |sql: &str| [parse("", sql), bind("", ""), execute("", 0)].concat();
    // More than is gathered before a cycle is routed; and behind a Flush.
    let large = query(&format!("BEGIN; SELECT length('{}')", "x".repeat(400_000)));
    let late = [run("BEGIN"), sync()].concat();
    for (first, then) in [(None, large), (Some([run("SELECT 1"), flush()].concat()), late)] {
        let mut raw = Raw::login(weir.port(), "app", &[]).unwrap();
        if let Some(first) = first {
            raw.talk_until(&first, b'C');
        }
        let heard = raw.talk(&then);
        assert_eq!(heard.last().map(|ready| ready.body.as_slice()), Some(&b"T"[..]));
        assert_eq!(raw.message().expect("a word before the end").error().0, "25000");
        assert_eq!(raw.message(), None);
        weir_tests::eventually("its transaction is gone", SOON, || {
            servers(cluster.primary(), "state LIKE 'idle in transaction%'") == 0
        });
    }
    let mut raw = Raw::login(weir.port(), "app", &[]).unwrap();
    assert_eq!(raw.query("SELECT 1").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_database_may_have_a_mode_of_its_own() {
    let more = "databases: { app: { mode: statement }, '*': {} }\n";
    let (_cluster, weir) = rig(0, &Config { more: more.into(), ..Config::default() });
    assert_eq!(failure(&weir.client().await, "BEGIN").await.0, "25000");
    let client = weir.connect(&weir.config("app", "postgres")).await;
    client.batch_execute("BEGIN; SELECT 1; COMMIT").await.unwrap();
}
