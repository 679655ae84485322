//! Where PostgreSQL's own volatility labels don't say whether a standby will do.

use crate::class::{Class, Why};
use crate::effect::Pin;
use crate::facts::Facts;

const WRITES: Facts = Facts::new(Class::Write, Why::VolatileFunction);
const NOTIFIES: Facts = Facts::new(Class::Write, Why::Notify);
const PRIMARY: Facts = Facts::new(Class::PrimaryRead, Why::PrimaryOnlyFunction);
const LOCKS: Facts = WRITES.pinning(Pin::AdvisoryLock);

/// A system view whose rows belong to one server.
pub(super) const SYSTEM_RELATION: Facts = Facts::new(Class::PrimaryRead, Why::SystemRelation);

/// Marked volatile, yet they only draw, wait, or read what every server has.
const HARMLESS: &[&str] = &[
    "array_sample",
    "array_shuffle",
    "clock_timestamp",
    "current_query",
    "gen_random_uuid",
    "pg_partition_ancestors",
    "pg_partition_tree",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_xact_commit_timestamp",
    "random",
    "random_normal",
    "timeofday",
    "uuidv4",
    "uuidv7",
];

/// Spelled like calls, but the grammar's own: no row of `pg_proc` tells of them.
const GRAMMAR: &[&str] = &[
    "array",
    "coalesce",
    "current_catalog",
    "current_date",
    "current_role",
    "current_time",
    "current_timestamp",
    "greatest",
    "grouping",
    "json_array",
    "json_arrayagg",
    "json_exists",
    "json_objectagg",
    "json_query",
    "json_scalar",
    "json_serialize",
    "json_value",
    "least",
    "localtime",
    "localtimestamp",
    "nullif",
    "row",
    "user",
    "xmlconcat",
    "xmlelement",
    "xmlforest",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
];

/// Writes, changes a server, or runs code that hides in a string or behind a name.
const WRITERS: &[&str] = &[
    "amvalidate",
    "binary_upgrade_logical_slot_has_caught_up",
    "brin_desummarize_range",
    "brin_summarize_new_values",
    "brin_summarize_range",
    "cursor_to_xml",
    "cursor_to_xmlschema",
    "database_to_xml",
    "database_to_xml_and_xmlschema",
    "database_to_xmlschema",
    "fmgr_c_validator",
    "gin_clean_pending_list",
    "lo_close",
    "lo_creat",
    "lo_create",
    "lo_from_bytea",
    "lo_lseek",
    "lo_lseek64",
    "lo_open",
    "lo_put",
    "lo_tell",
    "lo_tell64",
    "lo_truncate",
    "lo_truncate64",
    "lo_unlink",
    "loread",
    "lowrite",
    "nextval",
    "pg_backup_start",
    "pg_backup_stop",
    "pg_cancel_backend",
    "pg_clear_attribute_stats",
    "pg_clear_relation_stats",
    "pg_create_restore_point",
    "pg_current_xact_id",
    "pg_drop_replication_slot",
    "pg_export_snapshot",
    "pg_extension_config_dump",
    "pg_import_system_collations",
    "pg_input_error_info",
    "pg_input_is_valid",
    "pg_log_backend_memory_contexts",
    "pg_log_standby_snapshot",
    "pg_logical_emit_message",
    "pg_nextoid",
    "pg_promote",
    "pg_reload_conf",
    "pg_restore_attribute_stats",
    "pg_restore_relation_stats",
    "pg_rotate_logfile",
    "pg_rotate_logfile_old",
    "pg_stat_force_next_flush",
    "pg_stop_making_pinned_objects",
    "pg_switch_wal",
    "pg_sync_replication_slots",
    "pg_terminate_backend",
    "pg_wal_replay_pause",
    "pg_wal_replay_resume",
    "plpgsql_validator",
    "query_to_xml",
    "query_to_xml_and_xmlschema",
    "query_to_xmlschema",
    "schema_to_xml",
    "schema_to_xml_and_xmlschema",
    "schema_to_xmlschema",
    "setval",
    "table_to_xml",
    "table_to_xml_and_xmlschema",
    "table_to_xmlschema",
    "ts_rewrite",
    "ts_stat",
    "txid_current",
];

/// Reads only, but what it says is true for one server (sizes: unlogged relations are empty on a standby), or not to be had
/// on a standby.
const PRIMARY_ONLY: &[&str] = &[
    "currtid2",
    "icu_unicode_version",
    "inet_client_addr",
    "inet_client_port",
    "inet_server_addr",
    "inet_server_port",
    "lo_get",
    "pg_available_extension_versions",
    "pg_available_extensions",
    "pg_available_wal_summaries",
    "pg_backend_pid",
    "pg_blocking_pids",
    "pg_collation_actual_version",
    "pg_conf_load_time",
    "pg_config",
    "pg_current_logfile",
    "pg_current_snapshot",
    "pg_current_xact_id_if_assigned",
    "pg_cursor",
    "pg_database_collation_actual_version",
    "pg_database_size",
    "pg_extension_update_paths",
    "pg_filenode_relation",
    "pg_get_aios",
    "pg_get_backend_memory_contexts",
    "pg_get_loaded_modules",
    "pg_get_multixact_members",
    "pg_get_replication_slots",
    "pg_get_sequence_data",
    "pg_get_shmem_allocations",
    "pg_get_shmem_allocations_numa",
    "pg_get_wait_events",
    "pg_hba_file_rules",
    "pg_ident_file_mappings",
    "pg_indexes_size",
    "pg_is_in_recovery",
    "pg_is_other_temp_schema",
    "pg_is_wal_replay_paused",
    "pg_isolation_test_session_is_blocked",
    "pg_jit_available",
    "pg_listening_channels",
    "pg_lock_status",
    "pg_my_temp_schema",
    "pg_notification_queue_usage",
    "pg_numa_available",
    "pg_postmaster_start_time",
    "pg_prepared_statement",
    "pg_prepared_xact",
    "pg_relation_filenode",
    "pg_relation_filepath",
    "pg_relation_size",
    "pg_safe_snapshot_blocking_pids",
    "pg_sequence_last_value",
    "pg_settings_get_flags",
    "pg_show_all_file_settings",
    "pg_show_all_settings",
    "pg_show_replication_origin_status",
    "pg_stat_clear_snapshot",
    "pg_stat_file",
    "pg_table_size",
    "pg_tablespace_databases",
    "pg_tablespace_location",
    "pg_tablespace_size",
    "pg_total_relation_size",
    "pg_trigger_depth",
    "pg_wal_summary_contents",
    "pg_walfile_name",
    "pg_walfile_name_offset",
    "pg_xact_commit_timestamp_origin",
    "pg_xact_status",
    "txid_current_if_assigned",
    "txid_current_snapshot",
    "txid_status",
    "version",
];

/// What needs more than a list of its kind says.
const PARTICULAR: &[(&str, Facts)] = &[
    ("currval", PRIMARY.pinning(Pin::SequenceValue)),
    ("lastval", PRIMARY.pinning(Pin::SequenceValue)),
    ("lo_export", WRITES.outside()),
    ("lo_import", WRITES.outside()),
    ("pg_notify", NOTIFIES),
    // Whether it pins depends on its arguments: the classifier looks at them.
    ("set_config", Facts::new(Class::Write, Why::SessionState)),
    ("setseed", PRIMARY.pinning(Pin::SessionSetting)),
];

/// Answers of system functions and views that are named after what belongs to one server.
const PRIMARY_PREFIXES: &[&str] = &[
    "pg_control_",
    "pg_current_wal_",
    "pg_get_wal_",
    "pg_last_",
    "pg_ls_",
    "pg_read_",
    "pg_stat_get_",
    "pg_stat_have_",
];

/// Changes what a server or the replication between servers keeps.
const WRITER_PREFIXES: &[&str] = &[
    "binary_upgrade_",
    "pg_copy_",
    "pg_create_",
    "pg_logical_slot_",
    "pg_replication_origin_",
    "pg_replication_slot_",
    "pg_stat_reset",
];

/// Views over tables of `pg_catalog` alone, and of the time zones that all date arithmetic rests on.
const REPLICATED_VIEWS: &[&str] = &[
    "pg_group",
    "pg_indexes",
    "pg_matviews",
    "pg_policies",
    "pg_publication_tables",
    "pg_roles",
    "pg_rules",
    "pg_seclabels",
    "pg_shadow",
    "pg_stats",
    "pg_stats_ext",
    "pg_stats_ext_exprs",
    "pg_tables",
    "pg_timezone_abbrevs",
    "pg_timezone_names",
    "pg_user",
    "pg_user_mappings",
    "pg_views",
];

/// Key words of the grammar after the generated list's newest version, and the method names of TABLESAMPLE.
const NEWER_KEYWORDS: &[&str] = &["bernoulli", "graph_table", "lsn", "split", "wait"];

/// Functions of contrib that open connections, or run SQL that they are given, whatever their label says.
const RUNS_SQL: Facts = WRITES.outside();

/// Contrib's tablefunc and xml2: STABLE by their label.
const CONTRIB_RUNNERS: &[&str] =
    &["connectby", "crosstab", "crosstab2", "crosstab3", "crosstab4", "xpath_table"];

pub(super) fn function(name: &str) -> Option<Facts> {
    // Faster than by halves: nearly all names differ in length already.
    let has = |list: &[&str]| list.contains(&name);
    let starts = |list: &[&str]| list.iter().any(|prefix| name.starts_with(prefix));
    if let Some(facts) = lock(name).or_else(|| contrib(name)) {
        return Some(facts);
    }
    if let Some((_, facts)) = PARTICULAR.iter().find(|(known, _)| *known == name) {
        return Some(*facts);
    }
    if has(WRITERS) || starts(WRITER_PREFIXES) {
        Some(WRITES)
    } else if has(PRIMARY_ONLY) || starts(PRIMARY_PREFIXES) {
        Some(PRIMARY)
    } else {
        (has(HARMLESS) || has(GRAMMAR)).then_some(Facts::READ)
    }
}

/// Any other function that is marked volatile.
pub(super) const VOLATILE: Facts = WRITES;

fn lock(name: &str) -> Option<Facts> {
    let name = name.strip_prefix("pg_")?;
    let name = name.strip_prefix("try_").unwrap_or(name);
    if !name.starts_with("advisory_") {
        return None;
    }
    // Locks of a transaction end with it, and it keeps its server anyway.
    let stays = !name.starts_with("advisory_xact_") && !name.starts_with("advisory_unlock");
    Some(if stays { LOCKS } else { WRITES })
}

fn contrib(name: &str) -> Option<Facts> {
    match name {
        "dblink_connect" | "dblink_connect_u" | "dblink_open" | "dblink_send_query" => {
            Some(RUNS_SQL.pinning(Pin::Unknown))
        }
        // pg_trgm's: changes what the operator `%` says for the rest of the session.
        "set_limit" => Some(WRITES.pinning(Pin::SessionSetting)),
        name => (name.starts_with("dblink") || CONTRIB_RUNNERS.contains(&name)).then_some(RUNS_SQL),
    }
}

pub(super) fn system_view(name: &str) -> Option<Facts> {
    if REPLICATED_VIEWS.contains(&name) {
        return Some(Facts::READ);
    }
    (name.starts_with("pg_stat_") || name.starts_with("pg_statio_")).then_some(SYSTEM_RELATION)
}

pub(crate) fn is_newer_keyword(word: &str) -> bool {
    NEWER_KEYWORDS.contains(&word)
}

/// All functions of `pg_catalog` that are named here.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let particular = PARTICULAR.iter().map(|(name, _)| *name);
    [HARMLESS, WRITERS, PRIMARY_ONLY].into_iter().flatten().copied().chain(particular)
}

/// All prefixes of functions that are named here.
#[cfg(test)]
pub(super) fn prefixes() -> impl Iterator<Item = &'static str> {
    [WRITER_PREFIXES, PRIMARY_PREFIXES].into_iter().flatten().copied()
}
