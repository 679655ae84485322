//! What Weir answers, message by message, is what PostgreSQL answers.
//!
//! Each conversation is held three times: with the primary itself, through Weir, and through Weir
//! while another client makes the session change its server between any two steps.

use testkit::Cluster;
use weir_tests::say::{
    bind, close, describe, describe_portal, execute, flush, parse, query, raw, sync,
};
use weir_tests::{Raw, Weir, tags};

use crate::{pool, rig};

/// What is sent, and how many messages are read: up to so many `ReadyForQuery`, or just so many.
struct Step(Vec<u8>, Until);

#[derive(Clone, Copy)]
enum Until {
    Ready(usize),
    Messages(usize),
}

fn say(parts: &[Vec<u8>]) -> Step {
    Step(parts.concat(), Until::Ready(1))
}

fn pipeline(readies: usize, parts: &[Vec<u8>]) -> Step {
    Step(parts.concat(), Until::Ready(readies))
}

fn expect(messages: usize, parts: &[Vec<u8>]) -> Step {
    Step(parts.concat(), Until::Messages(messages))
}

/// One client that takes a server away, or gives it back, each time it is asked.
struct Shuffler {
    raw: Raw,
    open: bool,
}

impl Shuffler {
    fn flip(&mut self) {
        self.open = !self.open;
        let sql = if self.open { "BEGIN; SELECT 1" } else { "COMMIT" };
        drop(self.raw.talk(&query(sql)));
    }
}

fn hold(port: u16, steps: &[Step], mut shuffler: Option<Shuffler>) -> Vec<Vec<String>> {
    let mut raw = Raw::login(port, "app", &[]).unwrap();
    let mut heard = Vec::new();
    for Step(bytes, until) in steps {
        if let Some(shuffler) = &mut shuffler {
            shuffler.flip();
        }
        raw.send(bytes);
        let messages = match *until {
            Until::Ready(count) => (0..count).flat_map(|_| raw.until_ready()).collect::<Vec<_>>(),
            Until::Messages(count) => (0..count).filter_map(|_| raw.message()).collect(),
        };
        heard.push(messages.iter().map(weir_tests::Message::line).collect());
    }
    heard
}

/// The two with whom conversations are held.
struct Stage {
    cluster: Cluster,
    weir: Weir,
}

impl Stage {
    fn new() -> Self {
        let (cluster, weir) = rig(0, &pool(&[("default_pool_size", "2")]));
        Self { cluster, weir }
    }

    fn on<'a>(&'a self, name: &'a str) -> Topic<'a> {
        Topic { stage: self, name }
    }
}

struct Topic<'a> {
    stage: &'a Stage,
    name: &'a str,
}

impl Topic<'_> {
    #[track_caller]
    fn alike(&self, steps: &[Step]) {
        let Self { stage: Stage { cluster, weir }, name } = self;
        let wanted = hold(cluster.primary().port(), steps, None);
        assert_eq!(hold(weir.port(), steps, None), wanted, "{name}");
        let shuffler = Shuffler { raw: Raw::login(weir.port(), "app", &[]).unwrap(), open: false };
        let heard = hold(weir.port(), steps, Some(shuffler));
        assert_eq!(heard, wanted, "{name}, on changing servers");
    }
}

#[test]
fn named_statements_are_answered_as_by_postgres() {
    let stage = Stage::new();
    let run = |name: &str| [bind("", name), execute("", 0), sync()].concat();
    stage.on("a statement is prepared once and run often").alike(&[
        say(&[parse("s", "SELECT 42"), sync()]),
        say(&[run("s")]),
        say(&[describe("s"), sync()]),
        say(&[describe("s"), run("s")]),
        say(&[bind("", "s"), describe_portal(""), execute("", 0), sync()]),
    ]);
    stage.on("a name is given twice").alike(&[
        say(&[parse("s", "SELECT 1"), sync()]),
        say(&[parse("s", "SELECT 2"), bind("", "s"), sync()]),
        say(&[run("s")]),
        say(&[parse("t", "SELECT 1"), parse("t", "SELECT 1"), sync()]),
    ]);
    stage.on("a name is not known").alike(&[
        say(&[run("nobody")]),
        say(&[describe("nobody"), sync()]),
        say(&[close("nobody"), sync()]),
        say(&[sync()]),
    ]);
    stage.on("a name is closed and given again in one group").alike(&[
        say(&[parse("s", "SELECT 1"), sync()]),
        say(&[close("s"), parse("s", "SELECT 2"), run("s")]),
        say(&[run("s")]),
        say(&[close("s"), sync()]),
        say(&[run("s")]),
        say(&[close("s"), close("s"), parse("s", "SELECT 3"), close("s"), run("s")]),
    ]);
    stage.on("a text can't be parsed").alike(&[
        say(&[parse("s", "SELEC"), run("s")]),
        say(&[parse("s", "SELECT 1"), run("s")]),
        say(&[parse("t", "SELECT 2"), parse("u", "SELEC"), parse("v", "SELECT 3"), sync()]),
        say(&[run("t")]),
        say(&[run("u")]),
        say(&[run("v")]),
    ]);
    stage.on("names are dropped by SQL").alike(&[
        say(&[parse("s", "SELECT 1"), sync()]),
        say(&[query("DEALLOCATE ALL")]),
        say(&[run("s")]),
        say(&[parse("s", "SELECT 2"), run("s")]),
        say(&[query("DISCARD ALL")]),
        say(&[run("s")]),
    ]);
}

#[test]
fn statements_named_by_sql_are_answered_as_by_postgres() {
    let stage = Stage::new();
    let run = |name: &str| [bind("", name), execute("", 0), sync()].concat();
    let by_extended = |sql: &str| [parse("", sql), bind("", ""), execute("", 0), sync()].concat();
    stage.on("DEALLOCATE of a statement of the protocol").alike(&[
        say(&[parse("s", "SELECT 1"), parse("t", "SELECT 2"), sync()]),
        say(&[query("DEALLOCATE s")]),
        say(&[run("s")]),
        say(&[run("t")]),
        say(&[query("DEALLOCATE missing")]),
        say(&[by_extended("DEALLOCATE PREPARE t")]),
        say(&[run("t")]),
        say(&[parse("s", "SELECT 3"), sync()]),
        say(&[run("s")]),
    ]);
    stage.on("DEALLOCATE within a pipeline").alike(&[
        say(&[parse("s", "SELECT 1"), sync()]),
        say(&[
            parse("", "DEALLOCATE s"),
            bind("", ""),
            execute("", 0),
            parse("s", "SELECT 2"),
            bind("", "s"),
            execute("", 0),
            sync(),
        ]),
        say(&[run("s")]),
        say(&[by_extended("DEALLOCATE s"), by_extended("SELECT 1/0")][..1]),
        say(&[run("s")]),
    ]);
    stage.on("DEALLOCATE in a transaction, good and failed").alike(&[
        say(&[parse("s", "SELECT 1"), parse("t", "SELECT 2"), sync()]),
        say(&[query("BEGIN")]),
        say(&[query("DEALLOCATE s")]),
        say(&[query("ROLLBACK")]),
        say(&[run("s")]),
        say(&[query("BEGIN")]),
        say(&[query("SELECT 1/0")]),
        say(&[query("DEALLOCATE t")]),
        say(&[query("ROLLBACK")]),
        say(&[run("t")]),
    ]);
}

#[test]
fn statements_made_by_sql_are_answered_as_by_postgres() {
    let stage = Stage::new();
    let run = |name: &str| [bind("", name), execute("", 0), sync()].concat();
    stage.on("EXECUTE of a statement of the protocol").alike(&[
        say(&[parse("S", "SELECT $1::int + 1"), parse("none", "SELECT 2"), sync()]),
        say(&[query("EXECUTE \"S\"(6)")]),
        say(&[query("EXECUTE none;")]),
        say(&[query("EXECUTE s(6)")]),
        say(&[query("DEALLOCATE ALL")]),
        say(&[query("EXECUTE none")]),
    ]);
    stage.on("PREPARE, and what the protocol makes of it").alike(&[
        say(&[query("PREPARE p AS SELECT 7")]),
        say(&[run("p")]),
        say(&[describe("p"), sync()]),
        say(&[query("EXECUTE p")]),
        say(&[close("p"), sync()]),
        say(&[run("p")]),
        say(&[query("PREPARE q AS SELECT 8")]),
        say(&[query("DEALLOCATE q")]),
        say(&[run("q")]),
    ]);
    stage.on("a Parse that fails takes the unnamed statement with it").alike(&[
        say(&[parse("", "SELECT 1"), sync()]),
        say(&[parse("", "SELEC"), sync()]),
        say(&[bind("", ""), execute("", 0), sync()]),
        say(&[parse("", "SELECT 1/0"), bind("", ""), execute("", 0), sync()]),
        say(&[describe(""), sync()]),
    ]);
}

#[test]
fn unnamed_statements_are_answered_as_by_postgres() {
    let stage = Stage::new();
    stage.on("a statement is used in a later group").alike(&[
        say(&[parse("", "SELECT 1"), sync()]),
        say(&[bind("", ""), execute("", 0), sync()]),
        say(&[describe(""), bind("", ""), execute("", 0), sync()]),
    ]);
    stage.on("a simple query ends it").alike(&[
        say(&[parse("", "SELECT 1"), sync()]),
        say(&[query("SELECT 2")]),
        say(&[bind("", ""), execute("", 0), sync()]),
    ]);
    stage.on("there never was one").alike(&[
        say(&[bind("", ""), execute("", 0), sync()]),
        say(&[describe(""), sync()]),
        say(&[close(""), sync()]),
    ]);
    stage.on("it is closed").alike(&[
        say(&[parse("", "SELECT 1"), sync()]),
        say(&[close(""), sync()]),
        say(&[bind("", ""), execute("", 0), sync()]),
    ]);
    let run = || [bind("", ""), execute("", 0), sync()].concat();
    stage.on("the newest of several counts").alike(&[
        say(&[parse("", "SELECT 1"), sync()]),
        say(&[parse("", "SELECT 2"), sync()]),
        say(&[run()]),
        say(&[run()]),
        say(&[parse("", "SELECT 3"), parse("", "SELECT 4"), run()]),
        say(&[run()]),
    ]);
    stage.on("a group that fails behind its Parse keeps it").alike(&[
        say(&[parse("", "SELECT 1"), sync()]),
        say(&[parse("", "SELECT 2"), bind("", "nobody"), sync()]),
        say(&[run()]),
        say(&[run()]),
    ]);
    stage
        .on("a Parse behind an error does not count")
        .alike(&[say(&[bind("", "nobody"), parse("", "SELECT 1"), sync()]), say(&[run()])]);
}

#[test]
fn an_unnamed_statement_of_another_session_is_out_of_reach() {
    let (_cluster, weir) = rig(0, &pool(&[("default_pool_size", "1")]));
    let [mut one, mut other] = [0, 1].map(|_| Raw::login(weir.port(), "app", &[]).unwrap());
    let run = [bind("", ""), execute("", 0), sync()].concat();
    drop(one.talk(&[parse("", "SELECT 'secret'"), sync()].concat()));
    // The server never comes to the second Parse, and still holds the first.
    drop(other.talk(&[bind("", "nobody"), parse("", "SELECT 'mine'"), sync()].concat()));
    let heard = other.talk(&run);
    assert_eq!(tags(&heard), "EZ", "{:?}", heard[0].line());
    assert_eq!(tags(&one.talk(&run)), "2DCZ");
}

#[test]
fn pipelines_are_answered_as_by_postgres() {
    let stage = Stage::new();
    let run = |sql: &str| [parse("", sql), bind("", ""), execute("", 0), sync()].concat();
    stage.on("the first of three groups fails").alike(&[
        pipeline(3, &[run("SELECT 1/0"), run("SELECT 2"), run("SELECT 3")]),
        say(&[run("SELECT 4")]),
    ]);
    stage.on("an error in the middle skips to the Sync").alike(&[
        say(&[run("SELECT 1"), sync()][..1]),
        say(&[
            parse("a", "SELECT 1"),
            bind("", "a"),
            bind("", "b"),
            execute("", 0),
            parse("c", "SELECT 2"),
            sync(),
        ]),
        say(&[bind("", "a"), execute("", 0), sync()]),
        say(&[bind("", "c"), execute("", 0), sync()]),
    ]);
    stage
        .on("simple queries in one write")
        .alike(&[pipeline(3, &[query("SELECT 1"), query("SELECT 1/0"), query("SELECT 3")])]);
    stage
        .on("both protocols in one write")
        .alike(&[pipeline(3, &[query("SELECT 1"), run("SELECT 2"), query("SELECT 3")])]);
    stage.on("Flush delivers before Sync").alike(&[
        expect(1, &[parse("s", "SELECT 1"), flush()]),
        expect(1, &[bind("", "s"), flush()]),
        expect(3, &[describe_portal(""), execute("", 0), flush()]),
        say(&[sync()]),
        say(&[bind("", "s"), execute("", 0), sync()]),
    ]);
    let long = format!("SELECT {}1", "1 + ".repeat(2_000));
    let longer = format!("SELECT '{}'", "x".repeat(600_000));
    stage.on("large messages behind a Flush").alike(&[
        expect(1, &[parse("s", "SELECT 1"), flush()]),
        expect(1, &[parse("t", &long), flush()]),
        expect(1, &[parse("", &longer), flush()]),
        say(&[bind("", "t"), execute("", 0), bind("", ""), execute("", 0), sync()]),
        say(&[query(&longer)]),
        say(&[parse("u", &longer), bind("", "u"), execute("", 0), sync()]),
        say(&[bind("", "u"), execute("", 0), sync()]),
    ]);
    stage.on("Flush after an error").alike(&[
        expect(1, &[parse("s", "SELEC"), flush()]),
        expect(0, &[parse("t", "SELECT 1"), bind("", "t"), flush()]),
        say(&[sync()]),
        say(&[bind("", "t"), sync()]),
    ]);
}

#[test]
fn portals_are_answered_as_by_postgres() {
    let stage = Stage::new();
    let numbers = "SELECT generate_series(1, 5)";
    stage.on("rows are fetched in portions").alike(&[
        say(&[query("BEGIN")]),
        say(&[parse("s", numbers), bind("p", "s"), execute("p", 2), sync()]),
        say(&[execute("p", 2), sync()]),
        say(&[execute("p", 2), sync()]),
        say(&[query("COMMIT")]),
        say(&[execute("p", 2), sync()]),
    ]);
    stage.on("a portal ends with its implicit transaction").alike(&[
        say(&[parse("s", numbers), bind("p", "s"), execute("p", 2), sync()]),
        say(&[execute("p", 2), sync()]),
    ]);
    stage.on("a portal's name is given twice").alike(&[say(&[
        parse("s", numbers),
        bind("p", "s"),
        bind("p", "s"),
        sync(),
    ])]);
}

#[test]
fn transactions_are_answered_as_by_postgres() {
    let stage = Stage::new();
    stage.on("several statements in one query").alike(&[
        say(&[query("SELECT 1; SELECT 2")]),
        say(&[query("SELECT 1; SELECT 1/0; SELECT 3")]),
        say(&[query("BEGIN; SELECT 1")]),
        say(&[query("SELECT 2; COMMIT; SELECT 3")]),
        say(&[query("")]),
        say(&[query(";")]),
        say(&[query("-- nothing")]),
    ]);
    stage.on("a failed transaction").alike(&[
        say(&[query("BEGIN")]),
        say(&[query("SELECT 1/0")]),
        say(&[query("SELECT 1")]),
        say(&[parse("s", "SELECT 1"), sync()]),
        say(&[query("COMMIT")]),
        say(&[parse("s", "SELECT 1"), bind("", "s"), execute("", 0), sync()]),
    ]);
    stage.on("savepoints").alike(&[
        say(&[query("BEGIN; SAVEPOINT a")]),
        say(&[query("SELECT 1/0")]),
        say(&[query("ROLLBACK TO a")]),
        say(&[query("SELECT 1")]),
        say(&[query("COMMIT AND CHAIN")]),
        say(&[query("ROLLBACK")]),
    ]);
    stage.on("read-only transactions").alike(&[
        say(&[query("BEGIN READ ONLY")]),
        say(&[query("COMMIT")]),
        say(&[query("START TRANSACTION READ ONLY")]),
        say(&[query("BEGIN")]),
        say(&[query("CREATE TABLE refused ()")]),
        say(&[query("ROLLBACK")]),
        say(&[query("BEGIN READ ONLY")]),
        say(&[query("SELECT 1/0")]),
        say(&[query("SELECT 1")]),
        say(&[query("ROLLBACK")]),
        say(&[query("BEGIN READ ONLY")]),
        say(&[query("SAVEPOINT a; SELECT 1")]),
        say(&[parse("", "COMMIT"), bind("", ""), execute("", 0), sync()]),
        say(&[query("BEGIN READ ONLY")]),
        say(&[query("nonsense")]),
        say(&[query("END")]),
        say(&[query("BEGIN READ ONLY; SELECT 1; COMMIT")]),
    ]);
    stage.on("a transaction that is none").alike(&[
        say(&[query("COMMIT")]),
        say(&[query("ROLLBACK")]),
        say(&[query("SAVEPOINT a")]),
        say(&[query("SET LOCAL TimeZone = 'UTC'")]),
    ]);
}

#[test]
fn settings_are_answered_as_by_postgres() {
    let stage = Stage::new();
    let zone = || query("SHOW TimeZone");
    stage.on("a setting is told and reset").alike(&[
        say(&[query("SET TimeZone = 'Asia/Tokyo'")]),
        say(&[zone()]),
        say(&[query("RESET TimeZone")]),
        say(&[zone()]),
        say(&[query("SET client_encoding TO latin1")]),
        say(&[query("SELECT 1")]),
        say(&[query("RESET ALL")]),
        say(&[query("SHOW client_encoding")]),
    ]);
    stage.on("a setting of a transaction that is rolled back").alike(&[
        say(&[query("BEGIN")]),
        say(&[query("SET TimeZone = 'Asia/Tokyo'")]),
        say(&[query("ROLLBACK")]),
        say(&[zone()]),
        say(&[query("BEGIN; SET TimeZone = 'Asia/Tokyo'; COMMIT")]),
        say(&[zone()]),
        say(&[query("DISCARD ALL")]),
        say(&[zone()]),
    ]);
    stage.on("a setting that does not exist").alike(&[
        say(&[query("SET nowhere = 1")]),
        say(&[query("SET nowhere.at_all = 1")]),
        say(&[query("SHOW nowhere.at_all")]),
        say(&[query("SET TimeZone = 'Nowhere/AtAll'")]),
        say(&[zone()]),
    ]);
}

#[test]
fn copies_and_calls_are_answered_as_by_postgres() {
    let stage = Stage::new();
    let rows = |text: &str| raw(b'd', text.as_bytes());
    let (done, fail) = (|| raw(b'c', b""), || raw(b'f', b"changed my mind\0"));
    let copy = "COPY numbers FROM STDIN";
    // int4abs(-7) by its OID: what libpq's large object functions use.
    let call = [&397_u32.to_be_bytes()[..], &[0, 0, 0, 1, 0, 0, 0, 2], b"-7", &[0, 0]].concat();
    stage.on("a function call").alike(&[say(&[raw(b'F', &call)]), say(&[query("SELECT 1")])]);
    let table = query("CREATE TEMP TABLE numbers (id int)");
    stage.on("rows by the simple protocol").alike(&[
        say(std::slice::from_ref(&table)),
        pipeline(1, &[query(copy), rows("1\n2\n"), rows("3\n"), done()]),
        pipeline(1, &[query(copy), rows("1\n"), fail()]),
        pipeline(1, &[query(copy), rows("x\n"), rows("3\n"), done()]),
        say(&[query("SELECT count(*) FROM numbers")]),
        say(&[query("COPY numbers TO STDOUT")]),
        say(&[query("COPY (SELECT 1/0) TO STDOUT")]),
        pipeline(1, &[query(&format!("{copy}; SELECT 1")), rows("4\n"), done()]),
    ]);
    let begin = || [parse("", copy), bind("", ""), execute("", 0)].concat();
    stage.on("rows by the extended protocol").alike(&[
        say(&[table]),
        expect(3, &[begin(), flush()]),
        say(&[rows("1\n"), rows("2\n"), done(), sync()]),
        expect(3, &[begin(), sync()]),
        say(&[rows("3\n"), done(), sync()]),
        expect(3, &[begin(), flush()]),
        say(&[rows("x\n"), rows("3\n"), done(), sync()]),
        expect(3, &[begin(), flush()]),
        say(&[fail(), sync()]),
        say(&[query("SELECT count(*) FROM numbers")]),
    ]);
}

#[test]
fn a_session_is_greeted_as_by_postgres() {
    let Stage { cluster, weir } = Stage::new();
    let options =
        [("options", "-c TimeZone=Asia/Tokyo -c DateStyle=German"), ("application_name", "me")];
    for options in [&options[..], &[]] {
        let [wanted, got] = [cluster.primary().port(), weir.port()].map(|port| {
            let raw = Raw::login(port, "app", options).unwrap();
            let mut said: Vec<String> = raw
                .greeting()
                .iter()
                .filter(|message| message.tag == wire::tag::PARAMETER_STATUS)
                .map(weir_tests::Message::line)
                .collect();
            said.sort();
            said
        });
        assert_eq!(got, wanted);
    }
}
