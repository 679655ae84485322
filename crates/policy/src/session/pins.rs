//! Why does a session keep its server, and when is that over?
//!
//! A pin begins with the statement that causes it. Whether its cause is gone is not concluded from
//! statements (a lock may be taken twice, a table dropped with its transaction): once something ran
//! that may have ended it, the server itself is asked ([`LEFTOVERS`]).

use sql::{Effect, Pin};

/// A set of [`Pin`]s.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pins(u16);

/// All pins, the most telling one first.
const ALL: [Pin; 9] = [
    Pin::TemporaryRelation,
    Pin::AdvisoryLock,
    Pin::Listen,
    Pin::HoldCursor,
    Pin::Prepare,
    Pin::Load,
    Pin::SequenceValue,
    Pin::SessionSetting,
    Pin::Unknown,
];

/// What [`LEFTOVERS`] finds, and the letter that it says it by.
const ASKED: [(Pin, u8); 5] = [
    (Pin::TemporaryRelation, b't'),
    (Pin::AdvisoryLock, b'a'),
    (Pin::Listen, b'l'),
    (Pin::HoldCursor, b'h'),
    (Pin::Prepare, b'p'),
];

/// Asks a server, between transactions, what its session left in it: one row of one text.
pub const LEFTOVERS: &str = "\
SELECT pg_catalog.concat(\
CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema()) \
OR EXISTS (SELECT FROM pg_catalog.pg_proc WHERE pronamespace = pg_catalog.pg_my_temp_schema()) \
OR EXISTS (SELECT FROM pg_catalog.pg_type WHERE typnamespace = pg_catalog.pg_my_temp_schema()) THEN 't' END,\
CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_locks \
WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid()) THEN 'a' END,\
CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_listening_channels()) THEN 'l' END,\
CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable) THEN 'h' END,\
CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql) THEN 'p' END)";

impl Pins {
    /// The most telling cause, if there is any.
    #[must_use]
    pub fn first(self) -> Option<Pin> {
        ALL.into_iter().find(|pin| self.has(*pin))
    }

    /// Whether this cause is among them.
    #[must_use]
    pub fn has(self, pin: Pin) -> bool {
        self.0 & bit(pin) != 0
    }

    /// Whether nothing keeps the session on its server.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Every cause, the most telling one first.
    pub fn iter(self) -> impl Iterator<Item = Pin> {
        ALL.into_iter().filter(move |pin| self.has(*pin))
    }

    /// Whether settings of the server are among what nobody knows.
    pub(crate) fn hides_settings(self) -> bool {
        self.has(Pin::SessionSetting) || self.has(Pin::Unknown)
    }

    /// Whether the server can be asked if one of these is over.
    pub(crate) fn can_be_asked_for(self) -> bool {
        ASKED.iter().any(|(pin, _)| self.has(*pin))
    }

    pub(crate) fn add(&mut self, pin: Pin) {
        self.0 |= bit(pin);
    }

    pub(crate) fn remove(&mut self, pin: Pin) {
        self.0 &= !bit(pin);
    }

    /// These, once the server answered [`LEFTOVERS`] with `letters`.
    pub(crate) fn corrected(self, letters: &[u8]) -> Self {
        let mut pins = self;
        for (pin, letter) in ASKED {
            if letters.contains(&letter) {
                pins.add(pin);
            } else {
                pins.remove(pin);
            }
        }
        pins
    }
}

fn bit(pin: Pin) -> u16 {
    let index = ALL.iter().position(|known| *known == pin).and_then(|at| u32::try_from(at).ok());
    1_u16.checked_shl(index.unwrap_or_default()).unwrap_or_default()
}

/// Whether a statement may have ended what pins, so that the server is to be asked.
pub(crate) fn may_release(effect: &Effect) -> bool {
    match effect {
        // It may have been tried in vain.
        Effect::Pin(Pin::AdvisoryLock)
        | Effect::Unlock
        | Effect::Suspect
        | Effect::Unlisten
        | Effect::Deallocate(_)
        | Effect::DeallocateAll
        | Effect::DiscardTemp
        | Effect::DiscardAll
        | Effect::CloseCursor
        | Effect::SchemaChange => true,
        Effect::Pin(_)
        | Effect::Begin(_)
        | Effect::Commit { .. }
        | Effect::Rollback { .. }
        | Effect::PrepareTransaction
        | Effect::SetTransaction(_)
        | Effect::Savepoint(_)
        | Effect::RollbackToSavepoint(_)
        | Effect::ReleaseSavepoint(_)
        | Effect::Set { .. }
        | Effect::SetConfig(_)
        | Effect::Reset(_)
        | Effect::ResetAll
        | Effect::Show(_)
        | Effect::DiscardPlans
        | Effect::DiscardSequences
        | Effect::MayHaveSet
        | Effect::LoginDefaults
        | Effect::CopyIn => false,
    }
}

/// Why a statement would keep its session on one server, if it would.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others leave nothing behind")]
pub(crate) fn pinned_by(effect: &Effect) -> Option<Pin> {
    match effect {
        // Asking for a value leaves none: what drew it did.
        Effect::Pin(Pin::SequenceValue) => None,
        Effect::Pin(pin) => Some(*pin),
        // RESET ALL leaves it alone, so a server that has it can't be brought back.
        Effect::Set { name, .. } | Effect::Reset(name) if **name == *"seed" => {
            Some(Pin::SessionSetting)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pin_is_a_bit_of_its_own() {
        for pin in ALL {
            let mut pins = Pins::default();
            pins.add(pin);
            assert_eq!((pins.first(), pins.iter().count()), (Some(pin), 1));
            pins.remove(pin);
            assert!(pins.is_empty());
        }
    }

    #[test]
    fn the_server_corrects_what_it_can_be_asked_for_and_nothing_else() {
        let mut pins = Pins::default();
        pins.add(Pin::AdvisoryLock);
        pins.add(Pin::Load);
        let corrected = pins.corrected(b"t");
        assert_eq!(corrected.iter().collect::<Vec<_>>(), [Pin::TemporaryRelation, Pin::Load]);
    }
}
