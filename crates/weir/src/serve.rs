//! `weir serve`: start, signals, shutdown.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use proxy::Proxy;
use proxy::config::{Config, Live};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::cli::{self, complain, load};
use crate::clusters::Clusters;
use crate::config::Settings;
use crate::live::live;
use crate::reload::{self, carry_out};
use crate::signals::{Signals, Wish};
use crate::tls::{self, Renewable, TlsError};

/// How often the workers are looked after.
const PULSE: Duration = Duration::from_secs(1);

/// How long control and the admin API may take to close their connections.
const FAREWELL: Duration = Duration::from_secs(3);

/// Serves until a signal ends it.
#[must_use]
pub fn main(args: &cli::Serve) -> ExitCode {
    let settings = match load(&args.file.config) {
        Ok(settings) => settings,
        Err(problems) => {
            for problem in &problems {
                complain(&problem.to_string());
            }
            return ExitCode::FAILURE;
        }
    };
    if let Err(cause) = telemetry::init(settings.log.format, &settings.log.filter) {
        complain(&cause.to_string());
        return ExitCode::FAILURE;
    }
    // Control and admin live here, on one thread; the data path has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime
        .map_err(ServeError::Runtime)
        .and_then(|runtime| runtime.block_on(serve(args, settings)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            error!(error = %cause, "weir ends");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: &cli::Serve, settings: Settings) -> Result<(), ServeError> {
    let mut signals = Signals::new().map_err(ServeError::Runtime)?;
    let mut running = Running::start(settings).await?;
    running.announce(args.ports_file.as_deref())?;
    let mut pulse = tokio::time::interval(PULSE);
    loop {
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::Reload => running.reload(&args.file.config).await,
                Wish::Stop => break,
            },
            () = running.clusters.failed() => return Err(ServeError::ControlEnded),
            _ = pulse.tick() => if !running.proxy.is_accepting() {
                return Err(ServeError::WorkerEnded);
            },
        }
    }
    info!("shutting down: cycles are finished first; a second signal ends at once");
    tokio::select! {
        () = running.shut_down() => info!("shut down"),
        () = signals.stop() => warn!("ended at once by a second signal"),
    }
    Ok(())
}

/// Everything that runs.
struct Running {
    /// What the fixed parts were started with.
    started: Settings,
    /// What is in force.
    current: Settings,
    clusters: Clusters,
    live: watch::Sender<Arc<Live>>,
    certificate: Option<Arc<Renewable>>,
    proxy: Proxy,
    admin: Admin,
}

/// The admin API's task.
struct Admin {
    address: SocketAddr,
    accepting: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    task: JoinHandle<io::Result<()>>,
}

impl Running {
    async fn start(settings: Settings) -> Result<Self, ServeError> {
        for warning in &settings.warnings {
            warn!(%warning, "configuration");
        }
        let listener = listen(settings.admin.listen).await?;
        let clusters = Clusters::start(&settings, None);
        let rules = live(&settings, &clusters.links, None).map_err(ServeError::Random)?;
        let (live, rules) = watch::channel(Arc::new(rules));
        let identity = settings.tls.identity.as_ref();
        let certificate =
            identity.map(|identity| Arc::new(Renewable::new(Arc::clone(&identity.certified))));
        let client_tls =
            certificate.as_ref().map(|certificate| tls::server_config(Arc::clone(certificate)));
        let config = Config {
            listen: settings.listen,
            workers: settings.workers,
            client_tls: client_tls.transpose().map_err(ServeError::Tls)?,
        };
        let proxy = Proxy::start(&config, &rules)
            .map_err(|cause| ServeError::Listen(settings.listen, cause))?;
        let admin = Admin::start(listener, &settings, (&clusters, &proxy), rules)?;
        let current = settings.clone();
        Ok(Self { started: settings, current, clusters, live, certificate, proxy, admin })
    }

    /// Says where it listens, to people and to the file that tests read.
    fn announce(&self, ports_file: Option<&Path>) -> Result<(), ServeError> {
        let (sql, admin) = (self.proxy.local_addr(), self.admin.address);
        if let Some(path) = ports_file {
            write_ports(path, sql, admin)
                .map_err(|cause| ServeError::Ports(path.to_owned(), cause))?;
        }
        info!(%sql, %admin, "listening on {sql}, admin on {admin}");
        Ok(())
    }

    /// Reads the file again; with mistakes in it nothing changes.
    async fn reload(&mut self, path: &Path) {
        let new = match load(path) {
            Ok(new) => new,
            Err(problems) => {
                for problem in &problems {
                    error!(%problem, "reload refused");
                }
                return;
            }
        };
        let before = Arc::clone(&self.live.borrow());
        let rules = match live(&new, &self.clusters.links, Some(&before)) {
            Ok(rules) => Live { client_tls: reload::client_tls(&self.started, &new), ..rules },
            Err(cause) => return error!(error = %cause, "reload refused"),
        };
        let plan = reload::plan(&self.started, &self.current, &new);
        if let (Some(shown), Some(identity)) = (&self.certificate, &new.tls.identity) {
            shown.renew(Arc::clone(&identity.certified));
        }
        self.live.send_replace(Arc::new(rules));
        for (cluster, change) in plan.members {
            let Some(commands) = self.clusters.commands.get(&cluster) else { continue };
            let wanted = format!("{change:?}");
            match carry_out(commands, change).await {
                Ok(()) => info!(cluster, change = wanted, "member changed"),
                Err(cause) => {
                    error!(cluster, change = wanted, error = %cause, "member not changed");
                }
            }
        }
        info!(applied = ?plan.applied, needs_restart = ?plan.restart, "reloaded");
        self.current = new;
    }

    /// Takes no more clients, finishes cycles, then stops the rest.
    async fn shut_down(self) {
        self.admin.accepting.send_replace(false);
        self.proxy.shutdown().await;
        self.admin.stop.send_replace(true);
        let rest = async {
            self.clusters.stop().await;
            drop(self.admin.task.await);
        };
        if tokio::time::timeout(FAREWELL, rest).await.is_err() {
            warn!("some admin or control connections were cut");
        }
    }
}

impl Admin {
    fn start(
        listener: TcpListener,
        settings: &Settings,
        (clusters, proxy): (&Clusters, &Proxy),
        live: watch::Receiver<Arc<Live>>,
    ) -> Result<Self, ServeError> {
        let address = listener.local_addr().map_err(ServeError::Runtime)?;
        let (accepting, accepts) = watch::channel(true);
        let (stop, mut stopped) = watch::channel(false);
        let token = settings.admin.token.as_ref();
        let state = admin::State {
            live,
            commands: clusters.commands.clone(),
            setups: clusters.setups.clone(),
            workers: proxy.workers(),
            metrics: vec![proxy.metrics()],
            accepting: accepts,
            token: token.map(|token| Arc::from(token.expose())),
        };
        let until = async move { drop(stopped.wait_for(|stop| *stop).await) };
        let task = tokio::spawn(admin::serve(listener, state, until));
        Ok(Self { address, accepting, stop, task })
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|cause| ServeError::Listen(address, cause))
}

/// Writes beside the file and renames, so that nobody reads half of it.
fn write_ports(path: &Path, sql: SocketAddr, admin: SocketAddr) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let ports = serde_json::json!({ "sql": sql.port(), "admin": admin.port() });
    std::fs::write(&beside, format!("{ports}\n"))?;
    std::fs::rename(&beside, path)
}

/// Why `weir serve` could not start, or ended.
#[derive(Debug)]
enum ServeError {
    /// The operating system refused a runtime, a signal or an address.
    Runtime(io::Error),
    /// An address can't be listened on.
    Listen(SocketAddr, io::Error),
    /// No random numbers.
    Random(getrandom::Error),
    /// TLS can't be set up.
    Tls(TlsError),
    /// The file for the ports can't be written.
    Ports(PathBuf, io::Error),
    /// Control of a cluster has panicked: without it nothing is known of nodes.
    ControlEnded,
    /// A worker has panicked: its clients are gone, and new ones would meet nobody.
    WorkerEnded,
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runtime(cause) => write!(f, "the operating system refuses: {cause}"),
            Self::Listen(address, cause) => write!(f, "can't listen on {address}: {cause}"),
            Self::Random(cause) => write!(f, "no random numbers: {cause}"),
            Self::Tls(cause) => write!(f, "TLS: {cause}"),
            Self::Ports(path, cause) => write!(f, "can't write {}: {cause}", path.display()),
            Self::ControlEnded => f.write_str("control of a cluster ended unexpectedly"),
            Self::WorkerEnded => f.write_str("a worker of the data path ended unexpectedly"),
        }
    }
}
