//! What a reply says about its cycle and its server, besides what the client is shown.

use policy::session::LastCommand;
use policy::standby::is_stale_plan;
use wire::{Frame, SqlState, TxStatus, tag};

use crate::server::Server;

/// What the relay noticed on its way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Noticed {
    /// The newest transaction status.
    pub(crate) status: Option<TxStatus>,
    /// The last command tag.
    pub(crate) last: LastCommand,
    /// Steps that ended: statements of a `Query`, and `Execute`s.
    pub(crate) completed: u32,
    /// The steps among them that were answered `ROLLBACK`.
    pub(crate) rolled_back: Vec<u32>,
    /// The client was answered something before the error, if there was one.
    pub(crate) answered: bool,
    /// What Weir's own question was answered: the one value of its row.
    pub(crate) answer: Option<Box<[u8]>>,
    /// The server answered with an error.
    pub(crate) error: Option<SqlState>,
    /// What the server, or the cycle itself, revealed beyond its answer.
    pub(crate) news: Vec<News>,
    /// What Weir's guard was answered: the one value of its row, unless that is null.
    pub(crate) proof: Option<Box<[u8]>>,
    /// Statements whose command tag said that rows were changed.
    pub(crate) modified: u32,
    /// Names that the client's statements got in this cycle.
    pub(crate) named: Vec<Box<[u8]>>,
    /// The reply's first byte was on its way to the client.
    pub(crate) shown: bool,
}

/// What a reply reveals besides its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// `DEALLOCATE ALL` or `DISCARD ALL`: the server forgot all statements.
    StatementsDropped,
    /// A standby said `in_hot_standby=off`: it was promoted.
    Promoted,
    /// A statement was refused that was prepared before its tables changed.
    StalePlan,
    /// Weir's own query failed: the cycle did not run under the session's settings.
    OwnFailed,
    /// The server ended the session, and the client was told so in the server's words.
    Fatal,
}

impl Noticed {
    /// Takes note of a message of `server`.
    pub(crate) fn notice(&mut self, server: &Server, frame: &Frame<'_>) {
        let own = server.replies.own();
        match frame.tag {
            // Two bytes of count, four of length, then the value.
            tag::DATA_ROW if server.replies.answers() => {
                self.answer = frame.body.get(6..).map(Into::into);
            }
            // Of columns their description, of none nothing.
            tag::ROW_DESCRIPTION | tag::NO_DATA if server.replies.answers() => {
                self.answer = Some(frame.body.into());
            }
            tag::DATA_ROW if server.replies.proves() => {
                let (length, value) =
                    frame.body.get(2..6).zip(frame.body.get(6..)).unwrap_or_default();
                self.proof = (length != [0xff; 4]).then(|| value.into());
            }
            tag::ERROR if server.replies.proves() => self.proof = None,
            tag::ERROR if server.replies.answers() => self.answer = None,
            tag::ERROR if own => self.news.push(News::OwnFailed),
            tag::ERROR => {
                let error = wire::parse_error(frame.body);
                self.error = Some(error.code);
                if is_stale_plan(&error) {
                    self.news.push(News::StalePlan);
                }
                if error.is_fatal() {
                    self.news.push(News::Fatal);
                }
            }
            tag::COMMAND_COMPLETE if !own => {
                let command = wire::command_tag(frame.body);
                self.modified = self.modified.saturating_add(u32::from(changed_rows(command)));
                self.command(command);
                self.completed = self.completed.saturating_add(1);
            }
            tag::EMPTY_QUERY | tag::PORTAL_SUSPENDED if !own => {
                self.completed = self.completed.saturating_add(1);
            }
            tag::PARAMETER_STATUS if server.address.role == policy::Role::Replica => {
                if matches!(wire::parameter_status(frame.body), Ok((b"in_hot_standby", b"off"))) {
                    self.news.push(News::Promoted);
                }
            }
            _ => {}
        }
        self.answered |= !own && self.error.is_none() && frame.tag != tag::PARAMETER_STATUS;
    }

    fn command(&mut self, tag: &[u8]) {
        self.last = match tag {
            b"COMMIT" => LastCommand::Commit,
            b"ROLLBACK" => {
                self.rolled_back.push(self.completed);
                LastCommand::Rollback
            }
            _ => LastCommand::Other,
        };
        // DISCARD PLANS keeps the statements: it only has them planned anew.
        if matches!(tag, b"DEALLOCATE ALL" | b"DISCARD ALL") {
            self.news.push(News::StatementsDropped);
        }
    }
}

/// Whether a command tag says that rows were inserted, updated or deleted (manual, 55.7: the number of
/// rows comes last).
fn changed_rows(command: &[u8]) -> bool {
    let mut words = command.split(|byte| *byte == b' ');
    let modifies = matches!(words.next(), Some(b"INSERT" | b"UPDATE" | b"DELETE" | b"MERGE"));
    modifies && words.next_back().is_some_and(|rows| rows != b"0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_tag_says_whether_rows_were_changed() {
        for tag in ["INSERT 0 1", "UPDATE 10", "DELETE 3", "MERGE 2"] {
            assert!(changed_rows(tag.as_bytes()), "{tag}");
        }
        for tag in ["INSERT 0 0", "UPDATE 0", "SELECT 5", "COMMIT", "UPDATE", ""] {
            assert!(!changed_rows(tag.as_bytes()), "{tag}");
        }
    }
}
