//! One client's session: each statement is judged, run on the standby, then on the primary.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use sql::{Class, Classified, Classifier, Namespace};
use wire::{TxStatus, ftag};

use crate::answer::Answer;
use crate::catalog::Catalogs;
use crate::clock::Clock;
use crate::group::{Group, Request, Turn};
use crate::link::Inbox;
use crate::lists;
use crate::mirror::{Ending, Mirror};
use crate::relay::Event;
use crate::text::{self, Kind};
use crate::verdict::{Place, Seen};

/// What all sessions share.
pub(crate) struct Shared {
    /// The primary's port.
    pub(crate) primary: u16,
    /// The standby's port.
    pub(crate) standby: u16,
    /// Waits for the standby.
    pub(crate) clock: Mutex<Clock>,
    /// What was seen so far.
    pub(crate) notes: Mutex<Notes>,
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Statements that are like queries.
    pub(crate) seen: Vec<Seen>,
    /// All statements.
    pub(crate) statements: u64,
    /// How often a catalog was read.
    pub(crate) catalogs: u64,
    /// Changes of settings that the standby refused, with its words.
    pub(crate) unmirrored: Vec<String>,
}

/// One client and its servers.
pub(crate) struct Session {
    pub(crate) shared: Arc<Shared>,
    /// The test's name.
    pub(crate) file: String,
    pub(crate) client: Inbox,
    pub(crate) server: TcpStream,
    pub(crate) events: Receiver<Event>,
    pub(crate) catalogs: Catalogs,
    pub(crate) mirror: Mirror,
    pub(crate) state: State,
}

/// What the client's session has come to.
pub(crate) struct State {
    /// Where it stood at its last `ReadyForQuery`.
    status: TxStatus,
    group: Group,
}

/// A request with all that can be said of it beforehand.
struct Judged {
    request: Request,
    skeleton: String,
    kind: Kind,
    classified: Classified,
}

impl Default for State {
    fn default() -> Self {
        Self { status: TxStatus::Idle, group: Group::default() }
    }
}

impl Shared {
    pub(crate) fn catch_up(&self) -> io::Result<()> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).catch_up()
    }

    fn note(&self, note: impl FnOnce(&mut Notes)) {
        note(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Session {
    /// Serves the client until it or the primary leaves.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        while let Some(frame) = self.client.next()? {
            let message = wire::parse_frontend(&frame).map_err(io::Error::other)?;
            match self.state.group.take(&message, frame.bytes) {
                Turn::Gather => {}
                Turn::Judge(request) => self.judge(request)?,
                Turn::Pass(bytes) => {
                    self.server.write_all(&bytes)?;
                    self.settle()?;
                    self.catalogs.doubt();
                }
                Turn::Send(bytes) => self.server.write_all(&bytes)?,
                Turn::Leave(bytes) => return self.server.write_all(&bytes),
            }
        }
        Ok(())
    }

    fn judge(&mut self, request: Request) -> io::Result<()> {
        let skeleton = text::skeleton(&request.text);
        let kind = Kind::of(&skeleton);
        if kind != Kind::Other && self.state.status == TxStatus::Idle && self.catalogs.refresh()? {
            self.shared.note(|notes| notes.catalogs = notes.catalogs.saturating_add(1));
        }
        let space = Namespace { catalog: Some(self.catalogs.last()), path: self.mirror.path() };
        let mut classified = Classifier::new().classify(&request.text, space);
        if self.mirror.needs_primary() {
            classified.class = classified.class.max(Class::PrimaryRead);
        }
        let judged = Judged { request, skeleton, kind, classified };
        let before = self.state.status;
        let standby = self.on_standby(&judged)?;
        self.server.write_all(&judged.request.bytes)?;
        let primary = self.settle()?;
        self.follow(&judged, &primary, before)?;
        self.record(judged, (standby, primary), before)
    }

    /// Runs what is like a query, if it may run there and the client's transaction has not failed.
    fn on_standby(&mut self, judged: &Judged) -> io::Result<Option<Answer>> {
        let barred = lists::silent(&judged.skeleton).is_some();
        if judged.kind == Kind::Other || barred || self.state.status == TxStatus::Failed {
            return Ok(None);
        }
        self.shared.catch_up()?;
        self.mirror.ask(&judged.request.bytes).map(Some)
    }

    /// Waits for the end of the primary's answer, and passes on the data that it asks for.
    fn settle(&mut self) -> io::Result<Answer> {
        loop {
            match self.events.recv().map_err(io::Error::other)? {
                Event::Ready(answer) => {
                    self.state.status = answer.status.unwrap_or(TxStatus::Idle);
                    return Ok(answer);
                }
                Event::CopyIn => while !self.feed()? {},
            }
        }
    }

    /// Passes one message on; says whether it was the last of COPY's data.
    fn feed(&mut self) -> io::Result<bool> {
        let Some(frame) = self.client.next()? else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        self.server.write_all(frame.bytes)?;
        Ok(matches!(frame.tag, ftag::COPY_DONE | ftag::COPY_FAIL))
    }

    /// Keeps the standby's session like the client's, and notes what else the statement changed.
    fn follow(&mut self, judged: &Judged, primary: &Answer, before: TxStatus) -> io::Result<()> {
        self.catalogs.doubt_after(&judged.classified);
        if primary.is_ok() && lists::sets(&judged.skeleton) {
            self.shared.catch_up()?;
            let bytes = &judged.request.bytes;
            let answer = match self.state.status {
                TxStatus::Idle => self.mirror.set(bytes)?,
                TxStatus::Open | TxStatus::Failed => self.mirror.set_for_now(bytes)?,
            };
            if let Some(failure) = answer.failure {
                let line = format!("{}: {}", text::one_line(&judged.request.text), failure.message);
                self.shared.note(|notes| notes.unmirrored.push(line));
            }
        }
        if before != TxStatus::Idle && self.state.status == TxStatus::Idle {
            self.shared.catch_up()?;
            let committed = before == TxStatus::Open && !is_rollback(&judged.skeleton);
            self.mirror.end(if committed { Ending::Commit } else { Ending::Rollback })?;
        }
        Ok(())
    }

    fn record(
        &mut self,
        judged: Judged,
        (standby, primary): (Option<Answer>, Answer),
        before: TxStatus,
    ) -> io::Result<()> {
        let Judged { request, skeleton, kind, classified } = judged;
        let silent = lists::silent(&skeleton);
        self.shared.note(|notes| notes.statements = notes.statements.saturating_add(1));
        if kind == Kind::Other || (standby.is_none() && silent.is_none()) {
            return Ok(());
        }
        let standby = standby.unwrap_or_default();
        let excuse = match classified.class {
            Class::Read if !standby.is_like(&primary) => {
                self.excuse(&request.text, &skeleton, &standby)?
            }
            Class::Read | Class::PrimaryRead | Class::Write => None,
        };
        let alone = before == TxStatus::Idle && classified.statements == 1;
        let seen = Seen {
            file: self.file.clone(),
            text: request.text,
            kind,
            place: if alone { Place::Alone } else { Place::Within },
            class: classified.class,
            why: classified.why,
            cause: self.catalogs.cause(&skeleton),
            silent,
            excuse,
            standby,
            primary,
        };
        self.shared.note(|notes| notes.seen.push(seen));
        Ok(())
    }

    /// Why a read may answer otherwise on a standby: by what it says, or what the standby misses.
    fn excuse(
        &mut self,
        text: &str,
        skeleton: &str,
        standby: &Answer,
    ) -> io::Result<Option<&'static str>> {
        if let Some(excuse) = lists::moving(skeleton) {
            return Ok(Some(excuse));
        }
        let missing = standby.failure.as_ref().map_or("", |failure| &failure.message);
        let said = format!("{} {missing}", text.to_lowercase());
        let temporary = self.catalogs.temporary()?;
        let named = text::words(&said).any(|word| temporary.contains(word));
        Ok(named.then_some("a temporary relation, for which the session keeps its server"))
    }
}

fn is_rollback(skeleton: &str) -> bool {
    matches!(text::words(skeleton).next(), Some("rollback" | "abort"))
}
