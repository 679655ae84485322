//! What a session set up follows it from server to server, and never reaches another session.

use std::collections::BTreeSet;

use tokio_postgres::Client;
use weir_tests::{Raw, Weir, eventually, say};

use crate::{SOON, failure, one, pool, rig, soon};

/// Makes others change their server: takes one away and gives it back, in turns.
struct Shuffler {
    client: Client,
    open: bool,
}

impl Shuffler {
    async fn new(weir: &Weir) -> Self {
        Self { client: weir.client().await, open: false }
    }

    async fn flip(&mut self) {
        self.open = !self.open;
        let sql = if self.open { "BEGIN; SELECT 1" } else { "COMMIT" };
        self.client.batch_execute(sql).await.unwrap();
    }
}

/// What `sql` answers on each of several servers.
async fn everywhere(weir: &Weir, client: &Client, sql: &str) -> BTreeSet<String> {
    let mut shuffler = Shuffler::new(weir).await;
    let (mut answers, mut pids) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..6 {
        shuffler.flip().await;
        answers.insert(one(client, sql).await);
        pids.insert(one(client, "SELECT pg_backend_pid()").await);
    }
    assert!(pids.len() > 1, "the session changed its server");
    answers
}

fn set(values: &[&str]) -> BTreeSet<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn two_servers() -> (testkit::Cluster, Weir) {
    rig(0, &pool(&[("default_pool_size", "2")]))
}

const SETTINGS: &str = "SELECT current_setting('search_path') || '|' || current_setting('TimeZone') \
                        || '|' || current_setting('application_name')";

#[tokio::test]
async fn settings_follow_the_session_and_nobody_else() {
    let (_cluster, weir) = two_servers();
    let (client, other) = (weir.client().await, weir.client().await);
    let before = everywhere(&weir, &other, SETTINGS).await;
    client.batch_execute("SET search_path TO \"odd, name\", public").await.unwrap();
    client.batch_execute("SET TIME ZONE 'Asia/Tokyo'").await.unwrap();
    client.batch_execute("SELECT set_config('application_name', 'it''s me', false)").await.unwrap();
    let mine = set(&["\"odd, name\", public|Asia/Tokyo|it's me"]);
    assert_eq!(everywhere(&weir, &client, SETTINGS).await, mine);
    assert_eq!(everywhere(&weir, &other, SETTINGS).await, before);
    assert_eq!(everywhere(&weir, &client, SETTINGS).await, mine);
    client.batch_execute("RESET TimeZone").await.unwrap();
    client.batch_execute("SET search_path TO DEFAULT").await.unwrap();
    let reset = set(&["\"$user\", public|UTC|it's me"]);
    assert_eq!(everywhere(&weir, &client, SETTINGS).await, reset);
    client.batch_execute("DISCARD ALL").await.unwrap();
    assert_eq!(everywhere(&weir, &client, SETTINGS).await, before);
}

#[tokio::test]
async fn startup_options_hold_on_every_server_and_are_what_reset_goes_back_to() {
    let (_cluster, weir) = two_servers();
    let mut config = weir.config("app", "app");
    config.application_name("mine").options("-c search_path=a,b -c TimeZone=Asia/Tokyo");
    let client = weir.connect(&config).await;
    let mine = set(&["a,b|Asia/Tokyo|mine"]);
    assert_eq!(everywhere(&weir, &client, SETTINGS).await, mine);
    client.batch_execute("SET TimeZone = 'Europe/Rome'").await.unwrap();
    assert_eq!(everywhere(&weir, &client, SETTINGS).await, set(&["a,b|Europe/Rome|mine"]));
    client.batch_execute("RESET TimeZone").await.unwrap();
    assert_eq!(everywhere(&weir, &client, SETTINGS).await, mine);
    client.batch_execute("SET TimeZone = 'Europe/Rome'").await.unwrap();
    client.batch_execute("RESET ALL").await.unwrap();
    assert_eq!(everywhere(&weir, &client, SETTINGS).await, mine);
    client.batch_execute("DISCARD ALL").await.unwrap();
    assert_eq!(everywhere(&weir, &client, SETTINGS).await, mine);
}

#[tokio::test]
async fn a_bad_startup_option_is_refused_in_postgres_words() {
    let (_cluster, weir) = two_servers();
    let mut config = weir.config("app", "app");
    config.options("-c TimeZone=Nowhere");
    let error = config.connect(tokio_postgres::NoTls).await.err().expect("no such zone");
    let (code, message, _) = crate::told(&error);
    assert_eq!(code, "22023", "{message}");
    assert!(message.contains("TimeZone"), "{message}");
    assert_eq!(one(&weir.client().await, "SELECT 1").await, "1");
}

#[tokio::test]
async fn settings_of_a_transaction_end_with_it() {
    let (_cluster, weir) = two_servers();
    let client = weir.client().await;
    client.batch_execute("SET TimeZone = 'Asia/Tokyo'").await.unwrap();
    for (end, wanted) in [("ROLLBACK", "Asia/Tokyo"), ("COMMIT", "Europe/Rome")] {
        client.batch_execute("BEGIN").await.unwrap();
        client.batch_execute("SET TimeZone = 'Europe/Rome'").await.unwrap();
        client.batch_execute(end).await.unwrap();
        assert_eq!(one(&client, "SHOW TimeZone").await, wanted, "after {end}");
    }
    client.batch_execute("BEGIN").await.unwrap();
    client.batch_execute("SET LOCAL TimeZone = 'UTC'").await.unwrap();
    assert_eq!(one(&client, "SHOW TimeZone").await, "UTC");
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(one(&client, "SHOW TimeZone").await, "Europe/Rome");
    drop(client);
    let other = weir.client().await;
    assert_eq!(everywhere(&weir, &other, "SHOW TimeZone").await, set(&["UTC"]));
}

#[tokio::test]
async fn prepared_statements_survive_changes_of_the_server() {
    let (_cluster, weir) = two_servers();
    let mut client = weir.client().await;
    let statement = client.prepare("SELECT $1::int * 2").await.unwrap();
    let mut shuffler = Shuffler::new(&weir).await;
    let mut pids = BTreeSet::new();
    for round in 0..10 {
        shuffler.flip().await;
        let row = client.query_one(&statement, &[&round]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), round * 2);
        let transaction = client.transaction().await.unwrap();
        let row = transaction.query_one(&statement, &[&round]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), round * 2);
        let pid = transaction.query_one("SELECT pg_backend_pid()", &[]).await.unwrap();
        pids.insert(pid.get::<_, i32>(0));
        transaction.commit().await.unwrap();
    }
    assert!(pids.len() > 1, "the session changed its server");
}

#[tokio::test]
async fn more_statements_than_a_server_keeps_all_go_on_working() {
    let (_cluster, weir) =
        rig(0, &pool(&[("default_pool_size", "2"), ("max_prepared_statements", "3")]));
    let client = weir.client().await;
    let mut statements = Vec::new();
    for number in 0..10 {
        statements.push(client.prepare(&format!("SELECT {number}")).await.unwrap());
    }
    let mut shuffler = Shuffler::new(&weir).await;
    for _ in 0..3 {
        shuffler.flip().await;
        for (number, statement) in (0..).zip(&statements) {
            let row = client.query_one(statement, &[]).await.unwrap();
            assert_eq!(row.get::<_, i32>(0), number);
        }
    }
    let kept = one(&client, "SELECT count(*) FROM pg_prepared_statements").await;
    assert!(kept.parse::<u32>().unwrap() <= 3, "{kept}");
}

#[tokio::test]
async fn a_statement_is_planned_anew_after_its_table_changed() {
    let (_cluster, weir) = two_servers();
    let client = weir.client().await;
    client.batch_execute("CREATE TABLE wide (a int); INSERT INTO wide VALUES (1)").await.unwrap();
    let statement = client.prepare("SELECT a FROM wide").await.unwrap();
    client.query(&statement, &[]).await.unwrap();
    client.batch_execute("ALTER TABLE wide ADD b int").await.unwrap();
    assert_eq!(client.query(&statement, &[]).await.unwrap().len(), 1);
    drop(statement);
    assert_eq!(client.query("SELECT * FROM wide", &[]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_temporary_table_pins_its_session_and_is_gone_with_it() {
    let (cluster, weir) = two_servers();
    let (client, other) = (weir.client().await, weir.client().await);
    client.batch_execute("CREATE TEMP TABLE mine (id int)").await.unwrap();
    client.batch_execute("INSERT INTO mine VALUES (1)").await.unwrap();
    assert_eq!(one(&client, "SHOW weir.last_route").await, "primary a pinned_temporary_relation");
    one(&other, "SELECT pg_backend_pid()").await;
    assert_eq!(one(&client, "SELECT count(*) FROM mine").await, "1");
    assert_eq!(failure(&other, "TABLE mine").await.0, "42P01");
    drop(client);
    let temporary = "SELECT count(*) FROM pg_class WHERE relname = 'mine'";
    let direct = cluster.primary().config_for("app", "app");
    let (direct, connection) = direct.connect(tokio_postgres::NoTls).await.unwrap();
    drop(tokio::spawn(connection));
    soon("the table is gone", async || one(&direct, temporary).await == "0").await;
    assert_eq!(everywhere(&weir, &other, temporary).await, set(&["0"]));
}

#[tokio::test]
async fn an_advisory_lock_pins_its_session_and_is_free_when_it_leaves() {
    let (_cluster, weir) = two_servers();
    let (client, other) = (weir.client().await, weir.client().await);
    client.batch_execute("SELECT pg_advisory_lock(7)").await.unwrap();
    one(&client, "SELECT 1").await;
    assert_eq!(one(&client, "SHOW weir.last_route").await, "primary a pinned_advisory_lock");
    assert_eq!(one(&other, "SELECT pg_try_advisory_lock(7)").await, "f");
    drop(client);
    soon("the lock is free", async || one(&other, "SELECT pg_try_advisory_lock(7)").await == "t")
        .await;
}

#[tokio::test]
async fn discard_all_ends_a_pin() {
    let (_cluster, weir) = two_servers();
    let client = weir.client().await;
    client.batch_execute("CREATE TEMP TABLE mine ()").await.unwrap();
    client.batch_execute("DISCARD ALL").await.unwrap();
    one(&client, "SELECT pg_backend_pid()").await;
    assert_eq!(one(&client, "SHOW weir.last_route").await, "primary a primary_read");
    assert_eq!(everywhere(&weir, &client, "SELECT 1").await, set(&["1"]));
}

#[test]
fn notifications_reach_a_listener_that_asks_nothing() {
    let (_cluster, weir) = two_servers();
    let mut listener = Raw::login(weir.port(), "app", &[]).unwrap();
    let mut speaker = Raw::login(weir.port(), "app", &[]).unwrap();
    drop(listener.talk(&say::query("LISTEN news")));
    assert_eq!(listener.query("SHOW weir.last_route").as_deref(), Some("primary a write"));
    drop(speaker.talk(&say::query("NOTIFY news, 'hello'")));
    let message = listener.message().expect("a message");
    assert_eq!(message.tag, wire::tag::NOTIFICATION, "{}", message.line());
    assert!(message.body.ends_with(b"news\0hello\0"), "{}", message.line());
    assert_eq!(listener.query("SELECT 1").as_deref(), Some("1"));
    assert_eq!(listener.query("SHOW weir.last_route").as_deref(), Some("primary a pinned_listen"));
}

#[test]
fn a_listener_that_left_leaves_nothing_behind() {
    let (cluster, weir) = two_servers();
    let mut listener = Raw::login(weir.port(), "app", &[]).unwrap();
    drop(listener.talk(&say::query("LISTEN news")));
    drop(listener);
    let open = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'";
    eventually("its server is closed", SOON, || cluster.primary().psql(open).unwrap() == "0");
    let mut other = Raw::login(weir.port(), "app", &[]).unwrap();
    drop(other.talk(&say::query("NOTIFY news, 'hello'")));
    assert_eq!(weir_tests::tags(&other.talk(&say::query("SELECT 1"))), "TDCZ");
}

#[tokio::test]
async fn settings_made_by_the_extended_protocol_follow_too() {
    let (_cluster, weir) = two_servers();
    let client = weir.client().await;
    client.execute("SET TimeZone = 'Asia/Tokyo'", &[]).await.unwrap();
    client.query("SELECT set_config('application_name', 'mine', false)", &[]).await.unwrap();
    client.execute("SET search_path TO a, b", &[]).await.unwrap();
    assert_eq!(everywhere(&weir, &client, SETTINGS).await, set(&["a, b|Asia/Tokyo|mine"]));
    client.execute("RESET ALL", &[]).await.unwrap();
    assert_eq!(everywhere(&weir, &client, "SHOW TimeZone").await, set(&["UTC"]));
}

#[tokio::test]
async fn a_role_that_was_taken_on_is_not_passed_on() {
    let (_cluster, weir) = rig(0, &pool(&[("default_pool_size", "1")]));
    let config = weir.config("postgres", "app");
    for sql in ["SET ROLE app", "SET SESSION AUTHORIZATION app", "SET LOCAL ROLE app"] {
        let client = weir.connect(&config).await;
        client.batch_execute(sql).await.unwrap();
        let role = one(&client, "SELECT current_user").await;
        assert_eq!(role, if sql.contains("LOCAL") { "postgres" } else { "app" }, "{sql}");
        drop(client);
        let next = weir.connect(&config).await;
        assert_eq!(one(&next, "SELECT current_user || session_user").await, "postgrespostgres");
    }
}

#[tokio::test]
async fn what_functions_set_for_a_session_reaches_no_other() {
    let (_cluster, weir) = rig(0, &pool(&[("default_pool_size", "1")]));
    let owner = weir.client().await;
    owner
        .batch_execute(
            "CREATE FUNCTION enter(tenant text) RETURNS void LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM set_config('app.tenant', tenant, false); END $$; \
             CREATE FUNCTION by_trigger() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM set_config('app.tenant', 'hers', false); RETURN NEW; END $$; \
             CREATE TABLE seen (id int); \
             CREATE TRIGGER t BEFORE INSERT ON seen FOR EACH ROW EXECUTE FUNCTION by_trigger()",
        )
        .await
        .unwrap();
    eventually("Weir knows the functions", SOON, || {
        let explained = weir.explain("app", "SELECT enter('x')").json();
        explained["effects"].to_string().contains("pin session_setting")
    });
    drop(owner);
    let tenant = "SELECT coalesce(nullif(current_setting('app.tenant', true), ''), 'nobody')";
    let client = weir.client().await;
    client.batch_execute("INSERT INTO seen VALUES (1)").await.unwrap();
    let other = weir.client().await;
    assert_eq!(one(&other, tenant).await, "nobody");
    // Who calls it by name keeps what it set, and the server with it.
    client.batch_execute("SELECT enter('mine')").await.unwrap();
    assert_eq!(one(&client, tenant).await, "mine");
    assert_eq!(one(&client, "SHOW weir.last_route").await, "primary a pinned_session_setting");
    drop(client);
    assert_eq!(one(&other, tenant).await, "nobody");
}

#[test]
fn a_client_hears_what_the_server_that_it_comes_to_reports_otherwise() {
    let cluster = testkit::Cluster::builder().replicas(1).start().unwrap();
    let replica = cluster.replicas()[0];
    replica.psql("ALTER SYSTEM SET timezone = 'Asia/Tokyo'").unwrap();
    replica.psql("SELECT pg_reload_conf()").unwrap();
    eventually("the replica has another time zone", SOON, || {
        replica.psql("SHOW timezone").unwrap() == "Asia/Tokyo"
    });
    let reads = vec![("consistency", "eventual".to_owned())];
    let weir = Weir::start(crate::WEIR, &cluster, &crate::Config { reads, ..pool(&[]) });
    let mut raw = Raw::login(weir.port(), "app", &[]).unwrap();
    // To the replica, on it, and back.
    for (sql, told) in [
        ("SELECT 1", Some("Asia/Tokyo")),
        ("SELECT 2", None),
        ("SELECT pg_current_xact_id()", Some("UTC")),
    ] {
        let heard = raw.talk(&say::query(sql));
        let status = heard.iter().find(|message| message.tag == wire::tag::PARAMETER_STATUS);
        let wanted = told.map(|zone| format!("S TimeZone\\x00{zone}\\x00"));
        assert_eq!(status.map(weir_tests::Message::line), wanted, "{sql}");
    }
}

#[tokio::test]
async fn who_keeps_its_server_keeps_what_a_trigger_set_there() {
    for (mode, first) in [("session", "SELECT 1"), ("transaction", "CREATE TEMP TABLE mine ()")] {
        let (_cluster, weir) = rig(0, &pool(&[("default_pool_size", "2"), ("mode", mode)]));
        let client = weir.client().await;
        client
            .batch_execute(
                "CREATE FUNCTION by_trigger() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN PERFORM set_config('app.x', 'set', false); RETURN NEW; END $$; \
                 CREATE TABLE seen (id int); \
                 CREATE TRIGGER t BEFORE INSERT ON seen FOR EACH ROW EXECUTE FUNCTION by_trigger()",
            )
            .await
            .unwrap();
        eventually("Weir knows the function", SOON, || {
            let explained = weir.explain("app", "INSERT INTO seen VALUES (1)").json();
            explained["effects"].to_string().contains("unseen")
        });
        client.batch_execute(first).await.unwrap();
        client.batch_execute("INSERT INTO seen VALUES (1)").await.unwrap();
        client.batch_execute("DO $$ BEGIN NULL; END $$").await.unwrap();
        for _ in 0..2 {
            assert_eq!(one(&client, "SHOW app.x").await, "set", "{mode}");
        }
    }
}

#[tokio::test]
async fn what_a_function_locked_keeps_its_session_there_until_it_is_unlocked() {
    let (_cluster, weir) = two_servers();
    let client = weir.client().await;
    client
        .batch_execute(
            "CREATE FUNCTION lock_it() RETURNS void LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_advisory_lock(9); END $$",
        )
        .await
        .unwrap();
    eventually("Weir knows the function", SOON, || {
        let explained = weir.explain("app", "SELECT lock_it()").json();
        explained["effects"].to_string().contains("may leave anything")
    });
    client.batch_execute("SELECT lock_it()").await.unwrap();
    one(&client, "SELECT 1").await;
    assert_eq!(one(&client, "SHOW weir.last_route").await, "primary a pinned_advisory_lock");
    client.batch_execute("SELECT pg_advisory_unlock(9)").await.unwrap();
    one(&client, "SELECT pg_backend_pid()").await;
    assert_eq!(one(&client, "SHOW weir.last_route").await, "primary a primary_read");
}

#[tokio::test]
async fn where_pins_are_forbidden_what_would_pin_is_refused_and_nothing_else() {
    let more = "databases: { \"*\": { cluster: main, pin: never } }\n";
    let config = crate::Config { more: more.into(), ..pool(&[("default_pool_size", "1")]) };
    let (_cluster, weir) = rig(0, &config);
    let (client, other) = (weir.client().await, weir.client().await);
    for sql in [
        "CREATE TEMP TABLE mine ()",
        "SELECT pg_advisory_lock(1)",
        "LISTEN news",
        "PREPARE mine AS SELECT 1",
        "DECLARE mine CURSOR WITH HOLD FOR SELECT 1",
        "LOAD 'auto_explain'",
    ] {
        let (code, message, hint) = failure(&client, sql).await;
        assert_eq!(code, "55000", "{sql}: {message}");
        assert!(message.contains("pin: never") && !hint.is_empty(), "{message}");
        let told = client.query(sql, &[]).await.expect_err("refused by the other protocol, too");
        assert_eq!(crate::told(&told).0, "55000", "{sql}");
        assert_eq!(one(&other, "SELECT 1").await, "1", "nobody holds the server behind {sql}");
    }
    // Within a transaction it fails as any other error does.
    client.batch_execute("BEGIN").await.unwrap();
    assert_eq!(failure(&client, "LISTEN news").await.0, "55000");
    assert_eq!(failure(&client, "SELECT 1").await.0, "25P02");
    client.batch_execute("ROLLBACK").await.unwrap();
    client.batch_execute("SET search_path TO x; SELECT pg_advisory_xact_lock(1)").await.unwrap();
    assert_eq!(one(&other, "SELECT 1").await, "1");
}

#[tokio::test]
async fn what_a_role_begins_with_holds_for_all_once_it_is_changed() {
    let (_cluster, weir) = two_servers();
    let owner = weir.connect(&weir.config("postgres", "app")).await;
    let client = weir.client().await;
    assert_eq!(one(&client, "SHOW work_mem").await, "4MB");
    owner.batch_execute("ALTER ROLE app SET work_mem = '5MB'").await.unwrap();
    assert_eq!(everywhere(&weir, &weir.client().await, "SHOW work_mem").await, set(&["5MB"]));
}

#[tokio::test]
async fn what_lives_in_one_server_keeps_the_session_there() {
    let (_cluster, weir) = two_servers();
    for (sql, then, wanted, pin) in [
        ("PREPARE mine AS SELECT 7", "EXECUTE mine", "7", "pinned_prepare"),
        ("DECLARE mine CURSOR WITH HOLD FOR SELECT 7", "FETCH mine", "7", "pinned_hold_cursor"),
    ] {
        let (client, mut shuffler) = (weir.client().await, Shuffler::new(&weir).await);
        client.batch_execute(sql).await.unwrap();
        shuffler.flip().await;
        assert_eq!(one(&client, then).await, wanted, "{sql}");
        assert_eq!(one(&client, "SHOW weir.last_route").await, format!("primary a {pin}"));
        shuffler.flip().await;
    }
}

#[tokio::test]
async fn many_queries_of_one_client_at_once_are_answered_each_its_own() {
    let (_cluster, weir) = rig(1, &pool(&[("default_pool_size", "2")]));
    let client = std::sync::Arc::new(weir.client().await);
    client.batch_execute("CREATE TABLE log (n int)").await.unwrap();
    let mut queries = tokio::task::JoinSet::new();
    for number in 0..300 {
        let client = std::sync::Arc::clone(&client);
        queries.spawn(async move {
            match number % 5 {
                0 => {
                    let error = client.query("SELECT 1/0", &[]).await.expect_err("a division");
                    assert_eq!(crate::told(&error).0, "22012");
                }
                1 => {
                    client.execute("INSERT INTO log VALUES ($1)", &[&number]).await.unwrap();
                }
                _ => {
                    let row = client.query_one("SELECT $1::int", &[&number]).await.unwrap();
                    assert_eq!(row.get::<_, i32>(0), number);
                }
            }
        });
    }
    while let Some(ended) = queries.join_next().await {
        ended.unwrap();
    }
    assert_eq!(one(&client, "SELECT count(*) FROM log").await, "60");
}

#[tokio::test]
async fn the_last_value_of_a_sequence_is_the_sessions_own_or_refused() {
    let (_cluster, weir) = two_servers();
    let (client, other) = (weir.client().await, weir.client().await);
    client.batch_execute("CREATE TABLE drawn (id serial)").await.unwrap();
    let mut shuffler = Shuffler::new(&weir).await;
    client.batch_execute("INSERT INTO drawn DEFAULT VALUES").await.unwrap();
    shuffler.flip().await;
    other.batch_execute("INSERT INTO drawn DEFAULT VALUES").await.unwrap();
    let refused = client.query_one("SELECT lastval()", &[]).await.unwrap_err();
    let (code, _, hint) = crate::told(&refused);
    assert_eq!(code, "55000");
    assert!(hint.contains("RETURNING"), "{hint}");
    client.batch_execute("BEGIN; INSERT INTO drawn DEFAULT VALUES").await.unwrap();
    assert_eq!(one(&client, "SELECT lastval()").await, "3");
    client.batch_execute("COMMIT").await.unwrap();
    // Asked for once within a transaction, the session keeps its server.
    drop(shuffler);
    other.batch_execute("INSERT INTO drawn DEFAULT VALUES").await.unwrap();
    assert_eq!(one(&client, "SELECT lastval()").await, "3");
}

#[tokio::test]
async fn a_session_that_deallocates_weirs_own_statements_disturbs_nobody() {
    let (_cluster, weir) = rig(0, &pool(&[("default_pool_size", "1")]));
    let (client, vandal) = (weir.client().await, weir.client().await);
    let statement = client.prepare("SELECT $1::int + 1").await.unwrap();
    let sum = async |by: i32| client.query_one(&statement, &[&by]).await.unwrap().get::<_, i32>(0);
    assert_eq!(sum(1).await, 2);
    for number in 1..20 {
        // Some of these names exist on the one server, most do not.
        drop(vandal.batch_execute(&format!("DEALLOCATE weir_{number}")).await);
        assert_eq!(sum(number).await, number + 1);
    }
}
