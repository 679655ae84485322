//! Control against real servers: what it publishes is what they are.

// `cfg(test)` is always true here; clippy takes helpers below it for test code.
#[cfg(test)]
mod gate;
#[cfg(test)]
mod rig;

#[cfg(test)]
mod catalogs;
#[cfg(test)]
mod lsn_clock;
#[cfg(test)]
mod membership;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod trouble;
