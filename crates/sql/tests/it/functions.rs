//! Pitfalls of functions, relations, operators and types.

use crate::common::{assert_all, assert_never_read, builder, catalog, class, classify};
use sql::{
    Catalog, CatalogError, CatalogPart, Class, Classifier, Effect, FunctionEffect, KeyedBy,
    Namespace, Pin, SearchPath, SetScope, Why,
};

#[test]
fn row_39_sequences_are_found_under_every_spelling() {
    assert_all(
        Class::Write,
        &[
            "SELECT nextval('s')",
            "SELECT setval('s', 1)",
            "SELECT pg_catalog.nextval('s')",
            "SELECT \"nextval\"('s')",
            "SELECT pg_catalog . \"nextval\" /* x */ ('s')",
            "SELECT ('s'::regclass).nextval",
            "SELECT (ARRAY['s'::regclass])[1].nextval",
            "SELECT NEXTVAL('s')",
        ],
    );
}

#[test]
fn row_40_currval_needs_the_session_that_drew() {
    for sql in ["SELECT currval('s')", "SELECT lastval()", "INSERT INTO t VALUES (currval('s'))"] {
        assert!(classify(sql).effects.contains(&Effect::Pin(Pin::SequenceValue)), "{sql}");
    }
    assert_eq!(class("SELECT lastval()"), Class::PrimaryRead);
}

#[test]
fn row_41_a_standby_may_be_ahead_in_sequences() {
    assert_all(Class::PrimaryRead, &["SELECT last_value FROM s", "SELECT * FROM pg_sequences"]);
}

#[test]
fn row_42_volatile_functions_write() {
    let found = classify("SELECT vol()");
    assert_eq!(
        (found.class, found.why, found.reaches_outside),
        (Class::Write, Why::VolatileFunction, true)
    );
    assert_all(
        Class::Write,
        &[
            "SELECT public.vol()",
            "SELECT * FROM vol()",
            "SELECT \"Vol\"()",
            "SELECT agg(a) FROM t",
            "SELECT by_default()",
            "SELECT overloaded(1)",
            "SELECT app.overloaded(1)",
            "SELECT lower('x')",
            "SELECT t.of_row FROM t",
            "SELECT (t).of_row FROM t",
            "SELECT unheard_of()",
            "SELECT elsewhere.lower('x')",
        ],
    );
    assert_eq!(classify("SELECT unheard_of()").why, Why::UnknownFunction);
}

#[test]
fn row_42_a_volatile_function_of_postgres_that_nobody_looked_at_writes() {
    let found =
        classify("SELECT pg_catalog.plpgsql_validator(1), binary_upgrade_set_missing_value()");
    assert_eq!((found.class, found.why), (Class::Write, Why::VolatileFunction));
}

#[test]
fn the_similarity_limit_is_the_sessions() {
    let found = classify("SELECT set_limit(0.5)");
    assert_eq!(
        (found.class, found.effects),
        (Class::Write, vec![Effect::Pin(Pin::SessionSetting)])
    );
}

#[test]
fn row_43_stable_and_immutable_functions_read() {
    assert_all(
        Class::Read,
        &["SELECT stab()", "SELECT public.overloaded(1)", "SELECT pg_catalog.lower('x')"],
    );
    let found = classify("SELECT in_python()");
    assert_eq!((found.class, found.reaches_outside), (Class::Read, true));
}

#[test]
fn config_decides_what_functions_do() {
    let mut builder = builder();
    builder.override_function("vol", FunctionEffect::Read);
    builder.override_function("public.stab", FunctionEffect::Write);
    builder.override_function("nextval", FunctionEffect::Read);
    let catalog = builder.finish(2);
    let class = |sql| Classifier::new().classify(sql, Some(&catalog)).class;
    assert_eq!(class("SELECT vol()"), Class::Read);
    assert_eq!(class("SELECT public.stab()"), Class::Write);
    assert_eq!(class("SELECT agg(a) FROM t"), Class::Read);
    assert_eq!(class("SELECT nextval('s')"), Class::Write);
    assert_eq!(catalog.version(), 2);
}

#[test]
fn row_44_views_do_what_they_call_and_read() {
    assert_all(Class::Read, &["SELECT * FROM v"]);
    assert_all(Class::Write, &["SELECT * FROM v_vol", "SELECT * FROM v_over_v"]);
    assert_eq!(classify("SELECT * FROM v_over_v").why, Why::VolatileView);
    assert_all(Class::PrimaryRead, &["SELECT * FROM v_locks"]);
}

#[test]
fn row_45_operators_types_and_policies_call_functions() {
    let why = |sql| (class(sql), classify(sql).why);
    assert_eq!(why("SELECT 1 #@# 2"), (Class::Write, Why::VolatileFunction));
    assert_eq!(why("SELECT 1 OPERATOR(public.#@#) 2"), (Class::Write, Why::VolatileFunction));
    assert_eq!(why("SELECT 1 <~~~> 2"), (Class::Write, Why::UnknownOperator));
    assert_eq!(why("SELECT 1::checked"), (Class::Write, Why::UnknownType));
    assert_eq!(why("SELECT CAST(x AS public.pair[]) FROM t"), (Class::Write, Why::UnknownType));
    assert_eq!(why("SELECT 1::nowhere"), (Class::Write, Why::UnknownType));
    assert_eq!(why("SELECT * FROM secured"), (Class::Write, Why::RowSecurity));
    assert_all(
        Class::Read,
        &["SELECT mood('a')", "SELECT 1 &&& 2", "SELECT 'a'::mood", "SELECT mood 'a'"],
    );
    assert_all(
        Class::Write,
        &[
            "SELECT checked(1)",
            "SELECT checked '1'",
            "SELECT * FROM json_populate_record(null::t, '{}')",
            "SELECT * FROM json_to_record('{}') AS x(a checked)",
        ],
    );
}

#[test]
fn implicit_casts_and_common_operators_count_everywhere() {
    for (part, row) in [
        (CatalogPart::Calls, &["a", "0", "20001", "public", "vol"][..]),
        (CatalogPart::Operators, &["app", "=", "20001", "public", "vol"]),
    ] {
        let mut builder = builder();
        let columns: Vec<_> = row.iter().copied().map(Some).collect();
        builder.row(part, &columns).unwrap();
        let found = Classifier::new().classify("SELECT 1", Some(&builder.finish(1)));
        assert_eq!(found.class, Class::Write, "{row:?}");
    }
}

#[test]
fn rows_46_and_47_sql_hidden_in_strings_and_wrong_labels() {
    assert_all(
        Class::Write,
        &[
            "SELECT query_to_xml('select nextval(''s'')', true, true, '')",
            "SELECT cursor_to_xml('c', 1, true, true, '')",
            "SELECT table_to_xml('v_vol', true, true, '')",
            "SELECT * FROM ts_stat('select vol()')",
            "SELECT txid_current()",
            "SELECT pg_current_xact_id()",
            // The type's input function, which a domain's check may make do anything.
            "SELECT pg_input_is_valid('1', 'checked')",
            // Loads a library.
            "SELECT fmgr_c_validator(1)",
            "SELECT * FROM crosstab('SELECT vol(), 2, 3') AS x(a int, b int)",
        ],
    );
    assert_all(
        Class::PrimaryRead,
        &["SELECT txid_current_if_assigned()", "SELECT pg_current_snapshot()"],
    );
}

#[test]
fn row_49_exported_snapshots_are_the_primarys_and_end_with_their_transaction() {
    for sql in ["SELECT pg_export_snapshot()", "SET TRANSACTION SNAPSHOT '1-1'"] {
        let found = classify(sql);
        assert!(found.class > Class::Read && found.effects.is_empty(), "{sql}");
    }
}

#[test]
fn rows_50_to_52_advisory_locks_pin_unless_of_the_transaction() {
    for sql in [
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_lock_shared(1, 2)",
        "SELECT pg_catalog.pg_advisory_lock($1)",
        "SELECT \"pg_advisory_lock\"(a) FROM t",
        "UPDATE t SET a = 1 WHERE pg_try_advisory_lock(a)",
        "SELECT 1 WHERE frob nicate (pg_advisory_lock(1))",
    ] {
        let found = classify(sql);
        assert_eq!(
            (found.class, found.effects),
            (Class::Write, vec![Effect::Pin(Pin::AdvisoryLock)]),
            "{sql}"
        );
    }
    for sql in ["SELECT pg_advisory_unlock_all()", "SELECT pg_advisory_unlock_shared($1)"] {
        let found = classify(sql);
        assert_eq!((found.class, found.effects), (Class::Write, vec![Effect::Unlock]), "{sql}");
    }
    let found = classify("SELECT pg_advisory_xact_lock(1)");
    assert_eq!((found.class, found.effects), (Class::Write, vec![]));
}

#[test]
fn rows_53_and_54_set_config_is_a_set_or_a_pin() {
    let set = |name: &str, value: &str, scope| Effect::Set {
        name: name.into(),
        value: Some(value.into()),
        scope,
    };
    let found = classify("SELECT pg_catalog.set_config('App.X', 'it''s', false) AS a");
    assert_eq!(found.effects, [set("app.x", "it's", SetScope::Session)]);
    assert_eq!((found.class, found.keyed_by), (Class::PrimaryRead, KeyedBy::Text));
    let found = classify("select set_config('a', 'b', true), set_config('c', 'd', false)");
    assert_eq!(found.effects, [set("a", "b", SetScope::Local), set("c", "d", SetScope::Session)]);
    for sql in [
        "SELECT set_config('a', $1 || 'b', false)",
        "SELECT a, set_config('a', 'b', false) FROM t",
        "SELECT set_config('a', 'b', false) WHERE false",
        "SELECT set_config('a', 'b', not true)",
        "INSERT INTO t SELECT set_config('a', 'b', false)",
        "SELECT set_config('a', E'\\x', false)",
    ] {
        let found = classify(sql);
        assert!(found.effects.contains(&Effect::Pin(Pin::SessionSetting)), "{sql}");
        assert!(found.class > Class::Read && found.keyed_by == KeyedBy::Text, "{sql}");
    }
    assert!(classify("SELECT set_config('a', $1 || 'b', true)").effects.is_empty());
}

#[test]
fn row_53_set_config_with_parameters_is_understood_once_they_are_known() {
    let resolved = |sql: &str, params: &[Option<&str>]| {
        let found = classify(sql);
        let [Effect::SetConfig(call)] = found.effects.as_slice() else {
            panic!("{sql}: {:?}", found.effects)
        };
        call.resolve(|number| params.get(usize::from(number) - 1).copied())
    };
    let set = |value: Option<&str>, scope| {
        Some(Effect::Set { name: "a.b".into(), value: value.map(Into::into), scope })
    };
    let all = "SELECT set_config($1, $2, $3)";
    assert_eq!(
        resolved(all, &[Some("A.b"), Some("x"), Some("f")]),
        set(Some("x"), SetScope::Session)
    );
    assert_eq!(
        resolved(all, &[Some("a.b"), Some("x"), Some("T")]),
        set(Some("x"), SetScope::Local)
    );
    assert_eq!(resolved(all, &[Some("a.b"), None, Some("\u{1}")]), set(None, SetScope::Local));
    assert_eq!(resolved(all, &[None, Some("x"), Some("f")]), None, "NULL sets nothing");
    assert_eq!(resolved(all, &[Some("a.b"), Some("x")]), None, "$3 is missing");
    let cast = "select pg_catalog.set_config('a.b', $1::text, false)";
    assert_eq!(resolved(cast, &[Some("y")]), set(Some("y"), SetScope::Session));
    // Without parameters nothing is left to be known.
    let null = classify("SELECT set_config('a.b', NULL, false)");
    assert_eq!(null.effects, [set(None, SetScope::Session).unwrap()]);
}

#[test]
fn rows_55_to_58_large_objects_and_the_outside() {
    assert_never_read(&[
        "SELECT lo_create(0)",
        "SELECT lo_import('/x')",
        "SELECT loread(lo_open(1, 1), 1)",
        "SELECT lo_put(1, 0, '')",
    ]);
    for sql in [
        "SELECT dblink_exec('x', 'y')",
        "SELECT * FROM dblink('x', 'y') AS t(a int)",
        "SELECT * FROM remote",
        "SELECT lo_export(1, '/x')",
    ] {
        let found = classify(sql);
        assert!(found.class > Class::Read && found.reaches_outside, "{sql}");
    }
}

#[test]
fn rows_59_to_62_what_belongs_to_one_server() {
    assert_never_read(&[
        "SELECT pg_cancel_backend(1)",
        "SELECT pg_create_physical_replication_slot('x')",
        "SELECT pg_switch_wal()",
        "SELECT pg_create_restore_point('x')",
        "SELECT pg_logical_emit_message(true, 'a', 'b')",
    ]);
    assert_all(
        Class::PrimaryRead,
        &[
            "SELECT pg_backend_pid()",
            "SELECT * FROM pg_stat_activity",
            "SELECT * FROM pg_catalog.pg_locks",
            "SELECT * FROM pg_stat_replication",
            "SELECT * FROM pg_replication_slots",
            "SELECT * FROM pg_settings",
            "SELECT * FROM pg_stat_statements",
            "SELECT pg_current_wal_lsn()",
            "SELECT pg_is_in_recovery()",
            "SELECT inet_server_addr()",
            "SELECT version()",
            "SELECT pg_relation_size('cache'), pg_database_size('app')",
            "SELECT pg_collation_actual_version(1), icu_unicode_version()",
            "SELECT * FROM pg_get_backend_memory_contexts()",
            "SELECT * FROM pg_hba_file_rules()",
            "SELECT current_setting('in_hot_standby')",
            "SELECT current_setting($1)",
        ],
    );
}

#[test]
fn rows_63_to_65_volatile_yet_harmless() {
    assert_all(
        Class::Read,
        &[
            "SELECT random(), gen_random_uuid(), clock_timestamp(), pg_sleep(1), now(), statement_timestamp()",
            "SELECT current_user, current_setting('app.tenant')::int",
            "SELECT * FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace",
        ],
    );
    assert_eq!(classify("SELECT current_setting('app.tenant')").keyed_by, KeyedBy::Text);
}

#[test]
fn rows_66_to_69_relations_that_standbys_lack() {
    let why = |sql| (class(sql), classify(sql).why);
    assert_eq!(why("SELECT * FROM cache"), (Class::PrimaryRead, Why::UnloggedRelation));
    assert_eq!(why("SELECT * FROM v_cache"), (Class::PrimaryRead, Why::UnloggedRelation));
    assert_eq!(why("SELECT * FROM parent"), (Class::PrimaryRead, Why::UnloggedRelation));
    assert_eq!(why("SELECT * FROM hot"), (Class::PrimaryRead, Why::UnloggedRelation));
    assert_eq!(why("SELECT * FROM public.hot"), (Class::Read, Why::ReadOnly));
    assert_eq!(why("SELECT * FROM pg_temp.t"), (Class::PrimaryRead, Why::TemporaryRelation));
    assert_eq!(why("SELECT * FROM nowhere"), (Class::Write, Why::UnknownRelation));
    assert_eq!(why("SELECT * FROM \"T\""), (Class::Write, Why::UnknownRelation));
}

#[test]
fn names_of_with_are_known_within_their_query_only() {
    assert_all(
        Class::Read,
        &[
            "WITH nowhere AS (SELECT 1) SELECT * FROM nowhere",
            "WITH cache AS (SELECT 1) SELECT * FROM (SELECT * FROM cache) x",
        ],
    );
    assert_never_read(&[
        "SELECT * FROM (WITH cache AS (SELECT 1) SELECT * FROM cache) x, cache",
        "WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a",
        "WITH cache AS (SELECT * FROM cache) SELECT * FROM cache",
        "WITH cache AS (SELECT 1) SELECT * FROM public.cache",
    ]);
}

#[test]
fn without_a_catalog_nothing_is_a_read() {
    let found = Classifier::new().classify("SELECT * FROM t", None);
    assert_eq!((found.class, found.why), (Class::PrimaryRead, Why::CatalogMissing));
    let found = Classifier::new().classify("SELECT pg_advisory_lock(1)", None);
    assert_eq!(found.effects, [Effect::Pin(Pin::AdvisoryLock)]);
}

#[test]
fn a_function_that_sets_something_for_the_session_pins_and_makes_writes_doubtful() {
    let mut builder = builder();
    let row = ["1", "public", "set_tenant", "s", "f", "f", "s", "", "f"].map(Some);
    builder.row(CatalogPart::Functions, &row).unwrap();
    let catalog = builder.finish(2);
    let found = |sql: &str| Classifier::new().classify(sql, Some(&catalog));
    let called = found("SELECT set_tenant(1)");
    assert_eq!(called.class, Class::Write);
    assert!(called.effects.contains(&Effect::Pin(Pin::SessionSetting)));
    assert_eq!(found("INSERT INTO t VALUES (1)").effects, [Effect::MayHaveSet]);
    assert!(found("SELECT a FROM t").effects.is_empty());
}

#[test]
fn a_function_that_leaves_what_can_be_asked_for_has_the_server_asked() {
    let mut builder = builder();
    let row = ["1", "public", "lock_it", "v", "f", "f", "o", "", "f"].map(Some);
    builder.row(CatalogPart::Functions, &row).unwrap();
    let catalog = builder.finish(2);
    let called = Classifier::new().classify("SELECT lock_it(1)", Some(&catalog));
    assert_eq!((called.class, called.effects), (Class::Write, vec![Effect::Suspect]));
}

#[test]
fn rows_of_another_shape_are_refused() {
    let mut builder = builder();
    let row = ["1", "public", "f", "x", "f", "f", "n", "", "f"].map(Some);
    assert_eq!(
        builder.row(CatalogPart::Functions, &row),
        Err(CatalogError { part: CatalogPart::Functions, column: 3 })
    );
    assert!(builder.row(CatalogPart::Functions, &row[..5]).is_err());
    assert!(
        builder
            .row(CatalogPart::Relations, &[Some("x"), Some("a"), Some("b"), Some("r"), Some("p")])
            .is_err()
    );
    assert!(
        builder
            .row(CatalogPart::Relations, &[None, Some("a"), Some("b"), Some("r"), Some("p")])
            .is_err()
    );
}

/// Queries with a place for an expression.
const PLACES: &[&str] = &[
    "SELECT @",
    "SELECT a, @ AS b FROM t",
    "SELECT * FROM t WHERE @ > 1",
    "SELECT * FROM t ORDER BY @",
    "SELECT * FROM t LIMIT @",
    "SELECT * FROM t OFFSET @",
    "SELECT * FROM t FETCH FIRST (@) ROWS ONLY",
    "SELECT sum(a) OVER (PARTITION BY @) FROM t",
    "SELECT sum(a) OVER (ORDER BY @) FROM t",
    "SELECT sum(a) OVER (ROWS @ PRECEDING) FROM t",
    "SELECT sum(a) OVER (ROWS BETWEEN 1 PRECEDING AND @ FOLLOWING) FROM t",
    "SELECT sum(a) OVER w FROM t WINDOW w AS (ORDER BY @)",
    "SELECT CASE @ WHEN 1 THEN 2 END",
    "SELECT CASE WHEN @ > 1 THEN 2 END",
    "SELECT CASE WHEN a THEN @ END FROM t",
    "SELECT CASE WHEN a THEN 1 ELSE @ END FROM t",
    "SELECT sum(a) FILTER (WHERE @ > 1) FROM t",
    "VALUES (1, @)",
    "VALUES (1), (@)",
    "SELECT * FROM t JOIN t2 ON t.a = @",
    "SELECT * FROM t LEFT JOIN (t2 JOIN t AS x ON @ > 1) ON true",
    "SELECT * FROM t, LATERAL (SELECT @) x",
    "SELECT a[@] FROM t",
    "SELECT a[1:@] FROM t",
    "SELECT ARRAY[1, @]",
    "WITH x AS (SELECT @) SELECT * FROM x",
    "WITH x AS MATERIALIZED (SELECT 1) SELECT @ FROM x",
    "SELECT (SELECT @)",
    "SELECT EXISTS (SELECT @)",
    "SELECT ARRAY(SELECT @)",
    "SELECT a FROM t GROUP BY a, @",
    "SELECT 1 FROM t GROUP BY GROUPING SETS ((a), (@))",
    "SELECT 1 FROM t GROUP BY ROLLUP (@)",
    "SELECT 1 FROM t GROUP BY CUBE (a, @)",
    "SELECT a FROM t GROUP BY a HAVING @ > 1",
    "SELECT DISTINCT ON (@) a FROM t",
    "SELECT * FROM t TABLESAMPLE SYSTEM (@)",
    "SELECT * FROM t TABLESAMPLE SYSTEM (1) REPEATABLE (@)",
    "SELECT abs(@)",
    "SELECT coalesce(a, @) FROM t",
    "SELECT * FROM generate_series(1, @)",
    "SELECT * FROM unnest(ARRAY[@])",
    "SELECT * FROM ROWS FROM (generate_series(1, @))",
    "SELECT array_agg(a ORDER BY @) FROM t",
    "SELECT string_agg(DISTINCT b, @) FROM t",
    "SELECT percentile_cont(@) WITHIN GROUP (ORDER BY a) FROM t",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY @) FROM t",
    "SELECT a IN (1, @) FROM t",
    "SELECT @ IN (SELECT a FROM t)",
    "SELECT a BETWEEN 1 AND @ FROM t",
    "SELECT a BETWEEN @ AND 1 FROM t",
    "SELECT make_interval(days => @)",
    "SELECT make_interval(days := @)",
    "SELECT a LIKE 'x' ESCAPE @ FROM t",
    "SELECT @ LIKE 'x'",
    "SELECT a = ANY (ARRAY[@]) FROM t",
    "SELECT a > ALL (SELECT @) FROM t",
    "SELECT (1, @) = (1, 2)",
    "SELECT ROW(1, @)",
    "SELECT (@)::text",
    "SELECT CAST(@ AS text)",
    "SELECT - @",
    "SELECT NOT (@ > 1)",
    "SELECT @ IS NULL",
    "SELECT @ IS DISTINCT FROM 1",
    "SELECT 1 + @",
    "SELECT @ + 1",
    "SELECT 1 = 2 OR @ > 1",
    "SELECT now() AT TIME ZONE @",
    "SELECT @ COLLATE \"C\"",
    "SELECT extract(day from @)",
    "SELECT substring('a' from @)",
    "SELECT substring('a' from 1 for @)",
    "SELECT trim(both @ from 'a')",
    "SELECT position('a' in @)",
    "SELECT overlay('a' placing @ from 1)",
    "SELECT overlay('a' placing 'b' from 1 for @)",
    "SELECT (@).*",
    "SELECT (@).x",
    "SELECT 1 UNION SELECT @",
    "(SELECT @) INTERSECT SELECT 1",
    "SELECT 1 UNION ALL (SELECT 2 ORDER BY @)",
    "COPY (SELECT @) TO STDOUT",
    "EXPLAIN ANALYZE SELECT @",
    "DECLARE c CURSOR FOR SELECT @",
    "SELECT format('a', VARIADIC ARRAY[@])",
    "SELECT json_object('a': @)",
    "SELECT xmlforest(@)",
    "SELECT a -> @ FROM t",
    "SELECT @ -> 'a'",
    "SELECT a #@# @ FROM t",
    "SELECT a ~~ ANY (ARRAY['x', @]) FROM t",
    "SELECT grouping(@)",
    "SELECT * FROM (VALUES (@)) AS x(a)",
    "SELECT * FROM t x(a, b) WHERE @ > 1",
    "SELECT * FROM json_to_record(@) AS x(a int)",
    "SELECT nullif(1, @)",
    "SELECT interval '1' * @",
];

/// Whatever stands for an expression, a volatile call in its place is seen.
#[test]
fn a_volatile_call_is_seen_in_every_place_of_a_query() {
    let calls = [
        "vol()",
        "public.vol()",
        "nextval('s')",
        "\"vol\" ( 1 )",
        "('s'::regclass).nextval",
        "pg_advisory_lock(1)",
        "unheard_of(1)",
    ];
    let catalog = catalog();
    let mut wrong = Vec::new();
    for place in PLACES {
        for call in calls {
            let sql = place.replace('@', call);
            if Classifier::new().classify(&sql, Some(&catalog)).class != Class::Write {
                wrong.push(sql);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // The places are real ones: nearly all of them are reads when what stands there is harmless.
    let read = |place: &&&str| {
        Classifier::new().classify(&place.replace('@', "stab(1)"), Some(&catalog)).class
            == Class::Read
    };
    let lost: Vec<_> = PLACES.iter().filter(|place| !read(place)).collect();
    assert!(lost.len() < 8, "{lost:#?}");
}

#[test]
fn the_builtin_catalog_knows_no_relation_of_users() {
    let builtin = Catalog::builtin_only();
    let class = |sql| Classifier::new().classify(sql, Some(&builtin)).class;
    assert_eq!((class("SELECT 1"), class("SELECT * FROM t")), (Class::Read, Class::Write));
}

#[test]
fn a_known_search_path_rules_out_what_is_elsewhere() {
    let catalog = catalog();
    let under = |sql, path| {
        let path = SearchPath::parse(path);
        let space = Namespace { catalog: Some(&catalog), path: path.as_ref() };
        Classifier::new().classify(sql, space)
    };
    // Two of these are harmless in `public` and not in `app`.
    for sql in ["SELECT overloaded(1)", "SELECT lower('A')", "SELECT a FROM hot"] {
        let anywhere = Classifier::new().classify(sql, Some(&catalog));
        assert_eq!((anywhere.class > Class::Read, anywhere.keyed_by), (true, KeyedBy::SearchPath));
        assert_eq!(under(sql, "public").class, Class::Read, "{sql}");
        assert_eq!(under(sql, "other, public").class, Class::Read, "{sql}");
        for path in ["app", "public, app", "app, public", "\"$user\", public"] {
            assert_eq!(under(sql, path).class, anywhere.class, "{sql} under {path}");
        }
    }
    // A schema that is named counts, whatever the path is.
    assert_eq!(under("SELECT app.overloaded(1)", "public").class, Class::Write);
    assert_eq!(under("SELECT 1 OPERATOR(public.#@#) 2", "app").class, Class::Write);
    assert_eq!(under("SELECT 1 #@# 2", "app").why, Why::UnknownOperator);
    assert_eq!(under("SELECT t.* FROM t", "app").class, Class::Read);
}

#[test]
fn a_search_path_counts_until_something_may_have_changed_it() {
    let catalog = catalog();
    let path = SearchPath::parse("public").unwrap();
    let space = Namespace { catalog: Some(&catalog), path: Some(&path) };
    for before in
        ["SET search_path = app", "SELECT set_config('search_path', 'app', true)", "ROLLBACK"]
    {
        let sql = format!("{before}; SELECT overloaded(1)");
        assert_eq!(Classifier::new().classify(&sql, space).class, Class::Write, "{sql}");
    }
    let sql = "SELECT a FROM t; SELECT overloaded(1)";
    assert_eq!(Classifier::new().classify(sql, space).class, Class::Read);
}

#[test]
fn assumed_tables_are_read_and_nothing_else_is_assumed() {
    let mut builder = builder();
    builder.assume_tables();
    let catalog = builder.finish(1);
    let found = |sql| Classifier::new().classify(sql, Some(&catalog));
    for sql in ["SELECT * FROM unheard_of", "SELECT a FROM app.unheard_of", "TABLE t"] {
        assert_eq!(found(sql).class, Class::Read, "{sql}");
    }
    for sql in [
        "SELECT unheard_of()",
        "SELECT 'x'::unheard_of",
        "SELECT 1 @#@#@ 2",
        "SELECT * FROM pg_unheard_of",
        "SELECT * FROM pg_catalog.unheard_of",
        "SELECT * FROM information_schema.unheard_of",
        "SELECT * FROM v_vol",
        "SELECT * FROM cache",
        "SELECT * FROM pg_temp.unheard_of",
    ] {
        assert_ne!(found(sql).class, Class::Read, "{sql}");
    }
}

/// The class of a call of each of these functions in SQL, given as name and body.
fn calls(bodies: &[(&str, &str)]) -> Vec<Class> {
    let mut builder = builder();
    for (number, (name, body)) in (50_000..).zip(bodies) {
        let oid = i32::to_string(&number);
        let row = [&oid, "public", name, "v", "f", "f", "n", body, "f"].map(Some);
        assert_eq!(builder.row(CatalogPart::Functions, &row), Ok(()));
    }
    let catalog = builder.finish(1);
    let class =
        |name: &str| Classifier::new().classify(&format!("SELECT {name}(1)"), Some(&catalog)).class;
    bodies.iter().map(|(name, _)| class(name)).collect()
}

#[test]
fn row_42_a_function_in_sql_is_what_its_body_is() {
    for reads in [
        "SELECT $1 + 1",
        "SELECT a FROM t WHERE a = arg; SELECT random()",
        "SELECT stab(1); ",
        "TABLE t",
    ] {
        assert_eq!(calls(&[("f", reads)]), [Class::Read], "{reads}");
    }
    for writes in [
        "INSERT INTO t VALUES ($1) RETURNING a",
        "SELECT vol()",
        "SELECT a FROM t FOR UPDATE",
        "SELECT nextval('s')",
        "SET LOCAL work_mem = '1MB'; SELECT 1",
        "SELECT set_config('a.b', 'c', true)",
        "SELECT unheard_of()",
        "SELECT a FROM remote",
        "NOTIFY x",
        "SELECT 'not closed",
        "/* nothing */",
    ] {
        assert!(calls(&[("f", writes)])[0] > Class::Read, "{writes}");
    }
}

#[test]
fn doubt_spreads_to_functions_that_call_each_other() {
    let (read, write) = (Class::Read, Class::Write);
    let turns = [("f", "SELECT g($1)"), ("g", "SELECT h($1) + f($1)"), ("h", "SELECT f($1)")];
    assert_eq!(calls(&turns), [read, read, read], "they do nothing but call each other");
    let turns =
        [("f", "SELECT g($1)"), ("g", "SELECT h($1) + f($1)"), ("h", "SELECT f($1), vol()")];
    assert_eq!(calls(&turns), [write, write, write]);
    let apart =
        [("f", "SELECT g($1)"), ("g", "DELETE FROM t"), ("h", "SELECT 1"), ("i", "SELECT h(1)")];
    assert_eq!(calls(&apart), [write, write, read, read]);
}

#[test]
fn what_config_says_of_a_function_stands_against_its_body() {
    let mut builder = builder();
    let row = ["50000", "public", "f", "v", "f", "f", "n", "SELECT 1", "f"].map(Some);
    builder.row(CatalogPart::Functions, &row).unwrap();
    builder.override_function("f", FunctionEffect::Write);
    let catalog = builder.finish(1);
    assert_eq!(Classifier::new().classify("SELECT f()", Some(&catalog)).class, Class::Write);
}

#[test]
fn row_45_a_type_may_be_named_like_a_key_word() {
    let mut builder = builder();
    for (oid, name) in [("60001", "uescape"), ("60002", "cycle"), ("60003", "version")] {
        let rows = [
            (CatalogPart::Types, vec![oid, "public", name, ""]),
            (CatalogPart::Calls, vec!["t", oid, "20001", "public", "vol"]),
        ];
        for (part, row) in rows {
            let row: Vec<_> = row.into_iter().map(Some).collect();
            assert_eq!(builder.row(part, &row), Ok(()));
        }
    }
    let catalog = builder.finish(1);
    for sql in ["SELECT uescape 'x'", "SELECT cycle 'x', 1", "SELECT public.version 'x'"] {
        let found = Classifier::new().classify(sql, Some(&catalog));
        assert_eq!((found.class, found.why), (Class::Write, Why::UnknownType), "{sql}");
    }
}
