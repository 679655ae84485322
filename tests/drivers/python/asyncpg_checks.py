"""asyncpg: binary protocol, statement cache, and a pool that resets what sessions leave behind."""

import asyncio
import datetime as dt
import ipaddress
import uuid
from decimal import Decimal

import asyncpg

from tap import SESSIONS, Checks, equal

check = Checks(f"asyncpg {asyncpg.__version__}")


async def fresh(connection, columns="id int PRIMARY KEY, word text"):
    """An empty table `t`."""
    await connection.execute("DROP TABLE IF EXISTS t")
    await connection.execute(f"CREATE TABLE t ({columns})")


async def fails(error_type, awaitable, **attributes):
    try:
        await awaitable
    except error_type as error:
        for name, expected in attributes.items():
            equal((name, getattr(error, name)), (name, expected))
        return error
    raise AssertionError(f"should have failed with {error_type.__name__}")


class connected:
    """So many connections, closed afterwards."""

    def __init__(self, count=1, **options):
        self.count, self.options, self.all = count, options, []

    async def __aenter__(self):
        for _ in range(self.count):
            self.all.append(await asyncpg.connect(**self.options))
        return self.all[0] if self.count == 1 else self.all

    async def __aexit__(self, *_):
        for connection in self.all:
            await connection.close()


@check
async def check_connect():
    settings = {"application_name": "a name", "search_path": "pg_catalog, public"}
    async with connected(server_settings=settings) as connection:
        equal(await connection.fetchval("SELECT current_user"), "app")
        equal(await connection.fetchval("SHOW application_name"), "a name")
        equal(await connection.fetchval("SHOW search_path"), "pg_catalog, public")
        equal(connection.get_settings().application_name, "a name")
        assert connection.get_server_version() >= (14,)
    await fails(asyncpg.InvalidPasswordError, asyncpg.connect(password="wrong"))


@check
async def check_crud():
    async with connected() as connection:
        await fresh(connection, "id serial PRIMARY KEY, word text")
        insert = "INSERT INTO t (word) VALUES ($1) RETURNING id, word"
        equal(tuple(await connection.fetchrow(insert, "één")), (1, "één"))
        equal(await connection.fetchval(insert, None), 2)
        equal([tuple(row) for row in await connection.fetch("SELECT * FROM t ORDER BY id")], [(1, "één"), (2, None)])
        equal(await connection.execute("UPDATE t SET word = $1 WHERE id = $2", "two", 2), "UPDATE 1")
        equal(await connection.fetchval("SELECT word FROM t WHERE id = 2"), "two")
        equal(await connection.execute("DELETE FROM t WHERE id > $1", 0), "DELETE 2")
        equal(await connection.fetchval("SELECT count(*) FROM t"), 0)


@check
async def check_transactions():
    async with connected(2) as (connection, other):
        await fresh(connection)
        count = "SELECT count(*) FROM t"
        async with connection.transaction():
            await connection.execute("INSERT INTO t VALUES (1, 'kept')")
            equal(await connection.fetchval(count), 1)
            equal(await other.fetchval(count), 0)
        equal(await other.fetchval(count), 1)
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("INSERT INTO t VALUES (2, 'gone')")
        await transaction.rollback()
        equal(await connection.fetchval(count), 1)
        equal(connection.is_in_transaction(), False)


@check
async def check_savepoints():
    async with connected() as connection:
        await fresh(connection)
        async with connection.transaction():
            await connection.execute("INSERT INTO t VALUES (1)")
            try:
                async with connection.transaction():
                    await connection.execute("INSERT INTO t VALUES (2)")
                    await connection.execute("INSERT INTO t VALUES (1)")
                raise AssertionError("a duplicate was taken")
            except asyncpg.UniqueViolationError:
                pass
            async with connection.transaction():
                await connection.execute("INSERT INTO t VALUES (3)")
        equal([row["id"] for row in await connection.fetch("SELECT id FROM t ORDER BY id")], [1, 3])


@check
async def check_isolation():
    async with connected(2) as (connection, other):
        await fresh(connection)
        for number, level in enumerate(["read_committed", "repeatable_read", "serializable"]):
            async with connection.transaction(isolation=level):
                equal(await connection.fetchval("SHOW transaction_isolation"), level.replace("_", " "))
                before = await connection.fetchval("SELECT count(*) FROM t")
                await other.execute("INSERT INTO t VALUES ($1)", number)
                after = await connection.fetchval("SELECT count(*) FROM t")
                equal(after - before, int(level == "read_committed"))
        first, second = connection.transaction(isolation="serializable"), other.transaction(isolation="serializable")
        await first.start()
        await second.start()
        for side in (connection, other):
            await side.fetchval("SELECT count(*) FROM t")
        await connection.execute("INSERT INTO t VALUES (100)")
        await other.execute("INSERT INTO t VALUES (101)")
        await first.commit()
        await fails(asyncpg.SerializationError, second.commit(), sqlstate="40001")


@check
async def check_read_only():
    async with connected() as connection:
        await fresh(connection)
        await connection.execute("INSERT INTO t VALUES (1, 'a')")
        for options in ({}, {"isolation": "repeatable_read"}, {"isolation": "serializable", "deferrable": True}):
            async with connection.transaction(readonly=True, **options):
                equal(await connection.fetchval("SHOW transaction_read_only"), "on")
                equal(await connection.fetchval("SELECT word FROM t"), "a")
        transaction = connection.transaction(readonly=True)
        await transaction.start()
        await fails(asyncpg.ReadOnlySQLTransactionError, connection.execute("INSERT INTO t VALUES (2)"))
        await transaction.rollback()
        await connection.execute("INSERT INTO t VALUES (2)")
        equal(await connection.fetchval("SELECT count(*) FROM t"), 2)
    async with connected(server_settings={"default_transaction_read_only": "on"}) as connection:
        equal(await connection.fetchval("SELECT count(*) FROM t"), 2)
        await fails(asyncpg.ReadOnlySQLTransactionError, connection.execute("INSERT INTO t VALUES (3)"))


@check
async def check_prepared():
    # A cache so small that statements are closed all the time.
    async with connected(2, statement_cache_size=3) as (connection, other):
        await fresh(connection)
        kept = await connection.prepare("SELECT $1::int + (SELECT count(*) FROM t)")
        equal([kind.name for kind in kept.get_parameters()], ["int4"])
        for round in range(6):
            for number in range(6):
                for side in (connection, other):
                    query = f"SELECT {number} + $1::int + (SELECT count(*) FROM t)"
                    equal(await side.fetchval(query, round), number + 2 * round)
            async with connection.transaction():
                equal(await kept.fetchval(round), 2 * round)
                await connection.execute("INSERT INTO t VALUES ($1)", round)
            equal(await kept.fetchval(round), 2 * round + 1)


@check
async def check_schema():
    async with connected(2) as (connection, other):
        await fresh(connection)
        await connection.execute("INSERT INTO t VALUES (1, 'a')")
        for side in (connection, other) * 3:
            equal([tuple(row) for row in await side.fetch("SELECT * FROM t")], [(1, "a")])
        await connection.execute("ALTER TABLE t ADD COLUMN more int DEFAULT 5")
        # The driver prepares anew by itself when told that the result has changed.
        for side in (connection, other) * 3:
            equal([tuple(row) for row in await side.fetch("SELECT * FROM t")], [(1, "a", 5)])
        async with connected() as third:
            equal([tuple(row) for row in await third.fetch("SELECT * FROM t")], [(1, "a", 5)])


@check
async def check_batch():
    async with connected() as connection:
        await fresh(connection)
        insert = "INSERT INTO t VALUES ($1, $2)"
        await connection.executemany(insert, [(number, str(number)) for number in range(1000)])
        equal(await connection.fetchval("SELECT count(*) FROM t"), 1000)
        rows = await connection.fetchmany("DELETE FROM t WHERE id = $1 RETURNING word", [(7,), (8,)])
        equal([row["word"] for row in rows], ["7", "8"])
        await fails(asyncpg.UniqueViolationError, connection.executemany(insert, [(5000, "a"), (1, "twice")]))
        equal(await connection.fetchval("SELECT count(*) FROM t"), 998)
        await connection.execute("INSERT INTO t VALUES (7); INSERT INTO t VALUES (8); SELECT 1")
        equal(await connection.fetchval("SELECT count(*) FROM t"), 1000)


check.skip("pipeline", "the driver has none")


@check
async def check_copy():
    rows = [(number, f"wörd\t{number}\\ \n") for number in range(5000)]
    async with connected() as connection:
        await fresh(connection)
        equal(await connection.copy_records_to_table("t", records=rows), "COPY 5000")
        equal([tuple(row) for row in await connection.fetch("SELECT * FROM t ORDER BY id")], rows)
        told = bytearray()

        async def take(chunk):
            told.extend(chunk)

        equal(await connection.copy_from_query("SELECT * FROM t WHERE id < $1", 3, output=take, format="csv"), "COPY 3")
        assert told.startswith(b'0,"w\xc3\xb6rd\t0\\ \n"\n'), bytes(told)

        async def give(data):
            yield data

        bad = connection.copy_to_table("t", source=give(b"no number\tx\n"))
        await fails(asyncpg.InvalidTextRepresentationError, bad)
        await fails(asyncpg.UniqueViolationError, connection.copy_records_to_table("t", records=rows[:1]))
        equal(await connection.fetchval("SELECT count(*) FROM t"), 5000)


@check
async def check_cursor():
    async with connected() as connection:
        await fresh(connection)
        await connection.execute("INSERT INTO t SELECT g, g::text FROM generate_series(1, 1000) g")
        async with connection.transaction():
            cursor = connection.cursor("SELECT id FROM t WHERE id > $1 ORDER BY id", 0, prefetch=50)
            equal([row["id"] async for row in cursor], list(range(1, 1001)))
            cursor = await connection.cursor("SELECT id FROM t ORDER BY id")
            equal(await cursor.forward(500), 500)
            equal((await cursor.fetchrow())["id"], 501)
            equal([row["id"] for row in await cursor.fetch(3)], [502, 503, 504])


@check
async def check_cancel():
    async with connected() as connection:
        await fresh(connection)
        for begin in ("SELECT 1", "BEGIN; INSERT INTO t VALUES (1)"):
            await connection.execute(begin)
            # A time limit of the driver's is a cancel request.
            await fails(asyncio.TimeoutError, connection.execute("SELECT pg_sleep(60)", timeout=0.2))
            await connection.execute("ROLLBACK")
            equal(await connection.fetchval("SELECT 1"), 1)
        sleeping = asyncio.create_task(connection.fetchval("SELECT pg_sleep(60)"))
        await asyncio.sleep(0)
        sleeping.cancel()
        await fails(asyncio.CancelledError, sleeping)
        equal(await connection.fetchval("SELECT 1"), 1)


@check
async def check_errors():
    async with connected() as connection:
        await fresh(connection)
        await connection.execute("INSERT INTO t VALUES (1, 'a')")
        twice = connection.execute("INSERT INTO t VALUES ($1, 'b')", 1)
        details = {"constraint_name": "t_pkey", "table_name": "t", "detail": "Key (id)=(1) already exists."}
        await fails(asyncpg.UniqueViolationError, twice, sqlstate="23505", **details)
        await fails(asyncpg.PostgresSyntaxError, connection.fetch("SELEC 1"), position="1")
        await fails(asyncpg.UndefinedTableError, connection.fetch("SELECT * FROM missing WHERE id = $1", 1))
        await fails(asyncpg.DivisionByZeroError, connection.fetch("SELECT 1 / $1::int", 0))
        await connection.execute("BEGIN")
        await fails(asyncpg.DivisionByZeroError, connection.fetch("SELECT 1 / 0"))
        await fails(asyncpg.InFailedSQLTransactionError, connection.fetch("SELECT 1"))
        equal(await connection.execute("COMMIT"), "ROLLBACK")
        equal(await connection.fetchval("SELECT count(*) FROM t"), 1)
        heard = []
        connection.add_log_listener(lambda _, message: heard.append((message.severity, message.message)))
        await connection.execute("DO $$ BEGIN RAISE WARNING 'mind %', 1; END $$")
        await asyncio.sleep(0)
        equal(heard, [("WARNING", "mind 1")])
        lost = (asyncpg.AdminShutdownError, asyncpg.ConnectionDoesNotExistError, asyncpg.PostgresConnectionError)
        await fails(lost, connection.fetch("SELECT pg_terminate_backend(pg_backend_pid())"))
    async with connected() as connection:
        equal(await connection.fetchval("SELECT count(*) FROM t"), 1)


@check
async def check_types():
    values = {
        "int2": [-32768, 32767],
        "int4": [-(2**31), 2**31 - 1],
        "int8": [-(2**63), 2**63 - 1],
        "float8": [0.1, 1e300, float("-inf")],
        "numeric": [Decimal("12345678901234567890.123456789"), Decimal("-0.001")],
        "bool": [True, False],
        "text": ["", "'\"\\ é 日本 \U0001f409\n", "x" * 1_000_000],
        "bytea": [bytes(range(256)), b""],
        "date": [dt.date(1, 1, 1), dt.date(2026, 2, 28)],
        "time": [dt.time(23, 59, 59, 999999)],
        "timestamp": [dt.datetime(1999, 12, 31, 23, 59, 59, 1)],
        "timestamptz": [dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.timezone.utc)],
        "interval": [dt.timedelta(days=-3, microseconds=7)],
        "uuid": [uuid.UUID("12345678-1234-5678-1234-567812345678")],
        "jsonb": ['{"a": [1, null, "é"]}', "[]"],
        "inet": [ipaddress.ip_address("::1"), ipaddress.ip_interface("10.0.0.1/8")],
        "int4range": [asyncpg.Range(1, 5), asyncpg.Range(empty=True)],
        "int4[]": [[1, None, 3], [[1, 2], [3, 4]], []],
        "text[]": [["a,b", 'q"', "NULL", None]],
        "point": [asyncpg.Point(1.5, -2)],
    }
    async with connected() as connection:
        for name, samples in values.items():
            for sample in [*samples, None]:
                equal((name, await connection.fetchval(f"SELECT $1::{name}", sample)), (name, sample))
        # Types of one's own: the driver asks the catalog about them.
        await connection.execute("DROP TABLE IF EXISTS t; DROP TYPE IF EXISTS mood, pair CASCADE")
        await connection.execute("CREATE TYPE mood AS ENUM ('sad', 'happy')")
        await connection.execute("CREATE TYPE pair AS (first int, second mood)")
        await fresh(connection, "pairs pair[]")
        await connection.execute("INSERT INTO t VALUES ($1)", [(1, "sad"), (2, None)])
        got = await connection.fetchval("SELECT pairs FROM t")
        equal([tuple(pair) for pair in got], [(1, "sad"), (2, None)])
        await connection.set_type_codec("json", encoder=str, decoder=len, schema="pg_catalog")
        equal(await connection.fetchval("SELECT '[1,2]'::json"), 5)


@check
async def check_settings():
    async with connected(2) as (connection, other):
        await fresh(connection)
        await connection.execute("CREATE SCHEMA IF NOT EXISTS apart")
        await connection.execute("CREATE TABLE IF NOT EXISTS apart.t AS SELECT -1 AS id")
        await connection.execute("SET search_path = apart, public")
        await connection.execute("SET TimeZone = 'Asia/Tokyo'")
        await connection.fetchval("SELECT set_config('app.tenant', 'one', false)")
        await other.execute("SET TimeZone = 'America/New_York'")
        noon = dt.datetime(2026, 1, 1, 12, tzinfo=dt.timezone.utc)
        for _ in range(5):
            equal(await connection.fetchval("SELECT count(*) FROM t"), 1)
            equal(await other.fetchval("SELECT count(*) FROM t"), 0)
            text = "SELECT $1::timestamptz::text"
            equal(await connection.fetchval(text, noon), "2026-01-01 21:00:00+09")
            equal(await other.fetchval(text, noon), "2026-01-01 07:00:00-05")
            equal(await connection.fetchval("SELECT current_setting('app.tenant')"), "one")
            equal(await other.fetchval("SELECT coalesce(current_setting('app.tenant', true), '')"), "")
        equal(connection.get_settings().TimeZone, "Asia/Tokyo")
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SET TimeZone = 'UTC'")
        await transaction.rollback()
        equal(await connection.fetchval("SHOW TimeZone"), "Asia/Tokyo")
        async with connection.transaction():
            await connection.execute("SET LOCAL statement_timeout = '1h'")
            await connection.execute("SET TimeZone = 'Europe/Paris'")
            equal(await connection.fetchval("SHOW statement_timeout"), "1h")
        equal(await connection.fetchval("SHOW statement_timeout"), "0")
        equal(await connection.fetchval("SHOW TimeZone"), "Europe/Paris")
        await connection.execute("SET statement_timeout = '50ms'")
        await fails(asyncpg.QueryCanceledError, connection.fetch("SELECT pg_sleep(60)"))
        await connection.reset()
        equal(await connection.fetchval("SHOW statement_timeout"), "0")
        equal(await connection.fetchval("SELECT count(*) FROM t"), 0)


@check
async def check_temporary():
    async with connected(2) as (connection, other):
        await connection.execute("CREATE TEMP TABLE mine (id int)")
        for number in range(5):
            await connection.execute("INSERT INTO mine VALUES ($1)", number)
            equal(await connection.fetchval("SELECT count(*) FROM mine"), number + 1)
            await fails(asyncpg.UndefinedTableError, other.fetch("SELECT * FROM mine"))


@check
async def check_locks():
    async with connected(2) as (connection, other):
        await connection.fetchval("SELECT pg_advisory_lock(42)")
        for _ in range(3):
            equal(await other.fetchval("SELECT pg_try_advisory_lock($1)", 42), False)
            equal(await connection.fetchval("SELECT 1"), 1)
        equal(await connection.fetchval("SELECT pg_advisory_unlock(42)"), True)
        equal(await other.fetchval("SELECT pg_try_advisory_lock($1)", 42), True)


@check
async def check_notify():
    async with connected(2) as (connection, other):
        heard = asyncio.Queue()
        listener = lambda _connection, _pid, channel, payload: heard.put_nowait((channel, payload))
        await connection.add_listener("news", listener)
        await other.execute("NOTIFY news, 'first'")
        await other.execute("SELECT pg_notify('news', $1)", "second")
        equal([await heard.get() for _ in range(2)], [("news", "first"), ("news", "second")])
        await connection.remove_listener("news", listener)
        equal(await connection.fetchval("SELECT 1"), 1)


@check
async def check_pool():
    async with asyncpg.create_pool(min_size=2, max_size=8) as pool:
        await fresh(pool)

        async def work(number):
            async with pool.acquire() as connection:
                equal(await connection.fetchval("SHOW search_path"), '"$user", public')
                await connection.execute("SET search_path = pg_catalog")
                await connection.execute("INSERT INTO public.t VALUES ($1)", number)
                equal(await connection.fetchval("SELECT count(*) FROM public.t WHERE id = $1", number), 1)

        await asyncio.gather(*map(work, range(40)))
        equal(await pool.fetchval("SELECT count(*) FROM t"), 40)


@check
async def check_sessions():
    async with connected() as connection:
        await fresh(connection)

    async def session(number):
        async with connected(timeout=30) as connection:
            for round in range(4):
                key = number * 10 + round
                async with connection.transaction():
                    insert = "INSERT INTO t VALUES ($1, $2) RETURNING id"
                    equal(await connection.fetchval(insert, key, str(key)), key)
                    equal(await connection.fetchval("SELECT word FROM t WHERE id = $1", key), str(key))
                equal(await connection.fetchval("SELECT word FROM t WHERE id = $1", key), str(key))
                between = "SELECT count(*) FROM t WHERE id BETWEEN $1 AND $2"
                equal(await connection.fetchval(between, number * 10, number * 10 + 9), round + 1)

    await asyncio.gather(*map(session, range(SESSIONS)))
    async with connected() as connection:
        equal(await connection.fetchval("SELECT count(*) FROM t"), SESSIONS * 4)


check.run()
