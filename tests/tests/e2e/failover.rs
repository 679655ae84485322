//! What clients notice of a primary that dies, and of one that follows it.

use std::time::Duration;

use testkit::{Cluster, Node, Stop};
use tokio_postgres::Client;
use weir_tests::{Config, Route, Weir, eventually, now, value};

use crate::WEIR;

mod load;

use load::{Line, Load};

const SOON: Duration = Duration::from_secs(30);

fn config(failover_hold: &str) -> Config {
    Config {
        pool: vec![("failover_hold", failover_hold.to_owned())],
        reads: vec![("scope", "connection".to_owned())],
        ..Config::default()
    }
}

async fn create_ledger(cluster: &Cluster, weir: &Weir) {
    let client = weir.client().await;
    client.batch_execute("CREATE TABLE ledger (id bigint PRIMARY KEY)").await.unwrap();
    for replica in cluster.replicas() {
        cluster.wait_caught_up(replica, SOON).unwrap();
    }
    eventually("the table is known to be readable", SOON, || {
        weir.explain("app", "SELECT id FROM ledger").json()["class"] == "read"
    });
}

/// Waits until Weir says that this node leads, or that none does.
fn wait_primary(weir: &Weir, node: Option<&Node>) {
    let name = node.map(Node::name);
    eventually("the primary is recognised", SOON, || weir.primary().as_deref() == name);
}

/// Asks until a node answers.
async fn read_until_served_by(client: &Client, node: &Node) {
    let since = now();
    loop {
        client.batch_execute("SELECT count(*) FROM ledger").await.unwrap();
        let route = Route::last(client).await;
        if route.node == node.name() {
            return;
        }
        assert!(since.elapsed() < SOON, "{} never serves: {route:?}", node.name());
    }
}

/// The replica that received most, and the others.
fn farthest(cluster: &Cluster) -> (Node, Vec<Node>) {
    let received = |node: &Node| {
        let lsn = "SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'";
        node.psql(lsn).unwrap().parse::<u64>().unwrap()
    };
    let mut replicas: Vec<Node> = cluster.replicas().into_iter().cloned().collect();
    replicas.sort_by_key(received);
    let heir = replicas.pop().unwrap();
    (heir, replicas)
}

#[tokio::test]
async fn writes_resume_on_a_promoted_replica_and_none_is_lost_or_goes_astray() {
    let builder = Cluster::builder().replicas(2).synchronous(1).setting("log_connections", "on");
    let cluster = builder.start().unwrap();
    let old = cluster.primary().clone();
    let weir = Weir::start(WEIR, &cluster, &config("60s"));
    create_ledger(&cluster, &weir).await;
    let mut load = Load::start(&weir, 4, 2);
    load.wait_acknowledged(200);

    old.kill().unwrap();
    let issued = load.issued();
    wait_primary(&weir, None);
    load.wait_reads(50);
    let (heir, others) = farthest(&cluster);
    heir.promote().unwrap();
    for other in others {
        other.follow(&heir).unwrap();
    }
    wait_primary(&weir, Some(&heir));
    load.wait_acknowledged(200);

    // It comes back as it was, and takes itself for the primary still.
    let logged = old.log().unwrap().len();
    old.start().unwrap();
    assert!(!old.is_in_recovery().unwrap());
    eventually("Weir has seen the old primary", SOON, || {
        old.log().unwrap()[logged..].contains("connection authorized: user=weir_monitor")
    });
    load.wait_acknowledged(200);
    load.wait_reads(50);
    load.end();

    load.check_words();
    load.check_rows(&heir);
    assert_eq!(weir.primary().as_deref(), Some(heir.name()));
    assert!(!old.log().unwrap()[logged..].contains("connection authorized: user=app"));
    let astray = format!("SELECT count(*) FROM ledger WHERE id >= {issued}");
    assert_eq!(old.psql_in("app", &astray).unwrap(), "0");
}

#[tokio::test]
async fn writes_resume_on_the_same_primary_after_a_restart_and_after_a_crash() {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let weir = Weir::start(WEIR, &cluster, &config("60s"));
    create_ledger(&cluster, &weir).await;
    let mut load = Load::start(&weir, 4, 2);
    load.wait_acknowledged(100);

    cluster.primary().restart().unwrap();
    load.wait_acknowledged(100);
    cluster.primary().kill().unwrap();
    cluster.primary().start().unwrap();
    load.wait_acknowledged(100);
    cluster.primary().stop(Stop::Immediate).unwrap();
    cluster.primary().start().unwrap();
    load.wait_acknowledged(100);
    load.wait_reads(50);
    load.end();
    load.check_words();
    load.check_rows(cluster.primary());
}

#[tokio::test]
async fn a_write_waits_for_a_primary_as_long_as_it_may_and_then_says_so() {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let weir = Weir::start(WEIR, &cluster, &config("1s"));
    create_ledger(&cluster, &weir).await;
    let client = weir.client().await;
    cluster.primary().kill().unwrap();
    for id in 0..2 {
        let since = now();
        let insert = format!("INSERT INTO ledger VALUES ({id})");
        let told = client.batch_execute(&insert).await.unwrap_err();
        assert!(since.elapsed() >= Duration::from_secs(1), "{:?}", since.elapsed());
        let told = told.as_db_error().unwrap();
        assert_eq!((told.severity(), told.code().code()), ("ERROR", "53000"), "{told}");
        // The session lives, and reads go on meanwhile.
        assert_eq!(value(&client, "SELECT count(*) FROM ledger").await.unwrap().unwrap(), "0");
        assert_eq!(Route::last(&client).await.side, "replica");
    }
    let told = client.batch_execute("BEGIN").await.unwrap_err();
    assert_eq!(told.code().unwrap().code(), "53000");
    cluster.replicas()[0].clone().promote().unwrap();
    wait_primary(&weir, Some(cluster.primary()));
    client.batch_execute("INSERT INTO ledger VALUES (7)").await.unwrap();
    assert_eq!(cluster.primary().psql_in("app", "SELECT id FROM ledger").unwrap(), "7");
}

#[tokio::test]
async fn an_old_primary_that_rejoins_as_a_standby_serves_reads() {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let [old, heir] = cluster.nodes() else { panic!("two nodes") };
    let weir = Weir::start(WEIR, &cluster, &config("60s"));
    create_ledger(&cluster, &weir).await;
    let client = weir.client().await;
    client.batch_execute("INSERT INTO ledger VALUES (1)").await.unwrap();
    cluster.wait_caught_up(heir, SOON).unwrap();

    old.kill().unwrap();
    heir.promote().unwrap();
    client.batch_execute("INSERT INTO ledger VALUES (2)").await.unwrap();
    assert_eq!(Route::last(&client).await.node, heir.name());
    old.rejoin(heir).unwrap();
    read_until_served_by(&client, old).await;
    let seen = value(&client, "SELECT count(*) FROM ledger").await.unwrap();
    assert_eq!(seen.as_deref(), Some("2"));
    client.batch_execute("INSERT INTO ledger VALUES (3)").await.unwrap();
    assert_eq!(Route::last(&client).await.node, heir.name());
}

#[tokio::test]
async fn a_promoted_replica_leads_although_the_old_primary_lives() {
    let cluster = Cluster::builder().replicas(2).start().unwrap();
    let [old, heir, _] = cluster.nodes() else { panic!("three nodes") };
    let weir = Weir::start(WEIR, &cluster, &config("60s"));
    create_ledger(&cluster, &weir).await;
    let clients = [weir.client().await, weir.client().await];
    for (id, client) in (1..).zip(&clients) {
        client.batch_execute(&format!("INSERT INTO ledger VALUES ({id})")).await.unwrap();
    }
    let open = Line::open(&weir.config("app", "app")).await.unwrap();
    open.client.batch_execute("BEGIN; INSERT INTO ledger VALUES (3)").await.unwrap();
    cluster.wait_caught_up(heir, SOON).unwrap();
    heir.promote().unwrap();
    wait_primary(&weir, Some(heir));

    for (id, client) in (10..100).zip(clients.iter().cycle()) {
        client.batch_execute(&format!("INSERT INTO ledger VALUES ({id})")).await.unwrap();
        let route = Route::last(client).await;
        assert_eq!((&*route.side, &*route.node), ("primary", heir.name()));
    }
    // What was begun on the old one can't end on the new one, nor on the old one any more.
    let told = open.client.batch_execute("COMMIT").await.unwrap_err();
    assert_eq!(open.last_word(told).await, "08006");
    let rows = "SELECT count(*) FROM ledger";
    assert_eq!(old.psql_in("app", rows).unwrap(), "2");
    assert_eq!(heir.psql_in("app", rows).unwrap(), "92");
}

#[tokio::test]
async fn a_write_that_waited_for_a_server_of_the_old_primary_goes_to_the_new_one() {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let [old, heir] = cluster.nodes() else { panic!("two nodes") };
    let mut config = config("60s");
    config.pool.push(("default_pool_size", "1".to_owned()));
    let weir = Weir::start(WEIR, &cluster, &config);
    create_ledger(&cluster, &weir).await;
    let (holder, waiter) = (weir.client().await, weir.client().await);
    holder.batch_execute("BEGIN; INSERT INTO ledger VALUES (1)").await.unwrap();
    let write = tokio::spawn(async move {
        waiter.batch_execute("INSERT INTO ledger VALUES (2)").await.unwrap();
    });
    // Until the writer has its place in the line, the test would prove nothing.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!write.is_finished(), "the one server is taken");

    heir.promote().unwrap();
    wait_primary(&weir, Some(heir));
    assert!(old.is_running() && !old.is_in_recovery().unwrap(), "the old one could still write");
    drop(holder);
    write.await.unwrap();
    assert_eq!(heir.psql_in("app", "SELECT id FROM ledger").unwrap(), "2");
    assert_eq!(old.psql_in("app", "SELECT id FROM ledger").unwrap(), "");
}

#[tokio::test]
async fn no_client_notices_that_a_replica_dies() {
    let cluster = Cluster::builder().replicas(2).start().unwrap();
    let weir = Weir::start(WEIR, &cluster, &config("60s"));
    create_ledger(&cluster, &weir).await;
    let mut load = Load::start(&weir, 1, 8);
    load.wait_reads(100);
    for replica in cluster.replicas() {
        replica.kill().unwrap();
        load.wait_reads(300);
        replica.start().unwrap();
        load.wait_reads(100);
    }
    let client = weir.client().await;
    for replica in cluster.replicas() {
        read_until_served_by(&client, replica).await;
    }
    load.end();
    load.check_silence();
}

#[tokio::test]
async fn reads_go_on_when_a_replica_dies_with_the_primary() {
    let cluster = Cluster::builder().replicas(2).start().unwrap();
    let mut config = config("60s");
    // A session that read on the dead replica could not be promised to see no less elsewhere.
    config.reads.push(("consistency", "eventual".to_owned()));
    let weir = Weir::start(WEIR, &cluster, &config);
    create_ledger(&cluster, &weir).await;
    let mut load = Load::start(&weir, 0, 8);
    load.wait_reads(100);
    cluster.primary().kill().unwrap();
    cluster.replicas()[0].kill().unwrap();
    wait_primary(&weir, None);
    load.wait_reads(800);
    load.end();
    load.check_words();
}

#[tokio::test]
async fn a_transaction_that_loses_its_primary_ends_its_session_with_an_error() {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let [old, heir] = cluster.nodes() else { panic!("two nodes") };
    let weir = Weir::start(WEIR, &cluster, &config("60s"));
    create_ledger(&cluster, &weir).await;
    let mut lines = Vec::new();
    for id in 1..=3 {
        let line = Line::open(&weir.config("app", "app")).await.unwrap();
        line.client.batch_execute("BEGIN").await.unwrap();
        let insert = format!("INSERT INTO ledger VALUES ({id})");
        line.client.batch_execute(&insert).await.unwrap();
        lines.push(line);
    }
    old.kill().unwrap();
    heir.promote().unwrap();
    wait_primary(&weir, Some(heir));
    for (line, next) in
        lines.into_iter().zip(["SELECT 1", "INSERT INTO ledger VALUES (9)", "COMMIT"])
    {
        let told = line.client.batch_execute(next).await.unwrap_err();
        let word = line.last_word(told).await;
        // Weir's word, unless PostgreSQL found the time for its own.
        assert!(["08006", "57P01"].contains(&&*word), "{next}: {word}");
    }
    let client = weir.client().await;
    client.batch_execute("INSERT INTO ledger VALUES (7)").await.unwrap();
    assert_eq!(heir.psql_in("app", "SELECT id FROM ledger").unwrap(), "7");
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_reported_as_unknown() {
    let cluster = Cluster::builder().replicas(1).synchronous(1).start().unwrap();
    let primary = cluster.primary();
    let weir = Weir::start(WEIR, &cluster, &config("60s"));
    create_ledger(&cluster, &weir).await;
    let in_doubt = Line::open(&weir.config("app", "app")).await.unwrap();
    let alone = Line::open(&weir.config("app", "app")).await.unwrap();
    in_doubt.client.batch_execute("BEGIN").await.unwrap();
    in_doubt.client.batch_execute("INSERT INTO ledger VALUES (1)").await.unwrap();
    cluster.replicas()[0].stop(Stop::Fast).unwrap();

    // Both wait for a standby that is gone.
    let commit = tokio::spawn(async move {
        let told = in_doubt.client.batch_execute("COMMIT").await.unwrap_err();
        in_doubt.last_word(told).await
    });
    let insert = tokio::spawn(async move {
        let told = alone.client.batch_execute("INSERT INTO ledger VALUES (2)").await.unwrap_err();
        alone.last_word(told).await
    });
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    while primary.psql(waiting).unwrap() != "2" {
        tokio::task::yield_now().await;
    }
    primary.kill().unwrap();
    assert_eq!(commit.await.unwrap(), "08007");
    assert_eq!(insert.await.unwrap(), "08007");
}
