//! Sessions at work: they count rows up and read them all, by four paths, and note what they saw.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use weir_tests::checker::{Did, Operation, Promise, Row, Session};
use weir_tests::{Raw, Weir, eventually, now, say};
use wire::tag;

use super::SOON;

/// All counters as one statement sees them.
pub(super) const READ: &str = "SELECT string_agg(n::text, ' ' ORDER BY id) FROM counter";

const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Counts a row up and says how far.
pub(super) fn write(row: Row) -> String {
    format!("UPDATE counter SET n = n + 1 WHERE id = {row} RETURNING n")
}

/// What a session does, and what it may expect.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) user: &'static str,
    /// Whose writes it shares; see [`Session::scope`].
    pub(super) scope: usize,
    pub(super) promise: Promise,
    /// SQL of its first cycles, one each.
    pub(super) settings: Vec<&'static str>,
    pub(super) turns: Turns,
    /// How many of a hundred statements write; who never writes takes no tokens either, so that
    /// nothing but its own reads holds it back.
    pub(super) writes: u64,
}

/// What a turn is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turns {
    /// Any path, and some thought.
    Any,
    /// A write, and a transaction with a snapshot right behind it.
    WriteThenSnapshot,
}

impl Plan {
    /// A session of `app` that is promised what `session` says.
    pub(super) fn new(scope: usize, writes: u64) -> Self {
        let (promise, turns) = (Promise::Session, Turns::Any);
        Self { user: "app", scope, promise, settings: Vec::new(), turns, writes }
    }

    pub(super) fn set(mut self, sql: &'static str) -> Self {
        self.settings.push(sql);
        self
    }
}

/// Sessions that work until they are told to end, or until this is dropped.
pub(super) struct Work {
    shared: Arc<Shared>,
    threads: Vec<thread::JoinHandle<Session>>,
}

/// What the sessions of a run have in common.
struct Shared {
    start: Instant,
    rows: Row,
    reads: AtomicU64,
    over: AtomicBool,
    /// The newest token, and when it was asked for.
    token: Mutex<Option<(String, Duration)>>,
}

impl Work {
    /// A session for each plan; the row of the same number is its own.
    pub(super) fn start(weir: &Weir, start: Instant, rows: Row, plans: &[Plan]) -> Self {
        let shared = Arc::new(Shared {
            start,
            rows,
            reads: AtomicU64::new(0),
            over: AtomicBool::new(false),
            token: Mutex::new(None),
        });
        let threads = plans.iter().enumerate().map(|(own, plan)| {
            let (shared, plan, port) = (Arc::clone(&shared), plan.clone(), weir.port());
            thread::spawn(move || Worker::login(shared, port, own, &plan).work(&plan))
        });
        Self { threads: threads.collect(), shared }
    }

    /// Waits until all sessions together have read so many times more.
    pub(super) fn wait_reads(&self, more: u64) {
        let wanted = self.shared.reads.load(Ordering::SeqCst) + more;
        eventually("reads go on", SOON, || {
            // A session that failed has said why; the rest may as well wait for ever.
            let failed = self.threads.iter().any(thread::JoinHandle::is_finished);
            failed || self.shared.reads.load(Ordering::SeqCst) >= wanted
        });
    }

    /// What the sessions did, once each has its last answer.
    pub(super) fn end(mut self) -> Vec<Session> {
        self.shared.over.store(true, Ordering::SeqCst);
        self.threads.drain(..).map(|thread| thread.join().expect("no session fails")).collect()
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
    }
}

/// One statement of an exchange.
#[derive(Debug, Clone)]
enum Ask {
    Read,
    Write(Row),
    Other(String),
}

impl Ask {
    fn sql(&self) -> String {
        match self {
            Self::Read => READ.to_owned(),
            Self::Write(row) => write(*row),
            Self::Other(sql) => sql.clone(),
        }
    }
}

/// By what messages statements are asked.
#[derive(Debug, Clone, Copy)]
enum Protocol {
    Simple,
    Extended,
    /// Each as chance will have it.
    Either,
}

/// An answered statement.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    pub(super) began: Duration,
    pub(super) ended: Duration,
    /// The first value of its row.
    pub(super) value: Option<String>,
    /// Notices that came with it.
    pub(super) notices: Vec<String>,
}

impl Heard {
    /// A statement that is about to be asked.
    pub(super) fn asked(began: Duration) -> Self {
        Self { began, ended: began, value: None, notices: Vec::new() }
    }

    /// All counters.
    pub(super) fn saw(&self) -> Did {
        let numbers = self.value.as_deref().expect("a row of counters").split(' ');
        Did::Saw(numbers.map(|number| number.parse().unwrap()).collect())
    }

    /// The counter that was counted up.
    pub(super) fn number(&self) -> u64 {
        self.value.as_deref().expect("a counter").parse().unwrap()
    }

    pub(super) fn did(&self, path: &'static str, did: Did) -> Operation {
        Operation { began: self.began, ended: self.ended, path, did }
    }
}

/// Reads the answer of a statement that is already asked.
pub(super) fn hear(raw: &mut Raw, start: Instant, began: Duration, sql: &str) -> Heard {
    let mut heard = Heard::asked(began);
    for message in raw.until_ready() {
        match message.tag {
            // Two bytes of count, four of length, then the value.
            tag::DATA_ROW => {
                heard.value = Some(String::from_utf8_lossy(&message.body[6..]).into_owned());
            }
            tag::NOTICE => heard.notices.push(message.line()),
            tag::ERROR => panic!("{sql}: {}", message.line()),
            _ => {}
        }
        heard.ended = now() - start;
    }
    assert_ne!(heard.ended, began, "the session ended: {sql}");
    heard
}

/// Asks one statement by the simple protocol.
pub(super) fn ask(raw: &mut Raw, start: Instant, sql: &str) -> Heard {
    let began = now() - start;
    raw.send(&say::query(sql));
    hear(raw, start, began, sql)
}

struct Worker {
    shared: Arc<Shared>,
    raw: Raw,
    own: Row,
    random: Random,
    /// Statements that have a name already.
    prepared: BTreeSet<String>,
    operations: Vec<Operation>,
    /// The path of the turn.
    path: &'static str,
}

impl Worker {
    fn login(shared: Arc<Shared>, port: u16, own: Row, plan: &Plan) -> Self {
        let mut raw = Raw::login(port, plan.user, &[("database", "app")]).expect("a login");
        for sql in &plan.settings {
            ask(&mut raw, shared.start, sql);
        }
        let random = Random::new(own);
        Self {
            shared,
            raw,
            own,
            random,
            prepared: BTreeSet::new(),
            operations: Vec::new(),
            path: "",
        }
    }

    fn work(mut self, plan: &Plan) -> Session {
        while !self.shared.over.load(Ordering::SeqCst) {
            if plan.turns == Turns::WriteThenSnapshot {
                self.write_then_read_in_a_snapshot();
                continue;
            }
            match self.random.below(30) {
                0 if plan.writes > 0 => self.give_token(),
                1 if plan.writes > 0 => self.take_token(),
                _ => self.turn(plan.writes),
            }
            thread::sleep(Duration::from_micros(self.random.below(8_000)));
        }
        Session { scope: plan.scope, promise: plan.promise, operations: self.operations }
    }

    fn turn(&mut self, writes: u64) {
        let paths = ["simple", "extended", "pipelined", "transaction"];
        let path = self.random.below(4);
        self.path = paths[usize::try_from(path).unwrap()];
        match path {
            0 => self.each_alone(Protocol::Simple, 1, writes),
            1 => self.each_alone(Protocol::Extended, 1, writes),
            2 => self.each_alone(Protocol::Either, 5, writes),
            _ if self.random.below(100) < writes => self.writing_transaction(),
            _ => self.reading_transaction(),
        }
    }

    /// So many statements in one write, each with its own `Sync`.
    fn each_alone(&mut self, protocol: Protocol, count: usize, writes: u64) {
        let asks: Vec<Ask> = (0..count).map(|_| self.chance(writes)).collect();
        for (ask, heard) in asks.iter().zip(self.exchange(protocol, &asks)) {
            self.note(&heard, ask);
        }
    }

    fn chance(&mut self, writes: u64) -> Ask {
        if self.random.below(100) < writes { Ask::Write(self.row()) } else { Ask::Read }
    }

    /// Its own row, or sometimes another's.
    fn row(&mut self) -> Row {
        if self.random.below(10) < 7 {
            return self.own;
        }
        let rows = u64::try_from(self.shared.rows).unwrap();
        usize::try_from(self.random.below(rows)).unwrap()
    }

    fn note(&mut self, heard: &Heard, ask: &Ask) {
        match ask {
            Ask::Read => self.note_read(heard),
            Ask::Write(row) => {
                self.operations.push(heard.did(self.path, Did::Wrote(*row, heard.number())));
            }
            Ask::Other(_) => {}
        }
    }

    fn note_read(&mut self, heard: &Heard) {
        self.operations.push(heard.did(self.path, heard.saw()));
        self.shared.reads.fetch_add(1, Ordering::SeqCst);
    }

    /// How it commits is often its own business.
    fn writing_transaction(&mut self) {
        let row = self.row();
        let waits = if self.random.below(2) == 0 { "off" } else { "local" };
        let local = other(&format!("SET LOCAL synchronous_commit = {waits}"));
        if self.random.below(5) == 0 {
            let asks = [other("BEGIN"), local, Ask::Write(row), other("ROLLBACK")];
            let [_, _, wrote, _] = self.transaction(Protocol::Either, &asks);
            self.operations.push(wrote.did(self.path, Did::Tried(row, wrote.number())));
            return;
        }
        let asks = [other("BEGIN"), local, Ask::Write(row), Ask::Read, other("COMMIT")];
        let [_, _, wrote, read, commit] = self.transaction(Protocol::Either, &asks);
        self.note_read(&read);
        let told = Heard { ended: commit.ended, ..wrote };
        self.operations.push(told.did(self.path, Did::Wrote(row, told.number())));
    }

    /// Placed as a whole: what others are told of later it may miss. A simple `BEGIN` waits for the
    /// first read to be placed.
    fn reading_transaction(&mut self) {
        let begins = ["BEGIN READ ONLY", SNAPSHOT];
        let first = begins[usize::try_from(self.random.below(2)).unwrap()];
        let simple = self.random.below(2) == 0;
        let protocol = if simple { Protocol::Simple } else { Protocol::Extended };
        let asks = [other(first), Ask::Read, Ask::Read, other("COMMIT")];
        let [first, one, two, _] = self.transaction(protocol, &asks);
        let began = if simple { one.began } else { first.began };
        self.note_read(&Heard { began, ..one });
        self.note_read(&Heard { began, ..two });
    }

    fn write_then_read_in_a_snapshot(&mut self) {
        self.path = "snapshot";
        let wrote = ask(&mut self.raw, self.shared.start, &write(self.own));
        self.note(&wrote, &Ask::Write(self.own));
        let start = self.shared.start;
        ask(&mut self.raw, start, SNAPSHOT);
        let read = ask(&mut self.raw, start, READ);
        self.note_read(&read);
        ask(&mut self.raw, start, "COMMIT");
    }

    /// All in one write, or one after another, the first by this protocol.
    fn transaction<const N: usize>(&mut self, first: Protocol, asks: &[Ask; N]) -> [Heard; N] {
        let heard = if self.random.below(2) == 0 {
            self.exchange(Protocol::Either, asks)
        } else {
            let (begin, rest) = asks.split_first().expect("a BEGIN");
            let mut heard = self.exchange(first, std::slice::from_ref(begin));
            for ask in rest {
                heard.extend(self.exchange(Protocol::Either, std::slice::from_ref(ask)));
            }
            heard
        };
        heard.try_into().expect("an answer to each")
    }

    fn exchange(&mut self, protocol: Protocol, asks: &[Ask]) -> Vec<Heard> {
        let asks: Vec<String> = asks.iter().map(Ask::sql).collect();
        let bytes: Vec<u8> = asks.iter().flat_map(|sql| self.message(protocol, sql)).collect();
        let (start, began) = (self.shared.start, now() - self.shared.start);
        self.raw.send(&bytes);
        asks.iter().map(|sql| hear(&mut self.raw, start, began, sql)).collect()
    }

    fn message(&mut self, protocol: Protocol, sql: &str) -> Vec<u8> {
        let simple = match protocol {
            Protocol::Simple => true,
            Protocol::Extended => false,
            Protocol::Either => self.random.below(2) == 0,
        };
        if simple {
            return say::query(sql);
        }
        let run = [say::execute("", 0), say::sync()].concat();
        if self.random.below(3) == 0 {
            let unnamed = [say::parse("", sql), say::bind("", ""), say::describe_portal("")];
            return [unnamed.concat(), run].concat();
        }
        let mut out = Vec::new();
        if self.prepared.insert(sql.to_owned()) {
            out.extend(say::parse(sql, sql));
        }
        [out, say::bind("", sql), run].concat()
    }

    fn give_token(&mut self) {
        let heard = ask(&mut self.raw, self.shared.start, "SHOW weir.lsn");
        let token = heard.value.expect("a token");
        let mut newest = self.shared.token.lock().unwrap_or_else(PoisonError::into_inner);
        *newest = Some((token, heard.began));
    }

    fn take_token(&mut self) {
        let newest = self.shared.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((token, asked)) = newest else { return };
        let mut sql = String::new();
        write!(sql, "SET weir.min_lsn = '{token}'").unwrap();
        let heard = ask(&mut self.raw, self.shared.start, &sql);
        self.operations.push(heard.did("token", Did::Took(asked)));
    }
}

fn other(sql: &str) -> Ask {
    Ask::Other(sql.to_owned())
}

/// Chance that a run can repeat: xorshift.
struct Random(u64);

impl Random {
    fn new(seed: usize) -> Self {
        Self(0x9E37_79B9_7F4A_7C15 ^ (u64::try_from(seed).unwrap() << 17))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}
