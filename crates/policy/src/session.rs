//! What must a session remember between cycles: wishes, pins, transaction, fence?
//!
//! One [`Session`] per client connection, fed with what each cycle did ([`Seen`]); it answers
//! whether the server is kept ([`Hold`]) and who must take a ticket. It does not know sockets,
//! statements' names or which bytes were sent.

use std::time::Instant;

use sql::{Class, Effect, Pin, SetScope, Why};
use wire::TxStatus;

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

    /// Whether a transaction is open.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.open.is_some()
    }

    /// What reads must not be older than, given the scope's newest ticket.
    pub fn fence(&mut self, scope: Ticket, answers: &Answers, epoch: Epoch) -> FenceState {
        let newest = scope.max(self.own);
        if self.wishes.consistency == Consistency::Eventual || newest == Ticket::default() {
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

    /// Adds a pin that the protocol, not a statement, brought about.
    pub fn pin_for(&mut self, pin: Pin) {
        self.pins.add(pin);
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

/// What a statement leaves behind in its server's session.
enum StateLeft {
    Nothing,
    Pin(Pin),
    /// A setting that can be replayed on another server.
    Setting,
    /// Nothing is left of anything (`DISCARD ALL`).
    Clean,
}

fn state_left_by(effect: &Effect) -> StateLeft {
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

#[cfg(test)]
mod tests {
    use sql::{Access, Chain, Isolation, TxModes};

    use super::*;
    use crate::testing::start;

    /// A cycle of one statement, served by the primary.
    fn seen(class: Class, why: Why, effects: &[Effect], status: TxStatus) -> Seen<'_> {
        Seen {
            class,
            why,
            effects,
            statements: 1,
            status,
            last: LastCommand::Other,
            failed: false,
            by: ServedBy::Primary(NodeId(0)),
            at: start(),
        }
    }

    fn begin() -> [Effect; 1] {
        let modes =
            TxModes { access: None::<Access>, isolation: None::<Isolation>, deferrable: None };
        [Effect::Begin(modes)]
    }

    fn session() -> Session {
        Session::new(Preferences::default())
    }

    const COMMIT: [Effect; 1] = [Effect::Commit { chain: Chain::No }];

    #[test]
    fn a_write_outside_of_a_transaction_takes_a_ticket_for_its_scope() {
        let settled =
            session().settle(&seen(Class::Write, Why::DataModifying, &[], TxStatus::Idle));
        assert_eq!((settled.hold, settled.ticket), (Hold::Return, TakeTicket::Scope));
    }

    #[test]
    fn a_transaction_that_only_read_takes_a_ticket_for_its_session_alone() {
        let mut session = session();
        let began =
            session.settle(&seen(Class::PrimaryRead, Why::Transaction, &begin(), TxStatus::Open));
        assert_eq!((began.hold, began.ticket), (Hold::Keep, TakeTicket::Nobody));
        let read = session.settle(&seen(Class::Read, Why::ReadOnly, &[], TxStatus::Open));
        assert_eq!(read.ticket, TakeTicket::Nobody);
        let ended = session.settle(&seen(Class::Read, Why::Transaction, &COMMIT, TxStatus::Idle));
        assert_eq!((ended.hold, ended.ticket), (Hold::Return, TakeTicket::Session));
    }

    #[test]
    fn a_transaction_that_wrote_once_takes_its_ticket_at_commit() {
        let mut session = session();
        let mut cycle = |class, why, effects: &[Effect], status| {
            session.settle(&seen(class, why, effects, status)).ticket
        };
        let began = cycle(Class::PrimaryRead, Why::Transaction, &begin(), TxStatus::Open);
        assert_eq!(began, TakeTicket::Nobody);
        assert_eq!(
            cycle(Class::Write, Why::DataModifying, &[], TxStatus::Open),
            TakeTicket::Nobody
        );
        assert_eq!(cycle(Class::Read, Why::ReadOnly, &[], TxStatus::Open), TakeTicket::Nobody);
        assert_eq!(
            cycle(Class::Read, Why::Transaction, &COMMIT, TxStatus::Idle),
            TakeTicket::Scope
        );
    }

    #[test]
    fn a_commit_that_begins_the_next_transaction_takes_its_ticket_at_once() {
        let mut session = session();
        let chained = [Effect::Commit { chain: Chain::Yes }];
        let _open = session.settle(&seen(Class::Write, Why::DataModifying, &[], TxStatus::Open));
        let settled =
            session.settle(&seen(Class::Read, Why::Transaction, &chained, TxStatus::Open));
        assert_eq!((settled.hold, settled.ticket), (Hold::Keep, TakeTicket::Scope));
    }

    #[test]
    fn a_commit_that_was_answered_rollback_made_nothing_visible() {
        let mut session = session();
        let _open = session.settle(&seen(Class::Write, Why::DataModifying, &[], TxStatus::Failed));
        let rolled_back = Seen {
            last: LastCommand::Rollback,
            ..seen(Class::Read, Why::Transaction, &COMMIT, TxStatus::Idle)
        };
        assert_eq!(session.settle(&rolled_back).ticket, TakeTicket::Session);
    }

    #[test]
    fn without_a_catalog_a_read_on_the_primary_counts_as_a_write() {
        let unknown = seen(Class::PrimaryRead, Why::CatalogMissing, &[], TxStatus::Idle);
        assert_eq!(session().settle(&unknown).ticket, TakeTicket::Scope);
    }

    #[test]
    fn a_setting_travels_alone_and_pins_within_a_transaction() {
        let set = [Effect::Set {
            name: "work_mem".into(),
            value: Some("1MB".into()),
            scope: SetScope::Session,
        }];
        let mut alone = session();
        let settled =
            alone.settle(&seen(Class::PrimaryRead, Why::SessionState, &set, TxStatus::Idle));
        assert_eq!((settled.hold, settled.settings), (Hold::Return, SettingsChange::Replayed));
        let mut within = session();
        let settled =
            within.settle(&seen(Class::PrimaryRead, Why::SessionState, &set, TxStatus::Open));
        assert_eq!(
            (settled.settings, within.pin()),
            (SettingsChange::None, Some(Pin::SessionSetting))
        );
    }

    #[test]
    fn a_pin_is_released_by_discard_all_and_not_set_by_what_failed() {
        let mut session = session();
        let listen = [Effect::Pin(Pin::Listen)];
        let failed =
            Seen { failed: true, ..seen(Class::Write, Why::Notify, &listen, TxStatus::Idle) };
        assert_eq!(session.settle(&failed).hold, Hold::Return);
        let listening = seen(Class::Write, Why::Notify, &listen, TxStatus::Idle);
        assert_eq!(session.settle(&listening).hold, Hold::Keep);
        let discard = [Effect::DiscardAll];
        let clean = seen(Class::Write, Why::SessionState, &discard, TxStatus::Idle);
        assert_eq!(session.settle(&clean).hold, Hold::Return);
    }

    #[test]
    fn wishes_set_locally_end_with_the_transaction_and_others_with_its_rollback() {
        let mut session = session();
        let _open =
            session.settle(&seen(Class::PrimaryRead, Why::Transaction, &begin(), TxStatus::Open));
        session.set("route", Some("primary"), SetScope::Local).unwrap();
        session.set("on_stale", Some("error"), SetScope::Session).unwrap();
        assert_eq!(session.route(), Route::Primary);
        let committed = Seen {
            last: LastCommand::Commit,
            ..seen(Class::Read, Why::Transaction, &COMMIT, TxStatus::Idle)
        };
        let _ended = session.settle(&committed);
        assert_eq!(session.route(), Route::Auto);
        assert_eq!(session.wishes().get("on_stale").as_deref(), Some("error"));
        let _open =
            session.settle(&seen(Class::PrimaryRead, Why::Transaction, &begin(), TxStatus::Open));
        session.set("on_stale", Some("wait"), SetScope::Session).unwrap();
        let _ended = session.settle(&Seen { last: LastCommand::Rollback, ..committed });
        assert_eq!(session.wishes().get("on_stale").as_deref(), Some("error"));
    }
}
