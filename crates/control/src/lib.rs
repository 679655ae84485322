//! Probes, roles, the LSN clock and catalogs: everything that Weir asks of nodes on its own account.
//!
//! One [`run()`] per cluster. It does the asking; what answers mean is decided in `policy::cluster`,
//! and what catalog rows mean in `sql`. It never sees a client's bytes: the data path is met only
//! through the channel ends in [`Ends`]. [`read_catalog`] serves commands that run without a Weir.
//!
//! | module | task |
//! |---|---|
//! | `owner` | owns `policy::cluster::Cluster`: reports in, snapshots out, schedules, commands |
//! | `probe` | one per node: one connection, one query, one observation |
//! | `clock` | one per cluster: where does the primary's WAL end, for all open tickets at once |
//! | `catalog` | one per database in use: functions, views, operators and their volatility |
//! | `link` | a bounded connection to a node, over `tls` |
//! | `news` | what the log says |

mod catalog;
mod clock;
mod config;
mod ends;
mod link;
mod news;
mod owner;
mod probe;
mod run;
mod task;
mod tls;

pub use catalog::{FoundCatalog, NoCatalog, read_catalog};
pub use config::{ClusterConfig, Monitor, ServerTls};
pub use ends::{Catalogs, Command, Ends, Reply, Setup, Setups};
pub use run::run;
