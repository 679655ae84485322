//! Clients under way while a cluster is broken, and what became of each row and read.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use testkit::Node;
use tokio::task::{JoinHandle, JoinSet};
use tokio_postgres::{Client, NoTls};
use weir_tests::{Weir, eventually};

use super::SOON;

/// A client, and the task that knows why its connection ended.
pub(super) struct Line {
    pub(super) client: Client,
    task: JoinHandle<Result<(), tokio_postgres::Error>>,
}

impl Line {
    pub(super) async fn open(config: &tokio_postgres::Config) -> Result<Self, String> {
        let connected = config.connect(NoTls).await;
        let (client, connection) = connected.map_err(|error| format!("login: {}", word(&error)))?;
        Ok(Self { client, task: tokio::spawn(connection) })
    }

    /// The SQLSTATE of what ended the connection; a driver may learn it besides its question.
    pub(super) async fn last_word(self, error: tokio_postgres::Error) -> String {
        let Self { client, task } = self;
        if error.code().is_some() || !client.is_closed() {
            return word(&error);
        }
        drop(client);
        task.await.unwrap().err().map_or_else(|| word(&error), |error| word(&error))
    }
}

/// The SQLSTATE, or the driver's words where nothing was told.
fn word(error: &tokio_postgres::Error) -> String {
    error.code().map_or_else(|| format!("{error:?}"), |code| code.code().to_owned())
}

/// Clients that work until they are told to end, or until this is dropped.
pub(super) struct Load {
    done: Arc<Done>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What clients did: those that write numbered rows, those that read, and what they were told.
#[derive(Default)]
struct Done {
    next: AtomicI64,
    acknowledged: Mutex<BTreeSet<i64>>,
    told: Mutex<BTreeSet<String>>,
    reads: AtomicU64,
    failed_reads: Mutex<Vec<String>>,
    over: AtomicBool,
}

impl Load {
    /// On a thread of its own: what a test does to a cluster blocks.
    pub(super) fn start(weir: &Weir, writers: usize, readers: usize) -> Self {
        let done = Arc::new(Done::default());
        let (shared, config) = (Arc::clone(&done), weir.config("app", "app"));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let mut tasks = JoinSet::new();
                for _ in 0..writers {
                    let (load, config) = (Arc::clone(&shared), config.clone());
                    tasks.spawn(async move { load.write(&config).await });
                }
                for _ in 0..readers {
                    let (load, config) = (Arc::clone(&shared), config.clone());
                    tasks.spawn(async move { load.read(&config).await });
                }
                drop(tasks.join_all().await);
            });
        });
        Self { done, thread: Some(thread) }
    }

    /// Waits for the clients' last answers.
    pub(super) fn end(&mut self) {
        self.done.over.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }

    /// The number of the next row: higher ones were not issued yet.
    pub(super) fn issued(&self) -> i64 {
        self.done.next.load(Ordering::SeqCst)
    }

    /// Waits until this many more rows were acknowledged.
    pub(super) fn wait_acknowledged(&self, more: usize) {
        let wanted = note(&self.done.acknowledged).len() + more;
        eventually("writes go on", SOON, || note(&self.done.acknowledged).len() >= wanted);
    }

    /// Waits until this many more reads were answered.
    pub(super) fn wait_reads(&self, more: u64) {
        let wanted = self.done.reads.load(Ordering::SeqCst) + more;
        eventually("reads go on", SOON, || self.done.reads.load(Ordering::SeqCst) >= wanted);
    }

    /// No reader was told of anything, and no writer but of the loss of its server.
    pub(super) fn check_words(&self) {
        assert_eq!(*note(&self.done.failed_reads), Vec::<String>::new());
        let told = note(&self.done.told);
        let expected = ["08006", "08007", "57P01", "57P02"];
        assert!(told.iter().all(|word| expected.contains(&&**word)), "{told:?}");
    }

    /// Every acknowledged row is there.
    pub(super) fn check_rows(&self, node: &Node) {
        let rows = node.psql_in("app", "SELECT id FROM ledger").unwrap();
        let rows: BTreeSet<i64> = rows.lines().map(|id| id.parse().unwrap()).collect();
        let lost: Vec<_> = note(&self.done.acknowledged).difference(&rows).copied().collect();
        assert_eq!(lost, Vec::<i64>::new(), "acknowledged and not there");
    }

    /// Nobody was told of anything.
    pub(super) fn check_silence(&self) {
        self.check_words();
        assert_eq!(*note(&self.done.told), BTreeSet::new());
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.done.over.store(true, Ordering::SeqCst);
    }
}

impl Done {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    async fn write(&self, config: &tokio_postgres::Config) {
        while !self.is_over() {
            let told = match Line::open(config).await {
                Ok(line) => self.write_on(line).await,
                Err(told) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Some(told)
                }
            };
            note(&self.told).extend(told);
        }
    }

    /// Writes until an error; every other row in a transaction of its own.
    async fn write_on(&self, line: Line) -> Option<String> {
        while !self.is_over() {
            let id = self.next.fetch_add(1, Ordering::SeqCst);
            let insert = format!("INSERT INTO ledger VALUES ({id})");
            let done = if id % 2 == 0 {
                line.client.batch_execute(&insert).await
            } else {
                in_transaction(&line.client, &insert).await
            };
            match done {
                Ok(()) => drop(note(&self.acknowledged).insert(id)),
                Err(error) => return Some(line.last_word(error).await),
            }
        }
        None
    }

    async fn read(&self, config: &tokio_postgres::Config) {
        let line = Line::open(config).await.unwrap();
        let statement = line.client.prepare("SELECT count(*) FROM ledger").await.unwrap();
        for turn in 0.. {
            if self.is_over() {
                return;
            }
            let asked = match turn % 3 {
                0 => line.client.query(&statement, &[]).await.map(drop),
                1 => line.client.batch_execute("SELECT pg_sleep(0.005)").await,
                _ => line.client.batch_execute("SELECT max(id) FROM ledger").await,
            };
            if let Err(error) = asked {
                let told = line.last_word(error).await;
                note(&self.failed_reads).push(told);
                return;
            }
            self.reads.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn note<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn in_transaction(client: &Client, sql: &str) -> Result<(), tokio_postgres::Error> {
    for statement in ["BEGIN", sql, "COMMIT"] {
        client.batch_execute(statement).await?;
    }
    Ok(())
}
