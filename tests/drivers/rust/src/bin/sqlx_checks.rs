//! sqlx: prepares and caches all, with a pool that pings.

use std::process::ExitCode;

use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, TryStreamExt as _};
use sqlx::postgres::{
    PgConnectOptions, PgDatabaseError, PgErrorPosition, PgListener, PgPoolOptions,
    types::PgInterval, types::PgRange,
};
use sqlx::{
    AssertSqlSafe, Connection as _, Decode, Encode, Error, Executor as _, PgConnection, Postgres,
    Row as _, Type,
};
use weir_drivers::{Checks, SESSIONS, env};

fn options() -> PgConnectOptions {
    // The environment says where.
    PgConnectOptions::new()
}

async fn open(options: &PgConnectOptions) -> PgConnection {
    PgConnection::connect_with(options).await.unwrap()
}

async fn connect() -> PgConnection {
    open(&options()).await
}

/// By the simple protocol.
async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}

async fn fresh(connection: &mut PgConnection) {
    run(connection, "DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, word text)").await;
}

async fn one<T>(connection: &mut PgConnection, sql: &str) -> T
where
    T: for<'r> Decode<'r, Postgres> + Type<Postgres> + Send + Unpin,
{
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await.unwrap()
}

async fn count(connection: &mut PgConnection) -> i64 {
    one(connection, "SELECT count(*) FROM t").await
}

async fn insert(connection: &mut PgConnection, id: i32) -> Result<u64, Error> {
    let query = sqlx::query("INSERT INTO t VALUES ($1, $2)").bind(id).bind(format!("w{id}"));
    query.execute(connection).await.map(|done| done.rows_affected())
}

/// Fails unless the answer is an error of this SQLSTATE.
fn refused<T>(answer: Result<T, Error>, code: &str) -> PgDatabaseError {
    let Err(Error::Database(error)) = answer else {
        panic!("should have failed with {code}: {:?}", answer.err())
    };
    assert_eq!(error.code().as_deref(), Some(code), "{error:?}");
    *error.downcast()
}

async fn login() {
    let wanted = options().application_name("a name").options([("statement_timeout", "1min")]);
    let mut connection = open(&wanted).await;
    assert_eq!(one::<String>(&mut connection, "SELECT current_user::text").await, env("PGUSER"));
    assert_eq!(one::<String>(&mut connection, "SHOW application_name").await, "a name");
    assert_eq!(one::<String>(&mut connection, "SHOW statement_timeout").await, "1min");
    // The driver asks for these by itself.
    assert_eq!(one::<String>(&mut connection, "SHOW TimeZone").await, "UTC");
    connection.ping().await.unwrap();
    connection.close().await.unwrap();
    refused(PgConnection::connect_with(&options().password("wrong")).await, "28P01");
}

async fn crud() {
    let mut c = connect().await;
    run(&mut c, "DROP TABLE IF EXISTS t; CREATE TABLE t (id serial PRIMARY KEY, word text)").await;
    for (id, word) in [(1, Some("één")), (2, None)] {
        let insert = sqlx::query_scalar::<_, i32>("INSERT INTO t (word) VALUES ($1) RETURNING id")
            .bind(word);
        assert_eq!(insert.fetch_one(&mut c).await.unwrap(), id);
    }
    let rows: Vec<(i32, Option<String>)> =
        sqlx::query_as("SELECT id, word FROM t ORDER BY id").fetch_all(&mut c).await.unwrap();
    assert_eq!(rows, [(1, Some("één".to_owned())), (2, None)]);
    let update = sqlx::query("UPDATE t SET word = $1 WHERE id = $2").bind("two").bind(2);
    assert_eq!(update.execute(&mut c).await.unwrap().rows_affected(), 1);
    assert_eq!(one::<String>(&mut c, "SELECT word FROM t WHERE id = 2").await, "two");
    let delete = sqlx::query("DELETE FROM t WHERE id > $1").bind(0);
    assert_eq!(delete.execute(&mut c).await.unwrap().rows_affected(), 2);
    assert_eq!(count(&mut c).await, 0);
}

async fn transactions() {
    let (mut c, mut other) = (connect().await, connect().await);
    fresh(&mut c).await;
    let mut transaction = c.begin().await.unwrap();
    insert(&mut transaction, 1).await.unwrap();
    assert_eq!((count(&mut transaction).await, count(&mut other).await), (1, 0));
    transaction.commit().await.unwrap();
    assert_eq!(count(&mut other).await, 1);
    let mut transaction = c.begin().await.unwrap();
    insert(&mut transaction, 2).await.unwrap();
    transaction.rollback().await.unwrap();
    // One that is dropped rolls back by itself.
    let mut transaction = c.begin().await.unwrap();
    insert(&mut transaction, 3).await.unwrap();
    drop(transaction);
    assert_eq!(count(&mut c).await, 1);
}

async fn savepoints() {
    let mut c = connect().await;
    fresh(&mut c).await;
    let mut transaction = c.begin().await.unwrap();
    insert(&mut transaction, 1).await.unwrap();
    for _ in 0..3 {
        let mut inner = transaction.begin().await.unwrap();
        insert(&mut inner, 2).await.unwrap();
        refused(insert(&mut inner, 1).await, "23505");
        inner.rollback().await.unwrap();
    }
    let mut inner = transaction.begin().await.unwrap();
    insert(&mut inner, 3).await.unwrap();
    inner.commit().await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(one::<Vec<i32>>(&mut c, "SELECT array_agg(id ORDER BY id) FROM t").await, [1, 3]);
}

async fn isolation() {
    let (mut c, mut other) = (connect().await, connect().await);
    fresh(&mut c).await;
    for (number, level) in (0..).zip(["read committed", "repeatable read", "serializable"]) {
        let begin = AssertSqlSafe(format!("BEGIN ISOLATION LEVEL {level}"));
        let mut transaction = c.begin_with(begin).await.unwrap();
        assert_eq!(one::<String>(&mut transaction, "SHOW transaction_isolation").await, level);
        let before = count(&mut transaction).await;
        insert(&mut other, number).await.unwrap();
        let seen = count(&mut transaction).await - before;
        assert_eq!(seen, i64::from(number == 0));
        transaction.commit().await.unwrap();
    }
    let begin = "BEGIN ISOLATION LEVEL SERIALIZABLE";
    let mut first = c.begin_with(begin).await.unwrap();
    let mut second = other.begin_with(begin).await.unwrap();
    count(&mut first).await;
    count(&mut second).await;
    insert(&mut first, 100).await.unwrap();
    insert(&mut second, 101).await.unwrap();
    first.commit().await.unwrap();
    refused(second.commit().await, "40001");
}

async fn read_only() {
    let mut c = connect().await;
    fresh(&mut c).await;
    insert(&mut c, 1).await.unwrap();
    for _ in 0..3 {
        let mut transaction = c.begin_with("BEGIN READ ONLY").await.unwrap();
        assert_eq!(one::<String>(&mut transaction, "SHOW transaction_read_only").await, "on");
        assert_eq!(count(&mut transaction).await, 1);
        refused(insert(&mut transaction, 2).await, "25006");
        transaction.rollback().await.unwrap();
    }
    let mut reader = open(&options().options([("default_transaction_read_only", "on")])).await;
    assert_eq!(count(&mut reader).await, 1);
    refused(insert(&mut reader, 2).await, "25006");
}

async fn prepared() {
    // So small a cache that statements are closed all the time.
    let few = options().statement_cache_capacity(3);
    let (mut c, mut other) = (open(&few).await, connect().await);
    fresh(&mut c).await;
    for round in 0..5_i64 {
        for number in 0..8_i64 {
            for side in [&mut c, &mut other] {
                let sql = format!("SELECT {number} + $1 + (SELECT count(*) FROM t)");
                let sum: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
                    .bind(round)
                    .fetch_one(side)
                    .await
                    .unwrap();
                assert_eq!(sum, number + 2 * round);
            }
        }
        let mut transaction = c.begin().await.unwrap();
        insert(&mut transaction, i32::try_from(round).unwrap()).await.unwrap();
        transaction.commit().await.unwrap();
        // The unnamed statement.
        let once = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM t WHERE id >= $1").bind(0);
        assert_eq!(once.persistent(false).fetch_one(&mut c).await.unwrap(), round + 1);
    }
    c.clear_cached_statements().await.unwrap();
    assert_eq!(count(&mut c).await, 5);
}

async fn schema() {
    let mut c = connect().await;
    fresh(&mut c).await;
    insert(&mut c, 1).await.unwrap();
    let select = "SELECT * FROM t";
    for _ in 0..3 {
        assert_eq!(sqlx::query(select).fetch_one(&mut c).await.unwrap().len(), 2);
    }
    run(&mut c, "ALTER TABLE t ADD COLUMN more int DEFAULT 5").await;
    // Who prepares it now must not meet what others prepared before.
    for _ in 0..3 {
        let row = sqlx::query(select).fetch_one(&mut connect().await).await.unwrap();
        assert_eq!((row.len(), row.get::<i32, _>("more")), (3, 5));
    }
}

async fn batch() {
    let mut c = connect().await;
    fresh(&mut c).await;
    let sql =
        "INSERT INTO t VALUES (1, 'a'), (2, 'b'); SELECT id FROM t ORDER BY id; SELECT 5 AS id";
    let rows = sqlx::raw_sql(sql).fetch_all(&mut c).await.unwrap();
    let ids: Vec<i32> = rows.iter().map(|row| row.get("id")).collect();
    assert_eq!(ids, [1, 2, 5]);
    // They are one transaction.
    let twice = sqlx::raw_sql("INSERT INTO t VALUES (3); INSERT INTO t VALUES (1)");
    refused(twice.execute(&mut c).await, "23505");
    let ids: Vec<i32> = (10..1010).collect();
    let many = sqlx::query("INSERT INTO t SELECT unnest($1::int[])").bind(ids);
    assert_eq!(many.execute(&mut c).await.unwrap().rows_affected(), 1000);
    assert_eq!(count(&mut c).await, 1002);
}

async fn copy() {
    let mut c = connect().await;
    fresh(&mut c).await;
    let lines: Vec<_> = (0..5000).map(|id| format!("{id}\twörd {id}\n")).collect();
    let lines = lines.concat();
    let mut sink = c.copy_in_raw("COPY t FROM STDIN").await.unwrap();
    for part in lines.as_bytes().chunks(4000) {
        sink.send(part).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 5000);
    let out = c.copy_out_raw("COPY (SELECT * FROM t ORDER BY id) TO STDOUT").await.unwrap();
    let out: Vec<_> = out.try_collect().await.unwrap();
    assert!(out.concat() == lines.as_bytes());
    let mut sink = c.copy_in_raw("COPY t FROM STDIN").await.unwrap();
    sink.send(b"no number\tx\n".as_slice()).await.unwrap();
    refused(sink.finish().await, "22P02");
    let mut sink = c.copy_in_raw("COPY t FROM STDIN").await.unwrap();
    sink.send(b"9999\tx\n".as_slice()).await.unwrap();
    sink.abort("given up").await.unwrap();
    assert_eq!(count(&mut c).await, 5000);
}

async fn cursor() {
    let mut c = connect().await;
    fresh(&mut c).await;
    run(&mut c, "INSERT INTO t SELECT g, g::text FROM generate_series(1, 1000) g").await;
    for _ in 0..3 {
        let rows = sqlx::query_scalar::<_, i32>("SELECT id FROM t ORDER BY id").fetch(&mut c);
        let ids: Vec<i32> = rows.try_collect().await.unwrap();
        assert_eq!(ids, (1..=1000).collect::<Vec<_>>());
        // Left half read.
        let mut rows = sqlx::query_scalar::<_, i32>("SELECT id FROM t ORDER BY id").fetch(&mut c);
        assert_eq!(rows.next().await.unwrap().unwrap(), 1);
    }
    let mut transaction = c.begin().await.unwrap();
    let declare = "DECLARE c CURSOR FOR SELECT id FROM t WHERE id > $1 ORDER BY id";
    sqlx::query(declare).bind(500).execute(&mut *transaction).await.unwrap();
    for first in [501, 511] {
        let rows = transaction.fetch_all("FETCH 10 FROM c").await.unwrap();
        assert_eq!((rows.len(), rows[0].get::<i32, _>(0)), (10, first));
    }
    transaction.commit().await.unwrap();
}

async fn errors() {
    let mut c = connect().await;
    fresh(&mut c).await;
    insert(&mut c, 1).await.unwrap();
    let told = refused(insert(&mut c, 1).await, "23505");
    assert_eq!((told.constraint(), told.table()), (Some("t_pkey"), Some("t")));
    assert_eq!(told.detail(), Some("Key (id)=(1) already exists."));
    let told = refused(sqlx::query("SELEC 1").execute(&mut c).await, "42601");
    assert!(matches!(told.position(), Some(PgErrorPosition::Original(1))));
    refused(
        sqlx::query("SELECT * FROM missing WHERE id = $1").bind(1).execute(&mut c).await,
        "42P01",
    );
    let divide = "SELECT 6 / $1::int";
    for _ in 0..3 {
        refused(sqlx::query(divide).bind(0).execute(&mut c).await, "22012");
        assert_eq!(
            sqlx::query_scalar::<_, i32>(divide).bind(3).fetch_one(&mut c).await.unwrap(),
            2
        );
    }
    let mut transaction = c.begin().await.unwrap();
    refused(sqlx::query(divide).bind(0).execute(&mut *transaction).await, "22012");
    refused(sqlx::query(divide).bind(1).execute(&mut *transaction).await, "25P02");
    transaction.rollback().await.unwrap();
    assert_eq!(count(&mut c).await, 1);
    // The server is lost, and with it this session only.
    let kill = sqlx::query("SELECT pg_terminate_backend(pg_backend_pid())");
    assert!(kill.execute(&mut c).await.is_err());
    assert_eq!(count(&mut connect().await).await, 1);
}

async fn round_trip<T>(c: &mut PgConnection, name: &str, samples: Vec<T>)
where
    T: for<'r> Decode<'r, Postgres> + for<'q> Encode<'q, Postgres> + Type<Postgres>,
    T: Clone + PartialEq + std::fmt::Debug + Send + Unpin + 'static,
{
    let sql = format!("SELECT $1::{name}");
    for sample in samples.into_iter().map(Some).chain([None]) {
        let query =
            sqlx::query_scalar::<_, Option<T>>(AssertSqlSafe(sql.clone())).bind(sample.clone());
        assert_eq!(query.fetch_one(&mut *c).await.unwrap(), sample, "{name}");
    }
}

async fn types() {
    let c = &mut connect().await;
    round_trip(c, "int2", vec![i16::MIN, i16::MAX]).await;
    round_trip(c, "int4", vec![i32::MIN, i32::MAX]).await;
    round_trip(c, "int8", vec![i64::MIN, i64::MAX]).await;
    round_trip(c, "float8", vec![0.1, 1e300, f64::NEG_INFINITY]).await;
    round_trip(c, "bool", vec![true, false]).await;
    let words = ["", "'\"\\ é 日本 🐉\n", &"x".repeat(1_000_000)].map(str::to_owned);
    round_trip(c, "text", words.to_vec()).await;
    round_trip(c, "bytea", vec![(0..=255).collect::<Vec<u8>>(), Vec::new()]).await;
    let json = serde_json::json!({"a": [1, null, "é"]});
    round_trip(c, "jsonb", vec![json.clone()]).await;
    round_trip(c, "json", vec![json]).await;
    round_trip(c, "int4[]", vec![vec![Some(1), None, Some(3)], vec![]]).await;
    round_trip(c, "int4range", vec![PgRange::from(1..5)]).await;
    round_trip(c, "interval", vec![PgInterval { months: 1, days: -3, microseconds: 7 }]).await;
    // Types of one's own: the driver asks the catalog about them.
    let sql = "DROP TABLE IF EXISTS t; DROP TYPE IF EXISTS mood CASCADE; \
               CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TABLE t (mood mood)";
    run(c, sql).await;
    run(c, "INSERT INTO t VALUES ('sad')").await;
    let row = sqlx::query("SELECT mood, mood::text FROM t WHERE mood = $1::text::mood").bind("sad");
    assert_eq!(row.fetch_one(c).await.unwrap().get::<String, _>(1), "sad");
}

async fn settings() {
    let (mut c, mut other) = (connect().await, connect().await);
    fresh(&mut c).await;
    run(&mut c, "CREATE SCHEMA IF NOT EXISTS apart").await;
    run(&mut c, "CREATE TABLE IF NOT EXISTS apart.t AS SELECT -1 AS id").await;
    run(&mut c, "SET search_path = apart, public").await;
    sqlx::query("SET TimeZone = 'Asia/Tokyo'").execute(&mut c).await.unwrap();
    let set =
        sqlx::query_scalar::<_, String>("SELECT set_config('app.tenant', $1, false)").bind("one");
    assert_eq!(set.fetch_one(&mut c).await.unwrap(), "one");
    run(&mut other, "SET TimeZone = 'America/New_York'").await;
    let noon = "SELECT '2026-01-01 12:00Z'::timestamptz::text";
    for _ in 0..5 {
        assert_eq!((count(&mut c).await, count(&mut other).await), (1, 0));
        assert_eq!(one::<String>(&mut c, noon).await, "2026-01-01 21:00:00+09");
        assert_eq!(one::<String>(&mut other, noon).await, "2026-01-01 07:00:00-05");
        let tenant = "SELECT coalesce(current_setting('app.tenant', true), '')";
        assert_eq!(one::<String>(&mut c, tenant).await, "one");
        assert_eq!(one::<String>(&mut other, tenant).await, "");
    }
    let mut transaction = c.begin().await.unwrap();
    run(&mut transaction, "SET TimeZone = 'UTC'").await;
    transaction.rollback().await.unwrap();
    assert_eq!(one::<String>(&mut c, "SHOW TimeZone").await, "Asia/Tokyo");
    let mut transaction = c.begin().await.unwrap();
    run(&mut transaction, "SET LOCAL statement_timeout = '1h'").await;
    run(&mut transaction, "SET TimeZone = 'Europe/Paris'").await;
    assert_eq!(one::<String>(&mut transaction, "SHOW statement_timeout").await, "1h");
    transaction.commit().await.unwrap();
    assert_eq!(one::<String>(&mut c, "SHOW statement_timeout").await, "0");
    assert_eq!(one::<String>(&mut c, "SHOW TimeZone").await, "Europe/Paris");
    run(&mut c, "SET statement_timeout = '50ms'").await;
    refused(sqlx::query("SELECT pg_sleep(60)").execute(&mut c).await, "57014");
    run(&mut c, "RESET ALL").await;
    assert_eq!(one::<String>(&mut c, "SHOW statement_timeout").await, "0");
    assert_eq!(count(&mut c).await, 0);
}

async fn temporary() {
    let (mut c, mut other) = (connect().await, connect().await);
    run(&mut c, "CREATE TEMP TABLE mine (id int)").await;
    for number in 0..5 {
        run(&mut c, "INSERT INTO mine VALUES (1)").await;
        assert_eq!(one::<i64>(&mut c, "SELECT count(*) FROM mine").await, number + 1);
        refused(sqlx::query("SELECT * FROM mine").execute(&mut other).await, "42P01");
    }
}

async fn locks() {
    let (mut c, mut other) = (connect().await, connect().await);
    run(&mut c, "SELECT pg_advisory_lock(42)").await;
    for _ in 0..3 {
        assert!(!one::<bool>(&mut other, "SELECT pg_try_advisory_lock(42)").await);
        assert_eq!(one::<i32>(&mut c, "SELECT 1").await, 1);
    }
    assert!(one::<bool>(&mut c, "SELECT pg_advisory_unlock(42)").await);
    assert!(one::<bool>(&mut other, "SELECT pg_try_advisory_lock(42)").await);
}

async fn notify() {
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options()).await.unwrap();
    let mut listener = PgListener::connect_with(&pool).await.unwrap();
    listener.listen_all(["news", "more"]).await.unwrap();
    let mut other = connect().await;
    run(&mut other, "NOTIFY news, 'first'").await;
    sqlx::query("SELECT pg_notify('more', $1)").bind("second").execute(&mut other).await.unwrap();
    for expected in [("news", "first"), ("more", "second")] {
        let note = listener.recv().await.unwrap();
        assert_eq!((note.channel(), note.payload()), expected);
    }
    listener.unlisten_all().await.unwrap();
}

async fn pool() {
    fresh(&mut connect().await).await;
    let pool = PgPoolOptions::new().max_connections(8).test_before_acquire(true);
    let pool = pool.connect_with(options()).await.unwrap();
    let pool = &pool;
    try_join_all((0..40).map(async |id| {
        let mut transaction = pool.begin().await?;
        insert(&mut transaction, id).await?;
        transaction.commit().await?;
        let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM t WHERE id = $1")
            .bind(id)
            .fetch_one(pool)
            .await?;
        assert_eq!(seen, 1);
        // Dropped half way, so rolled back when the pool takes it back.
        let mut transaction = pool.begin().await?;
        sqlx::query("DELETE FROM t WHERE id = $1").bind(id).execute(&mut *transaction).await?;
        Ok::<_, Error>(())
    }))
    .await
    .unwrap();
    assert_eq!(count(&mut pool.acquire().await.unwrap()).await, 40);
    pool.close().await;
}

async fn session(number: i32) -> Result<(), Error> {
    let mut c = PgConnection::connect_with(&options()).await?;
    let select = "SELECT word FROM t WHERE id = $1";
    for round in 0..4 {
        let key = number * 10 + round;
        let word = format!("w{key}");
        let mut transaction = c.begin().await?;
        assert_eq!(insert(&mut transaction, key).await?, 1);
        let read = sqlx::query_scalar::<_, String>(select).bind(key);
        assert_eq!(read.fetch_one(&mut *transaction).await?, word);
        transaction.commit().await?;
        let read = sqlx::query_scalar::<_, String>(select).bind(key);
        assert_eq!(read.fetch_one(&mut c).await?, word);
        let between = sqlx::query_scalar("SELECT count(*) FROM t WHERE id BETWEEN $1 AND $2");
        let seen: i64 = between.bind(number * 10).bind(number * 10 + 9).fetch_one(&mut c).await?;
        assert_eq!(seen, i64::from(round) + 1);
    }
    c.close().await
}

async fn sessions() {
    let mut c = connect().await;
    fresh(&mut c).await;
    try_join_all((0..SESSIONS).map(session)).await.unwrap();
    assert_eq!(count(&mut c).await, i64::from(SESSIONS) * 4);
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut checks = Checks::of(&["sqlx"]);
    checks.check("connect", login()).await;
    checks.check("crud", crud()).await;
    checks.check("transactions", transactions()).await;
    checks.check("savepoints", savepoints()).await;
    checks.check("isolation", isolation()).await;
    checks.check("read_only", read_only()).await;
    checks.check("prepared", prepared()).await;
    checks.check("schema", schema()).await;
    checks.check("batch", batch()).await;
    checks.skip("pipeline", "the driver has none");
    checks.check("copy", copy()).await;
    checks.check("cursor", cursor()).await;
    checks.skip("cancel", "the driver has none");
    checks.check("errors", errors()).await;
    checks.check("types", types()).await;
    checks.check("settings", settings()).await;
    checks.check("temporary", temporary()).await;
    checks.check("locks", locks()).await;
    checks.check("notify", notify()).await;
    checks.check("sessions", sessions()).await;
    checks.check("pool", pool()).await;
    checks.end()
}
