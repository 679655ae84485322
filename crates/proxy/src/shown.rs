//! What does a session show of itself? Cells that it fills as it goes and its worker reads.
//!
//! Filling them costs a cycle plain stores: nothing is allocated, and no clock is read but the
//! worker's count of seconds.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use policy::NodeId;
use policy::settings::Settings;
use sql::Pin;
use wire::TxStatus;

use crate::config::PoolMode;
use crate::error::Cause;
use crate::inquiry::{Filter, Route, SessionView, State, Transport};
use crate::metrics::Metrics;
use crate::pool::Lease;
use crate::pools::Pools;
use crate::server::SessionNumber;
use crate::session::{LastRoute, Session};

/// Seconds since the worker started, as it counted them last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Second(pub(crate) u32);

impl Second {
    pub(crate) fn until(self, now: Self) -> Duration {
        Duration::from_secs(now.0.saturating_sub(self.0).into())
    }
}

/// What is known of a session from its login on.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) number: SessionNumber,
    pub(crate) client: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) mode: PoolMode,
    pub(crate) pools: Rc<Pools>,
    pub(crate) at: Second,
}

/// What one session shows.
#[derive(Debug)]
pub(crate) struct Shown {
    login: Login,
    settings: RefCell<Rc<Settings>>,
    route: RefCell<LastRoute>,
    state: Cell<State>,
    pin: Cell<Option<Pin>>,
    since: Cell<Second>,
    transaction: Cell<Option<Second>>,
    node: Cell<Option<NodeId>>,
}

impl Shown {
    /// An idle session.
    pub(crate) fn new(login: Login, settings: Rc<Settings>, route: LastRoute) -> Self {
        Self {
            since: Cell::new(login.at),
            login,
            settings: RefCell::new(settings),
            route: RefCell::new(route),
            state: Cell::new(State::Idle),
            pin: Cell::default(),
            transaction: Cell::default(),
            node: Cell::default(),
        }
    }

    /// Its number.
    pub(crate) fn number(&self) -> SessionNumber {
        self.login.number
    }

    /// Since when it has done what it does.
    pub(crate) fn since(&self) -> Second {
        self.since.get()
    }

    /// Whether `filter` asks for it.
    pub(crate) fn is_meant(&self, filter: &Filter) -> bool {
        let pools = &self.login.pools;
        filter.state.is_none_or(|state| state == self.state.get())
            && filter.pinned.is_none_or(|pinned| pinned == self.pin.get().is_some())
            && filter.id.is_none_or(|id| id == self.login.number.0)
            && filter.database.as_deref().is_none_or(|name| *name == *pools.database)
            && filter.user.as_deref().is_none_or(|name| *name == *pools.user)
    }

    /// All of it, for a client that was told the process ID `pid`.
    pub(crate) fn view(&self, pid: i32, now: Second) -> SessionView {
        let login = &self.login;
        let route = self.route.borrow();
        let settings = self.settings.borrow();
        SessionView {
            id: login.number.0,
            pid,
            user: Arc::clone(&login.pools.user),
            database: Arc::clone(&login.pools.database),
            cluster: Arc::clone(&login.pools.cluster.name),
            client: login.client,
            transport: login.transport,
            application_name: settings.value("application_name").map(Box::from),
            mode: login.mode,
            state: self.state.get(),
            state_for: self.since.get().until(now),
            transaction_for: self.transaction.get().map(|since| since.until(now)),
            connected_for: login.at.until(now),
            pin: self.pin.get(),
            node: self.node.get().map(|node| {
                // A node that was removed has no name any more, but the session's last route.
                let last = || route.node.as_deref().unwrap_or_default().into();
                login.pools.name_of(node).unwrap_or_else(last)
            }),
            route: route.node.as_deref().map(|node| Route {
                target: route.side.as_str(),
                node: node.into(),
                reason: route.reason,
            }),
        }
    }

    /// Does something else from now on.
    fn turns(&self, state: State, now: Second) {
        self.state.set(state);
        self.since.set(now);
    }

    /// Takes note of the first of the pins, and counts it if it is another one.
    pub(crate) fn pinned(&self, pin: Option<Pin>, metrics: &Metrics) {
        let before = self.pin.replace(pin);
        if before != pin {
            metrics.pinned(before, pin);
        }
    }
}

impl Session {
    /// Shows that a cycle is under way.
    pub(crate) fn shows_work(&self) {
        self.shows(State::Active);
    }

    /// Shows what the last cycle left: a transaction, a pin, a server, settings.
    pub(crate) fn shows_rest(&mut self) {
        let Some(shown) = self.peer.shown() else { return };
        shown.pinned(self.meaning.pin(), &self.worker.metrics);
        shown.node.set(self.lease.as_ref().and_then(Lease::node));
        let settings = self.meaning.settings();
        if !shown.settings.borrow().is(settings) {
            shown.settings.replace(Rc::clone(settings));
        }
        let now = self.worker.second();
        let open = self.status != TxStatus::Idle;
        let begun = shown.transaction.get().or(Some(shown.since()));
        shown.transaction.set(if open { begun } else { None });
        if !self.group.open {
            shown.turns(if open { State::IdleInTransaction } else { State::Idle }, now);
        }
    }

    /// Remembers where a cycle goes that needs a server.
    pub(crate) fn shows_route(&self, route: LastRoute) {
        if let Some(shown) = self.peer.shown() {
            shown.route.replace(route);
        }
    }

    /// Where the last cycle went that needed a server, as `SHOW weir.last_route` tells it.
    pub(crate) fn last_route(&self) -> String {
        self.peer.shown().map(|shown| shown.route.borrow().to_string()).unwrap_or_default()
    }

    /// Shows `state` while it waits for something; an administrator may end it meanwhile.
    ///
    /// As cancel-safe as `work` is.
    ///
    /// # Errors
    ///
    /// [`Cause::Terminated`], after which the session must end.
    pub(crate) async fn waits<T>(
        &self,
        state: State,
        work: impl Future<Output = T>,
    ) -> Result<T, Cause> {
        let mut work = std::pin::pin!(work);
        let mut waited = false;
        let shown = std::future::poll_fn(|cx| {
            let polled = work.as_mut().poll(cx);
            if polled.is_pending() && !waited {
                waited = true;
                self.shows(state);
            }
            polled
        });
        let done = self.peer.unless_ended(shown).await;
        if waited {
            self.shows(State::Active);
        }
        done.ok_or(Cause::Terminated)
    }

    fn shows(&self, state: State) {
        if let Some(shown) = self.peer.shown() {
            shown.turns(state, self.worker.second());
        }
    }
}
