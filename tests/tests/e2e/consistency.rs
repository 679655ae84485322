//! A session reads its own writes, and reads are served by replicas all the same.

use testkit::Cluster;
use weir_tests::{Config, Weir};

use crate::WEIR;

#[tokio::test]
async fn ten_thousand_writes_are_read_back_while_replay_is_paused() {
    let cluster = Cluster::builder().replicas(2).start().unwrap();
    let weir = Weir::start(WEIR, &cluster, &Config::default());
    let client = weir.client().await;
    client.batch_execute("CREATE TABLE own (id int PRIMARY KEY)").await.unwrap();
    for replica in cluster.replicas() {
        cluster.wait_caught_up(replica, std::time::Duration::from_secs(10)).unwrap();
        replica.pause_replay().unwrap();
    }
    let insert = client.prepare("INSERT INTO own VALUES ($1)").await.unwrap();
    let select = client.prepare("SELECT id FROM own WHERE id = $1").await.unwrap();
    for id in 0..10_000_i32 {
        client.execute(&insert, &[&id]).await.unwrap();
        let rows = client.query(&select, &[&id]).await.unwrap();
        assert_eq!(rows.len(), 1, "row {id} was written and not read back");
    }
}
