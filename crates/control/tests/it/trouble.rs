//! What goes wrong is said clearly, and ends nothing else.

use std::sync::Arc;

use control::{ServerTls, Setup};
use policy::{Health, Role, Ticket};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use testkit::Cluster;

use crate::gate::Gate;
use crate::rig::{Plan, mute, view, wait_for_no_probe};

#[tokio::test]
async fn a_wrong_password_takes_the_node_down_with_a_clear_word_in_the_log() {
    let cluster = Cluster::builder().start().unwrap();
    let name = cluster.primary().name();
    let mut plan = Plan::of(&cluster);
    plan.monitor.password = Some("not-the-password".into());
    let mut rig = plan.start();
    rig.until("the failure", |seen| view(seen, name).health == Health::Down).await;
    let log = rig.log();
    assert!(log.contains("password authentication failed for user \"weir_monitor\""), "{log}");
    assert!(log.contains("28P01") && log.contains("check the password of `monitor`"), "{log}");
    assert!(!log.contains("not-the-password"), "{log}");

    // Once the password fits, the node is back without a restart of anything.
    cluster.primary().psql("ALTER ROLE weir_monitor PASSWORD 'not-the-password'").unwrap();
    rig.until_led_by(cluster.primary(), &[]).await;
    assert_eq!(rig.log().matches("password authentication failed").count(), 1, "{}", rig.log());
    assert!(rig.is_running());
}

#[tokio::test]
async fn a_host_that_accepts_and_says_nothing_is_down_and_holds_up_nobody() {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let (_listener, silent) = mute("silent");
    let mut plan = Plan::of(&cluster);
    plan.nodes.insert(0, silent);
    let mut rig = plan.start();
    rig.until_led_by(cluster.primary(), &cluster.replicas()).await;
    rig.until("the silence", |seen| view(seen, "silent").health == Health::Down).await;
    assert!(rig.log().contains("no answer within"), "{}", rig.log());
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_given_up_and_made_anew() {
    let cluster = Cluster::builder().start().unwrap();
    let primary = cluster.primary();
    let gate = Gate::new(primary);
    let mut plan = Plan::of(&cluster);
    plan.nodes = vec![gate.spec(primary)];
    let mut rig = plan.start();
    rig.answer(Ticket(0)).await;
    gate.hold();
    let ticket = rig.take_ticket();
    rig.until("the silence", |seen| view(seen, primary.name()).health == Health::Down).await;
    assert!(rig.answers.borrow().covering(ticket).is_none());
    gate.open();
    rig.until_led_by(primary, &[]).await;
    assert!(rig.answer(ticket).await.through >= ticket);
}

#[tokio::test]
async fn without_pg_monitor_a_replicas_timeline_is_unknown() {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let replicas = cluster.replicas();
    cluster.primary().psql("REVOKE pg_monitor FROM weir_monitor").unwrap();
    cluster.wait_caught_up(replicas[0], crate::rig::PATIENCE).unwrap();
    let mut rig = Plan::of(&cluster).start();
    let known =
        rig.until("the role", |seen| view(seen, replicas[0].name()).role == Role::Replica).await;
    assert!(rig.log().contains("grant pg_monitor"), "{}", rig.log());
    let position = view(&known, replicas[0].name()).position;
    assert!(position.is_none_or(|position| position.timeline.is_none()), "{position:?}");
    let hidden = Setup { timeline_hidden: true, ..Setup::default() };
    assert_eq!(rig.setups.borrow().get(replicas[0].name()), Some(&hidden));
}

#[tokio::test]
async fn how_a_node_is_set_up_is_told_and_told_again_when_it_changes() {
    let cluster = Cluster::builder().start().unwrap();
    let primary = cluster.primary();
    let mut rig = Plan::of(&cluster).start();
    rig.until_led_by(primary, &[]).await;
    assert_eq!(rig.setups.borrow().get(primary.name()), Some(&Setup::default()));
    // No such standby: nothing is written to the primary from here on.
    let changes = "ALTER SYSTEM SET synchronous_commit = 'off'; \
                   ALTER SYSTEM SET synchronous_standby_names = 'nobody'; SELECT pg_reload_conf()";
    primary.psql(changes).unwrap();
    let expected =
        Setup { synchronous_standbys: true, asynchronous_commit: true, timeline_hidden: false };
    let told = rig.setups.wait_for(|setups| setups.get(primary.name()) == Some(&expected));
    tokio::time::timeout(crate::rig::PATIENCE, told).await.unwrap().unwrap();
}

#[tokio::test]
async fn nothing_stays_connected_after_the_end() {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let mut rig = Plan::of(&cluster).start();
    rig.until_led_by(cluster.primary(), &cluster.replicas()).await;
    rig.answer(Ticket(0)).await;
    drop(rig);
    cluster.nodes().iter().for_each(wait_for_no_probe);
}

fn verify_against(pem: &[u8]) -> ServerTls {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    ServerTls::VerifyFull(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

#[tokio::test]
async fn probes_use_tls_and_verify_the_server() {
    let cluster = Cluster::builder().tls().start().unwrap();
    let pem = std::fs::read(cluster.ca().unwrap()).unwrap();
    let mut rig = Plan::of(&cluster).tls(verify_against(&pem)).start();
    rig.until_led_by(cluster.primary(), &[]).await;
    let sessions = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE application_name = 'weir_probe'";
    assert_eq!(cluster.primary().psql(sessions).unwrap(), "t");
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_is_down() {
    let cluster = Cluster::builder().tls().start().unwrap();
    let mut rig = Plan::of(&cluster).tls(verify_against(b"")).start();
    let name = cluster.primary().name();
    rig.until("the refusal", |seen| view(seen, name).health == Health::Down).await;
    assert!(rig.log().contains("UnknownIssuer"), "{}", rig.log());
}
