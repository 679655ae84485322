"""SQLAlchemy: ORM and Core over psycopg, its own pool, and the asyncpg dialect."""

import asyncio
import datetime as dt
import threading
import uuid
from decimal import Decimal

import psycopg
import sqlalchemy as sa
from sqlalchemy import event, exc, func, orm, select, text
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from tap import SESSIONS, Checks, equal, fails, in_threads, until_cancelled

check = Checks(f"SQLAlchemy {sa.__version__}, psycopg {psycopg.__version__}")


class Base(orm.DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "authors"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(unique=True)
    books: orm.Mapped[list["Book"]] = orm.relationship(
        back_populates="author", order_by="Book.id", cascade="all, delete-orphan"
    )


class Book(Base):
    __tablename__ = "books"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    title: orm.Mapped[str | None]
    author_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("authors.id"))
    author: orm.Mapped[Author] = orm.relationship(back_populates="books")
    version: orm.Mapped[int] = orm.mapped_column(default=0)
    __mapper_args__ = {"version_id_col": version}


# The environment says where; both kinds of prepared statement are tried.
def engine(**options):
    return sa.create_engine("postgresql+psycopg://", connect_args={"prepare_threshold": 0}, **options)


main = engine(pool_size=4)
t = sa.table("t", sa.column("id"), sa.column("word"))


def fresh(columns="id int PRIMARY KEY, word text"):
    """An empty table `t`."""
    with main.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS t"))
        connection.execute(text(f"CREATE TABLE t ({columns})"))


def count():
    with main.connect() as connection:
        return connection.scalar(select(func.count()).select_from(t))


@check
def check_connect():
    with main.connect() as connection:
        equal(connection.scalar(text("SELECT current_user")), connection.connection.driver_connection.info.user)
        assert main.dialect.server_version_info >= (14,)
        equal(main.dialect.default_schema_name, "public")
    wrong = sa.create_engine("postgresql+psycopg://", connect_args={"password": "wrong"})
    assert "password" in str(fails(exc.OperationalError, wrong.connect))


@check
def check_crud():
    Base.metadata.drop_all(main)
    Base.metadata.create_all(main)
    equal(set(sa.inspect(main).get_table_names()) >= {"authors", "books"}, True)
    with orm.Session(main) as session:
        session.add(Author(name="één", books=[Book(title=f"title {n}") for n in range(20)]))
        session.commit()
        # Loaded anew behind the commit.
        author = session.scalars(select(Author).options(orm.selectinload(Author.books))).one()
        equal((author.name, len(author.books)), ("één", 20))
        author.books[0].title = None
        del author.books[10:]
        session.commit()
        equal(author.books[0].version, 2)
        equal(session.scalar(select(func.count()).select_from(Book)), 10)
    with orm.Session(main) as session:
        joined = select(Author.name, func.count(Book.title)).join(Book).group_by(Author.name)
        equal(session.execute(joined).all(), [("één", 9)])
        upsert = pg.insert(Author).values(name="één").on_conflict_do_nothing().returning(Author.id)
        equal(session.execute(upsert).all(), [])
        session.delete(session.get(Author, 1))
        session.commit()
    with orm.Session(main) as session:
        equal(session.scalar(select(func.count()).select_from(Book)), 0)


@check
def check_transactions():
    fresh()
    with main.connect() as connection:
        with connection.begin():
            connection.execute(t.insert().values(id=1, word="kept"))
            equal(count(), 0)
        equal(count(), 1)
        transaction = connection.begin()
        connection.execute(t.insert().values(id=2, word="gone"))
        transaction.rollback()
        # Begun by itself with the first statement, rolled back when the connection is given back.
        connection.execute(t.insert().values(id=3, word="gone"))
    equal(count(), 1)


@check
def check_savepoints():
    fresh()
    with main.begin() as connection:
        connection.execute(t.insert().values(id=1))
        for _ in range(2):
            nested = connection.begin_nested()
            fails(exc.IntegrityError, lambda: connection.execute(t.insert().values(id=1)))
            nested.rollback()
        with connection.begin_nested():
            connection.execute(t.insert().values(id=3))
    with main.connect() as connection:
        equal(connection.scalars(select(t.c.id).order_by(t.c.id)).all(), [1, 3])


@check
def check_isolation():
    fresh()
    levels = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]
    for number, level in enumerate(levels):
        with main.connect().execution_options(isolation_level=level) as connection, connection.begin():
            equal(connection.scalar(text("SHOW transaction_isolation")), level.lower())
            before = connection.scalar(select(func.count()).select_from(t))
            with main.begin() as other:
                other.execute(t.insert().values(id=number))
            after = connection.scalar(select(func.count()).select_from(t))
            equal(after - before, int(level == levels[0]))
    with main.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(t.insert().values(id=100))
        equal(count(), 4)
    with main.connect() as connection:
        equal(connection.scalar(text("SHOW transaction_isolation")), "read committed")


@check
def check_read_only():
    fresh()
    with main.connect().execution_options(postgresql_readonly=True) as connection:
        with connection.begin():
            equal(connection.scalar(text("SHOW transaction_read_only")), "on")
            equal(connection.scalar(select(func.count()).select_from(t)), 0)
        with connection.begin():
            error = fails(exc.InternalError, lambda: connection.execute(t.insert().values(id=1)))
            equal(error.orig.sqlstate, "25006")
    with main.begin() as connection:
        connection.execute(t.insert().values(id=1))
    equal(count(), 1)


@check
def check_prepared():
    fresh()
    with main.connect() as connection:
        for round in range(5):
            for number in range(5):
                query = text(f"SELECT {number} + CAST(:round AS int) + (SELECT count(*) FROM t)")
                equal(connection.scalar(query, {"round": round}), number + 2 * round)
            connection.execute(t.insert().values(id=round))
            connection.commit()


@check
def check_schema():
    fresh()
    with main.begin() as connection:
        connection.execute(text("INSERT INTO t VALUES (1, 'a')"))
    for _ in range(3):
        with main.connect() as connection:
            equal(connection.execute(text("SELECT * FROM t")).all(), [(1, "a")])
    with main.begin() as connection:
        connection.execute(text("ALTER TABLE t ADD COLUMN more int DEFAULT 5"))
    equal([column["name"] for column in sa.inspect(main).get_columns("t")], ["id", "word", "more"])
    other = engine()
    for _ in range(3):
        with other.connect() as connection:
            equal(connection.execute(text("SELECT * FROM t")).all(), [(1, "a", 5)])
    other.dispose()
    main.dispose()


@check
def check_batch():
    fresh()
    with main.begin() as connection:
        rows = [{"id": number, "word": f"w{number}"} for number in range(2000)]
        connection.execute(t.insert(), rows)
        insert = t.insert().returning(t.c.id, sort_by_parameter_order=False)
        more = [{"id": number} for number in range(2000, 3500)]
        equal(len(connection.execute(insert, more).all()), 1500)
        update = t.update().where(t.c.id == sa.bindparam("key")).values(word="changed")
        equal(connection.execute(update, [{"key": 1}, {"key": 2}]).rowcount, 2)
    with main.connect() as connection:
        twice = lambda: connection.execute(t.insert(), [{"id": 5000}, {"id": 1}])
        fails(exc.IntegrityError, twice)
    equal(count(), 3500)


check.skip("pipeline", "psycopg's executemany is one; see `batch`")


@check
def check_copy():
    fresh()
    with main.begin() as connection, connection.connection.cursor() as cursor:
        with cursor.copy("COPY t FROM STDIN") as copy:
            for number in range(1000):
                copy.write_row((number, f"w{number}"))
    equal(count(), 1000)


@check
def check_cursor():
    fresh()
    with main.begin() as connection:
        connection.execute(text("INSERT INTO t SELECT g FROM generate_series(1, 1000) g"))
    with main.connect().execution_options(yield_per=90) as connection:
        parts = list(connection.scalars(select(t.c.id).order_by(t.c.id)).partitions())
        equal([len(part) for part in parts], [90] * 11 + [10])
        equal(sum(map(list, parts), []), list(range(1, 1001)))
        # Left half read.
        equal(connection.scalars(select(t.c.id).order_by(t.c.id)).first(), 1)


@check
def check_cancel():
    with main.connect() as connection:
        sleep = lambda: fails(exc.OperationalError, lambda: connection.execute(text("SELECT pg_sleep(60)")))
        seen = []
        running = threading.Thread(target=lambda: seen.append(sleep().orig.sqlstate), daemon=True)
        running.start()
        until_cancelled(running, connection.connection.driver_connection.cancel_safe)
        equal(seen, ["57014"])
        connection.rollback()
        equal(connection.scalar(text("SELECT 1")), 1)


@check
def check_errors():
    fresh()
    with main.connect() as connection:
        connection.execute(t.insert().values(id=1))
        error = fails(exc.IntegrityError, lambda: connection.execute(t.insert().values(id=1)))
        equal((error.orig.sqlstate, error.orig.diag.constraint_name), ("23505", "t_pkey"))
        error = fails(exc.InternalError, lambda: connection.execute(text("SELECT 1")))
        equal(error.orig.sqlstate, "25P02")
        connection.rollback()
        fails(exc.ProgrammingError, lambda: connection.execute(text("SELECT * FROM missing")))
        connection.rollback()
        kill = text("SELECT pg_terminate_backend(pg_backend_pid())")
        equal(fails(exc.OperationalError, lambda: connection.execute(kill)).connection_invalidated, True)
    # The pool opens a new one.
    equal(count(), 0)


@check
def check_types():
    metadata = sa.MetaData()
    table = sa.Table(
        "kinds", metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("big", sa.BigInteger), sa.Column("number", sa.Numeric), sa.Column("real", sa.Double),
        sa.Column("yes", sa.Boolean), sa.Column("words", sa.Text), sa.Column("bytes", sa.LargeBinary),
        sa.Column("day", sa.Date), sa.Column("at", sa.DateTime(timezone=True)), sa.Column("span", sa.Interval),
        sa.Column("uuid", sa.Uuid), sa.Column("json", pg.JSONB), sa.Column("list", pg.ARRAY(sa.Text)),
        sa.Column("mood", sa.Enum("sad", "happy", name="feeling")), sa.Column("span4", pg.INT4RANGE),
    )
    metadata.drop_all(main)
    metadata.create_all(main)
    at = dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.timezone.utc)
    row = {
        "id": 1, "big": -(2**63), "number": Decimal("12345678901234567890.123456789"), "real": 1e300, "yes": True,
        "words": "'\"\\ é \U0001f409", "bytes": bytes(range(256)), "day": dt.date(2026, 2, 28), "at": at,
        "span": dt.timedelta(days=-3, microseconds=7), "uuid": uuid.UUID(int=7), "json": {"a": [1, None]},
        "list": ["a,b", None], "mood": "sad", "span4": pg.Range(1, 5),
    }
    with main.begin() as connection:
        connection.execute(table.insert(), row)
        connection.execute(table.insert(), {"id": 2})
    with main.connect() as connection:
        rows = connection.execute(table.select().order_by(table.c.id)).mappings().all()
        equal(dict(rows[0]), row)
        equal({value for name, value in rows[1].items() if name != "id"}, {None})
    metadata.drop_all(main)


@check
def check_settings():
    fresh()
    # As apps with a tenant per schema do: with each checkout.
    tenants = [engine(pool_size=1) for _ in range(3)]
    for number, tenant in enumerate(tenants):
        with main.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS tenant_{number}"))
            connection.execute(text(f"CREATE TABLE IF NOT EXISTS tenant_{number}.t AS SELECT {number} AS id"))

        @event.listens_for(tenant, "connect")
        def set_search_path(connection, _record, number=number):
            connection.autocommit = True
            connection.execute(f"SET search_path = tenant_{number}")
            connection.autocommit = False

    for _ in range(5):
        for number, tenant in enumerate(tenants):
            with tenant.connect() as connection:
                equal(connection.scalar(text("SELECT id FROM t")), number)
        equal(count(), 0)
    with main.connect() as connection:
        connection.execute(text("SET LOCAL statement_timeout = '50ms'"))
        fails(exc.OperationalError, lambda: connection.execute(text("SELECT pg_sleep(60)")))
        connection.rollback()
        equal(connection.scalar(text("SHOW statement_timeout")), "0")
    with main.connect() as connection:
        connection.execute(text("SET statement_timeout = '1h'"))
        connection.commit()
        equal(connection.scalar(text("SHOW statement_timeout")), "1h")
        connection.execute(text("RESET statement_timeout"))
        connection.commit()
    for tenant in tenants:
        tenant.dispose()


@check
def check_temporary():
    metadata = sa.MetaData()
    mine = sa.Table("mine", metadata, sa.Column("id", sa.Integer), prefixes=["TEMPORARY"])
    with main.connect() as connection:
        mine.create(connection)
        connection.commit()
        for number in range(3):
            connection.execute(mine.insert().values(id=number))
            connection.commit()
            equal(connection.scalar(select(func.count()).select_from(mine)), number + 1)
        mine.drop(connection)
        connection.commit()


@check
def check_locks():
    with main.connect() as connection, main.connect() as other:
        connection.execute(select(func.pg_advisory_lock(42)))
        connection.commit()
        equal(other.scalar(select(func.pg_try_advisory_lock(42))), False)
        equal(connection.scalar(select(func.pg_advisory_unlock(42))), True)
        equal(other.scalar(select(func.pg_try_advisory_lock(42))), True)
        other.scalar(select(func.pg_advisory_unlock(42)))
    fresh()
    with main.begin() as connection:
        connection.execute(t.insert().values(id=1))
    with main.begin() as connection, main.begin() as other:
        connection.execute(select(t.c.id).with_for_update())
        equal(other.execute(select(t.c.id).with_for_update(skip_locked=True)).all(), [])


check.skip("notify", "psycopg's; see there")


@check
def check_pool():
    fresh()
    pooled = engine(pool_size=8, max_overflow=0, pool_pre_ping=True)

    def work(number):
        with pooled.begin() as connection:
            connection.execute(t.insert().values(id=number))
        with pooled.connect() as connection:
            equal(connection.scalar(select(func.count()).select_from(t).where(t.c.id == number)), 1)

    in_threads(work, range(40))
    equal(count(), 40)
    pooled.dispose()


@check
async def check_sessions():
    fresh()
    many = create_async_engine("postgresql+asyncpg://", poolclass=NullPool)

    async def session(number):
        async with many.connect() as connection:
            for round in range(4):
                key = number * 10 + round
                async with connection.begin():
                    insert = t.insert().values(id=key, word=str(key)).returning(t.c.id)
                    equal((await connection.execute(insert)).scalar(), key)
                    equal(await connection.scalar(select(t.c.word).where(t.c.id == key)), str(key))
                async with connection.begin():
                    between = t.c.id.between(number * 10, number * 10 + 9)
                    query = select(func.count()).select_from(t).where(between)
                    equal(await connection.scalar(query), round + 1)

    await asyncio.gather(*map(session, range(SESSIONS)))
    await many.dispose()
    equal(count(), SESSIONS * 4)


check.run()
