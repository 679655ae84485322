//! Transactions, settings and what else a session must remember.

use crate::common::{assert_all, classify};
use sql::{
    Access, Chain, Class, Deferrable, Effect, Isolation, KeyedBy, Pin, SetScope, TxModes, Why,
};

fn effects(sql: &str) -> Vec<Effect> {
    classify(sql).effects
}

fn set(name: &str, value: Option<&str>, scope: SetScope) -> Vec<Effect> {
    vec![Effect::Set { name: name.into(), value: value.map(Into::into), scope }]
}

fn session(name: &str, value: &str) -> Vec<Effect> {
    set(name, Some(value), SetScope::Session)
}

#[test]
fn row_26_two_phase_commands_are_writes() {
    assert_eq!(effects("PREPARE TRANSACTION 'x'"), [Effect::PrepareTransaction]);
    assert_all(
        Class::Write,
        &["PREPARE TRANSACTION 'x'", "COMMIT PREPARED 'x'", "ROLLBACK PREPARED 'x'"],
    );
    assert!(effects("COMMIT PREPARED 'x'").is_empty());
}

#[test]
fn row_30_savepoints_and_constraints_stay_on_the_transactions_server() {
    assert_all(
        Class::Read,
        &["SAVEPOINT a", "RELEASE a", "ROLLBACK TO a", "SET CONSTRAINTS ALL DEFERRED"],
    );
    assert_eq!(
        effects("SAVEPOINT a; RELEASE SAVEPOINT a"),
        [Effect::Savepoint("a".into()), Effect::ReleaseSavepoint("a".into())]
    );
    for sql in ["ROLLBACK TO a", "ROLLBACK WORK TO SAVEPOINT a", "ABORT TRANSACTION TO a"] {
        assert_eq!(effects(sql), [Effect::RollbackToSavepoint("a".into())], "{sql}");
    }
}

#[test]
fn row_31_show_asks_the_primary() {
    assert_all(Class::PrimaryRead, &["SHOW in_hot_standby", "SHOW ALL", "SHOW weir.lsn"]);
    for (sql, name) in [
        ("SHOW Work_Mem", "work_mem"),
        ("SHOW ALL", "all"),
        ("SHOW TIME ZONE", "timezone"),
        ("SHOW TRANSACTION ISOLATION LEVEL", "transaction_isolation"),
        ("SHOW session authorization", "session_authorization"),
        ("SHOW weir.last_route", "weir.last_route"),
        ("SHOW \"weir\".\"lsn\"", "weir.lsn"),
    ] {
        assert_eq!(effects(sql), [Effect::Show(name.into())], "{sql}");
    }
}

#[test]
fn rows_72_to_76_modes_say_where_a_transaction_may_begin() {
    let begin = |sql: &str| (classify(sql).class, effects(sql));
    let modes = TxModes::default();
    assert_eq!(begin("BEGIN"), (Class::PrimaryRead, vec![Effect::Begin(modes)]));
    let modes = TxModes { access: Some(Access::ReadOnly), ..modes };
    for sql in [
        "BEGIN READ ONLY",
        "START TRANSACTION READ ONLY",
        "begin work read only",
        "BEGIN READ WRITE, READ ONLY",
    ] {
        assert_eq!(begin(sql), (Class::Read, vec![Effect::Begin(modes)]), "{sql}");
    }
    let modes = TxModes { isolation: Some(Isolation::RepeatableRead), ..modes };
    assert_eq!(
        begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        (Class::Read, vec![Effect::Begin(modes)])
    );
    let modes = TxModes {
        isolation: Some(Isolation::Serializable),
        deferrable: Some(Deferrable::Yes),
        access: modes.access,
    };
    let sql = "BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE";
    assert_eq!(begin(sql), (Class::PrimaryRead, vec![Effect::Begin(modes)]));
    assert_eq!(begin("BEGIN FROBNICATE").0, Class::Write);
}

#[test]
fn rows_72_to_75_modes_of_the_current_and_of_later_transactions() {
    let write = TxModes { access: Some(Access::ReadWrite), ..TxModes::default() };
    assert_eq!(effects("SET TRANSACTION READ WRITE"), [Effect::SetTransaction(write)]);
    assert_eq!(effects("SET LOCAL TRANSACTION READ WRITE"), [Effect::SetTransaction(write)]);
    assert_all(
        Class::PrimaryRead,
        &["SET TRANSACTION READ WRITE", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"],
    );
    assert_all(Class::Read, &["SET TRANSACTION READ ONLY", "SET TRANSACTION NOT DEFERRABLE"]);
    let found = classify("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE");
    assert_eq!(
        (found.class, found.effects),
        (Class::PrimaryRead, session("default_transaction_read_only", "off"))
    );
    let sql = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, DEFERRABLE";
    assert_eq!(
        effects(sql),
        [
            session("default_transaction_isolation", "serializable"),
            session("default_transaction_deferrable", "on"),
        ]
        .concat()
    );
    assert_eq!(
        effects("SET default_transaction_read_only = off"),
        session("default_transaction_read_only", "off")
    );
    assert_all(
        Class::PrimaryRead,
        &["SET LOCAL transaction_read_only = off", "SET transaction_isolation = 'serializable'"],
    );
}

#[test]
fn row_81_a_chained_transaction_follows() {
    for (sql, chain) in [
        ("COMMIT", Chain::No),
        ("END TRANSACTION", Chain::No),
        ("COMMIT WORK AND NO CHAIN", Chain::No),
        ("COMMIT AND CHAIN", Chain::Yes),
    ] {
        assert_eq!(
            (classify(sql).class, effects(sql)),
            (Class::Read, vec![Effect::Commit { chain }]),
            "{sql}"
        );
    }
    assert_eq!(effects("ROLLBACK AND CHAIN"), [Effect::Rollback { chain: Chain::Yes }]);
    assert_eq!(effects("ABORT"), [Effect::Rollback { chain: Chain::No }]);
}

#[test]
fn rows_84_to_86_settings_are_remembered_as_set_config_takes_them() {
    for (sql, name, value) in [
        ("SET Work_Mem = '64MB'", "work_mem", "64MB"),
        ("SET SESSION work_mem TO 64", "work_mem", "64"),
        ("SET x.y = -1.5", "x.y", "-1.5"),
        ("SET app.User = 'it''s'", "app.user", "it's"),
        ("SET a TO On", "a", "on"),
        ("SET a = true", "a", "true"),
        ("SET search_path TO a, b", "search_path", "a, b"),
        (
            "SET search_path = \"$user\", Public, 'My Schema'",
            "search_path",
            "\"$user\", public, \"My Schema\"",
        ),
        ("SET search_path TO 'a, b'", "search_path", "\"a, b\""),
        ("SET DateStyle TO ISO, DMY", "datestyle", "iso, dmy"),
        ("SET TIME ZONE 'Europe/Rome'", "timezone", "Europe/Rome"),
        ("SET SESSION TIME ZONE -7", "timezone", "-7"),
        ("SET timezone = UTC", "timezone", "utc"),
        ("SET NAMES 'UTF8'", "client_encoding", "UTF8"),
        ("SET SCHEMA 'x'", "search_path", "x"),
        ("SET weir.consistency = strong", "weir.consistency", "strong"),
        ("SET a = $x$b$x$", "a", "b"),
        ("SET a = E'b'", "a", "b"),
        ("SET local.x = 1", "local.x", "1"),
        ("SET session TO 1", "session", "1"),
    ] {
        let found = classify(sql);
        assert_eq!((found.class, found.keyed_by), (Class::PrimaryRead, KeyedBy::Text), "{sql}");
        assert_eq!(found.effects, session(name, value), "{sql}");
    }
    assert_eq!(effects("SET a TO DEFAULT"), set("a", None, SetScope::Session));
    assert_eq!(effects("SET TIME ZONE LOCAL"), set("timezone", None, SetScope::Session));
    assert_eq!(
        effects("SET LOCAL weir.route = primary"),
        set("weir.route", Some("primary"), SetScope::Local)
    );
    assert_all(Class::Read, &["SET LOCAL statement_timeout = '1s'"]);
}

#[test]
fn a_setting_that_is_not_understood_pins() {
    for sql in [
        "SET a = $1",
        "SET a FROM CURRENT",
        "SET TIME ZONE INTERVAL '1' HOUR",
        "SET a = E'\\x41'",
        "SET a",
        "SET a = 'b' c",
        "SET a = 'x\\y'",
    ] {
        assert_eq!(effects(sql), [Effect::Pin(Pin::SessionSetting)], "{sql}");
    }
}

#[test]
fn rows_87_and_88_resets() {
    assert_eq!(effects("RESET Work_Mem"), [Effect::Reset("work_mem".into())]);
    assert_eq!(effects("RESET TIME ZONE"), [Effect::Reset("timezone".into())]);
    assert_eq!(effects("RESET ALL"), [Effect::ResetAll]);
    for (sql, effect) in [
        ("DISCARD ALL", Effect::DiscardAll),
        ("DISCARD PLANS", Effect::DiscardPlans),
        ("DISCARD TEMPORARY", Effect::DiscardTemp),
        ("DISCARD TEMP", Effect::DiscardTemp),
        ("DISCARD SEQUENCES", Effect::DiscardSequences),
    ] {
        assert_eq!(effects(sql), [effect], "{sql}");
        assert_eq!(classify(sql).class, Class::PrimaryRead);
    }
}

#[test]
fn row_89_roles_are_settings() {
    assert_eq!(effects("SET ROLE admin"), session("role", "admin"));
    assert_eq!(effects("SET ROLE NONE"), session("role", "none"));
    assert_eq!(effects("SET ROLE 'Admin'"), session("role", "Admin"));
    assert_eq!(effects("SET LOCAL ROLE \"Admin\""), set("role", Some("Admin"), SetScope::Local));
    assert_eq!(effects("SET SESSION AUTHORIZATION bob"), session("session_authorization", "bob"));
    assert_eq!(
        effects("SET SESSION AUTHORIZATION DEFAULT"),
        set("session_authorization", None, SetScope::Session)
    );
    assert_eq!(
        effects("SET SESSION SESSION AUTHORIZATION bob"),
        session("session_authorization", "bob")
    );
    assert_eq!(effects("RESET ROLE"), [Effect::Reset("role".into())]);
    assert_eq!(
        effects("RESET SESSION AUTHORIZATION"),
        [Effect::Reset("session_authorization".into())]
    );
}

#[test]
fn row_90_what_a_login_begins_with_changes() {
    let changes = |sql: &str| effects(sql).contains(&Effect::LoginDefaults);
    assert!(changes("ALTER ROLE app SET work_mem = '1MB'"));
    assert!(changes("ALTER USER app IN DATABASE x RESET ALL"));
    assert!(changes("ALTER DATABASE x SET search_path TO a"));
    assert!(!changes("ALTER ROLE app PASSWORD 'set'"));
    assert!(!changes("ALTER TABLE t SET (fillfactor = 70)"));
}

#[test]
fn every_cause_has_a_label_of_its_own() {
    let mut labels: Vec<_> = Why::ALL.iter().map(|why| why.as_str()).collect();
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), Why::ALL.len());
    assert!(
        labels
            .iter()
            .all(|label| label.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
    );
}
