//! Which pools of one worker have clients in line? Whoever has news for those need not look at all pools.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use policy::Topology;

use super::Pool;
use crate::permits::Count;

/// Pools with a line, by their address: after a reload two of one name live for a while.
#[derive(Debug, Default)]
pub(crate) struct Lines(RefCell<HashMap<*const Pool, Rc<Pool>>>);

impl Lines {
    /// Takes note that somebody waits there.
    pub(super) fn begins(&self, pool: &Rc<Pool>) {
        self.0.borrow_mut().insert(Rc::as_ptr(pool), Rc::clone(pool));
    }

    /// Takes note that nobody does any more.
    pub(super) fn ends(&self, pool: &Rc<Pool>) {
        self.0.borrow_mut().remove(&Rc::as_ptr(pool));
    }

    /// Lets the first in each line try for a permit that is free in this count, the longest waiting first.
    pub(crate) fn free(&self, count: &Count) {
        let mut pools = self.such(|pool| count.covers(pool.key()));
        pools.retain(|pool| pool.waiting_since().is_some());
        pools.sort_by_key(|pool| pool.waiting_since());
        for pool in pools {
            pool.try_next();
        }
    }

    /// Has those decide anew who wait for servers of nodes that are no longer what they were.
    pub(crate) fn dissolve(&self, cluster: &str, topology: &Topology) {
        for pool in self.such(|pool| &*pool.key().cluster == cluster) {
            pool.dissolve(topology);
        }
    }

    fn such(&self, such: impl Fn(&Pool) -> bool) -> Vec<Rc<Pool>> {
        self.0.borrow().values().filter(|pool| such(pool)).map(Rc::clone).collect()
    }
}
