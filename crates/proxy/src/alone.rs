//! What Weir answers without a server: its own settings, a `BEGIN READ ONLY` that it holds back,
//! groups that ask for nothing, and its own errors.

use std::rc::Rc;

use policy::{Reason, Token, TokenVerdict};
use sql::{Access, Chain, Effect, Isolation};
use wire::{Described, Frontend, TxStatus};

use crate::classes::Judged;
use crate::cycle::Cycle;
use crate::error::Cause;
use crate::intake::End;
use crate::metrics::Side;
use crate::reading::{Kind, Own, Reading};
use crate::session::{Ending, LastRoute, Session};
use crate::token;

/// What became of a cycle that might need no server.
#[derive(Debug)]
pub(crate) enum Alone {
    /// It was answered.
    Answered,
    /// It needs a server.
    No,
    /// It is refused, and the transaction that is open on a server must fail by it.
    Refused(Box<[u8]>),
}

/// Tokens of one cycle, judged before it is answered.
type Tokens = Vec<(Token, TokenVerdict)>;

impl Session {
    /// Answers the cycle if it needs no server.
    pub(crate) async fn answer_alone(
        &mut self,
        cycle: Cycle,
        reading: &Reading,
    ) -> Result<Alone, Ending> {
        if self.group.open || matches!(cycle.end, End::Open | End::Cut { .. }) {
            return Ok(Alone::No);
        }
        if reading.kind == Kind::Housekeeping && self.lease.is_none() {
            self.answer_group(cycle).await?;
            return Ok(Alone::Answered);
        }
        let at_rest = self.lease.is_none() && self.status == TxStatus::Idle;
        if reading.is_own(at_rest) && self.status != TxStatus::Failed {
            return Box::pin(self.answer_own(cycle, reading)).await;
        }
        if let Some(tag) = self.transaction_alone(cycle, reading) {
            wire::put_command_complete(&mut self.outbound.bytes, tag);
            self.answered_alone(cycle.end).await?;
            return Ok(Alone::Answered);
        }
        Ok(Alone::No)
    }

    /// Appends `ReadyForQuery`, if one is due, and sends all.
    async fn answered_alone(&mut self, end: End) -> Result<(), Ending> {
        self.worker.metrics.routed(Side::Weir, Reason::Local);
        if end != End::Prepared {
            wire::put_ready(&mut self.outbound.bytes, self.status);
        }
        self.send().await
    }

    async fn send(&mut self) -> Result<(), Ending> {
        let sent = self.stream.write_all(self.outbound.unsent()).await;
        self.outbound.clear();
        sent.map_err(|_| Ending::Left)
    }

    /// Holds a `BEGIN READ ONLY` back until it is known what it begins with, and ends one that
    /// began with nothing. Returns the command tag.
    fn transaction_alone(&mut self, cycle: Cycle, reading: &Reading) -> Option<&'static str> {
        if reading.kind != Kind::Simple || self.lease.is_some() || reading.hinted.is_some() {
            return None;
        }
        let effect = reading.lone_effect()?;
        match (effect, self.begin.is_some()) {
            (Effect::Begin(modes), false) => {
                let wanted = modes.access == Some(Access::ReadOnly)
                    && modes.isolation != Some(Isolation::Serializable)
                    && modes.deferrable.is_none()
                    && self.database.returns_servers()
                    && self.database.allows_blocks()
                    && !self.meaning.settings().needs_primary();
                if !wanted {
                    return None;
                }
                let bytes = self.inbound.unread().get(..cycle.length).unwrap_or_default();
                let word = bytes.get(5..).unwrap_or_default().trim_ascii_start();
                let start = word.get(..5).is_some_and(|word| word.eq_ignore_ascii_case(b"START"));
                self.begin = Some(bytes.to_vec());
                self.status = TxStatus::Open;
                self.meaning.begin_deferred();
                Some(if start { "START TRANSACTION" } else { "BEGIN" })
            }
            (Effect::Commit { chain: Chain::No }, true) => {
                self.end_deferred(true);
                Some("COMMIT")
            }
            (Effect::Rollback { chain: Chain::No }, true) => {
                self.end_deferred(false);
                Some("ROLLBACK")
            }
            _ => None,
        }
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "the two ways a transaction ends")]
    fn end_deferred(&mut self, committed: bool) {
        self.begin = None;
        self.status = TxStatus::Idle;
        self.meaning.end_deferred(committed);
    }

    /// A group of nothing but `Close` of statements and `Sync`.
    async fn answer_group(&mut self, cycle: Cycle) -> Result<(), Ending> {
        let bytes = self.inbound.unread().get(..cycle.length).unwrap_or_default();
        let mut rest = bytes;
        while let Ok(Some((frame, after))) = wire::next_frame(rest, usize::MAX) {
            rest = after;
            if let Ok(Frontend::Close { name, .. }) = wire::parse_frontend(&frame) {
                self.statements.remove(name);
                wire::put_close_complete(&mut self.outbound.bytes);
            }
        }
        self.answered_alone(cycle.end).await
    }

    /// A cycle about `weir.*` settings alone.
    async fn answer_own(&mut self, cycle: Cycle, reading: &Reading) -> Result<Alone, Ending> {
        if reading
            .effects()
            .iter()
            .any(|effect| matches!(effect, Effect::Show(name) if &**name == "weir.lsn"))
        {
            Box::pin(self.fresh_ticket()).await;
        }
        let tokens = Box::pin(self.tokens(reading)).await;
        let bytes = self.inbound.unread().get(..cycle.length).unwrap_or_default().to_vec();
        match self.answer_messages(&bytes, (reading, &tokens)) {
            Ok(()) => {}
            // A BEGIN that was held back goes to a server too, for the error to be in its place.
            Err(cause) if self.status == TxStatus::Open => {
                self.outbound.clear();
                let mut told = Vec::new();
                let _told = cause.put(&mut told);
                return Ok(Alone::Refused(told.into()));
            }
            // What came before the error is answered; what comes behind it, up to Sync, is not.
            Err(cause) => {
                let _told = cause.put(&mut self.outbound.bytes);
                self.skipping = cycle.end == End::Prepared;
            }
        }
        self.answered_alone(cycle.end).await?;
        Ok(Alone::Answered)
    }

    /// Waits, for a bounded time, until the clock covers everything that has ended so far.
    async fn fresh_ticket(&mut self) {
        let ticket = self.database.cluster.take_ticket();
        self.worker.metrics.tickets.inc();
        self.meaning.took(ticket);
        token::answered(ticket, &self.database.cluster, &self.worker).await;
    }

    /// The tokens that the cycle sets, and what each is worth.
    async fn tokens(&self, reading: &Reading) -> Tokens {
        let mut tokens = Tokens::new();
        for effect in reading.effects() {
            let Some(Own::Set { name: "min_lsn", value: Some(text), .. }) = Own::of(effect) else {
                continue;
            };
            if let Ok(token) = text.parse() {
                let verdict = token::judge(token, &self.database.cluster, &self.worker).await;
                tokens.push((token, verdict));
            }
        }
        tokens
    }

    fn answer_messages(
        &mut self,
        bytes: &[u8],
        (reading, tokens): (&Reading, &Tokens),
    ) -> Result<(), Cause> {
        let mut portals: Vec<(Vec<u8>, Rc<Judged>)> = Vec::new();
        let mut rest = bytes;
        while let Ok(Some((frame, after))) = wire::next_frame(rest, usize::MAX) {
            rest = after;
            let Ok(message) = wire::parse_frontend(&frame) else { continue };
            match message {
                Frontend::Query { .. } => {
                    if let Some(own) = reading.lone_effect().and_then(Own::of) {
                        self.answer_setting(own, Form::Simple, tokens)?;
                    }
                }
                Frontend::Parse { name, sql, types } => {
                    if name.is_empty() {
                        self.statements.set_unnamed(sql, types);
                    } else {
                        let meaning = self.as_meant(self.meaning.settings());
                        let statement =
                            self.worker.interner.borrow_mut().intern((sql, types), meaning);
                        self.statements.insert(name, statement);
                    }
                    wire::put_parse_complete(&mut self.outbound.bytes);
                }
                Frontend::Bind { portal, statement, .. } => {
                    portals.extend(self.class_of(statement).map(|class| (portal.to_vec(), class)));
                    wire::put_bind_complete(&mut self.outbound.bytes);
                }
                Frontend::Describe { kind, name } => {
                    let class = match kind {
                        Described::Statement => {
                            wire::put_parameter_description_empty(&mut self.outbound.bytes);
                            self.class_of(name)
                        }
                        Described::Portal => portal_class(&portals, name),
                    };
                    describe(&mut self.outbound.bytes, own_of(class.as_ref()));
                }
                Frontend::Execute { portal, .. } => {
                    let class = portal_class(&portals, portal);
                    if let Some(own) = own_of(class.as_ref()) {
                        self.answer_setting(own, Form::Extended, tokens)?;
                    }
                }
                Frontend::Close { kind, name } => {
                    if kind == Described::Statement {
                        self.statements.remove(name);
                    }
                    wire::put_close_complete(&mut self.outbound.bytes);
                }
                Frontend::Flush
                | Frontend::Sync
                | Frontend::CopyData
                | Frontend::CopyDone
                | Frontend::CopyFail
                | Frontend::FunctionCall
                | Frontend::Terminate
                | Frontend::Password { .. } => {}
            }
        }
        Ok(())
    }

    fn class_of(&self, name: &[u8]) -> Option<Rc<Judged>> {
        let sql = if name.is_empty() {
            self.statements.unnamed().map(|unnamed| unnamed.sql.as_slice())
        } else {
            self.statements.get(name).map(|statement| &*statement.sql)
        }?;
        let catalog = self.database.catalog();
        let (space, worker) = (self.space(catalog.as_deref()), &self.worker);
        Some(self.database.classes.of(sql, space, &worker.metrics, worker.second()))
    }

    fn answer_setting(&mut self, own: Own<'_>, form: Form, tokens: &Tokens) -> Result<(), Cause> {
        match own {
            Own::Show(name) => {
                let value = self.show(name)?;
                if form == Form::Simple {
                    wire::put_row_description(&mut self.outbound.bytes, &[&format!("weir.{name}")]);
                }
                wire::put_data_row(&mut self.outbound.bytes, &[Some(value.as_bytes())]);
                wire::put_command_complete(&mut self.outbound.bytes, "SHOW");
                return Ok(());
            }
            Own::Set { name: "min_lsn", value: Some(text), .. } => {
                self.set_min_lsn(text, tokens)?;
            }
            Own::Set { name: "scope", .. } => {
                return Err(Cause::bad_setting(
                    "scope",
                    "it is chosen at login, by the configuration or a startup option",
                ));
            }
            Own::Set { name, value, scope } => {
                self.meaning
                    .set(name, value, scope)
                    .map_err(|error| Cause::bad_setting(name, error))?;
            }
            Own::AtRest(effect) => {
                let tag = self.answer_at_rest(effect)?;
                wire::put_command_complete(&mut self.outbound.bytes, tag);
                if *effect == Effect::DiscardAll {
                    crate::greeting::put_news(&mut self.outbound.bytes, &self.greeted, &self.told);
                    self.told = Rc::clone(&self.greeted);
                }
                return Ok(());
            }
        }
        wire::put_command_complete(&mut self.outbound.bytes, "SET");
        Ok(())
    }

    /// Forgets what a statement says that is about the session alone; returns its command tag.
    ///
    /// Without a server there is nothing else to forget: that of others would only lose what Weir
    /// has prepared on it.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the last one of Own::AtRest")]
    fn answer_at_rest(&mut self, effect: &Effect) -> Result<&'static str, Cause> {
        let tag = match effect {
            Effect::DiscardAll => {
                self.meaning.discard_all(&self.worker.settings);
                self.statements.clear();
                self.drawn_on = None;
                "DISCARD ALL"
            }
            Effect::DiscardPlans => "DISCARD PLANS",
            Effect::DiscardTemp => "DISCARD TEMP",
            Effect::DiscardSequences => {
                self.drawn_on = None;
                "DISCARD SEQUENCES"
            }
            Effect::DeallocateAll => {
                self.statements.clear();
                "DEALLOCATE ALL"
            }
            Effect::Deallocate(name) => {
                if self.statements.get(name.as_bytes()).is_none() {
                    return Err(Cause::NoStatement { name: name.to_string() });
                }
                self.statements.remove(name.as_bytes());
                "DEALLOCATE"
            }
            _ => "UNLISTEN",
        };
        Ok(tag)
    }

    fn set_min_lsn(&mut self, text: &str, tokens: &Tokens) -> Result<(), Cause> {
        let token: Token = text.parse().map_err(|error| Cause::bad_setting("min_lsn", error))?;
        let judged = tokens.iter().find(|(judged, _)| *judged == token);
        if let Some(problem) = judged.and_then(|(_, verdict)| verdict.refusal()) {
            return Err(Cause::bad_setting("min_lsn", problem));
        }
        self.meaning.raise_floor(token.fence);
        Ok(())
    }

    fn show(&self, name: &str) -> Result<String, Cause> {
        match name {
            "last_route" => Ok(self.last_route()),
            "lsn" => self
                .token()
                .ok_or(Cause::NoPrimary { waited: self.worker.live().pool.failover_hold }),
            _ => self
                .meaning
                .wishes()
                .get(name)
                .ok_or_else(|| Cause::bad_setting(name, "there is no such setting")),
        }
    }

    /// Never an older one: what the session's newest ticket, just taken, was answered with.
    fn token(&self) -> Option<String> {
        let answers = self.database.cluster.answers.newest();
        let fence = answers.covering(self.meaning.newest_own())?.fence();
        let system = self.database.cluster.topology.newest().system?;
        Some(Token { system, fence }.to_string())
    }

    /// Tells the client why its cycle is not served.
    pub(crate) async fn tell(&mut self, cause: &Cause, cycle: Cycle) -> Result<(), Ending> {
        if !cause.session_lives() {
            return Err(Ending::Told(cause.clone()));
        }
        tracing::info!(session = self.number.0, %cause, "cycle refused");
        let _told = cause.put(&mut self.outbound.bytes);
        self.group.clear();
        match cycle.end {
            End::Query | End::Sync => wire::put_ready(&mut self.outbound.bytes, self.status),
            End::Open | End::Prepared => self.skipping = true,
            End::Cut { missing } => {
                self.discard = missing;
                if self.inbound.unread().first() == Some(&wire::ftag::BIND) {
                    self.skipping = true;
                } else {
                    wire::put_ready(&mut self.outbound.bytes, self.status);
                }
            }
        }
        self.send().await
    }

    /// Whether the cycle is part of a group that was refused already.
    pub(crate) fn skip(&mut self, cycle: Cycle) -> bool {
        let skip = self.skipping;
        if skip {
            self.skipping = cycle.end != End::Sync;
            if let End::Cut { missing } = cycle.end {
                self.discard = missing;
            }
        }
        skip
    }

    /// Answers the `Sync` that ends a refused group.
    pub(crate) async fn ready_after_skipping(&mut self, cycle: Cycle) -> Result<(), Ending> {
        if cycle.end != End::Sync {
            return Ok(());
        }
        wire::put_ready(&mut self.outbound.bytes, self.status);
        self.send().await
    }
}

/// Which protocol a `SHOW` came by: in the extended one, `Describe` told the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Simple,
    Extended,
}

fn own_of(class: Option<&Rc<Judged>>) -> Option<Own<'_>> {
    Own::alone(class?)
}

fn portal_class(portals: &[(Vec<u8>, Rc<Judged>)], name: &[u8]) -> Option<Rc<Judged>> {
    portals.iter().rev().find(|(portal, _)| portal == name).map(|(_, class)| Rc::clone(class))
}

fn describe(out: &mut Vec<u8>, own: Option<Own<'_>>) {
    match own {
        Some(Own::Show(name)) => wire::put_row_description(out, &[&format!("weir.{name}")]),
        Some(Own::Set { .. } | Own::AtRest(_)) | None => wire::put_no_data(out),
    }
}

impl std::fmt::Display for LastRoute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let node = self.node.as_deref().unwrap_or("-");
        write!(f, "{} {node} {}", self.side.as_str(), self.reason.as_str())
    }
}
