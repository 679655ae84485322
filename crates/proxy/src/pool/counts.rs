//! What does a pool have, for those who look at it?

use std::cell::Cell;
use std::time::Duration;

use super::Pool;
use crate::config::Sizes;
use crate::worker::Worker;

/// What a pool has besides leased servers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) idle: u32,
    pub(crate) opening: u32,
    pub(crate) waiting: u32,
    pub(crate) longest_wait: Duration,
    pub(crate) sizes: Sizes,
}

impl Pool {
    /// This worker's idle servers, those to be, and its line.
    pub(crate) fn counts(&self, worker: &Worker) -> Counts {
        let (waiting, longest_wait) = self.line.length();
        Counts {
            idle: u32::try_from(self.idle.borrow().len()).unwrap_or(u32::MAX),
            opening: self.opening.get(),
            waiting,
            longest_wait,
            sizes: self.sizes(worker),
        }
    }
}

/// Counts a server that is being opened, until it is or is not.
pub(super) struct Opening<'a>(&'a Cell<u32>);

impl<'a> Opening<'a> {
    pub(super) fn new(count: &'a Cell<u32>) -> Self {
        count.set(count.get().saturating_add(1));
        Self(count)
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}
