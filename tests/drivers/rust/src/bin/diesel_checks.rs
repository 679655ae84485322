//! diesel-async: Diesel's query builder over tokio-postgres, with deadpool.

use std::process::ExitCode;
use std::time::Duration;

use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::{Array, BigInt, Bool, Bytea, Double, Integer, Jsonb, Nullable, Text};
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::{
    AsyncConnection as _, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _,
};
use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, pin_mut};
use tokio_postgres::NoTls;
use weir_drivers::{Checks, SESSIONS, env};

table! {
    t (id) {
        id -> Integer,
        word -> Nullable<Text>,
    }
}

define_sql_function! {
    /// With a type for each sample.
    fn set_config(name: Text, value: Text, local: Bool) -> Text;
}

#[derive(Debug, PartialEq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = t)]
struct Row {
    id: i32,
    word: Option<String>,
}

#[derive(QueryableByName)]
struct Told {
    #[diesel(sql_type = Text)]
    value: String,
}

fn row(id: i32) -> Row {
    Row { id, word: Some(format!("w{id}")) }
}

fn url(password: &str) -> String {
    let [host, port, user, name] = ["PGHOST", "PGPORT", "PGUSER", "PGDATABASE"].map(env);
    format!("postgresql://{user}:{password}@{host}:{port}/{name}")
}

async fn connect() -> AsyncPgConnection {
    AsyncPgConnection::establish(&url(&env("PGPASSWORD"))).await.unwrap()
}

async fn fresh(c: &mut AsyncPgConnection) {
    let sql = "DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, word text)";
    c.batch_execute(sql).await.unwrap();
}

async fn insert(c: &mut AsyncPgConnection, id: i32) -> QueryResult<usize> {
    diesel::insert_into(t::table).values(row(id)).execute(c).await
}

async fn count(c: &mut AsyncPgConnection) -> i64 {
    t::table.count().get_result(c).await.unwrap()
}

/// A text that a query answers with.
async fn told(c: &mut AsyncPgConnection, sql: &str) -> String {
    let sql = format!("SELECT ({sql})::text AS value");
    diesel::sql_query(sql).get_result::<Told>(c).await.unwrap().value
}

async fn setting(c: &mut AsyncPgConnection, name: &str) -> String {
    told(c, &format!("SELECT coalesce(current_setting('{name}', true), '')")).await
}

fn refused<T>(answer: QueryResult<T>, words: &str) {
    match answer {
        Ok(_) => panic!("should have failed: {words}"),
        Err(error) => assert!(error.to_string().contains(words), "{error}"),
    }
}

async fn login() {
    let mut c = connect().await;
    assert_eq!(told(&mut c, "SELECT current_user").await, env("PGUSER"));
    // The driver sets these by itself.
    assert_eq!(setting(&mut c, "TimeZone").await, "UTC");
    let wrong = AsyncPgConnection::establish(&url("wrong")).await.err().unwrap();
    assert!(wrong.to_string().contains("password authentication failed"), "{wrong}");
}

async fn crud() {
    let mut c = connect().await;
    fresh(&mut c).await;
    let rows = [row(1), Row { id: 2, word: None }];
    let inserted: Vec<Row> = diesel::insert_into(t::table)
        .values([row(1), Row { id: 2, word: None }])
        .returning(Row::as_returning())
        .get_results(&mut c)
        .await
        .unwrap();
    assert_eq!(inserted, rows);
    let read = t::table.order(t::id).select(Row::as_select()).load(&mut c).await.unwrap();
    assert_eq!(read, rows);
    let update = diesel::update(t::table.find(2)).set(t::word.eq("two")).execute(&mut c).await;
    assert_eq!(update.unwrap(), 1);
    let word: Option<String> = t::table.find(2).select(t::word).first(&mut c).await.unwrap();
    assert_eq!(word.as_deref(), Some("two"));
    let upsert = diesel::insert_into(t::table).values(row(2)).on_conflict(t::id).do_update();
    assert_eq!(upsert.set(row(2)).execute(&mut c).await.unwrap(), 1);
    let found = t::table.filter(t::id.eq_any([1, 2, 3])).filter(t::word.like("w%"));
    assert_eq!(found.count().get_result::<i64>(&mut c).await.unwrap(), 2);
    let missing = t::table.find(9).select(Row::as_select()).first(&mut c).await.optional();
    assert_eq!(missing.unwrap(), None);
    assert_eq!(diesel::delete(t::table).execute(&mut c).await.unwrap(), 2);
}

async fn transactions() {
    let (mut c, mut other) = (connect().await, connect().await);
    fresh(&mut c).await;
    c.transaction(async |c| {
        insert(c, 1).await?;
        assert_eq!((count(c).await, count(&mut other).await), (1, 0));
        Ok::<_, Error>(())
    })
    .await
    .unwrap();
    assert_eq!(count(&mut other).await, 1);
    let gone = c.transaction::<(), _, _>(async |c| {
        insert(c, 2).await?;
        Err(Error::RollbackTransaction)
    });
    assert_eq!(gone.await, Err(Error::RollbackTransaction));
    assert_eq!(count(&mut c).await, 1);
}

async fn savepoints() {
    let mut c = connect().await;
    fresh(&mut c).await;
    c.transaction(async |c| {
        insert(c, 1).await?;
        for _ in 0..3 {
            let inner = c.transaction(async |c| {
                insert(c, 2).await?;
                insert(c, 1).await
            });
            refused(inner.await, "t_pkey");
        }
        c.transaction(async |c| insert(c, 3).await).await
    })
    .await
    .unwrap();
    let ids: Vec<i32> = t::table.order(t::id).select(t::id).load(&mut c).await.unwrap();
    assert_eq!(ids, [1, 3]);
}

async fn isolation() {
    let (mut c, mut other) = (connect().await, connect().await);
    fresh(&mut c).await;
    for (number, level) in (0..).zip(["read committed", "repeatable read", "serializable"]) {
        let mut transaction = match number {
            0 => c.build_transaction().read_committed(),
            1 => c.build_transaction().repeatable_read(),
            _ => c.build_transaction().serializable(),
        };
        let seen = transaction.run(async |c| {
            assert_eq!(setting(c, "transaction_isolation").await, level);
            let before = count(c).await;
            insert(&mut other, number).await?;
            Ok::<_, Error>(count(c).await - before)
        });
        assert_eq!(seen.await.unwrap(), i64::from(number == 0));
    }
    let mut first = c.build_transaction().serializable();
    let clash = first.run(async |c| {
        count(c).await;
        let mut second = other.build_transaction().serializable();
        let inserted = second.run(async |other| {
            count(other).await;
            insert(other, 100).await
        });
        inserted.await?;
        insert(c, 101).await
    });
    let clash = clash.await.err();
    let serialization = DatabaseErrorKind::SerializationFailure;
    assert!(
        matches!(&clash, Some(Error::DatabaseError(kind, _)) if format!("{kind:?}") == format!("{serialization:?}")),
        "{clash:?}"
    );
}

async fn read_only() {
    let mut c = connect().await;
    fresh(&mut c).await;
    insert(&mut c, 1).await.unwrap();
    for _ in 0..3 {
        let mut transaction = c.build_transaction().read_only();
        let seen = transaction.run(async |c| Ok::<_, Error>(count(c).await)).await;
        assert_eq!(seen.unwrap(), 1);
        let write = c.build_transaction().read_only().run(async |c| insert(c, 2).await).await;
        refused(write, "read-only transaction");
    }
    let mut deferrable = c.build_transaction().serializable().read_only().deferrable();
    assert_eq!(deferrable.run(async |c| Ok::<_, Error>(count(c).await)).await.unwrap(), 1);
}

async fn prepared() {
    let (mut c, mut other) = (connect().await, connect().await);
    fresh(&mut c).await;
    for round in 0..6 {
        for side in [&mut c, &mut other] {
            let found = t::table.filter(t::id.ge(0)).filter(t::word.like("w%"));
            assert_eq!(found.count().get_result::<i64>(side).await.unwrap(), i64::from(round));
            let last = t::table.select(diesel::dsl::max(t::id)).filter(t::id.lt(round));
            let last: Option<i32> = last.first(side).await.unwrap();
            assert_eq!(last, (round > 0).then_some(round - 1));
        }
        c.transaction(async |c| insert(c, round).await).await.unwrap();
    }
}

async fn schema() {
    let mut c = connect().await;
    fresh(&mut c).await;
    insert(&mut c, 1).await.unwrap();
    for _ in 0..3 {
        let rows: Vec<Row> = t::table.load(&mut c).await.unwrap();
        assert_eq!(rows, [row(1)]);
    }
    c.batch_execute("ALTER TABLE t ALTER COLUMN word TYPE varchar, ADD COLUMN more int")
        .await
        .unwrap();
    // Who prepares it now must not meet what others prepared before.
    for _ in 0..3 {
        let rows: Vec<Row> = t::table.load(&mut connect().await).await.unwrap();
        assert_eq!(rows, [row(1)]);
    }
}

async fn batch() {
    let mut c = connect().await;
    fresh(&mut c).await;
    let rows: Vec<Row> = (0..1000).map(row).collect();
    assert_eq!(diesel::insert_into(t::table).values(rows).execute(&mut c).await.unwrap(), 1000);
    let twice = c.batch_execute("INSERT INTO t VALUES (5000); INSERT INTO t VALUES (1)").await;
    refused(twice, "t_pkey");
    assert_eq!(count(&mut c).await, 1000);
}

async fn pipeline() {
    let mut c = connect().await;
    fresh(&mut c).await;
    let mut c = &c;
    let inserts = try_join_all(
        (0..50).map(|id| diesel::insert_into(t::table).values(row(id)).execute(&mut c)),
    );
    assert_eq!(inserts.await.unwrap(), [1; 50]);
    let reads =
        try_join_all((0..50).map(|id| t::table.find(id).select(Row::as_select()).first(&mut c)));
    assert_eq!(reads.await.unwrap(), (0..50).map(row).collect::<Vec<_>>());
}

async fn cursor() {
    let mut c = connect().await;
    fresh(&mut c).await;
    let rows: Vec<Row> = (0..1000).map(row).collect();
    diesel::insert_into(t::table).values(rows).execute(&mut c).await.unwrap();
    for _ in 0..3 {
        let ids = t::table.order(t::id).select(t::id).load_stream::<i32>(&mut c).await.unwrap();
        assert_eq!(ids.try_collect::<Vec<_>>().await.unwrap(), (0..1000).collect::<Vec<_>>());
        // Left half read.
        let ids = t::table.order(t::id).select(t::id).load_stream::<i32>(&mut c).await.unwrap();
        pin_mut!(ids);
        assert_eq!(ids.next().await.unwrap().unwrap(), 0);
    }
    assert_eq!(count(&mut c).await, 1000);
}

async fn cancel() {
    let mut c = connect().await;
    fresh(&mut c).await;
    for begin in ["SELECT 1", "BEGIN; INSERT INTO t VALUES (1)"] {
        c.batch_execute(begin).await.unwrap();
        let token = c.cancel_token();
        let ended = {
            let sleeping = c.batch_execute("SELECT pg_sleep(60)");
            pin_mut!(sleeping);
            // The query may not have begun at the first.
            loop {
                match tokio::time::timeout(Duration::from_millis(20), &mut sleeping).await {
                    Ok(ended) => break ended,
                    Err(_) => token.cancel_query(NoTls).await.unwrap(),
                }
            }
        };
        refused(ended, "canceling statement due to user request");
        c.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(count(&mut c).await, 0);
    }
}

async fn errors() {
    let mut c = connect().await;
    fresh(&mut c).await;
    insert(&mut c, 1).await.unwrap();
    match insert(&mut c, 1).await {
        Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, told)) => {
            assert_eq!((told.constraint_name(), told.table_name()), (Some("t_pkey"), Some("t")));
            assert_eq!(told.details(), Some("Key (id)=(1) already exists."));
        }
        other => panic!("{other:?}"),
    }
    refused(diesel::sql_query("SELEC 1").execute(&mut c).await, "syntax error");
    refused(diesel::sql_query("SELECT * FROM missing").execute(&mut c).await, "does not exist");
    let failed = c.transaction(async |c| {
        refused(diesel::sql_query("SELECT 1 / 0").execute(c).await, "division by zero");
        refused(diesel::sql_query("SELECT 1").execute(c).await, "current transaction is aborted");
        Err::<(), _>(Error::RollbackTransaction)
    });
    assert_eq!(failed.await, Err(Error::RollbackTransaction));
    assert_eq!(count(&mut c).await, 1);
    let kill = diesel::sql_query("SELECT pg_terminate_backend(pg_backend_pid())");
    assert!(kill.execute(&mut c).await.is_err());
    assert_eq!(count(&mut connect().await).await, 1);
}

/// Sends a value of this type and reads it back.
macro_rules! round_trip {
    ($c:expr, $kind:ty, $of:ty, [$($sample:expr),*]) => {
        for sample in [$(Some($sample),)* None] {
            let query = diesel::select(sample.clone().into_sql::<Nullable<$kind>>());
            let got: Option<$of> = query.get_result($c).await.unwrap();
            assert_eq!(got, sample, stringify!($kind));
        }
    };
}

async fn types() {
    let c = &mut connect().await;
    round_trip!(c, Integer, i32, [i32::MIN, i32::MAX]);
    round_trip!(c, BigInt, i64, [i64::MIN, i64::MAX]);
    round_trip!(c, Double, f64, [0.1, 1e300, f64::NEG_INFINITY]);
    round_trip!(c, Bool, bool, [true, false]);
    round_trip!(
        c,
        Text,
        String,
        [String::new(), "'\"\\ é 日本 🐉\n".to_owned(), "x".repeat(1_000_000)]
    );
    round_trip!(c, Bytea, Vec<u8>, [(0..=255).collect::<Vec<u8>>(), Vec::new()]);
    round_trip!(c, Jsonb, serde_json::Value, [serde_json::json!({"a": [1, null, "é"]})]);
    round_trip!(
        c,
        Array<Nullable<Text>>,
        Vec<Option<String>>,
        [vec![Some("a,b".to_owned()), None]]
    );
}

async fn settings() {
    let (mut c, mut other) = (connect().await, connect().await);
    fresh(&mut c).await;
    c.batch_execute("CREATE SCHEMA IF NOT EXISTS apart").await.unwrap();
    let sql = "CREATE TABLE IF NOT EXISTS apart.t AS SELECT -1 AS id, ''::text AS word";
    c.batch_execute(sql).await.unwrap();
    c.batch_execute("SET search_path = apart, public").await.unwrap();
    diesel::sql_query("SET TimeZone = 'Asia/Tokyo'").execute(&mut c).await.unwrap();
    let set = diesel::select(set_config("app.tenant", "one", false));
    assert_eq!(set.get_result::<String>(&mut c).await.unwrap(), "one");
    for _ in 0..5 {
        assert_eq!((count(&mut c).await, count(&mut other).await), (1, 0));
        assert_eq!(setting(&mut c, "TimeZone").await, "Asia/Tokyo");
        assert_eq!(setting(&mut other, "TimeZone").await, "UTC");
        assert_eq!(setting(&mut c, "app.tenant").await, "one");
        assert_eq!(setting(&mut other, "app.tenant").await, "");
    }
    c.transaction(async |c| {
        c.batch_execute("SET LOCAL statement_timeout = '1h'").await?;
        c.batch_execute("SET TimeZone = 'Europe/Paris'").await
    })
    .await
    .unwrap();
    assert_eq!(setting(&mut c, "statement_timeout").await, "0");
    assert_eq!(setting(&mut c, "TimeZone").await, "Europe/Paris");
    c.batch_execute("SET statement_timeout = '50ms'").await.unwrap();
    refused(c.batch_execute("SELECT pg_sleep(60)").await, "statement timeout");
    c.batch_execute("RESET ALL").await.unwrap();
    assert_eq!(count(&mut c).await, 0);
}

async fn temporary() {
    let mut c = connect().await;
    c.batch_execute("DROP TABLE IF EXISTS t; CREATE TEMP TABLE t (id int, word text)")
        .await
        .unwrap();
    for id in 0..5 {
        insert(&mut c, id).await.unwrap();
        assert_eq!(count(&mut c).await, i64::from(id) + 1);
    }
    assert!(insert(&mut connect().await, 1).await.is_err());
}

async fn locks() {
    let (mut c, mut other) = (connect().await, connect().await);
    fresh(&mut c).await;
    insert(&mut c, 1).await.unwrap();
    assert_eq!(told(&mut c, "SELECT pg_advisory_lock(42)").await, "");
    assert_eq!(told(&mut other, "SELECT pg_try_advisory_lock(42)").await, "false");
    assert_eq!(told(&mut c, "SELECT pg_advisory_unlock(42)").await, "true");
    assert_eq!(told(&mut other, "SELECT pg_try_advisory_lock(42)").await, "true");
    c.transaction(async |c| {
        let locked = t::table.select(Row::as_select()).for_update();
        assert_eq!(locked.load(c).await?, [row(1)]);
        let skipped = t::table.select(Row::as_select()).for_update().skip_locked();
        assert_eq!(skipped.load(&mut other).await?, []);
        Ok::<_, Error>(())
    })
    .await
    .unwrap();
}

async fn notify() {
    let (mut c, mut other) = (connect().await, connect().await);
    diesel::sql_query("LISTEN news").execute(&mut c).await.unwrap();
    diesel::sql_query("NOTIFY news, 'first'").execute(&mut other).await.unwrap();
    other.batch_execute("SELECT pg_notify('news', 'second')").await.unwrap();
    let notes: Vec<_> = c.notifications_stream().take(2).try_collect().await.unwrap();
    let notes: Vec<_> = notes.iter().map(|note| note.payload.as_str()).collect();
    assert_eq!(notes, ["first", "second"]);
}

async fn session(number: i32) -> QueryResult<()> {
    let mut c = connect().await;
    for round in 0..4 {
        let key = number * 10 + round;
        c.transaction(async |c| {
            assert_eq!(insert(c, key).await?, 1);
            let read = t::table.find(key).select(Row::as_select()).first(c).await?;
            assert_eq!(read, row(key));
            Ok::<_, Error>(())
        })
        .await?;
        let read = t::table.find(key).select(Row::as_select()).first(&mut c).await?;
        assert_eq!(read, row(key));
        let between = t::table.filter(t::id.between(number * 10, number * 10 + 9));
        assert_eq!(between.count().get_result::<i64>(&mut c).await?, i64::from(round) + 1);
    }
    Ok(())
}

async fn sessions() {
    let mut c = connect().await;
    fresh(&mut c).await;
    try_join_all((0..SESSIONS).map(session)).await.unwrap();
    assert_eq!(count(&mut c).await, i64::from(SESSIONS) * 4);
}

async fn pool() {
    let mut c = connect().await;
    fresh(&mut c).await;
    let manager = AsyncDieselConnectionManager::<AsyncPgConnection>::new(url(&env("PGPASSWORD")));
    let pool = Pool::builder(manager).max_size(8).build().unwrap();
    let pool = &pool;
    try_join_all((0..40).map(async |id| {
        let mut c = pool.get().await.unwrap();
        c.transaction(async |c| insert(c, id).await).await?;
        let read = t::table.find(id).select(Row::as_select()).first(&mut c).await?;
        assert_eq!(read, row(id));
        Ok::<_, Error>(())
    }))
    .await
    .unwrap();
    assert_eq!(count(&mut c).await, 40);
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut checks = Checks::of(&["diesel", "diesel-async"]);
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
    checks.skip("copy", "diesel-async has none");
    checks.check("cursor", cursor()).await;
    checks.check("cancel", cancel()).await;
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
