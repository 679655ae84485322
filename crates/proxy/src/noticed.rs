//! What a reply says about its cycle and its server, besides what the client is shown.

use policy::session::LastCommand;
use wire::{Frame, SqlState, TxStatus, tag};

use crate::server::Server;

/// What the relay noticed on its way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Noticed {
    /// The newest transaction status.
    pub(crate) status: Option<TxStatus>,
    /// The last command tag.
    pub(crate) last: LastCommand,
    /// The server answered with an error.
    pub(crate) error: Option<SqlState>,
    /// What the server, or the cycle itself, revealed beyond its answer.
    pub(crate) news: Vec<News>,
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
            tag::ERROR if own => self.news.push(News::OwnFailed),
            tag::ERROR => {
                let error = wire::parse_error(frame.body);
                self.error = Some(error.code);
                if error.is_fatal() {
                    self.news.push(News::Fatal);
                }
            }
            tag::COMMAND_COMPLETE if !own => match wire::command_tag(frame.body) {
                b"COMMIT" => self.last = LastCommand::Commit,
                b"ROLLBACK" => self.last = LastCommand::Rollback,
                // DISCARD PLANS keeps the statements: it only has them planned anew.
                b"DEALLOCATE ALL" | b"DISCARD ALL" => self.news.push(News::StatementsDropped),
                _ => self.last = LastCommand::Other,
            },
            tag::PARAMETER_STATUS if server.address.role == policy::Role::Replica => {
                if matches!(wire::parameter_status(frame.body), Ok((b"in_hot_standby", b"off"))) {
                    self.news.push(News::Promoted);
                }
            }
            _ => {}
        }
    }
}
