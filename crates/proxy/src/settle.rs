//! What an ended cycle leaves behind: tickets, settings, and whether the server is kept.

use std::rc::Rc;

use policy::session::{Hold, Seen, ServedBy, SettingsChange, Settled, TakeTicket};
use policy::{Role, Signal};
use sql::Effect;
use wire::TxStatus;

use crate::cycle::{Own, Reading};
use crate::error::{Cause, Lost};
use crate::noticed::{News, Noticed};
use crate::pool::Lease;
use crate::relay::Settle;
use crate::scope::ScopeFence;
use crate::server::Server;
use crate::session::{Ending, Session};
use crate::settings::SettingsId;
use crate::view::ClusterView;
use crate::worker::{Worker, now};

/// Settles a cycle between its `ReadyForQuery` being read and being passed on: from the moment the
/// client knows that its write ended, its reads must know it too.
pub(crate) struct Closing<'a> {
    pub(crate) meaning: &'a mut policy::session::Session,
    pub(crate) reading: &'a Reading,
    pub(crate) cluster: &'a ClusterView,
    pub(crate) scope: &'a ScopeFence,
    pub(crate) worker: &'a Worker,
    pub(crate) by: ServedBy,
    pub(crate) settled: Option<Settled>,
}

impl Settle for Closing<'_> {
    fn ended(&mut self, noticed: &Noticed, status: TxStatus) {
        let settled = self.meaning.settle(&Seen {
            class: self.reading.class,
            why: self.reading.why,
            effects: self.reading.effects(),
            statements: self.reading.statements,
            status,
            last: noticed.last,
            failed: noticed.error.is_some(),
            by: self.by,
            at: now(),
        });
        match settled.ticket {
            TakeTicket::Nobody => {}
            TakeTicket::Session => {
                self.worker.metrics.tickets.inc();
                self.meaning.took(self.cluster.take_ticket());
            }
            TakeTicket::Scope => {
                self.worker.metrics.tickets.inc();
                self.scope.took(self.cluster.take_ticket());
            }
        }
        self.settled = Some(settled);
    }
}

/// A group that is open can't end without a `Sync` from the client.
pub(crate) struct Unsettled;

impl Settle for Unsettled {
    fn ended(&mut self, _: &Noticed, _: TxStatus) {}
}

impl Session {
    /// Carries out what was settled.
    pub(crate) fn settled(
        &mut self,
        reading: &Reading,
        noticed: &Noticed,
        settled: Option<Settled>,
    ) -> Result<(), Ending> {
        let Some(settled) = settled else { return Ok(()) };
        self.status = noticed.status.unwrap_or(TxStatus::Idle);
        self.begin = None;
        if noticed.error.is_some() {
            self.doubt_unnamed();
        }
        self.group.clear();
        self.heed(noticed)?;
        if noticed.error.is_none() {
            self.apply(reading);
        }
        // Others see a changed schema only once the transaction has ended.
        if self.schema_changed && self.status == TxStatus::Idle {
            self.schema_changed = false;
            let database = self.database.dbname.as_ref().into();
            self.database.cluster.signal(Signal::SchemaChanged(database));
        }
        if settled.settings == SettingsChange::Replayed {
            reading.effects().iter().for_each(|effect| self.replay(effect));
        }
        if settled.hold == Hold::Return
            && self.database.returns_servers()
            && let Some(lease) = self.lease.take()
        {
            lease.give_back();
        }
        Ok(())
    }

    /// A group failed, and behind the error no `Parse` was carried out: what the server holds as
    /// unnamed is unknown, and may be the client's statement or one of a session before it.
    fn doubt_unnamed(&mut self) {
        if self.group.confuses_unnamed() {
            self.statements.drop_unnamed();
        }
        if let Some(server) = self.server() {
            server.unnamed = None;
        }
    }

    fn heed(&mut self, noticed: &Noticed) -> Result<(), Ending> {
        for news in &noticed.news {
            match news {
                News::StatementsDropped => {
                    self.statements.clear();
                    if let Some(server) = self.server() {
                        server.statements.clear();
                        server.unnamed = None;
                    }
                }
                News::Fatal => {}
                News::Promoted => {
                    if let Some(node) = self.server().map(|server| server.address.node) {
                        self.database.cluster.signal(Signal::Promoted(node));
                    }
                }
                News::OwnFailed => {
                    let node = self
                        .server()
                        .map(|server| server.address.name.to_string())
                        .unwrap_or_default();
                    tracing::error!(
                        node,
                        "a session's settings could not be applied: the session is closed"
                    );
                    drop(self.lease.take());
                    return Err(Cause::ServerLost { node, during: Lost::Write }.into());
                }
            }
        }
        Ok(())
    }

    fn server(&mut self) -> Option<&mut Server> {
        self.lease.as_mut().map(Lease::server)
    }

    /// What succeeded statements mean to Weir itself.
    fn apply(&mut self, reading: &Reading) {
        for effect in reading.effects() {
            if let Some(Own::Set { name, value, scope }) = Own::of(effect) {
                // The server took it for a custom setting; the next user must not inherit it.
                self.forget_settings_of_server();
                if let Err(error) = self.meaning.set(name, value, scope) {
                    tracing::warn!(name, %error, "a setting among other statements was not understood");
                }
            } else if matches!(effect, Effect::Deallocate) {
                // It may have named one of Weir's own, which another session would then miss.
                if let Some(server) = self.server() {
                    server.spoiled = true;
                }
            } else if matches!(effect, Effect::SchemaChange) {
                self.schema_changed = true;
            } else if matches!(effect, Effect::ResetAll | Effect::DiscardAll) {
                self.meaning.reset_all();
            }
        }
    }

    fn forget_settings_of_server(&mut self) {
        if let Some(server) = self.server() {
            server.settings = SettingsId::UNKNOWN;
        }
    }

    /// Moves the settings that travel with the session as the server's just moved.
    fn replay(&mut self, effect: &Effect) {
        if Own::of(effect).is_some() {
            return;
        }
        let (settings, server) = if let Effect::Set { name, value: Some(value), .. } = effect {
            let settings = self.worker.settings.with(&self.settings, name, Some(value));
            let id = settings.id;
            (settings, id)
        } else if let Effect::Set { name, value: None, .. } | Effect::Reset(name) = effect {
            // The server went back to its own default, the session goes back to its startup value.
            let value = self.startup.value(name);
            (self.worker.settings.with(&self.settings, name, value), SettingsId::UNKNOWN)
        } else if matches!(effect, Effect::ResetAll | Effect::DiscardAll) {
            (Rc::clone(&self.startup), SettingsId::default())
        } else {
            return;
        };
        self.settings = settings;
        if let Some(known) = self.server() {
            known.settings = server;
        }
    }

    /// The server refused a read that another node may serve: between transactions it goes back.
    pub(crate) fn refused(&mut self, status: Option<TxStatus>) {
        self.worker.metrics.retried.inc();
        if let Some(server) = self.server() {
            server.unnamed = None;
        }
        self.group.clear();
        if let (Some(lease), Some(TxStatus::Idle)) = (self.lease.take(), status) {
            lease.give_back();
        }
    }

    /// The server is gone; control is told.
    pub(crate) fn server_lost(&mut self) {
        if let Some(mut lease) = self.lease.take() {
            self.database.cluster.lost(lease.server().address.node);
        }
    }

    /// Ends a lease that the session kept up to its end.
    pub(crate) fn end_lease(&mut self, mut lease: Lease) {
        let clean = self.meaning.pin().is_none()
            && self.status == TxStatus::Idle
            && lease.server().replies.is_empty()
            && lease.server().address.role == Role::Primary
            && !self.group.open;
        if clean {
            lease.give_back();
        }
    }
}
