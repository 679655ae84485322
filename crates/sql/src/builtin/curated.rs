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

/// Marked volatile, yet they only read, wait, or draw; or newer than the generated list.
const HARMLESS: &[&str] = &[
    "array",
    "current_catalog",
    "current_date",
    "current_role",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "user",
    "any_value",
    "array_reverse",
    "array_sample",
    "array_shuffle",
    "array_sort",
    "casefold",
    "clock_timestamp",
    "coalesce",
    "crc32",
    "crc32c",
    "current_query",
    "date_add",
    "date_subtract",
    "erf",
    "erfc",
    "gamma",
    "gen_random_uuid",
    "greatest",
    "grouping",
    "has_largeobject_privilege",
    "json_array",
    "json_arrayagg",
    "json_exists",
    "json_objectagg",
    "json_query",
    "json_scalar",
    "json_serialize",
    "json_value",
    "jsonb_path_query_first_text",
    "least",
    "lgamma",
    "nullif",
    "pg_collation_actual_version",
    "pg_database_size",
    "pg_indexes_size",
    "pg_input_error_info",
    "pg_input_is_valid",
    "pg_partition_ancestors",
    "pg_partition_tree",
    "pg_relation_size",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_table_size",
    "pg_total_relation_size",
    "pg_xact_commit_timestamp",
    "random",
    "random_normal",
    "row",
    "system_user",
    "timeofday",
    "to_bin",
    "to_oct",
    "unicode_assigned",
    "unicode_version",
    "uuid_extract_timestamp",
    "uuid_extract_version",
    "uuidv4",
    "uuidv7",
    "xmlconcat",
    "xmlelement",
    "xmlforest",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
    "xmltext",
];

/// Writes, changes a server, or runs SQL that hides in a string or behind a name.
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
    "gin_clean_pending_list",
    "lo_close",
    "lo_creat",
    "lo_create",
    "lo_export",
    "lo_from_bytea",
    "lo_import",
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
    "pg_extension_config_dump",
    "pg_import_system_collations",
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
    "pg_start_backup",
    "pg_stat_force_next_flush",
    "pg_stop_backup",
    "pg_stop_making_pinned_objects",
    "pg_switch_wal",
    "pg_sync_replication_slots",
    "pg_terminate_backend",
    "pg_wal_replay_pause",
    "pg_wal_replay_resume",
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

/// Reads only, but what it says is true for one server, or not to be had on a standby.
const PRIMARY_ONLY: &[&str] = &[
    "inet_client_addr",
    "inet_client_port",
    "inet_server_addr",
    "inet_server_port",
    "pg_available_extension_versions",
    "pg_available_extensions",
    "pg_backend_pid",
    "pg_blocking_pids",
    "pg_conf_load_time",
    "pg_config",
    "pg_current_logfile",
    "pg_current_snapshot",
    "pg_current_xact_id_if_assigned",
    "pg_cursor",
    "pg_extension_update_paths",
    "pg_filenode_relation",
    "pg_get_replication_slots",
    "pg_is_in_recovery",
    "pg_is_other_temp_schema",
    "pg_isolation_test_session_is_blocked",
    "pg_jit_available",
    "pg_listening_channels",
    "pg_lock_status",
    "pg_my_temp_schema",
    "pg_notification_queue_usage",
    "pg_postmaster_start_time",
    "pg_prepared_statement",
    "pg_prepared_xact",
    "pg_relation_filenode",
    "pg_relation_filepath",
    "pg_safe_snapshot_blocking_pids",
    "pg_sequence_last_value",
    "pg_show_all_file_settings",
    "pg_show_all_settings",
    "pg_show_replication_origin_status",
    "pg_stat_file",
    "pg_switch_xlog",
    "pg_tablespace_databases",
    "pg_tablespace_location",
    "pg_tablespace_size",
    "pg_trigger_depth",
    "pg_walfile_name",
    "pg_walfile_name_offset",
    "pg_xact_status",
    "txid_current_if_assigned",
    "txid_current_snapshot",
    "txid_status",
    "version",
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

/// Views over tables of `pg_catalog` alone.
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

/// Key words of the grammar after the generated list's version, and the method names of TABLESAMPLE.
const NEWER_KEYWORDS: &[&str] = &[
    "absent",
    "bernoulli",
    "conditional",
    "empty",
    "enforced",
    "error",
    "format",
    "graph_table",
    "indent",
    "json",
    "json_array",
    "json_arrayagg",
    "json_exists",
    "json_object",
    "json_objectagg",
    "json_query",
    "json_scalar",
    "json_serialize",
    "json_table",
    "json_value",
    "keep",
    "keys",
    "lsn",
    "merge_action",
    "nested",
    "objects",
    "omit",
    "path",
    "period",
    "plan",
    "quotes",
    "scalar",
    "source",
    "split",
    "string",
    "target",
    "unconditional",
    "virtual",
    "wait",
];

/// Contrib and well-known extensions that act outside whatever their label says.
const DBLINK: Facts = Facts::new(Class::Write, Why::VolatileFunction).outside();

pub(super) fn function(name: &str) -> Option<Facts> {
    let has = |list: &[&str]| list.contains(&name);
    let starts = |list: &[&str]| list.iter().any(|prefix| name.starts_with(prefix));
    if name.starts_with("pg_advisory_xact_") || name.starts_with("pg_try_advisory_xact_") {
        // Ends with the transaction, which keeps its server anyway.
        return Some(WRITES);
    }
    if name.starts_with("pg_advisory_unlock") {
        return Some(WRITES);
    }
    if name.starts_with("pg_advisory_") || name.starts_with("pg_try_advisory_") {
        return Some(LOCKS);
    }
    if name.starts_with("dblink") || name == "xpath_table" {
        return Some(
            if has(&["dblink_connect", "dblink_connect_u", "dblink_open", "dblink_send_query"]) {
                DBLINK.pinning(Pin::Unknown)
            } else {
                DBLINK
            },
        );
    }
    match name {
        "currval" | "lastval" => return Some(PRIMARY.pinning(Pin::SequenceValue)),
        // Lives as long as its transaction, which keeps its server anyway.
        "pg_export_snapshot" => return Some(WRITES),
        "pg_notify" => return Some(NOTIFIES),
        "setseed" => return Some(PRIMARY.pinning(Pin::SessionSetting)),
        // Whether it pins depends on its arguments: the classifier looks at them.
        "set_config" => return Some(Facts::new(Class::Write, Why::SessionState)),
        "lo_export" | "lo_import" => return Some(WRITES.outside()),
        "pg_stat_clear_snapshot" | "lo_get" => return Some(PRIMARY),
        _ => {}
    }
    if has(WRITERS) || starts(WRITER_PREFIXES) {
        Some(WRITES)
    } else if has(PRIMARY_ONLY) || starts(PRIMARY_PREFIXES) {
        Some(PRIMARY)
    } else {
        has(HARMLESS).then_some(Facts::READ)
    }
}

pub(super) fn system_view(name: &str) -> Option<Facts> {
    if REPLICATED_VIEWS.contains(&name) {
        return Some(Facts::READ);
    }
    (name.starts_with("pg_stat_") || name.starts_with("pg_statio_")).then_some(SYSTEM_RELATION)
}

pub(super) fn is_newer_keyword(word: &str) -> bool {
    NEWER_KEYWORDS.contains(&word)
}
