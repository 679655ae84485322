//! Sessions write and read through Weir while replicas are paused, slowed and cut off: no read is
//! older than what was promised, and replicas serve all the same.
//!
//! Each run has a careless session besides, which is promised nothing: what it misses shows that the
//! others could have missed it, too.

use std::time::Duration;

use testkit::Cluster;
use weir_tests::checker::{Broken, Did, Promise, Session, Violation, check, explain};
use weir_tests::{Config, Weir, eventually, now};

use crate::WEIR;

mod faults;
mod sessions;
mod synchronous;

use faults::{OpenTransaction, storm};
use sessions::{Plan, READ, Turns, Work};

const SOON: Duration = Duration::from_secs(30);

/// A primary with so many replicas, so many counters, and a Weir that knows them. What nobody waits
/// for is flushed every so often.
fn stage((replicas, rows): (usize, usize), scope: &str, flushing: &str) -> (Cluster, Weir) {
    let cluster = staged((replicas, rows), flushing);
    let weir = through(&cluster, scope);
    (cluster, weir)
}

fn staged((replicas, rows): (usize, usize), flushing: &str) -> Cluster {
    let builder = Cluster::builder().replicas(replicas).setting("wal_writer_delay", flushing);
    let cluster = builder.start().unwrap();
    let table = format!(
        "CREATE TABLE counter (id int PRIMARY KEY, n bigint NOT NULL) WITH (fillfactor = 50); \
         INSERT INTO counter SELECT id, 0 FROM generate_series(0, {rows} - 1) id; \
         GRANT ALL ON counter TO PUBLIC"
    );
    cluster.primary().psql_in("app", &table).unwrap();
    for replica in cluster.replicas() {
        cluster.wait_caught_up(replica, SOON).unwrap();
    }
    cluster
}

fn through(cluster: &Cluster, scope: &str) -> Weir {
    let reads = vec![("scope", scope.to_owned()), ("max_lag", "off".to_owned())];
    let weir = Weir::start(WEIR, cluster, &Config { reads, ..Config::default() });
    eventually("the table is known", SOON, || weir.explain("app", READ).json()["class"] == "read");
    weir
}

/// What was counted besides violations: a run in which nothing could go wrong proves nothing.
#[derive(Debug)]
struct Run {
    history: Vec<Session>,
    /// Reads under this level that replicas served.
    by_replicas: u64,
    /// Reads that went to the primary since no replica was known to have passed the fence.
    fenced: u64,
    /// Guards that passed, and guards that did not.
    guards: [u64; 2],
    /// How often WAL was seen that was inserted and not flushed.
    unflushed: usize,
}

/// Lets sessions work through the storm, and `more`, at this level; the last plan is the careless
/// one's.
fn run(
    (cluster, weir): (&Cluster, &Weir),
    level: &str,
    plans: &[Plan],
    more: impl FnOnce(&Work),
) -> Run {
    let work = Work::start(weir, now(), plans.len(), plans);
    let open = OpenTransaction::start(cluster.primary());
    storm(cluster, &work);
    more(&work);
    let (history, unflushed) = (work.end(), open.end());
    let because =
        |why| weir.sum(&format!("weir_cycles_total{{target=\"primary\",reason=\"{why}\""));
    let by_replicas = format!("weir_reads_total{{consistency=\"{level}\",target=\"replica\"}}");
    Run {
        history,
        by_replicas: weir.sum(&by_replicas),
        fenced: because("fence_pending") + because("fence_not_reached"),
        guards: guards(weir),
        unflushed,
    }
}

/// Guards that passed, and guards that did not.
fn guards(weir: &Weir) -> [u64; 2] {
    ["passed", "behind"].map(|proof| weir.sum(&format!("weir_guards_total{{proof=\"{proof}\"}}")))
}

/// Guards are tried once replicas keep up, and fail once they do so no more.
fn until_guards_passed_and_failed((cluster, weir): (&Cluster, &Weir), work: &Work) {
    for round in 0.. {
        let [passed, behind] = guards(weir);
        if passed > 0 && behind > 0 {
            return;
        }
        assert!(round < 20, "{passed} guards passed, and {behind} did not");
        work.wait_reads(600);
        for replica in cluster.replicas() {
            replica.pause_replay().unwrap();
        }
        work.wait_reads(100);
        for replica in cluster.replicas() {
            replica.resume_replay().unwrap();
        }
    }
}

fn reads(session: &Session) -> u64 {
    let reads = session.operations.iter().filter(|it| matches!(it.did, Did::Saw(_)));
    u64::try_from(reads.count()).unwrap()
}

/// Whether there is something that its reads have to wait for, other than what they saw.
fn is_fenced(session: &Session) -> bool {
    let wrote = session.operations.iter().any(|it| matches!(it.did, Did::Wrote(..)));
    wrote || session.promise == Promise::Strong
}

impl Run {
    /// Nobody but the careless one missed anything, and at least so many of a hundred reads were
    /// served by replicas. Returns what the careless one missed.
    #[expect(clippy::print_stderr, reason = "shares and counts, for whoever runs it by hand")]
    fn judge(&self, least: u64) -> Vec<Violation> {
        let found = check(&self.history);
        let careless = self.history.len() - 1;
        let (missed, broken): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|violation| violation.session == careless);
        // As if every read of those without a fence had been a replica's.
        let (fenced, free): (Vec<_>, Vec<_>) =
            self.history.iter().take(careless).partition(|session| is_fenced(session));
        let reads = |sessions: Vec<&Session>| sessions.into_iter().map(reads).sum::<u64>();
        let (all, free) = (reads(fenced), reads(free));
        let served = self.by_replicas.saturating_sub(free);
        let Self { fenced, guards, unflushed, .. } = self;
        eprintln!(
            "replicas served {served} of {all} fenced reads and {free} others; {fenced} reads were \
             held by their fence; guards {guards:?}; unflushed WAL seen {unflushed} times; the \
             careless one missed {}",
            missed.len()
        );
        none(&self.history, &broken);
        assert!(served * 100 >= all * least, "replicas served {served} of {all} reads");
        assert!(*fenced > 0, "no promise sent a read to the primary");
        assert!(*unflushed > 0, "all WAL was flushed at once");
        missed
    }
}

/// There is no violation, but for what the primary may show after a replica did.
#[track_caller]
fn none(history: &[Session], broken: &[Violation]) {
    let told = |it: &&Violation| it.broken != Broken::SteppedBackUntold;
    let broken: Vec<&Violation> = broken.iter().filter(told).collect();
    let words: Vec<String> = broken.iter().take(20).map(|it| explain(history, it)).collect();
    assert!(broken.is_empty(), "{} violations, such as {words:#?}", broken.len());
}

/// Every other session commits without waiting for the disk.
fn mixed(plan: Plan, number: usize) -> Plan {
    if number.is_multiple_of(2) { plan } else { plan.set("SET synchronous_commit = off") }
}

/// Promised to see what anybody was told of.
fn strong(plan: Plan) -> Plan {
    Plan { promise: Promise::Strong, ..plan }.set("SET weir.consistency = strong")
}

/// Promised nothing, and judged as if it were.
fn careless(scope: usize) -> Plan {
    Plan::new(scope, 10).set("SET weir.consistency = eventual")
}

fn has(missed: &[Violation], broken: Broken) -> bool {
    missed.iter().any(|violation| violation.broken == broken)
}

/// Two sessions that only read, and so are held back by nothing but what they saw.
fn readers(scope: usize) -> [Plan; 2] {
    [Plan::new(scope, 0), Plan::new(scope + 1, 0)]
}

#[test]
fn every_connection_reads_its_own_writes_and_never_steps_back() {
    let (cluster, weir) = stage((2, 7), "connection", "200ms");
    let mut plans: Vec<Plan> = (0..4).map(|own| mixed(Plan::new(own, 5), own)).collect();
    plans.extend(readers(4));
    plans.push(careless(6));
    let stage = (&cluster, &weir);
    let guards = |work: &Work| until_guards_passed_and_failed(stage, work);
    let missed = run(stage, "session", &plans, guards).judge(20);
    assert!(has(&missed, Broken::OwnWrite) && has(&missed, Broken::SteppedBack), "{missed:?}");
}

#[test]
fn the_connections_of_one_client_read_what_any_of_them_wrote() {
    let (cluster, weir) = stage((2, 7), "client", "200ms");
    let of = |user, scope| Plan { user, ..Plan::new(scope, 3) };
    let plans = [("app", 0), ("app", 0), ("app", 0), ("app", 0), ("postgres", 1), ("postgres", 1)];
    let plans = plans.into_iter().enumerate();
    let mut plans: Vec<Plan> =
        plans.map(|(own, (user, scope))| mixed(of(user, scope), own)).collect();
    plans.push(careless(0));
    let stage = (&cluster, &weir);
    let guards = |work: &Work| until_guards_passed_and_failed(stage, work);
    let missed = run(stage, "session", &plans, guards).judge(10);
    assert!(has(&missed, Broken::ScopeWrite) && has(&missed, Broken::SteppedBack), "{missed:?}");
}

/// By a setting of the session, a role, and a trigger; and by the transaction, as everywhere.
#[test]
fn commits_that_nobody_flushed_are_read_back() {
    let cluster = staged((2, 5), "30ms");
    let trigger = "CREATE FUNCTION lazy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                   PERFORM set_config('synchronous_commit', 'off', true); RETURN NEW; END $$; \
                   CREATE TRIGGER lazy BEFORE UPDATE ON counter FOR EACH ROW WHEN (NEW.id = 0) \
                   EXECUTE FUNCTION lazy()";
    cluster.primary().psql_in("app", trigger).unwrap();
    cluster.primary().psql("ALTER ROLE md5user SET synchronous_commit = off").unwrap();
    let weir = through(&cluster, "connection");
    let lazy = |plan: Plan| plan.set("SET synchronous_commit = off");
    let plan = |own| Plan::new(own, 2);
    let role = Plan { user: "md5user", ..plan(1) };
    let plans = [plan(0), role, lazy(plan(2)), lazy(plan(3)), lazy(careless(4))];
    let missed = run((&cluster, &weir), "session", &plans, |_| ()).judge(10);
    assert!(has(&missed, Broken::OwnWrite), "{missed:?}");
}

#[test]
fn a_strong_read_sees_every_commit_that_anybody_was_told_of() {
    let (cluster, weir) = stage((2, 7), "connection", "10ms");
    let mut plans: Vec<Plan> = (0..4).map(|own| mixed(strong(Plan::new(own, 5)), own)).collect();
    let snapshots = "SET default_transaction_isolation = 'repeatable read'";
    plans.extend(readers(4).map(|plan| strong(plan).set(snapshots)));
    // Careless of others only.
    plans.push(Plan { promise: Promise::Strong, ..Plan::new(6, 0) });
    let missed = run((&cluster, &weir), "strong", &plans, |_| ()).judge(10);
    assert!(has(&missed, Broken::Stale), "{missed:?}");
    assert!(missed.iter().all(|violation| violation.broken == Broken::Stale), "{missed:?}");
}

/// The position that a guard proves is older than the snapshot behind it, or it would prove nothing.
#[test]
fn a_snapshot_behind_a_guard_shows_what_the_guard_proved() {
    let (cluster, weir) = stage((1, 4), "connection", "200ms");
    let plan = |own| Plan { turns: Turns::WriteThenSnapshot, ..Plan::new(own, 100) };
    let plans: Vec<Plan> = (0..4).map(plan).collect();
    let work = Work::start(&weir, now(), plans.len(), &plans);
    for _ in 0..40 {
        let [passed, _] = guards(&weir);
        if passed > 1_000 {
            break;
        }
        work.wait_reads(200);
    }
    let history = work.end();
    none(&history, &check(&history));
    let [passed, behind] = guards(&weir);
    assert!(passed > 100, "{passed} guards passed, {behind} did not");
    drop(cluster);
}
