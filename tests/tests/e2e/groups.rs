//! Groups of extended messages go where the strongest of their statements must, and answer in order.

use testkit::Cluster;
use weir_tests::say::{bind, execute, parse, query, sync};
use weir_tests::{Config, Raw, Weir, eventually, tags};

use crate::{SOON, rig};

/// A replica that shows the table `t`, and Weir knows it.
fn stage() -> (Cluster, Weir) {
    let (cluster, weir) = rig(1, &Config::default());
    assert!(weir.psql("CREATE TABLE t (n int)").ok);
    eventually("the table is known", SOON, || {
        weir.explain("app", "SELECT n FROM t").json()["class"] == "read"
    });
    cluster.wait_caught_up(cluster.replicas()[0], SOON).unwrap();
    (cluster, weir)
}

fn run(sql: &str) -> Vec<u8> {
    [parse("", sql), bind("", ""), execute("", 0)].concat()
}

/// Where the last cycle went.
fn route(raw: &mut Raw) -> String {
    let heard = raw.talk(&query("SHOW weir.last_route"));
    heard[1].line()
}

#[test]
fn a_group_that_reads_and_then_writes_runs_on_the_primary_as_a_whole() {
    let (_cluster, weir) = stage();
    let mut raw = Raw::login(weir.port(), "app", &[]).unwrap();
    let group = [run("SELECT n FROM t"), run("INSERT INTO t VALUES (1)"), sync()].concat();
    assert_eq!(tags(&raw.talk(&group)), "12C12CZ");
    assert!(route(&mut raw).contains("primary a write"), "{}", route(&mut raw));
}

#[test]
fn a_write_that_was_prepared_in_a_group_of_its_own_is_run_on_the_primary() {
    let (_cluster, weir) = stage();
    let mut raw = Raw::login(weir.port(), "app", &[]).unwrap();
    let prepare = [parse("w", "INSERT INTO t VALUES (1)"), sync()].concat();
    assert_eq!(tags(&raw.talk(&prepare)), "1Z");
    let run = [bind("", "w"), execute("", 0), sync()].concat();
    assert_eq!(tags(&raw.talk(&run)), "2CZ");
    assert!(route(&mut raw).contains("primary a write"), "{}", route(&mut raw));
}

#[test]
fn a_read_behind_a_write_in_one_packet_sees_it_and_the_answers_keep_their_order() {
    let (_cluster, weir) = stage();
    let mut raw = Raw::login(weir.port(), "app", &[]).unwrap();
    for round in 1..=20 {
        let count = || [run("SELECT count(*) FROM t"), sync()].concat();
        raw.send(&[count(), run("INSERT INTO t VALUES (1)"), sync(), count()].concat());
        let heard = [raw.until_ready(), raw.until_ready(), raw.until_ready()];
        assert_eq!(heard.each_ref().map(|group| tags(group)), ["12DCZ", "12CZ", "12DCZ"]);
        let seen = heard[2][2].line();
        assert!(seen.contains(&format!("{round}")), "{seen} in round {round}");
    }
}
