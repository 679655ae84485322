//! `/v1/pools`: servers and waiting clients of each (database, user, node), over all workers.

use std::cmp::Reverse;

use axum::Json;
use axum::extract::State as Extract;
use proxy::inquiry::PoolView;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;
use crate::query::{Asked, Limit};
use crate::state::State;

/// Which pools are asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filters {
    cluster: Option<String>,
    database: Option<String>,
    user: Option<String>,
    node: Option<String>,
    #[serde(default)]
    limit: Limit,
}

impl Filters {
    fn mean(&self, pool: &PoolView) -> bool {
        let is = |wanted: &Option<String>, name: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == name)
        };
        is(&self.cluster, &pool.cluster)
            && is(&self.database, &pool.database)
            && is(&self.user, &pool.user)
            && is(&self.node, &pool.node)
    }
}

/// Some pools, and how many there are.
#[derive(Serialize)]
pub(crate) struct Listed {
    /// How many match, shown or not.
    matched: usize,
    limit: usize,
    pools: Vec<PoolBody>,
}

/// A pool as JSON shows it.
#[derive(Serialize)]
struct PoolBody {
    cluster: String,
    database: String,
    user: String,
    node: Box<str>,
    /// Servers that a session holds.
    active: u32,
    idle: u32,
    opening: u32,
    /// Clients in line.
    waiting: u32,
    longest_wait_seconds: f64,
    limit: u32,
    reserve: u32,
}

impl From<PoolView> for PoolBody {
    fn from(pool: PoolView) -> Self {
        Self {
            cluster: pool.cluster.to_string(),
            database: pool.database.to_string(),
            user: pool.user.to_string(),
            node: pool.node,
            active: pool.active,
            idle: pool.idle,
            opening: pool.opening,
            waiting: pool.waiting,
            longest_wait_seconds: pool.longest_wait.as_secs_f64(),
            limit: pool.limit,
            reserve: pool.reserve,
        }
    }
}

/// Those first in which a client has waited for longest, then by name.
pub(crate) async fn list(
    Extract(state): Extract<State>,
    Asked(filters): Asked<Filters>,
) -> Result<Json<Listed>, Problem> {
    let mut pools = state.workers.pools().await?;
    pools.retain(|pool| filters.mean(pool));
    let matched = pools.len();
    pools.sort_by_key(|pool| Reverse(pool.longest_wait));
    pools.truncate(filters.limit.0);
    let pools = pools.into_iter().map(PoolBody::from).collect();
    Ok(Json(Listed { matched, limit: filters.limit.0, pools }))
}
