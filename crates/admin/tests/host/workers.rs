//! Two workers made by hand: what they hold, and a task that answers for each.

use std::sync::Arc;
use std::time::Duration;

use policy::Reason;
use proxy::config::PoolMode;
use proxy::inquiry::{
    Filter, Inquiry, Lesson, PoolView, Route, SessionView, Sessions, State, StatementView,
    Transport, Workers,
};
use sql::{Class, Pin, Why};
use tokio::sync::mpsc;
use wire::SqlState;

/// Workers that answer; they end with their test's runtime.
pub(crate) fn two() -> Workers {
    let listening = SessionView {
        state: State::IdleInTransaction,
        state_for: Duration::from_secs(300),
        transaction_for: Some(Duration::from_secs(301)),
        pin: Some(Pin::Listen),
        node: Some("a".into()),
        route: Some(Route { target: "primary", node: "a".into(), reason: Reason::Write }),
        application_name: Some("jobs".into()),
        ..session(1, "app")
    };
    let mine = PoolView { waiting: 2, longest_wait: Duration::from_millis(1_500), ..pool("app") };
    let theirs = PoolView { idle: 3, ..pool("app") };
    let tenant = PoolView { database: "tenant".into(), ..pool("app") };
    Workers::new(vec![
        worker(vec![listening, session(3, "app")], vec![pool("aaa"), mine]),
        worker(vec![session(2, "other")], vec![theirs, tenant]),
    ])
}

/// One worker that does not answer.
pub(crate) fn deaf() -> Workers {
    let (inbox, mut inquiries) = mpsc::unbounded_channel();
    drop(tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Some(inquiry) = inquiries.recv().await {
            kept.push(inquiry);
        }
    }));
    Workers::new(vec![inbox])
}

/// One worker that has ended.
pub(crate) fn ended() -> Workers {
    Workers::new(vec![mpsc::unbounded_channel().0])
}

fn worker(mut sessions: Vec<SessionView>, pools: Vec<PoolView>) -> mpsc::UnboundedSender<Inquiry> {
    let (inbox, mut inquiries) = mpsc::unbounded_channel();
    drop(tokio::spawn(async move {
        while let Some(inquiry) = inquiries.recv().await {
            match inquiry {
                Inquiry::Sessions(filter, reply) => {
                    let mut shown = sessions.clone();
                    shown.retain(|session| meant(&filter, session));
                    let matched = shown.len();
                    shown.truncate(filter.limit);
                    drop(reply.send(Sessions { matched, shown }));
                }
                Inquiry::Pools(reply) => drop(reply.send(pools.clone())),
                Inquiry::Statements(reply) => drop(reply.send(statements())),
                Inquiry::End(id, reply) => {
                    let before = sessions.len();
                    sessions.retain(|session| session.id != id);
                    let _told = reply.send(sessions.len() < before);
                }
            }
        }
    }));
    inbox
}

/// What each worker has noted: one statement in doubt, one that a replica refused.
fn statements() -> Vec<StatementView> {
    let doubted = StatementView {
        cluster: "main".into(),
        database: "shop".into(),
        fingerprint: 0xab,
        text: "SELECT f(?)".into(),
        class: Class::Write,
        why: Why::VolatileFunction,
        runs: 3,
        lesson: None,
    };
    let lesson = Lesson {
        code: SqlState::READ_ONLY_SQL_TRANSACTION,
        times: 1,
        believed_for: Duration::from_secs(9),
    };
    let refused = StatementView {
        fingerprint: 0xcd,
        text: "SELECT lies()".into(),
        why: Why::RefusedByStandby,
        runs: 5,
        lesson: Some(lesson),
        ..doubted.clone()
    };
    vec![doubted, refused]
}

fn meant(filter: &Filter, session: &SessionView) -> bool {
    filter.id.is_none_or(|id| id == session.id)
        && filter.user.as_deref().is_none_or(|user| *user == *session.user)
        && filter.database.as_deref().is_none_or(|name| *name == *session.database)
        && filter.pinned.is_none_or(|pinned| pinned == session.pin.is_some())
        && filter.state.is_none_or(|state| state == session.state)
}

fn session(id: u64, user: &str) -> SessionView {
    SessionView {
        id,
        pid: 7,
        user: user.into(),
        database: "shop".into(),
        cluster: "main".into(),
        client: "[::1]:40000".parse().unwrap(),
        transport: Transport::Plain,
        application_name: None,
        mode: PoolMode::Transaction,
        state: State::Idle,
        state_for: Duration::from_secs(id),
        transaction_for: None,
        connected_for: Duration::from_secs(1_000),
        pin: None,
        node: None,
        route: None,
    }
}

fn pool(user: &str) -> PoolView {
    PoolView {
        cluster: "main".into(),
        database: "shop".into(),
        user: Arc::from(user),
        node: "a".into(),
        active: 1,
        idle: 0,
        opening: 0,
        waiting: 0,
        longest_wait: Duration::ZERO,
        limit: 4,
        reserve: 1,
    }
}
