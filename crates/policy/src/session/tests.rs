//! What sessions remember, cycle by cycle.

use std::time::Duration;

use sql::{Access, Chain, Isolation, TxModes};

use super::*;
use crate::clock::{Answer, Configured};
use crate::lsn::{Lsn, Timeline};
use crate::testing::start;

/// A session, and what its worker knows of settings.
pub(super) struct Rig {
    pub(super) session: Session,
    known: KnownSettings,
}

impl Rig {
    fn new(wishes: Preferences) -> Self {
        Self::started(wishes, &[])
    }

    fn started(wishes: Preferences, startup: &[(&str, &str)]) -> Self {
        let known = KnownSettings::default();
        let pairs = startup.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let session = Session::new(Rc::new(wishes), known.intern(pairs.collect()));
        Self { session, known }
    }

    pub(super) fn settle(&mut self, seen: &Seen<'_>) -> Settled {
        self.session.settle(seen, &self.known)
    }

    /// A cycle of these statements, each of one effect, all carried out.
    fn run(&mut self, effects: &[Effect], status: TxStatus) -> Settled {
        let last = match effects.last() {
            Some(Effect::Rollback { .. }) => LastCommand::Rollback,
            Some(Effect::Commit { .. }) => LastCommand::Commit,
            _ => LastCommand::Other,
        };
        self.some(effects, (u32::try_from(effects.len()).unwrap(), last), status)
    }

    /// A cycle of these statements, of which so many were carried out.
    fn some(
        &mut self,
        effects: &[Effect],
        (completed, last): (u32, LastCommand),
        status: TxStatus,
    ) -> Settled {
        let steps: Vec<u32> = (0..).take(effects.len()).collect();
        let statements = u32::try_from(effects.len()).unwrap();
        let rolled_back = match last {
            LastCommand::Rollback => vec![completed - 1],
            LastCommand::Commit | LastCommand::Other => Vec::new(),
        };
        let seen = Seen {
            steps: &steps,
            completed,
            rolled_back: &rolled_back,
            statements,
            last,
            failed: completed < statements,
            ..seen(Class::PrimaryRead, Why::SessionState, effects, status)
        };
        self.settle(&seen)
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.session.settings().value(name)
    }
}

/// A cycle of one statement, served by the primary.
pub(super) fn seen(class: Class, why: Why, effects: &[Effect], status: TxStatus) -> Seen<'_> {
    Seen {
        class,
        why,
        effects,
        steps: &[0, 0, 0, 0],
        completed: 1,
        rolled_back: &[],
        statements: 1,
        status,
        last: LastCommand::Other,
        failed: false,
        modified: true,
        commits: CommitDefault::Unknown,
        by: ServedBy::Primary(NodeId(0)),
        at: start(),
        reports: NOTHING,
    }
}

const NOTHING: &Reports = &Reports::NONE;

fn begin() -> [Effect; 1] {
    let modes = TxModes { access: None::<Access>, isolation: None::<Isolation>, deferrable: None };
    [Effect::Begin(modes)]
}

pub(super) fn session() -> Rig {
    Rig::new(Preferences::default())
}

pub(super) fn set(name: &str, value: &str) -> Effect {
    Effect::Set { name: name.into(), value: Some(value.into()), scope: SetScope::Session }
}

const ROLLBACK: Effect = Effect::Rollback { chain: Chain::No };

const COMMIT: [Effect; 1] = [Effect::Commit { chain: Chain::No }];

#[test]
fn a_write_outside_of_a_transaction_takes_a_ticket_for_its_scope() {
    let settled = session().settle(&seen(Class::Write, Why::DataModifying, &[], TxStatus::Idle));
    assert_eq!((settled.hold, settled.ticket), (Hold::Return, TakeTicket::Scope(Wal::Inserted)));
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
    assert_eq!(cycle(Class::Write, Why::DataModifying, &[], TxStatus::Open), TakeTicket::Nobody);
    assert_eq!(cycle(Class::Read, Why::ReadOnly, &[], TxStatus::Open), TakeTicket::Nobody);
    assert_eq!(
        cycle(Class::Read, Why::Transaction, &COMMIT, TxStatus::Idle),
        TakeTicket::Scope(Wal::Inserted)
    );
}

#[test]
fn the_fence_is_known_under_eventual_too_for_a_hint_that_asks_for_more() {
    let eventual = Preferences { consistency: Consistency::Eventual, ..Preferences::default() };
    let mut session = Rig::new(eventual).session;
    let mut at = |level| {
        let tickets = Tickets { inserted: Ticket(1), ..Tickets::default() };
        session.fence((level, None), tickets, &Answers::default(), Epoch(1))
    };
    assert_eq!(at(Consistency::Session), FenceState::Pending(Ticket(1)));
    assert_eq!(at(Consistency::Strong), FenceState::Pending(Ticket(1)));
    assert_eq!(at(Consistency::Eventual), FenceState::Open);
}

#[test]
fn what_a_token_asks_for_counts_at_every_level() {
    let fence = |lsn| Fence { timeline: Timeline(1), lsn: Lsn(lsn) };
    let mut session = session().session;
    session.raise_floor(fence(100));
    for level in [Consistency::Eventual, Consistency::Session, Consistency::Strong] {
        let mut at = |hint: Option<u64>| {
            let hint = hint.map(fence);
            session.fence((level, hint), Tickets::default(), &Answers::default(), Epoch(1))
        };
        assert_eq!(at(None), FenceState::Known(fence(100)));
        assert_eq!(at(Some(99)), FenceState::Known(fence(100)));
        assert_eq!(at(Some(101)), FenceState::Known(fence(101)));
        assert_eq!(at(None), FenceState::Known(fence(100)), "a hint is of its own cycle");
    }
}

#[test]
fn a_token_of_an_older_branch_counts_until_the_clock_has_asked_the_new_primary() {
    let fence = |timeline, lsn| Fence { timeline: Timeline(timeline), lsn: Lsn(lsn) };
    let answered = |insert| {
        let mut answers = Answers::default();
        answers.push(Answer {
            through: Ticket(1),
            sent: start(),
            epoch: Epoch(2),
            timeline: Timeline(2),
            insert: Lsn(insert),
            flush: Lsn(insert),
            mark: Lsn(insert),
            took: Duration::ZERO,
            configured: Configured {
                since: start(),
                after: Ticket(0),
                loaded: 1,
                covers: Some(Lsn(0)),
            },
        });
        answers
    };
    for level in [Consistency::Eventual, Consistency::Session, Consistency::Strong] {
        let mut session = session().session;
        session.raise_floor(fence(1, 900));
        let mut at = |answers: &Answers, hint| {
            session.fence((level, hint), Tickets::default(), answers, Epoch(2))
        };
        assert_eq!(at(&Answers::default(), None), FenceState::Known(fence(1, 900)));
        assert_eq!(at(&answered(200), Some(fence(1, 950))), FenceState::Known(fence(2, 200)));
        // It does not run ahead of replicas with every answer.
        assert_eq!(at(&answered(300), None), FenceState::Known(fence(2, 200)));
    }
}

#[test]
fn a_token_that_was_set_between_other_statements_counts_too() {
    let mut session = session();
    let _settled = session.run(&[set("weir.min_lsn", "7:1:0/64")], TxStatus::Idle);
    let mut fence = |level| {
        let answers = Answers::default();
        session.session.fence((level, None), Tickets::default(), &answers, Epoch(1))
    };
    let expected = FenceState::Known(Fence { timeline: Timeline(1), lsn: Lsn(100) });
    assert_eq!(fence(Consistency::Eventual), expected);
}

#[test]
fn a_commit_that_begins_the_next_transaction_takes_its_ticket_at_once() {
    let mut session = session();
    let chained = [Effect::Commit { chain: Chain::Yes }];
    let _open = session.settle(&seen(Class::Write, Why::DataModifying, &[], TxStatus::Open));
    let settled = session.settle(&seen(Class::Read, Why::Transaction, &chained, TxStatus::Open));
    assert_eq!((settled.hold, settled.ticket), (Hold::Keep, TakeTicket::Scope(Wal::Inserted)));
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
    assert_eq!(session().settle(&unknown).ticket, TakeTicket::Scope(Wal::Inserted));
}

#[test]
fn a_sequence_value_is_asked_for_only_where_the_session_kept_its_server() {
    let asks = [Effect::Pin(Pin::SequenceValue)];
    let mut session = session();
    assert!(session.session.asks_for_a_lost_value(1, Why::PrimaryOnlyFunction, &asks));
    assert!(
        !session.session.asks_for_a_lost_value(2, Why::PrimaryOnlyFunction, &asks),
        "the other statement may have drawn it"
    );
    assert!(!session.session.asks_for_a_lost_value(1, Why::PrimaryOnlyFunction, &begin()));
    let _open =
        session.settle(&seen(Class::PrimaryRead, Why::Transaction, &begin(), TxStatus::Open));
    assert!(!session.session.asks_for_a_lost_value(1, Why::PrimaryOnlyFunction, &asks));
}

#[test]
fn a_setting_follows_its_transaction() {
    let mut rig = session();
    let alone = rig.run(&[set("a", "1")], TxStatus::Idle);
    assert_eq!((alone.hold, rig.value("a")), (Hold::Return, Some("1")));
    let _settled = rig.run(&begin(), TxStatus::Open);
    let _settled = rig.run(&[set("a", "2")], TxStatus::Open);
    assert_eq!(rig.value("a"), Some("2"));
    let _settled = rig.run(&[ROLLBACK], TxStatus::Idle);
    assert_eq!(rig.value("a"), Some("1"));
    let _settled = rig.run(&[begin(), [set("a", "3")], COMMIT].concat(), TxStatus::Idle);
    assert_eq!(rig.value("a"), Some("3"));
    // A COMMIT that is answered ROLLBACK undoes.
    let _settled = rig.run(&[begin(), [set("a", "4")]].concat(), TxStatus::Failed);
    let _settled = rig.some(&COMMIT, (1, LastCommand::Rollback), TxStatus::Idle);
    assert_eq!(rig.value("a"), Some("3"));
}

#[test]
fn a_setting_follows_savepoints() {
    let mut rig = session();
    let savepoint = |name: &str| Effect::Savepoint(name.into());
    let back = |name: &str| Effect::RollbackToSavepoint(name.into());
    let _settled = rig.run(&begin(), TxStatus::Open);
    let steps = [set("a", "1"), savepoint("s"), set("a", "2"), savepoint("s"), set("a", "3")];
    let _settled = rig.run(&steps, TxStatus::Open);
    let _settled = rig.run(&[back("s")], TxStatus::Open);
    assert_eq!(rig.value("a"), Some("2"));
    let _settled =
        rig.run(&[Effect::ReleaseSavepoint("s".into()), set("a", "4"), back("s")], TxStatus::Open);
    assert_eq!(rig.value("a"), Some("1"), "the outer one of two equal names");
    let _settled = rig.run(&COMMIT, TxStatus::Idle);
    assert_eq!(rig.value("a"), Some("1"));
}

#[test]
fn statements_without_begin_fail_together() {
    let mut rig = session();
    let steps = [set("a", "1"), set("b", "1"), set("c", "1")];
    let _settled = rig.some(&steps, (2, LastCommand::Other), TxStatus::Idle);
    assert_eq!((rig.value("a"), rig.value("b")), (None, None));
    // What a COMMIT among them ended stays.
    let steps = [[set("a", "1")], COMMIT, [set("b", "1")], [set("c", "1")]].concat();
    let _settled = rig.some(&steps, (3, LastCommand::Other), TxStatus::Idle);
    assert_eq!((rig.value("a"), rig.value("b")), (Some("1"), None));
}

#[test]
fn what_came_behind_an_error_was_not_done() {
    let mut rig = session();
    let _settled = rig.run(&begin(), TxStatus::Open);
    let steps = [Effect::Savepoint("s".into()), set("a", "1"), set("b", "1")];
    let _settled = rig.some(&steps, (1, LastCommand::Other), TxStatus::Failed);
    let _settled = rig.run(&[Effect::RollbackToSavepoint("s".into())], TxStatus::Open);
    let _settled = rig.run(&COMMIT, TxStatus::Idle);
    assert_eq!((rig.value("a"), rig.value("b")), (None, None));
}

#[test]
fn reset_takes_the_session_to_its_start_and_the_server_to_its_own_default() {
    let mut rig = Rig::started(Preferences::default(), &[("zone", "Tokyo")]);
    let _settled = rig.run(&[set("zone", "Rome")], TxStatus::Idle);
    let _settled = rig.run(&[Effect::Reset("zone".into())], TxStatus::Idle);
    assert_eq!(rig.value("zone"), Some("Tokyo"));
    assert_eq!(rig.session.on_server().value("zone"), None);
    rig.session.brought();
    assert_eq!(rig.session.on_server().value("zone"), Some("Tokyo"));
    let _settled = rig.run(&[set("role", "low"), Effect::ResetAll], TxStatus::Idle);
    assert_eq!((rig.value("zone"), rig.value("role")), (Some("Tokyo"), Some("low")));
    let settled = rig.run(&[Effect::DiscardAll], TxStatus::Idle);
    assert_eq!((rig.value("role"), settled.settings), (None, ServerSettings::Fresh));
    assert!(rig.session.on_server().is_empty());
}

#[test]
fn a_weir_setting_that_a_server_took_for_its_own_does_not_travel() {
    let mut rig = session();
    let _settled = rig.run(&[set("weir.route", "primary"), set("a", "1")], TxStatus::Idle);
    assert_eq!((rig.session.route(), rig.value("weir.route")), (Route::Primary, None));
    assert_eq!(rig.session.on_server().value("weir.route"), Some("primary"));
}

#[test]
fn a_date_style_is_remembered_as_the_server_made_it_of_its_parts() {
    let mut rig = session();
    let known = crate::reports::KnownReports::default();
    let reports = known.with(&Rc::default(), b"DateStyle", b"Postgres, DMY");
    let effects = [set("datestyle", "dmy")];
    let seen = Seen {
        reports: &reports,
        ..seen(Class::PrimaryRead, Why::SessionState, &effects, TxStatus::Idle)
    };
    let _settled = rig.settle(&seen);
    assert_eq!(rig.value("datestyle"), Some("Postgres, DMY"));
}

#[test]
fn a_portal_that_is_bound_and_not_run_yet_is_unknown() {
    let mut rig = session();
    let _settled = rig.run(&begin(), TxStatus::Open);
    let effects = [set("a", "1")];
    let bound = Seen {
        steps: &[NEVER],
        completed: 0,
        ..seen(Class::PrimaryRead, Why::SessionState, &effects, TxStatus::Open)
    };
    let _open = rig.settle(&bound);
    assert_eq!((rig.value("a"), rig.session.pin()), (None, Some(Pin::Unknown)));
}

#[test]
fn what_needs_a_superuser_pins_while_another_role_is_on() {
    let mut rig = session();
    let _settled = rig.run(&[set("log_statement", "all")], TxStatus::Idle);
    assert_eq!(rig.session.pin(), None);
    let _settled = rig.run(&[set("role", "boss"), set("log_statement", "none")], TxStatus::Idle);
    assert_eq!(rig.session.pin(), Some(Pin::SessionSetting));
}

#[test]
fn a_pin_is_over_when_the_server_says_so() {
    let mut rig = session();
    let temporary = Effect::Pin(Pin::TemporaryRelation);
    assert_eq!(rig.run(std::slice::from_ref(&temporary), TxStatus::Idle).hold, Hold::Keep);
    assert_eq!(rig.run(&[set("a", "1")], TxStatus::Idle).hold, Hold::Keep, "nothing to ask");
    assert_eq!(rig.run(&[Effect::SchemaChange], TxStatus::Idle).hold, Hold::Ask);
    assert_eq!(rig.session.asked(b"t"), Hold::Keep);
    assert_eq!(rig.run(&[Effect::SchemaChange], TxStatus::Idle).hold, Hold::Ask);
    assert_eq!((rig.session.asked(b""), rig.session.pin()), (Hold::Return, None));
    // What begins in a transaction may end with it.
    let _settled = rig.run(&begin(), TxStatus::Open);
    assert_eq!(rig.run(&[temporary], TxStatus::Open).hold, Hold::Keep);
    assert_eq!(rig.run(&[ROLLBACK], TxStatus::Idle).hold, Hold::Ask);
}

#[test]
fn a_block_leaves_the_servers_settings_unknown_and_has_it_asked() {
    let mut rig = session();
    let settled = rig.run(&[Effect::Suspect], TxStatus::Idle);
    assert_eq!((settled.hold, settled.settings), (Hold::Ask, ServerSettings::Unknown));
    assert_eq!(rig.session.asked(b"a"), Hold::Keep);
    assert_eq!(rig.session.pin(), Some(Pin::AdvisoryLock));
}

#[test]
fn a_pin_is_released_by_discard_all_and_not_set_by_what_failed() {
    let mut session = session();
    let listen = [Effect::Pin(Pin::Listen)];
    let failed = Seen {
        failed: true,
        completed: 0,
        ..seen(Class::Write, Why::Notify, &listen, TxStatus::Idle)
    };
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
    session.session.set("route", Some("primary"), SetScope::Local).unwrap();
    session.session.set("on_stale", Some("error"), SetScope::Session).unwrap();
    assert_eq!(session.session.route(), Route::Primary);
    let committed = Seen {
        last: LastCommand::Commit,
        ..seen(Class::Read, Why::Transaction, &COMMIT, TxStatus::Idle)
    };
    let _ended = session.settle(&committed);
    assert_eq!(session.session.route(), Route::Auto);
    assert_eq!(session.session.wishes().get("on_stale").as_deref(), Some("error"));
    let _open =
        session.settle(&seen(Class::PrimaryRead, Why::Transaction, &begin(), TxStatus::Open));
    session.session.set("on_stale", Some("wait"), SetScope::Session).unwrap();
    let _ended =
        session.settle(&Seen { last: LastCommand::Rollback, rolled_back: &[0], ..committed });
    assert_eq!(session.session.wishes().get("on_stale").as_deref(), Some("error"));
}
