//! The error table: cause -> what the client is told, whose fault it is, whether the session lives.
//!
//! Telling a client returns a [`Reported`], so an error can't be forgotten or told twice. If the
//! session lives, the code is never of class 08, 57P0x or 0A000: drivers' pools drop connections
//! on those. Errors of PostgreSQL pass through and are never re-coded.

mod reached;

use std::borrow::Cow;
use std::time::Duration;

use policy::Refusal;
use wire::{Report, Severity, SqlState, put_error};

pub(crate) use self::reached::Reached;

/// Proof that the client was told.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reported {
    /// Whether the session goes on.
    pub(crate) lives: bool,
}

/// Everything that Weir itself has to tell a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The first bytes are no startup packet.
    NotPostgres(String),
    /// A message could not be understood.
    Protocol(String),
    /// A message is longer than `max_packet_size`.
    TooLong { length: usize, limit: usize },
    /// The startup packet asks for what Weir does not do.
    Unsupported(&'static str),
    /// TLS is required and the client did not ask for it.
    TlsRequired,
    /// No such user, or a wrong password: the client is not told which.
    WrongPassword { user: String },
    /// The configuration has no such database.
    NoDatabase { name: String },
    /// A login took longer than `client_login_timeout`.
    LoginTimeout,
    /// A limit is reached.
    Limit(Reached),
    /// The client cancelled a cycle that waited for a server.
    Cancelled,
    /// A transaction block was to be opened in `mode: statement`.
    BlockRefused,
    /// One was left open all the same.
    BlockLeft,
    /// The node's server could not be reached or did not let us in.
    NoServer { node: String, detail: String },
    /// The decision was to refuse.
    Refused(Refusal),
    /// No primary appeared within `failover_hold`.
    NoPrimary { waited: Duration },
    /// The server was lost while it worked for this client.
    ServerLost { node: String, during: Lost },
    /// The primary changed under an open transaction.
    PrimaryChanged,
    /// A replication connection leads to a node that is not the primary any more.
    PrimaryReplaced { node: String },
    /// Weir is shutting down.
    Shutdown,
    /// An administrator ended the session.
    Terminated,
    /// The cluster named in the configuration is not there (any more).
    NoCluster { name: String },
    /// `currval` or `lastval` where no server remembers the session's last sequence value.
    NoSequenceValue,
    /// The statement would keep the session on one server, and the database forbids that.
    PinRefused { pin: &'static str },
    /// A prepared statement would answer with other columns than the client was told.
    StalePlan,
    /// `DEALLOCATE` of a statement that the client does not have.
    NoStatement { name: String },
    /// A `weir.*` setting was given a wrong name or value.
    BadSetting { name: String, problem: String },
    /// A statement that a standby would run silently in the wrong place, within a read-only transaction there.
    NotOnReplica { why: &'static str },
}

/// What was going on when a server was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// A statement that may have taken effect.
    Write,
    /// Nothing that writes, but part of the answer was told already, or a transaction was open.
    Read,
}

impl Cause {
    /// A wrong name or value of a setting; `name` is without `weir.`.
    pub(crate) fn bad_setting(name: &str, problem: impl std::fmt::Display) -> Self {
        Self::BadSetting { name: format!("weir.{name}"), problem: problem.to_string() }
    }

    /// Whether the session goes on after the client was told.
    pub(crate) fn session_lives(&self) -> bool {
        match self {
            Self::Limit(reached) => reached.session_lives(),
            Self::Cancelled
            | Self::BlockRefused
            | Self::NoServer { .. }
            | Self::Refused(_)
            | Self::NoPrimary { .. }
            | Self::BadSetting { .. }
            | Self::NoSequenceValue
            | Self::NoStatement { .. }
            | Self::PinRefused { .. }
            | Self::StalePlan
            | Self::NotOnReplica { .. } => true,
            Self::NotPostgres(_)
            | Self::Protocol(_)
            | Self::TooLong { .. }
            | Self::Unsupported(_)
            | Self::TlsRequired
            | Self::WrongPassword { .. }
            | Self::NoDatabase { .. }
            | Self::LoginTimeout
            | Self::BlockLeft
            | Self::ServerLost { .. }
            | Self::PrimaryChanged
            | Self::PrimaryReplaced { .. }
            | Self::Shutdown
            | Self::Terminated
            | Self::NoCluster { .. } => false,
        }
    }

    /// The code, by the manual's appendix A.
    pub(crate) fn code(&self) -> SqlState {
        match self {
            Self::NotPostgres(_) | Self::Protocol(_) => SqlState::PROTOCOL_VIOLATION,
            Self::TooLong { .. } => SqlState::PROGRAM_LIMIT_EXCEEDED,
            // PostgreSQL's own for a stale plan: drivers go by it and prepare anew.
            Self::Unsupported(_) | Self::StalePlan => SqlState::FEATURE_NOT_SUPPORTED,
            Self::TlsRequired => SqlState::INVALID_AUTHORIZATION,
            Self::WrongPassword { .. } => SqlState::INVALID_PASSWORD,
            Self::NoDatabase { .. } | Self::NoCluster { .. } => SqlState::INVALID_CATALOG_NAME,
            Self::Limit(reached) => reached.code(),
            Self::LoginTimeout => SqlState::CONNECTION_FAILURE,
            Self::Cancelled => SqlState::QUERY_CANCELED,
            Self::BlockRefused | Self::BlockLeft => SqlState::INVALID_TRANSACTION_STATE,
            Self::NoServer { .. } | Self::NoPrimary { .. } | Self::Refused(_) => {
                SqlState::INSUFFICIENT_RESOURCES
            }
            Self::ServerLost { during: Lost::Write, .. } => {
                SqlState::TRANSACTION_RESOLUTION_UNKNOWN
            }
            Self::ServerLost { during: Lost::Read, .. } | Self::PrimaryChanged => {
                SqlState::CONNECTION_FAILURE
            }
            Self::NoSequenceValue | Self::PinRefused { .. } => {
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE
            }
            Self::NoStatement { .. } => SqlState::INVALID_SQL_STATEMENT_NAME,
            Self::Shutdown | Self::Terminated | Self::PrimaryReplaced { .. } => {
                SqlState::ADMIN_SHUTDOWN
            }
            Self::BadSetting { .. } => SqlState::INVALID_PARAMETER_VALUE,
            Self::NotOnReplica { .. } => SqlState::READ_ONLY_SQL_TRANSACTION,
        }
    }

    /// What happened.
    fn message(&self) -> Cow<'static, str> {
        match self {
            Self::NotPostgres(found) => format!("weir: this is not a PostgreSQL startup packet: {found}").into(),
            Self::Protocol(problem) => format!("weir: protocol violation: {problem}").into(),
            Self::TooLong { length, limit } => {
                format!("weir: a message of {length} bytes is longer than max_packet_size ({limit})").into()
            }
            Self::Unsupported(what) => format!("weir: {what} is not supported").into(),
            Self::TlsRequired => "weir: this server accepts only TLS connections".into(),
            Self::WrongPassword { user } => format!("password authentication failed for user \"{user}\"").into(),
            Self::NoDatabase { name } => format!("weir: database \"{name}\" is not configured").into(),
            Self::NoCluster { name } => format!("weir: cluster \"{name}\" is not configured").into(),
            Self::LoginTimeout => "weir: the login took longer than client_login_timeout".into(),
            Self::Limit(reached) => reached.message().into(),
            Self::Cancelled => "canceling statement due to user request".into(),
            Self::BlockRefused | Self::BlockLeft => {
                "weir: transaction blocks are not allowed in statement pooling".into()
            }
            Self::NoServer { node, detail } => format!("weir: no connection to node \"{node}\": {detail}").into(),
            Self::Refused(refusal) => format!("weir: {refusal}").into(),
            Self::NoPrimary { waited } => format!("weir: no primary appeared within {waited:?}").into(),
            Self::ServerLost { node, during: Lost::Write } => {
                format!("weir: the connection to node \"{node}\" was lost; whether the statement took effect is unknown")
                    .into()
            }
            Self::ServerLost { node, during: Lost::Read } => {
                format!("weir: the connection to node \"{node}\" was lost").into()
            }
            Self::PrimaryChanged => "weir: the primary changed during the transaction, which is lost".into(),
            Self::PrimaryReplaced { node } => {
                format!("terminating replication connection because the primary changed; it led to node \"{node}\"").into()
            }
            Self::NoSequenceValue => {
                "weir: no sequence value is known here: the server that drew it may have served others since".into()
            }
            Self::PinRefused { pin } => {
                format!("weir: the statement would keep the session on one server ({pin}), and this database has pin: never").into()
            }
            Self::StalePlan => "cached plan must not change result type".into(),
            Self::NoStatement { name } => format!("prepared statement \"{name}\" does not exist").into(),
            Self::Shutdown => "terminating connection because weir is shutting down".into(),
            Self::Terminated => "weir: terminating connection due to administrator command".into(),
            Self::BadSetting { name, problem } => format!("weir: invalid value for \"{name}\": {problem}").into(),
            Self::NotOnReplica { why } => {
                format!("weir: this read-only transaction runs on a replica, where the statement would do harm ({why})")
                    .into()
            }
        }
    }

    /// What to do next.
    fn hint(&self) -> &'static str {
        match self {
            Self::NotPostgres(_) => {
                "Connect with a PostgreSQL client; HTTP is served on the admin port."
            }
            Self::Protocol(_) => "The client library is at fault; the connection is closed.",
            Self::TooLong { .. } => "Send less at once, or raise pool.max_packet_size.",
            Self::Unsupported(_) => "Connect to the server itself for this.",
            Self::TlsRequired => "Connect with sslmode=require.",
            Self::WrongPassword { .. } => {
                "Check the password, and that the user stands in auth.users."
            }
            Self::NoDatabase { .. } => "Add it, or an entry \"*\", under databases.",
            Self::NoCluster { .. } => "Add it under clusters, or correct the database's entry.",
            Self::LoginTimeout => "Check the network, or raise pool.client_login_timeout.",
            Self::Limit(reached) => reached.hint(),
            Self::Cancelled => "It waited for a server; nothing was run.",
            Self::BlockRefused => {
                "Send statements one by one, or give the database `mode: transaction`."
            }
            Self::BlockLeft => {
                "Its transaction was rolled back; send statements one by one, or give the database `mode: transaction`."
            }
            Self::NoServer { .. } => {
                "Try again; if it lasts, look at the node and at its credentials."
            }
            Self::Refused(_) => "Try again; GET /v1/clusters on the admin port shows the nodes.",
            Self::NoPrimary { .. } => "Try again once a node was promoted; reads go on meanwhile.",
            Self::ServerLost { during: Lost::Write, .. } => {
                "Reconnect, and look whether it took effect before you repeat it."
            }
            Self::ServerLost { during: Lost::Read, .. } | Self::PrimaryChanged => {
                "Reconnect and repeat the transaction."
            }
            Self::NoSequenceValue => {
                "Use RETURNING, or ask within the transaction that drew it, or give the database `mode: session`."
            }
            Self::PinRefused { .. } => {
                "docs/routing.md, section Pins, names what works without; or give the database pin: allow."
            }
            Self::StalePlan => "Prepare the statement again: its tables have changed.",
            Self::NoStatement { .. } => "Prepare it first.",
            Self::PrimaryReplaced { .. } => {
                "Reconnect; look whether the new primary has the slot and the position that you need."
            }
            Self::Shutdown => "Reconnect.",
            Self::Terminated => "An administrator ended this session on the admin port; reconnect.",
            Self::BadSetting { .. } => {
                "docs/configuration.md, section reads, lists the settings and their values."
            }
            Self::NotOnReplica { .. } => {
                "Begin with the hint /* weir: route=primary */, or with BEGIN without READ ONLY."
            }
        }
    }

    /// Where PostgreSQL would have told it, for drivers that go by that.
    fn routine(&self) -> Option<&'static str> {
        (*self == Self::StalePlan).then_some("RevalidateCachedQuery")
    }

    /// Appends the ErrorResponse.
    pub(crate) fn put(&self, out: &mut Vec<u8>) -> Reported {
        self.put_if(out, self.session_lives())
    }

    /// Appends the ErrorResponse that ends a login: whatever it is, there is no session.
    pub(crate) fn put_to_stranger(&self, out: &mut Vec<u8>) -> Reported {
        self.put_if(out, false)
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "a fact of the session, not a mode")]
    fn put_if(&self, out: &mut Vec<u8>, lives: bool) -> Reported {
        let severity = if lives { Severity::Error } else { Severity::Fatal };
        let message = self.message();
        put_error(
            out,
            &Report {
                severity,
                code: self.code(),
                message: &message,
                detail: None,
                hint: Some(self.hint()),
                routine: self.routine(),
            },
        );
        Reported { lives }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_lives_is_never_told_a_code_that_makes_pools_drop_it() {
        let living = [
            Cause::Cancelled,
            Cause::BlockRefused,
            Cause::NoServer { node: "a".into(), detail: "refused".into() },
            Cause::Refused(Refusal::Stale),
            Cause::NoPrimary { waited: Duration::from_secs(1) },
            Cause::BadSetting { name: "weir.route".into(), problem: "x".into() },
            Cause::NoSequenceValue,
            Cause::NoStatement { name: "x".into() },
            Cause::PinRefused { pin: "x" },
            Cause::NotOnReplica { why: "x" },
        ];
        for cause in living {
            assert!(cause.session_lives());
            let code = cause.code();
            let code = code.as_str();
            assert!(
                !code.starts_with("08") && !code.starts_with("57P0") && code != "0A000",
                "{cause}: {code}"
            );
        }
    }
}
