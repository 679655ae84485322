"""Django's ORM over psycopg, with server-side parameters, and its migrations."""

import datetime as dt
import functools
import io
import os
import threading
import uuid
from decimal import Decimal

import django
from django.conf import settings
from django.core.management import call_command

from tap import SESSIONS, Checks, equal, fails, in_threads, until_cancelled


def database(**options):
    env = os.environ
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": env["PGHOST"], "PORT": env["PGPORT"], "USER": env["PGUSER"],
        "PASSWORD": env["PGPASSWORD"], "NAME": env["PGDATABASE"], **options,
    }


settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"],
    DATABASES={
        "default": database(OPTIONS={"server_side_binding": True}),
        # As the other of two connections.
        "other": database(OPTIONS={"server_side_binding": True}, TIME_ZONE="Asia/Tokyo"),
        "plain": database(),
        "repeatable": database(OPTIONS={"isolation_level": 3}),
        "reader": database(OPTIONS={"options": "-c default_transaction_read_only=on"}),
        "pooled": database(OPTIONS={"pool": {"min_size": 1, "max_size": 8}}),
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.models import Group, User  # noqa: E402  (needs the settings)
from django.contrib.postgres.fields import ArrayField  # noqa: E402
from django.db import DatabaseError, IntegrityError, connection, connections, models, transaction  # noqa: E402
from django.db import InternalError, OperationalError, ProgrammingError  # noqa: E402
from django.db.models import Count, F, Sum  # noqa: E402

checks = Checks(f"Django {django.__version__}")


def check(function):
    """Ends as a request ends: with its connections closed."""

    @functools.wraps(function)
    def body():
        try:
            function()
        finally:
            connections.close_all()

    return checks(body)


class Word(models.Model):
    id = models.IntegerField(primary_key=True)
    word = models.TextField(null=True)

    class Meta:
        app_label = "checks"
        db_table = "t"


def fresh(model=Word):
    """The empty table of a model."""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {model._meta.db_table}")
    with connection.schema_editor() as editor:
        editor.create_model(model)


def one(query, parameters=(), using="default"):
    with connections[using].cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchone()[0]


@check
def check_connect():
    equal(one("SELECT current_user"), os.environ["PGUSER"])
    equal(one("SHOW TimeZone"), "UTC")
    equal(one("SHOW TimeZone", using="other"), "Asia/Tokyo")
    wrong = connection.copy()
    wrong.settings_dict["PASSWORD"] = "wrong"
    assert "password" in str(fails(OperationalError, wrong.ensure_connection))


@check
def check_crud():
    # Migrations of real apps, forth, back and forth again.
    for step in (["migrate"], ["migrate", "auth", "zero"], ["migrate"]):
        call_command(*step, verbosity=0, stdout=io.StringIO())
    users = [User.objects.create_user(f"user {number}") for number in range(5)]
    group, created = Group.objects.get_or_create(name="één")
    equal((created, Group.objects.get_or_create(name="één")), (True, (group, False)))
    group.user_set.add(*users[:3])
    equal([user.username for user in User.objects.filter(groups=group).order_by("id")], ["user 0", "user 1", "user 2"])
    equal(User.objects.filter(groups__isnull=True).update(last_name="none"), 2)
    equal(User.objects.values("last_name").annotate(n=Count("id")).order_by("n").values_list("last_name", "n")[0], ("none", 2))
    prefetched = {user.username: len(user.groups.all()) for user in User.objects.prefetch_related("groups")}
    equal(prefetched["user 0"] + prefetched["user 4"], 1)
    users[0].first_name = "changed"
    users[0].save()
    users[0].refresh_from_db()
    equal(users[0].first_name, "changed")
    equal(User.objects.all().delete()[0], 8)
    equal(User.objects.exists(), False)


@check
def check_transactions():
    fresh()
    with transaction.atomic():
        Word.objects.create(id=1, word="kept")
        equal(Word.objects.count(), 1)
        equal(Word.objects.using("other").count(), 0)
    equal(Word.objects.using("other").count(), 1)
    with transaction.atomic():
        Word.objects.create(id=2, word="gone")
        transaction.set_rollback(True)
    done = []
    with transaction.atomic():
        transaction.on_commit(lambda: done.append(Word.objects.count()))
        Word.objects.create(id=3)
    equal(done, [2])
    equal(list(Word.objects.order_by("id").values_list("id", "word")), [(1, "kept"), (3, None)])


@check
def check_savepoints():
    fresh()
    with transaction.atomic():
        Word.objects.create(id=1)
        for _ in range(3):
            try:
                with transaction.atomic():
                    Word.objects.create(id=2)
                    Word.objects.create(id=1)
            except IntegrityError:
                pass
        with transaction.atomic():
            Word.objects.create(id=3)
    equal(list(Word.objects.order_by("id").values_list("id", flat=True)), [1, 3])


@check
def check_isolation():
    fresh()
    with transaction.atomic(using="repeatable"):
        equal(one("SHOW transaction_isolation", using="repeatable"), "repeatable read")
        equal(Word.objects.using("repeatable").count(), 0)
        Word.objects.create(id=1)
        equal(Word.objects.using("repeatable").count(), 0)
    equal(Word.objects.using("repeatable").count(), 1)
    equal(one("SHOW transaction_isolation"), "read committed")


@check
def check_read_only():
    fresh()
    Word.objects.create(id=1)
    equal(Word.objects.using("reader").count(), 1)
    error = fails(InternalError, lambda: Word.objects.using("reader").create(id=2))
    equal(error.__cause__.sqlstate, "25006")
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
        equal(Word.objects.count(), 1)
    equal(Word.objects.count(), 1)


@check
def check_prepared():
    fresh()
    # Parameters travel apart from the text; the driver prepares what comes often.
    for round in range(8):
        for using in ("default", "other", "plain"):
            equal(Word.objects.using(using).filter(id__gte=0, word="x").count(), round)
        with transaction.atomic():
            Word.objects.create(id=round, word="x")
            equal(Word.objects.get(id=round).word, "x")
    equal(Word.objects.count(), 8)


@check
def check_schema():
    fresh()
    Word.objects.create(id=1, word="a")
    for _ in range(8):
        for using in ("default", "other"):
            equal(list(Word.objects.using(using).values_list()), [(1, "a")])
    more = models.IntegerField(default=5)
    more.set_attributes_from_name("more")
    with connection.schema_editor() as editor:
        editor.add_field(Word, more)
    for _ in range(8):
        for using in ("default", "other"):
            equal(list(Word.objects.using(using).values_list()), [(1, "a")])
    with connection.schema_editor() as editor:
        editor.remove_field(Word, more)
        editor.alter_db_table(Word, "t", "t2")
        editor.alter_db_table(Word, "t2", "t")
    equal(Word.objects.using("other").get().word, "a")


@check
def check_batch():
    fresh()
    Word.objects.bulk_create([Word(id=number, word=f"w{number}") for number in range(3000)], batch_size=500)
    words = list(Word.objects.filter(id__lt=100))
    for word in words:
        word.word = "changed"
    equal(Word.objects.bulk_update(words, ["word"]), 100)
    upserted = [Word(id=5, word="again"), Word(id=9999, word="new")]
    Word.objects.bulk_create(upserted, update_conflicts=True, unique_fields=["id"], update_fields=["word"])
    equal(Word.objects.filter(word="changed").count(), 99)
    equal(len(Word.objects.in_bulk(range(50))), 50)
    fails(IntegrityError, lambda: Word.objects.bulk_create([Word(id=10000), Word(id=1)]))
    equal(Word.objects.aggregate(sum=Sum("id"))["sum"], sum(range(3000)) + 9999)


checks.skip("pipeline", "Django has none")


@check
def check_copy():
    fresh()
    with connection.cursor() as cursor, cursor.copy("COPY t FROM STDIN") as copy:
        for number in range(1000):
            copy.write_row((number, f"w{number}"))
    equal(Word.objects.count(), 1000)


@check
def check_cursor():
    fresh()
    Word.objects.bulk_create(Word(id=number) for number in range(1000))
    # Outside of a transaction the driver declares its cursor WITH HOLD.
    ids = Word.objects.order_by("id").values_list("id", flat=True)
    for _ in range(3):
        equal(list(ids.iterator(chunk_size=90)), list(range(1000)))
        with transaction.atomic():
            equal(list(ids.iterator(chunk_size=90)), list(range(1000)))
    half = ids.iterator(chunk_size=10)
    equal(next(half), 0)
    half.close()
    equal(Word.objects.count(), 1000)


@check
def check_cancel():
    seen = []
    connection.ensure_connection()
    driver = connection.connection

    def sleep():
        try:
            driver.execute("SELECT pg_sleep(60)")
        except Exception as error:
            seen.append(error.sqlstate)

    running = threading.Thread(target=sleep, daemon=True)
    running.start()
    until_cancelled(running, driver.cancel_safe)
    equal(seen, ["57014"])
    equal(one("SELECT 1"), 1)


@check
def check_errors():
    fresh()
    Word.objects.create(id=1)
    error = fails(IntegrityError, lambda: Word.objects.create(id=1))
    equal(error.__cause__.diag.constraint_name, "t_pkey")
    fails(ProgrammingError, lambda: one("SELECT * FROM missing"))
    with transaction.atomic():
        fails(DatabaseError, lambda: one("SELECT 1 / %s", (0,)))
        transaction.set_rollback(True)
    equal(Word.objects.count(), 1)
    fails(OperationalError, lambda: one("SELECT pg_terminate_backend(pg_backend_pid())"))
    connection.close_if_unusable_or_obsolete()
    equal(Word.objects.count(), 1)


class Kinds(models.Model):
    big = models.BigIntegerField(null=True)
    number = models.DecimalField(max_digits=40, decimal_places=9, null=True)
    real = models.FloatField(null=True)
    yes = models.BooleanField(null=True)
    words = models.TextField(null=True)
    bytes = models.BinaryField(null=True)
    day = models.DateField(null=True)
    at = models.DateTimeField(null=True)
    span = models.DurationField(null=True)
    uuid = models.UUIDField(null=True)
    json = models.JSONField(null=True)
    list = ArrayField(models.TextField(null=True), null=True)
    address = models.GenericIPAddressField(null=True)

    class Meta:
        app_label = "checks"
        db_table = "kinds"


@check
def check_types():
    fresh(Kinds)
    values = {
        "big": -(2**63), "number": Decimal("12345678901234567890.123456789"), "real": 1e300, "yes": True,
        "words": "'\"\\ é \U0001f409", "bytes": bytes(range(256)), "day": dt.date(2026, 2, 28),
        "at": dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.timezone.utc), "span": dt.timedelta(days=-3, microseconds=7),
        "uuid": uuid.UUID(int=7), "json": {"a": [1, None, "é"]}, "list": ["a,b", None], "address": "::1",
    }
    Kinds.objects.create(**values)
    Kinds.objects.create()
    for using in ("default", "other", "plain"):
        full, empty = Kinds.objects.using(using).order_by("id").values()
        full["bytes"] = bytes(full["bytes"])
        del full["id"], empty["id"]
        equal(full, values)
        equal(set(empty.values()), {None})
        equal(Kinds.objects.using(using).filter(json__a__0=1, list__contains=["a,b"]).count(), 1)
        # In the session's own time zone.
        hour = Kinds.objects.using(using).filter(at__isnull=False).extra(select={"hour": "extract(hour from at)"}).get().hour
        equal(int(hour), 12 if using == "other" else 3)


@check
def check_settings():
    fresh()
    for number in range(5):
        equal(one("SHOW TimeZone"), "UTC")
        equal(one("SHOW TimeZone", using="other"), "Asia/Tokyo")
        with transaction.atomic():
            one("SELECT set_config('app.tenant', %s, true)", (str(number),))
            Word.objects.create(id=number)
            equal(one("SELECT current_setting('app.tenant')"), str(number))
        equal(one("SELECT coalesce(current_setting('app.tenant', true), '')"), "")
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = '50ms'")
        fails(OperationalError, lambda: cursor.execute("SELECT pg_sleep(60)"))
        cursor.execute("RESET statement_timeout")
    equal(one("SHOW statement_timeout"), "0")


@check
def check_temporary():
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE mine (id int)")
        for number in range(3):
            cursor.execute("INSERT INTO mine VALUES (%s)", (number,))
            equal(one("SELECT count(*) FROM mine"), number + 1)
    connection.close()
    fails(ProgrammingError, lambda: one("SELECT * FROM mine"))


@check
def check_locks():
    fresh()
    Word.objects.create(id=1)
    one("SELECT pg_advisory_lock(42)")
    equal(one("SELECT pg_try_advisory_lock(42)", using="other"), False)
    equal(one("SELECT pg_advisory_unlock(42)"), True)
    with transaction.atomic(), transaction.atomic(using="other"):
        equal(Word.objects.select_for_update().get().id, 1)
        locked = Word.objects.using("other").select_for_update(skip_locked=True)
        equal(list(locked), [])
        fails(OperationalError, lambda: list(Word.objects.using("other").select_for_update(nowait=True)))
        transaction.set_rollback(True, using="other")
    equal(Word.objects.filter(id=1).update(word=F("id") + 1), 1)


checks.skip("notify", "Django has none")


@check
def check_pool():
    fresh()

    def work(number):
        pooled = Word.objects.using("pooled")
        with transaction.atomic(using="pooled"):
            pooled.create(id=number, word="x")
        equal(pooled.get(id=number).word, "x")
        # By a cursor WITH HOLD, closed again.
        equal([word.id for word in pooled.filter(id=number).iterator()], [number])
        connections["pooled"].close()

    in_threads(work, range(40))
    equal(Word.objects.count(), 40)
    connections["pooled"].close_pool()


@check
def check_sessions():
    fresh()

    def session(number):
        for round in range(4):
            key = number * 10 + round
            with transaction.atomic():
                Word.objects.create(id=key, word=str(key))
                equal(Word.objects.get(id=key).word, str(key))
            equal(Word.objects.get(id=key).word, str(key))
            between = Word.objects.filter(id__range=(number * 10, number * 10 + 9))
            equal(between.count(), round + 1)
        connection.close()

    in_threads(session, range(SESSIONS))
    equal(Word.objects.count(), SESSIONS * 4)


checks.run()
