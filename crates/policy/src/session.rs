//! What must a session remember between cycles: wishes, pins, transaction, fence?
//!
//! One [`Session`] per client connection, fed with what each cycle did ([`Seen`]); it answers
//! whether the server is kept ([`Hold`]) and who must take a ticket. It does not know sockets,
//! statements' names or which bytes were sent.

mod left;
#[cfg(test)]
mod tests;

use std::time::Instant;

use sql::{Class, Effect, Pin, SetScope, Why};
use wire::TxStatus;

pub(crate) use self::left::{StateLeft, state_left_by};
use crate::clock::{Answers, Ticket};
use crate::decide::{FenceState, LastRead, RouteFrom};
use crate::lsn::Fence;
use crate::rules::{Consistency, PreferenceError, Preferences, Route};
use crate::topology::{Epoch, NodeId};

/// Whether the server goes back to its pool after a cycle.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Nothing ties the session to it.
    Return,
    /// A transaction or a pin ties the session to it.
    Keep,
}

/// Who must take a ticket before the client is told that its cycle ended.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeTicket {
    /// Nobody: nothing was read from or written to the primary that ended.
    Nobody,
    /// This session alone: it read on the primary and must not see less on a replica.
    Session,
    /// The session's whole scope: something may have been written.
    Scope,
}

/// The command tag that matters for a fence; others are `Other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LastCommand {
    /// Nothing of interest.
    #[default]
    Other,
    /// `COMMIT` was answered `COMMIT`.
    Commit,
    /// The transaction was rolled back, possibly as the answer to `COMMIT`.
    Rollback,
}

/// Where a cycle was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServedBy {
    /// The primary.
    Primary(NodeId),
    /// A replica.
    Replica(NodeId),
}

/// What is known of a cycle once its `ReadyForQuery` was read, before the client is told.
#[derive(Debug, Clone)]
pub struct Seen<'a> {
    /// The strongest class of all that the cycle said.
    pub class: Class,
    /// Why it is that class.
    pub why: Why,
    /// What the cycle's statements do to the session.
    pub effects: &'a [Effect],
    /// How many statements the cycle held.
    pub statements: u32,
    /// The transaction status behind it.
    pub status: TxStatus,
    /// The last command tag.
    pub last: LastCommand,
    /// Whether the server answered with an error.
    pub failed: bool,
    /// Who served it.
    pub by: ServedBy,
    /// When the answer was read.
    pub at: Instant,
}

/// What to do once a cycle has ended.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Keep or return the server.
    pub hold: Hold,
    /// Who takes a ticket, before the client hears of the end.
    pub ticket: TakeTicket,
    /// Whether the cycle's one `SET`, `RESET` or `DISCARD` succeeded and belongs to the settings
    /// that are replayed on other servers.
    pub settings: SettingsChange,
}

/// Whether a cycle changed the settings that travel with the session.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingsChange {
    /// No.
    None,
    /// As its one effect says.
    Replayed,
}

/// A set of [`Pin`]s.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins(Vec<Pin>);

impl Pins {
    /// The first cause, if there is any.
    #[must_use]
    pub fn first(&self) -> Option<Pin> {
        self.0.first().copied()
    }

    fn add(&mut self, pin: Pin) {
        if !self.0.contains(&pin) {
            self.0.push(pin);
        }
    }
}

/// An open transaction.
#[derive(Debug, Clone)]
struct Open {
    /// Whether anything so far may have written.
    wrote: bool,
    /// The wishes to go back to if it is rolled back.
    on_rollback: Preferences,
    /// The wishes to go back to if it commits: `SET LOCAL` is forgotten.
    on_commit: Preferences,
}

/// The meaning of one client's session.
#[derive(Debug, Clone)]
pub struct Session {
    configured: Preferences,
    /// What `RESET` goes back to: the configuration, and the startup options on top of it.
    initial: Preferences,
    wishes: Preferences,
    open: Option<Open>,
    pins: Pins,
    own: Ticket,
    floor: Option<Fence>,
    resolved: Option<Resolved>,
    last_read: Option<LastRead>,
}

#[derive(Debug, Clone, Copy)]
struct Resolved {
    ticket: Ticket,
    epoch: Epoch,
    fence: Fence,
}

impl Session {
    /// A session that starts with what the configuration says.
    #[must_use]
    pub fn new(configured: Preferences) -> Self {
        Self {
            wishes: configured.clone(),
            initial: configured.clone(),
            configured,
            open: None,
            pins: Pins::default(),
            own: Ticket::default(),
            floor: None,
            resolved: None,
            last_read: None,
        }
    }

    /// Makes what is set so far, by startup options, what `RESET` goes back to.
    pub fn started(&mut self) {
        self.initial = self.wishes.clone();
    }

    /// What the session wants now.
    #[must_use]
    pub fn wishes(&self) -> &Preferences {
        &self.wishes
    }

    /// Which layer set the route.
    #[must_use]
    pub fn route_from(&self) -> RouteFrom {
        if self.wishes.route == self.configured.route {
            RouteFrom::Config
        } else {
            RouteFrom::Session
        }
    }

    /// Where the last read was answered, for monotonic reads.
    #[must_use]
    pub fn last_read(&self) -> Option<LastRead> {
        self.last_read
    }

    /// Why the session keeps its server beyond the transaction, if it does.
    #[must_use]
    pub fn pin(&self) -> Option<Pin> {
        self.pins.first()
    }

    /// Whether a lone statement asks for what an earlier one left in its server (`currval`,
    /// `lastval`), while nothing says that the session is on that server again.
    ///
    /// Another session may have used a sequence there since: the answer would be its value.
    #[must_use]
    pub fn asks_for_a_lost_value(&self, statements: u32, effects: &[Effect]) -> bool {
        let asks = |effect: &Effect| *effect == Effect::Pin(Pin::SequenceValue);
        let kept = self.open.is_some() || self.pins.first().is_some();
        !kept && statements == 1 && effects.iter().any(asks)
    }

    /// What reads must not be older than, given the scope's newest ticket.
    ///
    /// Whether a read asks for it is decided with the cycle's own wishes: a hint may raise them.
    pub fn fence(&mut self, scope: Ticket, answers: &Answers, epoch: Epoch) -> FenceState {
        let newest = scope.max(self.own);
        if newest == Ticket::default() {
            return self.floor.map_or(FenceState::Open, FenceState::Known);
        }
        if self.resolved.is_none_or(|known| known.ticket != newest || known.epoch != epoch) {
            let answer = answers.covering(newest).filter(|answer| answer.epoch == epoch);
            let Some(answer) = answer else { return FenceState::Pending(newest) };
            self.resolved = Some(Resolved { ticket: newest, epoch, fence: answer.fence() });
        }
        let own = self.resolved.map(|known| known.fence);
        let joined = match (own, self.floor) {
            (Some(own), Some(floor)) => Some(own.join(floor)),
            (own, floor) => own.or(floor),
        };
        joined.map_or(FenceState::Open, FenceState::Known)
    }

    /// Takes note that this session alone took `ticket`.
    pub fn took(&mut self, ticket: Ticket) {
        self.own = self.own.max(ticket);
    }

    /// The newest ticket that this session alone took.
    #[must_use]
    pub fn newest_own(&self) -> Ticket {
        self.own
    }

    /// Raises what every later read must have passed (`weir.min_lsn`).
    pub fn raise_floor(&mut self, fence: Fence) {
        self.floor = Some(self.floor.map_or(fence, |floor| floor.join(fence)));
    }

    /// Sets one of the `weir.*` settings; `None` is the value that the session started with.
    ///
    /// # Errors
    ///
    /// [`PreferenceError`]: nothing was changed; tell the client.
    pub fn set(
        &mut self,
        name: &str,
        value: Option<&str>,
        scope: SetScope,
    ) -> Result<(), PreferenceError> {
        let initial = self.initial.clone();
        let apply = |wishes: &mut Preferences| match value {
            Some(value) => wishes.set(name, value),
            None => initial
                .get(name)
                .map_or(Err(PreferenceError::UnknownName), |value| wishes.set(name, &value)),
        };
        // Outside of a transaction SET LOCAL has no effect (manual, SET).
        if scope == SetScope::Local && self.open.is_none() {
            return apply(&mut self.wishes.clone());
        }
        apply(&mut self.wishes)?;
        if let (SetScope::Session, Some(open)) = (scope, self.open.as_mut()) {
            apply(&mut open.on_commit)?;
        }
        Ok(())
    }

    /// Goes back to what the session started with (`RESET ALL`, `DISCARD ALL`).
    pub fn reset_all(&mut self) {
        self.wishes = self.initial.clone();
    }

    /// Takes note of an ended cycle.
    pub fn settle(&mut self, seen: &Seen<'_>) -> Settled {
        let wrote = may_write(seen) || self.open.as_ref().is_some_and(|open| open.wrote);
        let settings = self.pins_after(seen);
        let ticket = self.ticket_after(seen, wrote);
        self.transaction_after(seen, wrote);
        if let ServedBy::Replica(node) = seen.by {
            self.last_read = Some(LastRead { node, answered: seen.at });
        } else if ticket != TakeTicket::Nobody {
            // From here on the ticket stands for all that was seen so far.
            self.last_read = None;
        }
        let tied = seen.status != TxStatus::Idle || self.pins.first().is_some();
        Settled { hold: if tied { Hold::Keep } else { Hold::Return }, ticket, settings }
    }

    /// A lone statement that failed did nothing; of several, some may have: too many pins cost a
    /// server, too few leak state to the next session.
    fn pins_after(&mut self, seen: &Seen<'_>) -> SettingsChange {
        let alone = seen.statements == 1;
        if seen.failed && alone {
            return SettingsChange::None;
        }
        let replayed = alone && seen.status == TxStatus::Idle && self.open.is_none();
        let mut change = SettingsChange::None;
        for effect in seen.effects {
            match state_left_by(effect) {
                StateLeft::Pin(pin) => self.pins.add(pin),
                StateLeft::Setting if replayed => change = SettingsChange::Replayed,
                StateLeft::Setting => self.pins.add(Pin::SessionSetting),
                StateLeft::Clean if replayed => {
                    self.pins.0.clear();
                    change = SettingsChange::Replayed;
                }
                StateLeft::Nothing | StateLeft::Clean => {}
            }
        }
        change
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "a fact of the transaction, not a mode")]
    fn ticket_after(&self, seen: &Seen<'_>, wrote: bool) -> TakeTicket {
        if matches!(seen.by, ServedBy::Replica(_)) {
            return TakeTicket::Nobody;
        }
        if seen.status != TxStatus::Idle && (!wrote || !may_commit_inside(seen)) {
            return TakeTicket::Nobody;
        }
        // A lone ROLLBACK, or a lone COMMIT that was answered ROLLBACK, made nothing visible.
        let undone =
            seen.last == LastCommand::Rollback && seen.statements == 1 && self.open.is_some();
        match (wrote && !undone, self.wishes.consistency) {
            (true, _) => TakeTicket::Scope,
            (false, Consistency::Session) => TakeTicket::Session,
            (false, Consistency::Eventual) => TakeTicket::Nobody,
        }
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "a fact of the transaction, not a mode")]
    fn transaction_after(&mut self, seen: &Seen<'_>, wrote: bool) {
        if seen.status == TxStatus::Idle {
            if let Some(open) = self.open.take() {
                self.wishes = if seen.last == LastCommand::Rollback {
                    open.on_rollback
                } else {
                    open.on_commit
                };
            }
            return;
        }
        match self.open.as_mut() {
            Some(open) => open.wrote = wrote,
            None => {
                self.open = Some(Open {
                    wrote,
                    on_rollback: self.wishes.clone(),
                    on_commit: self.wishes.clone(),
                });
            }
        }
    }

    /// Takes note that Weir itself opened a transaction whose `BEGIN` it still holds back.
    pub fn begin_deferred(&mut self) {
        self.open = Some(Open {
            wrote: false,
            on_rollback: self.wishes.clone(),
            on_commit: self.wishes.clone(),
        });
    }

    /// Takes note that a held-back transaction ended without a server having seen it.
    #[expect(clippy::fn_params_excessive_bools, reason = "the two ways a transaction ends")]
    pub fn end_deferred(&mut self, committed: bool) {
        if let Some(open) = self.open.take() {
            self.wishes = if committed { open.on_commit } else { open.on_rollback };
        }
    }

    /// Whether the session asked for the primary (or for a replica) by `weir.route`.
    #[must_use]
    pub fn route(&self) -> Route {
        self.wishes.route
    }
}

/// Whether a cycle may have written.
///
/// `PrimaryRead` does not, by its definition; but without a catalog nobody knows what a function does.
fn may_write(seen: &Seen<'_>) -> bool {
    seen.class == Class::Write || (seen.class > Class::Read && seen.why == Why::CatalogMissing)
}

/// Whether something may have become visible to others although a transaction is still open.
fn may_commit_inside(seen: &Seen<'_>) -> bool {
    // One statement that is not COMMIT and leaves its transaction open has ended none: procedures
    // and DO blocks with COMMIT inside are refused within a transaction block (2D000). A cycle of
    // several may have ended one and begun the next.
    seen.statements != 1
        || seen.effects.iter().any(|effect| {
            matches!(
                effect,
                Effect::Commit { .. } | Effect::Rollback { .. } | Effect::PrepareTransaction
            )
        })
}
