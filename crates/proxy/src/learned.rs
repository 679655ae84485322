//! A read that a replica refused and the primary ran: its statement goes to the primary from now on.

use std::sync::Arc;

use policy::Signal;
use policy::standby::teaches;
use sql::Catalog;
use wire::{Frontend, SqlState};

use crate::classes::Space;
use crate::cycle::Cycle;
use crate::notes::Note;
use crate::session::Session;

/// What there is to learn once the primary has run what a replica refused.
#[derive(Debug)]
pub(crate) struct Lesson {
    text: Box<[u8]>,
    code: SqlState,
}

impl Session {
    /// What names mean to this session, in the database that `catalog` describes.
    pub(crate) fn space<'a>(&'a self, catalog: Option<&'a Arc<Catalog>>) -> Space<'a> {
        let settings = self.meaning.settings();
        // What a group changed so far is known when it ends.
        let path = settings.search_path().filter(|_| !self.group.open);
        Space { catalog, path }
    }

    /// What this refusal may teach: nothing if it was for another cause, or of one of several texts.
    pub(crate) fn lesson(&self, cycle: Cycle, code: SqlState) -> Option<Lesson> {
        let text = self.lone_text(cycle).filter(|_| teaches(code))?;
        Some(Lesson { text: text.into(), code })
    }

    /// The text of a cycle that runs but one.
    fn lone_text(&self, cycle: Cycle) -> Option<&[u8]> {
        let mut found: Option<&[u8]> = None;
        let mut rest = self.inbound.unread().get(..cycle.length)?;
        while let Ok(Some((frame, after))) = wire::next_frame(rest, usize::MAX) {
            rest = after;
            let text = match wire::parse_frontend(&frame).ok()? {
                Frontend::Query { sql } | Frontend::Parse { sql, .. } => sql,
                Frontend::Bind { statement: b"", .. } if found.is_some() => continue,
                Frontend::Bind { statement: b"", .. } => self.statements.unnamed()?.sql.as_slice(),
                Frontend::Bind { statement, .. } => &self.statements.get(statement)?.sql,
                Frontend::Describe { .. }
                | Frontend::Execute { .. }
                | Frontend::Close { .. }
                | Frontend::FunctionCall
                | Frontend::Flush
                | Frontend::Sync
                | Frontend::CopyData
                | Frontend::CopyDone
                | Frontend::CopyFail
                | Frontend::Terminate
                | Frontend::Password { .. } => continue,
            };
            if found.is_some_and(|found| found != text) {
                return None;
            }
            found = Some(text);
        }
        found
    }

    /// Learns, tells whoever reads the log, and has the catalog read anew: it may be what is behind.
    pub(crate) fn learn(&self, lesson: Option<Lesson>) {
        let Some(Lesson { text, code }) = lesson else { return };
        let catalog = self.database.catalog();
        let (space, worker) = (self.space(catalog.as_deref()), &self.worker);
        let how = (code, &*worker.metrics, worker.second());
        let Some(note) = self.database.classes.learn(&text, space, how) else { return };
        worker.metrics.learned.inc();
        let database = &*self.database.dbname;
        tracing::warn!(
            database,
            code = code.as_str(),
            statement = &*note.text,
            seconds = Note::BELIEVED.as_secs(),
            "a replica refused what was taken for a read, and the primary ran it: it goes to the primary for now"
        );
        self.database.cluster.signal(Signal::SchemaChanged(database.into()));
    }
}
