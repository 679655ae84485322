//! What sessions remember, cycle by cycle.

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
    let modes = TxModes { access: None::<Access>, isolation: None::<Isolation>, deferrable: None };
    [Effect::Begin(modes)]
}

fn session() -> Session {
    Session::new(Preferences::default())
}

const COMMIT: [Effect; 1] = [Effect::Commit { chain: Chain::No }];

#[test]
fn a_write_outside_of_a_transaction_takes_a_ticket_for_its_scope() {
    let settled = session().settle(&seen(Class::Write, Why::DataModifying, &[], TxStatus::Idle));
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
    assert_eq!(cycle(Class::Write, Why::DataModifying, &[], TxStatus::Open), TakeTicket::Nobody);
    assert_eq!(cycle(Class::Read, Why::ReadOnly, &[], TxStatus::Open), TakeTicket::Nobody);
    assert_eq!(cycle(Class::Read, Why::Transaction, &COMMIT, TxStatus::Idle), TakeTicket::Scope);
}

#[test]
fn the_fence_is_known_under_eventual_too_for_a_hint_that_asks_for_more() {
    let eventual = Preferences { consistency: Consistency::Eventual, ..Preferences::default() };
    let fence = Session::new(eventual).fence(Ticket(1), &Answers::default(), Epoch(1));
    assert_eq!(fence, FenceState::Pending(Ticket(1)));
}

#[test]
fn a_commit_that_begins_the_next_transaction_takes_its_ticket_at_once() {
    let mut session = session();
    let chained = [Effect::Commit { chain: Chain::Yes }];
    let _open = session.settle(&seen(Class::Write, Why::DataModifying, &[], TxStatus::Open));
    let settled = session.settle(&seen(Class::Read, Why::Transaction, &chained, TxStatus::Open));
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
fn a_sequence_value_is_asked_for_only_where_the_session_kept_its_server() {
    let asks = [Effect::Pin(Pin::SequenceValue)];
    let mut session = session();
    assert!(session.asks_for_a_lost_value(1, &asks));
    assert!(!session.asks_for_a_lost_value(2, &asks), "the other statement may have drawn it");
    assert!(!session.asks_for_a_lost_value(1, &begin()));
    let _open =
        session.settle(&seen(Class::PrimaryRead, Why::Transaction, &begin(), TxStatus::Open));
    assert!(!session.asks_for_a_lost_value(1, &asks));
}

#[test]
fn a_setting_travels_alone_and_pins_within_a_transaction() {
    let set = [Effect::Set {
        name: "work_mem".into(),
        value: Some("1MB".into()),
        scope: SetScope::Session,
    }];
    let mut alone = session();
    let settled = alone.settle(&seen(Class::PrimaryRead, Why::SessionState, &set, TxStatus::Idle));
    assert_eq!((settled.hold, settled.settings), (Hold::Return, SettingsChange::Replayed));
    let mut within = session();
    let settled = within.settle(&seen(Class::PrimaryRead, Why::SessionState, &set, TxStatus::Open));
    assert_eq!((settled.settings, within.pin()), (SettingsChange::None, Some(Pin::SessionSetting)));
}

#[test]
fn a_pin_is_released_by_discard_all_and_not_set_by_what_failed() {
    let mut session = session();
    let listen = [Effect::Pin(Pin::Listen)];
    let failed = Seen { failed: true, ..seen(Class::Write, Why::Notify, &listen, TxStatus::Idle) };
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
