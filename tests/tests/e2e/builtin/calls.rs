//! Calls of functions with arguments of the right types, on a primary and on its standby.

use std::collections::BTreeMap;
use std::time::Duration;

use sql::{Catalog, CatalogBuilder, CatalogPart, Class, Classifier};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::server::{CALLABLE, Server, say};
use super::{call, quoted};

/// What may be a value of some type; a type's values are the first that it takes.
const LITERALS: &[&str] = &[
    "1",
    "0",
    "pg_class",
    "x",
    "{}",
    "{1,2}",
    "1 day",
    "12:00",
    "2020-01-01",
    "[1,2]",
    "(0,1)",
    "((0,0),(1,1))",
    "<(0,0),1>",
    "{1,2,3}",
    "10.0.0.1",
    "08:00:2b:01:02:03",
    "0/16B3740",
    "5:10:7",
    "{\"a\": [1]}",
    "$.a",
    "<a/>",
    "postgres=r/postgres",
    "pg_class_oid_index",
    "pg_typeof",
    "lower(text)",
    "+(integer,integer)",
    "english",
    "t",
    "101",
    "{[1,2]}",
    "-1",
    "2 3",
    "app",
    "UTC",
    "a",
    "pg_catalog",
    "UTF8",
];

/// How many values of each type are tried.
const VARIANTS: usize = 4;

/// A function that SQL can call.
struct Function {
    schema: String,
    name: String,
    kind: String,
    arguments: Vec<String>,
}

impl Function {
    fn list(rows: Vec<Vec<String>>) -> Vec<Self> {
        let function = |row: Vec<String>| {
            let [schema, name, kind, arguments] = <[String; 4]>::try_from(row).unwrap();
            let arguments = arguments.split('|').filter(|name| !name.is_empty());
            let arguments = arguments.map(str::to_owned).collect();
            Self { schema, name, kind, arguments }
        };
        rows.into_iter().map(function).collect()
    }

    fn call(&self, values: &Values, variant: usize) -> String {
        let argument = |of: &String| values.of(of, variant);
        let arguments: Vec<_> = self.arguments.iter().map(argument).collect();
        let over = if self.kind == "w" { " OVER ()" } else { "" };
        let name = format!("{}.{}", quoted(&self.schema), quoted(&self.name));
        format!("SELECT {name}({}){over}", arguments.join(", "))
    }
}

/// Values by type, as SQL.
struct Values(BTreeMap<String, Vec<String>>);

impl Values {
    async fn probe(client: &Client, functions: &[Function]) -> Self {
        let mut values = BTreeMap::new();
        for name in functions.iter().flat_map(|function| &function.arguments) {
            if values.contains_key(name) {
                continue;
            }
            let mut taken = Vec::new();
            for literal in LITERALS {
                let value = format!("'{literal}'::{name}");
                if taken.len() < VARIANTS
                    && client.simple_query(&format!("SELECT {value}")).await.is_ok()
                {
                    taken.push(value);
                }
            }
            values.insert(name.clone(), taken);
        }
        Self(values)
    }

    fn of(&self, name: &str, variant: usize) -> String {
        let of_pseudo = match name {
            "anyelement"
            | "anycompatible"
            | "anynonarray"
            | "anycompatiblenonarray"
            | "\"any\"" => "1::int4",
            "anyarray" | "anycompatiblearray" => "ARRAY[1, 2]",
            "anyrange" | "anycompatiblerange" => "int4range(1, 3)",
            "anymultirange" | "anycompatiblemultirange" => "'{[1,3)}'::int4multirange",
            "record" => "ROW(1, 2)",
            "record[]" => "ARRAY[ROW(1, 2)]",
            "anyenum" => "NULL::anyenum",
            _ => "",
        };
        if !of_pseudo.is_empty() {
            return of_pseudo.to_owned();
        }
        let taken = &self.0[name];
        let null = format!("NULL::{name}");
        taken.get(variant % taken.len().max(1)).cloned().unwrap_or(null)
    }
}

/// What a call came to: its rows, or SQLSTATE and message.
async fn outcome(client: &Client, sql: &str) -> Result<Vec<Option<String>>, (String, String)> {
    let messages = client.simple_query(sql).await.map_err(|error| {
        let told = error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error:?}"));
        (told.code().code().to_owned(), told.message().to_owned())
    })?;
    let value = |message: &SimpleQueryMessage| {
        let SimpleQueryMessage::Row(row) = message else { return None };
        Some(row.get(0).map(str::to_owned))
    };
    Ok(messages.iter().filter_map(value).collect())
}

/// Whether a standby, and no primary, says this.
fn is_of_a_standby((code, message): &(String, String)) -> bool {
    code == "25006" || message.contains("recovery") || message.contains("standby")
}

/// Functions that are reads although each call has its own answer.
fn varies(name: &str) -> bool {
    let drawn = super::HARMLESS.iter().any(|(known, _)| *known == name);
    // The next transaction id, by which an age is told, goes on between two calls.
    drawn
        || ["now", "statement_timestamp", "transaction_timestamp", "age", "mxid_age"]
            .contains(&name)
}

const SIGNATURE: &str = "p.pronamespace::regnamespace::text, p.proname::text, p.prokind::text,
    (SELECT string_agg(t::regtype::text, '|' ORDER BY at) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a(t, at))";

struct Pair {
    primary: Client,
    standby: Client,
}

impl Pair {
    async fn of(server: &Server) -> Self {
        let cluster = &server.cluster;
        cluster.wait_caught_up(cluster.replicas()[0], Duration::from_secs(10)).unwrap();
        let primary = cluster.primary().connect("postgres", "app").await.unwrap();
        let standby = cluster.replicas()[0].connect("postgres", "app").await.unwrap();
        for client in [&primary, &standby] {
            client.batch_execute("SET statement_timeout = '200ms'").await.unwrap();
        }
        Self { primary, standby }
    }

    /// Calls each function; says what only the standby refuses, and what it answers otherwise.
    async fn differences(&self, functions: &[Function]) -> Vec<String> {
        let values = Values::probe(&self.standby, functions).await;
        let mut found = Vec::new();
        let mut ran = 0;
        for function in functions {
            let mut any = false;
            for variant in 0..if function.arguments.is_empty() { 1 } else { VARIANTS } {
                let sql = function.call(&values, variant);
                let there = outcome(&self.standby, &sql).await;
                any |= there.is_ok();
                if there.as_ref().is_err_and(is_of_a_standby) {
                    found.push(format!("{sql}: {there:?}"));
                } else if there.is_ok() && !varies(&function.name) {
                    let here = outcome(&self.primary, &sql).await;
                    if here != there {
                        found.push(format!("{sql}: {here:?} and on the standby {there:?}"));
                    }
                }
            }
            ran += usize::from(any);
        }
        say(&format!("{ran} of {} functions ran", functions.len()));
        assert!(ran * 10 > functions.len() * 8, "{ran} of {}", functions.len());
        found
    }
}

#[tokio::test]
async fn what_is_a_read_runs_on_a_standby_and_says_the_same() {
    for server in Server::each(1).await {
        let rows = server.rows(&format!("SELECT {SIGNATURE} {CALLABLE} ORDER BY 2, 4")).await;
        let mut functions = Function::list(rows);
        functions.retain(|function| call(&function.name).class == Class::Read);
        assert!(functions.len() > 2000, "{}", functions.len());
        let found = Pair::of(&server).await.differences(&functions).await;
        assert!(found.is_empty(), "PostgreSQL {}: {found:#?}", server.version);
    }
}

/// The catalog of a database as Weir reads it.
async fn catalog(server: &Server) -> Catalog {
    let mut builder = CatalogBuilder::new();
    for part in CatalogPart::ALL {
        for row in server.rows(part.sql()).await {
            let columns: Vec<_> = row.iter().map(|column| Some(column.as_str())).collect();
            builder.row(*part, &columns).unwrap();
        }
    }
    builder.finish(1)
}

#[tokio::test]
async fn commit_timestamps_are_replicated() {
    for server in Server::each(1).await {
        server.run("CREATE TABLE stamped AS SELECT 1 AS a").await;
        let Pair { primary, standby } = Pair::of(&server).await;
        let sql = "SELECT pg_xact_commit_timestamp(xmin) FROM stamped";
        let here = outcome(&primary, sql).await.unwrap();
        assert_eq!((here[0].is_some(), outcome(&standby, sql).await), (true, Ok(here)));
    }
}

/// Labels of contrib that are wrong: these run what they are given, of which a standby may refuse or ignore anything.
const RUN_SQL: &[&str] = &[
    "SELECT * FROM crosstab('SELECT 1, 2, 3') AS x(a int, b int)",
    "SELECT * FROM public.crosstab2('SELECT 1, 2, 3')",
    "SELECT * FROM public.connectby('t', 'a', 'b', 'c', 0) AS x(a text)",
    "SELECT * FROM app.my_crosstab('SELECT 1, 2, 3') AS x(a int, b int)",
];

#[tokio::test]
async fn what_runs_sql_that_it_is_given_is_a_write_whatever_its_label_says() {
    for server in Server::each(0).await {
        server
            .run(
                "CREATE EXTENSION tablefunc; CREATE SCHEMA app; CREATE FUNCTION app.my_crosstab(text) \
                 RETURNS SETOF record AS '$libdir/tablefunc', 'crosstab' LANGUAGE C STABLE",
            )
            .await;
        let catalog = catalog(&server).await;
        for sql in RUN_SQL {
            let found = Classifier::new().classify(sql, Some(&catalog));
            assert_eq!((found.class, found.reaches_outside), (Class::Write, true), "{sql}");
        }
    }
}

#[tokio::test]
async fn what_contrib_calls_stable_runs_on_a_standby_and_says_the_same() {
    for server in Server::each(1).await {
        for name in server.words("SELECT name FROM pg_available_extensions ORDER BY 1").await {
            server.run(&format!("CREATE EXTENSION IF NOT EXISTS {} CASCADE", quoted(&name))).await;
        }
        let catalog = catalog(&server).await;
        let class = |sql: &str| Classifier::new().classify(sql, Some(&catalog)).class;
        let all = CALLABLE.replace("pronamespace = 'pg_catalog'::regnamespace", "p.oid >= 16384");
        let mut functions =
            Function::list(server.rows(&format!("SELECT {SIGNATURE} {all} ORDER BY 2, 4")).await);
        functions.retain(|function| {
            class(&format!("SELECT {}.{}()", function.schema, quoted(&function.name)))
                == Class::Read
        });
        assert!(functions.len() > 500, "{}", functions.len());
        let found = Pair::of(&server).await.differences(&functions).await;
        assert!(found.is_empty(), "PostgreSQL {}: {found:#?}", server.version);
    }
}
