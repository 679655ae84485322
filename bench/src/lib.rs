//! What the benchmarks share: where they ran, and the programs that they start.

pub mod cpu;
pub mod machine;
pub mod service;
pub mod weir;
