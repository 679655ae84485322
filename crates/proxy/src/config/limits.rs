//! How much may one client, user or database take, and for how long?
//!
//! `PgBouncer`'s names where the meaning is the same.

use std::time::Duration;

/// Sizes and time limits for all.
///
/// A `Duration` of zero switches a limit off, and so does a zero `max_…`.
#[derive(Debug, Clone)]
pub struct PoolRules {
    /// Servers per (database, user, node), over all workers.
    pub default_pool_size: u32,
    /// Servers kept open in a pool as long as a client of its user and database is there.
    pub min_pool_size: u32,
    /// Further servers once a client has waited for `reserve_pool_timeout`.
    pub reserve_pool_size: u32,
    /// How long a client waits before the reserve is opened to it.
    pub reserve_pool_timeout: Duration,
    /// Servers per (database, node), over all users.
    pub max_db_connections: u32,
    /// Servers per (user, node), over all databases.
    pub max_user_connections: u32,
    /// Clients, over all workers; one more is refused with 53300.
    pub max_client_conn: u32,
    /// Clients of one database.
    pub max_db_client_connections: u32,
    /// Clients of one user.
    pub max_user_client_connections: u32,
    /// How long a client may wait for a server before it is refused.
    pub query_wait_timeout: Duration,
    /// How long a cycle may take before it is cancelled.
    pub query_timeout: Duration,
    /// How long a transaction may be open before it is cancelled.
    pub transaction_timeout: Duration,
    /// How long a client may be silent within a transaction before it is closed.
    pub idle_transaction_timeout: Duration,
    /// How long a client may be silent between transactions before it is closed.
    pub client_idle_timeout: Duration,
    /// How long an unused server is kept.
    pub server_idle_timeout: Duration,
    /// How old a server may get; it is closed when it is next unused.
    pub server_lifetime: Duration,
    /// How long connecting and logging in to a server may take.
    pub server_connect_timeout: Duration,
    /// How long a client's login may take.
    pub client_login_timeout: Duration,
    /// How long a write waits for a primary to appear.
    pub failover_hold: Duration,
    /// The largest message that is accepted from a client, bytes.
    pub max_packet_size: u32,
    /// Statements kept prepared on one server before the least recently used is closed.
    pub max_prepared_statements: u32,
    /// How long a shutdown waits for cycles to end before it closes clients with 57P01.
    pub shutdown_timeout: Duration,
}

impl Default for PoolRules {
    fn default() -> Self {
        Self {
            default_pool_size: 20,
            min_pool_size: 0,
            reserve_pool_size: 0,
            reserve_pool_timeout: Duration::from_secs(5),
            max_db_connections: 0,
            max_user_connections: 0,
            max_client_conn: 10_000,
            max_db_client_connections: 0,
            max_user_client_connections: 0,
            query_wait_timeout: Duration::from_secs(120),
            query_timeout: Duration::ZERO,
            transaction_timeout: Duration::ZERO,
            idle_transaction_timeout: Duration::ZERO,
            client_idle_timeout: Duration::ZERO,
            server_idle_timeout: Duration::from_secs(600),
            server_lifetime: Duration::from_secs(3600),
            server_connect_timeout: Duration::from_secs(15),
            client_login_timeout: Duration::from_secs(60),
            failover_hold: Duration::from_secs(10),
            max_packet_size: 1 << 30,
            max_prepared_statements: 200,
            shutdown_timeout: Duration::from_secs(30),
        }
    }
}

/// What one `databases:` entry says instead of [`PoolRules`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DatabaseLimits {
    /// Instead of `default_pool_size`.
    pub pool_size: Option<u32>,
    /// Instead of `min_pool_size`.
    pub min_pool_size: Option<u32>,
    /// Instead of `reserve_pool_size`.
    pub reserve_pool_size: Option<u32>,
    /// Instead of `max_db_connections`.
    pub max_db_connections: Option<u32>,
    /// Instead of `max_db_client_connections`.
    pub max_db_client_connections: Option<u32>,
}

/// What one `auth.users:` entry says instead of [`PoolRules`] and of [`DatabaseLimits`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UserLimits {
    /// Instead of `default_pool_size`, and of the database's.
    pub pool_size: Option<u32>,
    /// Instead of `max_user_connections`.
    pub max_user_connections: Option<u32>,
    /// Instead of `max_user_client_connections`.
    pub max_user_client_connections: Option<u32>,
}

/// How many servers the pools of one user in one database may have, each per node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Servers of the pool.
    pub pool: u32,
    /// Further ones for those who wait long.
    pub reserve: u32,
    /// Servers that are kept open; never more than the pool's size.
    pub least: u32,
    /// Servers of the database, over all users; `u32::MAX` is no limit.
    pub database: u32,
    /// Servers of the user, over all databases; `u32::MAX` is no limit.
    pub user: u32,
}

impl Sizes {
    /// The narrowest word counts: the user's, then the database's, then everybody's.
    #[must_use]
    pub fn new(all: &PoolRules, database: &DatabaseLimits, user: &UserLimits) -> Self {
        let pool = user.pool_size.or(database.pool_size).unwrap_or(all.default_pool_size);
        Self {
            pool,
            reserve: database.reserve_pool_size.unwrap_or(all.reserve_pool_size),
            least: database.min_pool_size.unwrap_or(all.min_pool_size).min(pool),
            database: limit(database.max_db_connections.unwrap_or(all.max_db_connections)),
            user: limit(user.max_user_connections.unwrap_or(all.max_user_connections)),
        }
    }

    /// The same with the reserve opened.
    #[must_use]
    pub fn with_reserve(self) -> Self {
        Self { pool: self.pool.saturating_add(self.reserve), ..self }
    }
}

/// Zero is no limit.
pub(crate) fn limit(configured: u32) -> u32 {
    if configured == 0 { u32::MAX } else { configured }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_pool_size_wins_over_the_databases_and_that_over_the_default() {
        let all = PoolRules::default();
        let database = DatabaseLimits { pool_size: Some(3), ..DatabaseLimits::default() };
        let user = UserLimits { pool_size: Some(2), ..UserLimits::default() };
        let (nobody, nowhere) = (UserLimits::default(), DatabaseLimits::default());
        assert_eq!(Sizes::new(&all, &nowhere, &nobody).pool, 20);
        assert_eq!(Sizes::new(&all, &database, &nobody).pool, 3);
        assert_eq!(Sizes::new(&all, &database, &user).pool, 2);
    }

    #[test]
    fn zero_is_no_limit_also_where_everybody_has_one() {
        let all = PoolRules { max_db_connections: 5, ..PoolRules::default() };
        let exempt = DatabaseLimits { max_db_connections: Some(0), ..DatabaseLimits::default() };
        let nobody = UserLimits::default();
        assert_eq!(Sizes::new(&all, &DatabaseLimits::default(), &nobody).database, 5);
        assert_eq!(Sizes::new(&all, &exempt, &nobody).database, u32::MAX);
    }

    #[test]
    fn no_more_servers_are_kept_open_than_the_pool_may_have() {
        let all = PoolRules { min_pool_size: 5, default_pool_size: 2, ..PoolRules::default() };
        assert_eq!(Sizes::new(&all, &DatabaseLimits::default(), &UserLimits::default()).least, 2);
    }
}
