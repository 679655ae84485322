//! Few servers serve many clients, and who gets none is told so.

use std::collections::BTreeSet;

use testkit::{Cluster, Node};
use tokio::task::JoinSet;
use tokio_postgres::NoTls;
use weir_tests::{Config, Weir};

use crate::{failure, one, pool, rig, soon, told};

/// Servers that Weir has open as `user`.
fn servers(node: &Node, user: &str) -> usize {
    let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{user}'");
    node.psql(&sql).unwrap().parse().unwrap()
}

/// So many clients at once, each of which writes and reads in transactions and without.
async fn crowd(weir: &Weir, clients: usize) {
    let mut crowd = JoinSet::new();
    for number in 0..clients {
        let config = weir.config("app", "app");
        crowd.spawn(async move {
            let (mut client, connection) = config.connect(NoTls).await.unwrap();
            drop(tokio::spawn(connection));
            for round in 0..10 {
                let transaction = client.transaction().await.unwrap();
                transaction.execute("INSERT INTO log VALUES ($1)", &[&round]).await.unwrap();
                transaction.commit().await.unwrap();
                let row = client.query_one("SELECT $1::int", &[&round]).await.unwrap();
                assert_eq!(row.get::<_, i32>(0), round, "client {number}");
            }
        });
    }
    while let Some(ended) = crowd.join_next().await {
        ended.unwrap();
    }
}

async fn crowded(clients: usize, config: &Config, most: usize) {
    let (cluster, weir) = rig(0, config);
    let client = weir.client().await;
    client.batch_execute("CREATE TABLE log (round int)").await.unwrap();
    crowd(&weir, clients).await;
    assert_eq!(one(&client, "SELECT count(*) FROM log").await, (clients * 10).to_string());
    let open = servers(cluster.primary(), "app");
    assert!((1..=most).contains(&open), "{open} servers for a pool of {most}");
}

#[tokio::test]
async fn fifty_clients_share_three_servers() {
    crowded(50, &pool(&[("default_pool_size", "3")]), 3).await;
}

#[tokio::test]
async fn two_workers_share_two_servers() {
    let config = Config { more: "workers: 2\n".into(), ..pool(&[("default_pool_size", "2")]) };
    crowded(30, &config, 2).await;
}

#[tokio::test]
async fn workers_whose_clients_never_rest_do_not_trade_their_servers() {
    let config = Config { more: "workers: 2\n".into(), ..pool(&[("default_pool_size", "4")]) };
    let (_cluster, weir) = rig(0, &config);
    let mut crowd = JoinSet::new();
    for _ in 0..32 {
        let client = weir.client().await;
        crowd.spawn(async move {
            for _ in 0..100 {
                client.simple_query("SELECT 1").await.unwrap();
            }
        });
    }
    while let Some(ended) = crowd.join_next().await {
        ended.unwrap();
    }
    let text = weir.admin("GET /metrics", "").body;
    let opened = text.lines().find_map(|line| line.strip_prefix("weir_servers_opened_total "));
    let opened: u32 = opened.unwrap().parse().unwrap();
    // While both have clients they keep what they have; who is done first lets the other have the rest.
    assert!((4..=24).contains(&opened), "{opened} servers were opened for 3,200 statements");
}

#[tokio::test]
async fn with_two_workers_and_one_server_one_worker_serves_all() {
    let config = Config { more: "workers: 2\n".into(), ..pool(&[("default_pool_size", "1")]) };
    crowded(30, &config, 1).await;
}

#[tokio::test]
async fn a_database_may_have_a_pool_of_its_own_size_under_another_name() {
    let more = "databases: { alias: { cluster: main, dbname: app, pool_size: 1 }, \
                app: { cluster: main } }\n";
    let (_cluster, weir) =
        rig(0, &Config { more: more.into(), ..pool(&[("query_wait_timeout", "200ms")]) });
    let (one_client, other) = (
        weir.connect(&weir.config("app", "alias")).await,
        weir.connect(&weir.config("app", "alias")).await,
    );
    assert_eq!(one(&one_client, "SELECT current_database()").await, "app");
    one_client.batch_execute("BEGIN").await.unwrap();
    assert_eq!(failure(&other, "SELECT 1").await.0, "53300");
}

#[tokio::test]
async fn a_client_that_waits_too_long_is_told_and_lives() {
    let (_cluster, weir) =
        rig(0, &pool(&[("default_pool_size", "1"), ("query_wait_timeout", "200ms")]));
    let (holder, waiter) = (weir.client().await, weir.client().await);
    holder.batch_execute("BEGIN").await.unwrap();
    let (code, message, hint) = failure(&waiter, "SELECT 1").await;
    assert_eq!(code, "53300", "{message}");
    assert!(hint.contains("default_pool_size"), "{hint}");
    // By the extended protocol too.
    let error = waiter.query("SELECT 1", &[]).await.expect_err("no server is free");
    assert_eq!(told(&error).0, "53300");
    holder.batch_execute("COMMIT").await.unwrap();
    assert_eq!(one(&waiter, "SELECT 1").await, "1");
    assert_eq!(one(&holder, "SELECT 1").await, "1");
}

#[tokio::test]
async fn who_waits_is_served_as_soon_as_a_server_is_free() {
    let (_cluster, weir) = rig(0, &pool(&[("default_pool_size", "1")]));
    let (holder, waiter) = (weir.client().await, weir.client().await);
    holder.batch_execute("BEGIN; SELECT 1").await.unwrap();
    let waiting = tokio::spawn(async move { one(&waiter, "SELECT 7").await });
    // A whole round trip later it still waits.
    assert_eq!(one(&holder, "SELECT 1").await, "1");
    assert!(!waiting.is_finished());
    holder.batch_execute("COMMIT").await.unwrap();
    assert_eq!(waiting.await.unwrap(), "7");
}

#[tokio::test]
async fn one_client_more_than_max_client_conn_is_refused_until_another_leaves() {
    let (_cluster, weir) = rig(0, &pool(&[("max_client_conn", "2")]));
    let (first, second) = (weir.client().await, weir.client().await);
    let error = weir.config("app", "app").connect(NoTls).await.err().expect("two are in");
    let (code, _, hint) = told(&error);
    assert_eq!(code, "53300");
    assert!(hint.contains("max_client_conn"), "{hint}");
    assert_eq!(one(&second, "SELECT 1").await, "1");
    drop(first);
    soon("a place is free", async || weir.config("app", "app").connect(NoTls).await.is_ok()).await;
}

#[tokio::test]
async fn in_session_mode_a_client_keeps_its_server_until_it_leaves() {
    let (cluster, weir) = rig(
        1,
        &pool(&[("mode", "session"), ("default_pool_size", "2"), ("query_wait_timeout", "200ms")]),
    );
    let (first, second) = (weir.client().await, weir.client().await);
    let mut pids = BTreeSet::new();
    for _ in 0..3 {
        pids.insert(one(&first, "SELECT pg_backend_pid()").await);
        one(&second, "SELECT pg_backend_pid()").await;
    }
    assert_eq!(pids.len(), 1);
    assert_eq!(one(&first, "SHOW weir.last_route").await, "primary a session_pool");
    first.batch_execute("CREATE TEMP TABLE mine (); SET TimeZone = 'Asia/Tokyo'").await.unwrap();
    let third = weir.client().await;
    assert_eq!(failure(&third, "SELECT 1").await.0, "53300");
    drop(first);
    soon("a server is free", async || third.simple_query("SELECT 1").await.is_ok()).await;
    assert!(servers(cluster.primary(), "app") <= 2);
    assert_ne!(one(&third, "SHOW TimeZone").await, "Asia/Tokyo");
    assert_eq!(failure(&third, "TABLE mine").await.0, "42P01");
}

#[tokio::test]
async fn servers_ask_for_passwords_as_they_like() {
    let (_cluster, weir) = rig(0, &Config::default());
    for user in ["app", "md5user", "plainuser", "postgres"] {
        let client = weir.connect(&weir.config(user, "app")).await;
        assert_eq!(one(&client, "SELECT current_user").await, user);
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_look_alike() {
    let (_cluster, weir) = rig(0, &Config::default());
    let mut wrong = weir.config("app", "app");
    wrong.password("guess");
    let unknown = weir.config("nobody", "app");
    for (config, user) in [(wrong, "app"), (unknown, "nobody")] {
        let error = config.connect(NoTls).await.err().expect("the login fails");
        let (code, message, hint) = told(&error);
        assert_eq!(code, "28P01");
        assert_eq!(message, format!("password authentication failed for user \"{user}\""));
        assert!(hint.contains("auth.users"), "{hint}");
    }
}

#[tokio::test]
async fn a_user_that_the_servers_do_not_let_in_hears_their_words() {
    let more = "databases: { '*': { cluster: main } }\n";
    let (cluster, weir) = rig(0, &Config { more: more.into(), ..Config::default() });
    cluster.primary().psql("ALTER ROLE app PASSWORD 'changed'").unwrap();
    let error = weir.config("app", "app").connect(NoTls).await.err().expect("the login fails");
    let (code, message, _) = told(&error);
    assert_eq!(code, "28P01");
    assert!(message.contains("password authentication failed for user \"app\""), "{message}");
}

#[tokio::test]
async fn an_unknown_database_is_refused_by_weir_or_by_postgres() {
    let more = "databases: { app: { cluster: main } }\n";
    let cluster = Cluster::builder().start().unwrap();
    let strict = Config { more: more.into(), ..Config::default() };
    for (config, word) in [
        (strict, "weir: database \"nowhere\" is not configured"),
        (Config::default(), "database \"nowhere\" does not exist"),
    ] {
        let weir = Weir::start(crate::WEIR, &cluster, &config);
        let refused = weir.config("app", "nowhere").connect(NoTls).await;
        let (code, message, _) = told(&refused.err().expect("there is none"));
        assert_eq!((code.as_str(), message.as_str()), ("3D000", word));
        assert_eq!(one(&weir.client().await, "SELECT 1").await, "1");
    }
}

#[tokio::test]
async fn the_reserve_is_opened_to_a_client_that_has_waited_long_enough() {
    let sizes = [
        ("default_pool_size", "1"),
        ("reserve_pool_size", "1"),
        ("reserve_pool_timeout", "200ms"),
        ("query_wait_timeout", "2s"),
    ];
    let (cluster, weir) = rig(0, &pool(&sizes));
    let (first, second, third) = (weir.client().await, weir.client().await, weir.client().await);
    first.batch_execute("BEGIN").await.unwrap();
    let since = weir_tests::now();
    second.batch_execute("BEGIN").await.unwrap();
    assert!(since.elapsed() >= std::time::Duration::from_millis(200), "{:?}", since.elapsed());
    assert_eq!(servers(cluster.primary(), "app"), 2);
    let (code, message, _) = failure(&third, "BEGIN").await;
    assert_eq!(code, "53300", "{message}");
}

#[tokio::test]
async fn idle_servers_are_closed_after_server_idle_timeout() {
    let (cluster, weir) = rig(0, &pool(&[("server_idle_timeout", "1s")]));
    let client = weir.client().await;
    assert_eq!(one(&client, "SELECT count(*) FROM pg_class WHERE false").await, "0");
    assert_eq!(servers(cluster.primary(), "app"), 1);
    soon("the idle server is closed", async || servers(cluster.primary(), "app") == 0).await;
    assert_eq!(one(&client, "SELECT count(*) FROM pg_class WHERE false").await, "0");
}

#[tokio::test]
async fn a_server_is_replaced_once_it_is_as_old_as_server_lifetime() {
    let (_cluster, weir) = rig(0, &pool(&[("server_lifetime", "1s")]));
    let client = weir.client().await;
    let first = one(&client, "SELECT pg_backend_pid()::text").await;
    soon("another server serves", async || {
        one(&client, "SELECT pg_backend_pid()::text").await != first
    })
    .await;
}
