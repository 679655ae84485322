// pgjdbc: prepareThreshold, setReadOnly, fetch size, batches, COPY, and what frameworks on top of it use.
// Run as one source file: java -cp /usr/share/java/postgresql.jar Pgjdbc.java

import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.math.BigDecimal;
import java.sql.*;
import java.time.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;
import org.postgresql.PGConnection;
import org.postgresql.PGStatement;
import org.postgresql.copy.CopyManager;
import org.postgresql.util.PSQLException;

public class Pgjdbc {
    static final int SESSIONS = 200;
    static final int LIMIT = 60; // seconds for one check, on a busy machine

    interface Check {
        void run() throws Exception;
    }

    // ---- what all checks use

    static Connection connect(String... options) throws SQLException {
        var env = System.getenv();
        var url = "jdbc:postgresql://%s:%s/%s".formatted(env.get("PGHOST"), env.get("PGPORT"), env.get("PGDATABASE"));
        var properties = new Properties();
        properties.put("user", env.get("PGUSER"));
        properties.put("password", env.get("PGPASSWORD"));
        for (int at = 0; at < options.length; at += 2) properties.put(options[at], options[at + 1]);
        return DriverManager.getConnection(url, properties);
    }

    static void run(Connection connection, String sql) throws SQLException {
        try (var statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    static void fresh(Connection connection) throws SQLException {
        run(connection, "DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, word text)");
    }

    static PreparedStatement bound(Connection connection, String sql, Object... parameters) throws SQLException {
        var statement = connection.prepareStatement(sql);
        for (int at = 0; at < parameters.length; at++) statement.setObject(at + 1, parameters[at]);
        return statement;
    }

    static List<List<Object>> rows(ResultSet set) throws SQLException {
        var out = new ArrayList<List<Object>>();
        while (set.next()) {
            var row = new ArrayList<Object>();
            for (int at = 1; at <= set.getMetaData().getColumnCount(); at++) row.add(set.getObject(at));
            out.add(row);
        }
        return out;
    }

    static List<List<Object>> query(Connection connection, String sql, Object... parameters) throws SQLException {
        try (var statement = bound(connection, sql, parameters); var set = statement.executeQuery()) {
            return rows(set);
        }
    }

    static Object one(Connection connection, String sql, Object... parameters) throws SQLException {
        return query(connection, sql, parameters).get(0).get(0);
    }

    static int update(Connection connection, String sql, Object... parameters) throws SQLException {
        try (var statement = bound(connection, sql, parameters)) {
            return statement.executeUpdate();
        }
    }

    static void equal(Object got, Object expected) {
        if (!Objects.deepEquals(got, expected)) throw new AssertionError("got " + got + ", expected " + expected);
    }

    static PSQLException fails(String state, Check call) throws Exception {
        try {
            call.run();
        } catch (SQLException error) {
            equal(error.getSQLState() + " " + error.getMessage(), state + " " + error.getMessage());
            return error instanceof PSQLException told ? told : null;
        }
        throw new AssertionError("should have failed with " + state);
    }

    static List<Object> row(Object... values) {
        return Arrays.asList(values);
    }

    // ---- the checks; tests/drivers/README.md says what each name means

    static void login() throws Exception {
        try (var connection = connect("ApplicationName", "a name", "options", "-c search_path=pg_catalog,public")) {
            equal(one(connection, "SELECT current_user::text"), System.getenv("PGUSER"));
            equal(one(connection, "SHOW application_name"), "a name");
            equal(one(connection, "SHOW search_path"), "pg_catalog,public");
            equal(one(connection, "SHOW DateStyle"), "ISO, MDY");
            equal(connection.isValid(5), true);
            equal(connection.getMetaData().getDatabaseMajorVersion() >= 14, true);
            equal(connection.unwrap(PGConnection.class).getParameterStatus("application_name"), "a name");
        }
        fails("28P01", () -> connect("password", "wrong"));
        // Hosts are tried until one is of the kind that is wanted.
        try (var connection = connect("targetServerType", "primary")) {
            equal(one(connection, "SELECT 1"), 1);
        }
    }

    static void crud() throws Exception {
        try (var connection = connect()) {
            run(connection, "DROP TABLE IF EXISTS t; CREATE TABLE t (id serial PRIMARY KEY, word text)");
            var insert = "INSERT INTO t (word) VALUES (?)";
            try (var statement = connection.prepareStatement(insert, Statement.RETURN_GENERATED_KEYS)) {
                statement.setString(1, "één");
                equal(statement.executeUpdate(), 1);
                equal(rows(statement.getGeneratedKeys()), List.of(row(1, "één")));
            }
            equal(one(connection, "INSERT INTO t (word) VALUES (NULL) RETURNING id"), 2);
            equal(query(connection, "SELECT * FROM t ORDER BY id"), List.of(row(1, "één"), row(2, null)));
            equal(update(connection, "UPDATE t SET word = ? WHERE id = ?", "two", 2), 1);
            equal(one(connection, "SELECT word FROM t WHERE id = 2"), "two");
            equal(update(connection, "DELETE FROM t WHERE id > ?", 0), 2);
            equal(one(connection, "SELECT count(*) FROM t"), 0L);
            // A result set that is updated in place.
            run(connection, "INSERT INTO t VALUES (7, 'a')");
            try (var statement = connection.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE);
                    var set = statement.executeQuery("SELECT id, word FROM t")) {
                set.next();
                set.updateString("word", "b");
                set.updateRow();
            }
            equal(query(connection, "SELECT * FROM t"), List.of(row(7, "b")));
            // What tools ask about the schema.
            try (var set = connection.getMetaData().getColumns(null, "public", "t", null)) {
                equal(rows(set).stream().map(column -> column.get(3)).toList(), List.of("id", "word"));
            }
            try (var set = connection.getMetaData().getPrimaryKeys(null, "public", "t")) {
                equal(rows(set).get(0).get(3), "id");
            }
        }
    }

    static void transactions() throws Exception {
        try (var connection = connect(); var other = connect()) {
            fresh(connection);
            connection.setAutoCommit(false);
            update(connection, "INSERT INTO t VALUES (1, 'kept')");
            equal(one(connection, "SELECT count(*) FROM t"), 1L);
            equal(one(other, "SELECT count(*) FROM t"), 0L);
            connection.commit();
            equal(one(other, "SELECT count(*) FROM t"), 1L);
            update(connection, "INSERT INTO t VALUES (2, 'gone')");
            connection.rollback();
            equal(one(connection, "SELECT count(*) FROM t"), 1L);
            connection.commit();
            connection.setAutoCommit(true);
            equal(query(other, "SELECT * FROM t"), List.of(row(1, "kept")));
        }
    }

    static void savepoints() throws Exception {
        try (var connection = connect()) {
            fresh(connection);
            connection.setAutoCommit(false);
            update(connection, "INSERT INTO t VALUES (1)");
            var savepoint = connection.setSavepoint("here");
            update(connection, "INSERT INTO t VALUES (2)");
            fails("23505", () -> update(connection, "INSERT INTO t VALUES (1)"));
            connection.rollback(savepoint);
            update(connection, "INSERT INTO t VALUES (3)");
            connection.releaseSavepoint(savepoint);
            connection.commit();
            equal(query(connection, "SELECT id FROM t ORDER BY id"), List.of(row(1), row(3)));
            connection.commit();
        }
        // The driver's own savepoint around each statement.
        try (var connection = connect("autosave", "always")) {
            fresh(connection);
            connection.setAutoCommit(false);
            for (int round = 0; round < 10; round++) {
                equal(update(connection, "INSERT INTO t VALUES (?, 'x')", round), 1);
                fails("23505", () -> update(connection, "INSERT INTO t VALUES (?, 'x')", 0));
            }
            connection.commit();
            equal(one(connection, "SELECT count(*) FROM t"), 10L);
            connection.commit();
        }
    }

    static void isolation() throws Exception {
        try (var connection = connect(); var other = connect()) {
            fresh(connection);
            var names = Map.of(2, "read committed", 4, "repeatable read", 8, "serializable");
            for (int level : new int[] {2, 4, 8}) {
                connection.setTransactionIsolation(level);
                equal(connection.getTransactionIsolation(), level);
                connection.setAutoCommit(false);
                equal(one(connection, "SHOW transaction_isolation"), names.get(level));
                var before = (long) one(connection, "SELECT count(*) FROM t");
                update(other, "INSERT INTO t VALUES (?)", level);
                equal((long) one(connection, "SELECT count(*) FROM t") - before, level == 2 ? 1L : 0L);
                connection.commit();
                connection.setAutoCommit(true);
            }
            other.setTransactionIsolation(8);
            for (var side : List.of(connection, other)) {
                side.setAutoCommit(false);
                one(side, "SELECT count(*) FROM t");
            }
            update(connection, "INSERT INTO t VALUES (100)");
            update(other, "INSERT INTO t VALUES (101)");
            connection.commit();
            fails("40001", other::commit);
        }
    }

    static void read_only() throws Exception {
        // How the driver tells it: with BEGIN, never, or as a setting of the session.
        for (var mode : List.of("transaction", "always", "ignore")) {
            try (var connection = connect("readOnlyMode", mode)) {
                fresh(connection);
                update(connection, "INSERT INTO t VALUES (1, 'a')");
                connection.setReadOnly(true);
                connection.setAutoCommit(false);
                for (int round = 0; round < 8; round++) {
                    equal(one(connection, "SELECT word FROM t WHERE id = ?", 1), "a");
                    if (round % 3 == 0) connection.commit();
                }
                if (!mode.equals("ignore")) {
                    equal(one(connection, "SHOW transaction_read_only"), "on");
                    fails("25006", () -> update(connection, "INSERT INTO t VALUES (2)"));
                }
                connection.rollback();
                connection.setReadOnly(false);
                update(connection, "INSERT INTO t VALUES (2)");
                connection.commit();
                connection.setAutoCommit(true);
                connection.setReadOnly(true);
                if (mode.equals("always")) fails("25006", () -> update(connection, "INSERT INTO t VALUES (3)"));
                equal(one(connection, "SELECT count(*) FROM t"), 2L);
                connection.setReadOnly(false);
                equal(update(connection, "DELETE FROM t"), 2);
            }
        }
    }

    static void prepared() throws Exception {
        // From the first use on, from the fifth (as by default), never; few kept, so that many are closed.
        for (var threshold : List.of("1", "5", "0", "-1")) {
            try (var connection = connect("prepareThreshold", threshold, "preparedStatementCacheQueries", "3")) {
                fresh(connection);
                try (var kept = bound(connection, "SELECT ?::int + (SELECT count(*) FROM t)", 0)) {
                    for (int round = 0; round < 8; round++) {
                        kept.setInt(1, round);
                        equal(rows(kept.executeQuery()), List.of(row(2L * round)));
                        for (int number = 0; number < 5; number++) {
                            var sql = "SELECT " + number + " + ?::int";
                            equal(one(connection, sql, round), number + round);
                        }
                        connection.setAutoCommit(false);
                        equal(update(connection, "INSERT INTO t VALUES (?, ?)", round, "x"), 1);
                        equal(rows(kept.executeQuery()), List.of(row(2L * round + 1)));
                        connection.commit();
                        connection.setAutoCommit(true);
                    }
                    var named = kept.unwrap(PGStatement.class).isUseServerPrepare();
                    equal(named, !threshold.equals("0"));
                }
            }
        }
        for (var mode : List.of("simple", "extendedForPrepared", "extendedCacheEverything")) {
            try (var connection = connect("preferQueryMode", mode)) {
                for (int round = 0; round < 8; round++) equal(one(connection, "SELECT ?::int + 1", round), round + 1);
            }
        }
    }

    static void schema() throws Exception {
        try (var connection = connect(); var other = connect("prepareThreshold", "1")) {
            fresh(connection);
            update(connection, "INSERT INTO t VALUES (1, 'a')");
            for (int round = 0; round < 8; round++) {
                for (var side : List.of(connection, other)) equal(query(side, "SELECT * FROM t"), List.of(row(1, "a")));
            }
            run(connection, "ALTER TABLE t ADD COLUMN more int DEFAULT 5");
            // Outside of a transaction the driver prepares anew by itself.
            for (int round = 0; round < 8; round++) {
                for (var side : List.of(connection, other)) {
                    equal(query(side, "SELECT * FROM t"), List.of(row(1, "a", 5)));
                }
            }
            try (var third = connect("prepareThreshold", "1")) {
                equal(query(third, "SELECT * FROM t"), List.of(row(1, "a", 5)));
            }
        }
    }

    static void batch() throws Exception {
        for (var rewrite : List.of("false", "true")) {
            try (var connection = connect("reWriteBatchedInserts", rewrite)) {
                fresh(connection);
                try (var statement = connection.prepareStatement("INSERT INTO t VALUES (?, ?)")) {
                    for (int number = 0; number < 1000; number++) {
                        statement.setInt(1, number);
                        statement.setString(2, "w" + number);
                        statement.addBatch();
                    }
                    equal(statement.executeBatch().length, 1000);
                    equal(one(connection, "SELECT count(*) FROM t"), 1000L);
                    for (int number : new int[] {2000, 1, 2001}) {
                        statement.setInt(1, number);
                        statement.setString(2, "twice");
                        statement.addBatch();
                    }
                    fails("23505", statement::executeBatch);
                }
                equal(one(connection, "SELECT count(*) FROM t WHERE word = 'twice' AND id = 2001"), 0L);
                try (var statement = connection.prepareStatement("DELETE FROM t WHERE id = ?")) {
                    for (int number : new int[] {3, 3, 4}) {
                        statement.setInt(1, number);
                        statement.addBatch();
                    }
                    equal(statement.executeBatch(), new int[] {1, 0, 1});
                }
                try (var statement = connection.createStatement()) {
                    statement.addBatch("INSERT INTO t VALUES (5001, 'x')");
                    statement.addBatch("UPDATE t SET word = 'y' WHERE id > 5000");
                    equal(statement.executeBatch(), new int[] {1, 1});
                    // Several results of one text.
                    equal(statement.execute("SELECT 1; INSERT INTO t VALUES (5002); SELECT word FROM t WHERE id = 5001"), true);
                    equal(rows(statement.getResultSet()), List.of(row(1)));
                    equal(statement.getMoreResults(), false);
                    equal(statement.getUpdateCount(), 1);
                    equal(statement.getMoreResults(), true);
                    equal(rows(statement.getResultSet()), List.of(row("y")));
                }
            }
        }
    }

    static void copy() throws Exception {
        try (var connection = connect()) {
            fresh(connection);
            var manager = connection.unwrap(PGConnection.class).getCopyAPI();
            var text = IntStream.range(0, 5000).mapToObj(number -> number + "\twörd " + number + "\n").collect(Collectors.joining());
            equal(manager.copyIn("COPY t FROM STDIN", new StringReader(text)), 5000L);
            var out = new ByteArrayOutputStream();
            equal(manager.copyOut("COPY (SELECT * FROM t ORDER BY id) TO STDOUT", out), 5000L);
            equal(out.toString("UTF-8"), text);
            fails("22P02", () -> manager.copyIn("COPY t FROM STDIN", new StringReader("no number\tx\n")));
            var given_up = manager.copyIn("COPY t FROM STDIN");
            given_up.writeToCopy("9999\tx\n".getBytes(), 0, 7);
            given_up.cancelCopy();
            equal(one(connection, "SELECT count(*) FROM t"), 5000L);
        }
    }

    static void cursor() throws Exception {
        for (var threshold : List.of("5", "-1", "0")) {
            try (var connection = connect("prepareThreshold", threshold)) {
                fresh(connection);
                run(connection, "INSERT INTO t SELECT g, g::text FROM generate_series(1, 1000) g");
                connection.setAutoCommit(false);
                for (int round = 0; round < 3; round++) {
                    try (var statement = bound(connection, "SELECT id FROM t WHERE id > ? ORDER BY id", 0);
                            var between = bound(connection, "SELECT count(*) FROM t WHERE id < ?", 5)) {
                        statement.setFetchSize(100);
                        try (var set = statement.executeQuery()) {
                            for (int id = 1; set.next(); id++) {
                                equal(set.getInt(1), id);
                                // Another statement while the portal is open.
                                if (id % 250 == 0) equal(rows(between.executeQuery()), List.of(row(4L)));
                                if (id == 1000) equal(set.isLast(), true);
                            }
                        }
                        // Left half read.
                        try (var set = statement.executeQuery()) {
                            set.next();
                        }
                    }
                    connection.commit();
                }
                connection.setReadOnly(true);
                try (var statement = bound(connection, "SELECT id FROM t ORDER BY id")) {
                    statement.setFetchSize(7);
                    equal(rows(statement.executeQuery()).size(), 1000);
                }
                connection.commit();
            }
        }
    }

    static void cancel() throws Exception {
        try (var connection = connect()) {
            fresh(connection);
            for (boolean writes : new boolean[] {false, true}) {
                connection.setAutoCommit(!writes);
                if (writes) update(connection, "INSERT INTO t VALUES (1)");
                try (var statement = connection.prepareStatement("SELECT pg_sleep(60)")) {
                    var running = CompletableFuture.runAsync(() -> {
                        try {
                            fails("57014", statement::execute);
                        } catch (Exception error) {
                            throw new CompletionException(error);
                        }
                    });
                    // The query may not have begun at the first.
                    while (!running.isDone()) {
                        statement.cancel();
                        Thread.sleep(20);
                    }
                    running.join();
                }
                if (writes) connection.rollback();
                equal(one(connection, "SELECT 1"), 1);
                try (var statement = connection.prepareStatement("SELECT pg_sleep(60)")) {
                    statement.setQueryTimeout(1);
                    fails("57014", statement::execute);
                }
                if (writes) connection.rollback();
            }
            equal(one(connection, "SELECT count(*) FROM t"), 0L);
        }
    }

    static void errors() throws Exception {
        try (var connection = connect()) {
            fresh(connection);
            update(connection, "INSERT INTO t VALUES (1, 'a')");
            var told = fails("23505", () -> update(connection, "INSERT INTO t VALUES (?, 'b')", 1)).getServerErrorMessage();
            equal(row(told.getConstraint(), told.getTable(), told.getDetail()), row("t_pkey", "t", "Key (id)=(1) already exists."));
            equal(fails("42601", () -> query(connection, "SELEC 1")).getServerErrorMessage().getPosition(), 1);
            fails("42P01", () -> query(connection, "SELECT * FROM missing"));
            for (int round = 0; round < 8; round++) {
                fails("22012", () -> query(connection, "SELECT 1 / ?::int", 0));
                equal(one(connection, "SELECT 6 / ?::int", 3), 2);
            }
            connection.setAutoCommit(false);
            fails("22012", () -> query(connection, "SELECT 1 / 0"));
            fails("25P02", () -> query(connection, "SELECT 1"));
            connection.rollback();
            connection.setAutoCommit(true);
            equal(one(connection, "SELECT count(*) FROM t"), 1L);
            try (var statement = connection.createStatement()) {
                statement.execute("DO $$ BEGIN RAISE WARNING 'mind %', 1; END $$");
                equal(statement.getWarnings().getMessage(), "mind 1");
            }
            try {
                query(connection, "SELECT pg_terminate_backend(pg_backend_pid())");
                throw new AssertionError("the server lived");
            } catch (SQLException error) {
                equal(List.of("57P01", "08006").contains(error.getSQLState()), true);
            }
        }
        try (var connection = connect()) {
            equal(one(connection, "SELECT count(*) FROM t"), 1L);
        }
    }

    static void types() throws Exception {
        var values = new LinkedHashMap<String, List<Object>>();
        values.put("int4", List.of(Integer.MIN_VALUE, Integer.MAX_VALUE));
        values.put("int8", List.of(Long.MIN_VALUE, Long.MAX_VALUE));
        values.put("float8", List.of(0.1, 1e300, Double.NEGATIVE_INFINITY));
        values.put("numeric", List.of(new BigDecimal("12345678901234567890.123456789"), new BigDecimal("-0.001")));
        values.put("bool", List.of(true, false));
        values.put("text", List.of("", "'\"\\ é 日本 \uD83D\uDC09\n", "x".repeat(1_000_000)));
        values.put("bytea", List.of(new byte[] {0, 1, -1, 92, 39}, new byte[0]));
        values.put("uuid", List.of(UUID.fromString("12345678-1234-5678-1234-567812345678")));
        try (var connection = connect()) {
            for (var entry : values.entrySet()) {
                for (var sample : entry.getValue()) {
                    // Text at first, binary from the fifth on.
                    for (int round = 0; round < 7; round++) {
                        equal(one(connection, "SELECT ?::" + entry.getKey(), sample), sample);
                    }
                }
                try (var statement = connection.prepareStatement("SELECT ?::" + entry.getKey())) {
                    statement.setNull(1, Types.NULL);
                    equal(rows(statement.executeQuery()), List.of(row((Object) null)));
                }
            }
            var times = Map.<String, Object>of(
                    "date", LocalDate.of(2026, 2, 28), "timestamp", LocalDateTime.of(1999, 12, 31, 23, 59, 59, 1000),
                    "timestamptz", OffsetDateTime.of(2026, 1, 2, 3, 4, 5, 6000, ZoneOffset.UTC), "time", LocalTime.of(23, 59, 59));
            for (var entry : times.entrySet()) {
                for (int round = 0; round < 7; round++) {
                    try (var statement = bound(connection, "SELECT ?::" + entry.getKey(), entry.getValue()); var set = statement.executeQuery()) {
                        set.next();
                        equal(set.getObject(1, entry.getValue().getClass()), entry.getValue());
                    }
                }
            }
            for (int round = 0; round < 7; round++) {
                var array = connection.createArrayOf("text", new String[] {"a,b", "q\"", "NULL", null});
                equal(((Array) one(connection, "SELECT ?::text[]", array)).getArray(), new String[] {"a,b", "q\"", "NULL", null});
                equal(one(connection, "SELECT (?::jsonb)->>'a'", "{\"a\": \"é\"}"), "é");
            }
        }
    }

    static void settings() throws Exception {
        try (var connection = connect(); var other = connect()) {
            fresh(connection);
            run(connection, "CREATE SCHEMA IF NOT EXISTS apart; CREATE TABLE IF NOT EXISTS apart.t AS SELECT -1 AS id");
            connection.setSchema("apart");
            run(connection, "SET TimeZone = 'Asia/Tokyo'");
            one(connection, "SELECT set_config('app.tenant', 'one', false)");
            run(other, "SET TimeZone = 'America/New_York'");
            var noon = "SELECT '2026-01-01 12:00Z'::timestamptz::text";
            for (int round = 0; round < 8; round++) {
                equal(one(connection, "SELECT count(*) FROM t"), 1L);
                equal(one(other, "SELECT count(*) FROM t"), 0L);
                equal(one(connection, noon), "2026-01-01 21:00:00+09");
                equal(one(other, noon), "2026-01-01 07:00:00-05");
                equal(one(connection, "SELECT current_setting('app.tenant')"), "one");
                equal(one(other, "SELECT coalesce(current_setting('app.tenant', true), '')"), "");
            }
            connection.setAutoCommit(false);
            run(connection, "SET TimeZone = 'UTC'");
            connection.rollback();
            equal(one(connection, "SHOW TimeZone"), "Asia/Tokyo");
            connection.commit();
            run(connection, "SET LOCAL statement_timeout = '1h'");
            run(connection, "SET TimeZone = 'Europe/Paris'");
            equal(one(connection, "SHOW statement_timeout"), "1h");
            connection.commit();
            connection.setAutoCommit(true);
            equal(one(connection, "SHOW statement_timeout"), "0");
            equal(one(connection, "SHOW TimeZone"), "Europe/Paris");
            connection.setClientInfo("ApplicationName", "renamed");
            equal(one(connection, "SHOW application_name"), "renamed");
            run(connection, "SET statement_timeout = '50ms'");
            fails("57014", () -> query(connection, "SELECT pg_sleep(60)"));
            run(connection, "DISCARD ALL");
            equal(one(connection, "SHOW statement_timeout"), "0");
            equal(one(connection, "SELECT count(*) FROM t"), 0L);
        }
    }

    static void temporary() throws Exception {
        try (var connection = connect(); var other = connect()) {
            run(connection, "CREATE TEMP TABLE mine (id int)");
            for (int number = 0; number < 8; number++) {
                update(connection, "INSERT INTO mine VALUES (?)", number);
                equal(one(connection, "SELECT count(*) FROM mine"), number + 1L);
                fails("42P01", () -> query(other, "SELECT * FROM mine"));
            }
        }
    }

    static void locks() throws Exception {
        try (var connection = connect(); var other = connect()) {
            query(connection, "SELECT pg_advisory_lock(42)");
            for (int round = 0; round < 3; round++) {
                equal(one(other, "SELECT pg_try_advisory_lock(?)", 42L), false);
                equal(one(connection, "SELECT 1"), 1);
            }
            equal(one(connection, "SELECT pg_advisory_unlock(42)"), true);
            equal(one(other, "SELECT pg_try_advisory_lock(?)", 42L), true);
        }
    }

    static void notices() throws Exception {
        try (var connection = connect(); var other = connect()) {
            run(connection, "LISTEN news");
            run(other, "NOTIFY news, 'first'");
            query(other, "SELECT pg_notify('news', ?)", "second");
            var heard = new ArrayList<String>();
            while (heard.size() < 2) {
                for (var note : connection.unwrap(PGConnection.class).getNotifications(10_000)) heard.add(note.getParameter());
            }
            equal(heard, List.of("first", "second"));
            run(connection, "UNLISTEN *");
            equal(one(connection, "SELECT 1"), 1);
        }
    }

    /** What HikariCP and its like do: check, use, roll back, set everything back. */
    static void pool() throws Exception {
        var all = new ArrayList<Connection>();
        for (int number = 0; number < 8; number++) all.add(connect());
        var idle = new ArrayBlockingQueue<>(8, true, all);
        try (var connection = connect()) {
            fresh(connection);
        }
        try {
            inThreads(40, number -> {
                var connection = idle.take();
                equal(connection.isValid(5), true);
                equal(one(connection, "SHOW transaction_isolation"), "read committed");
                connection.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
                connection.setAutoCommit(false);
                update(connection, "INSERT INTO t VALUES (?, 'kept')", number);
                connection.commit();
                equal(one(connection, "SELECT count(*) FROM t WHERE id = ?", number), 1L);
                update(connection, "UPDATE t SET word = 'gone' WHERE id = ?", number);
                connection.rollback();
                connection.setAutoCommit(true);
                connection.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
                idle.put(connection);
            });
            equal(one(idle.peek(), "SELECT count(*) FROM t WHERE word = 'kept'"), 40L);
        } finally {
            // Also those that hang: the next check needs their servers.
            for (var connection : all) connection.abort(Runnable::run);
        }
    }

    interface Work {
        void at(int number) throws Exception;
    }

    static void inThreads(int count, Work work) throws Exception {
        var threads = Executors.newFixedThreadPool(count);
        try {
            var tasks = IntStream.range(0, count).<Callable<Void>>mapToObj(number -> () -> {
                work.at(number);
                return null;
            }).toList();
            for (var task : threads.invokeAll(tasks, LIMIT - 2, TimeUnit.SECONDS)) task.get();
        } finally {
            threads.shutdownNow();
        }
    }

    static void sessions() throws Exception {
        try (var connection = connect()) {
            fresh(connection);
        }
        inThreads(SESSIONS, number -> {
            try (var connection = connect("prepareThreshold", "1")) {
                for (int round = 0; round < 4; round++) {
                    int key = number * 10 + round;
                    connection.setAutoCommit(false);
                    equal(one(connection, "INSERT INTO t VALUES (?, ?) RETURNING id", key, "" + key), key);
                    equal(one(connection, "SELECT word FROM t WHERE id = ?", key), "" + key);
                    connection.commit();
                    connection.setAutoCommit(true);
                    equal(one(connection, "SELECT word FROM t WHERE id = ?", key), "" + key);
                    var between = "SELECT count(*) FROM t WHERE id BETWEEN ? AND ?";
                    equal(one(connection, between, number * 10, number * 10 + 9), round + 1L);
                }
            }
        });
        try (var connection = connect()) {
            equal(one(connection, "SELECT count(*) FROM t"), SESSIONS * 4L);
        }
    }

    // ---- telling

    static boolean failed = false;

    static void check(String name, Check check) {
        if (only.length > 0 && !List.of(only).contains(name)) return;
        var since = System.nanoTime();
        var thread = Executors.newSingleThreadExecutor(run -> {
            var daemon = new Thread(run);
            daemon.setDaemon(true);
            return daemon;
        });
        var task = thread.submit(() -> {
            check.run();
            return null;
        });
        try {
            task.get(LIMIT, TimeUnit.SECONDS);
            System.out.println("ok " + name);
        } catch (Throwable error) {
            failed = true;
            var cause = error instanceof ExecutionException ? error.getCause() : error;
            cause.printStackTrace();
            var why = error instanceof TimeoutException ? "not within " + LIMIT + " s" : cause.toString().replace("\n", " ");
            System.out.println("not ok " + name + ": " + why);
        }
        System.err.printf("# %s took %.2f s%n", name, (System.nanoTime() - since) / 1e9);
    }

    static String[] only;

    public static void main(String[] names) {
        only = names;
        System.out.println("# pgjdbc " + org.postgresql.util.DriverInfo.DRIVER_VERSION);
        check("connect", Pgjdbc::login);
        check("crud", Pgjdbc::crud);
        check("transactions", Pgjdbc::transactions);
        check("savepoints", Pgjdbc::savepoints);
        check("isolation", Pgjdbc::isolation);
        check("read_only", Pgjdbc::read_only);
        check("prepared", Pgjdbc::prepared);
        check("schema", Pgjdbc::schema);
        check("batch", Pgjdbc::batch);
        System.out.println("skip pipeline: JDBC has none beyond batches");
        check("copy", Pgjdbc::copy);
        check("cursor", Pgjdbc::cursor);
        check("cancel", Pgjdbc::cancel);
        check("errors", Pgjdbc::errors);
        check("types", Pgjdbc::types);
        check("settings", Pgjdbc::settings);
        check("temporary", Pgjdbc::temporary);
        check("locks", Pgjdbc::locks);
        check("notify", Pgjdbc::notices);
        check("sessions", Pgjdbc::sessions);
        check("pool", Pgjdbc::pool);
        System.exit(failed ? 1 : 0);
    }
}
