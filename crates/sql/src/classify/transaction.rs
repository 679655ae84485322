//! BEGIN, COMMIT and their kin (manual: BEGIN, SET TRANSACTION, SAVEPOINT, PREPARE TRANSACTION).

use super::findings::Findings;
use super::words::Words;
use crate::class::{Class, Why};
use crate::effect::{Access, Chain, Deferrable, Effect, Isolation, Pin, TxModes};
use crate::scan::Kind;

/// After BEGIN or START TRANSACTION.
pub(super) fn begin(mut words: Words<'_>) -> Findings {
    words.eat_any(&["work", "transaction"]);
    match modes(words) {
        Some(modes) => {
            Findings::new(begin_class(modes), Why::Transaction).with(Effect::Begin(modes))
        }
        None => not_understood().with(Effect::Begin(TxModes::default())),
    }
}

/// Only what is said to be read only may begin on a standby; SERIALIZABLE never can.
fn begin_class(modes: TxModes) -> Class {
    match modes {
        TxModes { isolation: Some(Isolation::Serializable), .. } => Class::PrimaryRead,
        TxModes { access: Some(Access::ReadOnly), .. } => Class::Read,
        TxModes { .. } => Class::PrimaryRead,
    }
}

/// Modes may change what a transaction may do on a standby: those that a standby refuses are the primary's.
fn change_class(modes: TxModes) -> Class {
    if modes.access == Some(Access::ReadWrite) || modes.isolation == Some(Isolation::Serializable) {
        Class::PrimaryRead
    } else {
        Class::Read
    }
}

fn not_understood() -> Findings {
    Findings::new(Class::Write, Why::NotUnderstood)
}

/// After SET TRANSACTION or SET LOCAL TRANSACTION.
pub(super) fn set_transaction(mut words: Words<'_>) -> Findings {
    if words.eat("snapshot") {
        return Findings::new(Class::PrimaryRead, Why::Transaction)
            .with(Effect::Pin(Pin::ExportedSnapshot));
    }
    match modes(words) {
        Some(modes) => {
            Findings::new(change_class(modes), Why::Transaction).with(Effect::SetTransaction(modes))
        }
        None => not_understood().with(Effect::Pin(Pin::SessionSetting)),
    }
}

/// After SET SESSION CHARACTERISTICS AS TRANSACTION.
pub(super) fn set_characteristics(words: Words<'_>) -> Findings {
    match modes(words) {
        Some(modes) => Findings::new(Class::PrimaryRead, Why::SessionState)
            .with(Effect::SetSessionCharacteristics(modes)),
        None => not_understood().with(Effect::Pin(Pin::SessionSetting)),
    }
}

/// After COMMIT or END.
pub(super) fn commit(mut words: Words<'_>) -> Findings {
    if words.is(0, "prepared") {
        return Findings::new(Class::Write, Why::Transaction);
    }
    match chain(&mut words) {
        Some(chain) => Findings::new(Class::Read, Why::Transaction).with(Effect::Commit { chain }),
        None => not_understood().with(Effect::Commit { chain: Chain::No }),
    }
}

/// After ROLLBACK or ABORT.
pub(super) fn rollback(mut words: Words<'_>) -> Findings {
    if words.is(0, "prepared") {
        return Findings::new(Class::Write, Why::Transaction);
    }
    let ahead = usize::from(words.is_any(0, &["work", "transaction"]));
    if words.is(ahead, "to") {
        return Findings::new(Class::Read, Why::Transaction).with(Effect::RollbackToSavepoint);
    }
    match chain(&mut words) {
        Some(chain) => {
            Findings::new(Class::Read, Why::Transaction).with(Effect::Rollback { chain })
        }
        None => not_understood().with(Effect::Rollback { chain: Chain::No }),
    }
}

/// Reads `[WORK | TRANSACTION] [AND [NO] CHAIN]` to the end.
fn chain(words: &mut Words<'_>) -> Option<Chain> {
    words.eat_any(&["work", "transaction"]);
    let chain = if words.eat_all(&["and", "chain"]) {
        Chain::Yes
    } else {
        words.eat_all(&["and", "no", "chain"]);
        Chain::No
    };
    words.is_done().then_some(chain)
}

/// Reads transaction modes to the end; later ones win, as in the server.
fn modes(mut words: Words<'_>) -> Option<TxModes> {
    let mut modes = TxModes::default();
    while !words.is_done() {
        if words.eat_all(&["read", "only"]) {
            modes.access = Some(Access::ReadOnly);
        } else if words.eat_all(&["read", "write"]) {
            modes.access = Some(Access::ReadWrite);
        } else if words.eat("deferrable") {
            modes.deferrable = Some(Deferrable::Yes);
        } else if words.eat_all(&["not", "deferrable"]) {
            modes.deferrable = Some(Deferrable::No);
        } else if words.eat_all(&["isolation", "level"]) {
            modes.isolation = Some(isolation(&mut words)?);
        } else if !words.eat_kind(Kind::Comma) {
            return None;
        }
    }
    Some(modes)
}

fn isolation(words: &mut Words<'_>) -> Option<Isolation> {
    if words.eat("serializable") {
        Some(Isolation::Serializable)
    } else if words.eat_all(&["repeatable", "read"]) {
        Some(Isolation::RepeatableRead)
    } else if words.eat_all(&["read", "committed"]) {
        Some(Isolation::ReadCommitted)
    } else {
        words.eat_all(&["read", "uncommitted"]).then_some(Isolation::ReadUncommitted)
    }
}
