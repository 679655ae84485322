//! tokio-postgres: prepares all, pipelines what is polled together.

use std::future::poll_fn;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::{join, join_all, try_join_all};
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _, pin_mut};
use tokio::sync::mpsc;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres::{
    AsyncMessage, Client, Config, Error, IsolationLevel, NoTls, SimpleQueryMessage,
};
use weir_drivers::{Checks, SESSIONS, env};

fn config() -> Config {
    let mut config = Config::new();
    config.host(env("PGHOST")).port(env("PGPORT").parse().unwrap()).user(env("PGUSER"));
    config.password(env("PGPASSWORD")).dbname(env("PGDATABASE"));
    config
}

async fn open(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.unwrap();
    drop(tokio::spawn(connection));
    client
}

async fn connect() -> Client {
    open(&config()).await
}

async fn fresh(client: &Client) {
    let sql = "DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, word text)";
    client.batch_execute(sql).await.unwrap();
}

type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

async fn one<T: for<'a> FromSql<'a>>(client: &Client, sql: &str, values: Values<'_>) -> T {
    client.query_one(sql, values).await.unwrap().get(0)
}

async fn count(client: &Client) -> i64 {
    one(client, "SELECT count(*) FROM t", &[]).await
}

/// Fails unless the answer is an error of this SQLSTATE; what was told besides.
fn refused<T>(answer: Result<T, Error>, code: &SqlState) -> tokio_postgres::error::DbError {
    let Err(error) = answer else { panic!("should have failed with {code:?}") };
    let told = error.as_db_error().unwrap_or_else(|| panic!("not told by a server: {error:?}"));
    assert_eq!(told.code(), code, "{error:?}");
    told.clone()
}

async fn login() {
    let mut config = config();
    config.application_name("a name").options("-c search_path=pg_catalog,public");
    let client = open(&config).await;
    assert_eq!(one::<String>(&client, "SELECT current_user::text", &[]).await, env("PGUSER"));
    assert_eq!(one::<String>(&client, "SHOW application_name", &[]).await, "a name");
    assert_eq!(one::<String>(&client, "SHOW search_path", &[]).await, "pg_catalog,public");
    config.password("wrong");
    refused(config.connect(NoTls).await, &SqlState::INVALID_PASSWORD);
}

async fn crud() {
    let client = connect().await;
    let sql = "DROP TABLE IF EXISTS t; CREATE TABLE t (id serial PRIMARY KEY, word text)";
    client.batch_execute(sql).await.unwrap();
    let insert = "INSERT INTO t (word) VALUES ($1) RETURNING id";
    assert_eq!(one::<i32>(&client, insert, &[&"één"]).await, 1);
    assert_eq!(one::<i32>(&client, insert, &[&None::<&str>]).await, 2);
    let rows = client.query("SELECT id, word FROM t ORDER BY id", &[]).await.unwrap();
    let rows: Vec<(i32, Option<&str>)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(rows, [(1, Some("één")), (2, None)]);
    let update = "UPDATE t SET word = $1 WHERE id = $2";
    assert_eq!(client.execute(update, &[&"two", &2]).await.unwrap(), 1);
    assert_eq!(one::<String>(&client, "SELECT word FROM t WHERE id = $1", &[&2]).await, "two");
    assert_eq!(client.execute("DELETE FROM t WHERE id > $1", &[&0]).await.unwrap(), 2);
    assert_eq!(count(&client).await, 0);
}

async fn transactions() {
    let (mut client, other) = (connect().await, connect().await);
    fresh(&client).await;
    let transaction = client.transaction().await.unwrap();
    transaction.execute("INSERT INTO t VALUES (1, 'kept')", &[]).await.unwrap();
    assert_eq!(
        transaction.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get::<_, i64>(0),
        1
    );
    assert_eq!(count(&other).await, 0);
    transaction.commit().await.unwrap();
    assert_eq!(count(&other).await, 1);
    let transaction = client.transaction().await.unwrap();
    transaction.execute("INSERT INTO t VALUES (2, 'gone')", &[]).await.unwrap();
    transaction.rollback().await.unwrap();
    // One that is dropped rolls back by itself.
    let transaction = client.transaction().await.unwrap();
    transaction.execute("INSERT INTO t VALUES (3, 'gone')", &[]).await.unwrap();
    drop(transaction);
    assert_eq!(count(&client).await, 1);
}

async fn savepoints() {
    let mut client = connect().await;
    fresh(&client).await;
    let mut transaction = client.transaction().await.unwrap();
    let insert = "INSERT INTO t VALUES ($1)";
    transaction.execute(insert, &[&1]).await.unwrap();
    let inner = transaction.savepoint("here").await.unwrap();
    inner.execute(insert, &[&2]).await.unwrap();
    refused(inner.execute(insert, &[&1]).await, &SqlState::UNIQUE_VIOLATION);
    inner.rollback().await.unwrap();
    let inner = transaction.transaction().await.unwrap();
    inner.execute(insert, &[&3]).await.unwrap();
    inner.commit().await.unwrap();
    transaction.commit().await.unwrap();
    let ids: Vec<i32> = one(&client, "SELECT array_agg(id ORDER BY id) FROM t", &[]).await;
    assert_eq!(ids, [1, 3]);
}

async fn isolation() {
    let (mut client, mut other) = (connect().await, connect().await);
    fresh(&client).await;
    let levels = [
        (IsolationLevel::ReadCommitted, "read committed"),
        (IsolationLevel::RepeatableRead, "repeatable read"),
        (IsolationLevel::Serializable, "serializable"),
    ];
    for (number, (level, name)) in (0_i32..).zip(levels) {
        let transaction = client.build_transaction().isolation_level(level).start().await.unwrap();
        let told = transaction.query_one("SHOW transaction_isolation", &[]).await.unwrap();
        assert_eq!(told.get::<_, &str>(0), name);
        let seen = async || {
            transaction.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get::<_, i64>(0)
        };
        let before = seen().await;
        other.execute("INSERT INTO t VALUES ($1)", &[&number]).await.unwrap();
        assert_eq!(seen().await - before, i64::from(number == 0));
        transaction.commit().await.unwrap();
    }
    let (first, second) = (client.build_transaction(), other.build_transaction());
    let first = first.isolation_level(IsolationLevel::Serializable).start().await.unwrap();
    let second = second.isolation_level(IsolationLevel::Serializable).start().await.unwrap();
    for side in [&first, &second] {
        side.query_one("SELECT count(*) FROM t", &[]).await.unwrap();
    }
    first.execute("INSERT INTO t VALUES (100)", &[]).await.unwrap();
    second.execute("INSERT INTO t VALUES (101)", &[]).await.unwrap();
    first.commit().await.unwrap();
    refused(second.commit().await, &SqlState::T_R_SERIALIZATION_FAILURE);
}

async fn read_only() {
    let mut client = connect().await;
    fresh(&client).await;
    client.execute("INSERT INTO t VALUES (1, 'a')", &[]).await.unwrap();
    for _ in 0..3 {
        let transaction = client.build_transaction().read_only(true).start().await.unwrap();
        let row = transaction.query_one("SELECT word FROM t WHERE id = $1", &[&1]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), "a");
        let row = transaction.query_one("SHOW transaction_read_only", &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), "on");
        let write = transaction.execute("INSERT INTO t VALUES (2)", &[]).await;
        refused(write, &SqlState::READ_ONLY_SQL_TRANSACTION);
        transaction.rollback().await.unwrap();
    }
    let mut config = config();
    let reader = open(config.options("-c default_transaction_read_only=on")).await;
    assert_eq!(count(&reader).await, 1);
    let write = reader.execute("INSERT INTO t VALUES (2)", &[]).await;
    refused(write, &SqlState::READ_ONLY_SQL_TRANSACTION);
}

async fn prepared() {
    let (mut client, other) = (connect().await, connect().await);
    fresh(&client).await;
    let mut kept = Vec::new();
    for number in 0..10 {
        let sql = format!("SELECT {number} + $1::int8 + (SELECT count(*) FROM t)");
        kept.push([client.prepare(&sql).await.unwrap(), other.prepare(&sql).await.unwrap()]);
    }
    let insert = client.prepare("INSERT INTO t VALUES ($1)").await.unwrap();
    for round in 0..5_i64 {
        for (number, [ours, others]) in (0_i64..).zip(&kept) {
            for (side, statement) in [(&client, ours), (&other, others)] {
                let row = side.query_one(statement, &[&round]).await.unwrap();
                assert_eq!(row.get::<_, i64>(0), number + 2 * round);
            }
        }
        let transaction = client.transaction().await.unwrap();
        transaction.execute(&insert, &[&i32::try_from(round).unwrap()]).await.unwrap();
        let row = transaction.query_one(&kept[0][0], &[&round]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 2 * round + 1);
        transaction.commit().await.unwrap();
    }
    // Dropped statements are closed; the others live.
    kept.truncate(1);
    assert_eq!(client.query_one(&kept[0][0], &[&0_i64]).await.unwrap().get::<_, i64>(0), 5);
}

async fn schema() {
    let client = connect().await;
    fresh(&client).await;
    client.execute("INSERT INTO t VALUES (1, 'a')", &[]).await.unwrap();
    for _ in 0..3 {
        assert_eq!(client.query_one("SELECT * FROM t", &[]).await.unwrap().len(), 2);
    }
    client.batch_execute("ALTER TABLE t ADD COLUMN more int DEFAULT 5").await.unwrap();
    // Who prepares it now must not meet what others prepared before.
    for _ in 0..3 {
        for side in [&client, &connect().await] {
            let row = side.query_one("SELECT * FROM t", &[]).await.unwrap();
            assert_eq!((row.len(), row.get::<_, i32>("more")), (3, 5));
        }
    }
}

async fn batch() {
    let client = connect().await;
    fresh(&client).await;
    let sql = "INSERT INTO t VALUES (1, 'a'), (2, 'b'); SELECT word FROM t ORDER BY id; SELECT 5";
    let told: Vec<_> = client
        .simple_query(sql)
        .await
        .unwrap()
        .into_iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap().to_owned()),
            SimpleQueryMessage::CommandComplete(rows) => Some(format!("{rows} rows")),
            _ => None,
        })
        .collect();
    assert_eq!(told, ["2 rows", "a", "b", "2 rows", "5", "1 rows"]);
    // They are one transaction.
    let twice = client.batch_execute("INSERT INTO t VALUES (3); INSERT INTO t VALUES (1)").await;
    refused(twice, &SqlState::UNIQUE_VIOLATION);
    let ids: Vec<i32> = (10..1010).collect();
    let many = client.execute("INSERT INTO t SELECT unnest($1::int[])", &[&ids]).await.unwrap();
    assert_eq!((many, count(&client).await), (1000, 1002));
}

async fn pipeline() {
    let client = connect().await;
    fresh(&client).await;
    let insert = client.prepare("INSERT INTO t VALUES ($1, 'w' || $1::int)").await.unwrap();
    let select = client.prepare("SELECT word FROM t WHERE id = $1").await.unwrap();
    let ids: Vec<i32> = (0..100).collect();
    let inserts = join_all(ids.iter().map(async |id| client.execute(&insert, &[id]).await));
    let selects = join_all(ids.iter().map(async |id| client.query_one(&select, &[id]).await));
    let (inserted, selected) = join(inserts, selects).await;
    assert!(inserted.into_iter().all(|rows| rows.unwrap() == 1));
    for (id, row) in ids.iter().zip(selected) {
        assert_eq!(row.unwrap().get::<_, String>(0), format!("w{id}"));
    }
    // An error is its own query's only.
    let (twice, total) = join(client.execute(&insert, &[&1]), count(&client)).await;
    refused(twice, &SqlState::UNIQUE_VIOLATION);
    assert_eq!(total, 100);
}

async fn copy() {
    let client = connect().await;
    fresh(&client).await;
    let lines: Vec<_> = (0..5000).map(|id| format!("{id}\twörd {id}\n")).collect();
    let lines = lines.concat();
    let sink = client.copy_in::<_, Bytes>("COPY t FROM STDIN").await.unwrap();
    pin_mut!(sink);
    for part in lines.as_bytes().chunks(4000) {
        sink.send(Bytes::copy_from_slice(part)).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 5000);
    let out = client.copy_out("COPY (SELECT * FROM t ORDER BY id) TO STDOUT").await.unwrap();
    let out: Vec<Bytes> = out.try_collect().await.unwrap();
    assert!(out.concat() == lines.as_bytes());
    let sink = client.copy_in::<_, Bytes>("COPY t FROM STDIN").await.unwrap();
    pin_mut!(sink);
    sink.send(Bytes::from("no number\tx\n")).await.unwrap();
    refused(sink.finish().await, &SqlState::INVALID_TEXT_REPRESENTATION);
    // Given up by the client.
    let mut sink = Box::pin(client.copy_in::<_, Bytes>("COPY t FROM STDIN").await.unwrap());
    sink.send(Bytes::from("9999\tx\n")).await.unwrap();
    drop(sink);
    assert_eq!(count(&client).await, 5000);
}

async fn cursor() {
    let mut client = connect().await;
    fresh(&client).await;
    let fill = "INSERT INTO t SELECT g, g::text FROM generate_series(1, 1000) g";
    client.execute(fill, &[]).await.unwrap();
    let all: Vec<i32> = (1..=1000).collect();
    let stream = client.query_raw("SELECT id FROM t WHERE id > $1 ORDER BY id", [0]).await.unwrap();
    let ids: Vec<i32> = stream.map_ok(|row| row.get::<_, i32>(0)).try_collect().await.unwrap();
    assert_eq!(ids, all);
    let transaction = client.transaction().await.unwrap();
    let sql = "SELECT id FROM t WHERE id > $1 ORDER BY id";
    let portal = transaction.bind(sql, &[&0]).await.unwrap();
    let mut ids: Vec<i32> = Vec::new();
    while ids.len() < 1000 {
        let part = transaction.query_portal(&portal, 90).await.unwrap();
        ids.extend(part.iter().map(|row| row.get::<_, i32>(0)));
        // Another statement while the portal is open.
        transaction.query_one("SELECT count(*) FROM t", &[]).await.unwrap();
    }
    assert_eq!(ids, all);
    transaction.commit().await.unwrap();
}

async fn cancel() {
    let client = connect().await;
    fresh(&client).await;
    for begin in ["SELECT 1", "BEGIN; INSERT INTO t VALUES (1)"] {
        client.batch_execute(begin).await.unwrap();
        let token = client.cancel_token();
        let sleeping = client.batch_execute("SELECT pg_sleep(60)");
        pin_mut!(sleeping);
        // The query may not have begun at the first.
        let ended = loop {
            match tokio::time::timeout(Duration::from_millis(20), &mut sleeping).await {
                Ok(ended) => break ended,
                Err(_) => token.cancel_query(NoTls).await.unwrap(),
            }
        };
        refused(ended, &SqlState::QUERY_CANCELED);
        client.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(one::<i32>(&client, "SELECT 1", &[]).await, 1);
    }
}

async fn errors() {
    let client = connect().await;
    fresh(&client).await;
    client.execute("INSERT INTO t VALUES (1, 'a')", &[]).await.unwrap();
    let twice = client.execute("INSERT INTO t VALUES ($1, 'b')", &[&1]).await;
    let told = refused(twice, &SqlState::UNIQUE_VIOLATION);
    assert_eq!((told.constraint(), told.table()), (Some("t_pkey"), Some("t")));
    assert_eq!(told.detail(), Some("Key (id)=(1) already exists."));
    let told = refused(client.query("SELEC 1", &[]).await, &SqlState::SYNTAX_ERROR);
    assert_eq!(told.position(), Some(&tokio_postgres::error::ErrorPosition::Original(1)));
    let missing = client.query("SELECT * FROM missing WHERE id = $1", &[&1]).await;
    refused(missing, &SqlState::UNDEFINED_TABLE);
    let divide = client.prepare("SELECT 6 / $1::int").await.unwrap();
    for _ in 0..3 {
        refused(client.query(&divide, &[&0]).await, &SqlState::DIVISION_BY_ZERO);
        assert_eq!(client.query_one(&divide, &[&3]).await.unwrap().get::<_, i32>(0), 2);
    }
    client.batch_execute("BEGIN").await.unwrap();
    refused(client.query(&divide, &[&0]).await, &SqlState::DIVISION_BY_ZERO);
    refused(client.query(&divide, &[&1]).await, &SqlState::IN_FAILED_SQL_TRANSACTION);
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(count(&client).await, 1);
    // The server is lost, and with it this session only.
    let lost = client.batch_execute("SELECT pg_terminate_backend(pg_backend_pid())").await;
    assert!(lost.is_err());
    assert_eq!(count(&connect().await).await, 1);
}

async fn round_trip<T>(client: &Client, name: &str, samples: &[T])
where
    T: for<'a> FromSql<'a> + ToSql + Sync + PartialEq + std::fmt::Debug,
{
    let sql = format!("SELECT $1::{name}");
    for sample in samples {
        assert_eq!(&one::<T>(client, &sql, &[sample]).await, sample, "{name}");
    }
    assert_eq!(one::<Option<T>>(client, &sql, &[&None::<T>]).await, None, "{name}");
}

async fn types() {
    let client = connect().await;
    round_trip(&client, "int2", &[i16::MIN, i16::MAX]).await;
    round_trip(&client, "int4", &[i32::MIN, i32::MAX]).await;
    round_trip(&client, "int8", &[i64::MIN, i64::MAX]).await;
    round_trip(&client, "float8", &[0.1, 1e300, f64::NEG_INFINITY]).await;
    round_trip(&client, "bool", &[true, false]).await;
    let words = ["", "'\"\\ é 日本 🐉\n", &"x".repeat(1_000_000)].map(str::to_owned);
    round_trip(&client, "text", &words).await;
    round_trip(&client, "bytea", &[(0..=255).collect::<Vec<u8>>(), Vec::new()]).await;
    let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_767_323_045_000_006);
    round_trip(&client, "timestamptz", &[time]).await;
    let json = serde_json::json!({"a": [1, null, "é"]});
    round_trip(&client, "jsonb", std::slice::from_ref(&json)).await;
    round_trip(&client, "json", &[json]).await;
    round_trip(&client, "int4[]", &[vec![Some(1), None, Some(3)], vec![]]).await;
    // Types of one's own: the driver asks the catalog about them.
    let sql = "DROP TABLE IF EXISTS t; DROP TYPE IF EXISTS mood CASCADE; \
               CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TABLE t (mood mood, moods mood[])";
    client.batch_execute(sql).await.unwrap();
    let insert = client.prepare("INSERT INTO t VALUES ($1, $2)").await.unwrap();
    assert_eq!(insert.params()[0].name(), "mood");
    client.execute("INSERT INTO t VALUES ('sad', '{happy}')", &[]).await.unwrap();
    assert_eq!(one::<String>(&client, "SELECT mood::text FROM t", &[]).await, "sad");
}

async fn settings() {
    let (client, other) = (connect().await, connect().await);
    fresh(&client).await;
    let sql = "CREATE SCHEMA IF NOT EXISTS apart; \
               CREATE TABLE IF NOT EXISTS apart.t AS SELECT -1 AS id";
    client.batch_execute(sql).await.unwrap();
    client.batch_execute("SET search_path = apart, public").await.unwrap();
    client.execute("SET TimeZone = 'Asia/Tokyo'", &[]).await.unwrap();
    let set = "SELECT set_config('app.tenant', $1, false)";
    assert_eq!(one::<String>(&client, set, &[&"one"]).await, "one");
    other.batch_execute("SET TimeZone = 'America/New_York'").await.unwrap();
    let noon = "SELECT '2026-01-01 12:00Z'::timestamptz::text";
    for _ in 0..5 {
        assert_eq!((count(&client).await, count(&other).await), (1, 0));
        assert_eq!(one::<String>(&client, noon, &[]).await, "2026-01-01 21:00:00+09");
        assert_eq!(one::<String>(&other, noon, &[]).await, "2026-01-01 07:00:00-05");
        let tenant = "SELECT coalesce(current_setting('app.tenant', true), '')";
        assert_eq!(one::<String>(&client, tenant, &[]).await, "one");
        assert_eq!(one::<String>(&other, tenant, &[]).await, "");
    }
    client.batch_execute("BEGIN").await.unwrap();
    client.batch_execute("SET TimeZone = 'UTC'").await.unwrap();
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(one::<String>(&client, "SHOW TimeZone", &[]).await, "Asia/Tokyo");
    client.batch_execute("BEGIN").await.unwrap();
    client.batch_execute("SET LOCAL statement_timeout = '1h'").await.unwrap();
    client.batch_execute("SET TimeZone = 'Europe/Paris'").await.unwrap();
    assert_eq!(one::<String>(&client, "SHOW statement_timeout", &[]).await, "1h");
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(one::<String>(&client, "SHOW statement_timeout", &[]).await, "0");
    assert_eq!(one::<String>(&client, "SHOW TimeZone", &[]).await, "Europe/Paris");
    client.batch_execute("SET statement_timeout = '50ms'").await.unwrap();
    refused(client.query("SELECT pg_sleep(60)", &[]).await, &SqlState::QUERY_CANCELED);
    client.batch_execute("RESET ALL").await.unwrap();
    assert_eq!(one::<String>(&client, "SHOW statement_timeout", &[]).await, "0");
    assert_eq!(count(&client).await, 0);
}

async fn temporary() {
    let (client, other) = (connect().await, connect().await);
    client.batch_execute("CREATE TEMP TABLE mine (id int)").await.unwrap();
    for number in 0..5 {
        client.execute("INSERT INTO mine VALUES ($1)", &[&number]).await.unwrap();
        let seen: i64 = one(&client, "SELECT count(*) FROM mine", &[]).await;
        assert_eq!(seen, i64::from(number) + 1);
        refused(other.query("SELECT * FROM mine", &[]).await, &SqlState::UNDEFINED_TABLE);
    }
}

async fn locks() {
    let (client, other) = (connect().await, connect().await);
    client.execute("SELECT pg_advisory_lock(42)", &[]).await.unwrap();
    for _ in 0..3 {
        assert!(!one::<bool>(&other, "SELECT pg_try_advisory_lock($1)", &[&42_i64]).await);
        assert_eq!(one::<i32>(&client, "SELECT 1", &[]).await, 1);
    }
    assert!(one::<bool>(&client, "SELECT pg_advisory_unlock(42)", &[]).await);
    assert!(one::<bool>(&other, "SELECT pg_try_advisory_lock($1)", &[&42_i64]).await);
}

async fn notify() {
    let (client, mut connection) = config().connect(NoTls).await.unwrap();
    let (heard, mut hear) = mpsc::unbounded_channel();
    let mut messages = futures_util::stream::poll_fn(move |cx| connection.poll_message(cx));
    tokio::spawn(async move {
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(note) = message {
                heard.send(note.payload().to_owned()).unwrap();
            }
        }
    });
    let other = connect().await;
    client.batch_execute("LISTEN news").await.unwrap();
    other.batch_execute("NOTIFY news, 'first'").await.unwrap();
    other.execute("SELECT pg_notify('news', $1)", &[&"second"]).await.unwrap();
    for expected in ["first", "second"] {
        assert_eq!(poll_fn(|cx| hear.poll_recv(cx)).await.unwrap(), expected);
    }
    client.batch_execute("UNLISTEN *").await.unwrap();
    assert_eq!(one::<i32>(&client, "SELECT 1", &[]).await, 1);
}

async fn session(number: i32) -> Result<(), Error> {
    let mut client = connect().await;
    let insert = client.prepare("INSERT INTO t VALUES ($1, $2) RETURNING id").await?;
    let select = client.prepare("SELECT word FROM t WHERE id = $1").await?;
    let between = client.prepare("SELECT count(*) FROM t WHERE id BETWEEN $1 AND $2").await?;
    for round in 0..4 {
        let key = number * 10 + round;
        let transaction = client.transaction().await?;
        let row = transaction.query_one(&insert, &[&key, &key.to_string()]).await?;
        assert_eq!(row.get::<_, i32>(0), key);
        let row = transaction.query_one(&select, &[&key]).await?;
        assert_eq!(row.get::<_, String>(0), key.to_string());
        transaction.commit().await?;
        let row = client.query_one(&select, &[&key]).await?;
        assert_eq!(row.get::<_, String>(0), key.to_string());
        let row = client.query_one(&between, &[&(number * 10), &(number * 10 + 9)]).await?;
        assert_eq!(row.get::<_, i64>(0), i64::from(round) + 1);
    }
    Ok(())
}

async fn sessions() {
    let client = connect().await;
    fresh(&client).await;
    try_join_all((0..SESSIONS).map(session)).await.unwrap();
    assert_eq!(count(&client).await, i64::from(SESSIONS) * 4);
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut checks = Checks::of(&["tokio-postgres"]);
    checks.check("connect", login()).await;
    checks.check("crud", crud()).await;
    checks.check("transactions", transactions()).await;
    checks.check("savepoints", savepoints()).await;
    checks.check("isolation", isolation()).await;
    checks.check("read_only", read_only()).await;
    checks.check("prepared", prepared()).await;
    checks.check("schema", schema()).await;
    checks.check("batch", batch()).await;
    checks.check("pipeline", pipeline()).await;
    checks.check("copy", copy()).await;
    checks.check("cursor", cursor()).await;
    checks.check("cancel", cancel()).await;
    checks.check("errors", errors()).await;
    checks.check("types", types()).await;
    checks.check("settings", settings()).await;
    checks.check("temporary", temporary()).await;
    checks.check("locks", locks()).await;
    checks.check("notify", notify()).await;
    checks.skip("pool", "the driver has none");
    checks.check("sessions", sessions()).await;
    checks.end()
}
