//! Routes and `weir.*`: what a session wants, by settings, hints and transactions.

use tokio_postgres::Client;
use weir_tests::{Config, Weir};

use crate::{SOON, failure, one, rig, soon, told};

async fn route(client: &Client) -> String {
    one(client, "SHOW weir.last_route").await
}

/// Where `sql` went; without the node, since reads are spread.
async fn routed(client: &Client, sql: &str) -> String {
    client.batch_execute(sql).await.unwrap();
    let route = route(client).await;
    let mut words = route.split(' ');
    let (side, reason) = (words.next().unwrap_or_default(), words.nth(1).unwrap_or_default());
    format!("{side} {reason}")
}

/// A session whose reads nothing keeps from replicas.
async fn reader(weir: &Weir) -> Client {
    let client = weir.client().await;
    soon("a replica serves", async || routed(&client, "SELECT 1").await == "replica read").await;
    client
}

#[tokio::test]
async fn settings_are_shown_and_set_in_both_protocols() {
    let (_cluster, weir) = rig(1, &Config::default());
    let client = reader(&weir).await;
    for (name, before, after) in [
        ("route", "auto", "primary"),
        ("consistency", "session", "eventual"),
        ("max_lag", "1s", "2s"),
        ("on_stale", "primary", "wait"),
    ] {
        let show = format!("SHOW weir.{name}");
        assert_eq!(one(&client, &show).await, before);
        let statement = client.prepare(&show).await.unwrap();
        assert_eq!(statement.columns()[0].name(), format!("weir.{name}"));
        let row = client.query_one(&statement, &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), before);
        client.execute(&format!("SET weir.{name} = '{after}'"), &[]).await.unwrap();
        assert_eq!(one(&client, &show).await, after);
        let row = client.query_one(&statement, &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), after);
        client.batch_execute(&format!("RESET weir.{name}")).await.unwrap();
        assert_eq!(one(&client, &show).await, before);
        client.batch_execute(&format!("SET weir.{name} TO {after}")).await.unwrap();
        assert_eq!(one(&client, &show).await, after);
    }
    client.batch_execute("RESET ALL").await.unwrap();
    assert_eq!(one(&client, "SHOW weir.route").await, "auto");
}

#[tokio::test]
async fn a_setting_steers_its_session_and_no_other() {
    let (_cluster, weir) = rig(1, &Config::default());
    let (client, other) = (reader(&weir).await, reader(&weir).await);
    client.batch_execute("SET weir.route = 'primary'").await.unwrap();
    assert_eq!(routed(&client, "SELECT 1").await, "primary setting");
    assert_eq!(routed(&other, "SELECT 1").await, "replica read");
    client.batch_execute("SET weir.route = 'replica'").await.unwrap();
    let served = async || routed(&client, "SELECT 1").await == "replica setting";
    soon("a replica as new as the primary was serves", served).await;
}

#[tokio::test]
async fn a_setting_follows_its_transaction() {
    let (_cluster, weir) = rig(1, &Config::default());
    let client = reader(&weir).await;
    for begin in ["BEGIN", "BEGIN; SELECT 1", "BEGIN READ ONLY"] {
        for (end, after) in [("ROLLBACK", "auto"), ("COMMIT", "primary")] {
            client.batch_execute(begin).await.unwrap();
            client.batch_execute("SET weir.route = 'primary'").await.unwrap();
            assert_eq!(one(&client, "SHOW weir.route").await, "primary");
            client.batch_execute(end).await.unwrap();
            assert_eq!(one(&client, "SHOW weir.route").await, after, "{begin} … {end}");
            client.batch_execute("RESET weir.route").await.unwrap();
        }
        client.batch_execute(begin).await.unwrap();
        client.batch_execute("SET LOCAL weir.route = 'primary'").await.unwrap();
        assert_eq!(one(&client, "SHOW weir.route").await, "primary");
        client.batch_execute("COMMIT").await.unwrap();
        assert_eq!(one(&client, "SHOW weir.route").await, "auto", "{begin}, SET LOCAL");
    }
}

#[tokio::test]
async fn a_bad_value_is_refused_and_changes_nothing() {
    let (_cluster, weir) = rig(1, &Config::default());
    let client = reader(&weir).await;
    for sql in [
        "SET weir.route = 'sideways'",
        "SET weir.consistency = 'stronger'",
        "SET weir.max_lag = 'soon'",
        "SET weir.min_lsn = '0/1'",
        "SET weir.nothing = '1'",
        "SHOW weir.nothing",
    ] {
        let (code, message, hint) = failure(&client, sql).await;
        assert_eq!(code, "22023", "{sql}: {message}");
        assert!(!hint.is_empty(), "{sql}: {message}");
        let error = client.execute(sql, &[]).await.expect_err("it is bad in both protocols");
        assert_eq!(told(&error).0, "22023", "{sql}");
    }
    assert_eq!(one(&client, "SHOW weir.route").await, "auto");
    for begin in ["BEGIN", "BEGIN; SELECT 1", "BEGIN READ ONLY"] {
        client.batch_execute(begin).await.unwrap();
        assert_eq!(failure(&client, "SET weir.route = 'sideways'").await.0, "22023");
        assert_eq!(failure(&client, "SELECT 1").await.0, "25P02", "{begin}");
        client.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(one(&client, "SELECT 1").await, "1");
    }
}

#[tokio::test]
async fn settings_come_in_startup_options_too() {
    let (_cluster, weir) = rig(1, &Config::default());
    let mut config = weir.config("app", "app");
    config.options("-c weir.route=primary -c weir.consistency=eventual");
    let client = weir.connect(&config).await;
    assert_eq!(routed(&client, "SELECT 1").await, "primary setting");
    assert_eq!(one(&client, "SHOW weir.consistency").await, "eventual");
    client.batch_execute("SET weir.route = 'replica'").await.unwrap();
    client.batch_execute("RESET weir.route").await.unwrap();
    assert_eq!(
        one(&client, "SHOW weir.route").await,
        "primary",
        "RESET goes back to the startup's"
    );
    config.options("-c weir.route=sideways");
    let error = config.connect(tokio_postgres::NoTls).await.err().expect("it is bad");
    assert_eq!(told(&error).0, "22023");
}

#[tokio::test]
async fn hints_steer_one_statement() {
    let (_cluster, weir) = rig(1, &Config::default());
    let client = reader(&weir).await;
    assert_eq!(
        routed(&client, "SELECT '/* weir: route=primary */'").await,
        "replica read",
        "a literal is no hint"
    );
    let hinted = "/* weir: route=primary */ SELECT 1";
    assert_eq!(routed(&client, hinted).await, "primary hint");
    // A read on the primary is followed by replicas only once they are known to be as new.
    soon("a replica is new enough", async || routed(&client, "SELECT 1").await == "replica read")
        .await;
    client.query(hinted, &[]).await.unwrap();
    assert_eq!(route(&client).await, "primary a hint");
    let hinted = "/* weir: route=replica, max_lag=off */ SELECT 1";
    soon("the replica is new enough", async || routed(&client, hinted).await == "replica hint")
        .await;
    assert_eq!(routed(&client, "/* weir: rout=replica */ SELECT 1").await, "primary hint");
}

#[tokio::test]
async fn a_token_of_one_session_is_waited_for_by_another() {
    let scope = vec![("scope", "connection".to_owned())];
    let (cluster, weir) = rig(1, &Config { reads: scope, ..Config::default() });
    let (writer, other) = (weir.client().await, reader(&weir).await);
    let replica = cluster.replicas()[0];
    replica.pause_replay().unwrap();
    writer.batch_execute("CREATE TABLE news ()").await.unwrap();
    let token = one(&writer, "SHOW weir.lsn").await;
    assert_eq!(token.split(':').count(), 3, "{token}");
    other.batch_execute(&format!("SET weir.min_lsn = '{token}'")).await.unwrap();
    assert_eq!(routed(&other, "SELECT 1").await, "primary fence_not_reached");
    assert_eq!(one(&other, "SELECT count(*) FROM news").await, "0");
    replica.resume_replay().unwrap();
    cluster.wait_caught_up(replica, SOON).unwrap();
    let served = async || routed(&other, "SELECT 1").await == "replica read";
    soon("the replica that has caught up serves", served).await;
    let foreign = "1:1:0/1";
    assert_eq!(failure(&other, &format!("SET weir.min_lsn = '{foreign}'")).await.0, "22023");
}

#[tokio::test]
async fn several_statements_in_one_query_go_where_the_strongest_must() {
    let (_cluster, weir) = rig(1, &Config::default());
    let client = reader(&weir).await;
    assert_eq!(routed(&client, "SELECT 1; SELECT 2").await, "replica read");
    client.batch_execute("SET weir.route = 'primary'; SELECT 1").await.unwrap();
    assert_eq!(one(&client, "SHOW weir.route").await, "primary");
    client.batch_execute("RESET weir.route").await.unwrap();
    assert_eq!(routed(&client, "SELECT 1; CREATE TABLE t ()").await, "primary write");
    assert_eq!(one(&client, "SELECT count(*) FROM t").await, "0");
}

#[tokio::test]
async fn a_read_only_transaction_stays_on_one_replica() {
    let (_cluster, weir) = rig(2, &Config::default());
    let client = reader(&weir).await;
    for begin in ["BEGIN READ ONLY", "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"]
    {
        let mut first = String::new();
        soon("a replica takes the transaction", async || {
            client.batch_execute("ROLLBACK").await.unwrap();
            client.batch_execute(begin).await.unwrap();
            client.batch_execute("SELECT 1").await.unwrap();
            first = route(&client).await;
            first.starts_with("replica ")
        })
        .await;
        for _ in 0..5 {
            client.batch_execute("SELECT 1").await.unwrap();
            assert_eq!(route(&client).await, first.replace(" read", " transaction"));
        }
        client.batch_execute("COMMIT").await.unwrap();
    }
    client.batch_execute("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY").await.unwrap();
    assert_eq!(routed(&client, "SELECT 1").await, "primary transaction");
    client.batch_execute("COMMIT").await.unwrap();
}

#[tokio::test]
async fn what_may_not_run_on_a_standby_moves_a_read_only_transaction_or_is_refused() {
    let (_cluster, weir) = rig(1, &Config::default());
    let client = reader(&weir).await;
    client.batch_execute("BEGIN READ ONLY").await.unwrap();
    client.batch_execute("SELECT pg_advisory_xact_lock(1)").await.unwrap();
    assert!(route(&client).await.starts_with("primary a "), "the first statement decides");
    client.batch_execute("COMMIT").await.unwrap();

    let client = reader(&weir).await;
    for sql in [
        "SELECT pg_advisory_lock(1)",
        "UNLISTEN news",
        "SELECT pg_reload_conf()",
        "DECLARE kept CURSOR WITH HOLD FOR SELECT 1",
    ] {
        client.batch_execute("BEGIN READ ONLY; ").await.unwrap();
        client.batch_execute("SELECT 1").await.unwrap();
        let (code, message, hint) = failure(&client, sql).await;
        assert_eq!(code, "25006", "{sql}: {message}");
        assert!(hint.contains("route=primary") || hint.contains("READ ONLY"), "{hint}");
        assert_eq!(failure(&client, "SELECT 1").await.0, "25P02");
        client.batch_execute("ROLLBACK").await.unwrap();
    }
    client.batch_execute("CREATE TABLE not_kept (id int)").await.unwrap();
    // A setting travels, so it may be made there.
    client.batch_execute("BEGIN READ ONLY").await.unwrap();
    client.batch_execute("SELECT 1").await.unwrap();
    client.batch_execute("SET work_mem = '1MB'; COMMIT").await.unwrap();
    assert_eq!(one(&client, "SHOW work_mem").await, "1MB");
}

#[tokio::test]
async fn a_read_only_transaction_may_be_made_read_write_before_its_first_query() {
    let (_cluster, weir) = rig(1, &Config::default());
    let client = reader(&weir).await;
    client.batch_execute("CREATE TABLE written (id int)").await.unwrap();
    client.batch_execute("BEGIN READ ONLY").await.unwrap();
    client.batch_execute("SET TRANSACTION READ WRITE").await.unwrap();
    client.batch_execute("INSERT INTO written VALUES (1)").await.unwrap();
    client.batch_execute("COMMIT").await.unwrap();
    client.batch_execute("BEGIN READ ONLY").await.unwrap();
    assert_eq!(failure(&client, "INSERT INTO written VALUES (2)").await.0, "25006");
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(one(&client, "SELECT count(*) FROM written").await, "1");
}

#[tokio::test]
async fn a_replica_that_refuses_a_read_is_not_noticed() {
    let (cluster, weir) = rig(1, &Config::default());
    let client = weir.client().await;
    client
        .batch_execute(
            "CREATE TABLE counted (n int); INSERT INTO counted VALUES (0); \
             CREATE FUNCTION sly() RETURNS int STABLE LANGUAGE plpgsql AS \
             $$ BEGIN UPDATE counted SET n = n + 1; RETURN 1; END $$",
        )
        .await
        .unwrap();
    let refused = failure(&client, "SELECT sly()").await;
    assert_eq!(refused.0, "0A000", "a STABLE function may not write at all: {}", refused.1);
    client
        .batch_execute(
            "CREATE SEQUENCE s; CREATE FUNCTION sly_number() RETURNS bigint STABLE \
             LANGUAGE plpgsql AS $$ BEGIN RETURN nextval('s'); END $$",
        )
        .await
        .unwrap();
    cluster.wait_caught_up(cluster.replicas()[0], SOON).unwrap();
    soon("the function is known as stable", async || {
        weir.explain("app", "SELECT sly_number()").json()["class"] == "read"
    })
    .await;
    for wanted in 1..=5 {
        let got = one(&client, "/* weir: route=replica */ SELECT sly_number()").await;
        assert_eq!(got, wanted.to_string());
        let row = client.query_one("SELECT sly_number() - 1000", &[]).await.unwrap();
        assert!(row.get::<_, i64>(0) < 0);
        client.batch_execute("SELECT setval('s', 1, false)").await.unwrap();
        client.batch_execute(&format!("SELECT setval('s', {wanted}, true)")).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_users_reads_say_wins_over_the_database_and_not_over_the_session() {
    let users = "auth:\n  method: scram-sha-256\n  users:\n    \
                 app: { password: app, reads: { route: primary } }\n    \
                 postgres: { password: postgres }\n";
    let config = Config { users: Some(users.to_owned()), ..Config::default() };
    let (_cluster, weir) = rig(1, &config);
    let (app, other) = (weir.client().await, weir.connect(&weir.config("postgres", "app")).await);
    assert_eq!(routed(&app, "SELECT 1").await, "primary config");
    soon("a replica serves", async || routed(&other, "SELECT 1").await == "replica read").await;
    app.batch_execute("SET weir.route = auto").await.unwrap();
    soon("a replica serves", async || routed(&app, "SELECT 1").await == "replica read").await;
    app.batch_execute("RESET weir.route").await.unwrap();
    assert_eq!(one(&app, "SHOW weir.route").await, "primary");
    assert_eq!(routed(&app, "SELECT 1").await, "primary config");
    let question = serde_json::json!({ "database": "app", "sql": "SELECT 1", "user": "app" });
    let explained = weir.admin("POST /v1/explain", &question.to_string()).json();
    assert_eq!((&explained["target"], &explained["reason"]), (&"primary".into(), &"config".into()));
}
