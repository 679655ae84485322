//! What a client is told that reached a limit: the rows of the error table for limits.

use std::time::Duration;

use wire::SqlState;

use super::Cause;
use crate::permits::Which;
use crate::places::Whose;
use crate::timers::Limit;

/// A limit of the configuration that was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reached {
    /// There are as many clients as there may be: of this user or database, or at all.
    Clients { of: Option<(Whose, String)>, limit: u32 },
    /// No server became free within `query_wait_timeout`, since this count is full.
    Servers { waited: Duration, which: Which, limit: u32 },
    /// No replica became fresh, and no read that fell back ended, within `query_wait_timeout`.
    Share { waited: Duration, limit: u32 },
    /// The cycle waited too long for a server; nothing was run.
    Refused { limit: Limit, after: Duration },
    /// The cycle took too long and was cancelled.
    Stopped { limit: Limit, after: Duration },
    /// The session did something for too long and ends.
    Expelled { limit: Limit, after: Duration },
    /// The cycle took too long, and its server did not heed the cancel request.
    Unheeded { limit: Limit, after: Duration },
}

impl From<Reached> for Cause {
    fn from(reached: Reached) -> Self {
        Self::Limit(reached)
    }
}

impl Reached {
    /// Whether the session goes on after the client was told.
    pub(super) fn session_lives(&self) -> bool {
        match self {
            Self::Servers { .. }
            | Self::Share { .. }
            | Self::Refused { .. }
            | Self::Stopped { .. } => true,
            Self::Clients { .. } | Self::Expelled { .. } | Self::Unheeded { .. } => false,
        }
    }

    /// The code, by the manual's appendix A.
    pub(super) fn code(&self) -> SqlState {
        match self {
            Self::Clients { .. } | Self::Servers { .. } | Self::Share { .. } => {
                SqlState::TOO_MANY_CONNECTIONS
            }
            Self::Refused { .. } | Self::Stopped { .. } => SqlState::QUERY_CANCELED,
            Self::Expelled { limit: Limit::ClientIdle, .. } => SqlState::IDLE_SESSION_TIMEOUT,
            Self::Expelled { limit: Limit::IdleTransaction, .. } => {
                SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
            }
            Self::Expelled { limit: Limit::Transaction | Limit::Query, .. } => {
                SqlState::TRANSACTION_TIMEOUT
            }
            Self::Unheeded { .. } => SqlState::TRANSACTION_RESOLUTION_UNKNOWN,
        }
    }

    /// What happened.
    pub(super) fn message(&self) -> String {
        match self {
            Self::Clients { of: None, limit } => {
                format!("weir: max_client_conn ({limit}) is reached")
            }
            Self::Clients { of: Some((Whose::Database, name)), limit } => {
                format!(
                    "weir: max_db_client_connections ({limit}) of database \"{name}\" is reached"
                )
            }
            Self::Clients { of: Some((Whose::User, name)), limit } => {
                format!("weir: max_user_client_connections ({limit}) of user \"{name}\" is reached")
            }
            Self::Servers { waited, which, limit } => {
                let full = match which {
                    Which::Pool => "pool of",
                    Which::Database => "max_db_connections is",
                    Which::User => "max_user_connections is",
                };
                format!("weir: no server became free within {waited:?} ({full} {limit})")
            }
            Self::Share { waited, limit } => format!(
                "weir: no replica became fresh enough within {waited:?}, and {limit} reads are on the primary for that already (max_primary_read_share)"
            ),
            Self::Refused { limit, after } => {
                let limit = limit.as_str();
                format!("weir: no server became free within {limit} ({after:?}); nothing was run")
            }
            Self::Stopped { limit, after } => {
                format!("weir: canceling statement due to {} ({after:?})", limit.as_str())
            }
            Self::Expelled { limit, after } => {
                format!("weir: terminating connection due to {} ({after:?})", limit.as_str())
            }
            Self::Unheeded { limit, after } => format!(
                "weir: {} is reached, and the server did not stop within {after:?}; whether the statement took effect is unknown",
                limit.as_str()
            ),
        }
    }

    /// What to do next.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Clients { of: None, .. } => {
                "Close idle connections, or raise pool.max_client_conn."
            }
            Self::Clients { of: Some((Whose::Database, _)), .. } => {
                "Close idle connections, or raise the database's max_db_client_connections."
            }
            Self::Clients { of: Some((Whose::User, _)), .. } => {
                "Close idle connections, or raise the user's max_user_client_connections."
            }
            Self::Servers { which: Which::Pool, .. } => {
                "Look for long transactions and idle ones that hold servers, or raise pool.default_pool_size."
            }
            Self::Servers { which: Which::Database, .. } => {
                "Look for long transactions of all the database's users, or raise max_db_connections."
            }
            Self::Servers { which: Which::User, .. } => {
                "Look for the user's long transactions in all databases, or raise max_user_connections."
            }
            Self::Share { .. } => {
                "Try again once replicas have caught up; look at weir_node_lag_seconds, or raise weir.max_lag for this read."
            }
            Self::Refused { .. } => {
                "Look for long transactions that hold servers, or raise the size of the pool."
            }
            Self::Stopped { limit: Limit::Transaction, .. } => {
                "Roll back, and repeat the transaction in smaller parts, or raise pool.transaction_timeout."
            }
            Self::Stopped { .. } => "Make the statement faster, or raise pool.query_timeout.",
            Self::Expelled { limit: Limit::ClientIdle, .. } => {
                "Reconnect; keep no idle connections, or raise pool.client_idle_timeout."
            }
            Self::Expelled { limit: Limit::IdleTransaction, .. } => {
                "Reconnect and repeat the transaction; end transactions at once, or raise pool.idle_transaction_timeout."
            }
            Self::Expelled { limit: Limit::Transaction | Limit::Query, .. } => {
                "Reconnect and repeat the transaction in smaller parts, or raise pool.transaction_timeout."
            }
            Self::Unheeded { .. } => {
                "Reconnect, and look whether it took effect before you repeat it; then look at the node."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lives_on_is_told_no_code_that_makes_pools_drop_connections() {
        let second = Duration::from_secs(1);
        for which in [Which::Pool, Which::Database, Which::User] {
            let reached = Reached::Servers { waited: second, which, limit: 1 };
            assert!(reached.session_lives());
            assert_eq!(reached.code().as_str(), "53300");
        }
        let reached = Reached::Share { waited: second, limit: 1 };
        assert!(reached.session_lives());
        assert_eq!(reached.code().as_str(), "53300");
        for limit in Limit::ALL {
            let reached = Reached::Stopped { limit, after: second };
            assert!(reached.session_lives());
            assert_eq!(reached.code().as_str(), "57014");
        }
    }

    #[test]
    fn each_expulsion_has_the_code_that_postgres_has_for_it() {
        let code = |limit| Reached::Expelled { limit, after: Duration::ZERO }.code();
        assert_eq!(code(Limit::ClientIdle).as_str(), "57P05");
        assert_eq!(code(Limit::IdleTransaction).as_str(), "25P03");
        assert_eq!(code(Limit::Transaction).as_str(), "25P04");
    }
}
