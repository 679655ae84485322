//! What is measured of a Weir under load: CPU time per transaction, memory, and work while nobody asks.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use testkit::Cluster;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use weir_bench::cpu::{Meter, Placement, Reading, Used};
use weir_bench::service::Host;
use weir_bench::weir::{USER, Weir};

use crate::args::Args;
use crate::client::{Client, Crowd, query};

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// Clients that are busy while others are idle.
const BUSY: usize = 16;

/// What comes before anything counts.
const WARM_UP: Duration = Duration::from_millis(500);

/// How long a Weir is watched that nobody asks anything.
const REST: Duration = Duration::from_secs(5);

/// Files that this process and Weir need besides clients.
const OTHER_FILES: usize = 600;

/// Read on the primary or a replica alike, by one key.
const QUESTION: &str = "SELECT relname FROM pg_class WHERE oid = 1259";

/// One Weir and those who are connected to it.
#[derive(Debug)]
pub(crate) struct Rig {
    weir: Weir,
    meter: Meter,
    clients: Vec<Client>,
    came: usize,
}

impl Rig {
    /// Starts a Weir with time limits, so that it has sessions to watch.
    pub(crate) fn start(args: &Args, cluster: &Cluster, folder: &Path) -> Outcome<Self> {
        // What an earlier one said of its ports must not be taken for this one's.
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir(folder)?;
        let host = Host { folder, placement: Placement::Free };
        let weir = Weir::start_with(args.weir.as_deref(), host, ("weir", &yaml(cluster)))?;
        Ok(Self { weir, meter: Meter::of_this_system(), clients: Vec::new(), came: 0 })
    }

    /// Lets clients come until there are so many, in one database.
    async fn gather(&mut self, count: usize, database: &str) -> Outcome<()> {
        while self.clients.len() < count {
            let mut client = Client::login(self.weir.port, self.came, database).await?;
            client.talk(&query(QUESTION)).await?;
            self.came = self.came.saturating_add(1);
            self.clients.push(client);
        }
        Ok(())
    }

    /// Lets the newest `busy` clients ask, and tells what that cost.
    async fn cost(&mut self, busy: usize, seconds: u16) -> Outcome<Cost> {
        let idle = self.clients.len().saturating_sub(busy);
        let crowd = Crowd::work(self.clients.split_off(idle), &query(QUESTION));
        sleep(WARM_UP).await;
        let (start, used, answers) = (Instant::now(), self.used()?, crowd.answers());
        sleep(Duration::from_secs(seconds.into())).await;
        let (used, asked) = (self.used()?.since(&used), crowd.answers().saturating_sub(answers));
        let took = start.elapsed();
        self.clients.extend(crowd.rest().await?);
        Cost::of(used, asked, took)
    }

    fn used(&mut self) -> Result<Reading, String> {
        self.weir.service.read(self.meter)
    }

    /// CPU time while nobody asks anything, milliseconds in a second.
    async fn at_rest(&mut self) -> Outcome<f64> {
        sleep(WARM_UP).await;
        let (start, used) = (Instant::now(), self.used()?);
        sleep(REST).await;
        let used = self.used()?.since(&used);
        Ok((used.user + used.system) * 1e3 / start.elapsed().as_secs_f64())
    }

    /// Resident memory, KiB.
    fn resident(&mut self) -> Result<f64, String> {
        self.weir.service.resident()
    }

    /// How long `/metrics` takes, milliseconds.
    async fn scrape(&self) -> Outcome<f64> {
        let start = Instant::now();
        let mut stream = TcpStream::connect(("127.0.0.1", self.weir.admin)).await?;
        let request = "GET /metrics HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        if !answer.starts_with("HTTP/1.1 200") {
            return Err("/metrics was refused".into());
        }
        Ok(start.elapsed().as_secs_f64() * 1e3)
    }
}

/// What work cost.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// Weir's CPU time per transaction, microseconds.
    cpu: f64,
    per_second: f64,
}

impl Cost {
    fn of(used: Used, asked: u64, took: Duration) -> Outcome<Self> {
        let asked = number(asked);
        if asked <= 0.0 {
            return Err("nobody was answered".into());
        }
        let cpu = (used.user + used.system) * 1e6 / asked;
        Ok(Self { cpu, per_second: asked / took.as_secs_f64() })
    }
}

/// Idle clients beside busy ones: by how much do they make those dearer?
pub(crate) async fn idle(args: &Args, [calm, rig]: &mut [Rig; 2]) -> Outcome<Vec<Vec<f64>>> {
    let most = args.idle.min(most_files()?);
    calm.gather(BUSY, USER).await?;
    rig.gather(BUSY, USER).await?;
    let mut rows = Vec::new();
    let before = rig.resident()?;
    for idle in [0, most / 20, most / 2, most] {
        rig.gather(idle.saturating_add(BUSY), USER).await?;
        let rest = rig.at_rest().await?;
        let grown = (rig.resident()? - before) / number(idle.max(1));
        let (base, cost, ratio) = beside(args, calm, rig, BUSY).await?;
        rows.push(vec![number(idle), grown, rest, base, cost, ratio]);
    }
    Ok(rows)
}

/// The medians of what both cost, and of the ratio, round by round.
async fn beside(
    args: &Args,
    calm: &mut Rig,
    rig: &mut Rig,
    busy: usize,
) -> Outcome<(f64, f64, f64)> {
    let (mut base, mut cost, mut ratio) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        base.push(calm.cost(BUSY, args.seconds).await?.cpu);
        cost.push(rig.cost(busy, args.seconds).await?.cpu);
        ratio.extend(base.last().zip(cost.last()).map(|(base, cost)| cost / base));
    }
    Ok((median(base), median(cost), median(ratio)))
}

/// Clients that wait for servers: what does a longer line cost each transaction?
pub(crate) async fn waiting(args: &Args, [calm, rig]: &mut [Rig; 2]) -> Outcome<Vec<Vec<f64>>> {
    let most = args.waiting.min(most_files()?);
    calm.gather(BUSY, USER).await?;
    let mut rows = Vec::new();
    for clients in [most / 40, most / 4, most] {
        rig.gather(clients, USER).await?;
        let (base, cost, ratio) = beside(args, calm, rig, clients).await?;
        rows.push(vec![number(clients), base, cost, ratio]);
    }
    Ok(rows)
}

/// Databases with a pool each: memory, what they cost at rest, a scrape, and a transaction.
pub(crate) async fn databases(args: &Args, [calm, rig]: &mut [Rig; 2]) -> Outcome<Vec<Vec<f64>>> {
    calm.gather(BUSY, USER).await?;
    let mut rows = Vec::new();
    let before = rig.resident()?;
    for databases in [BUSY, args.databases / 10, args.databases] {
        while rig.clients.len() < databases {
            let database = format!("tenant_{}", rig.clients.len());
            rig.gather(rig.clients.len().saturating_add(1), &database).await?;
        }
        let rest = rig.at_rest().await?;
        let scrape = rig.scrape().await?;
        let grown = (rig.resident()? - before) / number(databases);
        let (base, cost, ratio) = beside(args, calm, rig, BUSY).await?;
        rows.push(vec![number(databases), grown, rest, scrape, base, cost, ratio]);
    }
    Ok(rows)
}

/// Statements that were never seen before, through one session.
///
/// `ask` makes the bytes for a number.
pub(crate) async fn statements(
    args: &Args,
    [_, rig]: &mut [Rig; 2],
    ask: fn(usize) -> Vec<u8>,
) -> Outcome<Vec<Vec<f64>>> {
    const PARTS: usize = 5;
    rig.gather(1, USER).await?;
    let part = args.statements.div_ceil(PARTS);
    let mut rows = Vec::new();
    let Some(mut client) = rig.clients.pop() else { return Err("nobody came".into()) };
    for turn in 0..PARTS {
        let (start, used) = (Instant::now(), rig.used()?);
        let from = turn.saturating_mul(part);
        let to = from.saturating_add(part);
        for number in from..to {
            client.talk(&ask(number)).await?;
        }
        let asked = u64::try_from(part).unwrap_or(u64::MAX);
        let cost = Cost::of(rig.used()?.since(&used), asked, start.elapsed())?;
        rows.push(vec![number(to), rig.resident()? / 1024.0, cost.per_second, cost.cpu]);
    }
    Ok(rows)
}

/// A simple query of a shape that no other has.
pub(crate) fn text(number: usize) -> Vec<u8> {
    query(&format!("SELECT relname AS name_{number} FROM pg_class WHERE oid = 1259"))
}

/// The same as a named statement that is prepared, run and closed.
pub(crate) fn prepared(number: usize) -> Vec<u8> {
    let text = format!("SELECT relname AS name_{number} FROM pg_class WHERE oid = 1259");
    let mut out = Vec::new();
    wire::put_parse(&mut out, b"s", text.as_bytes(), b"");
    wire::put_bind(&mut out, b"", b"s", &[0; 6]);
    wire::put_execute(&mut out, b"", 0);
    wire::put_close(&mut out, wire::Described::Statement, b"s");
    wire::put_sync(&mut out);
    out
}

/// How many clients this process and Weir may have, by their limit of open files.
fn most_files() -> Outcome<usize> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()).ok_or("no limit of files")?;
    Ok(soft.parse().unwrap_or(usize::MAX).saturating_sub(OTHER_FILES))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn number(count: impl TryInto<u32>) -> f64 {
    count.try_into().map_or(f64::INFINITY, f64::from)
}

fn yaml(cluster: &Cluster) -> String {
    let node = cluster.primary();
    format!(
        "\
listen: 127.0.0.1:0
workers: 1
admin: {{ listen: 127.0.0.1:0 }}
auth: {{ method: trust, users: {{ {USER}: {{ password: {USER} }} }} }}
pool:
  mode: transaction
  default_pool_size: 20
  max_client_conn: 1000000
  client_idle_timeout: 1h
  idle_transaction_timeout: 1h
clusters:
  main:
    nodes: [{{ name: {}, host: {}, port: {} }}]
    monitor: {{ user: weir_monitor, password: weir_monitor }}
databases:
  \"*\": {{ cluster: main }}
  \"tenant_*\": {{ cluster: main, dbname: {USER}, pool_size: 1 }}
log: {{ level: warn }}
",
        node.name(),
        node.host(),
        node.port(),
    )
}
