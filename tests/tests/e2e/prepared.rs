//! Prepared statements outlive changes of the server and of the schema, and mean the same throughout.

use tokio_postgres::Client;
use weir_tests::say::{bind, describe, execute, flush, parse, query, sync};
use weir_tests::{Message, Raw, Route, Weir, tags};

use crate::{SOON, one, pool, rig};

/// Takes servers away and gives them back, so that sessions have to move.
async fn flip(shuffler: &Client, open: &mut bool) {
    *open = !*open;
    let sql = if *open { "BEGIN; SELECT 1" } else { "COMMIT" };
    shuffler.batch_execute(sql).await.unwrap();
}

fn two_servers() -> (testkit::Cluster, Weir) {
    rig(0, &pool(&[("default_pool_size", "2")]))
}

fn run(raw: &mut Raw, name: &str) -> Vec<Message> {
    raw.talk(&[bind("", name), execute("", 0), sync()].concat())
}

/// Has both servers of a pool prepare what `raw` knows by `name`.
fn spread(weir: &Weir, raw: &mut Raw, name: &str) {
    let mut holder = Raw::login(weir.port(), "app", &[]).unwrap();
    assert_eq!(tags(&run(raw, name)), "2DCZ");
    drop(holder.talk(&query("BEGIN; SELECT 1")));
    assert_eq!(tags(&run(raw, name)), "2DCZ");
    drop(holder.talk(&query("COMMIT")));
}

fn code(messages: &[Message]) -> String {
    messages[0].error().0
}

#[test]
fn a_client_that_knows_other_columns_is_told_so_on_every_server() {
    for spread_before in [true, false] {
        let (_cluster, weir) = two_servers();
        let login = || Raw::login(weir.port(), "app", &[]).unwrap();
        let (mut old, mut owner) = (login(), login());
        drop(owner.talk(&query("CREATE TABLE wide (a int); INSERT INTO wide VALUES (1)")));
        let said = [parse("s", "TABLE wide"), describe("s"), sync()].concat();
        assert_eq!(tags(&old.talk(&said)), "1tTZ");
        if spread_before {
            spread(&weir, &mut old, "s");
        }
        drop(owner.talk(&query("ALTER TABLE wide ADD b int DEFAULT 5")));
        // On each of the servers, whether it has the statement or not, and as often as it asks: what
        // was prepared to compare must not be run instead.
        for held in ["BEGIN; SELECT 1", "COMMIT"] {
            drop(owner.talk(&query(held)));
            for _ in 0..3 {
                assert_eq!(code(&run(&mut old, "s")), "0A000", "{spread_before}, {held}");
            }
        }
        // As drivers do then.
        let again = [parse("t", "TABLE wide"), describe("t"), sync()].concat();
        assert_eq!(tags(&old.talk(&again)), "1tTZ");
        assert_eq!(tags(&run(&mut old, "t")), "2DCZ");
    }
}

#[test]
fn a_statement_that_is_new_is_never_called_stale() {
    let (_cluster, weir) = two_servers();
    let login = || Raw::login(weir.port(), "app", &[]).unwrap();
    let (mut old, mut owner) = (login(), login());
    drop(owner.talk(&query("CREATE TABLE wide (a int); INSERT INTO wide VALUES (1)")));
    drop(old.talk(&[parse("s", "TABLE wide"), sync()].concat()));
    spread(&weir, &mut old, "s");
    drop(owner.talk(&query("ALTER TABLE wide ADD b int DEFAULT 5")));
    for _ in 0..2 {
        let mut new = login();
        let heard = new.talk(&[parse("n", "TABLE wide"), describe("n"), sync()].concat());
        assert_eq!(tags(&heard), "1tTZ");
        assert!(heard[2].line().contains("b\\x00"), "the new column: {}", heard[2].line());
        assert_eq!(tags(&run(&mut new, "n")), "2DCZ");
        drop(owner.talk(&query("BEGIN; SELECT 1")));
    }
}

#[test]
fn a_client_that_asks_for_the_columns_does_not_notice_that_they_changed() {
    let (_cluster, weir) = two_servers();
    let login = || Raw::login(weir.port(), "app", &[]).unwrap();
    let (mut client, mut owner) = (login(), login());
    drop(owner.talk(&query("CREATE TABLE wide (a int); INSERT INTO wide VALUES (1)")));
    drop(client.talk(&[parse("s", "TABLE wide"), sync()].concat()));
    spread(&weir, &mut client, "s");
    drop(owner.talk(&query("ALTER TABLE wide ADD b int DEFAULT 5")));
    let said =
        [bind("", "s"), weir_tests::say::describe_portal(""), execute("", 0), sync()].concat();
    for _ in 0..2 {
        assert_eq!(tags(&client.talk(&said)), "2TDCZ");
        drop(owner.talk(&query("BEGIN; SELECT 1")));
    }
    // Within a transaction it is the client's own affair, as with PostgreSQL.
    drop(owner.talk(&query("COMMIT")));
    drop(client.talk(&query("BEGIN")));
    assert_eq!(tags(&client.talk(&said)), "2TDCZ");
}

#[tokio::test]
async fn a_change_of_schema_that_is_not_theirs_disturbs_no_statement() {
    let (_cluster, weir) = two_servers();
    let (client, shuffler) = (weir.client().await, weir.client().await);
    client.batch_execute("CREATE TABLE kept (a int); INSERT INTO kept VALUES (7)").await.unwrap();
    let statement = client.prepare("TABLE kept").await.unwrap();
    let mut open = false;
    for number in 0..6 {
        let sql = format!("CREATE TABLE other_{number} (a int)");
        shuffler.batch_execute(&sql).await.unwrap();
        flip(&shuffler, &mut open).await;
        let row = client.query_one(&statement, &[]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), 7);
    }
}

#[tokio::test]
async fn tenants_by_search_path_share_no_statement() {
    let (_cluster, weir) = rig(0, &pool(&[("default_pool_size", "1")]));
    let owner = weir.client().await;
    owner
        .batch_execute(
            "CREATE SCHEMA one; CREATE TABLE one.t (a int); INSERT INTO one.t VALUES (1); \
             CREATE SCHEMA two; CREATE TABLE two.t (a text); INSERT INTO two.t VALUES ('zwei')",
        )
        .await
        .unwrap();
    let (first, second) = (weir.client().await, weir.client().await);
    first.batch_execute("SET search_path TO one").await.unwrap();
    second.batch_execute("SET search_path TO two").await.unwrap();
    let (of_first, of_second) = (
        first.prepare("SELECT a FROM t").await.unwrap(),
        second.prepare("SELECT a FROM t").await.unwrap(),
    );
    for _ in 0..3 {
        assert_eq!(first.query_one(&of_first, &[]).await.unwrap().get::<_, i32>(0), 1);
        assert_eq!(second.query_one(&of_second, &[]).await.unwrap().get::<_, &str>(0), "zwei");
    }
}

#[tokio::test]
async fn a_literal_means_what_its_own_session_says() {
    let (_cluster, weir) = rig(0, &pool(&[("default_pool_size", "1")]));
    let (tokyo, utc) = (weir.client().await, weir.client().await);
    tokyo.batch_execute("SET TimeZone = 'Asia/Tokyo'").await.unwrap();
    let sql = "SELECT extract(epoch FROM timestamptz '2026-01-01 00:00')::int8";
    let (there, here) = (tokyo.prepare(sql).await.unwrap(), utc.prepare(sql).await.unwrap());
    let there = tokyo.query_one(&there, &[]).await.unwrap().get::<_, i64>(0);
    let here = utc.query_one(&here, &[]).await.unwrap().get::<_, i64>(0);
    assert_eq!(here - there, 9 * 3600);
}

#[test]
fn a_read_that_was_prepared_behind_a_flush_goes_to_a_replica() {
    let (_cluster, weir) = rig(1, &crate::Config::default());
    let mut raw = Raw::login(weir.port(), "app", &[]).unwrap();
    let mut route = || {
        raw.send(&[parse("", "SELECT 1"), describe(""), flush()].concat());
        let heard: Vec<_> = (0..3).filter_map(|_| raw.message()).collect();
        assert_eq!(tags(&heard), "1tT");
        assert_eq!(tags(&run(&mut raw, "")), "2DCZ");
        Route::read(&raw.query("SHOW weir.last_route").unwrap())
    };
    weir_tests::eventually("the read goes to the replica", SOON, || route().side == "replica");
    // An error behind it is skipped to the client's own Sync.
    raw.send(&[parse("bad", "SELEC"), flush()].concat());
    assert_eq!(raw.message().unwrap().tag, wire::tag::ERROR);
    assert_eq!(tags(&raw.talk(&[bind("", "bad"), execute("", 0), sync()].concat())), "Z");
    assert_eq!(raw.query("SELECT 1").as_deref(), Some("1"));
}

#[tokio::test]
async fn as_many_parameters_as_the_protocol_counts_are_bound() {
    let (_cluster, weir) = two_servers();
    let client = weir.client().await;
    client.batch_execute("CREATE TABLE many (a int)").await.unwrap();
    let places: Vec<_> = (1..=65_535).map(|number| format!("(${number}::int)")).collect();
    let sql = format!("INSERT INTO many VALUES {}", places.join(","));
    let values: Vec<i32> = (0..65_535).collect();
    let params: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> =
        values.iter().map(|value| value as _).collect();
    assert_eq!(client.execute(&sql, &params).await.unwrap(), 65_535);
    assert_eq!(one(&client, "SELECT count(*) FROM many").await, "65535");
}
