//! Scenarios, told as what probes see and when.

mod disputes;
mod first_contact;
mod freshness;
mod invariants;
mod members;
mod pace;
mod promotion;
mod stage;
