//! The words that JSON and metrics share for what a topology holds.

use policy::{Gate, Health, Lag, Leader, Role};

pub(crate) const ROLES: [Role; 3] = [Role::Primary, Role::Replica, Role::Unknown];

pub(crate) const fn role(role: Role) -> &'static str {
    match role {
        Role::Unknown => "unknown",
        Role::Primary => "primary",
        Role::Replica => "replica",
    }
}

pub(crate) const fn gate(gate: Gate) -> &'static str {
    match gate {
        Gate::Open => "open",
        Gate::Draining => "draining",
    }
}

pub(crate) const fn health(health: Health) -> &'static str {
    match health {
        Health::Unknown => "unknown",
        Health::Up => "up",
        Health::Down => "down",
    }
}

pub(crate) const fn leader(leader: Leader) -> &'static str {
    match leader {
        Leader::Node { .. } => "elected",
        Leader::Missing { .. } => "missing",
        Leader::SplitBrain => "split_brain",
    }
}

/// Seconds, or nothing where lag was never measured.
pub(crate) fn seconds(lag: Lag) -> Option<f64> {
    match lag {
        Lag::Unknown => None,
        Lag::AtMost(lag) => Some(lag.as_secs_f64()),
    }
}
