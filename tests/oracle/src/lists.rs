//! Judgements that must not come from the classifier: what may not run on a standby although it
//! would, and what may answer otherwise there with good reason.

use crate::text;

/// Functions that succeed on a standby and do something to that server or to the session alone.
const SILENT: &[(&str, &str)] = &[
    ("lo_export", "writes a file of the server"),
    ("pg_cancel_backend", "acts on a process of one server"),
    ("pg_export_snapshot", "makes a snapshot that one server knows"),
    ("pg_log_backend_memory_contexts", "acts on a process of one server"),
    ("pg_promote", "makes the standby a primary"),
    ("pg_reload_conf", "acts on one server"),
    ("pg_rotate_logfile", "acts on one server"),
    ("pg_stat_clear_snapshot", "changes what the session sees"),
    ("pg_stat_force_next_flush", "changes what the session sees"),
    ("pg_terminate_backend", "acts on a process of one server"),
    ("set_config", "changes the session"),
    ("setseed", "changes the session"),
];

/// The same by how names begin.
const SILENT_FAMILIES: &[(&str, &str)] = &[
    ("dblink", "reaches another database"),
    ("pg_advisory_", "takes or gives back a lock that excludes nobody elsewhere"),
    ("pg_backup_", "acts on one server"),
    ("pg_copy_", "changes replication slots of one server"),
    ("pg_create_", "changes replication slots of one server"),
    ("pg_drop_", "changes replication slots of one server"),
    ("pg_logical_slot_", "changes replication slots of one server"),
    ("pg_replication_", "changes what one server knows of replication"),
    ("pg_stat_reset", "resets counters of one server"),
    ("pg_try_advisory_", "takes a lock that excludes nobody elsewhere"),
    ("pg_wal_replay_", "stops or starts a standby's replay"),
];

/// Words whose statements may have other rows on another server, or a moment later.
const MOVING: &[(&str, &str)] = &[
    ("clock_timestamp", "the time goes on"),
    ("current_date", "the time goes on"),
    ("current_time", "the time goes on"),
    ("current_timestamp", "the time goes on"),
    ("gen_random_uuid", "is drawn anew"),
    ("localtime", "the time goes on"),
    ("localtimestamp", "the time goes on"),
    ("now", "the time goes on"),
    ("random", "is drawn anew"),
    ("statement_timestamp", "the time goes on"),
    ("timeofday", "the time goes on"),
    ("transaction_timestamp", "the time goes on"),
];

/// Why the statement must not run on a standby, if it calls such a function.
pub(crate) fn silent(skeleton: &str) -> Option<&'static str> {
    text::called(skeleton).find_map(|name| {
        let exact = SILENT.iter().find(|(it, _)| *it == name);
        let found = exact.or_else(|| SILENT_FAMILIES.iter().find(|(it, _)| name.starts_with(it)));
        found.map(|(_, why)| *why)
    })
}

/// Why the statement may answer otherwise, if it may.
pub(crate) fn moving(skeleton: &str) -> Option<&'static str> {
    text::words(skeleton)
        .find_map(|word| MOVING.iter().find(|(it, _)| *it == word).map(|(_, why)| *why))
}

/// Whether a session goes on with other settings after the statement.
pub(crate) fn sets(skeleton: &str) -> bool {
    let mut words = text::words(skeleton);
    match words.next() {
        Some("set") => !matches!(words.next(), Some("transaction" | "constraints")),
        Some("reset" | "discard" | "load") => true,
        _ => text::called(skeleton).any(|name| name == "set_config"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_silent_whatever_its_kind_and_schema() {
        let text = "SELECT pg_catalog.PG_TRY_advisory_xact_lock_shared(1)";
        assert!(silent(&text::skeleton(text)).is_some());
        assert!(silent(&text::skeleton("SELECT 'pg_advisory_lock(1)'")).is_none());
    }

    #[test]
    fn what_ends_with_the_transaction_is_not_a_setting() {
        assert!(sets("set search_path to a") && sets("reset all") && sets("select set_config('')"));
        assert!(!sets("set transaction read only") && !sets("set constraints all deferred"));
        assert!(!sets("select 1"));
    }
}
