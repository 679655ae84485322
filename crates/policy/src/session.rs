//! What must a session remember between cycles: wishes, pins, transaction, fence?
//!
//! One [`Session`] per client connection, fed with what each cycle did ([`Seen`]); it answers
//! whether the server is kept ([`Hold`]) and who must take a ticket. What statements do to settings
//! and pins is in `effects`, what ROLLBACK undoes in `undo`, when a pin is over in `pins`. It does
//! not know sockets, statements' names or which bytes were sent.

mod commits;
mod effects;
mod pins;
#[cfg(test)]
mod tests;
mod undo;

use std::rc::Rc;
use std::time::Instant;

use sql::{Class, Effect, Pin, SetScope, Why};
use wire::TxStatus;

use self::undo::{Open, Start, Undoable};

pub use self::commits::CommitDefault;
use self::commits::Trail;
pub use self::effects::NEVER;
pub(crate) use self::pins::pinned_by;
pub use self::pins::{LEFTOVERS, Pins};
use crate::clock::{Answers, Ticket, Tickets, Wal};
use crate::decide::{FenceState, LastRead, RouteFrom};
use crate::lsn::Fence;
use crate::reports::Reports;
use crate::rules::{Consistency, PreferenceError, Preferences, Route};
use crate::settings::{KnownSettings, Settings};
use crate::topology::{Epoch, NodeId};

/// Whether the server goes back to its pool after a cycle.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Nothing ties the session to it.
    Return,
    /// A transaction or a pin ties the session to it.
    Keep,
    /// A pin ties the session to it that may be over: ask the server ([`LEFTOVERS`]), then
    /// [`Session::asked`].
    Ask,
}

/// Who must take a ticket before the client is told that its cycle ended.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeTicket {
    /// Nobody: nothing was read from or written to the primary that ended.
    Nobody,
    /// This session alone: it read on the primary and must not see less on a replica.
    Session,
    /// The session's whole scope: something may have been written, and this position covers it.
    Scope(Wal),
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
    /// Which step of the cycle each effect is of: a statement of a `Query`, or an `Execute`.
    pub steps: &'a [u32],
    /// How many steps were carried out.
    pub completed: u32,
    /// The steps that were answered `ROLLBACK`, whatever they asked for.
    pub rolled_back: &'a [u32],
    /// How many statements the cycle held.
    pub statements: u32,
    /// The transaction status behind it.
    pub status: TxStatus,
    /// The last command tag.
    pub last: LastCommand,
    /// Whether the server answered with an error.
    pub failed: bool,
    /// Whether a command tag says that rows were changed.
    pub modified: bool,
    /// How the server commits by default.
    pub commits: CommitDefault,
    /// Who served it.
    pub by: ServedBy,
    /// When the answer was read.
    pub at: Instant,
    /// What the server reports of itself by now.
    pub reports: &'a Reports,
}

/// What to do once a cycle has ended.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Keep or return the server.
    pub hold: Hold,
    /// Who takes a ticket, before the client hears of the end.
    pub ticket: TakeTicket,
    /// Whether the server is set to what [`Session::on_server`] says.
    pub settings: ServerSettings,
}

/// What is known of a server's settings.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerSettings {
    /// They are as before, but for what the session knows.
    AsTold,
    /// They are what a login gives.
    Fresh,
    /// Something ran that may have changed any of them.
    Unknown,
}

/// The meaning of one client's session.
#[derive(Debug, Clone)]
pub struct Session {
    configured: Rc<Preferences>,
    start: Start,
    now: Undoable,
    open: Option<Box<Open>>,
    pins: Pins,
    /// Something ran since the server was last asked what is left in it.
    suspect: bool,
    /// A setting of the transaction hides one of the server's that is not as the session wants it.
    hides: bool,
    own: Tickets,
    floor: Option<Fence>,
    resolved: Option<Resolved>,
    last_read: Option<LastRead>,
}

#[derive(Debug, Clone, Copy)]
struct Resolved {
    tickets: Tickets,
    epoch: Epoch,
    fence: Fence,
}

impl Session {
    /// A session that starts with what the configuration and its startup packet say.
    #[must_use]
    pub fn new(configured: Rc<Preferences>, settings: Rc<Settings>) -> Self {
        Self {
            start: Start { wishes: Rc::clone(&configured), settings: Rc::clone(&settings) },
            now: Undoable {
                wishes: Rc::clone(&configured),
                local: None,
                wanted: Rc::clone(&settings),
                on_server: settings,
            },
            configured,
            open: None,
            pins: Pins::default(),
            suspect: false,
            hides: false,
            own: Tickets::default(),
            floor: None,
            resolved: None,
            last_read: None,
        }
    }

    /// Makes what is set so far, by startup options, what `RESET` goes back to.
    pub fn started(&mut self) {
        self.start.wishes = Rc::clone(&self.now.wishes);
    }

    /// What the session wants now.
    #[must_use]
    pub fn wishes(&self) -> &Preferences {
        self.now.local.as_ref().unwrap_or(&self.now.wishes)
    }

    /// The settings that the session wants a server to have.
    #[must_use]
    pub fn settings(&self) -> &Rc<Settings> {
        &self.now.wanted
    }

    /// The settings that the session's server has, if it had those of the session when it came.
    #[must_use]
    pub fn on_server(&self) -> &Rc<Settings> {
        &self.now.on_server
    }

    /// The settings that the session started with.
    #[must_use]
    pub fn startup(&self) -> &Rc<Settings> {
        &self.start.settings
    }

    /// Takes note that the server has the session's settings, or will have them in front of the
    /// next cycle.
    pub fn brought(&mut self) {
        if !self.now.on_server.is(&self.now.wanted) {
            self.now.on_server = Rc::clone(&self.now.wanted);
        }
    }

    /// Whether the server's settings must be left as they are: some are known to it alone.
    #[must_use]
    pub fn leaves_settings_alone(&self) -> bool {
        self.pins.hides_settings()
    }

    /// Which layer set the route.
    #[must_use]
    pub fn route_from(&self) -> RouteFrom {
        if self.wishes().route == self.configured.route {
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

    /// All causes for which the session keeps its server.
    #[must_use]
    pub fn pins(&self) -> Pins {
        self.pins
    }

    /// The pin that the cycle would begin, if it would and the session has none yet.
    #[must_use]
    pub fn would_pin(&self, effects: &[Effect]) -> Option<Pin> {
        effects.iter().filter_map(pinned_by).find(|pin| !self.pins.has(*pin))
    }

    /// Whether a lone statement asks for what an earlier one left in its server (`currval`,
    /// `lastval`), while nothing says that the session is on that server again.
    ///
    /// Another session may have used a sequence there since: the answer would be its value.
    #[must_use]
    pub fn asks_for_a_lost_value(&self, statements: u32, why: Why, effects: &[Effect]) -> bool {
        let asks = |effect: &Effect| *effect == Effect::Pin(Pin::SequenceValue);
        let kept = self.open.is_some() || !self.pins.is_empty();
        // Data definition only mentions it.
        !kept && statements == 1 && why != Why::Ddl && effects.iter().any(asks)
    }

    /// Keeps the server for the sequence values that it may have drawn for the session.
    pub fn keep_values(&mut self) {
        self.pins.add(Pin::SequenceValue);
    }

    /// What a read of this level must not be older than, given the scope's newest tickets.
    ///
    /// `hinted` is what the cycle itself asks for (`min_lsn` in a hint). Under `eventual` only that and
    /// [`Session::raise_floor`] count.
    pub fn fence(
        &mut self,
        (level, hinted): (Consistency, Option<Fence>),
        scope: Tickets,
        answers: &Answers,
        epoch: Epoch,
    ) -> FenceState {
        self.floor = self.floor.map(|floor| answers.renewed(floor, epoch));
        let hinted = hinted.map(|hinted| answers.renewed(hinted, epoch));
        let floor = Fence::strongest(self.floor, hinted);
        let tickets = match level {
            Consistency::Eventual => Tickets::default(),
            Consistency::Session | Consistency::Strong => scope.join(self.own),
        };
        let own = match self.resolved.filter(|it| (it.tickets, it.epoch) == (tickets, epoch)) {
            Some(known) => Some(known.fence),
            None => match answers.fence(tickets, epoch) {
                Err(ticket) => return FenceState::Pending(ticket),
                Ok(fence) => fence,
            },
        };
        if let Some(fence) = own {
            self.resolved = Some(Resolved { tickets, epoch, fence });
        }
        Fence::strongest(own, floor).map_or(FenceState::Open, FenceState::Known)
    }

    /// Takes note that this session alone took `ticket`: for all that anybody may have seen by then.
    pub fn took(&mut self, ticket: Ticket) {
        self.own.took(Wal::Inserted, ticket);
    }

    /// The newest ticket that this session alone took.
    #[must_use]
    pub fn newest_own(&self) -> Ticket {
        self.own.newest()
    }

    /// Which position of the primary the newest ticket will be answered by, given the scope's.
    #[must_use]
    pub fn awaits(&self, scope: Tickets) -> Wal {
        scope.join(self.own).newest_kind()
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
        // Outside of a transaction SET LOCAL has no effect (manual, SET).
        if scope == SetScope::Local && self.open.is_none() {
            return self.now.clone().set_wish(&self.start, (name, value), scope);
        }
        self.now.set_wish(&self.start, (name, value), scope)
    }

    /// Goes back to a new session's settings and wishes (`DISCARD ALL` without a server).
    pub fn discard_all(&mut self, known: &KnownSettings) {
        self.now.discard_all(known, &self.start);
    }

    /// Takes note of an ended cycle.
    pub fn settle(&mut self, seen: &Seen<'_>, known: &KnownSettings) -> Settled {
        let was_open = self.open.is_some();
        let wrote = may_write(seen) || self.open.as_ref().is_some_and(|open| open.wrote);
        let trail = self.open.as_ref().map_or(Trail::default(), |open| open.trail);
        let trail = trail.max(self.trail_of(seen));
        let pins = self.pins;
        let settings = self.carry_out(seen, known);
        // What began within a transaction may end with it.
        self.suspect |= self.pins != pins && (was_open || self.open.is_some() || seen.failed);
        let ticket = self.ticket_after(seen, (wrote, was_open), trail);
        if let Some(open) = self.open.as_mut() {
            open.wrote = wrote;
            open.trail = if commits::ends_one(seen) { Trail::Opaque } else { trail };
        }
        if let ServedBy::Replica(node) = seen.by {
            self.last_read = Some(LastRead { node, answered: seen.at });
        } else if ticket != TakeTicket::Nobody {
            // From here on the ticket stands for all that was seen so far.
            self.last_read = None;
        }
        Settled { hold: self.hold_after(seen), ticket, settings }
    }

    fn hold_after(&mut self, seen: &Seen<'_>) -> Hold {
        self.suspect |= self.pins.can_be_asked_for()
            && (seen.failed || seen.effects.iter().any(pins::may_release));
        match (seen.status, self.suspect) {
            (TxStatus::Idle, true) => Hold::Ask,
            (TxStatus::Idle, false) if self.pins.is_empty() => Hold::Return,
            (TxStatus::Idle | TxStatus::Open | TxStatus::Failed, _) => Hold::Keep,
        }
    }

    /// Takes note of the server's answer to [`LEFTOVERS`].
    pub fn asked(&mut self, letters: &[u8]) -> Hold {
        self.suspect = false;
        self.pins = self.pins.corrected(letters);
        if self.pins.is_empty() { Hold::Return } else { Hold::Keep }
    }

    fn ticket_after(
        &self,
        seen: &Seen<'_>,
        (wrote, was_open): (bool, bool),
        trail: Trail,
    ) -> TakeTicket {
        if matches!(seen.by, ServedBy::Replica(_)) {
            return TakeTicket::Nobody;
        }
        if seen.status != TxStatus::Idle && (!wrote || !may_commit_inside(seen)) {
            return TakeTicket::Nobody;
        }
        // A lone ROLLBACK, or a lone COMMIT that was answered ROLLBACK, made nothing visible.
        let undone = seen.last == LastCommand::Rollback && seen.statements == 1 && was_open;
        match (wrote && !undone, self.wishes().consistency) {
            (true, _) => TakeTicket::Scope(self.wal_of(trail, seen)),
            (false, Consistency::Session | Consistency::Strong) => TakeTicket::Session,
            (false, Consistency::Eventual) => TakeTicket::Nobody,
        }
    }

    /// Takes note that Weir itself opened a transaction whose `BEGIN` it still holds back.
    pub fn begin_deferred(&mut self) {
        self.open = Some(Box::new(Open::new(self.now.clone())));
    }

    /// Takes note that a held-back transaction ended without a server having seen it.
    #[expect(clippy::fn_params_excessive_bools, reason = "the two ways a transaction ends")]
    pub fn end_deferred(&mut self, committed: bool) {
        if committed { self.commit() } else { self.roll_back() }
    }

    /// Whether the session asked for the primary (or for a replica) by `weir.route`.
    #[must_use]
    pub fn route(&self) -> Route {
        self.wishes().route
    }
}

/// Whether a statement is about what only a server could know that the session keeps.
///
/// Where the session has none there is nothing that a server could do for it.
#[must_use]
pub fn is_for_a_kept_server(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::DiscardAll
            | Effect::DiscardPlans
            | Effect::DiscardTemp
            | Effect::DiscardSequences
            | Effect::DeallocateAll
            | Effect::Deallocate(_)
            | Effect::Unlisten
    )
}

/// Whether a cycle may have drawn a sequence value, which `currval` and `lastval` then tell.
#[must_use]
pub fn may_draw(class: Class, why: Why) -> bool {
    let draws_nothing = matches!(
        why,
        Why::LockingClause
            | Why::Ddl
            | Why::Utility
            | Why::Notify
            | Why::Transaction
            | Why::SessionState
            | Why::Cursor
    );
    class == Class::Write && !draws_nothing
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
