//! Brings a server to its session's settings, in front of the session's next cycle.

use std::rc::Rc;

use policy::replies::Expect;
use policy::settings::replay;
use wire::TxStatus;

use crate::session::Session;

impl Session {
    /// Whether the server has to be brought to the session's settings before the next cycle.
    fn must_bring(&mut self) -> bool {
        let Some(lease) = self.lease.as_mut() else { return false };
        let (server, wanted) = (lease.server(), self.meaning.settings());
        let as_wanted = server.settings.as_ref().is_some_and(|settings| settings.is(wanted));
        if as_wanted {
            // Whoever had it before wanted the same.
            self.meaning.brought();
        }
        // What nobody knows of is this session's own, as long as it keeps the server.
        let own = server.settings.is_none() && server.used_by == Some(self.number);
        if as_wanted || own || self.group.open || self.meaning.leaves_settings_alone() {
            return false;
        }
        // A BEGIN that was held back comes behind. Within a transaction only a RESET makes them
        // differ, which took the server elsewhere than the session.
        let between = self.status == TxStatus::Idle || self.begin.is_some();
        between || (self.status == TxStatus::Open && server.settings.is_some())
    }

    /// Whether that may fail for no fault of the session, so that its answer must be waited for.
    pub(crate) fn must_bring_first(&mut self) -> bool {
        let between = self.status == TxStatus::Idle || self.begin.is_some();
        let limited = self.lease.as_mut().is_some_and(|lease| {
            let server = lease.server();
            let settings = server.settings.as_ref();
            // One that still owes Weir an answer is the session's already.
            server.replies.is_empty() && settings.is_none_or(|settings| settings.limits_time())
        });
        between && limited && self.must_bring()
    }

    /// Brings the server to the session's settings and waits for it; gives a server up that can't.
    pub(crate) async fn bring_first(&mut self) -> bool {
        let Some(lease) = self.lease.as_mut() else { return false };
        let wanted = self.meaning.settings();
        let brought = crate::greeting::bring(lease.server(), wanted, &self.worker).await;
        self.meaning.brought();
        if brought.is_err() {
            self.lease = None;
        }
        brought.is_ok()
    }

    /// Puts what brings the server to the session's settings in front of the cycle.
    pub(crate) fn bring_server(&mut self) {
        if !self.must_bring() {
            return;
        }
        let Some(lease) = self.lease.as_mut() else { return };
        let (server, wanted) = (lease.server(), self.meaning.settings());
        for query in replay(server.settings.as_deref(), wanted) {
            wire::put_query(&mut server.outbox.bytes, query.as_bytes());
            server.replies.push(Expect::OwnQuery);
        }
        server.settings = Some(Rc::clone(wanted));
        self.meaning.brought();
    }
}
