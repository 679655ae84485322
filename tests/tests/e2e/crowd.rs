//! Many clients: what they cost when idle, and whether they are served alike when busy.

use std::time::Duration;

use testkit::Cluster;
use weir_tests::crowd::{Crowd, Door, most};
use weir_tests::{Config, Weir};

use crate::WEIR;

/// As many as the limit of open files allows, else; `scripts/test.sh` raises that.
const CLIENTS: usize = 2000;
/// Resident bytes per idle client. `make load` measures the release build, which needs 2.1 KB; a
/// debug build's futures are larger, and what the allocator has at hand counts more among fewer.
const BOUND: u64 = 4096;

/// Without passwords: thousands of logins by SCRAM keep a debug build busy for half a minute.
fn open_rig() -> (Cluster, Weir) {
    let cluster = Cluster::builder().trust().start().unwrap();
    let weir = Weir::start(WEIR, &cluster, &Config { trust: true, ..Config::default() });
    (cluster, weir)
}

#[tokio::test]
async fn an_idle_client_costs_less_than_four_kibibytes() {
    let (_cluster, weir) = open_rig();
    let (door, mut crowd) = (Door::plain(weir.port()), Crowd::default());
    crowd.gather(&door, 100).await.unwrap();
    let before = weir.resident();
    let count = CLIENTS.min(most());
    crowd.gather(&door, count).await.unwrap();
    // Weir frees buffers that the logins needed at its next sweeps, one a second.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let bytes = weir.resident().saturating_sub(before) / u64::try_from(count).unwrap();
    assert!(bytes <= BOUND, "{bytes} bytes per idle client");
}

#[tokio::test]
async fn of_many_busy_clients_none_starves() {
    let (_cluster, weir) = open_rig();
    let mut crowd = Crowd::default();
    crowd.gather(&Door::plain(weir.port()), 300).await.unwrap();
    let waits = crowd.work(Duration::from_secs(1), Duration::from_secs(4)).await.unwrap();
    let (fewest, most) = waits.answers;
    let (median, longest) = (waits.permille(500), waits.permille(1000));
    // Twice what `make load` asks for: other tests share the machine, and a stall of theirs is a
    // long wait for all who wait meanwhile.
    assert!(longest <= median * 6, "the longest wait was {longest:?}, the median {median:?}");
    assert!(fewest > 0 && most <= fewest + fewest / 2 + 2, "{fewest} to {most} answers each");
}
