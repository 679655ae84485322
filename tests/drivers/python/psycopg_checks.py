"""psycopg 3 (libpq below it), by its synchronous and its asynchronous interface."""

import asyncio
import datetime as dt
import ipaddress
import threading
import uuid
from decimal import Decimal

import psycopg
from psycopg import errors, sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg.types.range import Range
from psycopg_pool import ConnectionPool

from tap import SESSIONS, Checks, equal, fails, in_threads, until_cancelled

check = Checks(f"psycopg {psycopg.__version__}, libpq {psycopg.pq.version() // 10000}")


def connect(**options):
    # The environment says where; autocommit, so that each check says what a transaction is.
    return psycopg.connect(autocommit=True, **options)


def fresh(connection, columns="id int PRIMARY KEY, word text"):
    """An empty table `t`."""
    connection.execute("DROP TABLE IF EXISTS t")
    connection.execute(f"CREATE TABLE t ({columns})")


def one(connection, query, parameters=None, **options):
    return connection.execute(query, parameters, **options).fetchone()[0]


@check
def check_connect():
    with connect(application_name="a name", options="-c DateStyle=ISO") as connection:
        equal(one(connection, "SELECT current_user::text"), connection.info.user)
        equal(one(connection, "SELECT current_database()::text"), connection.info.dbname)
        equal(one(connection, "SHOW application_name"), "a name")
        equal(connection.info.parameter_status("application_name"), "a name")
        equal(connection.info.encoding, "utf-8")
        assert connection.info.server_version >= 140000
    wrong = lambda: connect(password="wrong")
    assert "password" in str(fails(psycopg.OperationalError, wrong))


@check
def check_crud():
    with connect() as connection:
        fresh(connection, "id serial PRIMARY KEY, word text, at timestamptz DEFAULT now()")
        insert = "INSERT INTO t (word) VALUES (%s) RETURNING id, word"
        equal(connection.execute(insert, ("één",)).fetchone(), (1, "één"))
        equal(connection.execute(insert, (None,)).fetchone(), (2, None))
        equal(connection.execute("SELECT id, word FROM t ORDER BY id").fetchall(), [(1, "één"), (2, None)])
        equal(connection.execute("UPDATE t SET word = %s WHERE id = %s", ("two", 2)).rowcount, 1)
        equal(connection.execute("SELECT word FROM t WHERE id = 2").fetchall(), [("two",)])
        equal(connection.execute("DELETE FROM t WHERE id > %s", (0,)).rowcount, 2)
        equal(one(connection, "SELECT count(*) FROM t"), 0)
        upsert = "INSERT INTO t VALUES (7, %s) ON CONFLICT (id) DO UPDATE SET word = excluded.word RETURNING word"
        equal([one(connection, upsert, (word,)) for word in "ab"], ["a", "b"])


@check
def check_transactions():
    with connect() as connection, connect() as other:
        fresh(connection)
        with connection.transaction():
            connection.execute("INSERT INTO t VALUES (1, 'kept')")
            equal(one(connection, "SELECT count(*) FROM t"), 1)
            equal(one(other, "SELECT count(*) FROM t"), 0)
        equal(one(other, "SELECT count(*) FROM t"), 1)
        with connection.transaction(force_rollback=True):
            connection.execute("INSERT INTO t VALUES (2, 'gone')")
            equal(one(connection, "SELECT count(*) FROM t"), 2)
        equal(one(connection, "SELECT count(*) FROM t"), 1)
        # The driver's own way: a transaction begins with the first statement.
        connection.autocommit = False
        connection.execute("INSERT INTO t VALUES (3, 'gone')")
        equal(connection.info.transaction_status.name, "INTRANS")
        connection.rollback()
        connection.execute("UPDATE t SET word = 'changed'")
        connection.commit()
        equal(connection.info.transaction_status.name, "IDLE")
        equal(other.execute("SELECT * FROM t").fetchall(), [(1, "changed")])


@check
def check_savepoints():
    with connect() as connection:
        fresh(connection)
        with connection.transaction():
            connection.execute("INSERT INTO t VALUES (1, 'a')")
            try:
                with connection.transaction():
                    connection.execute("INSERT INTO t VALUES (2, 'b')")
                    connection.execute("INSERT INTO t VALUES (1, 'twice')")
                raise AssertionError("a duplicate was taken")
            except errors.UniqueViolation:
                pass
            with connection.transaction():
                connection.execute("INSERT INTO t VALUES (3, 'c')")
        equal(connection.execute("SELECT id FROM t ORDER BY id").fetchall(), [(1,), (3,)])


@check
def check_isolation():
    with connect() as connection, connect() as other:
        fresh(connection)
        for level in psycopg.IsolationLevel:
            connection.isolation_level = level
            with connection.transaction():
                equal(one(connection, "SHOW transaction_isolation"), level.name.lower().replace("_", " "))
                before = one(connection, "SELECT count(*) FROM t")
                other.execute("INSERT INTO t VALUES (%s)", (level.value,))
                seen = one(connection, "SELECT count(*) FROM t") - before
                equal(seen, int(level <= psycopg.IsolationLevel.READ_COMMITTED))
        # Two transactions that each read what the other writes.
        with other.transaction(), connection.transaction():
            other.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            for side in (connection, other):
                one(side, "SELECT count(*) FROM t")
            connection.execute("INSERT INTO t VALUES (100)")
            other.execute("INSERT INTO t VALUES (101)")
            connection.execute("COMMIT")
            fails(errors.SerializationFailure, lambda: other.execute("COMMIT"))


@check
def check_read_only():
    with connect() as connection:
        fresh(connection)
        connection.execute("INSERT INTO t VALUES (1, 'a')")
        connection.read_only = True
        with connection.transaction():
            equal(one(connection, "SHOW transaction_read_only"), "on")
            equal(one(connection, "SELECT word FROM t"), "a")
        write = lambda: connection.execute("INSERT INTO t VALUES (2)")
        try:
            with connection.transaction():
                fails(errors.ReadOnlySqlTransaction, write)
                raise psycopg.Rollback
        except psycopg.Rollback:
            pass
        connection.read_only = None
        with connection.transaction():
            write()
        equal(one(connection, "SELECT count(*) FROM t"), 2)
        # As a session's setting.
        connection.execute("SET default_transaction_read_only = on")
        fails(errors.ReadOnlySqlTransaction, write)
        connection.execute("SET default_transaction_read_only = off")
        equal(connection.execute("DELETE FROM t").rowcount, 2)


@check
def check_prepared():
    with connect() as connection, connect() as other:
        fresh(connection)
        # More statements than are kept: the driver sends DEALLOCATE for the oldest.
        connection.prepared_max = 5
        for round in range(8):
            for number in range(10):
                for side in (connection, other):
                    query = f"SELECT {number} + %s::int + (SELECT count(*) FROM t)"
                    equal(one(side, query, (round,), prepare=True), number + 3 * round)
            with connection.transaction():
                for number in range(2):
                    insert = "INSERT INTO t VALUES (%s, %s) RETURNING word"
                    equal(one(connection, insert, (2 * round + number, "x"), prepare=True), "x")
        connection.execute("DEALLOCATE ALL")
        equal(one(connection, "SELECT count(*) FROM t WHERE id >= %s", (0,), prepare=True), 16)


@check
def check_schema():
    with connect() as connection:
        fresh(connection)
        connection.execute("INSERT INTO t VALUES (1, 'a')")
        for _ in range(3):
            equal(connection.execute("SELECT * FROM t", prepare=True).fetchall(), [(1, "a")])
        connection.execute("ALTER TABLE t ADD COLUMN more int DEFAULT 5")
        # Who prepares it now must not meet what others prepared before.
        for _ in range(3):
            with connect() as other:
                equal(other.execute("SELECT * FROM t", prepare=True).fetchall(), [(1, "a", 5)])
        connection.execute("ALTER TABLE t ALTER COLUMN id TYPE text")
        with connect() as other:
            equal(other.execute("SELECT * FROM t", prepare=True).fetchall(), [("1", "a", 5)])


@check
def check_batch():
    with connect() as connection, connection.cursor() as cursor:
        fresh(connection)
        cursor.executemany("INSERT INTO t VALUES (%s, %s)", [(number, str(number)) for number in range(100)])
        equal(cursor.rowcount, 100)
        cursor.executemany("DELETE FROM t WHERE id = %s RETURNING word", [(7,), (8,)], returning=True)
        equal([result.fetchone() for result in cursor.results()], [("7",), ("8",)])
        # Several statements in one simple query.
        cursor.execute("INSERT INTO t VALUES (7, 'again'); SELECT count(*) FROM t; SELECT 5")
        equal(cursor.nextset(), True)
        equal(cursor.fetchone(), (99,))
        equal(cursor.nextset(), True)
        equal(cursor.fetchone(), (5,))
        bad = [(1000, "a"), (1, "twice")]
        fails(errors.UniqueViolation, lambda: cursor.executemany("INSERT INTO t VALUES (%s, %s)", bad))
        equal(one(connection, "SELECT count(*) FROM t WHERE id = 1000"), 0)


@check
def check_pipeline():
    with connect() as connection:
        fresh(connection)
        with connection.pipeline() as pipeline:
            for number in range(50):
                connection.execute("INSERT INTO t VALUES (%s, %s)", (number, str(number)))
            count = connection.execute("SELECT count(*) FROM t")
            pipeline.sync()
            words = [connection.execute("SELECT word FROM t WHERE id = %s", (number,)) for number in range(50)]
        equal(count.fetchone(), (50,))
        equal([word.fetchone()[0] for word in words], [str(number) for number in range(50)])
        # An error takes what follows with it, up to the next sync; the connection lives.

        def twice():
            # The driver may hear of the error at any of these.
            with connection.pipeline() as pipeline:
                for number in (100, 1, 101):
                    connection.execute("INSERT INTO t VALUES (%s)", (number,))
                pipeline.sync()

        fails(errors.UniqueViolation, twice)
        equal(one(connection, "SELECT count(*) FROM t"), 50)
        with connection.pipeline(), connection.transaction():
            connection.execute("DELETE FROM t WHERE id < 25")
            left = connection.execute("SELECT count(*) FROM t")
        equal(left.fetchone(), (25,))


@check
def check_copy():
    rows = [(number, f"wörd\t{number}\\ \n") for number in range(5000)]
    with connect() as connection, connection.cursor() as cursor:
        fresh(connection)
        with cursor.copy("COPY t FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        equal(cursor.rowcount, 5000)
        with cursor.copy("COPY (SELECT * FROM t ORDER BY id) TO STDOUT") as copy:
            copy.set_types(["int4", "text"])
            equal(list(copy.rows()), rows)
        connection.execute("TRUNCATE t")
        with cursor.copy("COPY t FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int4", "text"])
            for row in rows:
                copy.write_row(row)
        with cursor.copy("COPY (SELECT * FROM t ORDER BY id) TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(["int4", "text"])
            equal(list(copy.rows()), rows)

        def bad():
            with cursor.copy("COPY t FROM STDIN") as copy:
                copy.write("no number\tx\n")

        fails(errors.InvalidTextRepresentation, bad)

        def given_up():
            with cursor.copy("COPY t FROM STDIN") as copy:
                copy.write_row((9999, "x"))
                raise ZeroDivisionError

        fails(ZeroDivisionError, given_up)
        equal(one(connection, "SELECT count(*) FROM t"), 5000)


@check
def check_cursor():
    with connect() as connection:
        fresh(connection)
        connection.execute("INSERT INTO t SELECT g, g::text FROM generate_series(1, 1000) g")
        with connection.transaction(), connection.cursor("named") as cursor:
            cursor.itersize = 100
            cursor.execute("SELECT id FROM t ORDER BY id")
            equal([row[0] for row in cursor], list(range(1, 1001)))
        with connection.transaction(), connection.cursor("scrolling", scrollable=True) as cursor:
            cursor.execute("SELECT id FROM t ORDER BY id")
            cursor.scroll(500)
            equal(cursor.fetchone(), (501,))
            cursor.scroll(-2)
            equal(cursor.fetchone(), (500,))
        with connection.cursor("kept", withhold=True) as cursor:
            cursor.execute("SELECT id FROM t ORDER BY id")
            equal(cursor.fetchmany(2), [(1,), (2,)])
            connection.execute("DELETE FROM t WHERE id > 3")
            equal(cursor.fetchmany(2), [(3,), (4,)])
        # Row by row, without a cursor.
        with connection.cursor() as cursor:
            equal(list(cursor.stream("SELECT id FROM t ORDER BY id")), [(1,), (2,), (3,)])


@check
def check_cancel():
    with connect() as connection:
        fresh(connection)

        def sleep():
            fails(errors.QueryCanceled, lambda: connection.execute("SELECT pg_sleep(60)"), sqlstate="57014")

        # Alone it may run on a replica; behind a write it is where the write was.
        for begin in ("SELECT 1", "BEGIN; INSERT INTO t VALUES (1)"):
            connection.execute(begin)
            seen = []
            running = threading.Thread(target=lambda: (sleep(), seen.append(True)), daemon=True)
            running.start()
            until_cancelled(running, connection.cancel_safe)
            equal(seen, [True])
            connection.execute("ROLLBACK")
            equal(one(connection, "SELECT 1"), 1)


@check
def check_errors():
    with connect() as connection:
        fresh(connection)
        connection.execute("INSERT INTO t VALUES (1, 'a')")
        error = fails(errors.UniqueViolation, lambda: connection.execute("INSERT INTO t VALUES (1, 'b')"))
        equal((error.diag.constraint_name, error.diag.table_name), ("t_pkey", "t"))
        equal(error.diag.message_detail, "Key (id)=(1) already exists.")
        error = fails(errors.SyntaxError, lambda: connection.execute("SELEC 1"))
        equal(error.diag.statement_position, "1")
        fails(errors.UndefinedTable, lambda: connection.execute("SELECT * FROM missing"))
        fails(errors.DivisionByZero, lambda: connection.execute("SELECT 1 / %s", (0,), prepare=True))
        fails(errors.InvalidTextRepresentation, lambda: connection.execute("SELECT %s::int", ("x",)))
        # Within a transaction nothing runs any more until it is rolled back.
        connection.execute("BEGIN")
        fails(errors.DivisionByZero, lambda: connection.execute("SELECT 1 / 0"))
        fails(errors.InFailedSqlTransaction, lambda: connection.execute("SELECT 1"))
        equal(connection.execute("COMMIT").statusmessage, "ROLLBACK")
        equal(one(connection, "SELECT count(*) FROM t"), 1)
        # What a function says on the way.
        notices = []
        connection.add_notice_handler(lambda diag: notices.append((diag.severity, diag.message_primary)))
        connection.execute("DO $$ BEGIN RAISE WARNING 'mind %', 1; END $$")
        equal(notices, [("WARNING", "mind 1")])
        # A server that dies ends this session only.
        fails(psycopg.OperationalError, lambda: connection.execute("SELECT pg_terminate_backend(pg_backend_pid())"))
    with connect() as connection:
        equal(one(connection, "SELECT count(*) FROM t"), 1)


@check
def check_types():
    utc = dt.timezone.utc
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
        "timestamptz": [dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=utc)],
        "interval": [dt.timedelta(days=-3, microseconds=7)],
        "uuid": [uuid.UUID("12345678-1234-5678-1234-567812345678")],
        "jsonb": [{"a": [1, None, "é"]}, []],
        "inet": [ipaddress.ip_address("::1"), ipaddress.ip_interface("10.0.0.1/8")],
        "int4range": [Range(1, 5), Range(empty=True)],
        "int4[]": [[1, None, 3], [[1, 2], [3, 4]], []],
        "text[]": [["a,b", 'q"', "NULL", None]],
    }
    with connect() as connection:
        for name, samples in values.items():
            for sample in [*samples, None]:
                given = Jsonb(sample) if name == "jsonb" and sample is not None else sample
                for binary in (False, True):
                    query = sql.SQL("SELECT {}::{}").format(sql.Placeholder(), sql.SQL(name))
                    row = connection.execute(query, (given,), binary=binary, prepare=True).fetchone()
                    equal((name, row[0]), (name, sample))
        connection.execute("DROP TABLE IF EXISTS t")
        connection.execute("DROP TYPE IF EXISTS mood CASCADE")
        connection.execute("CREATE TYPE mood AS ENUM ('sad', 'happy')")
        fresh(connection, "id int PRIMARY KEY, word text, mood mood")
        connection.execute("INSERT INTO t VALUES (1, 'a', %s)", ("sad",))
        row = connection.cursor(row_factory=dict_row).execute("SELECT * FROM t").fetchone()
        equal(row, {"id": 1, "word": "a", "mood": "sad"})


@check
def check_settings():
    with connect() as connection, connect() as other:
        fresh(connection)
        connection.execute("CREATE SCHEMA IF NOT EXISTS apart")
        connection.execute("CREATE TABLE IF NOT EXISTS apart.t AS SELECT -1 AS id")
        connection.execute("SET search_path = apart, public")
        connection.execute("SET TimeZone = 'Asia/Tokyo'")
        connection.execute("SELECT set_config('app.tenant', 'one', false)")
        other.execute("SET TimeZone = 'America/New_York'")
        noon = dt.datetime(2026, 1, 1, 12, tzinfo=dt.timezone.utc)
        for _ in range(5):
            equal(one(connection, "SELECT count(*) FROM t"), 1)
            equal(one(other, "SELECT count(*) FROM t"), 0)
            equal(one(connection, "SELECT %s::timestamptz::text", (noon,)), "2026-01-01 21:00:00+09")
            equal(one(other, "SELECT %s::timestamptz::text", (noon,)), "2026-01-01 07:00:00-05")
            equal(one(connection, "SELECT current_setting('app.tenant')"), "one")
            equal(one(other, "SELECT coalesce(current_setting('app.tenant', true), '')"), "")
        equal(str(connection.info.timezone), "Asia/Tokyo")
        # Taken back with its transaction, or kept with it.
        with connection.transaction(force_rollback=True):
            connection.execute("SET TimeZone = 'UTC'")
        equal(one(connection, "SHOW TimeZone"), "Asia/Tokyo")
        with connection.transaction():
            connection.execute("SET LOCAL statement_timeout = '1h'")
            connection.execute("SET TimeZone = 'Europe/Paris'")
            equal(one(connection, "SHOW statement_timeout"), "1h")
        equal(one(connection, "SHOW statement_timeout"), "0")
        equal(one(connection, "SHOW TimeZone"), "Europe/Paris")
        connection.execute("SET statement_timeout = '50ms'")
        fails(errors.QueryCanceled, lambda: connection.execute("SELECT pg_sleep(60)"))
        connection.execute("RESET ALL")
        equal(one(connection, "SHOW TimeZone"), one(connect(), "SHOW TimeZone"))
        equal(one(connection, "SELECT count(*) FROM t"), 0)


@check
def check_temporary():
    with connect() as connection, connect() as other:
        connection.execute("CREATE TEMP TABLE mine (id int)")
        for number in range(5):
            connection.execute("INSERT INTO mine VALUES (%s)", (number,))
            equal(one(connection, "SELECT count(*) FROM mine"), number + 1)
            fails(errors.UndefinedTable, lambda: other.execute("SELECT * FROM mine"))
        connection.execute("DISCARD ALL")
        fails(errors.UndefinedTable, lambda: connection.execute("SELECT * FROM mine"))


@check
def check_locks():
    with connect() as connection, connect() as other:
        one(connection, "SELECT pg_advisory_lock(42)")
        for _ in range(3):
            equal(one(other, "SELECT pg_try_advisory_lock(42)"), False)
            equal(one(connection, "SELECT 1"), 1)
        equal(one(connection, "SELECT pg_advisory_unlock(42)"), True)
        equal(one(other, "SELECT pg_try_advisory_lock(42)"), True)
        one(other, "SELECT pg_advisory_unlock_all()")
        with connection.transaction():
            one(connection, "SELECT pg_advisory_xact_lock(43)")
            equal(one(other, "SELECT pg_try_advisory_lock(43)"), False)
        equal(one(other, "SELECT pg_try_advisory_lock(43)"), True)


@check
def check_notify():
    with connect() as connection, connect() as other:
        connection.execute("LISTEN news")
        for number in range(3):
            other.execute("SELECT pg_notify('news', %s)", (str(number),))
        other.execute("NOTIFY news, 'last'")
        heard = [note.payload for note in connection.notifies(timeout=10, stop_after=4)]
        equal(heard, ["0", "1", "2", "last"])
        connection.execute("UNLISTEN *")
        equal(one(connection, "SELECT 1"), 1)


@check
def check_pool():
    reset = lambda connection: connection.execute("RESET ALL")
    with ConnectionPool(kwargs={"autocommit": True}, min_size=2, max_size=8, reset=reset,
                        check=ConnectionPool.check_connection) as pool:
        with pool.connection() as connection:
            fresh(connection)

        def work(number):
            with pool.connection() as connection:
                equal(one(connection, "SHOW search_path"), '"$user", public')
                connection.execute("SET search_path = pg_catalog")
                connection.execute("INSERT INTO public.t VALUES (%s)", (number,))
                query = "SELECT count(*) FROM public.t WHERE id = %s"
                equal(one(connection, query, (number,), prepare=True), 1)
                equal(one(connection, "SELECT pg_try_advisory_lock(%s)", (number,)), True)
                equal(one(connection, "SELECT pg_advisory_unlock(%s)", (number,)), True)

        in_threads(work, range(40))
        with pool.connection() as connection:
            equal(one(connection, "SELECT count(*) FROM t"), 40)


@check
async def check_sessions():
    with connect() as connection:
        fresh(connection)

    async def session(number):
        async with await psycopg.AsyncConnection.connect(autocommit=True, prepare_threshold=0) as connection:

            async def value(query, *parameters):
                return (await (await connection.execute(query, parameters)).fetchone())[0]

            for round in range(4):
                async with connection.transaction():
                    key = number * 10 + round
                    equal(await value("INSERT INTO t VALUES (%s, %s) RETURNING id", key, str(key)), key)
                    equal(await value("SELECT word FROM t WHERE id = %s", key), str(key))
                equal(await value("SELECT word FROM t WHERE id = %s", key), str(key))
                low, high = number * 10, number * 10 + 9
                equal(await value("SELECT count(*) FROM t WHERE id BETWEEN %s AND %s", low, high), round + 1)

    await asyncio.gather(*map(session, range(SESSIONS)))
    with connect() as connection:
        equal(one(connection, "SELECT count(*) FROM t"), SESSIONS * 4)


check.run()
