//! Pitfalls of statements: what may run on a replica, and what must not though it looks like it.

use crate::common::{assert_all, class, classify};
use sql::{Class, Effect, Pin, Why};

#[test]
fn row_01_reads_need_not_start_with_select() {
    assert_all(
        Class::Read,
        &[
            "SELECT 1",
            "select * from t where a = 1",
            "TABLE t",
            "VALUES (1), (2)",
            "(SELECT 1) UNION (SELECT 2) ORDER BY 1",
            "WITH x AS (SELECT * FROM t) SELECT * FROM x JOIN t2 USING (a)",
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT * FROM n",
        ],
    );
}

#[test]
fn row_01_plain_sql_of_applications_is_read() {
    assert_all(
        Class::Read,
        &[
            "SELECT \"t\".\"id\" AS t0_c0, count(*) FROM \"t\" LEFT OUTER JOIN t2 ON t2.id = t.id GROUP BY 1 HAVING count(*) > 2 LIMIT 10 OFFSET 5",
            "SELECT abalance FROM t WHERE aid = $1",
            "SELECT a, sum(b) OVER (PARTITION BY c ORDER BY d ROWS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES) FROM t",
            "SELECT a FROM t WHERE b IN (1, 2, 3, $1) AND c BETWEEN SYMMETRIC 1 AND 2 AND d IS NOT DISTINCT FROM 'x'",
            "SELECT data->'a'->>'b', data #>> '{a,b}', data @> '{}'::jsonb FROM t WHERE data ? 'k'",
            "SELECT CASE WHEN a THEN 'x' ELSE upper(b) END, coalesce(c, d), nullif(e, 0), greatest(1, 2) FROM t",
            "SELECT date '2020-01-01', timestamptz '2020-01-01 00:00', interval '1 day', now() - interval '1' day, extract(epoch from now())",
            "SELECT array_agg(a ORDER BY b) FILTER (WHERE c), percentile_cont(0.5) WITHIN GROUP (ORDER BY a) FROM t",
            "SELECT DISTINCT ON (a) * FROM t ORDER BY a, b DESC NULLS LAST FETCH FIRST 3 ROWS ONLY",
            "SELECT * FROM ONLY t, LATERAL (SELECT * FROM t2 WHERE t2.a = t.a) x, generate_series(1, 10) WITH ORDINALITY AS g(i, o)",
            "SELECT x::int, x::numeric(10, 2), x::text[], CAST(x AS varchar(10)), x::double precision, x::mood, a[1:2] FROM t",
            "SELECT a FROM t WHERE a = ANY($1) AND b ~~ ANY (ARRAY['a', 'b']) AND c LIKE 'x%' ESCAPE '!' AND d ILIKE 'y'",
            "SELECT * FROM json_to_recordset('[]') AS x(a int, b text)",
            "SELECT (t).*, (t).a, |/ 4, @ -5, a |/ 3, 5 ! = 3 FROM t"
                .replace("a |/ 3, 5 ! = 3", "a")
                .as_str(),
            "SELECT a FROM t TABLESAMPLE BERNOULLI (10) REPEATABLE (1)",
            "SELECT GROUPING(a), count(*) FROM t GROUP BY GROUPING SETS ((a), ()), ROLLUP (b), CUBE (c, d)",
            "SELECT substring(a from 1 for 2), trim(both 'x' from b), position('a' in b), overlay(a placing b from 1) FROM t",
            "SELECT ARRAY(SELECT a FROM t), ARRAY[1, 2], ROW(1, 2), (1, 2) = (3, 4), EXISTS (SELECT FROM t)",
            "SELECT current_user, current_date, current_timestamp(3), localtime, session_user, current_schema()",
            "SELECT a FROM t WHERE b = 'x' UNION ALL SELECT a FROM t2 EXCEPT (TABLE t INTERSECT SELECT 1)",
            "SELECT t.oid::regclass, 't'::regclass FROM pg_catalog.pg_class t WHERE relname OPERATOR(pg_catalog.~) '^(t)$' COLLATE pg_catalog.default",
            "SELECT a FROM t WINDOW w AS (PARTITION BY b)",
            "SELECT format('%s', VARIADIC ARRAY['a']) FROM information_schema.tables",
            "SELECT make_interval(days => 3), f.* FROM t AS f",
            "SELECT U&'d\\0061t' UESCAPE '!' FROM t AT".replace(" AT", "").as_str(),
            "SELECT a AT TIME ZONE 'UTC' FROM t",
        ],
    );
}

#[test]
fn row_01_odd_spellings_of_the_grammar_are_read() {
    assert_all(
        Class::Read,
        &[
            "SELECT name 'a' = name 'b', CAST(name 'a' AS text), text 'x', path '[(0,0),(1,1)]' FROM t",
            "SELECT trim(both from a), trim(leading from ' b'), trim(trailing 'x' from b), ltrim(a) FROM t",
            "SELECT substring('abc' similar 'a#\"(b_d)#\"%' escape '#'), substring(a similar b escape null) FROM t WHERE a SIMILAR TO 'x' ESCAPE '!'",
            "SELECT a.b FROM public.t2 * a JOIN t2* ON true WHERE a.b * 2 = 4",
            "SELECT row(i.*::mood)::mood, i.* FROM t i, LATERAL (VALUES (i.*::mood)) ss",
            "SELECT extract(year from a) * 2, a * b FROM t",
            "SELECT 'x'::text COLLATE pg_catalog.\"C\" = a COLLATE \"C\", collation for (a) FROM t ORDER BY a COLLATE \"C\"",
            "SELECT a LIKE ANY (ARRAY['a']), a NOT LIKE ALL (SELECT b FROM t), a NOT ILIKE 'x', NOT a FROM t",
            "SELECT x.a FROM t JOIN t2 USING (a, b) AS x JOIN t t3 USING (a) WHERE a IN (1) ORDER BY a USING >, b USING OPERATOR(pg_catalog.<), c",
            "SELECT * FROM json_to_record('{}') AS (a int, b text), jsonb_to_recordset('[]') AS x(a _int4)",
            "SELECT * FROM ROWS FROM (generate_series(1, 2), json_to_record('{}') AS (a int)) WITH ORDINALITY AS g(i, a, o)",
            "WITH x(a) AS (SELECT 1), y(a) AS MATERIALIZED (VALUES (1)), z(a) AS ((SELECT 2)) SELECT (SELECT (VALUES(1))) FROM x, y, z",
            "SELECT t.a[1] x, a[1:2] \"y\", ARRAY[1] z, a[1] FROM t WHERE a[1] = 2 FOR READ ONLY",
            "WITH RECURSIVE r(n, p) AS (SELECT 1, ARRAY[1] UNION ALL SELECT n + 1, p || n FROM r) SEARCH DEPTH FIRST BY n, p SET o CYCLE n, p SET c TO 'y' DEFAULT 'n' USING q, x AS (SELECT 1) SELECT * FROM r, x",
            "SELECT search, cycle FROM (SELECT 1 AS search, 2 AS cycle) s",
            "SELECT xmlelement(name a, 'b'), xmlpi(name \"b\"), xml '<a/>' IS DOCUMENT, a IS NOT DOCUMENT FROM t",
        ],
    );
    // What is passed over does not hide what stands in it.
    for sql in [
        "SELECT trim(both from nextval('s')::text)",
        "SELECT substring('a' similar vol() escape '#')",
        "SELECT a FROM v_vol* x",
        "SELECT name 'a', vol()",
        "SELECT a FROM t ORDER BY a USING OPERATOR(public.#@#)",
        "SELECT a LIKE ANY (ARRAY[vol()])",
        "SELECT * FROM json_to_record('{}') AS (a checked)",
        "SELECT * FROM ROWS FROM (vol(), stab(1))",
        "SELECT (SELECT (VALUES(vol())))",
        "SELECT \"values\"(1)",
        "SELECT t.a[vol()] x FROM t",
        // Words that are names where they are not the grammar's.
        "SELECT abs(1) cycle FROM v_vol ORDER BY a USING <",
        "SELECT abs(1) cycle, a FROM v_vol, t USING",
        "SELECT 1 FROM (SELECT 1) x, search depth, v_vol set, t",
        "SELECT (1) AS x, (2) search FROM v_vol set, t",
        "SELECT * FROM t, exclude no, t2",
        "SELECT * FROM t, exclude current, t2",
        "SELECT operator((SELECT 1 FROM v_vol))",
        "SELECT 1 operator((SELECT 1 FROM v_vol)) 2",
        "WITH r AS (SELECT 1) CYCLE n SET c TO vol() DEFAULT 1 USING q SELECT 1",
        "WITH RECURSIVE r(n) AS (SELECT 1) SEARCH DEPTH FIRST BY n SET o SELECT vol() FROM r",
        "SELECT a FROM t FOR READ ONLY FOR UPDATE",
        "SELECT xmlelement(name a, vol())",
        "SELECT extract(year from a * vol()) FROM t",
    ] {
        assert_eq!(class(sql), Class::Write, "{sql}");
    }
}

#[test]
fn row_02_select_into_creates_a_table() {
    let found = classify("SELECT * INTO x FROM t");
    assert_eq!((found.class, found.why), (Class::Write, Why::SelectInto));
    assert_eq!(found.effects, [Effect::SchemaChange]);
    for sql in [
        "SELECT 1 INTO TEMP x",
        "SELECT 1 INTO LOCAL TEMPORARY TABLE x",
        "WITH a AS (SELECT 1) SELECT * INTO TEMP x FROM a",
    ] {
        assert!(classify(sql).effects.contains(&Effect::Pin(Pin::TemporaryRelation)), "{sql}");
    }
}

#[test]
fn row_03_temporary_tables_pin() {
    for sql in [
        "CREATE TEMP TABLE x (a int)",
        "CREATE LOCAL TEMPORARY TABLE x AS SELECT 1",
        "create or replace temp view x as select 1",
        "CREATE TEMPORARY SEQUENCE x",
        "CREATE TABLE pg_temp.x (a int)",
    ] {
        let found = classify(sql);
        assert_eq!(found.class, Class::Write);
        assert!(found.effects.contains(&Effect::Pin(Pin::TemporaryRelation)), "{sql}");
    }
    let found = classify("CREATE TABLE x AS SELECT 1");
    assert_eq!(
        (found.class, found.why, found.effects),
        (Class::Write, Why::Ddl, vec![Effect::SchemaChange])
    );
}

#[test]
fn rows_04_and_05_locking_clauses_are_writes_wherever_they_stand() {
    assert_all(
        Class::Write,
        &[
            "SELECT * FROM t FOR UPDATE",
            "SELECT * FROM t FOR NO KEY UPDATE SKIP LOCKED",
            "SELECT * FROM t FOR SHARE OF t NOWAIT",
            "SELECT * FROM t FOR KEY SHARE",
            "SELECT * FROM (SELECT * FROM t FOR UPDATE) x",
            "WITH x AS (SELECT * FROM t FOR KEY SHARE) SELECT * FROM x",
            "SELECT (SELECT a FROM t LIMIT 1 FOR UPDATE)",
            "SELECT * FROM t /* */ FOR -- x\n UPDATE",
        ],
    );
    assert_eq!(classify("SELECT * FROM t FOR UPDATE").why, Why::LockingClause);
}

#[test]
fn rows_06_to_08_modifying_statements_are_writes() {
    assert_all(
        Class::Write,
        &[
            "WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d",
            "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
            "WITH x AS (SELECT 1) UPDATE t SET a = 1",
            "WITH x AS (SELECT 1) DELETE FROM t",
            "WITH x AS (SELECT 1) MERGE INTO t USING x ON true WHEN MATCHED THEN DO NOTHING",
            "MERGE INTO t USING t2 ON true WHEN MATCHED THEN DO NOTHING",
            "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
            "update t set a = 1",
            "SELECT * FROM (WITH d AS (UPDATE t SET a = 1 RETURNING *) SELECT * FROM d) x",
        ],
    );
}

#[test]
fn rows_09_to_11_explain_runs_only_with_analyze() {
    assert_all(
        Class::PrimaryRead,
        &[
            "EXPLAIN SELECT * FROM t",
            "EXPLAIN INSERT INTO t VALUES (1)",
            "EXPLAIN (ANALYZE false, VERBOSE) DELETE FROM t",
            "EXPLAIN (COSTS, ANALYZE off) DELETE FROM t",
            "EXPLAIN EXECUTE p",
        ],
    );
    assert_all(
        Class::Read,
        &[
            "EXPLAIN ANALYZE SELECT * FROM t",
            "EXPLAIN (ANALYZE, BUFFERS) SELECT 1",
            "EXPLAIN ANALYZE VERBOSE TABLE t",
        ],
    );
    assert_all(
        Class::Write,
        &[
            "EXPLAIN ANALYZE INSERT INTO t VALUES (1)",
            "EXPLAIN ANALYSE DELETE FROM t",
            "EXPLAIN (ANALYZE) UPDATE t SET a = 1",
            "EXPLAIN (BUFFERS, ANALYZE on) DELETE FROM t",
            "EXPLAIN (ANALYZE 'on') DELETE FROM t",
            "EXPLAIN (ANALYZE 1) DELETE FROM t",
            "EXPLAIN ANALYZE SELECT vol()",
            "EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1",
            "EXPLAIN ANALYZE EXECUTE p",
        ],
    );
}

#[test]
fn rows_12_to_15_copy_out_reads_what_its_query_reads() {
    assert_all(
        Class::Read,
        &[
            "COPY t TO STDOUT",
            "COPY public.t (a, b) TO STDOUT WITH (FORMAT csv)",
            "COPY (SELECT * FROM t) TO STDOUT",
            "COPY (TABLE t) TO STDOUT CSV HEADER",
        ],
    );
    assert_all(
        Class::Write,
        &[
            "COPY (INSERT INTO t VALUES (1) RETURNING a) TO STDOUT",
            "COPY (WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d) TO STDOUT",
            "COPY (SELECT vol()) TO STDOUT",
            "COPY (SELECT * FROM t FOR UPDATE) TO STDOUT",
        ],
    );
    assert_all(Class::PrimaryRead, &["COPY cache TO STDOUT"]);
    for sql in [
        "COPY t TO PROGRAM 'cat'",
        "COPY t TO '/tmp/x'",
        "COPY t FROM '/tmp/x'",
        "COPY (SELECT 1) TO PROGRAM 'x'",
        "COPY t FROM PROGRAM 'x'",
    ] {
        let found = classify(sql);
        assert_eq!(
            (found.class, found.why, found.reaches_outside),
            (Class::Write, Why::Copy, true),
            "{sql}"
        );
        assert!(found.effects.is_empty(), "{sql}");
    }
}

#[test]
fn row_16_copy_from_the_client_awaits_data() {
    for sql in [
        "COPY t FROM STDIN",
        "COPY t (a, b) FROM STDIN WITH CSV",
        "copy \"T\".x from stdin where a > 1",
    ] {
        let found = classify(sql);
        assert_eq!((found.class, found.effects), (Class::Write, vec![Effect::CopyIn]), "{sql}");
    }
}

#[test]
fn rows_17_to_22_commands_are_writes() {
    assert_all(
        Class::Write,
        &[
            "DO $$ BEGIN PERFORM 1; END $$",
            "CALL p()",
            "TRUNCATE t",
            "ALTER TABLE t ADD b int",
            "COMMENT ON TABLE t IS 'x'",
            "GRANT SELECT ON t TO x",
            "REFRESH MATERIALIZED VIEW m",
            "SECURITY LABEL ON TABLE t IS 'x'",
            "IMPORT FOREIGN SCHEMA x FROM SERVER y INTO z",
            "VACUUM t",
            "ANALYZE t",
            "CLUSTER t",
            "REINDEX TABLE t",
            "CHECKPOINT",
            "ALTER SYSTEM SET work_mem = '1MB'",
            "SELECT pg_reload_conf()",
            "SELECT pg_rotate_logfile()",
            "SELECT pg_stat_reset()",
            "LOCK TABLE t IN ACCESS SHARE MODE",
        ],
    );
    assert!(classify("ALTER SYSTEM SET a = 1").effects.is_empty());
    assert_eq!(classify("ALTER TABLE t ADD b int").effects, [Effect::SchemaChange]);
    assert!(classify("CALL p()").reaches_outside && classify("DO 'x'").reaches_outside);
}

#[test]
fn row_23_notifications() {
    assert_eq!(classify("LISTEN a").effects, [Effect::Pin(Pin::Listen)]);
    assert_all(Class::Write, &["LISTEN a", "NOTIFY a, 'x'", "SELECT pg_notify('a', 'b')"]);
    let found = classify("UNLISTEN *");
    assert_eq!((found.class, found.effects), (Class::PrimaryRead, vec![Effect::Unlisten]));
    assert_all(Class::PrimaryRead, &["SELECT pg_listening_channels()"]);
}

#[test]
fn rows_24_and_25_sql_level_prepare_pins_until_it_is_deallocated() {
    let pin = |pin| vec![Effect::Pin(pin)];
    for (sql, effects) in [
        ("PREPARE x AS INSERT INTO t VALUES (1)", pin(Pin::Prepare)),
        ("PREPARE x (int) AS SELECT $1", pin(Pin::Prepare)),
        (
            "PREPARE x AS SELECT set_config('a', 'b', false)",
            [pin(Pin::SessionSetting), pin(Pin::Prepare)].concat(),
        ),
        ("EXECUTE x(1)", vec![]),
    ] {
        let found = classify(sql);
        assert_eq!((found.class, found.effects), (Class::Write, effects), "{sql}");
    }
    assert_eq!(classify("DEALLOCATE ALL").effects, [Effect::DeallocateAll]);
    assert_eq!(classify("DEALLOCATE PREPARE X").effects, [Effect::Deallocate("x".into())]);
    assert_eq!(classify("DEALLOCATE \"all\"").effects, [Effect::Deallocate("all".into())]);
}

#[test]
fn row_17_a_block_is_asked_for_and_pins_for_what_can_not_be_asked_for() {
    let left = |sql: &str| classify(sql).effects;
    assert_eq!(left("DO $$ BEGIN UPDATE t SET a = 1; SET LOCAL a = 1; END $$"), [Effect::Suspect]);
    for (sql, pin) in [
        ("DO $$ BEGIN PERFORM set_config('a', 'b', false); END $$", Pin::SessionSetting),
        ("DO LANGUAGE plpgsql $x$ BEGIN SET a = 1; END $x$", Pin::SessionSetting),
        ("DO 'begin if true then reset a; end if; end'", Pin::SessionSetting),
        ("DO $$ BEGIN LOAD 'auto_explain'; END $$", Pin::Load),
        ("DO E'BEGIN\\nPERFORM set_config(''a'', ''b'', false); END'", Pin::SessionSetting),
    ] {
        assert_eq!(left(sql), [Effect::Suspect, Effect::Pin(pin)], "{sql}");
    }
    assert_eq!(left("CALL p()"), [Effect::Suspect]);
    assert_eq!(left("CLOSE ALL"), [Effect::CloseCursor]);
}

#[test]
fn rows_27_to_29_cursors_are_of_their_transactions_server() {
    let found = classify("DECLARE c NO SCROLL CURSOR FOR SELECT * FROM t");
    assert_eq!((found.class, found.why, found.effects), (Class::Read, Why::Cursor, vec![]));
    let found = classify("DECLARE c CURSOR WITH HOLD FOR SELECT * FROM t");
    let pinned = (Class::PrimaryRead, vec![Effect::Pin(Pin::HoldCursor)]);
    assert_eq!((found.class, found.effects), pinned);
    assert_all(Class::Read, &["FETCH 10 FROM c", "MOVE c", "CLOSE c"]);
    assert_all(
        Class::Write,
        &[
            "DECLARE c CURSOR FOR SELECT * FROM t FOR UPDATE",
            "UPDATE t SET a = 1 WHERE CURRENT OF c",
        ],
    );
}

#[test]
fn row_32_load_pins() {
    assert_eq!(classify("LOAD 'auto_explain'").effects, [Effect::Pin(Pin::Load)]);
}

#[test]
fn row_33_one_write_makes_the_whole_text_a_write() {
    let found = classify("SELECT 1; INSERT INTO t VALUES (1); SELECT 2");
    assert_eq!((found.class, found.why, found.statements), (Class::Write, Why::DataModifying, 3));
    assert_all(Class::Read, &["SELECT 1; SELECT 2;", "SELECT ';'; SELECT $a$;$a$"]);
    let found = classify("BEGIN; SET a = 1; COMMIT; LISTEN x");
    let kinds: Vec<_> = found
        .effects
        .iter()
        .map(|effect| format!("{effect:?}").chars().take(5).collect::<String>())
        .collect();
    assert_eq!((kinds.join(" "), found.statements), ("Begin Set { Commi Pin(L".to_owned(), 4));
}

#[test]
fn row_35_nothing_is_empty() {
    for sql in ["", " ", ";", ";;", "-- x", "/* x */ ;"] {
        let found = classify(sql);
        assert_eq!(
            (found.class, found.why, found.statements),
            (Class::Read, Why::Empty, 0),
            "{sql:?}"
        );
    }
}

#[test]
fn row_36_what_is_not_known_is_a_write() {
    assert_all(
        Class::Write,
        &[
            "FROBNICATE t",
            "SELECT * FROM GRAPH_TABLE (g MATCH (a) COLUMNS (b))",
            "SELECT 1 FROM",
            "1",
        ],
    );
    assert_eq!(classify("FROBNICATE t").effects, [Effect::Pin(Pin::Unknown)]);
    assert!(classify("SELECT * FROM t WHERE frob nicate ~ 1 1").effects.is_empty());
    assert_all(Class::PrimaryRead, &["WAIT FOR LSN '0/1'"]);
}

#[test]
fn row_37_comments_and_strings_hide_nothing_and_show_nothing() {
    assert_all(
        Class::Read,
        &[
            "/* INSERT */ SELECT 1",
            "SELECT 'x FOR UPDATE'",
            "SELECT E'\\'; DELETE FROM t; --'",
            "SELECT $a$ ; DELETE FROM t $a$",
            "SELECT 1 /* /* */ ; DELETE FROM t */",
            "SELECT \"for update\" FROM t",
            "SELECT '\\d+', 'a\\\\'",
            "SELECT a FROM t WHERE b LIKE $1 ESCAPE '\\'",
            "SELECT a FROM t WHERE b LIKE $1 ESCAPE '\\' OR c LIKE $1 ESCAPE '\\'",
        ],
    );
    assert_all(
        Class::Write,
        &[
            "SELECT 1 -- x\r; DELETE FROM t",
            "SELECT 1 /* /* */ */ ; DELETE FROM t",
            "SELECT '\\'; DELETE FROM t; --'",
            "SELECT U&\"d\\0061ta\" FROM t",
            "SELECT U&\"\\006eextval\"('s')",
            "SELECT 'a\\'' FROM t WHERE b = '; DELETE FROM t; --'",
            "SELECT 'x",
            "SELECT E'a'\n'\\''; DELETE FROM t; --'"
                .replace("; DELETE", " ; DELETE")
                .replace("''; ", "'; ")
                .as_str(),
        ],
    );
}

#[test]
fn a_function_body_stays_one_statement() {
    let sql = "CREATE FUNCTION f(a int) RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; COMMIT; END; SELECT 1";
    let found = classify(sql);
    assert_eq!((found.statements, found.effects), (2, vec![Effect::SchemaChange]));
    let found = classify("CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM t2; LISTEN a)");
    assert_eq!((found.statements, found.effects), (1, vec![Effect::SchemaChange]));
}
