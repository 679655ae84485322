//! `pool`: sizes and time limits, by `PgBouncer`'s names where the meaning is the same.

use std::ops::RangeInclusive;
use std::time::Duration;

use proxy::config::{PinRule, PoolMode, PoolRules};

use super::section::Section;

const DAY: Duration = Duration::from_secs(86_400);
/// Zero switches the limit off.
const OFF_TO_DAY: RangeInclusive<Duration> = Duration::ZERO..=DAY;
/// Servers of a pool.
pub(super) const SIZE: RangeInclusive<u32> = 1..=100_000;
/// Servers; zero is no limit, or none.
pub(super) const OFF_OR_SIZE: RangeInclusive<u32> = 0..=100_000;
/// Clients; zero is no limit.
pub(super) const OFF_OR_CLIENTS: RangeInclusive<u32> = 0..=1_000_000;
/// A wait that must end some day.
const BOUNDED: RangeInclusive<Duration> = Duration::from_millis(1)..=DAY;

/// The modes by their names in the file.
pub(super) const MODES: [(&str, PoolMode); 3] = [
    ("transaction", PoolMode::Transaction),
    ("session", PoolMode::Session),
    ("statement", PoolMode::Statement),
];

/// Whether sessions may be pinned, by the rules' names in the file.
pub(super) const PINS: [(&str, PinRule); 2] =
    [("allow", PinRule::Allow), ("never", PinRule::Never)];

/// What databases that say nothing of it do with servers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keeping {
    pub(super) mode: PoolMode,
    pub(super) pin: PinRule,
}

/// Reads the rules, and what holds for databases that say nothing of it.
pub(super) fn pool(root: &mut Section<'_>) -> (PoolRules, Keeping) {
    let mut at = root.section("pool");
    let mode = at.choice("mode", &MODES).unwrap_or(PoolMode::Transaction);
    let pin = at.choice("pin", &PINS).unwrap_or_default();
    let rules = times(&mut at, &PoolRules::default());
    let rules = sizes(&mut at, &rules);
    at.close();
    (rules, Keeping { mode, pin })
}

fn sizes(at: &mut Section<'_>, default: &PoolRules) -> PoolRules {
    PoolRules {
        default_pool_size: at
            .integer("default_pool_size", SIZE)
            .unwrap_or(default.default_pool_size),
        min_pool_size: at.integer("min_pool_size", OFF_OR_SIZE).unwrap_or(default.min_pool_size),
        reserve_pool_size: at
            .integer("reserve_pool_size", OFF_OR_SIZE)
            .unwrap_or(default.reserve_pool_size),
        max_db_connections: at
            .integer("max_db_connections", OFF_OR_SIZE)
            .unwrap_or(default.max_db_connections),
        max_user_connections: at
            .integer("max_user_connections", OFF_OR_SIZE)
            .unwrap_or(default.max_user_connections),
        max_client_conn: at
            .integer("max_client_conn", 1..=1_000_000)
            .unwrap_or(default.max_client_conn),
        max_db_client_connections: at
            .integer("max_db_client_connections", OFF_OR_CLIENTS)
            .unwrap_or(default.max_db_client_connections),
        max_user_client_connections: at
            .integer("max_user_client_connections", OFF_OR_CLIENTS)
            .unwrap_or(default.max_user_client_connections),
        max_packet_size: at
            .bytes("max_packet_size", 1_024..=1 << 30)
            .unwrap_or(default.max_packet_size),
        max_prepared_statements: at
            .integer("max_prepared_statements", 0..=100_000)
            .unwrap_or(default.max_prepared_statements),
        ..default.clone()
    }
}

fn times(at: &mut Section<'_>, default: &PoolRules) -> PoolRules {
    PoolRules {
        reserve_pool_timeout: at
            .duration("reserve_pool_timeout", OFF_TO_DAY)
            .unwrap_or(default.reserve_pool_timeout),
        query_wait_timeout: at
            .duration("query_wait_timeout", OFF_TO_DAY)
            .unwrap_or(default.query_wait_timeout),
        query_timeout: at.duration("query_timeout", OFF_TO_DAY).unwrap_or(default.query_timeout),
        transaction_timeout: at
            .duration("transaction_timeout", OFF_TO_DAY)
            .unwrap_or(default.transaction_timeout),
        idle_transaction_timeout: at
            .duration("idle_transaction_timeout", OFF_TO_DAY)
            .unwrap_or(default.idle_transaction_timeout),
        client_idle_timeout: at
            .duration("client_idle_timeout", OFF_TO_DAY)
            .unwrap_or(default.client_idle_timeout),
        server_idle_timeout: at
            .duration("server_idle_timeout", OFF_TO_DAY)
            .unwrap_or(default.server_idle_timeout),
        server_lifetime: at
            .duration("server_lifetime", OFF_TO_DAY)
            .unwrap_or(default.server_lifetime),
        server_connect_timeout: at
            .duration("server_connect_timeout", BOUNDED)
            .unwrap_or(default.server_connect_timeout),
        client_login_timeout: at
            .duration("client_login_timeout", OFF_TO_DAY)
            .unwrap_or(default.client_login_timeout),
        failover_hold: at.duration("failover_hold", OFF_TO_DAY).unwrap_or(default.failover_hold),
        shutdown_timeout: at
            .duration("shutdown_timeout", OFF_TO_DAY)
            .unwrap_or(default.shutdown_timeout),
        ..default.clone()
    }
}
