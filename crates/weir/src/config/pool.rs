//! `pool`: sizes and time limits, by `PgBouncer`'s names where the meaning is the same.

use std::ops::RangeInclusive;
use std::time::Duration;

use proxy::config::{PoolMode, PoolRules};

use super::section::Section;

const DAY: Duration = Duration::from_secs(86_400);
/// Zero switches the limit off.
const OFF_TO_DAY: RangeInclusive<Duration> = Duration::ZERO..=DAY;
/// A wait that must end some day.
const BOUNDED: RangeInclusive<Duration> = Duration::from_millis(1)..=DAY;

/// The modes by their names in the file.
pub(super) const MODES: [(&str, PoolMode); 2] =
    [("transaction", PoolMode::Transaction), ("session", PoolMode::Session)];

/// Reads the rules, and the mode of databases that name none.
pub(super) fn pool(root: &mut Section<'_>) -> (PoolRules, PoolMode) {
    let mut at = root.section("pool");
    let default = PoolRules::default();
    let mode = at.choice("mode", &MODES).unwrap_or(PoolMode::Transaction);
    let rules = PoolRules {
        default_pool_size: at
            .integer("default_pool_size", 1..=100_000)
            .unwrap_or(default.default_pool_size),
        reserve_pool_size: at
            .integer("reserve_pool_size", 0..=100_000)
            .unwrap_or(default.reserve_pool_size),
        reserve_pool_timeout: at
            .duration("reserve_pool_timeout", OFF_TO_DAY)
            .unwrap_or(default.reserve_pool_timeout),
        max_client_conn: at
            .integer("max_client_conn", 1..=1_000_000)
            .unwrap_or(default.max_client_conn),
        query_wait_timeout: at
            .duration("query_wait_timeout", OFF_TO_DAY)
            .unwrap_or(default.query_wait_timeout),
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
        max_packet_size: at
            .bytes("max_packet_size", 1_024..=1 << 30)
            .unwrap_or(default.max_packet_size),
        max_prepared_statements: at
            .integer("max_prepared_statements", 0..=100_000)
            .unwrap_or(default.max_prepared_statements),
        shutdown_timeout: at
            .duration("shutdown_timeout", OFF_TO_DAY)
            .unwrap_or(default.shutdown_timeout),
    };
    at.close();
    (rules, mode)
}
