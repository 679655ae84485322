//! What a changed file changes, and what waits for a restart.

use policy::cluster::NodeSpec;
use proxy::config::ClientTls;
use weir::clusters::Clusters;
use weir::config::{Settings, parse};
use weir::live::live;
use weir::reload::{Change, Plan, client_tls, plan};

// `cfg(test)` is always true here; clippy takes helpers below it for test code.
#[cfg(test)]
mod given {
    use super::*;

    pub(crate) const BEFORE: &str = "
auth: { users: { app: { password: one }, old: { password: two } } }
pool: { default_pool_size: 5 }
clusters:
  main:
    nodes:
      - { name: a, host: h, port: 1 }
      - { name: b, host: h, port: 2 }
";

    pub(crate) fn settings(yaml: &str) -> Settings {
        parse(yaml, &|_| None).unwrap()
    }

    /// The plan when `from` is replaced by `to` in the file.
    pub(crate) fn changed(from: &str, to: &str) -> Plan {
        assert!(BEFORE.contains(from), "{from}");
        let before = settings(BEFORE);
        plan(&before, &before, &settings(&BEFORE.replace(from, to)))
    }
}

use given::{BEFORE, changed, settings};

#[test]
fn the_same_file_changes_nothing() {
    assert_eq!(changed("h", "h"), Plan::default());
}

#[test]
fn pool_sizes_and_users_apply_at_once() {
    assert_eq!(changed("size: 5", "size: 6").applied, ["pool"]);
    assert_eq!(changed("password: one", "password: three").applied, ["auth"]);
    assert_eq!(
        changed("clusters:", "reads: { max_lag: 2s }\nclusters:").applied,
        ["databases and reads"]
    );
}

#[test]
fn addresses_and_threads_wait_for_a_restart() {
    let moved = changed("clusters:", "listen: 127.0.0.1:1\nworkers: 2\nclusters:");
    assert_eq!(moved.restart, ["listen", "workers"]);
    let probes = changed("nodes:", "probe_interval: 300ms\n    nodes:");
    assert_eq!(probes.restart, ["clusters.main.probe_interval"]);
    let renamed = changed("main:", "other:");
    assert_eq!(renamed.restart, ["clusters.other (new)", "clusters.main (gone)"]);
}

#[test]
fn a_key_that_waits_is_told_at_every_reload_until_it_is_taken_back() {
    let started = settings(BEFORE);
    let moved = settings(&BEFORE.replace("clusters:", "workers: 2\nclusters:"));
    assert_eq!(plan(&started, &moved, &moved).restart, ["workers"]);
    assert_eq!(plan(&started, &moved, &started).restart, Vec::<String>::new());
}

#[test]
fn members_are_added_reweighed_and_removed() {
    let main = |change| ("main".to_owned(), change);
    let third = NodeSpec { name: "c".into(), host: "h".into(), port: 3, weight: 1 };
    let added = changed("port: 2 }", "port: 2 }\n      - { name: c, host: h, port: 3 }");
    assert_eq!(added.members, [main(Change::Add(third))]);
    let weighed = changed("port: 2", "port: 2, weight: 4");
    assert_eq!(weighed.members, [main(Change::Weigh("b".into(), 4))]);
    let moved = changed("port: 2", "port: 9");
    let renamed = changed("host: h, port: 2", "host: g, port: 2");
    assert_eq!(renamed.members.len(), 2, "another host is another node: {renamed:?}");
    let elsewhere = NodeSpec { name: "b".into(), host: "h".into(), port: 9, weight: 1 };
    assert_eq!(moved.members, [main(Change::Remove("b".into())), main(Change::Add(elsewhere))]);
}

#[test]
fn a_first_certificate_waits_for_a_restart_and_require_with_it() {
    let folder = std::env::temp_dir().join(format!("weir-first-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("crt"), folder.join("key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = format!(
        "tls: {{ client: require, certificate: {}, key: {} }}\nclusters:",
        certificate.display(),
        key.display()
    );
    let (plain, with) = (settings(BEFORE), settings(&BEFORE.replace("clusters:", &tls)));
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(client_tls(&plain, &with), ClientTls::Disable);
    assert_eq!(plan(&plain, &plain, &with).restart, ["tls.certificate (none before)"]);
    assert_eq!(client_tls(&with, &with), ClientTls::Require);
    assert_eq!(plan(&with, &with, &with), Plan::default());
}

#[tokio::test]
async fn a_reload_keeps_the_salts_of_users_whose_password_is_the_same() {
    let before = settings(BEFORE);
    let clusters = Clusters::start(&before, None);
    let first = live(&before, &clusters.links, None).unwrap();
    let after = settings(&BEFORE.replace("password: one", "password: new"));
    let second = live(&after, &clusters.links, Some(&first)).unwrap();
    let verifier =
        |live: &proxy::config::Live, user: &str| live.auth.users[user].verifier.to_string();
    assert_eq!(verifier(&first, "old"), verifier(&second, "old"));
    assert_ne!(verifier(&first, "app"), verifier(&second, "app"));
    assert_eq!(first.auth.mock_seed, second.auth.mock_seed);
    clusters.stop().await;
}

#[tokio::test]
async fn a_database_of_a_cluster_that_is_not_running_yet_is_left_out() {
    let before = settings(BEFORE);
    let clusters = Clusters::start(&before, None);
    let two = BEFORE.replace("clusters:", "databases: { shop: { cluster: new }, '*': { cluster: main } }\nclusters:\n  new: { nodes: [{ name: x, host: y }] }");
    let rules = live(&settings(&two), &clusters.links, None).unwrap();
    assert!(rules.databases.named().is_empty());
    assert_eq!(rules.database("shop").expect("*").cluster, "main");
    clusters.stop().await;
}
