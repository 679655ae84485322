//! Benchmarks next to the peers a user would pick instead.
