//! A cluster, and Weir under callgrind in front of it.

use std::fs;
use std::path::Path as File;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use testkit::Cluster;
use weir_bench::service::Scratch;
use weir_bench::weir::{USER, beside, nodes, read_ports, text};

use crate::callgrind::Callgrind;
use crate::client::Client;
use crate::path::Path;
use crate::report::Row;
use crate::{Outcome, tell};

/// Batches of a row; the least counts: what else wakes the worker now and then, a probe's news or its
/// walk over all sessions, only adds.
const BATCHES: usize = 15;

/// Before these all is warm: servers are open, classes cached.
const WARM_UP: u32 = 50;

/// What runs.
pub(crate) struct Stage {
    cluster: Cluster,
    weir: Callgrind,
    port: u16,
    tls: Arc<ClientConfig>,
    /// The thread that serves clients.
    worker: u32,
}

impl Stage {
    /// Starts all of it; returns when a replica serves reads.
    pub(crate) fn start(scratch: &Scratch, program: Option<&File>) -> Outcome<Self> {
        tell("starting a primary, a replica, and Weir under valgrind");
        let cluster = Cluster::builder().replicas(1).trust().start()?;
        cluster.primary().psql_in(
            USER,
            &format!(
                "CREATE TABLE counted (id int PRIMARY KEY, v bigint NOT NULL) WITH (fillfactor = 10);
                 INSERT INTO counted SELECT id, 0 FROM generate_series(1, 100) id;
                 ALTER TABLE counted OWNER TO {USER}; VACUUM ANALYZE counted"
            ),
        )?;
        for replica in cluster.replicas() {
            cluster.wait_caught_up(replica, Duration::from_secs(60))?;
        }
        let program = program.map_or_else(|| beside("weir"), |given| Ok(given.to_owned()))?;
        let (config, ports) = (scratch.path().join("weir.yaml"), scratch.path().join("weir.ports"));
        let tls = certify(scratch.path())?;
        fs::write(&config, yaml(&cluster, scratch.path()))?;
        let words = [text(&program)?, "serve", "-c", text(&config)?, "--ports-file", text(&ports)?];
        let mut weir = Callgrind::start(&scratch.path().join("weir"), &words)?;
        let port = weir.wait(|| {
            let said = fs::read_to_string(&ports).map_err(|error| error.to_string())?;
            read_ports(&said)
                .map(|(port, _)| port)
                .ok_or_else(|| format!("its ports file says {said:?}"))
        })?;
        let worker = weir.thread("worker-0")?;
        let mut stage = Self { cluster, weir, port, tls, worker };
        stage.warm_up()?;
        Ok(stage)
    }

    /// Waits until reads go where they will go.
    fn warm_up(&mut self) -> Outcome<()> {
        let mut client = Client::connect(self.port, USER, None)?;
        let mut read = || {
            for request in Path::Simple.requests(0) {
                client.ask(&request)?;
            }
            client.last_route()
        };
        self.weir.wait(|| match read() {
            Ok(route) if route.starts_with(Path::Simple.route()) => Ok(()),
            Ok(route) => Err(format!("reads go elsewhere: {route}")),
            Err(error) => Err(error.to_string()),
        })?;
        Ok(())
    }

    /// The version of the servers, whose answers are part of what is counted.
    pub(crate) fn server(&self) -> Outcome<String> {
        Ok(self.cluster.primary().psql("SHOW server_version")?)
    }

    /// Counts one kind of transaction.
    pub(crate) fn measure(&mut self, path: Path) -> Outcome<Row> {
        let tls = (path == Path::Tls).then_some(&self.tls);
        let mut client = Client::connect(self.port, USER, tls)?;
        if let Some(first) = path.first() {
            client.ask(&first)?;
        }
        let mut number = 0_u32;
        let mut run = |times: u32| -> Outcome<()> {
            for _ in 0..times {
                number = number.saturating_add(1);
                for request in path.requests(number) {
                    client.ask(&request)?;
                }
            }
            Ok(())
        };
        run(WARM_UP.min(path.batch()))?;
        settle();
        self.weir.count(self.worker)?;
        let mut least = u64::MAX;
        for _ in 0..BATCHES {
            run(path.batch())?;
            settle();
            least = least.min(self.weir.count(self.worker)?);
        }
        let units = u64::from(path.batch().saturating_mul(path.units()));
        let route = client.last_route()?;
        if !route.starts_with(path.route()) {
            return Err(format!("{} went elsewhere: {route}", path.name()).into());
        }
        let instructions = least.checked_div(units).ok_or("a batch of nothing")?;
        let unsteady = path.unsteady();
        Ok(Row {
            name: format!("path: {}", path.name()),
            instructions,
            unit: path.unit(),
            unsteady,
        })
    }
}

/// The worker has answered, but may still be busy with what comes behind an answer.
fn settle() {
    std::thread::sleep(Duration::from_millis(20));
}

/// Makes a certificate for Weir, and what trusts it.
fn certify(folder: &File) -> Outcome<Arc<ClientConfig>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    fs::write(folder.join("weir.crt"), made.cert.pem())?;
    fs::write(folder.join("weir.key"), made.signing_key.serialize_pem())?;
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone())?;
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}

fn yaml(cluster: &Cluster, folder: &File) -> String {
    let folder = folder.display();
    format!(
        "\
listen: 127.0.0.1:0
workers: 1
admin: {{ listen: 127.0.0.1:0 }}
tls: {{ client: prefer, certificate: {folder}/weir.crt, key: {folder}/weir.key, server: disable }}
auth: {{ method: trust, users: {{ {USER}: {{ password: {USER} }} }} }}
pool: {{ mode: transaction, default_pool_size: 4 }}
clusters:
  main:
    nodes: [{}]
    monitor: {{ user: weir_monitor, password: weir_monitor }}
databases: {{ \"*\": {{ cluster: main }} }}
log: {{ level: warn }}
",
        nodes(cluster)
    )
}
