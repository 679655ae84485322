//! What Weir knows of PostgreSQL itself, held against the catalogs of real servers.
//!
//! The installed PostgreSQL, and 18 where `scripts/deps.sh test` could get it: that version's checks say SKIPPED otherwise.

mod calls;
mod server;

use sql::{Catalog, Class, Classified, Classifier, Why, is_keyword};

use server::{CALLABLE, Server};

/// The newest version that `generate-builtin.sh` was run with: of later ones nobody claims to know all.
const NEWEST_LISTED: u32 = 18;

/// Functions that are marked volatile, and what they were seen to do on a standby.
const HARMLESS: &[(&str, &str)] = &[
    ("array_sample", "draws, by the session's own generator"),
    ("array_shuffle", "draws, by the session's own generator"),
    ("clock_timestamp", "reads the clock"),
    ("current_query", "tells the client's own text"),
    ("gen_random_uuid", "draws, by the system's generator"),
    ("pg_partition_ancestors", "reads pg_inherits"),
    ("pg_partition_tree", "reads pg_inherits, locks in ACCESS SHARE"),
    ("pg_sleep", "waits"),
    ("pg_sleep_for", "waits"),
    ("pg_sleep_until", "waits"),
    ("pg_xact_commit_timestamp", "reads pg_commit_ts, which is replicated with its setting"),
    ("random", "draws; after setseed the session keeps its server"),
    ("random_normal", "draws; after setseed the session keeps its server"),
    ("timeofday", "reads the clock"),
    ("uuidv4", "draws, by the system's generator"),
    ("uuidv7", "draws, by the system's generator and clock"),
];

/// What `information_schema` asks of temporary schemas: a session that has made one keeps its server, and for all others
/// they are all of somebody else.
const OF_TEMPORARY: [&str; 2] = ["pg_is_other_temp_schema", "pg_my_temp_schema"];

/// Views of `pg_catalog` and relations of `information_schema` are looked through down to the functions and tables.
const USED_BY_VIEWS: &str = "\
SELECT n.nspname::text, c.relname::text, u.call, un.nspname::text, u.name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_rewrite r ON r.ev_class = c.oid, LATERAL (
    SELECT 't', p.pronamespace, p.proname::text FROM regexp_matches(r.ev_action::text,
        ':(?:funcid|aggfnoid|winfnoid|opfuncid) ([0-9]+)', 'g') m JOIN pg_proc p ON p.oid = m[1]::oid
    UNION SELECT 'f', t.relnamespace, t.relname::text FROM regexp_matches(r.ev_action::text, ':relid ([0-9]+)', 'g') m
        JOIN pg_class t ON t.oid = m[1]::oid AND t.oid <> c.oid) AS u(call, schema, name)
JOIN pg_namespace un ON un.oid = u.schema
WHERE n.nspname IN ('pg_catalog', 'information_schema') AND c.relkind = 'v'";

fn classify(sql: &str) -> Classified {
    Classifier::new().classify(sql, Some(&Catalog::builtin_only()))
}

fn call(name: &str) -> Classified {
    classify(&format!("SELECT pg_catalog.{}()", quoted(name)))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn is_read(sql: &str) -> bool {
    classify(sql).class == Class::Read
}

fn assert_none(of: &Server, what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}, on PostgreSQL {}: {found:#?}", of.version);
}

#[tokio::test]
async fn a_volatile_function_is_a_read_only_if_it_was_looked_at() {
    let mut seen = Vec::new();
    for server in Server::each(0).await {
        let volatile = format!("SELECT DISTINCT proname::text {CALLABLE} AND provolatile = 'v'");
        let mut reads = server.words(&volatile).await;
        reads.retain(|name| call(name).class == Class::Read);
        seen.extend(reads.iter().cloned());
        reads.retain(|name| !HARMLESS.iter().any(|(known, _)| known == name));
        assert_none(&server, "volatile, and a read all the same", &reads);
        if server.version == NEWEST_LISTED {
            let known = HARMLESS.iter().map(|(name, _)| (*name).to_owned());
            let gone: Vec<_> = known.filter(|name| !seen.contains(name)).collect();
            assert_none(&server, "no volatile function that is a read", &gone);
        }
    }
}

/// Completeness, in both directions: a name that is not known costs the primary, one that no server has is a slip.
#[tokio::test]
async fn every_function_operator_and_type_of_the_server_is_known() {
    for server in Server::each(0).await {
        let mut functions =
            server.words(&format!("SELECT DISTINCT proname::text {CALLABLE}")).await;
        functions.retain(|name| call(name).why == Why::UnknownFunction);
        let mut operators = server
            .words(
                "SELECT DISTINCT oprname::text FROM pg_operator \
             WHERE oprnamespace = 'pg_catalog'::regnamespace",
            )
            .await;
        operators.retain(|symbol| !is_read(&format!("SELECT $1 {symbol} $2")));
        let mut types = server
            .words(
                "SELECT typname::text FROM pg_type WHERE typtype <> 'c' AND typname !~ '^_' \
             AND typnamespace = 'pg_catalog'::regnamespace",
            )
            .await;
        types.retain(|name| !is_read(&format!("SELECT $1::pg_catalog.{}", quoted(name))));
        let mut words = server.words("SELECT word FROM pg_get_keywords()").await;
        words.retain(|word| !is_keyword(word));
        let unknown = [functions, operators, types, words].concat();
        if server.version <= NEWEST_LISTED {
            assert_none(&server, "not known: run crates/sql/generate-builtin.sh", &unknown);
        } else {
            server::say(&format!("newer than the lists, which lack {unknown:?}"));
        }
    }
}

#[tokio::test]
async fn no_operator_or_type_that_is_a_read_calls_a_volatile_function() {
    for server in Server::each(0).await {
        let mut operators = server.words("SELECT DISTINCT oprname::text FROM pg_operator o JOIN pg_proc p ON p.oid = oprcode \
             WHERE oprnamespace = 'pg_catalog'::regnamespace AND provolatile = 'v'").await;
        operators.retain(|symbol| is_read(&format!("SELECT $1 {symbol} $2")));
        let mut types = server.words("SELECT typname::text FROM pg_type t JOIN pg_proc p ON p.oid IN (typinput, typmodin) \
             WHERE typnamespace = 'pg_catalog'::regnamespace AND provolatile = 'v'").await;
        types.retain(|name| is_read(&format!("SELECT $1::pg_catalog.{}", quoted(name))));
        assert_none(&server, "volatile beneath", &[operators, types].concat());
    }
}

#[tokio::test]
async fn a_system_view_is_a_read_only_if_all_that_it_uses_is() {
    let relation = |schema: &str, name: &str| format!("SELECT * FROM {schema}.{}", quoted(name));
    for server in Server::each(0).await {
        let rows = server.rows(USED_BY_VIEWS).await;
        assert!(rows.len() > 300, "{} uses", rows.len());
        let mut wrong = Vec::new();
        for row in rows {
            let [schema, view, is_call, owner, used] = &row[..] else { panic!("{row:?}") };
            let harmless = match (is_call.as_str(), owner.as_str()) {
                // Helpers that are SQL over the same catalogs.
                ("t", "information_schema") => true,
                ("t", _) if OF_TEMPORARY.contains(&used.as_str()) => true,
                ("t", _) => call(used).class == Class::Read,
                _ => is_read(&relation(owner, used)),
            };
            if is_read(&relation(schema, view)) && !harmless {
                wrong.push(format!("{schema}.{view} uses {owner}.{used}"));
            }
        }
        assert_none(&server, "reads that rest on more", &wrong);
        let mut tables = server
            .words(
                "SELECT relname::text FROM pg_class WHERE relkind = 'r' \
             AND relnamespace = 'pg_catalog'::regnamespace",
            )
            .await;
        tables.retain(|name| !is_read(&relation("pg_catalog", name)));
        assert_none(&server, "tables that are no reads", &tables);
    }
}
