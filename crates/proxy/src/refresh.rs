//! Are a client's prepared statements still what it was told, now that the schema has changed?
//!
//! A server that has such a statement judges by itself (0A000). One that lacks it would prepare it
//! anew and answer with whatever columns it has now, to a client that may have been told others and
//! does not ask again. So it is asked before.

use std::rc::Rc;

use policy::Role;
use policy::prepared::{Columns, Meaning, SchemaNumber, Statement, columns_of};
use policy::replies::Expect;
use policy::settings::Settings;
use wire::{Described, Frontend, TxStatus, server_name};

use crate::cycle::Cycle;
use crate::error::Cause;
use crate::noticed::Noticed;
use crate::reading::{self, Reading};
use crate::relay::{Event, Relay};
use crate::session::{Ending, Session};
use crate::settle::Unsettled;

impl Session {
    /// What the client's statements mean besides their text, with these settings.
    pub(crate) fn as_meant<'a>(&self, settings: &'a Settings) -> Meaning<'a> {
        Meaning { shape: settings.shape(), schema: self.database.schema.newest() }
    }

    /// Makes sure that the statements which the cycle binds are those that the client knows.
    ///
    /// Returns what the client is told if one is not.
    pub(crate) async fn refresh(
        &mut self,
        cycle: Cycle,
        reading: &Reading,
    ) -> Result<Option<Box<[u8]>>, Ending> {
        let doubted = self.doubted(cycle);
        if doubted.is_empty() || self.status == TxStatus::Failed || self.group.open {
            return Ok(None);
        }
        if reading.columns == reading::Columns::Asked {
            self.renew(&doubted);
            return Ok(None);
        }
        for statement in doubted {
            if self.check(&statement).await? == Columns::Changed {
                let mut told = Vec::new();
                let _told = Cause::StalePlan.put(&mut told);
                return Ok(Some(told.into()));
            }
        }
        Ok(None)
    }

    /// The statements of the cycle whose columns are in doubt and that its server lacks.
    fn doubted(&mut self, cycle: Cycle) -> Vec<Rc<Statement>> {
        let schema = self.database.schema.newest();
        let mut doubted = Vec::new();
        let Some(lease) = self.lease.as_mut() else { return doubted };
        let server = lease.server();
        let mut rest = self.inbound.unread().get(..cycle.length).unwrap_or_default();
        while let Ok(Some((frame, after))) = wire::next_frame(rest, usize::MAX) {
            rest = after;
            let Ok(Frontend::Bind { statement: name, .. }) = wire::parse_frontend(&frame) else {
                continue;
            };
            if let Some(statement) = self.statements.get(name)
                && statement.is_in_doubt(schema)
                && !server.statements.has(statement.id)
            {
                doubted.push(Rc::clone(statement));
            }
        }
        if !self.statements.any(|statement| statement.is_in_doubt(schema)) {
            self.schema_seen = schema;
        }
        doubted
    }

    /// Gives the client's names of these statements the numbers that such texts have now.
    pub(crate) fn renew(&mut self, statements: &[Rc<Statement>]) {
        let settings = Rc::clone(self.meaning.settings());
        let meaning = self.as_meant(&settings);
        for old in statements {
            let new = self.worker.interner.borrow_mut().intern((&old.sql, &old.types), meaning);
            self.statements.replace(old, &new);
        }
    }

    /// Prepares a statement on the server, in a group of Weir's own, and compares its columns.
    async fn check(&mut self, statement: &Rc<Statement>) -> Result<Columns, Ending> {
        let Some(lease) = self.lease.as_mut() else { return Ok(Columns::Same) };
        let server = lease.server();
        let (out, name) = (&mut server.outbox.bytes, server_name(statement.id));
        wire::put_parse(out, &name, &statement.sql, &statement.types);
        wire::put_describe(out, Described::Statement, &name);
        wire::put_sync(out);
        server.replies.push(Expect::OwnQuestion);
        let schema = self.database.schema.newest();
        let mut noticed = Noticed::default();
        let mut relay = Relay::new(
            &mut self.stream,
            (&mut self.inbound, &mut self.held, &mut self.outbound),
            server,
            (&mut self.statements, &mut self.told, schema),
            &self.worker,
            &mut noticed,
        );
        match relay.run(&mut Unsettled, |_, _| None).await? {
            Event::Ended => {}
            Event::ClientGone => return Err(Ending::Left),
            event @ (Event::More | Event::Refused(_) | Event::ServerLost | Event::Garbled(_)) => {
                let node = server.address.name.to_string();
                tracing::warn!(%node, %event, "a server was lost while a statement was checked");
                self.server_lost();
                return Err(Cause::ServerLost { node, during: crate::error::Lost::Read }.into());
            }
        }
        // Without an answer it failed: it will fail again, in the client's sight.
        let Some(columns) = noticed.answer else { return Ok(Columns::Same) };
        let mut found = Columns::Same;
        if let Some(lease) = self.lease.as_mut() {
            let server = lease.server();
            // A replica may not have replayed the change yet: its word holds for itself.
            let known = match server.address.role {
                Role::Primary => schema,
                Role::Replica | Role::Unknown => SchemaNumber::default(),
            };
            found = statement.describes(columns_of(&columns), known);
            server.statements.insert(statement.id);
            if found == Columns::Changed {
                // What this server has by that name is not what the client knows: nobody may run it.
                wire::put_close(&mut server.outbox.bytes, Described::Statement, &name);
                server.replies.push(Expect::OwnClose(statement.id));
            }
        }
        Ok(found)
    }

    /// Lets whoever parses what the cycle binds next do so under another number: what servers have
    /// prepared of it is of tables that have changed.
    pub(crate) fn retire_bound(&self, cycle: Cycle) {
        self.bound(cycle).iter().for_each(|stale| stale.retire());
    }

    /// The named statements that a cycle binds.
    pub(crate) fn bound(&self, cycle: Cycle) -> Vec<Rc<Statement>> {
        let mut bound = Vec::new();
        let mut rest = self.inbound.unread().get(..cycle.length).unwrap_or_default();
        while let Ok(Some((frame, after))) = wire::next_frame(rest, usize::MAX) {
            rest = after;
            if let Ok(Frontend::Bind { statement, .. }) = wire::parse_frontend(&frame) {
                bound.extend(self.statements.get(statement).map(Rc::clone));
            }
        }
        bound
    }
}
