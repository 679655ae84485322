//! One worker's view of a cluster: the newest topology, answers and catalogs, without a lock.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use policy::{Answers, Guards, NodeId, Signal, Ticket, Topology};
use tokio::sync::watch;

use crate::config::ClusterLink;

/// A value that all workers share, counted by this one alone: a cycle looks at several of them, and counting
/// them where other threads see it would cost it more than looking.
pub(crate) type Snapshot<T> = Rc<Arc<T>>;

/// The newest value of a channel, fetched only when it has changed.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    state: RefCell<(watch::Receiver<Arc<T>>, Snapshot<T>)>,
}

impl<T> Watched<T> {
    pub(crate) fn new(mut receiver: watch::Receiver<Arc<T>>) -> Self {
        let newest = Rc::new(Arc::clone(&receiver.borrow_and_update()));
        Self { state: RefCell::new((receiver, newest)) }
    }

    /// The newest value. A sender that is gone leaves its last one.
    pub(crate) fn newest(&self) -> Snapshot<T> {
        let mut state = self.state.borrow_mut();
        let (receiver, newest) = &mut *state;
        if receiver.has_changed().unwrap_or(false) {
            *newest = Rc::new(Arc::clone(&receiver.borrow_and_update()));
        }
        Rc::clone(newest)
    }

    /// A receiver of its own, for a task that waits for a change; what is newest now counts as seen.
    pub(crate) fn receiver(&self) -> watch::Receiver<Arc<T>> {
        let mut receiver = self.state.borrow().0.clone();
        drop(receiver.borrow_and_update());
        receiver
    }
}

/// Catalogs by database name.
pub(crate) type Catalogs = HashMap<Box<str>, Arc<sql::Catalog>>;

/// One worker's view of one cluster.
#[derive(Debug)]
pub(crate) struct ClusterView {
    pub(crate) name: Arc<str>,
    pub(crate) topology: Watched<Topology>,
    pub(crate) answers: Watched<Answers>,
    pub(crate) catalogs: Watched<Catalogs>,
    /// When guards are worth trying, as this worker has seen.
    pub(crate) guards: RefCell<Guards>,
    link: ClusterLink,
}

impl ClusterView {
    pub(crate) fn new(name: &str, link: &ClusterLink) -> Rc<Self> {
        Rc::new(Self {
            name: Arc::from(name),
            topology: Watched::new(link.topology.clone()),
            answers: Watched::new(link.answers.clone()),
            catalogs: Watched::new(link.catalogs.clone()),
            guards: RefCell::default(),
            link: link.clone(),
        })
    }

    /// Takes the next ticket: everything that ended so far is covered by its answer.
    pub(crate) fn take_ticket(&self) -> Ticket {
        let mut taken = Ticket::default();
        self.link.tickets.send_modify(|newest| {
            newest.0 = newest.0.saturating_add(1);
            taken = *newest;
        });
        taken
    }

    /// Tells control what was noticed; without control there is nobody to tell.
    pub(crate) fn signal(&self, signal: Signal) {
        drop(self.link.signals.send(signal));
    }

    /// Tells control that a node's connection could not be made or was lost.
    pub(crate) fn lost(&self, node: NodeId) {
        self.signal(Signal::Lost(node));
    }
}
