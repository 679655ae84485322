//! BEGIN, COMMIT and their kin (manual: BEGIN, SET TRANSACTION, SAVEPOINT, PREPARE TRANSACTION).

use super::findings::Findings;
use super::words::Words;
use crate::class::{Class, Why};
use crate::effect::{Access, Chain, Deferrable, Effect, Isolation, Pin, SetScope, TxModes};
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
        return Findings::new(Class::PrimaryRead, Why::Transaction);
    }
    match modes(words) {
        Some(modes) => {
            Findings::new(change_class(modes), Why::Transaction).with(Effect::SetTransaction(modes))
        }
        None => not_understood().with(Effect::Pin(Pin::SessionSetting)),
    }
}

/// After SET SESSION CHARACTERISTICS AS TRANSACTION: defaults of later transactions.
pub(super) fn set_characteristics(words: Words<'_>) -> Findings {
    let Some(modes) = modes(words) else {
        return not_understood().with(Effect::Pin(Pin::SessionSetting));
    };
    let access = modes.access.map(|access| match access {
        Access::ReadOnly => ("default_transaction_read_only", "on"),
        Access::ReadWrite => ("default_transaction_read_only", "off"),
    });
    let isolation = modes.isolation.map(|isolation| {
        let level = match isolation {
            Isolation::ReadUncommitted => "read uncommitted",
            Isolation::ReadCommitted => "read committed",
            Isolation::RepeatableRead => "repeatable read",
            Isolation::Serializable => "serializable",
        };
        ("default_transaction_isolation", level)
    });
    let deferrable = modes.deferrable.map(|deferrable| match deferrable {
        Deferrable::Yes => ("default_transaction_deferrable", "on"),
        Deferrable::No => ("default_transaction_deferrable", "off"),
    });
    let mut found = Findings::new(Class::PrimaryRead, Why::SessionState);
    for (name, value) in [isolation, access, deferrable].into_iter().flatten() {
        let value = Some(value.into());
        found = found.with(Effect::Set { name: name.into(), value, scope: SetScope::Session });
    }
    found
}

/// After SAVEPOINT, RELEASE or ROLLBACK TO, with or without the word SAVEPOINT.
pub(super) fn savepoint(mut words: Words<'_>, effect: impl Fn(Box<str>) -> Effect) -> Findings {
    if words.tokens.len() > 1 {
        words.eat("savepoint");
    }
    let found = Findings::new(Class::Read, Why::Transaction);
    match words.name(0) {
        Some(name) => found.with(effect(name.into())),
        // The server refuses it, or knows a name that we can't read.
        None => found.with(Effect::Pin(Pin::SessionSetting)),
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
        words.pass(ahead.saturating_add(1));
        return savepoint(words, Effect::RollbackToSavepoint);
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
