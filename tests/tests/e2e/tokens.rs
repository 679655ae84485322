//! Tokens pass what one service wrote to another, also from one Weir to the next.

use std::time::Duration;

use testkit::{Cluster, Node};
use tokio_postgres::{Client, NoTls};
use weir_tests::{Config, Route, Weir, eventually, value};

use crate::WEIR;

const SOON: Duration = Duration::from_secs(20);

fn config(reads: &[(&'static str, &str)]) -> Config {
    let reads = reads.iter().map(|(key, word)| (*key, (*word).to_owned())).collect();
    Config { reads, ..Config::default() }
}

/// No bound on lag, so that only fences keep a read from a replica; no fence but one's own.
const ALONE: [(&str, &str); 2] = [("scope", "connection"), ("max_lag", "off")];

async fn create_notes(cluster: &Cluster, weir: &Weir) {
    let client = weir.client().await;
    client.batch_execute("CREATE TABLE notes (id int PRIMARY KEY)").await.unwrap();
    eventually("the table is known", SOON, || {
        weir.explain("app", "SELECT * FROM notes").json()["class"] == "read"
    });
    for replica in cluster.replicas() {
        cluster.wait_caught_up(replica, SOON).unwrap();
    }
}

/// Two Weirs that know the table; the second would hear of it late if it had started before.
async fn side_by_side(cluster: &Cluster) -> (Weir, Weir) {
    let here = Weir::start(WEIR, cluster, &config(&ALONE));
    create_notes(cluster, &here).await;
    let there = Weir::start(WEIR, cluster, &config(&ALONE));
    (here, there)
}

fn pause(replicas: &[&Node]) {
    for replica in replicas {
        replica.pause_replay().unwrap();
    }
}

/// Writes a row and gives the token that covers it.
async fn write(client: &Client, id: i32) -> String {
    client.execute("INSERT INTO notes VALUES ($1)", &[&id]).await.unwrap();
    value(client, "SHOW weir.lsn").await.unwrap().unwrap()
}

async fn count(client: &Client, hint: &str) -> i64 {
    let sql = format!("{hint} SELECT count(*) FROM notes");
    value(client, &sql).await.unwrap().unwrap().parse().unwrap()
}

/// Where the client's last cycle went, and why.
async fn route(client: &Client) -> (String, String) {
    let route = Route::last(client).await;
    (route.side, route.reason)
}

fn to(side: &str, reason: &str) -> (String, String) {
    (side.to_owned(), reason.to_owned())
}

/// A client of `weir` that begins with this token.
async fn begin(weir: &Weir, token: &str) -> Result<Client, tokio_postgres::Error> {
    let mut config = weir.config("app", "app");
    config.options(format!("-c weir.min_lsn={token}"));
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Code, severity and words of what a client was told.
fn told(error: &tokio_postgres::Error) -> (String, String, String) {
    let told = error.as_db_error().unwrap();
    (told.code().code().into(), told.severity().into(), told.message().into())
}

fn verdicts(weir: &Weir, verdict: &str) -> u64 {
    weir.sum(&format!("weir_tokens_total{{verdict=\"{verdict}\"}}"))
}

#[tokio::test]
async fn a_token_of_one_weir_is_honoured_by_another() {
    let cluster = Cluster::builder().replicas(2).start().unwrap();
    let (here, there) = side_by_side(&cluster).await;
    let (writer, reader) = (here.client().await, there.client().await);
    let (behind, fresh) = (cluster.replicas()[0], cluster.replicas()[1]);
    pause(&[behind]);
    let mut by_replica = 0;
    for id in 0..100 {
        // The other Weir's clock has not been asked since the write.
        let token = write(&writer, id).await;
        reader.batch_execute(&format!("SET weir.min_lsn = '{token}'")).await.unwrap();
        assert_eq!(count(&reader, "").await, i64::from(id) + 1, "behind {token}");
        let node = Route::last(&reader).await.node;
        assert_ne!(node, behind.name());
        by_replica += u32::from(node == fresh.name());
    }
    assert!(by_replica > 0, "no replica served a read behind a token");
    assert_eq!(verdicts(&there, "taken"), 100);

    pause(&[fresh]);
    let token = write(&writer, 100).await;
    // By startup option: from the first read on.
    let begun = begin(&there, &token).await.unwrap();
    assert_eq!(count(&begun, "").await, 101);
    assert_eq!(route(&begun).await, to("primary", "fence_not_reached"));
    begun.batch_execute("DISCARD ALL").await.unwrap();
    assert_eq!(count(&begun, "").await, 101);
    // By a hint: for its own cycle.
    let hinted = there.client().await;
    let hint = format!("/* weir: min_lsn={token} */");
    for sql in ["", "/* weir: consistency=eventual */"] {
        assert!(count(&hinted, sql).await < 101);
        assert_eq!(route(&hinted).await.0, "replica");
    }
    hinted.batch_execute("SET weir.consistency = eventual").await.unwrap();
    assert_eq!(count(&hinted, &hint).await, 101);
    assert_eq!(route(&hinted).await, to("primary", "fence_not_reached"));
    assert!(count(&hinted, "").await < 101);
    // Under eventual a token counts as well.
    hinted.batch_execute(&format!("SET weir.min_lsn = '{token}'")).await.unwrap();
    assert_eq!(count(&hinted, "").await, 101);
    assert_eq!(route(&hinted).await, to("primary", "fence_not_reached"));
}

#[tokio::test]
async fn a_read_with_a_token_in_its_hint_is_served_by_a_replica_that_has_passed_it() {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let (here, there) = side_by_side(&cluster).await;
    let (writer, reader) = (here.client().await, there.client().await);
    let token = write(&writer, 1).await;
    let hint = format!("/* weir: min_lsn={token} */");
    let mut reads = 0;
    while {
        assert_eq!(count(&reader, &hint).await, 1);
        route(&reader).await.0 != "replica"
    } {
        reads += 1;
        assert!(reads < 10_000, "a replica that passed the token serves no read");
    }
    let explained = there.explain("app", &format!("{hint} SELECT 1")).json();
    assert_eq!((&explained["target"], &explained["reason"]), (&"replica".into(), &"read".into()));
    let (_, position) = token.split_once(':').unwrap();
    assert_eq!(explained["fence"], position.replace(':', "/"));
}

#[tokio::test]
async fn a_token_that_is_worth_nothing_is_refused_by_set_and_at_login_and_distrusted_in_a_hint() {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let weir = Weir::start(WEIR, &cluster, &config(&ALONE));
    create_notes(&cluster, &weir).await;
    let client = weir.client().await;
    let token = value(&client, "SHOW weir.lsn").await.unwrap().unwrap();
    let [system, timeline, lsn] = token.splitn(3, ':').collect::<Vec<_>>()[..] else {
        panic!("{token}")
    };
    let client = weir.client().await;
    let worthless = [
        ("altered".to_owned(), "take one from SHOW weir.lsn"),
        (format!("7:{timeline}:{lsn}"), "of another database system"),
        (format!("{system}:{timeline}:FFFF/0"), "the primary has not written that far"),
    ];
    for (wrong, words) in &worthless {
        let refused = client.batch_execute(&format!("SET weir.min_lsn = '{wrong}'")).await;
        let (code, severity, message) = told(&refused.unwrap_err());
        assert_eq!((&*code, &*severity), ("22023", "ERROR"), "{message}");
        assert!(message.contains("weir.min_lsn") && message.contains(words), "{message}");
        let at_login = told(&begin(&weir, wrong).await.err().unwrap());
        assert_eq!(at_login, (code, "FATAL".into(), message));
        // Nothing was changed.
        count(&client, "").await;
        assert_eq!(route(&client).await, to("replica", "read"), "{wrong}");
    }
    assert_eq!((verdicts(&weir, "other_system"), verdicts(&weir, "ahead")), (2, 2));

    for (wrong, _) in &worthless[..2] {
        count(&client, &format!("/* weir: min_lsn={wrong} */")).await;
        assert_eq!(route(&client).await, to("primary", "hint"), "{wrong}");
        assert!(weir.log().contains(&format!("min_lsn={wrong}: ")), "{}", weir.log());
    }
    // Nobody waits to tell whether it is only younger than what the clock was told last.
    count(&client, &format!("/* weir: min_lsn={} */", worthless[2].0)).await;
    assert_eq!(route(&client).await.0, "primary");
}

#[tokio::test]
async fn a_token_is_taken_while_no_primary_is_there_and_told_apart_behind_a_promotion() {
    let cluster = Cluster::builder().replicas(2).synchronous(1).start().unwrap();
    let mut config = config(&[("scope", "connection"), ("consistency", "eventual")]);
    config.pool.push(("failover_hold", "60s".to_owned()));
    let weir = Weir::start(WEIR, &cluster, &config);
    create_notes(&cluster, &weir).await;
    let (writer, reader) = (weir.client().await, weir.client().await);
    let token = write(&writer, 1).await;
    let set = format!("SET weir.min_lsn = '{token}'");
    for replica in cluster.replicas() {
        cluster.wait_caught_up(replica, SOON).unwrap();
    }
    cluster.primary().kill().unwrap();
    eventually("the primary is missed", SOON, || weir.primary().is_none());
    // Nobody is asked: it would take as long as the next promotion.
    tokio::time::timeout(SOON, reader.batch_execute(&set)).await.unwrap().unwrap();
    assert_eq!(verdicts(&weir, "taken"), 1);
    assert_eq!(count(&reader, "").await, 1);

    let (heir, other) = (cluster.replicas()[0], cluster.replicas()[1]);
    heir.promote().unwrap();
    other.follow(heir).unwrap();
    eventually("the heir leads", SOON, || weir.primary().as_deref() == Some(heir.name()));
    reader.batch_execute(&set).await.unwrap();
    assert_eq!(verdicts(&weir, "other_timeline"), 1);
    assert!(weir.log().contains("other_timeline"), "{}", weir.log());
    // Under eventual, too, a replica of the new branch serves once it is as far as its primary was.
    let mut reads = 0;
    while {
        assert_eq!(count(&reader, "").await, 1);
        Route::last(&reader).await.node != other.name()
    } {
        reads += 1;
        assert!(reads < 100_000, "a replica of the new branch serves no read");
    }
}
