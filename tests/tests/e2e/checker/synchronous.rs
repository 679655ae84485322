//! Commits wait for a synchronous standby that never confirms, while another standby shows them
//! before the primary does: nobody misses what anybody was told of.

use std::time::Instant;

use testkit::Cluster;
use weir_tests::checker::{Broken, Did, Operation, Promise, Row, Session, Violation, check};
use weir_tests::{Raw, Weir, eventually, now, say};
use wire::tag;

use super::sessions::{Heard, Plan, READ, Work, ask, hear, write};
use super::{SOON, none, readers, stage, strong};

/// Commits that wait; the standby shows every other one early.
const ROUNDS: usize = 24;

#[test]
fn only_commits_that_nobody_was_told_of_are_seen_early() {
    let mut plans: Vec<Plan> = (0..2).map(local).collect();
    let [reader, other] = readers(2);
    plans.extend([reader, strong(other)]);
    let (cluster, weir) = stage((1, plans.len() + 1), "connection", "200ms");
    let names = "ALTER SYSTEM SET synchronous_standby_names = 'nobody'";
    cluster.primary().psql(names).unwrap();
    cluster.primary().psql("SELECT pg_reload_conf()").unwrap();
    let start = now();
    let work = Work::start(&weir, start, plans.len(), &plans);
    let mut stuck = Stuck::new(&cluster, &weir, start, plans.len());
    for round in 0..ROUNDS {
        stuck.round(round);
    }
    work.wait_reads(200);
    let mut history = work.end();
    history.extend(stuck.sessions(history.len()));

    let untold = |violation: &Violation| violation.broken == Broken::SteppedBackUntold;
    let (early, broken): (Vec<_>, Vec<_>) = check(&history).into_iter().partition(untold);
    none(&history, &broken);
    // The one who looked here and there, whenever there was something to see.
    let watcher = history.len() - 1;
    let looked = early.iter().filter(|violation| violation.session == watcher).count();
    assert_eq!(looked, ROUNDS / 2, "{early:#?}");
    assert!(weir.cycles("replica") > 200);
}

/// A session whose commits wait for its own disk only, and so are acknowledged.
fn local(own: usize) -> Plan {
    Plan::new(own, 5).set("SET synchronous_commit = local")
}

/// One who writes and waits, one who watches, and both nodes without Weir between.
struct Stuck<'a> {
    cluster: &'a Cluster,
    weir: &'a Weir,
    start: Instant,
    /// The counter that nobody else writes.
    row: Row,
    number: u64,
    writer: Raw,
    watcher: Raw,
    primary: Raw,
    standby: Raw,
    wrote: Vec<Operation>,
    watched: Vec<Operation>,
}

impl<'a> Stuck<'a> {
    fn new(cluster: &'a Cluster, weir: &'a Weir, start: Instant, row: Row) -> Self {
        let login = |port| Raw::login(port, "app", &[]).expect("a login");
        Self {
            cluster,
            weir,
            start,
            row,
            number: 0,
            writer: login(weir.port()),
            watcher: login(weir.port()),
            primary: login(cluster.primary().port()),
            standby: login(cluster.replicas()[0].port()),
            wrote: Vec::new(),
            watched: Vec::new(),
        }
    }

    /// A commit begins to wait, is or is not seen early, and is told of once its wait is cancelled.
    fn round(&mut self, round: usize) {
        let standby = self.cluster.replicas()[0];
        let early = round.is_multiple_of(2);
        if !early {
            standby.pause_replay().unwrap();
        }
        let (begun, pending) = self.begin(round / 2 % 4);
        self.wait_stuck();
        if early {
            self.see_early();
        }
        self.cancel(round);
        self.end(&begun, pending);
        for _ in 0..5 {
            let read = ask(&mut self.writer, self.start, READ);
            self.wrote.push(read.did("synchronous", read.saw()));
        }
        if !early {
            standby.resume_replay().unwrap();
        }
    }

    /// Sends a write by one of four paths; when it was begun, and what is still to be answered.
    fn begin(&mut self, path: usize) -> (Heard, Vec<String>) {
        let sql = write(self.row);
        let mut begun = Heard::asked(now() - self.start);
        let (bytes, pending) = match path {
            0 => (say::query(&sql), vec![sql]),
            1 => {
                let run = [say::bind("", ""), say::execute("", 0), say::sync()].concat();
                ([say::parse("", &sql), run].concat(), vec![sql])
            }
            2 => ([say::query(&sql), say::query(READ)].concat(), vec![sql, READ.to_owned()]),
            _ => {
                ask(&mut self.writer, self.start, "BEGIN");
                begun = ask(&mut self.writer, self.start, &sql);
                (say::query("COMMIT"), vec!["COMMIT".to_owned()])
            }
        };
        self.writer.send(&bytes);
        (begun, pending)
    }

    fn wait_stuck(&mut self) {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        eventually("a commit waits for its standby", SOON, || {
            self.cluster.primary().psql(waiting).unwrap() == "1"
        });
    }

    /// What the watcher sees there.
    fn watch(&mut self, side: &str) -> Did {
        let sql = format!("/* weir: route={side} */ {READ}");
        let read = ask(&mut self.watcher, self.start, &sql);
        self.watched.push(read.did("synchronous", read.saw()));
        read.saw()
    }

    /// The standby shows what the primary hides, and so does Weir to whoever asks there.
    fn see_early(&mut self) {
        let sql = format!("SELECT n FROM counter WHERE id = {}", self.row);
        let next = (self.number + 1).to_string();
        eventually("the standby shows it", SOON, || {
            self.standby.query(&sql).as_deref() == Some(&*next)
        });
        assert_eq!(self.primary.query(&sql), Some(self.number.to_string()));
        // Its fence is what it read on the primary last: while the replica is busy, it may be sent there again.
        let row = self.row;
        let shown = self.number + 1;
        eventually("a replica serves whoever asks for it", SOON, || {
            let Did::Saw(counters) = self.watch("replica") else { return false };
            counters.get(row) == Some(&shown)
        });
        self.watch("primary");
    }

    /// By the client, through Weir, or by somebody on the primary.
    fn cancel(&mut self, round: usize) {
        if round.is_multiple_of(3) {
            let sql = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity \
                       WHERE wait_event = 'SyncRep'";
            assert_eq!(self.cluster.primary().psql(sql).unwrap(), "t");
            return;
        }
        let key = self.writer.greeting().iter().find(|message| message.tag == tag::BACKEND_KEY);
        let mut out = Vec::new();
        wire::put_cancel(&mut out, &wire::backend_key(&key.unwrap().body).unwrap());
        let mut other = Raw::connect(self.weir.port());
        other.send(&out);
        assert_eq!(other.some(), None);
    }

    /// The client is told of a commit, and of what it lacks.
    fn end(&mut self, begun: &Heard, pending: Vec<String>) {
        for sql in pending {
            let heard = hear(&mut self.writer, self.start, begun.began, &sql);
            if sql == READ {
                self.wrote.push(heard.did("synchronous", heard.saw()));
                continue;
            }
            let warning = heard.notices.concat();
            assert!(warning.contains("canceling wait for synchronous replication"), "{warning:?}");
            self.number += 1;
            let number = heard.value.as_ref().or(begun.value.as_ref()).expect("a counter");
            assert_eq!(*number, self.number.to_string());
            self.wrote.push(heard.did("synchronous", Did::Wrote(self.row, self.number)));
        }
    }

    /// What both did; they share writes with nobody.
    fn sessions(self, scope: usize) -> [Session; 2] {
        let promise = Promise::Session;
        [
            Session { scope, promise, operations: self.wrote },
            Session { scope: scope + 1, promise, operations: self.watched },
        ]
    }
}
