//! TLS towards clients and towards servers.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use testkit::Cluster;
use tokio_postgres::NoTls;
use weir_tests::{Config, Raw, Said, Weir, eventually};

use crate::{SOON, WEIR, one, rig, soon, told};

/// A cluster whose servers offer TLS, and copies of its certificates that Weir and clients read.
struct Certificates {
    cluster: Cluster,
    folder: PathBuf,
}

impl Certificates {
    fn new() -> Self {
        let cluster = Cluster::builder().replicas(1).tls().start().unwrap();
        let folder = cluster.ca().unwrap().parent().unwrap().to_owned();
        Self { cluster, folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Weir shows clients the same certificate as the servers do.
    fn identity(&self, client: &str) -> Config {
        let tls = vec![
            ("client", client.to_owned()),
            ("certificate", self.path("server.pem")),
            ("key", self.path("server.key")),
        ];
        Config { tls, ..Config::default() }
    }
}

fn psql(weir: &Weir, mode: &str, ca: Option<&Path>, sql: &str) -> Said {
    let mut psql = weir.program("psql");
    psql.env("PGSSLMODE", mode).env("PGHOST", "localhost").args(["-XAt", "-c", sql]);
    if let Some(ca) = ca {
        psql.env("PGSSLROOTCERT", ca);
    }
    Said::by(&mut psql)
}

/// A certificate authority that signed nothing.
fn stranger(folder: &Path) -> PathBuf {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let path = folder.join("stranger.pem");
    std::fs::write(&path, authority.pem()).unwrap();
    path
}

#[test]
fn clients_may_use_tls_and_verify_whom_they_speak_to() {
    let certificates = Certificates::new();
    let weir = Weir::start(WEIR, &certificates.cluster, &certificates.identity("prefer"));
    let ca = certificates.cluster.ca().unwrap();
    assert_eq!(psql(&weir, "require", None, "SELECT 1").well(), "1\n");
    assert_eq!(psql(&weir, "verify-full", Some(&ca), "SELECT 1").well(), "1\n");
    assert_eq!(psql(&weir, "disable", None, "SELECT 1").well(), "1\n");
    let refused = psql(&weir, "verify-full", Some(&stranger(weir.folder())), "SELECT 1");
    assert!(!refused.ok && refused.err.contains("certificate verify failed"), "{}", refused.err);
}

#[tokio::test]
async fn a_client_without_tls_is_refused_where_it_is_required() {
    let certificates = Certificates::new();
    let weir = Weir::start(WEIR, &certificates.cluster, &certificates.identity("require"));
    assert_eq!(psql(&weir, "require", None, "SELECT 1").well(), "1\n");
    let error = weir.config("app", "app").connect(NoTls).await.err().expect("TLS is required");
    let (code, message, hint) = told(&error);
    assert_eq!(code, "28000");
    assert!(message.contains("only TLS"), "{message}");
    assert!(hint.contains("sslmode=require"), "{hint}");
}

#[test]
fn a_big_result_passes_through_tls_on_both_sides() {
    let certificates = Certificates::new();
    let mut config = certificates.identity("require");
    config.tls.push(("server", "require".to_owned()));
    let weir = Weir::start(WEIR, &certificates.cluster, &config);
    let sql = "SELECT repeat('x', 1000) FROM generate_series(1, 20000)";
    assert_eq!(psql(&weir, "require", None, sql).well().len(), 20_020_000);
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE usename IN ('app', 'weir_monitor')";
    for node in certificates.cluster.nodes() {
        assert_eq!(node.psql(encrypted).unwrap(), "t", "node {}", node.name());
    }
}

#[test]
fn a_cancel_request_finds_its_way_through_tls() {
    let certificates = Certificates::new();
    let mut config = certificates.identity("require");
    config.tls.push(("server", "require".to_owned()));
    let weir = Weir::start(WEIR, &certificates.cluster, &config);
    let mut psql = weir.program("psql");
    psql.env("PGSSLMODE", "require").args(["-X", "-c", "SELECT pg_sleep(60)"]);
    let child = psql.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%sleep(60)' \
                    AND state = 'active'";
    let replica = certificates.cluster.replicas()[0];
    eventually("the query runs", SOON, || replica.psql(sleeping).unwrap() == "1");
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("canceling statement due to user request"), "{told}");
}

#[tokio::test]
async fn servers_are_verified_if_that_is_asked_for() {
    let certificates = Certificates::new();
    let ca = certificates.path("ca.pem");
    let tls = vec![("server", "verify-full".to_owned()), ("ca", ca)];
    let weir = Weir::start(WEIR, &certificates.cluster, &Config { tls, ..Config::default() });
    let client = weir.client().await;
    assert_eq!(one(&client, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").await, "t");
}

#[tokio::test]
async fn servers_of_another_authority_are_refused_by_name() {
    let certificates = Certificates::new();
    let folder = std::env::temp_dir().join(format!("weir-stranger-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let ca = stranger(&folder).display().to_string();
    let tls = vec![("server", "verify-full".to_owned()), ("ca", ca)];
    let mut config = Config { tls, ..Config::default() };
    config.pool.push(("failover_hold", "300ms".to_owned()));
    let weir = Weir::launch(WEIR, &certificates.cluster, &config);
    soon("the log says why", async || weir.log().contains("certificate")).await;
    let error = weir.config("app", "app").connect(NoTls).await.err().expect("no server is trusted");
    let (code, message, hint) = told(&error);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(code, "53000", "{message}");
    assert!(message.contains("primary") && !hint.is_empty(), "{message} {hint}");
}

#[tokio::test]
async fn servers_without_tls_are_refused_where_it_is_required() {
    let cluster = Cluster::builder().start().unwrap();
    let tls = vec![("server", "require".to_owned())];
    let weir = Weir::launch(WEIR, &cluster, &Config { tls, ..Config::default() });
    soon("the log says why", async || weir.log().to_lowercase().contains("tls")).await;
}

#[test]
fn bytes_stuffed_behind_the_request_for_tls_are_refused() {
    let certificates = Certificates::new();
    let weir = Weir::start(WEIR, &certificates.cluster, &certificates.identity("prefer"));
    let mut stuffed = Vec::new();
    wire::put_ssl_request(&mut stuffed);
    wire::put_startup(&mut stuffed, 0, &[("user", "app"), ("database", "app")]);
    let mut raw = Raw::connect(weir.port());
    raw.send(&stuffed);
    let (code, message, _) = raw.message().expect("an error, unencrypted").error();
    assert_eq!(code, "08P01");
    assert!(message.contains("behind SSLRequest"), "{message}");
    assert_eq!(raw.message(), None);
    assert_eq!(psql(&weir, "require", None, "SELECT 1").well(), "1\n");
}

#[test]
fn without_a_certificate_a_request_for_tls_is_answered_no() {
    let (_cluster, weir) = rig(0, &Config::default());
    let mut request = Vec::new();
    wire::put_ssl_request(&mut request);
    let mut raw = Raw::connect(weir.port());
    raw.send(&request);
    assert_eq!(raw.some().as_deref(), Some(&b"N"[..]));
    assert_eq!(psql(&weir, "prefer", None, "SELECT 1").well(), "1\n");
    assert!(!psql(&weir, "require", None, "SELECT 1").ok);
}

#[test]
fn clients_by_tls_share_one_server_between_two_workers() {
    let certificates = Certificates::new();
    let mut config = certificates.identity("require");
    config.pool.push(("default_pool_size", "1".to_owned()));
    config.more.push_str("workers: 2\n");
    let weir = Weir::start(WEIR, &certificates.cluster, &config);
    psql(&weir, "require", None, "CREATE TABLE log (n int)").well();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..4 {
                    psql(&weir, "require", None, "INSERT INTO log VALUES (1)").well();
                }
            });
        }
    });
    assert_eq!(psql(&weir, "require", None, "SELECT count(*) FROM log").well(), "32\n");
    let servers = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'";
    assert_eq!(certificates.cluster.primary().psql(servers).unwrap(), "1");
}
