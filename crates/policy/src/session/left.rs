//! What does a statement leave behind in its server's session?

use sql::{Effect, Pin, SetScope};

/// What a statement leaves behind in its server's session.
pub(crate) enum StateLeft {
    Nothing,
    Pin(Pin),
    /// A setting that can be replayed on another server.
    Setting,
    /// Nothing is left of anything (`DISCARD ALL`).
    Clean,
}

pub(crate) fn state_left_by(effect: &Effect) -> StateLeft {
    match effect {
        Effect::Pin(pin) => StateLeft::Pin(*pin),
        Effect::Set { name, scope: SetScope::Session, .. } | Effect::Reset(name) => setting(name),
        Effect::ResetAll => StateLeft::Setting,
        Effect::SetSessionCharacteristics(_) => StateLeft::Pin(Pin::SessionSetting),
        Effect::DiscardAll => StateLeft::Clean,
        Effect::Set { scope: SetScope::Local, .. }
        | Effect::Begin(_)
        | Effect::SetTransaction(_)
        | Effect::Commit { .. }
        | Effect::Rollback { .. }
        | Effect::Savepoint
        | Effect::RollbackToSavepoint
        | Effect::ReleaseSavepoint
        | Effect::PrepareTransaction
        | Effect::Show(_)
        | Effect::Unlisten
        | Effect::DeallocateAll
        | Effect::Deallocate
        | Effect::DiscardPlans
        | Effect::DiscardTemp
        | Effect::DiscardSequences
        | Effect::SchemaChange
        | Effect::CopyIn => StateLeft::Nothing,
    }
}

fn setting(name: &str) -> StateLeft {
    match name {
        // RESET ALL leaves these alone, so a server that has them can't be brought back.
        "role" | "session_authorization" | "seed" => StateLeft::Pin(Pin::SessionSetting),
        // Of the transaction, not of the session.
        "transaction_isolation" | "transaction_read_only" | "transaction_deferrable" => {
            StateLeft::Nothing
        }
        // Weir's own, kept in the session itself, whatever a server made of them.
        name if name.starts_with("weir.") => StateLeft::Nothing,
        _ => StateLeft::Setting,
    }
}
