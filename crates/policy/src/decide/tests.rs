//! Routing as tables: what is asked, of which nodes, and where it goes and why.

mod explaining;
mod guards;
mod invariants;
mod leaderless;
mod reads;
mod spread;
mod world;
mod writes;
