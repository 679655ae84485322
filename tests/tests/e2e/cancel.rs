//! A cancel request stops what its client runs, and nothing else.

use std::process::Stdio;
use std::time::Duration;

use testkit::Node;
use tokio_postgres::NoTls;
use weir_tests::{Config, Raw, eventually, now, say};

use crate::{SOON, one, pool, rig, soon, told};

fn sleeping(node: &Node) -> bool {
    let sql = "SELECT count(*) FROM pg_stat_activity \
               WHERE query LIKE '%pg_sleep(60)%' AND state = 'active' AND pid <> pg_backend_pid()";
    node.psql(sql).unwrap() != "0"
}

#[tokio::test]
async fn a_driver_cancels_on_the_primary_and_on_a_replica() {
    for more in ["", "workers: 2\n"] {
        let (cluster, weir) = rig(1, &Config { more: more.into(), ..Config::default() });
        let nodes = [cluster.primary(), cluster.replicas()[0]];
        for (node, sql) in nodes.into_iter().zip([
            "/* weir: route=primary */ SELECT pg_sleep(60)",
            "/* weir: route=replica */ SELECT pg_sleep(60)",
        ]) {
            let client = weir.client().await;
            let token = client.cancel_token();
            let running = tokio::spawn(async move {
                let ended = client.batch_execute(sql).await;
                (client, ended)
            });
            soon("the query runs", async || sleeping(node)).await;
            token.cancel_query(NoTls).await.unwrap();
            let (client, ended) = running.await.unwrap();
            assert_eq!(told(&ended.expect_err("it was cancelled")).0, "57014");
            assert!(!sleeping(node));
            assert_eq!(one(&client, "SELECT 1").await, "1");
        }
    }
}

#[test]
fn ctrl_c_ends_psql_at_once() {
    let (cluster, weir) = rig(1, &Config::default());
    let mut psql = weir.program("psql");
    psql.args(["-X", "-c", "SELECT pg_sleep(60)"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = psql.spawn().unwrap();
    eventually("the query runs", SOON, || cluster.nodes().iter().any(sleeping));
    let since = now();
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("canceling statement due to user request"), "{told}");
}

#[tokio::test]
async fn a_late_cancel_never_hits_the_next_user_of_the_server() {
    let (_cluster, weir) = rig(0, &pool(&[("default_pool_size", "1")]));
    let (hasty, patient) = (weir.client().await, weir.client().await);
    let token = hasty.cancel_token();
    let next = tokio::spawn(async move {
        for round in 0..300 {
            let answer = patient.batch_execute("SELECT pg_sleep(0.003)").await;
            answer.unwrap_or_else(|error| panic!("round {round}: {:?}", told(&error)));
        }
    });
    while !next.is_finished() {
        let (answer, sent) =
            tokio::join!(hasty.batch_execute("SELECT pg_sleep(0.001)"), token.cancel_query(NoTls));
        sent.unwrap();
        if let Err(error) = answer {
            assert_eq!(told(&error).0, "57014");
        }
    }
    next.await.unwrap();
}

#[test]
fn a_cancel_needs_the_whole_secret() {
    let (cluster, weir) = rig(0, &Config::default());
    let mut raw = Raw::login(weir.port(), "app", &[]).unwrap();
    let key = raw.greeting().iter().find(|message| message.tag == wire::tag::BACKEND_KEY);
    let key = wire::backend_key(&key.unwrap().body).unwrap();
    raw.send(&say::query("SELECT pg_sleep(60)"));
    eventually("the query runs", SOON, || sleeping(cluster.primary()));
    let cancel = |secret: Vec<u8>| {
        let mut out = Vec::new();
        wire::put_cancel(&mut out, &wire::CancelKey { pid: key.pid, secret });
        let mut other = Raw::connect(weir.port());
        other.send(&out);
        // Whoever asks learns nothing: the connection just ends.
        assert_eq!(other.some(), None);
    };
    let mut wrong = key.secret.clone();
    *wrong.last_mut().unwrap() ^= 1;
    cancel(wrong);
    cancel(Vec::from([0; 4]));
    assert!(sleeping(cluster.primary()));
    cancel(key.secret.clone());
    let heard = raw.until_ready();
    let error = heard.iter().find(|message| message.tag == wire::tag::ERROR).unwrap();
    assert_eq!(error.error().0, "57014");
}
