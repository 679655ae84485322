//! Nobody takes more than they may: servers and clients by user and by database.

use testkit::Node;
use tokio_postgres::NoTls;
use weir_tests::{Config, Weir};

use crate::{failure, one, pool, rig, soon, told};

/// Servers that Weir has open where `condition` holds.
pub(crate) fn servers(node: &Node, condition: &str) -> usize {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' \
         AND application_name <> 'weir_probe' AND pid <> pg_backend_pid() AND {condition}"
    );
    node.psql(&sql).unwrap().parse().unwrap()
}

async fn refused(weir: &Weir, user: &str, database: &str) -> (String, String, String) {
    let error = weir.config(user, database).connect(NoTls).await.err().expect("no place is left");
    told(&error)
}

#[tokio::test]
async fn a_databases_users_share_max_db_connections_and_the_next_one_is_told_so() {
    let (cluster, weir) =
        rig(0, &pool(&[("max_db_connections", "2"), ("query_wait_timeout", "300ms")]));
    let (ann, bob) = (weir.client().await, weir.client().await);
    let other = weir.connect(&weir.config("md5user", "app")).await;
    ann.batch_execute("BEGIN").await.unwrap();
    bob.batch_execute("BEGIN").await.unwrap();
    let (code, message, hint) = failure(&other, "SELECT 1").await;
    assert_eq!(code, "53300");
    assert!(message.contains("max_db_connections is 2"), "{message}");
    assert!(hint.contains("max_db_connections"), "{hint}");
    assert!(servers(cluster.primary(), "datname = 'app'") <= 2);
    // Another database of the same user has room.
    let elsewhere = weir.connect(&weir.config("md5user", "postgres")).await;
    assert_eq!(one(&elsewhere, "SELECT 1").await, "1");
}

#[tokio::test]
async fn an_idle_server_of_one_user_makes_room_for_another_user() {
    for more in ["", "workers: 2\n"] {
        let config = Config { more: more.into(), ..pool(&[("max_db_connections", "1")]) };
        let (cluster, weir) = rig(0, &config);
        for user in ["app", "md5user", "app", "md5user"] {
            let client = weir.connect(&weir.config(user, "app")).await;
            assert_eq!(one(&client, "SELECT current_user").await, user);
            assert_eq!(servers(cluster.primary(), "datname = 'app'"), 1);
        }
    }
}

#[tokio::test]
async fn who_waits_gets_what_another_user_kept_as_its_share_and_does_not_use_any_more() {
    let (_cluster, weir) =
        rig(0, &pool(&[("max_db_connections", "2"), ("query_wait_timeout", "5s")]));
    let mut busy = tokio::task::JoinSet::new();
    for user in ["app", "md5user"].repeat(8) {
        let client = weir.connect(&weir.config(user, "app")).await;
        busy.spawn(async move {
            for _ in 0..50 {
                client.batch_execute("SELECT 1").await.unwrap();
            }
            client
        });
    }
    // All stay connected, and one of each user stood in line a moment ago.
    let resting = busy.join_all().await;
    let (one, other) = (weir.client().await, weir.client().await);
    one.batch_execute("BEGIN").await.unwrap();
    other.batch_execute("BEGIN").await.unwrap();
    drop(resting);
}

#[tokio::test]
async fn who_waits_for_another_users_server_gets_one_although_that_user_never_rests() {
    let (_cluster, weir) =
        rig(0, &pool(&[("max_db_connections", "1"), ("query_wait_timeout", "5s")]));
    let mut busy = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let client = weir.client().await;
        busy.spawn(async move {
            loop {
                client.batch_execute("SELECT pg_sleep(0.002)").await.unwrap();
            }
        });
    }
    let other = weir.connect(&weir.config("md5user", "app")).await;
    for _ in 0..3 {
        assert_eq!(one(&other, "SELECT 1").await, "1");
    }
    assert!(busy.try_join_next().is_none(), "nobody failed");
}

#[tokio::test]
async fn a_users_servers_count_over_all_databases() {
    let users = "auth: { users: { app: { password: app, max_user_connections: 1 }, \
                 postgres: { password: postgres } } }\n";
    let config = Config { users: Some(users.into()), ..pool(&[("query_wait_timeout", "300ms")]) };
    let (cluster, weir) = rig(0, &config);
    let here = weir.connect(&weir.config("app", "app")).await;
    let there = weir.connect(&weir.config("app", "postgres")).await;
    here.batch_execute("BEGIN").await.unwrap();
    let (code, message, _) = failure(&there, "SELECT 1").await;
    assert_eq!(code, "53300");
    assert!(message.contains("max_user_connections is 1"), "{message}");
    assert_eq!(servers(cluster.primary(), "usename = 'app'"), 1);
    let other = weir.connect(&weir.config("postgres", "app")).await;
    assert_eq!(one(&other, "SELECT 1").await, "1");
    here.batch_execute("COMMIT").await.unwrap();
    assert_eq!(one(&there, "SELECT 1").await, "1");
}

#[tokio::test]
async fn a_user_may_have_a_pool_size_of_its_own() {
    let users = "auth: { users: { app: { password: app, pool_size: 1 }, \
                 postgres: { password: postgres } } }\n";
    let config = Config { users: Some(users.into()), ..pool(&[("query_wait_timeout", "300ms")]) };
    let (_cluster, weir) = rig(0, &config);
    let (first, second) = (weir.client().await, weir.client().await);
    first.batch_execute("BEGIN").await.unwrap();
    assert_eq!(failure(&second, "SELECT 1").await.0, "53300");
}

#[tokio::test]
async fn clients_of_a_database_and_of_a_user_are_counted() {
    let users = "auth: { users: { app: { password: app, max_user_client_connections: 2 }, \
                 postgres: { password: postgres } } }\n";
    let databases = "databases: { app: { max_db_client_connections: 3 }, '*': {} }\n";
    let config = Config { users: Some(users.into()), more: databases.into(), ..Config::default() };
    let (_cluster, weir) = rig(0, &config);
    let first = weir.connect(&weir.config("app", "app")).await;
    let _second = weir.connect(&weir.config("app", "postgres")).await;
    let (code, message, hint) = refused(&weir, "app", "app").await;
    assert_eq!(code, "53300");
    assert!(message.contains("max_user_client_connections (2) of user \"app\""), "{message}");
    assert!(hint.contains("max_user_client_connections"), "{hint}");
    let _third = weir.connect(&weir.config("postgres", "app")).await;
    let _fourth = weir.connect(&weir.config("postgres", "app")).await;
    let (code, message, hint) = refused(&weir, "postgres", "app").await;
    assert_eq!(code, "53300");
    assert!(message.contains("max_db_client_connections (3) of database \"app\""), "{message}");
    assert!(hint.contains("max_db_client_connections"), "{hint}");
    drop(first);
    soon("a place is free", async || weir.config("postgres", "app").connect(NoTls).await.is_ok())
        .await;
}

#[tokio::test]
async fn who_has_not_proved_to_be_a_user_takes_no_place_of_that_user() {
    let config = pool(&[("max_user_client_connections", "1")]);
    let (_cluster, weir) = rig(0, &config);
    // Begins to log in, and never ends.
    let mut stranger = weir_tests::Raw::connect(weir.port());
    let mut hello = Vec::new();
    wire::put_startup(&mut hello, 0, &[("user", "app"), ("database", "app")]);
    stranger.send(&hello);
    assert_eq!(stranger.message().map(|message| message.tag), Some(b'R'));
    assert_eq!(one(&weir.client().await, "SELECT 1").await, "1");
}

#[tokio::test]
async fn min_pool_size_is_opened_and_outlives_server_idle_timeout_until_the_client_leaves() {
    let (cluster, weir) = rig(
        1,
        &pool(&[("min_pool_size", "3"), ("server_idle_timeout", "1s"), ("server_lifetime", "1h")]),
    );
    let nodes = [cluster.primary(), cluster.replicas()[0]];
    let pids = |node: &Node| {
        node.psql(
            "SELECT string_agg(pid::text, ',' ORDER BY pid) FROM pg_stat_activity \
             WHERE usename = 'app'",
        )
        .unwrap()
    };
    let client = weir.client().await;
    soon("three are open on each node", async || {
        nodes.iter().all(|node| servers(node, "usename = 'app'") == 3)
    })
    .await;
    let before = nodes.map(pids);
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    assert_eq!(nodes.map(pids), before, "the same ones, although they were never used");
    drop(client);
    soon("they go when nobody is there", async || {
        nodes.iter().all(|node| servers(node, "usename = 'app'") == 0)
    })
    .await;
}

#[tokio::test]
async fn a_reload_that_lowers_a_limit_closes_idle_servers() {
    let (cluster, weir) = rig(0, &pool(&[("min_pool_size", "4")]));
    let client = weir.client().await;
    soon("four are open", async || servers(cluster.primary(), "usename = 'app'") == 4).await;
    weir.reload(&cluster, &pool(&[("max_user_connections", "2")]));
    soon("two are open", async || servers(cluster.primary(), "usename = 'app'") == 2).await;
    assert_eq!(one(&client, "SELECT 1").await, "1");
}
