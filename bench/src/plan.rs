//! What is measured, and in which order.

use std::fmt;

/// pgbench's query protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Simple,
    Extended,
    Prepared,
}

impl Mode {
    pub(crate) const ALL: [Self; 3] = [Self::Simple, Self::Extended, Self::Prepared];

    /// pgbench's word for it (`-M`).
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Extended => "extended",
            Self::Prepared => "prepared",
        }
    }
}

/// What pgbench talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Direct,
    Relay,
    PgBouncer,
    Weir,
}

impl Name {
    pub(crate) const ALL: [Self; 4] = [Self::Direct, Self::Relay, Self::PgBouncer, Self::Weir];
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "PostgreSQL, no proxy",
            Self::Relay => "bare relay",
            Self::PgBouncer => "PgBouncer",
            Self::Weir => "Weir",
        })
    }
}

/// The peers in the order of `round`: nobody always comes first.
pub(crate) fn order(round: u16) -> [Name; 4] {
    let mut order = Name::ALL;
    for _ in 0..round {
        order.rotate_left(1);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peer_is_first_once_in_four_rounds() {
        let first: Vec<_> = (0..4).map(|round| order(round)[0]).collect();
        assert_eq!(first, Name::ALL);
        assert_eq!(order(4), order(0));
    }
}
