// libpq, with its pipeline mode. Built by the test: cc libpq.c -lpq -lpthread.
//
// Each check is a function that returns; what it expects and does not get ends it by `need`.

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SESSIONS = 200, LIMIT = 60 };

// ---- what all checks use

// Where a check goes that has failed, and why; of each thread.
static _Thread_local jmp_buf out;
static _Thread_local char why[512];

static void fail(int line, const char *format, ...)
{
    int length = snprintf(why, sizeof why, "line %d: ", line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why + length, sizeof why - length, format, arguments);
    va_end(arguments);
    for (char *at = why; *at; at++)
        if (*at == '\n')
            *at = ' ';
    longjmp(out, 1);
}

#define need(condition) \
    do { if (!(condition)) fail(__LINE__, "not so: %s", #condition); } while (0)
#define same(got, expected) same_text(__LINE__, got, expected)

static void same_text(int line, const char *got, const char *expected)
{
    if (!got || strcmp(got, expected))
        fail(line, "got \"%.200s\", expected \"%.200s\"", got ? got : "(nothing)", expected);
}

static PGconn *opened(const char *options)
{
    // The environment says where.
    PGconn *conn = PQconnectdb(options);
    if (PQstatus(conn) != CONNECTION_OK)
        fail(__LINE__, "%s", PQerrorMessage(conn));
    return conn;
}

#define connect() opened("")

// The result if it has this status; an SQLSTATE stands for an error.
static PGresult *checked(int line, PGconn *conn, PGresult *result, const char *state)
{
    const char *told = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (!state && told)
        fail(line, "%s %s", told, PQresultErrorMessage(result));
    if (!state && PQresultStatus(result) == PGRES_FATAL_ERROR)
        fail(line, "%s", PQerrorMessage(conn));
    if (state && (!told || strcmp(told, state)))
        fail(line, "expected %s, got %s %s", state, told ? told : "none", PQresultErrorMessage(result));
    return result;
}

#define run(conn, sql) PQclear(checked(__LINE__, conn, PQexec(conn, sql), NULL))
#define refused(conn, sql, state) PQclear(checked(__LINE__, conn, PQexec(conn, sql), state))
#define one(conn, sql, expected) one_at(__LINE__, conn, PQexec(conn, sql), expected)
#define one_with(conn, sql, value, expected) \
    one_at(__LINE__, conn, PQexecParams(conn, sql, 1, NULL, (const char *[]){value}, NULL, NULL, 0), expected)
#define one_named(conn, name, value, expected) \
    one_at(__LINE__, conn, PQexecPrepared(conn, name, 1, (const char *[]){value}, NULL, NULL, 0), expected)
#define prepare(conn, name, sql) PQclear(checked(__LINE__, conn, PQprepare(conn, name, sql, 0, NULL), NULL))

static void one_at(int line, PGconn *conn, PGresult *result, const char *expected)
{
    checked(line, conn, result, NULL);
    same_text(line, PQntuples(result) ? PQgetvalue(result, 0, 0) : NULL, expected);
    PQclear(result);
}

static char *number(char *text, int value)
{
    sprintf(text, "%d", value);
    return text;
}

static void fresh(PGconn *conn)
{
    run(conn, "DROP TABLE IF EXISTS t");
    run(conn, "CREATE TABLE t (id int PRIMARY KEY, word text)");
}

static void silent(void *argument, const char *message)
{
    (void)argument, (void)message;
}

// ---- the checks; tests/drivers/README.md says what each name means

static void check_connect(void)
{
    PGconn *conn = opened("application_name='a name' options='-c search_path=pg_catalog,public' client_encoding=UTF8");
    one(conn, "SELECT current_user", getenv("PGUSER"));
    one(conn, "SHOW application_name", "a name");
    one(conn, "SHOW search_path", "pg_catalog,public");
    same(PQparameterStatus(conn, "application_name"), "a name");
    need(PQserverVersion(conn) >= 140000);
    need(PQbackendPID(conn) != 0);
    PQreset(conn);
    one(conn, "SHOW application_name", "a name");
    PQfinish(conn);
    conn = PQconnectdb("password=wrong");
    need(PQstatus(conn) == CONNECTION_BAD && strstr(PQerrorMessage(conn), "password authentication failed"));
    PQfinish(conn);
    conn = opened("target_session_attrs=read-write");
    one(conn, "SELECT 1", "1");
    PQfinish(conn);
    need(PQping("") == PQPING_OK);
}

static void check_crud(void)
{
    PGconn *conn = connect();
    run(conn, "DROP TABLE IF EXISTS t; CREATE TABLE t (id serial PRIMARY KEY, word text)");
    one_with(conn, "INSERT INTO t (word) VALUES ($1) RETURNING id", "één", "1");
    one_with(conn, "INSERT INTO t (word) VALUES ($1) RETURNING word IS NULL", NULL, "t");
    one(conn, "SELECT string_agg(coalesce(word, '-'), ',' ORDER BY id) FROM t", "één,-");
    PGresult *result = PQexec(conn, "UPDATE t SET word = 'two' WHERE id = 2");
    same(PQcmdTuples(result), "1");
    PQclear(result);
    one_with(conn, "SELECT word FROM t WHERE id = $1", "2", "two");
    result = PQexec(conn, "DELETE FROM t");
    same(PQcmdStatus(result), "DELETE 2");
    PQclear(result);
    one(conn, "SELECT count(*) FROM t", "0");
    PQfinish(conn);
}

static void check_transactions(void)
{
    PGconn *conn = connect(), *other = connect();
    fresh(conn);
    run(conn, "BEGIN");
    run(conn, "INSERT INTO t VALUES (1, 'kept')");
    need(PQtransactionStatus(conn) == PQTRANS_INTRANS);
    one(conn, "SELECT count(*) FROM t", "1");
    one(other, "SELECT count(*) FROM t", "0");
    run(conn, "COMMIT");
    need(PQtransactionStatus(conn) == PQTRANS_IDLE);
    one(other, "SELECT count(*) FROM t", "1");
    run(conn, "BEGIN; INSERT INTO t VALUES (2, 'gone')");
    run(conn, "ROLLBACK");
    one(conn, "SELECT word FROM t", "kept");
    run(conn, "BEGIN; INSERT INTO t VALUES (3); COMMIT AND CHAIN");
    need(PQtransactionStatus(conn) == PQTRANS_INTRANS);
    run(conn, "INSERT INTO t VALUES (4); ROLLBACK");
    one(other, "SELECT count(*) FROM t", "2");
    PQfinish(conn), PQfinish(other);
}

static void check_savepoints(void)
{
    PGconn *conn = connect();
    fresh(conn);
    run(conn, "BEGIN");
    run(conn, "INSERT INTO t VALUES (1)");
    run(conn, "SAVEPOINT here");
    refused(conn, "INSERT INTO t VALUES (1)", "23505");
    need(PQtransactionStatus(conn) == PQTRANS_INERROR);
    run(conn, "ROLLBACK TO here");
    run(conn, "INSERT INTO t VALUES (3)");
    run(conn, "RELEASE here");
    run(conn, "COMMIT");
    one(conn, "SELECT string_agg(id::text, ',' ORDER BY id) FROM t", "1,3");
    PQfinish(conn);
}

static void check_isolation(void)
{
    static const char *levels[] = {"read committed", "repeatable read", "serializable"};
    char sql[100];
    PGconn *conn = connect(), *other = connect();
    fresh(conn);
    for (int level = 0; level < 3; level++) {
        sprintf(sql, "BEGIN ISOLATION LEVEL %s", levels[level]);
        run(conn, sql);
        one(conn, "SHOW transaction_isolation", levels[level]);
        one(conn, "SELECT count(*) FROM t", number(sql, level));
        sprintf(sql, "INSERT INTO t VALUES (%d)", level);
        run(other, sql);
        one(conn, "SELECT count(*) FROM t", number(sql, level + (level == 0)));
        run(conn, "COMMIT");
    }
    PGconn *both[] = {conn, other};
    for (int side = 0; side < 2; side++) {
        run(both[side], "BEGIN ISOLATION LEVEL SERIALIZABLE");
        one(both[side], "SELECT count(*) FROM t", "3");
    }
    run(conn, "INSERT INTO t VALUES (100)");
    run(other, "INSERT INTO t VALUES (101)");
    run(conn, "COMMIT");
    refused(other, "COMMIT", "40001");
    PQfinish(conn), PQfinish(other);
}

static void check_read_only(void)
{
    PGconn *conn = connect();
    fresh(conn);
    run(conn, "INSERT INTO t VALUES (1, 'a')");
    run(conn, "BEGIN READ ONLY");
    one(conn, "SHOW transaction_read_only", "on");
    one(conn, "SELECT word FROM t", "a");
    refused(conn, "INSERT INTO t VALUES (2)", "25006");
    run(conn, "ROLLBACK");
    run(conn, "START TRANSACTION READ ONLY; SELECT 1; COMMIT");
    run(conn, "INSERT INTO t VALUES (2)");
    PQfinish(conn);
    conn = opened("options='-c default_transaction_read_only=on'");
    one(conn, "SELECT count(*) FROM t", "2");
    refused(conn, "INSERT INTO t VALUES (3)", "25006");
    PQfinish(conn);
}

static void check_prepared(void)
{
    char name[32], sql[100], value[16], sum[16];
    PGconn *sides[] = {connect(), connect()};
    fresh(sides[0]);
    for (int side = 0; side < 2; side++)
        for (int statement = 0; statement < 10; statement++) {
            sprintf(name, "statement %d", statement);
            sprintf(sql, "SELECT %d + $1::int + (SELECT count(*) FROM t)", statement + side);
            prepare(sides[side], name, sql);
        }
    for (int round = 0; round < 5; round++) {
        for (int statement = 0; statement < 10; statement++)
            for (int side = 0; side < 2; side++) {
                sprintf(name, "statement %d", statement);
                one_named(sides[side], name, number(value, round), number(sum, statement + side + 2 * round));
            }
        run(sides[0], "BEGIN");
        sprintf(sql, "INSERT INTO t VALUES (%d)", round);
        run(sides[0], sql);
        one_named(sides[0], "statement 0", "0", number(sum, round + 1));
        run(sides[0], "COMMIT");
    }
    PGresult *result = checked(__LINE__, sides[0], PQdescribePrepared(sides[0], "statement 3"), NULL);
    need(PQnparams(result) == 1 && PQparamtype(result, 0) == 23 && PQftype(result, 0) == 20);
    PQclear(result);
    // Before PQclosePrepared (17) this is the only way to close one: other drivers on libpq do it.
    run(sides[0], "DEALLOCATE \"statement 3\"");
    result = PQexecPrepared(sides[0], "statement 3", 1, (const char *[]){"1"}, NULL, NULL, 0);
    PQclear(checked(__LINE__, sides[0], result, "26000"));
    one_named(sides[1], "statement 3", "0", "9");
    prepare(sides[0], "statement 3", "SELECT 'anew' || $1");
    one_named(sides[0], "statement 3", "!", "anew!");
    refused(sides[0], "DEALLOCATE missing", "26000");
    // The same name twice is an error.
    PQclear(checked(__LINE__, sides[0], PQprepare(sides[0], "statement 1", "SELECT 1", 0, NULL), "42P05"));
    // By SQL, and by protocol.
    run(sides[0], "PREPARE by_sql AS SELECT $1::int + 1");
    one(sides[0], "EXECUTE by_sql(1)", "2");
    one_named(sides[0], "by_sql", "2", "3");
    one(sides[0], "EXECUTE \"statement 0\"(1)", "6");
    run(sides[0], "DEALLOCATE ALL");
    result = PQexecPrepared(sides[0], "statement 0", 1, (const char *[]){"1"}, NULL, NULL, 0);
    PQclear(checked(__LINE__, sides[0], result, "26000"));
    PQfinish(sides[0]), PQfinish(sides[1]);
}

static void check_schema(void)
{
    PGconn *conn = connect();
    fresh(conn);
    run(conn, "INSERT INTO t VALUES (1, 'a')");
    prepare(conn, "all", "SELECT * FROM t");
    for (int round = 0; round < 3; round++)
        PQclear(checked(__LINE__, conn, PQexecPrepared(conn, "all", 0, NULL, NULL, NULL, 0), NULL));
    run(conn, "ALTER TABLE t ADD COLUMN more int DEFAULT 5");
    for (int round = 0; round < 3; round++) {
        // Who prepares it now must not meet what others prepared before.
        PGconn *other = connect();
        prepare(other, "all", "SELECT * FROM t");
        PGresult *result = PQdescribePrepared(other, "all");
        need(PQnfields(checked(__LINE__, other, result, NULL)) == 3);
        PQclear(result);
        result = PQexecPrepared(other, "all", 0, NULL, NULL, NULL, 0);
        same(PQgetvalue(checked(__LINE__, other, result, NULL), 0, 2), "5");
        PQclear(result);
        PQfinish(other);
    }
    // Who prepared it before is told, as without a proxy, or gets the row with its description.
    PGresult *result = PQexecPrepared(conn, "all", 0, NULL, NULL, NULL, 0);
    if (PQresultStatus(result) == PGRES_TUPLES_OK)
        same(PQgetvalue(result, 0, 2), "5");
    else
        checked(__LINE__, conn, result, "0A000");
    PQclear(result);
    PQfinish(conn);
}

static void check_batch(void)
{
    PGconn *conn = connect();
    fresh(conn);
    // Several statements in one text are one transaction.
    need(PQsendQuery(conn, "INSERT INTO t VALUES (1, 'a'); SELECT word FROM t; SELECT 5"));
    static const char *expected[] = {"", "a", "5"};
    PGresult *result;
    for (int at = 0; (result = PQgetResult(conn)); at++) {
        checked(__LINE__, conn, result, NULL);
        same(PQntuples(result) ? PQgetvalue(result, 0, 0) : "", expected[at]);
        PQclear(result);
    }
    refused(conn, "INSERT INTO t VALUES (2); INSERT INTO t VALUES (1)", "23505");
    one(conn, "SELECT count(*) FROM t", "1");
    PQfinish(conn);
}

// The next result of a pipeline, and its status.
#define next(conn, status) next_at(__LINE__, conn, status)
static PGresult *next_at(int line, PGconn *conn, ExecStatusType status)
{
    PGresult *result = PQgetResult(conn);
    if (PQresultStatus(result) != status)
        fail(line, "got %s %s, expected %s", PQresStatus(PQresultStatus(result)), PQerrorMessage(conn),
             PQresStatus(status));
    // A NULL stands behind each query, but not behind a sync.
    if (status != PGRES_PIPELINE_SYNC)
        need(PQgetResult(conn) == NULL);
    return result;
}

#define send_one(conn, sql, value) \
    need(PQsendQueryParams(conn, sql, 1, NULL, (const char *[]){value}, NULL, NULL, 0))

static void check_pipeline(void)
{
    char text[32];
    PGconn *conn = connect();
    fresh(conn);
    need(PQenterPipelineMode(conn));
    // Nothing is read before all is sent; each statement is a transaction.
    for (int id = 0; id < 100; id++) {
        send_one(conn, "INSERT INTO t VALUES ($1, 'x') RETURNING id", number(text, id));
        need(PQpipelineSync(conn));
        send_one(conn, "SELECT count(*) FROM t WHERE id <= $1", number(text, id));
        need(PQpipelineSync(conn));
    }
    for (int id = 0; id < 100; id++) {
        for (int part = 0; part < 2; part++) {
            PGresult *result = next(conn, PGRES_TUPLES_OK);
            same(PQgetvalue(result, 0, 0), number(text, id + part));
            PQclear(result);
            PQclear(next(conn, PGRES_PIPELINE_SYNC));
        }
    }
    // An error takes the rest of its group with it, and nothing else.
    send_one(conn, "INSERT INTO t VALUES ($1)", "200");
    send_one(conn, "INSERT INTO t VALUES ($1)", "1");
    send_one(conn, "INSERT INTO t VALUES ($1)", "201");
    need(PQpipelineSync(conn));
    send_one(conn, "SELECT count(*) FROM t WHERE id >= $1", "100");
    need(PQpipelineSync(conn));
    PQclear(next(conn, PGRES_COMMAND_OK));
    PQclear(checked(__LINE__, conn, next(conn, PGRES_FATAL_ERROR), "23505"));
    PQclear(next(conn, PGRES_PIPELINE_ABORTED));
    PQclear(next(conn, PGRES_PIPELINE_SYNC));
    PGresult *result = next(conn, PGRES_TUPLES_OK);
    same(PQgetvalue(result, 0, 0), "0");
    PQclear(result);
    PQclear(next(conn, PGRES_PIPELINE_SYNC));
    // A transaction over several groups; statements prepared on the way; answers asked for by Flush.
    send_one(conn, "SELECT $1::int", "1");
    need(PQsendFlushRequest(conn));
    result = next(conn, PGRES_TUPLES_OK);
    same(PQgetvalue(result, 0, 0), "1");
    PQclear(result);
    need(PQsendQueryParams(conn, "BEGIN", 0, NULL, NULL, NULL, NULL, 0));
    need(PQpipelineSync(conn));
    need(PQsendPrepare(conn, "delete", "DELETE FROM t WHERE id < $1", 0, NULL));
    need(PQsendQueryPrepared(conn, "delete", 1, (const char *[]){"50"}, NULL, NULL, 0));
    need(PQpipelineSync(conn));
    need(PQsendQueryParams(conn, "COMMIT", 0, NULL, NULL, NULL, NULL, 0));
    send_one(conn, "SELECT count(*) FROM t WHERE id >= $1", "0");
    need(PQpipelineSync(conn));
    PQclear(next(conn, PGRES_COMMAND_OK));
    PQclear(next(conn, PGRES_PIPELINE_SYNC));
    PQclear(next(conn, PGRES_COMMAND_OK));
    result = next(conn, PGRES_COMMAND_OK);
    same(PQcmdStatus(result), "DELETE 50");
    PQclear(result);
    PQclear(next(conn, PGRES_PIPELINE_SYNC));
    PQclear(next(conn, PGRES_COMMAND_OK));
    result = next(conn, PGRES_TUPLES_OK);
    same(PQgetvalue(result, 0, 0), "50");
    PQclear(result);
    PQclear(next(conn, PGRES_PIPELINE_SYNC));
    need(PQexitPipelineMode(conn));
    one(conn, "SELECT count(*) FROM t", "50");
    PQfinish(conn);
}

static void check_copy(void)
{
    char line[64];
    PGconn *conn = connect();
    fresh(conn);
    PQclear(PQexec(conn, "COPY t FROM STDIN"));
    for (int id = 0; id < 5000; id++)
        need(PQputCopyData(conn, line, sprintf(line, "%d\twörd %d\n", id, id)) == 1);
    need(PQputCopyEnd(conn, NULL) == 1);
    PGresult *result = checked(__LINE__, conn, PQgetResult(conn), NULL);
    same(PQcmdTuples(result), "5000");
    PQclear(result);
    need(PQgetResult(conn) == NULL);
    PQclear(PQexec(conn, "COPY (SELECT * FROM t ORDER BY id) TO STDOUT"));
    for (int id = 0; id < 5000; id++) {
        char *got;
        need(PQgetCopyData(conn, &got, 0) > 0);
        sprintf(line, "%d\twörd %d\n", id, id);
        same(got, line);
        PQfreemem(got);
    }
    char *got;
    need(PQgetCopyData(conn, &got, 0) == -1);
    PQclear(checked(__LINE__, conn, PQgetResult(conn), NULL));
    need(PQgetResult(conn) == NULL);
    // One that the server refuses, and one that the client gives up.
    for (int given_up = 0; given_up < 2; given_up++) {
        PQclear(PQexec(conn, "COPY t FROM STDIN"));
        const char *row = given_up ? "9999\tx\n" : "no number\tx\n";
        need(PQputCopyData(conn, row, (int)strlen(row)) == 1);
        need(PQputCopyEnd(conn, given_up ? "given up" : NULL) == 1);
        PQclear(checked(__LINE__, conn, PQgetResult(conn), given_up ? "57014" : "22P02"));
        need(PQgetResult(conn) == NULL);
    }
    one(conn, "SELECT count(*) FROM t", "5000");
    PQfinish(conn);
}

static void check_cursor(void)
{
    PGconn *conn = connect();
    fresh(conn);
    run(conn, "INSERT INTO t SELECT g, g::text FROM generate_series(1, 1000) g");
    // Row by row.
    need(PQsendQuery(conn, "SELECT id FROM t ORDER BY id") && PQsetSingleRowMode(conn));
    PGresult *result;
    int rows = 0;
    while ((result = PQgetResult(conn))) {
        if (PQresultStatus(result) == PGRES_SINGLE_TUPLE)
            need(atoi(PQgetvalue(result, 0, 0)) == ++rows);
        PQclear(checked(__LINE__, conn, result, NULL));
    }
    need(rows == 1000);
    run(conn, "BEGIN");
    run(conn, "DECLARE c SCROLL CURSOR FOR SELECT id FROM t ORDER BY id");
    one(conn, "FETCH 3 FROM c", "1");
    one(conn, "FETCH ABSOLUTE 500 FROM c", "500");
    one(conn, "FETCH BACKWARD 1 FROM c", "499");
    run(conn, "COMMIT");
    refused(conn, "FETCH 1 FROM c", "34000");
    run(conn, "BEGIN; DECLARE h CURSOR WITH HOLD FOR SELECT id FROM t ORDER BY id; COMMIT");
    one(conn, "FETCH 1 FROM h", "1");
    one(conn, "FETCH 1 FROM h", "2");
    run(conn, "CLOSE h");
    PQfinish(conn);
}

static void pause_briefly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

static void check_cancel(void)
{
    char told[256];
    PGconn *conn = connect();
    fresh(conn);
    static const char *begins[] = {"SELECT 1", "BEGIN; INSERT INTO t VALUES (1)"};
    for (int at = 0; at < 2; at++) {
        run(conn, begins[at]);
        PGcancel *cancel = PQgetCancel(conn);
        need(PQsendQuery(conn, "SELECT pg_sleep(60)"));
        // The query may not have begun at the first.
        do {
            need(PQcancel(cancel, told, sizeof told));
            pause_briefly();
            need(PQconsumeInput(conn));
        } while (PQisBusy(conn));
        PQclear(checked(__LINE__, conn, PQgetResult(conn), "57014"));
        need(PQgetResult(conn) == NULL);
        PQfreeCancel(cancel);
        run(conn, "ROLLBACK");
        one(conn, "SELECT 1", "1");
    }
    PQfinish(conn);
}

static void take_notice(void *text, const char *message)
{
    strncat(text, message, 200);
}

static void check_errors(void)
{
    PGconn *conn = connect();
    PQsetNoticeProcessor(conn, silent, NULL);
    fresh(conn);
    run(conn, "INSERT INTO t VALUES (1, 'a')");
    PGresult *result = checked(__LINE__, conn, PQexec(conn, "INSERT INTO t VALUES (1, 'b')"), "23505");
    same(PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME), "t_pkey");
    same(PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL), "Key (id)=(1) already exists.");
    PQclear(result);
    result = checked(__LINE__, conn, PQexec(conn, "SELEC 1"), "42601");
    same(PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION), "1");
    PQclear(result);
    refused(conn, "SELECT * FROM missing", "42P01");
    result = PQexecParams(conn, "SELECT 1 / $1::int", 1, NULL, (const char *[]){"0"}, NULL, NULL, 0);
    PQclear(checked(__LINE__, conn, result, "22012"));
    run(conn, "BEGIN");
    refused(conn, "SELECT 1 / 0", "22012");
    refused(conn, "SELECT 1", "25P02");
    result = PQexec(conn, "COMMIT");
    same(PQcmdStatus(result), "ROLLBACK");
    PQclear(result);
    one(conn, "SELECT count(*) FROM t", "1");
    char heard[512] = "";
    PQsetNoticeProcessor(conn, take_notice, heard);
    run(conn, "DO $$ BEGIN RAISE WARNING 'mind %', 1; END $$");
    same(heard, "WARNING:  mind 1\n");
    PQclear(PQexec(conn, "SELECT pg_terminate_backend(pg_backend_pid())"));
    need(PQstatus(conn) == CONNECTION_BAD);
    PQreset(conn);
    one(conn, "SELECT count(*) FROM t", "1");
    PQfinish(conn);
}

static void check_types(void)
{
    static const char *values[][2] = {
        {"int8", "-9223372036854775808"}, {"float8", "-Infinity"}, {"numeric", "12345678901234567890.123456789"},
        {"bool", "t"}, {"text", "'\"\\ é 日本 🐉\n"}, {"text", ""}, {"bytea", "\\x00ff275c"}, {"date", "2026-02-28"},
        {"timestamptz", "2026-01-02 03:04:05.000006+00"}, {"interval", "-3 days +00:00:01"}, {"uuid", "12345678-1234-5678-1234-567812345678"},
        {"jsonb", "{\"a\": [1, null]}"}, {"inet", "::1"}, {"int4range", "[1,5)"}, {"text[]", "{\"a,b\",NULL}"}};
    char sql[64];
    PGconn *conn = opened("options='-c TimeZone=UTC'");
    for (size_t at = 0; at < sizeof values / sizeof *values; at++) {
        sprintf(sql, "SELECT $1::%s", values[at][0]);
        one_with(conn, sql, values[at][1], values[at][1]);
    }
    // Binary, there and back.
    const char binary[] = {0, 0, 1, 2};
    PGresult *result = PQexecParams(conn, "SELECT $1::int4", 1, NULL, (const char *[]){binary}, (int[]){4}, (int[]){1}, 1);
    need(PQgetlength(checked(__LINE__, conn, result, NULL), 0, 0) == 4);
    need(!memcmp(PQgetvalue(result, 0, 0), binary, 4));
    PQclear(result);
    result = PQexecParams(conn, "SELECT $1::text", 1, NULL, (const char *[]){NULL}, NULL, NULL, 0);
    need(PQgetisnull(checked(__LINE__, conn, result, NULL), 0, 0));
    PQclear(result);
    PQfinish(conn);
}

static void check_settings(void)
{
    PGconn *conn = connect(), *other = connect();
    PQsetNoticeProcessor(conn, silent, NULL);
    fresh(conn);
    run(conn, "CREATE SCHEMA IF NOT EXISTS apart");
    run(conn, "CREATE TABLE IF NOT EXISTS apart.t AS SELECT -1 AS id");
    run(conn, "SET search_path = apart, public");
    run(conn, "SET TimeZone = 'Asia/Tokyo'");
    one(conn, "SELECT set_config('app.tenant', 'one', false)", "one");
    run(other, "SET TimeZone = 'America/New_York'");
    const char *noon = "SELECT '2026-01-01 12:00Z'::timestamptz::text";
    for (int round = 0; round < 5; round++) {
        one(conn, "SELECT count(*) FROM t", "1");
        one(other, "SELECT count(*) FROM t", "0");
        one(conn, noon, "2026-01-01 21:00:00+09");
        one(other, noon, "2026-01-01 07:00:00-05");
        one(conn, "SELECT current_setting('app.tenant')", "one");
        one(other, "SELECT coalesce(current_setting('app.tenant', true), '')", "");
    }
    same(PQparameterStatus(conn, "TimeZone"), "Asia/Tokyo");
    run(conn, "BEGIN");
    run(conn, "SET TimeZone = 'UTC'");
    same(PQparameterStatus(conn, "TimeZone"), "UTC");
    run(conn, "ROLLBACK");
    same(PQparameterStatus(conn, "TimeZone"), "Asia/Tokyo");
    one(conn, "SHOW TimeZone", "Asia/Tokyo");
    run(conn, "BEGIN; SET LOCAL statement_timeout = '1h'; SET TimeZone = 'Europe/Paris'");
    one(conn, "SHOW statement_timeout", "1h");
    run(conn, "COMMIT");
    one(conn, "SHOW statement_timeout", "0");
    one(conn, "SHOW TimeZone", "Europe/Paris");
    need(PQsetClientEncoding(conn, "LATIN1") == 0);
    one(conn, "SELECT 'x' || chr(233)", "x\xe9");
    need(PQsetClientEncoding(conn, "UTF8") == 0);
    run(conn, "SET statement_timeout = '50ms'");
    refused(conn, "SELECT pg_sleep(60)", "57014");
    run(conn, "DISCARD ALL");
    one(conn, "SHOW statement_timeout", "0");
    one(conn, "SELECT count(*) FROM t", "0");
    PQfinish(conn), PQfinish(other);
}

static void check_temporary(void)
{
    char text[16];
    PGconn *conn = connect(), *other = connect();
    run(conn, "CREATE TEMP TABLE mine (id int)");
    for (int id = 0; id < 5; id++) {
        run(conn, "INSERT INTO mine VALUES (1)");
        one(conn, "SELECT count(*) FROM mine", number(text, id + 1));
        refused(other, "SELECT * FROM mine", "42P01");
    }
    PQfinish(conn), PQfinish(other);
}

static void check_locks(void)
{
    PGconn *conn = connect(), *other = connect();
    run(conn, "SELECT pg_advisory_lock(42)");
    for (int round = 0; round < 3; round++) {
        one_with(other, "SELECT pg_try_advisory_lock($1)", "42", "f");
        one(conn, "SELECT 1", "1");
    }
    one(conn, "SELECT pg_advisory_unlock(42)", "t");
    one_with(other, "SELECT pg_try_advisory_lock($1)", "42", "t");
    PQfinish(conn), PQfinish(other);
}

static void check_notify(void)
{
    static const char *expected[] = {"first", "second"};
    PGconn *conn = connect(), *other = connect();
    run(conn, "LISTEN news");
    run(other, "NOTIFY news, 'first'");
    run(other, "SELECT pg_notify('news', 'second')");
    for (int at = 0; at < 2;) {
        struct pollfd ready = {.fd = PQsocket(conn), .events = POLLIN};
        need(poll(&ready, 1, 10000) == 1 && PQconsumeInput(conn));
        for (PGnotify *note; (note = PQnotifies(conn)); PQfreemem(note))
            same(note->extra, expected[at++]);
    }
    run(conn, "UNLISTEN *");
    one(conn, "SELECT 1", "1");
    PQfinish(conn), PQfinish(other);
}

// One of many sessions; what it returns is why it failed.
static void *session(void *argument)
{
    int self = (int)(size_t)argument;
    char text[32], key[16], low[16];
    if (setjmp(out))
        return strdup(why);
    PGconn *conn = connect();
    prepare(conn, "insert", "INSERT INTO t VALUES ($1, 'w' || $1::int) RETURNING word");
    prepare(conn, "select", "SELECT word FROM t WHERE id = $1");
    prepare(conn, "count", "SELECT count(*) FROM t WHERE id BETWEEN $1 AND $1 + 9");
    for (int round = 0; round < 4; round++) {
        number(key, self * 10 + round), number(low, self * 10);
        sprintf(text, "w%s", key);
        run(conn, "BEGIN");
        one_named(conn, "insert", key, text);
        one_named(conn, "select", key, text);
        run(conn, "COMMIT");
        one_named(conn, "select", key, text);
        one_named(conn, "count", low, number(text, round + 1));
    }
    PQfinish(conn);
    return NULL;
}

static void check_sessions(void)
{
    static pthread_t threads[SESSIONS];
    PGconn *conn = connect();
    fresh(conn);
    for (size_t at = 0; at < SESSIONS; at++)
        need(pthread_create(&threads[at], NULL, session, (void *)at) == 0);
    char *first = NULL;
    for (int at = 0; at < SESSIONS; at++) {
        void *failed;
        pthread_join(threads[at], &failed);
        first = first ? first : failed;
    }
    if (first)
        fail(__LINE__, "%s", first);
    one(conn, "SELECT count(*) FROM t", "800");
    PQfinish(conn);
}

// ---- telling

static const struct {
    const char *name;
    void (*body)(void);
    const char *skip;
} checks[] = {
    {"connect", check_connect, NULL}, {"crud", check_crud, NULL}, {"transactions", check_transactions, NULL},
    {"savepoints", check_savepoints, NULL}, {"isolation", check_isolation, NULL}, {"read_only", check_read_only, NULL},
    {"prepared", check_prepared, NULL}, {"schema", check_schema, NULL}, {"batch", check_batch, NULL},
    {"pipeline", check_pipeline, NULL}, {"copy", check_copy, NULL}, {"cursor", check_cursor, NULL},
    {"cancel", check_cancel, NULL}, {"errors", check_errors, NULL}, {"types", check_types, NULL},
    {"settings", check_settings, NULL}, {"temporary", check_temporary, NULL}, {"locks", check_locks, NULL},
    {"notify", check_notify, NULL}, {"pool", NULL, "the driver has none"}, {"sessions", check_sessions, NULL}};

static void *attempt(void *body)
{
    if (setjmp(out))
        return strdup(why);
    ((void (*)(void))body)();
    return NULL;
}

int main(int count, char **names)
{
    int failed = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("# libpq %d.%d\n", PQlibVersion() / 10000, PQlibVersion() % 10000);
    for (size_t at = 0; at < sizeof checks / sizeof *checks; at++) {
        const char *name = checks[at].name;
        if (count > 1 && strcmp(names[1], name))
            continue;
        if (checks[at].skip) {
            printf("skip %s: %s\n", name, checks[at].skip);
            continue;
        }
        struct timespec since, until, now;
        clock_gettime(CLOCK_REALTIME, &since);
        until = since, until.tv_sec += LIMIT;
        pthread_t thread;
        void *wrong = "could not start";
        pthread_create(&thread, NULL, attempt, (void *)checks[at].body);
        if (pthread_timedjoin_np(thread, &wrong, &until) == ETIMEDOUT)
            wrong = "not within 60 s";
        clock_gettime(CLOCK_REALTIME, &now);
        double took = (double)(now.tv_sec - since.tv_sec) + (double)(now.tv_nsec - since.tv_nsec) / 1e9;
        fprintf(stderr, "# %s took %.2f s\n", name, took);
        if (wrong)
            failed = 1, printf("not ok %s: %s\n", name, (char *)wrong);
        else
            printf("ok %s\n", name);
    }
    return failed;
}
