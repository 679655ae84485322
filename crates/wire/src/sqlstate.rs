//! Five-character error codes, named as in the manual's Appendix A.

use std::fmt;

/// An SQLSTATE: what programs go by, where people go by the message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SqlState([u8; 5]);

impl SqlState {
    /// Reads a code: five digits or upper-case letters, else `None`.
    #[must_use]
    pub fn parse(code: &[u8]) -> Option<Self> {
        let code = <[u8; 5]>::try_from(code).ok()?;
        let fits = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
        code.iter().all(fits).then_some(Self(code))
    }

    /// The five characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Never taken: only ASCII gets in.
        str::from_utf8(&self.0).unwrap_or("XX000")
    }

    /// The first two characters, which name the class of the error.
    #[must_use]
    pub fn class(&self) -> &str {
        self.as_str().get(..2).unwrap_or_default()
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqlState({self})")
    }
}

/// The codes that Weir reports or acts on.
impl SqlState {
    /// 01000: warning.
    pub const WARNING: Self = Self(*b"01000");
    /// 03000: sql statement not yet complete.
    pub const SQL_STATEMENT_NOT_YET_COMPLETE: Self = Self(*b"03000");
    /// 08001: sqlclient unable to connect.
    pub const SQLCLIENT_UNABLE_TO_CONNECT: Self = Self(*b"08001");
    /// 08003: connection does not exist.
    pub const CONNECTION_DOES_NOT_EXIST: Self = Self(*b"08003");
    /// 08004: rejected connection.
    pub const REJECTED_CONNECTION: Self = Self(*b"08004");
    /// 08006: connection failure.
    pub const CONNECTION_FAILURE: Self = Self(*b"08006");
    /// 08007: transaction resolution unknown.
    pub const TRANSACTION_RESOLUTION_UNKNOWN: Self = Self(*b"08007");
    /// 08P01: protocol violation.
    pub const PROTOCOL_VIOLATION: Self = Self(*b"08P01");
    /// 0A000: feature not supported.
    pub const FEATURE_NOT_SUPPORTED: Self = Self(*b"0A000");
    /// 22023: invalid parameter value.
    pub const INVALID_PARAMETER_VALUE: Self = Self(*b"22023");
    /// 25000: invalid transaction state.
    pub const INVALID_TRANSACTION_STATE: Self = Self(*b"25000");
    /// 25001: active sql transaction.
    pub const ACTIVE_SQL_TRANSACTION: Self = Self(*b"25001");
    /// 25006: read only sql transaction.
    pub const READ_ONLY_SQL_TRANSACTION: Self = Self(*b"25006");
    /// 25P01: no active sql transaction.
    pub const NO_ACTIVE_SQL_TRANSACTION: Self = Self(*b"25P01");
    /// 25P02: in failed sql transaction.
    pub const IN_FAILED_SQL_TRANSACTION: Self = Self(*b"25P02");
    /// 25P03: idle in transaction session timeout.
    pub const IDLE_IN_TRANSACTION_SESSION_TIMEOUT: Self = Self(*b"25P03");
    /// 25P04: transaction timeout (PostgreSQL 17).
    pub const TRANSACTION_TIMEOUT: Self = Self(*b"25P04");
    /// 26000: invalid sql statement name.
    pub const INVALID_SQL_STATEMENT_NAME: Self = Self(*b"26000");
    /// 28000: invalid authorization.
    pub const INVALID_AUTHORIZATION: Self = Self(*b"28000");
    /// 28P01: invalid password.
    pub const INVALID_PASSWORD: Self = Self(*b"28P01");
    /// 34000: invalid cursor name.
    pub const INVALID_CURSOR_NAME: Self = Self(*b"34000");
    /// 3D000: invalid catalog name.
    pub const INVALID_CATALOG_NAME: Self = Self(*b"3D000");
    /// 40001: serialization failure.
    pub const SERIALIZATION_FAILURE: Self = Self(*b"40001");
    /// 40003: statement completion unknown.
    pub const STATEMENT_COMPLETION_UNKNOWN: Self = Self(*b"40003");
    /// 40P01: deadlock detected.
    pub const DEADLOCK_DETECTED: Self = Self(*b"40P01");
    /// 42501: insufficient privilege.
    pub const INSUFFICIENT_PRIVILEGE: Self = Self(*b"42501");
    /// 42601: syntax error.
    pub const SYNTAX_ERROR: Self = Self(*b"42601");
    /// 42704: undefined object.
    pub const UNDEFINED_OBJECT: Self = Self(*b"42704");
    /// 42883: undefined function.
    pub const UNDEFINED_FUNCTION: Self = Self(*b"42883");
    /// 42P01: undefined table.
    pub const UNDEFINED_TABLE: Self = Self(*b"42P01");
    /// 42P03: duplicate cursor.
    pub const DUPLICATE_CURSOR: Self = Self(*b"42P03");
    /// 42P05: duplicate pstatement.
    pub const DUPLICATE_PSTATEMENT: Self = Self(*b"42P05");
    /// 53000: insufficient resources.
    pub const INSUFFICIENT_RESOURCES: Self = Self(*b"53000");
    /// 53300: too many connections.
    pub const TOO_MANY_CONNECTIONS: Self = Self(*b"53300");
    /// 53400: configuration limit exceeded.
    pub const CONFIGURATION_LIMIT_EXCEEDED: Self = Self(*b"53400");
    /// 54000: program limit exceeded.
    pub const PROGRAM_LIMIT_EXCEEDED: Self = Self(*b"54000");
    /// 55000: object not in prerequisite state.
    pub const OBJECT_NOT_IN_PREREQUISITE_STATE: Self = Self(*b"55000");
    /// 55P03: lock not available.
    pub const LOCK_NOT_AVAILABLE: Self = Self(*b"55P03");
    /// 57000: operator intervention.
    pub const OPERATOR_INTERVENTION: Self = Self(*b"57000");
    /// 57014: query canceled.
    pub const QUERY_CANCELED: Self = Self(*b"57014");
    /// 57P01: admin shutdown.
    pub const ADMIN_SHUTDOWN: Self = Self(*b"57P01");
    /// 57P02: crash shutdown.
    pub const CRASH_SHUTDOWN: Self = Self(*b"57P02");
    /// 57P03: cannot connect now.
    pub const CANNOT_CONNECT_NOW: Self = Self(*b"57P03");
    /// 57P04: database dropped.
    pub const DATABASE_DROPPED: Self = Self(*b"57P04");
    /// 57P05: idle session timeout.
    pub const IDLE_SESSION_TIMEOUT: Self = Self(*b"57P05");
    /// 58030: io error.
    pub const IO_ERROR: Self = Self(*b"58030");
    /// F0000: config file error.
    pub const CONFIG_FILE_ERROR: Self = Self(*b"F0000");
    /// XX000: internal error.
    pub const INTERNAL_ERROR: Self = Self(*b"XX000");
}

#[cfg(test)]
mod tests {
    use super::SqlState;

    #[test]
    fn only_five_digits_or_capitals_are_a_code() {
        assert_eq!(SqlState::parse(b"25006"), Some(SqlState::READ_ONLY_SQL_TRANSACTION));
        assert_eq!(SqlState::parse(b"08P01").unwrap().class(), "08");
        for wrong in [&b"2500"[..], b"250060", b"25p02", b"25 06", b"\xff5006", b""] {
            assert_eq!(SqlState::parse(wrong), None, "{wrong:?}");
        }
    }
}
