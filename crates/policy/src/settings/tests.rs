//! Sets of settings and what brings a server from one to another.

use super::*;

fn pairs(of: &[(&str, &str)]) -> Pairs {
    of.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

fn queries(known: &KnownSettings, from: &[(&str, &str)], to: &[(&str, &str)]) -> Vec<String> {
    replay(Some(&known.intern(pairs(from))), &known.intern(pairs(to)))
}

#[test]
fn equal_settings_are_one_set_whatever_their_order() {
    let known = KnownSettings::default();
    let first = known.intern(pairs(&[("a", "1"), ("b", "2")]));
    assert!(first.is(&known.intern(pairs(&[("b", "2"), ("a", "1")]))));
    assert!(!known.with(&first, "a", Some("3")).is(&first));
    assert!(known.with(&known.with(&first, "c", Some("3")), "c", None).is(&first));
}

#[test]
fn only_what_differs_is_set_or_reset() {
    let known = KnownSettings::default();
    assert_eq!(queries(&known, &[("a", "1")], &[("a", "1")]), Vec::<String>::new());
    assert_eq!(
        queries(&known, &[("a", "1"), ("b", "2"), ("x.y", "3")], &[("a", "1"), ("b", "4")]),
        ["RESET \"x\".\"y\";SELECT pg_catalog.set_config('b','4',false);"]
    );
}

#[test]
fn a_server_of_unknown_settings_is_reset_first() {
    let known = KnownSettings::default();
    assert_eq!(replay(None, &known.none()), ["RESET SESSION AUTHORIZATION;RESET ROLE;RESET ALL;"]);
}

#[test]
fn a_value_can_not_break_out_of_its_literal() {
    let known = KnownSettings::default();
    assert_eq!(
        queries(&known, &[], &[("search_path", "a', false); DROP TABLE t --\\")]),
        ["SELECT pg_catalog.set_config('search_path',E'a'', false); DROP TABLE t --\\\\',false);"]
    );
    assert_eq!(queries(&known, &[("a\";b", "1")], &[]), ["RESET \"a\"\";b\";"]);
}

#[test]
fn settings_are_changed_as_the_user_who_logged_in_and_the_role_comes_last() {
    let known = KnownSettings::default();
    assert_eq!(
        queries(&known, &[("role", "low")], &[("role", "high"), ("a", "1")]),
        ["RESET ROLE;SELECT pg_catalog.set_config('a','1',false);\
             SELECT pg_catalog.set_config('role','high',false);"]
    );
    let low = ("role", "low");
    assert_eq!(
        queries(&known, &[low], &[low, ("a", "1")]),
        ["SELECT pg_catalog.set_config('a','1',false);"],
        "anybody may set it"
    );
    assert_eq!(
        queries(&known, &[low], &[low, ("log_statement", "all")]),
        ["RESET ROLE;SELECT pg_catalog.set_config('log_statement','all',false);\
             SELECT pg_catalog.set_config('role','low',false);"]
    );
    assert_eq!(
        queries(&known, &[("session_authorization", "bob"), ("role", "low")], &[]),
        ["RESET SESSION AUTHORIZATION;RESET ROLE;"]
    );
}

#[test]
fn what_is_not_ascii_is_sent_in_the_encoding_that_holds() {
    let known = KnownSettings::default();
    assert_eq!(
        queries(&known, &[("client_encoding", "latin1")], &[("a", "ü")]),
        ["RESET \"client_encoding\";", "SELECT pg_catalog.set_config('a','ü',false);"]
    );
    assert_eq!(
        queries(&known, &[], &[("a", "ü"), ("client_encoding", "latin1")]),
        [
            "SELECT pg_catalog.set_config('client_encoding','latin1',false);",
            "SELECT pg_catalog.set_config('a','ü',false);"
        ]
    );
    assert_eq!(queries(&known, &[], &[("a", "x"), ("client_encoding", "latin1")]).len(), 1);
}

#[test]
fn another_session_authorization_ends_the_role_and_reset_all_ends_neither() {
    let known = KnownSettings::default();
    let low = known.intern(pairs(&[("role", "low"), ("a", "1")]));
    let bob = known.with(&low, "session_authorization", Some("bob"));
    assert!(bob.is(&known.intern(pairs(&[("a", "1"), ("session_authorization", "bob")]))));
    let startup = known.intern(pairs(&[("a", "2"), ("role", "high")]));
    let reset = known.reset_all(&low, &startup);
    assert!(reset.is(&known.intern(pairs(&[("role", "low"), ("a", "2")]))));
}

#[test]
fn sessions_share_statements_unless_a_setting_gives_them_another_meaning() {
    let known = KnownSettings::default();
    let shape = |name: &str, value: &str| known.intern(pairs(&[(name, value)])).shape().to_vec();
    for (name, value) in [("application_name", "x"), ("app.user", "7"), ("lock_timeout", "1s")] {
        assert!(shape(name, value).is_empty(), "{name}");
    }
    for (name, value) in [("search_path", "a"), ("role", "x"), ("timezone", "utc")] {
        assert!(!shape(name, value).is_empty(), "{name}");
    }
    assert_ne!(shape("search_path", "a"), shape("search_path", "b"));
}

#[test]
fn an_encoding_in_which_a_quote_may_be_half_a_character_is_not_read() {
    let known = KnownSettings::default();
    let readable =
        |encoding: &str| known.intern(pairs(&[("client_encoding", encoding)])).is_readable();
    assert!(readable("utf-8") && readable("LATIN1") && !readable("SJIS") && !readable("gbk"));
}
