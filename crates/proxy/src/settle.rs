//! What an ended cycle leaves behind: tickets, settings, and whether the server is kept.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use policy::replies::Expect;
use policy::reports::Reports;
use policy::session::{
    CommitDefault, Hold, LEFTOVERS, Seen, ServedBy, ServerSettings, Settled, TakeTicket,
};
use policy::{Role, Signal};
use sql::Effect;
use wire::TxStatus;

use crate::database::Database;
use crate::error::{Cause, Lost};
use crate::group::Deallocates;
use crate::noticed::{News, Noticed};
use crate::pool::Lease;
use crate::reading::{Kind, Own, Reading};
use crate::relay::Settle;
use crate::scope::ScopeFence;
use crate::server::Server;
use crate::session::{Changed, Ending, Session};
use crate::worker::{Worker, now};

const TEMPORARY: Effect = Effect::Pin(sql::Pin::TemporaryRelation);

/// Settles a cycle between its `ReadyForQuery` being read and being passed on: from the moment the
/// client knows that its write ended, its reads must know it too.
pub(crate) struct Closing<'a> {
    pub(crate) meaning: &'a mut policy::session::Session,
    pub(crate) greeted: &'a Reports,
    pub(crate) reading: &'a Reading,
    pub(crate) database: &'a Database,
    pub(crate) scope: &'a ScopeFence,
    pub(crate) worker: &'a Worker,
    pub(crate) by: ServedBy,
    /// How the cycle's server committed by default when it was opened, and when that was.
    pub(crate) server: (CommitDefault, Instant),
    pub(crate) settled: Option<Settled>,
}

impl Settle for Closing<'_> {
    fn ended(
        &mut self,
        noticed: &Noticed,
        (status, reports): (TxStatus, &Reports),
        out: &mut Vec<u8>,
    ) {
        let seen = Seen {
            class: self.reading.class,
            why: self.reading.why,
            effects: self.reading.effects(),
            steps: self.reading.steps(),
            completed: noticed.completed,
            rolled_back: &noticed.rolled_back,
            statements: self.reading.statements,
            status,
            last: noticed.last,
            failed: noticed.error.is_some(),
            modified: noticed.modified > 0,
            commits: self.commits(),
            by: self.by,
            at: now(),
            reports,
        };
        if let Some(left) = &noticed.answer {
            // Asked before the cycle: what that left is not among it.
            let _hold = self.meaning.asked(left);
        }
        let settled = self.meaning.settle(&seen, &self.worker.settings);
        match settled.ticket {
            TakeTicket::Nobody => {}
            TakeTicket::Session => {
                self.worker.metrics.tickets.inc();
                self.meaning.took(self.database.cluster.take_ticket());
            }
            TakeTicket::Scope(wal) => {
                self.worker.metrics.tickets.inc();
                self.scope.took(wal, self.database.cluster.take_ticket());
            }
        }
        // A transaction that failed has undone its settings already.
        if status != TxStatus::Failed {
            self.correct(out);
        }
        self.settled = Some(settled);
    }
}

impl Closing<'_> {
    /// How the cycle's server commits where its session does not say otherwise.
    fn commits(&self) -> CommitDefault {
        let (default, opened) = self.server;
        let synchronously = default == CommitDefault::Synchronous
            && self.database.cluster.answers.newest().are_as_of(opened)
            && self.database.catalog().is_some_and(|catalog| catalog.leaves_commits_alone());
        if synchronously { CommitDefault::Synchronous } else { CommitDefault::Unknown }
    }

    /// A `RESET` took the server to its own default and the session to what it asked for at login,
    /// which the server will be brought to before it is used again: the client is told that.
    fn correct(&self, out: &mut Vec<u8>) {
        let (wanted, on_server) = (self.meaning.settings(), self.meaning.on_server());
        if wanted.is(on_server) {
            return;
        }
        for (name, value) in self.greeted.iter() {
            let known = String::from_utf8_lossy(name).to_ascii_lowercase();
            let startup = self.meaning.startup().value(&known);
            if startup.is_some()
                && wanted.value(&known) == startup
                && on_server.value(&known) != startup
            {
                wire::put_parameter_status(out, name, value);
            }
        }
    }
}

/// A group that is open can't end without a `Sync` from the client.
pub(crate) struct Unsettled;

impl Settle for Unsettled {
    fn ended(&mut self, _: &Noticed, _: (TxStatus, &Reports), _: &mut Vec<u8>) {}
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
            self.doubt_unnamed(noticed.answered);
        }
        let deallocates = self.group.deallocates;
        self.group.clear();
        self.know_settings(settled.settings);
        self.heed(noticed)?;
        self.apply(reading, noticed, deallocates);
        if self.status == TxStatus::Idle {
            self.tell_changes();
        }
        if self.status != TxStatus::Idle && !self.database.allows_blocks() {
            drop(self.lease.take());
            return Err(Cause::BlockLeft.into());
        }
        self.draw(reading);
        self.hold(settled.hold);
        Ok(())
    }

    /// Others see what a transaction changed only once it has ended.
    fn tell_changes(&mut self) {
        let Changed { schema, logins } = std::mem::take(&mut self.changed);
        if schema {
            self.database.schema.changed();
            let database = self.database.dbname.as_ref().into();
            self.database.cluster.signal(Signal::SchemaChanged(database));
        }
        if logins {
            self.worker.shared.logins.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn hold(&mut self, hold: Hold) {
        match hold {
            Hold::Return if self.meaning.pin().is_none() && self.database.returns_servers() => {
                if let Some(lease) = self.lease.take() {
                    lease.give_back();
                }
            }
            Hold::Ask if self.database.returns_servers() => self.ask_what_is_left(),
            Hold::Return | Hold::Ask | Hold::Keep => {}
        }
    }

    fn know_settings(&mut self, settings: ServerSettings) {
        let on_server = Rc::clone(self.meaning.on_server());
        let number = self.number;
        let Some(server) = self.server() else { return };
        server.used_by = Some(number);
        server.settings = match (settings, server.settings.take()) {
            (ServerSettings::Fresh, _) | (ServerSettings::AsTold, Some(_)) => Some(on_server),
            (ServerSettings::Unknown, _) | (ServerSettings::AsTold, None) => None,
        };
    }

    /// Takes note of where the cycle may have drawn sequence values.
    fn draw(&mut self, reading: &Reading) {
        let number = self.number;
        let Some(server) = self.server() else { return };
        let forgets =
            |effect: &Effect| matches!(effect, Effect::DiscardAll | Effect::DiscardSequences);
        if reading.effects().iter().any(forgets) {
            server.drawn_by = None;
        } else if policy::session::may_draw(reading.class, reading.why)
            && server.address.role == Role::Primary
        {
            server.drawn_by = Some(number);
            self.drawn_on = Some(server.number);
        }
        let drew = self.server().is_some_and(|server| server.drawn_by == Some(number));
        let keeps = self.database.allows_pins() && self.pools.keeps_values(now());
        if drew && self.status == TxStatus::Idle && keeps {
            self.meaning.keep_values();
        }
    }

    /// Asks the server what the session left in it; [`Session::asked`] hears the answer.
    fn ask_what_is_left(&mut self) {
        let Some(server) = self.server() else { return };
        wire::put_query(&mut server.outbox.bytes, LEFTOVERS.as_bytes());
        server.replies.push(Expect::OwnQuestion);
    }

    /// The server answered while the session waited for its client.
    pub(crate) fn asked(&mut self, noticed: &Noticed) {
        if let Some(left) = &noticed.answer {
            let hold = self.meaning.asked(left);
            self.hold(hold);
        }
    }

    /// A group failed, and behind the error no `Parse` was carried out: what the server holds as
    /// unnamed is unknown, and may be the client's statement or one of a session before it.
    #[expect(clippy::fn_params_excessive_bools, reason = "a fact of the reply, not a mode")]
    fn doubt_unnamed(&mut self, answered: bool) {
        if self.group.loses_unnamed(answered) {
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
                News::Fatal | News::StalePlan => {}
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

    pub(crate) fn server(&mut self) -> Option<&mut Server> {
        self.lease.as_mut().map(Lease::server)
    }

    /// What statements that were carried out mean to Weir itself.
    fn apply(&mut self, reading: &Reading, noticed: &Noticed, deallocates: Deallocates) {
        let done = |(_, step): &(_, &u32)| **step < noticed.completed;
        for (effect, _) in reading.effects().iter().zip(reading.steps()).filter(done) {
            if let Some(Own::Set { name, value: Some(value), .. }) = Own::of(effect) {
                if let Err(error) = self.meaning.wishes().clone().set(name, value) {
                    tracing::warn!(name, %error, "a setting among other statements was not understood");
                }
            } else if let Effect::Deallocate(name) = effect {
                if deallocates == Deallocates::Clients {
                    // By the extended protocol it went in its place among the others.
                    if reading.kind == Kind::Simple {
                        self.statements.remove(name.as_bytes());
                    }
                } else if let Some(server) = self.server() {
                    // It may have named one of Weir's own, which another session would then miss.
                    server.spoiled = true;
                }
            } else if matches!(effect, Effect::SchemaChange) {
                // A temporary table is nobody else's.
                self.changed.schema |= !reading.effects().contains(&TEMPORARY);
            } else if matches!(effect, Effect::LoginDefaults) {
                self.changed.logins = true;
            }
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

    /// A guard failed: the server finishes what nobody waits for, and then goes back.
    pub(crate) fn unproven(&mut self) {
        self.group.clear();
        let Some(mut lease) = self.lease.take() else { return };
        lease.server().unnamed = None;
        crate::guarded::drain(lease, Rc::clone(&self.worker));
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
