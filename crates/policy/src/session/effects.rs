//! What do a cycle's statements do to the session, given which of them were carried out?
//!
//! A reply tells how many steps ended and which were rolled back; what a step did that was not
//! carried out, or was undone with its transaction, is not done here either.

use sql::{Chain, Effect, Pin, SetScope};
use wire::TxStatus;

use super::pins::pinned_by;
use super::undo::{Open, Undoable};
use super::{LastCommand, Seen, ServerSettings, Session};
use crate::reports::Reports;
use crate::settings::{KnownSettings, needs_superuser};
use crate::token::Token;

impl Session {
    /// Carries out on the session what the server carried out for it.
    pub(super) fn carry_out(&mut self, seen: &Seen<'_>, known: &KnownSettings) -> ServerSettings {
        let mut implicit = (self.open.is_none() && needs_undo(seen)).then(|| self.now.clone());
        let mut settings = ServerSettings::AsTold;
        for (effect, step) in seen.effects.iter().zip(seen.steps) {
            if *step == NEVER && seen.status != TxStatus::Idle && changes_session(effect) {
                // A portal that is bound and not run yet: when it will be is not known.
                self.pins.add(Pin::Unknown);
            }
            if *step >= seen.completed {
                continue;
            }
            let undone = seen.rolled_back.contains(step);
            self.end_or_begin(effect, undone, &mut implicit);
            if matches!(effect, Effect::DiscardAll) {
                settings = ServerSettings::Fresh;
            } else if hides_settings(effect) {
                settings = ServerSettings::Unknown;
            }
            self.carry_out_one(effect, known, seen.reports);
            if matches!(effect, Effect::DiscardAll) {
                // It runs in no transaction with others: what it did stays.
                implicit = implicit.map(|_| self.now.clone());
            }
        }
        self.transaction_after(seen, implicit);
        if seen.status == TxStatus::Idle && std::mem::take(&mut self.hides) {
            settings = ServerSettings::Unknown;
        }
        settings
    }

    /// Begins and ends transactions within the cycle; `implicit` is what the one around statements
    /// without BEGIN goes back to.
    #[expect(clippy::fn_params_excessive_bools, reason = "a fact of the reply, not a mode")]
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others end nothing")]
    fn end_or_begin(&mut self, effect: &Effect, undone: bool, implicit: &mut Option<Undoable>) {
        let chain = match effect {
            Effect::Begin(_) => {
                let before = implicit.take().unwrap_or_else(|| self.now.clone());
                self.open.get_or_insert_with(|| Box::new(Open::new(before)));
                return;
            }
            Effect::Commit { chain } | Effect::Rollback { chain } => *chain,
            Effect::PrepareTransaction => Chain::No,
            _ => return,
        };
        if undone || matches!(effect, Effect::Rollback { .. }) {
            if let Some(before) = implicit.take() {
                self.now = before;
            }
            self.roll_back();
        } else {
            self.commit();
        }
        *implicit = None;
        if chain == Chain::Yes {
            self.open = Some(Box::new(Open::new(self.now.clone())));
        } else {
            *implicit = Some(self.now.clone());
        }
    }

    pub(super) fn commit(&mut self) {
        self.open = None;
        self.now.local = None;
    }

    pub(super) fn roll_back(&mut self) {
        if let Some(open) = self.open.take() {
            self.now = open.before;
        }
        self.now.local = None;
    }

    fn carry_out_one(&mut self, effect: &Effect, known: &KnownSettings, reports: &Reports) {
        if let Some(pin) = pinned_by(effect) {
            self.pins.add(pin);
        }
        match effect {
            Effect::Savepoint(name) => {
                let now = self.now.clone();
                if let Some(open) = self.open.as_mut() {
                    open.savepoints.push((name.clone(), now));
                }
            }
            Effect::RollbackToSavepoint(name) => {
                if let Some(saved) = self.open.as_mut().and_then(|open| open.back_to(name)) {
                    self.now = saved;
                }
            }
            Effect::ReleaseSavepoint(name) => {
                if let Some(open) = self.open.as_mut() {
                    open.release(name);
                }
            }
            Effect::Set { name, value: Some(_), scope } if **name == *"datestyle" => {
                // Each SET changes a part of it: what came of it is what the server reports.
                let whole = reports.value(b"DateStyle").map(String::from_utf8_lossy);
                self.set_one(name, whole.as_deref(), *scope, known);
            }
            Effect::Set { name, value, scope } => {
                self.set_one(name, value.as_deref(), *scope, known);
            }
            // Its parameters could not be read.
            Effect::SetConfig(_) => self.pins.add(Pin::SessionSetting),
            Effect::Reset(name) => self.set_one(name, None, SetScope::Session, known),
            Effect::ResetAll => self.now.reset_all(known, &self.start),
            Effect::DiscardAll => {
                self.now.discard_all(known, &self.start);
                self.pins = super::Pins::default();
                self.suspect = false;
            }
            Effect::DiscardSequences => self.pins.remove(Pin::SequenceValue),
            Effect::Suspect => self.suspect = true,
            Effect::Begin(_)
            | Effect::SetTransaction(_)
            | Effect::Commit { .. }
            | Effect::Rollback { .. }
            | Effect::PrepareTransaction
            | Effect::Show(_)
            | Effect::Pin(_)
            | Effect::Unlisten
            | Effect::DeallocateAll
            | Effect::Deallocate(_)
            | Effect::CloseCursor
            | Effect::MayHaveSet
            | Effect::Unlock
            | Effect::DiscardPlans
            | Effect::DiscardTemp
            | Effect::SchemaChange
            | Effect::LoginDefaults
            | Effect::CopyIn => {}
        }
    }

    fn set_one(&mut self, name: &str, value: Option<&str>, scope: SetScope, known: &KnownSettings) {
        let is_own = name.strip_prefix("weir.");
        if is_own == Some("min_lsn") {
            // Nobody judged it: one that is worth nothing sends to the primary.
            if let Some(token) = value.and_then(|value| value.parse::<Token>().ok()) {
                self.raise_floor(token.fence);
            }
        } else if let Some(wish) = is_own {
            // The server took it for a custom setting; what is not understood has no effect here.
            let _understood = self.set(wish, value, scope).is_ok();
        }
        if scope == SetScope::Local {
            self.set_locally(name, value, known);
        }
        if scope == SetScope::Local || is_of_the_transaction(name) || name == "seed" {
            return;
        }
        if needs_superuser(name) && self.now.wanted.has_identity() {
            // Whoever logs in elsewhere may not be allowed to set it.
            self.pins.add(Pin::SessionSetting);
        }
        match (is_own, value) {
            (Some(_), _) => self.now.on_server = known.with(&self.now.on_server, name, value),
            (None, Some(value)) => self.now.set(known, name, value),
            (None, None) => self.now.reset(known, &self.start, name),
        }
    }

    /// Behind a `RESET` the server would still have to be brought to what the session started with:
    /// but that would undo what is set for this transaction only.
    fn set_locally(&mut self, name: &str, value: Option<&str>, known: &KnownSettings) {
        let wanted = self.now.wanted.value(name);
        if value.is_some() && self.now.on_server.value(name) != wanted {
            self.now.on_server = known.with(&self.now.on_server, name, wanted);
            self.hides = true;
        }
    }

    /// What the status behind the cycle says of the transaction that it left, entered or failed.
    fn transaction_after(&mut self, seen: &Seen<'_>, implicit: Option<Undoable>) {
        if seen.status != TxStatus::Idle {
            if self.open.is_none() {
                let before = implicit.unwrap_or_else(|| self.now.clone());
                self.open = Some(Box::new(Open::new(before)));
            }
            return;
        }
        if self.open.is_some() {
            if seen.last == LastCommand::Rollback { self.roll_back() } else { self.commit() }
        } else if let (true, Some(before)) = (seen.failed, implicit) {
            // Statements without BEGIN fail together.
            self.now = before;
        }
        self.now.local = None;
    }
}

/// The step of an effect whose statement was not run.
pub const NEVER: u32 = u32::MAX;

fn needs_undo(seen: &Seen<'_>) -> bool {
    !seen.effects.is_empty() || seen.status != TxStatus::Idle
}

fn changes_session(effect: &Effect) -> bool {
    pinned_by(effect).is_some()
        || matches!(
            effect,
            Effect::Set { scope: SetScope::Session, .. }
                | Effect::SetConfig(_)
                | Effect::Reset(_)
                | Effect::ResetAll
                | Effect::DiscardAll
        )
}

/// Whether what ran may have changed any setting of the server, unseen.
fn hides_settings(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Suspect
            | Effect::MayHaveSet
            | Effect::SetConfig(_)
            | Effect::Pin(Pin::SessionSetting | Pin::Unknown)
    )
}

/// Of the transaction, not of the session.
fn is_of_the_transaction(name: &str) -> bool {
    matches!(name, "transaction_isolation" | "transaction_read_only" | "transaction_deferrable")
}
