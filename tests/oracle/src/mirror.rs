//! A client's session once more on the standby, with the same settings.

use std::io;
use std::mem;

use sql::SearchPath;
use wire::TxStatus;

use crate::answer::Answer;
use crate::link::Link;

const SHOW_PATH: &str = "SHOW search_path";

/// A connection that says whatever changes the session, and can say it all again.
pub(crate) struct Mirror {
    port: u16,
    startup: Vec<u8>,
    link: Option<Link>,
    /// What made the settings what they are, in order.
    said: Vec<Vec<u8>>,
    /// The same in the open transaction.
    pending: Vec<Vec<u8>>,
    path: Option<SearchPath>,
    /// The path names the session's temporary schema.
    temporary: bool,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Commit,
    Rollback,
}

impl Mirror {
    /// A session that begins like the client's.
    pub(crate) fn new(port: u16, startup: Vec<u8>) -> Self {
        let (said, pending) = (Vec::new(), Vec::new());
        let (link, path, temporary) = (None, None, false);
        let mut mirror = Self { port, startup, link, said, pending, path, temporary };
        mirror.link = mirror.reopen().ok();
        mirror
    }

    /// Where its names are looked up, if that can be told.
    pub(crate) const fn path(&self) -> Option<&SearchPath> {
        self.path.as_ref()
    }

    /// Whether its reads stay on the primary, as `policy::settings::Settings::needs_primary` has it.
    pub(crate) const fn needs_primary(&self) -> bool {
        self.temporary
    }

    /// Runs a request on the standby; one that breaks the connection has no status.
    pub(crate) fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        let mut link = match self.link.take() {
            Some(link) => link,
            None => self.reopen()?,
        };
        let Ok(answer) = link.ask(request) else { return Ok(Answer::default()) };
        if answer.status != Some(TxStatus::Idle) {
            // One of several statements began a transaction: the others shall not be in it.
            let mut rollback = Vec::new();
            wire::put_query(&mut rollback, b"ROLLBACK");
            link.ask(&rollback)?;
        }
        self.link = Some(link);
        Ok(answer)
    }

    /// Repeats what changed the client's session outside of a transaction.
    pub(crate) fn set(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.said.push(request.to_vec());
        self.change(request)
    }

    /// Repeats what changed it until the end of its transaction at least.
    pub(crate) fn set_for_now(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.pending.push(request.to_vec());
        self.change(request)
    }

    /// The client's transaction is over: what was rolled back must go here, too.
    ///
    /// What was committed is said again, too: it may have named what nobody else saw before.
    pub(crate) fn end(&mut self, ending: Ending) -> io::Result<()> {
        let pending = mem::take(&mut self.pending);
        if pending.is_empty() {
            return Ok(());
        }
        if ending == Ending::Commit {
            self.said.extend(pending);
        }
        self.link = None;
        self.link = Some(self.reopen()?);
        Ok(())
    }

    fn change(&mut self, request: &[u8]) -> io::Result<Answer> {
        let answer = self.ask(request)?;
        if let Some(link) = &mut self.link {
            let path = link.value(SHOW_PATH)?;
            self.looks_in(&path);
        }
        Ok(answer)
    }

    fn reopen(&mut self) -> io::Result<Link> {
        let mut link = Link::open(self.port, &self.startup)?;
        for request in self.said.iter().chain(&self.pending) {
            link.ask(request)?;
        }
        let path = link.value(SHOW_PATH)?;
        self.looks_in(&path);
        Ok(link)
    }

    fn looks_in(&mut self, path: &str) {
        self.path = SearchPath::parse(path);
        self.temporary = path.contains("pg_temp");
    }
}
