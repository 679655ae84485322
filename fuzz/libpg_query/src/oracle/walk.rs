//! A walk over all of a tree, whatever its nodes are.
//!
//! It goes over the tree as plain values, so that no kind of node can be forgotten.

use schema::{
    FORBIDDEN_FUNCTIONS, FORBIDDEN_OPERATORS, FORBIDDEN_RELATIONS, FORBIDDEN_ROW_FUNCTIONS,
    FORBIDDEN_TYPES,
};
use serde_json::{Map, Value};

const FORBIDDEN_NODES: &[&str] = &[
    "InsertStmt",
    "UpdateStmt",
    "DeleteStmt",
    "MergeStmt",
    "LockingClause",
    "IntoClause",
    "CreateTableAsStmt",
];

/// Functions of PostgreSQL's own that a standby must not be asked for, as a prefix where a star ends them.
const FORBIDDEN_BUILTINS: &[&str] = &[
    "nextval",
    "setval",
    "currval",
    "lastval",
    "set_config",
    "setseed",
    "pg_advisory_*",
    "pg_try_advisory_*",
    "pg_notify",
    "txid_current",
    "txid_current_snapshot",
    "pg_current_xact_id",
    "pg_current_snapshot",
    "pg_export_snapshot",
    "lo_*",
    "loread",
    "lowrite",
    "dblink*",
    "query_to_xml*",
    "table_to_xml*",
    "cursor_to_xml*",
    "schema_to_xml*",
    "database_to_xml*",
    "ts_stat",
    "ts_rewrite",
    "pg_reload_conf",
    "pg_rotate_logfile*",
    "pg_promote",
    "pg_switch_wal",
    "pg_create_*",
    "pg_drop_replication_slot",
    "pg_copy_*",
    "pg_logical_*",
    "pg_replication_*",
    "pg_wal_replay_*",
    "pg_cancel_backend",
    "pg_terminate_backend",
    "pg_backend_pid",
    "pg_stat_reset*",
    "pg_backup_*",
    "pg_is_in_recovery",
    "pg_current_wal_*",
    "pg_last_*",
    "inet_server_*",
    "pg_read_*",
    "pg_ls_*",
    "version",
    "binary_upgrade_*",
    "pg_nextoid",
    "brin_summarize_*",
    "gin_clean_pending_list",
    "pg_import_system_collations",
    "pg_stat_get_*",
];

/// System relations whose rows are one server's own.
const FORBIDDEN_SYSTEM: &[&str] = &[
    "pg_stat_activity",
    "pg_locks",
    "pg_settings",
    "pg_stat_replication",
    "pg_sequences",
    "pg_cursors",
];

/// Why a standby must not be asked for something in this tree.
pub fn fault(tree: &Value) -> Option<String> {
    Walk { named: Vec::new() }.value(tree)
}

struct Walk {
    /// Names that WITH gives to queries, innermost last.
    named: Vec<String>,
}

impl Walk {
    fn value(&mut self, value: &Value) -> Option<String> {
        match value {
            Value::Array(items) => items.iter().find_map(|item| self.value(item)),
            Value::Object(fields) => {
                let outer = self.named.len();
                let found = fields
                    .get("with_clause")
                    .and_then(|with| self.with(with))
                    .or_else(|| self.object(fields))
                    .or_else(|| fields.iter().find_map(|(name, field)| self.field(name, field)));
                self.named.truncate(outer);
                found
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        }
    }

    /// Leaves the names of a WITH in scope.
    fn with(&mut self, with: &Value) -> Option<String> {
        let ctes: Vec<&Value> = with
            .get("ctes")
            .and_then(Value::as_array)?
            .iter()
            .filter_map(|cte| cte.pointer("/node/CommonTableExpr"))
            .collect();
        let name =
            |cte: &Value| cte.get("ctename").and_then(Value::as_str).unwrap_or_default().to_owned();
        let recursive = with.get("recursive") == Some(&Value::Bool(true));
        if recursive {
            self.named.extend(ctes.iter().map(|cte| name(cte)));
        }
        for cte in ctes {
            let found = self.value(cte);
            if found.is_some() {
                return found;
            }
            if !recursive {
                self.named.push(name(cte));
            }
        }
        None
    }

    /// Looks at a node by the fields it has.
    fn object(&self, fields: &Map<String, Value>) -> Option<String> {
        let text = |field: &str| fields.get(field).and_then(Value::as_str);
        if let (Some(schema), Some(name)) = (text("schemaname"), text("relname")) {
            let schema = Some(schema).filter(|schema| !schema.is_empty());
            return self.relation(schema, name);
        }
        if fields.contains_key("pct_type") {
            let (schema, name) = last_two(fields.get("names")?)?;
            return is_of(FORBIDDEN_TYPES, schema, name).then(|| format!("it makes a {name}"));
        }
        None
    }

    fn relation(&self, schema: Option<&str>, name: &str) -> Option<String> {
        if schema.is_none() && self.named.iter().any(|query| query == name) {
            return None;
        }
        let system =
            schema.is_none_or(|schema| schema == "pg_catalog") && FORBIDDEN_SYSTEM.contains(&name);
        (system || is_of(FORBIDDEN_RELATIONS, schema, name)).then(|| format!("it reads {name}"))
    }

    fn field(&mut self, name: &str, value: &Value) -> Option<String> {
        let found = match name {
            // Walked already, with its own names in scope.
            "with_clause" => return None,
            "into_clause" if !value.is_null() => Some("it has an IntoClause".to_owned()),
            _ if FORBIDDEN_NODES.contains(&name) => Some(format!("it has a {name}")),
            "FuncCall" => value
                .get("funcname")
                .and_then(last_two)
                .and_then(|(schema, name)| function(schema, name)),
            // `value.name` calls a function where there is no such column.
            "indirection" => names(value).find_map(|name| function(None, name)),
            "ColumnRef" => {
                value.get("fields").into_iter().flat_map(names).skip(1).find_map(|name| {
                    FORBIDDEN_ROW_FUNCTIONS
                        .contains(&name)
                        .then(|| format!("it calls {name} on a row"))
                })
            }
            "String" => value
                .get("sval")
                .and_then(Value::as_str)
                .filter(|name| FORBIDDEN_OPERATORS.contains(name))
                .map(|name| format!("it uses the operator {name}")),
            _ => None,
        };
        found.or_else(|| self.value(value))
    }
}

fn function(schema: Option<&str>, name: &str) -> Option<String> {
    let matches = |pattern: &&str| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *pattern,
    };
    let builtin = schema.is_none_or(|schema| schema == "pg_catalog");
    let forbidden = builtin && FORBIDDEN_BUILTINS.iter().any(matches);
    (forbidden || is_of(FORBIDDEN_FUNCTIONS, schema, name)).then(|| format!("it calls {name}"))
}

fn is_of(list: &[(&str, &str)], schema: Option<&str>, name: &str) -> bool {
    list.iter().any(|(home, object)| *object == name && schema.is_none_or(|schema| schema == *home))
}

/// The parts of a name that is a list of nodes.
fn names(list: &Value) -> impl DoubleEndedIterator<Item = &str> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item.pointer("/node/String/sval").and_then(Value::as_str))
}

fn last_two(list: &Value) -> Option<(Option<&str>, &str)> {
    let mut parts = names(list).rev();
    let name = parts.next()?;
    Some((parts.next(), name))
}
