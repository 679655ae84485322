//! What a session must remember of the statements it ran.

/// READ ONLY or READ WRITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// READ ONLY.
    ReadOnly,
    /// READ WRITE.
    ReadWrite,
}

/// A transaction's isolation level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// READ UNCOMMITTED, which PostgreSQL treats as READ COMMITTED.
    ReadUncommitted,
    /// READ COMMITTED.
    ReadCommitted,
    /// REPEATABLE READ.
    RepeatableRead,
    /// SERIALIZABLE; never possible on a standby.
    Serializable,
}

/// DEFERRABLE or NOT DEFERRABLE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deferrable {
    /// DEFERRABLE.
    Yes,
    /// NOT DEFERRABLE.
    No,
}

/// The modes that a BEGIN or SET TRANSACTION names; `None` where it is silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TxModes {
    /// READ ONLY or READ WRITE.
    pub access: Option<Access>,
    /// ISOLATION LEVEL.
    pub isolation: Option<Isolation>,
    /// DEFERRABLE.
    pub deferrable: Option<Deferrable>,
}

/// AND CHAIN: a new transaction with the same modes begins at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Chain {
    /// AND CHAIN.
    Yes,
    /// AND NO CHAIN, the default.
    No,
}

/// How long a SET lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetScope {
    /// SET or SET SESSION: until the session ends, unless its transaction is rolled back.
    Session,
    /// SET LOCAL: until the transaction ends.
    Local,
}

/// Why a session must keep its server from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pin {
    /// LISTEN: notifications come to this server connection.
    Listen,
    /// A temporary table, view or sequence.
    TemporaryRelation,
    /// A session-level advisory lock.
    AdvisoryLock,
    /// A cursor WITH HOLD.
    HoldCursor,
    /// SQL-level PREPARE or EXECUTE.
    Prepare,
    /// LOAD.
    Load,
    /// `currval` and `lastval` answer from this backend's memory.
    SequenceValue,
    /// A setting changed in a way that can't be tracked.
    SessionSetting,
    /// Not understood, and it may leave something in the session.
    Unknown,
}

impl Pin {
    /// Names the pin as metrics and logs print it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::TemporaryRelation => "temporary_relation",
            Self::AdvisoryLock => "advisory_lock",
            Self::HoldCursor => "hold_cursor",
            Self::Prepare => "prepare",
            Self::Load => "load",
            Self::SequenceValue => "sequence_value",
            Self::SessionSetting => "session_setting",
            Self::Unknown => "unknown",
        }
    }
}

/// An argument of a `set_config` call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A constant, as text.
    Text(Box<str>),
    /// NULL.
    Null,
    /// The parameter of this number, counted from 1.
    Param(u16),
}

/// The arguments of one `set_config` call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetConfig {
    /// Which setting.
    pub name: Operand,
    /// To what.
    pub value: Operand,
    /// Whether it ends with the transaction.
    pub is_local: Operand,
}

impl SetConfig {
    /// What the call does once `param` says what each parameter is; `None` if that can't be said.
    ///
    /// `set_config` returns NULL and does nothing for a NULL name; a NULL value is the default, and
    /// a NULL `is_local` is false (manual, 9.27.1).
    #[must_use]
    pub fn resolve<'p>(&self, param: impl Fn(u16) -> Option<Option<&'p str>>) -> Option<Effect> {
        let read = |operand: &Operand| match operand {
            Operand::Text(text) => Some(Some(text.to_string())),
            Operand::Null => Some(None),
            Operand::Param(number) => param(*number).map(|value| value.map(str::to_owned)),
        };
        let name = read(&self.name)??.to_ascii_lowercase();
        let value = read(&self.value)?;
        let scope = match read(&self.is_local)? {
            Some(text) if is_true(&text) => SetScope::Local,
            Some(_) | None => SetScope::Session,
        };
        Some(Effect::Set { name: name.into(), value: value.map(Into::into), scope })
    }
}

/// How PostgreSQL reads a Boolean that is true: a unique prefix of `true`, `yes`, `on` or `1`; in
/// binary format a byte of 1.
fn is_true(text: &str) -> bool {
    let text = text.trim_ascii().to_ascii_lowercase();
    !text.is_empty()
        && ("true".starts_with(&text)
            || "yes".starts_with(&text)
            || matches!(&*text, "on" | "1" | "\u{1}"))
}

/// One thing that the session must remember once the statement succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// BEGIN or START TRANSACTION.
    Begin(TxModes),
    /// SET TRANSACTION: modes of the current transaction.
    SetTransaction(TxModes),
    /// COMMIT or END.
    Commit {
        /// Whether a new transaction begins at once.
        chain: Chain,
    },
    /// ROLLBACK or ABORT.
    Rollback {
        /// Whether a new transaction begins at once.
        chain: Chain,
    },
    /// SAVEPOINT, by its name.
    Savepoint(Box<str>),
    /// ROLLBACK TO SAVEPOINT.
    RollbackToSavepoint(Box<str>),
    /// RELEASE SAVEPOINT.
    ReleaseSavepoint(Box<str>),
    /// PREPARE TRANSACTION: the transaction leaves the session.
    PrepareTransaction,
    /// SET of a setting. `weir.*` are given the same way: the proxy answers those itself.
    Set {
        /// The setting's name in lower case, parts joined by dots.
        name: Box<str>,
        /// The value as `set_config` takes it, a list's members quoted where needed; `None` is DEFAULT.
        value: Option<Box<str>>,
        /// Until when it holds.
        scope: SetScope,
    },
    /// A call of `set_config` that needs the values of parameters to be understood.
    SetConfig(Box<SetConfig>),
    /// RESET of one setting, name in lower case.
    Reset(Box<str>),
    /// RESET ALL.
    ResetAll,
    /// SHOW of a setting, name in lower case, `all` for SHOW ALL.
    Show(Box<str>),
    /// The session must keep its server.
    Pin(Pin),
    /// UNLISTEN of one channel or of all.
    Unlisten,
    /// DEALLOCATE ALL.
    DeallocateAll,
    /// DEALLOCATE of one statement, by its name.
    Deallocate(Box<str>),
    /// CLOSE of one cursor or of all.
    CloseCursor,
    /// Session-level advisory locks are given back, some or all.
    Unlock,
    /// Something ran whose text is not known to the end (a block, a procedure): the server has to be
    /// asked what it left behind.
    Suspect,
    /// A write in a database whose functions set something for the session: a trigger may have run.
    MayHaveSet,
    /// DISCARD ALL.
    DiscardAll,
    /// DISCARD PLANS.
    DiscardPlans,
    /// DISCARD TEMP.
    DiscardTemp,
    /// DISCARD SEQUENCES.
    DiscardSequences,
    /// The schema may have changed: read the catalog again.
    SchemaChange,
    /// ALTER ROLE or ALTER DATABASE … SET: what a login begins with may have changed.
    LoginDefaults,
    /// COPY FROM STDIN: data follows before an answer comes.
    CopyIn,
}
