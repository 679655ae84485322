//! One node's probe: one connection, one query, one [`Observation`].
//!
//! Judges nothing: what an observation means is decided in `policy::cluster`.

use std::sync::Arc;
use std::time::Instant;

use policy::cluster::{Observation, Observed};
use policy::lag::{Marks, Positions, Xid};
use policy::lsn::WalGeometry;
use policy::{Lsn, NodeId, Timeline};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_postgres::types::{FromSql, PgLsn};
use tokio_postgres::{Row, Statement};

use crate::ends::Setup;
use crate::link::{Address, Door, Link, LinkError};
use crate::task::now;

/// Everything in one query, so that its parts belong together.
///
/// - Functions for primaries fail on a standby (manual, 9.28.3), hence the CASEs. The subquery's
///   volatile function keeps it from being flattened: the flag is read once, before the rest.
/// - Should a promotion fall between, the row says "standby" with a last replay position, which
///   stays readable afterwards: never the other way round.
/// - The timeline is that of the file being written; `pg_control_checkpoint()` lags behind a
///   promotion.
/// - `pg_stat_wal_receiver` shows NULLs to a role without `pg_read_all_stats`, which `pg_monitor`
///   includes.
const OBSERVE: &str = "
SELECT (SELECT system_identifier FROM pg_control_system()) AS system,
       (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS started,
       current_setting('server_version_num')::int AS version,
       node.standby,
       CASE WHEN NOT node.standby THEN pg_current_wal_insert_lsn() END AS insert,
       CASE WHEN NOT node.standby THEN pg_current_wal_flush_lsn() END AS flush,
       CASE WHEN NOT node.standby THEN pg_walfile_name(pg_current_wal_insert_lsn()) END AS walfile,
       CASE WHEN NOT node.standby THEN pg_current_snapshot()::text END AS snapshot,
       current_setting('wal_block_size')::bigint AS block,
       pg_size_bytes(current_setting('wal_segment_size')) AS segment,
       CASE WHEN node.standby THEN pg_last_wal_replay_lsn() END AS replay,
       CASE WHEN node.standby THEN pg_snapshot_xmin(pg_current_snapshot())
            ELSE pg_snapshot_xmax(pg_current_snapshot()) END::text AS ended,
       CASE WHEN node.standby THEN (SELECT received_tli FROM pg_stat_wal_receiver) END AS received,
       current_setting('synchronous_standby_names') <> '' AS synchronous,
       current_setting('synchronous_commit') = 'off' AS asynchronous,
       pg_has_role('pg_read_all_stats', 'USAGE') AS granted
  FROM (SELECT pg_is_in_recovery() AS standby OFFSET 0) AS node";

/// What one probe saw, for the task that owns the cluster.
#[derive(Debug)]
pub(crate) struct Report {
    /// Of whom.
    pub(crate) node: NodeId,
    /// What, or why not.
    pub(crate) outcome: Result<Sight, LinkError>,
}

/// What a node showed.
#[derive(Debug)]
pub(crate) struct Sight {
    /// For policy.
    pub(crate) observation: Observation,
    /// For advice. A standby whose timeline is hidden is of unknown lag.
    pub(crate) setup: Setup,
}

/// One node's probe and the connection it keeps.
#[derive(Debug)]
pub(crate) struct Probe {
    door: Arc<Door>,
    address: Address,
    kept: Option<Kept>,
}

/// A connection, what was prepared on it, and what it saw so far.
#[derive(Debug)]
struct Kept {
    link: Link,
    statement: Statement,
    marks: Marks,
}

impl Probe {
    /// A probe that has not connected yet.
    pub(crate) fn new(door: Arc<Door>, address: Address) -> Self {
        Self { door, address, kept: None }
    }

    /// Probes once for each order, until the owner drops its end.
    pub(crate) async fn work(
        mut self,
        node: NodeId,
        mut orders: mpsc::Receiver<()>,
        reports: mpsc::Sender<Report>,
    ) {
        while let Some(()) = orders.recv().await {
            let patience = self.door.patience;
            // One bound for connecting and asking together. What is cut short is dropped with its
            // connection: `kept` is empty while a question is under way.
            let outcome = match timeout(patience, self.look()).await {
                Ok(outcome) => outcome,
                Err(_elapsed) => Err(LinkError::TimedOut(patience)),
            };
            if reports.send(Report { node, outcome }).await.is_err() {
                return;
            }
        }
    }

    /// Asks the node once. Cancel-safe: a connection with a question under way is dropped.
    ///
    /// # Errors
    ///
    /// Any [`LinkError`]: the node did not answer a question just now. A kept connection that was
    /// lost in the meantime does not count: the node may have closed it and be well.
    async fn look(&mut self) -> Result<Sight, LinkError> {
        if let Some(kept) = self.kept.take().filter(|kept| !kept.link.is_closed()) {
            match self.ask(kept).await {
                Err(LinkError::Postgres(_)) => {}
                settled => return settled,
            }
        }
        let link = self.door.open(&self.address, &self.door.monitor.database).await?;
        let statement = link.prepare(OBSERVE).await?;
        self.ask(Kept { link, statement, marks: Marks::default() }).await
    }

    async fn ask(&mut self, mut kept: Kept) -> Result<Sight, LinkError> {
        let sent = now();
        let row = kept.link.ask(&kept.statement).await?;
        let observation = observation(&row, sent, &mut kept.marks)?;
        self.kept = Some(kept);
        Ok(Sight { observation, setup: setup(&row)? })
    }
}

fn setup(row: &Row) -> Result<Setup, LinkError> {
    let (standby, granted): (bool, bool) = (row.try_get("standby")?, row.try_get("granted")?);
    Ok(Setup {
        synchronous_standbys: row.try_get("synchronous")?,
        asynchronous_commit: row.try_get("asynchronous")?,
        timeline_hidden: standby && !granted,
    })
}

fn observation(row: &Row, sent: Instant, marks: &mut Marks) -> Result<Observation, LinkError> {
    let system: i64 = row.try_get("system")?;
    let state = if row.try_get("standby")? {
        let received: Option<i32> = row.try_get("received")?;
        Observed::Standby {
            timeline: received.map(i32::cast_unsigned).map(Timeline),
            replay: row.try_get::<_, Option<PgLsn>>("replay")?.map(lsn),
            xmin: xid(row)?,
        }
    } else {
        Observed::Writable {
            timeline: timeline(row.try_get("walfile")?)?,
            flush: lsn(row.try_get("flush")?),
            mark: marks.mark(positions(row)?),
            xmax: xid(row)?,
        }
    };
    // The identifier is 64 bits without a sign; SQL has no such type and shows it as bigint.
    Ok(Observation {
        sent,
        took: now().saturating_duration_since(sent),
        system: system.cast_unsigned(),
        started: row.try_get("started")?,
        version: row.try_get::<_, i32>("version")?.cast_unsigned(),
        state,
    })
}

/// The positions in the columns `insert`, `flush` and `snapshot`.
pub(crate) fn positions(row: &Row) -> Result<Positions<'_>, LinkError> {
    let wal = geometry(row)?;
    Ok(Positions {
        insert: lsn(row.try_get("insert")?).round_insert(wal),
        flush: lsn(row.try_get("flush")?),
        block: wal.block,
        snapshot: row.try_get("snapshot")?,
    })
}

fn xid(row: &Row) -> Result<Xid, LinkError> {
    let text: &str = row.try_get("ended")?;
    text.parse().map(Xid).map_err(|_| LinkError::Malformed("a transaction ID that is no number"))
}

/// The sizes in the columns `block` and `segment`.
fn geometry(row: &Row) -> Result<WalGeometry, LinkError> {
    let size = |column| {
        let bytes = sized::<i64>(row, column)?;
        u64::try_from(bytes).map_err(|_| LinkError::Malformed("a negative WAL size"))
    };
    Ok(WalGeometry { block: size("block")?, segment: size("segment")? })
}

fn sized<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, LinkError> {
    Ok(row.try_get(column)?)
}

/// The timeline in a WAL file's name: its first 8 hex digits (manual, 30.6).
pub(crate) fn timeline(walfile: &str) -> Result<Timeline, LinkError> {
    walfile
        .get(..8)
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .map(Timeline)
        .ok_or(LinkError::Malformed("a WAL file name without a timeline"))
}

/// A position as policy knows it.
pub(crate) fn lsn(said: PgLsn) -> Lsn {
    Lsn(said.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_is_the_first_eight_hex_digits_of_a_wal_file() {
        assert_eq!(timeline("0000001A0000000000000003").ok(), Some(Timeline(26)));
        assert!(timeline("0000001").is_err());
        assert!(timeline("zzzzzzzz0000000000000003").is_err());
    }
}
