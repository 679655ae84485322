//! Catalogs of the databases that clients use, kept as new as the primary's.
//!
//! One task per database that is in use: read, publish if anything changed, wait for a schema change
//! or for half a minute; the catalog goes when nobody has used it for some time. Knows nothing of what rows mean: that is `sql::CatalogBuilder`.

mod keep;
mod once;

use std::collections::{HashMap, hash_map};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use policy::{Signal, Topology};
use sql::{Catalog, CatalogBuilder, CatalogError, CatalogPart, FunctionEffect};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};
use tracing::{debug, warn};

use crate::ends::Catalogs;
use crate::link::{Address, Door, Link, LinkError};
use crate::task::Complaint;

use self::keep::{Keeper, Wanted};

pub use self::once::{FoundCatalog, NoCatalog, read_catalog};

/// The bound of reading one catalog as a whole.
const WHOLE: Duration = Duration::from_secs(60);

/// Catalogs read at the same time, in one cluster.
const AT_ONCE: usize = 2;

/// One cluster's catalogs.
pub(crate) struct Loader {
    shared: Arc<Shared>,
    /// Who leads, among all else that changes with each probe.
    topology: watch::Receiver<Arc<Topology>>,
    /// Where the primary is, as databases' tasks see it: they are woken when that changes, and not by
    /// each snapshot.
    primary: watch::Sender<Option<Address>>,
    wishes: mpsc::UnboundedReceiver<Signal>,
}

/// What the tasks of all databases share.
pub(crate) struct Shared {
    /// The cluster's name, for the log.
    pub(crate) cluster: Arc<str>,
    /// How the primary is reached.
    pub(crate) door: Door,
    /// Where catalogs go.
    pub(crate) catalogs: watch::Sender<Arc<Catalogs>>,
    /// What the operator says of functions.
    pub(crate) overrides: Vec<(String, FunctionEffect)>,
    /// How long a catalog stays that nobody uses; zero is for ever.
    pub(crate) forget_after: Duration,
    /// The version of the newest catalog. One for all databases and never reset: a database that
    /// was dropped and made anew must not meet the old one's cache entries.
    versions: AtomicU64,
    slots: Semaphore,
}

/// Rows as they came, with a digest to see whether anything changed.
struct Rows {
    parts: Vec<(CatalogPart, Vec<SimpleQueryMessage>)>,
    digest: u64,
}

/// Why a catalog could not be read.
#[derive(Debug)]
enum LoadError {
    /// The primary did not answer or refused.
    Link(LinkError),
    /// A row does not have the expected shape.
    Row(CatalogError),
    /// Reading took longer than [`WHOLE`].
    TooSlow,
}

impl Shared {
    /// What tasks share, given where things come from and go to.
    pub(crate) fn new(
        cluster: Arc<str>,
        door: Door,
        catalogs: watch::Sender<Arc<Catalogs>>,
        (overrides, forget_after): (Vec<(String, FunctionEffect)>, Duration),
    ) -> Self {
        let (versions, slots) = (AtomicU64::new(0), Semaphore::new(AT_ONCE));
        Self { cluster, door, catalogs, overrides, forget_after, versions, slots }
    }
}

impl Loader {
    /// A loader of nothing yet; `wishes` are the signals that name a database.
    pub(crate) fn new(
        shared: Shared,
        topology: watch::Receiver<Arc<Topology>>,
        wishes: mpsc::UnboundedReceiver<Signal>,
    ) -> Self {
        let primary = watch::Sender::new(None);
        Self { shared: Arc::new(shared), topology, primary, wishes }
    }

    /// Loads what is wished for until nobody can wish any more. Dropping it ends all loads.
    pub(crate) async fn run(mut self) {
        let mut databases: HashMap<Box<str>, watch::Sender<Wanted>> = HashMap::new();
        let mut tasks = JoinSet::new();
        self.look_for_the_primary();
        loop {
            tokio::select! {
                changed = self.topology.changed() => match changed {
                    Ok(()) => self.look_for_the_primary(),
                    Err(_) => return,
                },
                wish = self.wishes.recv() => match wish {
                    Some(Signal::Database(name)) => self
                        .known(name, &mut databases, &mut tasks)
                        .send_modify(|wanted| wanted.users = wanted.users.saturating_add(1)),
                    Some(Signal::Left(name)) => if let Some(known) = databases.get(&name) {
                        known.send_modify(|wanted| wanted.users = wanted.users.saturating_sub(1));
                    },
                    Some(Signal::SchemaChanged(name)) => self
                        .known(name, &mut databases, &mut tasks)
                        .send_modify(|wanted| wanted.changes = wanted.changes.wrapping_add(1)),
                    Some(Signal::Lost(_) | Signal::Promoted(_)) => {}
                    None => return,
                },
                Some(_ended) = tasks.join_next() => {
                    databases.retain(|_, wanted| !wanted.is_closed());
                }
            }
        }
    }

    /// Tells the tasks if the primary is elsewhere by now.
    fn look_for_the_primary(&mut self) {
        let topology = self.topology.borrow_and_update();
        let newest = topology.primary().map(|node| (&node.host, node.port));
        self.primary.send_if_modified(|known| {
            let moved = newest != known.as_ref().map(|known| (&known.host, known.port));
            if moved {
                *known = newest.map(|(host, port)| Address { host: host.clone(), port });
            }
            moved
        });
    }

    /// What is wanted of a database's task, which is started if there is none.
    fn known(
        &self,
        name: Box<str>,
        databases: &mut HashMap<Box<str>, watch::Sender<Wanted>>,
        tasks: &mut JoinSet<()>,
    ) -> watch::Sender<Wanted> {
        match databases.entry(name) {
            hash_map::Entry::Occupied(known) if !known.get().is_closed() => known.get().clone(),
            entry @ (hash_map::Entry::Occupied(_) | hash_map::Entry::Vacant(_)) => {
                let (wanted, seen) = watch::channel(Wanted::default());
                let name = entry.key().clone();
                let primary = self.primary.subscribe();
                tasks.spawn(Keeper::new(Arc::clone(&self.shared), name, (seen, primary)).run());
                entry.insert_entry(wanted).get().clone()
            }
        }
    }
}

impl Shared {
    /// Reads the catalog and publishes it if it differs from the one with `digest`.
    async fn refresh(
        &self,
        primary: &Address,
        database: &str,
        digest: &mut Option<u64>,
    ) -> Result<(), LoadError> {
        let Ok(_slot) = self.slots.acquire().await else { return Ok(()) };
        // The connection is not kept: an idle one would make `DROP DATABASE` fail.
        let reading = async { read(&Box::pin(self.door.open(primary, database)).await?).await };
        let rows = within(reading).await?;
        if *digest == Some(rows.digest) {
            // The old `Arc` and its version stay, so whatever was cached with them stays valid.
            return Ok(());
        }
        let version = self.versions.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let catalog = Arc::new(rows.build(&self.overrides, version)?);
        self.catalogs.send_modify(|all| {
            Arc::make_mut(all).insert(database.into(), catalog);
        });
        *digest = Some(rows.digest);
        debug!(cluster = &*self.cluster, database, version, "catalog loaded");
        Ok(())
    }

    /// Whether it was known.
    fn forget(&self, database: &str) -> bool {
        self.catalogs.send_if_modified(|all| {
            all.contains_key(database) && Arc::make_mut(all).remove(database).is_some()
        })
    }

    /// Warns once of each new trouble; the old catalog stays in use.
    fn complain(&self, database: &str, error: &LoadError, complaint: &mut Complaint) {
        let reason = error.to_string();
        if complaint.is_new(&reason) {
            warn!(
                cluster = &*self.cluster,
                database,
                %reason,
                "catalog not read; functions and views that are not known yet go to the primary"
            );
        }
    }
}

/// Bounds the reading of a catalog as a whole.
async fn within(reading: impl Future<Output = Result<Rows, LinkError>>) -> Result<Rows, LoadError> {
    Ok(timeout(WHOLE, reading).await.map_err(|_| LoadError::TooSlow)??)
}

/// Reads all parts in one snapshot.
async fn read(link: &Link) -> Result<Rows, LinkError> {
    drop(link.text("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?);
    let mut parts = Vec::new();
    for part in CatalogPart::ALL {
        parts.push((*part, link.text(part.sql()).await?));
    }
    // Not rolled back: what the queries themselves left in the WAL would stay unflushed for long.
    drop(link.text("COMMIT").await?);
    Ok(Rows { digest: digest(&parts), parts })
}

impl Rows {
    fn build(
        &self,
        overrides: &[(String, FunctionEffect)],
        version: u64,
    ) -> Result<Catalog, CatalogError> {
        let mut builder = CatalogBuilder::new();
        let mut columns = Vec::new();
        for (part, messages) in &self.parts {
            for row in messages.iter().filter_map(row) {
                columns.clear();
                columns.extend((0..row.len()).map(|column| row.get(column)));
                builder.row(*part, &columns)?;
            }
        }
        for (function, effect) in overrides {
            builder.override_function(function, *effect);
        }
        Ok(builder.finish(version))
    }
}

fn row(message: &SimpleQueryMessage) -> Option<&SimpleQueryRow> {
    if let SimpleQueryMessage::Row(row) = message { Some(row) } else { None }
}

/// A sum over rows, so that their order, which the server may choose anew, does not count.
fn digest(parts: &[(CatalogPart, Vec<SimpleQueryMessage>)]) -> u64 {
    let rows =
        parts.iter().flat_map(|(part, all)| all.iter().filter_map(row).map(move |it| (part, it)));
    let hash = |(part, row): (&CatalogPart, &SimpleQueryRow)| {
        let mut hasher = DefaultHasher::new();
        part.hash(&mut hasher);
        (0..row.len()).for_each(|column| row.get(column).hash(&mut hasher));
        hasher.finish()
    };
    rows.map(hash).fold(0, u64::wrapping_add)
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(error) => error.fmt(f),
            Self::Row(error) => error.fmt(f),
            Self::TooSlow => write!(f, "not read within {WHOLE:?}"),
        }
    }
}

impl From<LinkError> for LoadError {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

impl From<CatalogError> for LoadError {
    fn from(error: CatalogError) -> Self {
        Self::Row(error)
    }
}
