//! Puts a cycle into its server's outbox: statements renamed, what the server lacks prepared first.
//!
//! A client's named statement is known to servers as `weir_<id>`. A server that lacks it gets a
//! `Parse` right in front of the message that needs it, within the client's own group, so that an
//! error takes the place where the client expects one (docs/adr/0002-prepare-in-place.md).

use std::ops::Range;
use std::rc::Rc;

use policy::prepared::{ClientStatements, Interner, Meaning, Statement, StatementId};
use policy::replies::{Expect, Named};
use sql::{NamedStatement, Verb};
use wire::{Described, Frame, Frontend, MessageError, Report, Severity, SqlState, server_name};

use crate::group::{Deallocates, Group, Unnamed};
use crate::intake::End;
use crate::server::{Server, SessionNumber, UnnamedOf};

/// A statement that no server has, to make a message fail in its place.
const NO_SUCH_STATEMENT: &[u8] = b"weir_refused";

/// A statement that exists only to be deallocated; no statement of a client has its number.
const DOOMED: StatementId = 0;
/// Deallocates it.
const DEALLOCATE: &[u8] = b"DEALLOCATE weir_0";

const TOO_LARGE: &str = "too large for a message of its kind";

/// Everything that renaming needs.
pub(crate) struct Forward<'a> {
    pub(crate) server: &'a mut Server,
    pub(crate) statements: &'a mut ClientStatements,
    pub(crate) interner: &'a mut Interner,
    pub(crate) group: &'a mut Group,
    pub(crate) session: SessionNumber,
    pub(crate) max_prepared: u32,
    /// What the client's statements mean besides their text.
    pub(crate) as_meant: Meaning<'a>,
    /// Whether the server may know statements that the client made by SQL.
    pub(crate) by_sql: bool,
}

impl Forward<'_> {
    /// Appends the messages in `bytes` and what is expected in return.
    ///
    /// # Errors
    ///
    /// [`MessageError`]: a message is malformed; nothing was sent yet, tell the client and close.
    pub(crate) fn cycle(&mut self, bytes: &[u8], end: End) -> Result<(), MessageError> {
        let tracked = self.group.open
            || !matches!(end, End::Query | End::Sync)
            || !is_lone_query(bytes) && self.edits(bytes)?;
        let mut rest = bytes;
        while let Ok(Some((frame, after))) = wire::next_frame(rest, usize::MAX) {
            rest = after;
            self.message(&frame, tracked)?;
        }
        if let End::Cut { .. } = end {
            self.cut(rest)?;
        }
        if end == End::Prepared {
            wire::put_sync(&mut self.server.outbox.bytes);
            self.server.replies.push(Expect::OwnSync);
        }
        self.group.open = matches!(end, End::Open | End::Cut { .. });
        Ok(())
    }

    /// Whether a message is changed, added or left out, so that every reply must be matched.
    fn edits(&self, bytes: &[u8]) -> Result<bool, MessageError> {
        let mut unnamed_parsed = self.unnamed_is_here();
        let mut rest = bytes;
        while let Ok(Some((frame, after))) = wire::next_frame(rest, usize::MAX) {
            rest = after;
            let edited = match wire::parse_frontend(&frame)? {
                Frontend::Parse { name: b"", sql, .. } => {
                    unnamed_parsed = true;
                    self.deallocated(sql).is_some()
                }
                Frontend::Parse { .. } | Frontend::Close { kind: Described::Statement, .. } => true,
                Frontend::Bind { statement: b"", .. }
                | Frontend::Describe { kind: Described::Statement, name: b"" } => !unnamed_parsed,
                Frontend::Bind { statement: name, .. }
                | Frontend::Describe { kind: Described::Statement, name } => {
                    !self.has(name) && !self.is_by_sql(name)
                }
                Frontend::Query { .. }
                | Frontend::Describe { .. }
                | Frontend::Execute { .. }
                | Frontend::Close { .. }
                | Frontend::Flush
                | Frontend::Sync
                | Frontend::CopyData
                | Frontend::CopyDone
                | Frontend::CopyFail
                | Frontend::FunctionCall
                | Frontend::Terminate
                | Frontend::Password { .. } => false,
            };
            if edited {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The client's statement that a text names, by SQL.
    fn named(&self, sql: &[u8]) -> Option<(NamedStatement, Rc<Statement>)> {
        let named = sql::named_statement(sql)?;
        let statement = self.lookup(named.name.as_bytes())?;
        Some((named, statement))
    }

    /// The client's statement that a text deallocates.
    fn deallocated(&self, sql: &[u8]) -> Option<Box<[u8]>> {
        let (named, _) = self.named(sql).filter(|(named, _)| named.verb == Verb::Deallocate)?;
        Some(named.name.as_bytes().into())
    }

    fn has(&self, name: &[u8]) -> bool {
        self.statements.get(name).is_some_and(|statement| self.server.statements.has(statement.id))
    }

    fn unnamed_is_here(&self) -> bool {
        self.server.unnamed.is_some() && self.server.unnamed == self.unnamed_of()
    }

    /// What marks a server that holds the client's unnamed statement as it is now.
    fn unnamed_of(&self) -> Option<UnnamedOf> {
        self.statements.unnamed().map(|unnamed| (self.session, unnamed.version))
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "decided once for the whole cycle")]
    fn message(&mut self, frame: &Frame<'_>, tracked: bool) -> Result<(), MessageError> {
        self.group.messages = self.group.messages.saturating_add(1);
        match wire::parse_frontend(frame)? {
            Frontend::Parse { name, sql, types } => self.parse(frame, (name, sql, types), tracked),
            Frontend::Bind { portal, statement, rest } => {
                if let Some(renamed) = self.resolve(statement) {
                    wire::put_bind(
                        &mut self.server.outbox.bytes,
                        portal,
                        &server_name(renamed),
                        rest,
                    );
                    self.expect(Expect::Bind, tracked);
                } else if self.unnamed_ready(statement) {
                    self.as_is(frame, Expect::Bind, tracked);
                } else {
                    self.refuse(&unknown(statement));
                }
            }
            Frontend::Describe { kind: Described::Statement, name } => {
                if let Some(renamed) = self.resolve(name) {
                    let out = &mut self.server.outbox.bytes;
                    wire::put_describe(out, Described::Statement, &server_name(renamed));
                    self.expect(Expect::Describe, tracked);
                } else if self.unnamed_ready(name) {
                    self.as_is(frame, Expect::Describe, tracked);
                } else {
                    self.refuse(&unknown(name));
                }
            }
            Frontend::Close { kind: Described::Statement, name }
                if !name.is_empty() && !self.is_by_sql(name) =>
            {
                self.group.names.push((name.into(), None));
                self.server.replies.push(Expect::SkippedClose(name.into()));
            }
            Frontend::Close { kind, name } => {
                if kind == Described::Statement && name.is_empty() {
                    self.statements.drop_unnamed();
                }
                self.as_is(frame, Expect::Close, tracked);
            }
            Frontend::Describe { .. } => self.as_is(frame, Expect::Describe, tracked),
            Frontend::Execute { .. } => {
                self.as_is(frame, Expect::Execute, tracked);
                if let Some(name) = self.group.deallocating.take() {
                    self.server.replies.push(Expect::Forget(name));
                }
            }
            Frontend::Query { sql } => self.query(frame, sql),
            Frontend::FunctionCall => self.query(frame, b""),
            Frontend::Sync => self.as_is(frame, Expect::Sync, true),
            Frontend::Flush => self.server.outbox.bytes.extend_from_slice(frame.bytes),
            Frontend::CopyData
            | Frontend::CopyDone
            | Frontend::CopyFail
            | Frontend::Terminate
            | Frontend::Password { .. } => {}
        }
        Ok(())
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "decided once for the whole cycle")]
    fn expect(&mut self, expect: Expect, tracked: bool) {
        if tracked {
            self.server.replies.push(expect);
        }
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "decided once for the whole cycle")]
    fn as_is(&mut self, frame: &Frame<'_>, expect: Expect, tracked: bool) {
        self.server.outbox.bytes.extend_from_slice(frame.bytes);
        self.expect(expect, tracked);
    }

    fn query(&mut self, frame: &Frame<'_>, sql: &[u8]) {
        // A simple query ends the unnamed statement (manual, 55.2.3).
        self.statements.drop_unnamed();
        self.server.unnamed = None;
        // Weir's messages in front need a Sync, which must not end a group of the client's.
        let alone = !self.group.open && self.group.messages == 1;
        match self.named(sql).filter(|_| alone) {
            Some((named, statement)) if named.verb == Verb::Execute => {
                self.execute_by_name(sql, named.place, &statement);
            }
            Some(_) => {
                self.group.deallocates = Deallocates::Clients;
                self.put_doomed();
                wire::put_sync(&mut self.server.outbox.bytes);
                self.server.replies.push(Expect::OwnQuery);
                wire::put_query(&mut self.server.outbox.bytes, DEALLOCATE);
                self.server.replies.push(Expect::Query);
            }
            None => self.as_is(frame, Expect::Query, true),
        }
    }

    /// Puts an EXECUTE by the name that the server has for the client's statement.
    fn execute_by_name(&mut self, sql: &[u8], place: Range<usize>, statement: &Statement) {
        let (out, name) = (&mut self.server.outbox.bytes, server_name(statement.id));
        if !self.server.statements.touch(statement.id) {
            wire::put_parse(out, &name, &statement.sql, &statement.types);
            wire::put_sync(out);
            self.server.replies.push(Expect::OwnQuestion);
            self.server.statements.insert(statement.id);
        }
        let before = sql.get(..place.start).unwrap_or_default();
        let behind = sql.get(place.end..).unwrap_or_default();
        wire::put_query(out, &[before, &name, behind].concat());
        self.server.replies.push(Expect::Query);
    }

    /// Prepares the statement that is deallocated in place of the client's, which servers keep.
    fn put_doomed(&mut self) {
        let (out, name) = (&mut self.server.outbox.bytes, server_name(DOOMED));
        wire::put_close(out, Described::Statement, &name);
        wire::put_parse(out, &name, b"", b"");
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "decided once for the whole cycle")]
    fn parse(
        &mut self,
        frame: &Frame<'_>,
        (name, sql, types): (&[u8], &[u8], &[u8]),
        tracked: bool,
    ) {
        if name.is_empty() {
            let deallocated = self.deallocated(sql);
            self.statements.set_unnamed(sql, types);
            self.group.unnamed = match self.group.messages {
                1 => Unnamed::ReplacedFirst,
                _ => Unnamed::ReplacedLater,
            };
            self.server.unnamed = self.unnamed_of();
            if let Some(name) = deallocated {
                self.group.deallocates = Deallocates::Clients;
                self.group.names.push((name.clone(), None));
                self.group.deallocating = Some(name);
                self.put_doomed();
                self.server.replies.push(Expect::OwnClose(DOOMED));
                self.server.replies.push(Expect::OwnParse(None));
                wire::put_parse(&mut self.server.outbox.bytes, b"", DEALLOCATE, types);
                self.server.replies.push(Expect::Parse(None));
                return;
            }
            self.as_is(frame, Expect::Parse(None), tracked);
            return;
        }
        if self.lookup(name).is_some() {
            let name = String::from_utf8_lossy(name);
            self.refuse(&(
                SqlState::DUPLICATE_PSTATEMENT,
                format!("prepared statement \"{name}\" already exists"),
            ));
            return;
        }
        let statement = self.interner.intern((sql, types), self.as_meant);
        let id = statement.id;
        self.group.names.push((name.into(), Some(Rc::clone(&statement))));
        let named = Named { name: name.into(), statement: Rc::clone(&statement) };
        if self.server.statements.touch(id) || self.group.parsing.contains(&id) {
            self.server.replies.push(Expect::SkippedParse(named));
            return;
        }
        self.make_room();
        self.group.parsing.insert(id);
        wire::put_parse(&mut self.server.outbox.bytes, &server_name(id), sql, types);
        self.server.replies.push(Expect::Parse(Some(named)));
        // What the client will be told of its columns must hold on other servers, too.
        wire::put_describe(&mut self.server.outbox.bytes, Described::Statement, &server_name(id));
        self.server.replies.push(Expect::OwnDescribe(statement));
    }

    /// The client's statement of that name, as far as the group under way has come.
    fn lookup(&self, name: &[u8]) -> Option<Rc<Statement>> {
        match self.group.names.iter().rev().find(|(known, _)| &**known == name) {
            Some((_, statement)) => statement.clone(),
            None => self.statements.get(name).cloned(),
        }
    }

    /// The server's number for a named statement, which is prepared there first if need be.
    fn resolve(&mut self, name: &[u8]) -> Option<StatementId> {
        if name.is_empty() {
            return None;
        }
        let statement = self.lookup(name)?;
        let id = statement.id;
        if !self.server.statements.touch(id) && !self.group.parsing.contains(&id) {
            self.make_room();
            self.group.parsing.insert(id);
            wire::put_parse(
                &mut self.server.outbox.bytes,
                &server_name(id),
                &statement.sql,
                &statement.types,
            );
            self.server.replies.push(Expect::OwnParse(Some(id)));
        }
        Some(id)
    }

    /// Whether a name can only be one that the client made by SQL.
    fn is_by_sql(&self, name: &[u8]) -> bool {
        self.by_sql && !name.is_empty() && self.lookup(name).is_none()
    }

    /// Whether a message that names the unnamed statement can go as it is; prepares it if need be.
    fn unnamed_ready(&mut self, name: &[u8]) -> bool {
        if !name.is_empty() {
            return self.is_by_sql(name);
        }
        if self.unnamed_is_here() {
            return true;
        }
        let Some(unnamed) = self.statements.unnamed() else { return false };
        wire::put_parse(&mut self.server.outbox.bytes, b"", &unnamed.sql, &unnamed.types);
        self.server.replies.push(Expect::OwnParse(None));
        self.server.unnamed = self.unnamed_of();
        true
    }

    /// Closes the least recently used statement if the server has too many.
    fn make_room(&mut self) {
        let parsing = u32::try_from(self.group.parsing.len()).unwrap_or(u32::MAX);
        let most = self.max_prepared.saturating_sub(parsing.saturating_add(1));
        if let Some(id) = self.server.statements.surplus(most) {
            self.server.statements.remove(id);
            wire::put_close(&mut self.server.outbox.bytes, Described::Statement, &server_name(id));
            self.server.replies.push(Expect::OwnClose(id));
        }
    }

    /// Makes the server fail here, as PostgreSQL itself would, and tells the client this reason.
    fn refuse(&mut self, (code, message): &(SqlState, String)) {
        let mut told = Vec::new();
        let report = Report {
            severity: Severity::Error,
            code: *code,
            message,
            detail: None,
            hint: None,
            routine: None,
        };
        wire::put_error(&mut told, &report);
        self.poison(told.into());
    }

    /// Sends a message that fails, for an error that Weir itself has to tell.
    pub(crate) fn poison(&mut self, told: Box<[u8]>) {
        wire::put_bind(&mut self.server.outbox.bytes, b"", NO_SUCH_STATEMENT, &[0; 6]);
        self.server.replies.push(Expect::Refused(told));
    }

    /// The beginning of a message too large to gather: its names are rewritten, its length adjusted.
    fn cut(&mut self, head: &[u8]) -> Result<(), MessageError> {
        let Some((&[tag, a, b, c, d], body)) = head.split_first_chunk() else { return Ok(()) };
        let length = u32::from_be_bytes([a, b, c, d]);
        match tag {
            wire::ftag::QUERY | wire::ftag::FUNCTION_CALL => {
                self.statements.drop_unnamed();
                self.server.unnamed = None;
                self.server.outbox.bytes.extend_from_slice(head);
                self.server.replies.push(Expect::Query);
                Ok(())
            }
            wire::ftag::BIND => self.cut_bind(length, body),
            _ => Err(MessageError::Malformed { tag, what: TOO_LARGE }),
        }
    }

    fn cut_bind(&mut self, length: u32, body: &[u8]) -> Result<(), MessageError> {
        let malformed = MessageError::Malformed { tag: wire::ftag::BIND, what: TOO_LARGE };
        let (portal, rest) = split_nul(body).ok_or(malformed)?;
        let (statement, values) = split_nul(rest).ok_or(malformed)?;
        let renamed = self.resolve(statement).map(server_name);
        if renamed.is_none() && !self.unnamed_ready(statement) {
            return Err(malformed);
        }
        let name = renamed.as_deref().unwrap_or_default();
        let grown = u32::try_from(name.len()).unwrap_or_default();
        let shrunk = u32::try_from(statement.len()).unwrap_or_default();
        let out = &mut self.server.outbox.bytes;
        out.push(wire::ftag::BIND);
        out.extend_from_slice(&length.saturating_add(grown).saturating_sub(shrunk).to_be_bytes());
        for part in [portal, &[0], name, &[0], values] {
            out.extend_from_slice(part);
        }
        self.server.replies.push(Expect::Bind);
        Ok(())
    }
}

/// Whether a cycle is one `Query`, which goes as it is.
fn is_lone_query(bytes: &[u8]) -> bool {
    let first = wire::next_frame(bytes, usize::MAX);
    matches!(first, Ok(Some((frame, []))) if frame.tag == wire::ftag::QUERY)
}

fn split_nul(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((bytes.get(..end)?, bytes.get(end.saturating_add(1)..)?))
}

fn unknown(name: &[u8]) -> (SqlState, String) {
    let message = if name.is_empty() {
        "unnamed prepared statement does not exist".to_owned()
    } else {
        format!("prepared statement \"{}\" does not exist", String::from_utf8_lossy(name))
    };
    (SqlState::INVALID_SQL_STATEMENT_NAME, message)
}
