//! Which commands a standby may be given.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    CopyStmt, DeclareCursorStmt, TransactionStmt, TransactionStmtKind, VariableSetStmt, a_const,
};

/// `CURSOR_OPT_HOLD` of the server's `nodes/parsenodes.h`.
const HOLD: i32 = 0x0020;

/// Why a standby must not be given this statement, as far as its own node says it; what is within, the walk sees.
pub fn fault(statement: &NodeEnum) -> Option<String> {
    match statement {
        NodeEnum::SelectStmt(_)
        | NodeEnum::FetchStmt(_)
        | NodeEnum::ClosePortalStmt(_)
        | NodeEnum::ConstraintsSetStmt(_) => None,
        NodeEnum::ExplainStmt(explain) => {
            explain.query.as_ref().and_then(|inner| inner.node.as_ref()).and_then(fault)
        }
        NodeEnum::TransactionStmt(transaction) => transaction_fault(transaction),
        NodeEnum::VariableSetStmt(set) => set_fault(set),
        NodeEnum::CopyStmt(copy) => copy_fault(copy),
        NodeEnum::DeclareCursorStmt(declare) => declare_fault(declare),
        other => {
            let shown = format!("{other:?}");
            Some(format!("it is {}", shown.split('(').next().unwrap_or_default()))
        }
    }
}

fn transaction_fault(transaction: &TransactionStmt) -> Option<String> {
    let begins = match transaction.kind() {
        TransactionStmtKind::TransStmtBegin | TransactionStmtKind::TransStmtStart => true,
        TransactionStmtKind::TransStmtCommit
        | TransactionStmtKind::TransStmtRollback
        | TransactionStmtKind::TransStmtSavepoint
        | TransactionStmtKind::TransStmtRelease
        | TransactionStmtKind::TransStmtRollbackTo => false,
        TransactionStmtKind::Undefined
        | TransactionStmtKind::TransStmtPrepare
        | TransactionStmtKind::TransStmtCommitPrepared
        | TransactionStmtKind::TransStmtRollbackPrepared => {
            return Some("it is a two-phase command".to_owned());
        }
    };
    let modes = modes(&transaction.options);
    // The last one of a kind wins.
    let last = |name: &str| {
        modes.iter().rev().find(|(mode, _)| *mode == name).map(|(_, value)| value.as_str())
    };
    if last("transaction_isolation") == Some("serializable") {
        return Some("it begins a serializable transaction".to_owned());
    }
    (begins && last("transaction_read_only") != Some("1"))
        .then(|| "it begins a transaction that may write".to_owned())
}

fn set_fault(set: &VariableSetStmt) -> Option<String> {
    if set.name == "TRANSACTION" {
        let wrong = [("transaction_read_only", "0"), ("transaction_isolation", "serializable")];
        let modes = modes(&set.args);
        return modes
            .iter()
            .find(|(name, value)| wrong.contains(&(name, value)))
            .map(|(name, _)| format!("it sets {name}"));
    }
    let lasts =
        !set.is_local || ["transaction_read_only", "transaction_isolation"].contains(&&*set.name);
    lasts.then(|| format!("it sets {}", set.name))
}

fn copy_fault(copy: &CopyStmt) -> Option<String> {
    if copy.is_from {
        return Some("it copies into a table".to_owned());
    }
    if copy.is_program || !copy.filename.is_empty() {
        return Some("it copies to a file or program".to_owned());
    }
    copy.query.as_ref().and_then(|inner| inner.node.as_ref()).and_then(fault)
}

fn declare_fault(declare: &DeclareCursorStmt) -> Option<String> {
    if declare.options & HOLD != 0 {
        return Some("it declares a cursor WITH HOLD".to_owned());
    }
    declare.query.as_ref().and_then(|inner| inner.node.as_ref()).and_then(fault)
}

/// Transaction modes, by name and value.
fn modes(options: &[pg_query::Node]) -> Vec<(&str, String)> {
    options
        .iter()
        .filter_map(|option| match &option.node {
            Some(NodeEnum::DefElem(mode)) => {
                let value = match &mode.arg.as_ref()?.node {
                    Some(NodeEnum::AConst(constant)) => match constant.val.as_ref()? {
                        a_const::Val::Ival(number) => number.ival.to_string(),
                        a_const::Val::Sval(text) => text.sval.clone(),
                        _ => return None,
                    },
                    _ => return None,
                };
                Some((mode.defname.as_str(), value))
            }
            _ => None,
        })
        .collect()
}
