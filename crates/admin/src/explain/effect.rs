//! What a session would remember, in words.

use policy::session::is_for_a_kept_server;
use sql::{Access, Classified, Effect, Isolation, SetScope, TxModes};

/// Whether Weir answers by itself: one statement, about a setting of its own, or about what a new
/// session can't have.
pub(super) fn is_local(classified: &Classified) -> bool {
    let own = |name: &str| name.starts_with("weir.");
    match classified.effects.as_slice() {
        [Effect::Set { name, .. } | Effect::Reset(name) | Effect::Show(name)] => {
            classified.statements == 1 && own(name)
        }
        [effect] => classified.statements == 1 && is_for_a_kept_server(effect),
        _ => false,
    }
}

/// Names an effect; values of settings are left out, since they may be secret.
pub(super) fn word(effect: &Effect) -> String {
    match effect {
        Effect::Begin(modes) => format!("begin{}", modes_of(*modes)),
        Effect::SetTransaction(modes) => format!("set transaction{}", modes_of(*modes)),
        Effect::Commit { .. } => "commit".into(),
        Effect::Rollback { .. } => "rollback".into(),
        Effect::Savepoint(_) => "savepoint".into(),
        Effect::RollbackToSavepoint(_) => "rollback to savepoint".into(),
        Effect::ReleaseSavepoint(_) => "release savepoint".into(),
        Effect::PrepareTransaction => "prepare transaction".into(),
        Effect::Set { name, scope: SetScope::Session, .. } => format!("set {name}"),
        Effect::Set { name, scope: SetScope::Local, .. } => format!("set local {name}"),
        Effect::SetConfig(_) => "set what its parameters say".into(),
        Effect::Reset(name) => format!("reset {name}"),
        Effect::ResetAll => "reset all".into(),
        Effect::Show(name) => format!("show {name}"),
        Effect::Pin(pin) => format!("pin {}", pin.as_str()),
        Effect::Unlisten => "unlisten".into(),
        Effect::DeallocateAll => "deallocate all".into(),
        Effect::Deallocate(_) => "deallocate".into(),
        Effect::CloseCursor => "close cursor".into(),
        Effect::Unlock => "unlock".into(),
        Effect::Suspect => "may leave anything".into(),
        Effect::MayHaveSet => "may set something unseen".into(),
        Effect::DiscardAll => "discard all".into(),
        Effect::DiscardPlans => "discard plans".into(),
        Effect::DiscardTemp => "discard temp".into(),
        Effect::DiscardSequences => "discard sequences".into(),
        Effect::SchemaChange => "schema change".into(),
        Effect::LoginDefaults => "change what logins begin with".into(),
        Effect::CopyIn => "copy in".into(),
    }
}

fn modes_of(modes: TxModes) -> String {
    let access = modes.access.map_or("", |access| match access {
        Access::ReadOnly => " read only",
        Access::ReadWrite => " read write",
    });
    let isolation = modes.isolation.map_or("", |isolation| match isolation {
        Isolation::ReadUncommitted => " read uncommitted",
        Isolation::ReadCommitted => " read committed",
        Isolation::RepeatableRead => " repeatable read",
        Isolation::Serializable => " serializable",
    });
    format!("{isolation}{access}")
}
