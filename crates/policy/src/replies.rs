//! Which reply belongs to which message, and what does the client see of it?
//!
//! A server answers messages in order, so a queue of what was sent tells for each reply whether
//! it is the client's, Weir's own (swallowed), or one that Weir owes the client without asking the
//! server. After an error the server skips to the next `Sync` (manual, 55.2.3), and so does this.

use std::collections::VecDeque;

use wire::{Interest, tag};

use crate::prepared::StatementId;

/// One message that was sent, or that the client believes was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// The client's `Parse`; a named one makes a statement known to client and server.
    Parse(Option<Named>),
    /// Weir's own `Parse`: the statement was prepared on another server.
    OwnParse(Option<StatementId>),
    /// A `Parse` that needs no server: this one has the statement.
    SkippedParse(Named),
    /// The client's `Bind`.
    Bind,
    /// The client's `Close` of a portal.
    Close,
    /// The client's `Close` of a statement, which servers keep.
    SkippedClose(Box<[u8]>),
    /// Weir's own `Close` of a statement that was least recently used.
    OwnClose(StatementId),
    /// Nothing, in this place: with all before it the client has forgotten a statement by SQL.
    Forget(Box<[u8]>),
    /// The client's `Describe` of a statement or portal.
    Describe,
    /// Weir's own `Describe` of a statement that was just prepared.
    OwnDescribe(std::rc::Rc<crate::prepared::Statement>),
    /// The client's `Execute`.
    Execute,
    /// A message made to fail in place of one that Weir refuses; the client is told this instead.
    Refused(Box<[u8]>),
    /// The client's `Query` or `FunctionCall`: all up to `ReadyForQuery`.
    Query,
    /// The client's `Sync`.
    Sync,
    /// Weir's own `Sync` behind messages of the client's, who asked for a `Flush`.
    OwnSync,
    /// Weir's own query: nothing of its answer is shown.
    OwnQuery,
    /// Weir's own question, the same: its one value is wanted.
    OwnQuestion,
    /// Weir's guard, the same: its one value says whether what comes behind it counts.
    Guard,
}

impl Expect {
    /// Whether what comes with it must be matched reply by reply.
    fn is_tracked(&self) -> bool {
        !matches!(self, Self::Query | Self::Sync)
    }

    /// Whether the server answers it with `ReadyForQuery`.
    fn ends(&self) -> bool {
        matches!(
            self,
            Self::Query
                | Self::Sync
                | Self::OwnSync
                | Self::OwnQuery
                | Self::OwnQuestion
                | Self::Guard
        )
    }
}

/// A client's name for a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The client's name.
    pub name: Box<[u8]>,
    /// The statement.
    pub statement: std::rc::Rc<crate::prepared::Statement>,
}

/// What the client sees of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Show {
    /// The reply as it is.
    AsIs,
    /// Nothing.
    Nothing,
    /// This message instead.
    Instead(Box<[u8]>),
}

/// What a reply taught.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Learned {
    /// Client and server know this statement now.
    Prepared(Named),
    /// The server knows this statement now.
    OnServer(StatementId),
    /// A server described this statement's columns: the reply's body says them.
    Described(std::rc::Rc<crate::prepared::Statement>),
    /// The server has forgotten this statement.
    OffServer(StatementId),
    /// The client has forgotten this name, and is told so.
    Closed(Box<[u8]>),
    /// The client has forgotten this name, as it was told already.
    Forgotten(Box<[u8]>),
}

/// The replies that are still to come on one server.
#[derive(Debug, Default)]
pub struct Replies {
    queue: VecDeque<Expect>,
    /// Whether every message is in the queue, or only those that end cycles.
    tracked: bool,
    /// Whether the server skips everything up to the next `Sync`, which was not sent yet.
    skipping: bool,
}

const ENDS: Interest = Interest::of(&[
    tag::READY,
    tag::COMMAND_COMPLETE,
    tag::PARAMETER_STATUS,
    tag::ERROR,
    tag::COPY_IN,
    tag::COPY_BOTH,
    tag::EMPTY_QUERY,
    tag::PORTAL_SUSPENDED,
]);
const ALL: Interest = ENDS
    .with(tag::PARSE_COMPLETE)
    .with(tag::BIND_COMPLETE)
    .with(tag::CLOSE_COMPLETE)
    .with(tag::ROW_DESCRIPTION)
    .with(tag::NO_DATA);
/// While nothing is shown, every message must be seen.
const EVERYTHING: Interest = ALL
    .with(tag::DATA_ROW)
    .with(tag::NOTICE)
    .with(tag::PARAMETER_DESCRIPTION)
    .with(tag::COPY_OUT)
    .with(tag::COPY_DATA)
    .with(tag::COPY_DONE)
    .with(tag::FUNCTION_RESULT);

impl Replies {
    /// Takes note of a message that was sent.
    pub fn push(&mut self, expect: Expect) {
        let ends = expect.ends();
        self.tracked |= expect.is_tracked();
        if ends || !self.skipping {
            self.queue.push_back(expect);
        }
    }

    /// Whether nothing more is to come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the reply is shown byte for byte, so that it need not be taken apart.
    #[must_use]
    pub fn as_is(&self) -> bool {
        !self.tracked
    }

    /// Whether what was sent ends with a message that the server answers with `ReadyForQuery`,
    /// and that answer is still to come.
    #[must_use]
    pub fn ends(&self) -> bool {
        self.queue.back().is_some_and(Expect::ends)
    }

    /// The tags that must be looked at now.
    #[must_use]
    pub fn interest(&self) -> Interest {
        match (self.tracked, self.queue.front()) {
            (
                _,
                Some(
                    Expect::OwnQuery | Expect::OwnQuestion | Expect::Guard | Expect::OwnDescribe(_),
                ),
            ) => EVERYTHING,
            (true, _) => ALL,
            (false, _) => ENDS,
        }
    }

    /// Whether replies are Weir's own business now.
    #[must_use]
    pub fn own(&self) -> bool {
        let front = self.queue.front();
        matches!(front, Some(Expect::OwnQuery | Expect::OwnQuestion | Expect::Guard))
    }

    /// Whether replies answer Weir's guard now.
    #[must_use]
    pub fn proves(&self) -> bool {
        matches!(self.queue.front(), Some(Expect::Guard))
    }

    /// Whether replies answer Weir's own question now.
    #[must_use]
    pub fn answers(&self) -> bool {
        matches!(self.queue.front(), Some(Expect::OwnQuestion))
    }

    /// The reply that the client is owed before anything else, if there is one.
    pub fn owed(&mut self) -> Option<Learned> {
        let owed = match self.queue.front()? {
            Expect::SkippedParse(named) => Learned::Prepared(named.clone()),
            Expect::SkippedClose(name) => Learned::Closed(name.clone()),
            Expect::Forget(name) => Learned::Forgotten(name.clone()),
            Expect::Parse(_)
            | Expect::OwnParse(_)
            | Expect::Bind
            | Expect::Close
            | Expect::OwnClose(_)
            | Expect::OwnDescribe(_)
            | Expect::Describe
            | Expect::Execute
            | Expect::Refused(_)
            | Expect::Query
            | Expect::Sync
            | Expect::OwnSync
            | Expect::OwnQuery
            | Expect::OwnQuestion
            | Expect::Guard => return None,
        };
        self.queue.pop_front();
        Some(owed)
    }

    /// Takes note of a reply of one of the tags in [`Self::interest`]; pay what is
    /// [owed](Self::owed) before.
    pub fn see(&mut self, reply: u8) -> (Show, Option<Learned>) {
        if reply == tag::READY {
            return (self.ready(), None);
        }
        if self.own() {
            return (Show::Nothing, None);
        }
        if reply == tag::ERROR {
            return (self.error(), None);
        }
        if self.tracked { self.answer(reply) } else { (Show::AsIs, None) }
    }

    fn ready(&mut self) -> Show {
        self.skipping = false;
        // Whatever stands before the end it answers was not answered, and will not be.
        let mut ended = self.queue.pop_front();
        while ended.as_ref().is_some_and(|expect| !expect.ends()) {
            ended = self.queue.pop_front();
        }
        // What is left may be shown byte for byte, if Weir put nothing into it.
        self.tracked &= self.queue.iter().any(Expect::is_tracked);
        match ended {
            Some(Expect::OwnSync | Expect::OwnQuery | Expect::OwnQuestion | Expect::Guard) => {
                Show::Nothing
            }
            _ => Show::AsIs,
        }
    }

    fn error(&mut self) -> Show {
        let mut show = Show::AsIs;
        if let Some(Expect::Refused(message)) = self.queue.front_mut() {
            show = Show::Instead(std::mem::take(message));
        }
        while self
            .queue
            .front()
            .is_some_and(|expect| !matches!(expect, Expect::Query | Expect::Sync | Expect::OwnSync))
        {
            self.queue.pop_front();
        }
        self.skipping = self.queue.is_empty();
        show
    }

    fn answer(&mut self, reply: u8) -> (Show, Option<Learned>) {
        let answers = match (reply, self.queue.front()) {
            (tag::PARSE_COMPLETE, Some(Expect::Parse(_) | Expect::OwnParse(_)))
            | (tag::BIND_COMPLETE, Some(Expect::Bind))
            | (tag::CLOSE_COMPLETE, Some(Expect::Close | Expect::OwnClose(_)))
            | (
                tag::ROW_DESCRIPTION | tag::NO_DATA,
                Some(Expect::Describe | Expect::OwnDescribe(_)),
            )
            | (
                tag::COMMAND_COMPLETE | tag::PORTAL_SUSPENDED | tag::EMPTY_QUERY,
                Some(Expect::Execute),
            ) => true,
            (_, _) => false,
        };
        if !answers {
            let own = matches!(self.queue.front(), Some(Expect::OwnDescribe(_)));
            let show =
                if own && reply == tag::PARAMETER_DESCRIPTION { Show::Nothing } else { Show::AsIs };
            return (show, None);
        }
        match self.queue.pop_front() {
            Some(Expect::Parse(Some(named))) => (Show::AsIs, Some(Learned::Prepared(named))),
            Some(Expect::OwnParse(id)) => (Show::Nothing, id.map(Learned::OnServer)),
            Some(Expect::OwnDescribe(statement)) => {
                (Show::Nothing, Some(Learned::Described(statement)))
            }
            Some(Expect::OwnClose(id)) => (Show::Nothing, Some(Learned::OffServer(id))),
            _ => (Show::AsIs, None),
        }
    }

    /// Takes note that the server entered copy-in mode: a `Sync` that was sent behind the
    /// `Execute` is ignored by it (manual, 55.2.6), so another one must follow the data.
    ///
    /// Returns whether the client has to send a `Sync` of its own for the cycle to end.
    pub fn copy_in(&mut self) -> bool {
        if matches!(self.queue.back(), Some(Expect::Query)) {
            return false;
        }
        if matches!(self.queue.back(), Some(Expect::Sync)) {
            self.queue.pop_back();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prepared::SchemaNumber;

    fn named(name: &str, id: StatementId) -> Named {
        let mut interner = crate::prepared::Interner::default();
        let meaning = crate::prepared::Meaning { shape: b"", schema: SchemaNumber(0) };
        let numbered =
            (0..id).map(|number| interner.intern((&[number.to_le_bytes()[0]], b""), meaning));
        let statement = numbered.last().unwrap();
        Named { name: name.as_bytes().into(), statement }
    }

    fn replies(expects: impl IntoIterator<Item = Expect>) -> Replies {
        let mut replies = Replies::default();
        expects.into_iter().for_each(|expect| replies.push(expect));
        replies
    }

    #[test]
    fn a_statement_is_known_only_once_its_parse_was_answered() {
        let mut replies = replies([Expect::Parse(Some(named("s", 7))), Expect::Sync]);
        let (show, learned) = replies.see(tag::PARSE_COMPLETE);
        assert_eq!((show, learned), (Show::AsIs, Some(Learned::Prepared(named("s", 7)))));
        assert_eq!(replies.see(tag::READY), (Show::AsIs, None));
        assert!(replies.is_empty());
    }

    #[test]
    fn a_failed_parse_is_not_known_and_owes_nothing() {
        let mut replies = replies([
            Expect::Parse(Some(named("s", 7))),
            Expect::SkippedParse(named("t", 8)),
            Expect::Bind,
            Expect::Sync,
        ]);
        assert_eq!(replies.see(tag::ERROR), (Show::AsIs, None));
        assert_eq!(replies.owed(), None, "behind an error nothing is owed up to the Sync");
        assert_eq!(replies.see(tag::READY), (Show::AsIs, None));
        assert!(replies.is_empty());
    }

    #[test]
    fn what_is_owed_is_paid_in_its_place() {
        let mut replies = replies([
            Expect::Bind,
            Expect::SkippedParse(named("s", 7)),
            Expect::SkippedClose(b"t"[..].into()),
        ]);
        assert_eq!(replies.owed(), None, "the Bind before it is not answered yet");
        assert_eq!(replies.see(tag::BIND_COMPLETE), (Show::AsIs, None));
        assert_eq!(replies.owed(), Some(Learned::Prepared(named("s", 7))));
        assert_eq!(replies.owed(), Some(Learned::Closed(b"t"[..].into())));
        assert_eq!(replies.owed(), None);
    }

    #[test]
    fn an_own_sync_ends_an_error_and_is_not_shown() {
        let mut replies = replies([Expect::Parse(None), Expect::Describe, Expect::OwnSync]);
        assert_eq!(replies.see(tag::ERROR).0, Show::AsIs);
        assert_eq!(replies.see(tag::READY).0, Show::Nothing);
        assert!(replies.is_empty());
    }

    #[test]
    fn a_group_behind_an_own_query_is_open_until_its_sync() {
        let mut replies = replies([Expect::OwnQuery, Expect::Parse(None)]);
        assert!(!replies.ends());
        replies.push(Expect::Sync);
        assert!(replies.ends());
    }

    #[test]
    fn nothing_of_an_own_query_is_shown() {
        let mut replies = replies([Expect::OwnQuery, Expect::Query]);
        for reply in
            [tag::ROW_DESCRIPTION, tag::DATA_ROW, tag::COMMAND_COMPLETE, tag::ERROR, tag::READY]
        {
            assert!(replies.interest().has(reply));
            assert_eq!(replies.see(reply).0, Show::Nothing);
        }
        assert_eq!(replies.see(tag::READY), (Show::AsIs, None));
        assert!(replies.as_is(), "the next cycle need not be taken apart");
    }

    #[test]
    fn messages_behind_an_error_wait_for_the_sync_that_was_not_sent_yet() {
        let mut replies = replies([Expect::Parse(None), Expect::Bind]);
        assert_eq!(replies.see(tag::ERROR), (Show::AsIs, None));
        replies.push(Expect::Execute);
        replies.push(Expect::Sync);
        assert_eq!(replies.see(tag::READY), (Show::AsIs, None));
        assert!(replies.is_empty());
    }

    #[test]
    fn a_refused_message_tells_the_refusal_in_place_of_the_servers_error() {
        let mut replies = replies([Expect::Refused(b"E!"[..].into()), Expect::Sync]);
        assert_eq!(replies.see(tag::ERROR), (Show::Instead(b"E!"[..].into()), None));
        assert_eq!(replies.see(tag::READY), (Show::AsIs, None));
    }

    #[test]
    fn a_sync_sent_before_copy_in_is_ignored_and_another_one_is_needed() {
        let mut extended = replies([Expect::Execute, Expect::Sync]);
        assert!(extended.copy_in());
        assert!(!extended.ends());
        let mut simple = replies([Expect::Query]);
        assert!(!simple.copy_in());
        assert!(simple.ends());
    }

    #[test]
    fn a_message_that_was_to_fail_and_did_not_leaves_nothing_behind() {
        let mut replies = replies([Expect::Refused(b"E!"[..].into()), Expect::Sync]);
        assert_eq!(replies.see(tag::BIND_COMPLETE), (Show::AsIs, None));
        assert_eq!(replies.see(tag::READY), (Show::AsIs, None));
        assert!(replies.is_empty());
    }

    #[test]
    fn the_row_description_of_an_execute_is_not_taken_for_a_describes() {
        let mut replies = replies([Expect::Execute, Expect::Describe, Expect::Sync]);
        assert_eq!(replies.see(tag::ROW_DESCRIPTION), (Show::AsIs, None));
        assert_eq!(replies.see(tag::COMMAND_COMPLETE), (Show::AsIs, None));
        assert_eq!(replies.see(tag::NO_DATA), (Show::AsIs, None));
        assert_eq!(replies.see(tag::READY), (Show::AsIs, None));
        assert!(replies.is_empty());
    }
}
