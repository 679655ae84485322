//! The truth: rows written to the primary past Weir, and when each was committed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use testkit::Node;
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use weir_tests::now;

/// One row's commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Commit {
    /// It was not there before this.
    pub(super) begun: Instant,
    /// It was acknowledged at this moment.
    pub(super) acknowledged: Instant,
}

/// The rows of the table `marks`, numbered from 1.
#[derive(Clone)]
pub(super) struct Marks {
    primary: Arc<Client>,
    commits: Arc<Mutex<Vec<Commit>>>,
}

/// Marks that are put until this is stopped or dropped.
pub(super) struct Writing {
    go_on: Arc<AtomicBool>,
    task: Option<JoinHandle<()>>,
}

impl Writing {
    /// Ends with the mark that is being put: one that is there and not noted would falsify all others.
    pub(super) async fn stop(mut self) {
        self.go_on.store(false, Ordering::Relaxed);
        if let Some(task) = self.task.take() {
            task.await.unwrap();
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.go_on.store(false, Ordering::Relaxed);
    }
}

impl Marks {
    pub(super) async fn new(primary: &Node) -> Self {
        let primary = primary.connect("app", "app").await.unwrap();
        primary.batch_execute("CREATE TABLE marks (id int8 PRIMARY KEY)").await.unwrap();
        let marks = Self { primary: Arc::new(primary), commits: Arc::default() };
        marks.put().await;
        marks
    }

    /// Commits one more row.
    pub(super) async fn put(&self) {
        let begun = now();
        self.primary
            .execute("INSERT INTO marks SELECT coalesce(max(id), 0) + 1 FROM marks", &[])
            .await
            .unwrap();
        let commit = Commit { begun, acknowledged: now() };
        self.commits.lock().unwrap_or_else(PoisonError::into_inner).push(commit);
    }

    /// Commits a row every so often from now on. Nobody else may at the same time.
    pub(super) fn keep_putting(&self, pause: Duration) -> Writing {
        let (marks, go_on) = (self.clone(), Arc::new(AtomicBool::new(true)));
        let wanted = Arc::clone(&go_on);
        let task = tokio::spawn(async move {
            while wanted.load(Ordering::Relaxed) {
                marks.put().await;
                tokio::time::sleep(pause).await;
            }
        });
        Writing { go_on, task: Some(task) }
    }

    /// The first commit that a server lacks whose newest row is `newest`.
    pub(super) fn first_missing(&self, newest: i64) -> Option<Commit> {
        let commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        commits.get(usize::try_from(newest).unwrap()).copied()
    }
}
