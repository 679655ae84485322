//! What is measured: the cells of the table.

use std::fmt;
use std::time::Duration;

/// How long a replica holds back each commit, in milliseconds.
pub(crate) const LAGS: [u16; 3] = [1, 10, 100];

/// How long a user thinks between two requests, in milliseconds.
const THINKS: [u16; 3] = [0, 5, 20];

/// Whose writes a read must see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// A user has one connection.
    Connection,
    /// Users take any free connection of their app's pool for each request.
    Client,
}

impl Scope {
    pub(crate) const ALL: [Self; 2] = [Self::Connection, Self::Client];

    /// Weir's word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Client => "client",
        }
    }
}

/// What decides which reads stay on the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// What others do: behind a write, its connection reads on the primary for a second.
    ///
    /// Weir has no such thing: the user names the way, by a hint.
    Pin,
    Eventual,
    Session,
    /// `session`, and a read waits for a replica before it goes to the primary.
    Wait,
    Strong,
    /// `strong`, and the same.
    StrongWait,
}

impl Policy {
    pub(crate) const ALL: [Self; 6] =
        [Self::Pin, Self::Eventual, Self::Session, Self::Wait, Self::Strong, Self::StrongWait];

    /// How long a connection stays on the primary behind a write.
    pub(crate) const PIN: Duration = Duration::from_secs(1);

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pin => "pin",
            Self::Eventual => "eventual",
            Self::Session => "session",
            Self::Wait => "session, wait",
            Self::Strong => "strong",
            Self::StrongWait => "strong, wait",
        }
    }

    /// What a connection says at its start.
    pub(crate) fn options(self, stale_wait: &str) -> String {
        let wait = format!("-c weir.on_stale=wait -c weir.stale_wait={stale_wait}");
        match self {
            Self::Pin | Self::Eventual => "-c weir.consistency=eventual".to_owned(),
            Self::Session => "-c weir.consistency=session".to_owned(),
            Self::Wait => format!("-c weir.consistency=session {wait}"),
            Self::Strong => "-c weir.consistency=strong".to_owned(),
            Self::StrongWait => format!("-c weir.consistency=strong {wait}"),
        }
    }

    /// Whether a read that misses its user's own write is a fault of Weir's.
    pub(crate) fn promises_own_writes(self) -> bool {
        match self {
            Self::Pin | Self::Eventual => false,
            Self::Session | Self::Wait | Self::Strong | Self::StrongWait => true,
        }
    }

    /// Whether a read must show what anybody had been told was committed.
    pub(crate) fn promises_all_writes(self) -> bool {
        match self {
            Self::Pin | Self::Eventual | Self::Session | Self::Wait => false,
            Self::Strong | Self::StrongWait => true,
        }
    }
}

/// One cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    /// In milliseconds.
    pub(crate) lag: u16,
    /// In milliseconds.
    pub(crate) think: u16,
    pub(crate) scope: Scope,
    pub(crate) policy: Policy,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lag, think, scope, policy } = self;
        write!(f, "{lag} ms, think {think} ms, {}, {}", scope.name(), policy.name())
    }
}

/// All cells, those of one lag together: changing it takes a while.
pub(crate) fn all() -> Vec<Cell> {
    let mut cells = Vec::new();
    for lag in LAGS {
        for think in THINKS {
            for scope in Scope::ALL {
                cells.extend(Policy::ALL.map(|policy| Cell { lag, think, scope, policy }));
            }
        }
    }
    cells
}

/// The cells of `--quick`: one row for each scope.
pub(crate) fn corner() -> Vec<Cell> {
    all().into_iter().filter(|cell| (cell.lag, cell.think) == (10, 5)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_cell_once() {
        let cells = all();
        assert_eq!(cells.len(), 3 * 3 * 2 * 6);
        let same = |cell: &Cell| cells.iter().filter(|other| *other == cell).count();
        assert!(cells.iter().all(|cell| same(cell) == 1));
    }

    #[test]
    fn a_cell_is_named_as_the_command_line_says() {
        let cell = Cell { lag: 1, think: 20, scope: Scope::Connection, policy: Policy::Session };
        assert_eq!(cell.to_string(), "1 ms, think 20 ms, connection, session");
    }
}
