//! What the benchmarks share: where they ran, what they do, and the programs that they start.

pub mod cpu;
pub mod machine;
pub mod micro;
pub mod service;
pub mod texts;
pub mod weir;
