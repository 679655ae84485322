//! What the benchmarks share: where they ran, what they do, the programs that they start, how they report.

pub mod cpu;
pub mod machine;
pub mod measure;
pub mod micro;
pub mod peers;
pub mod pgbench;
pub mod plot;
pub mod section;
pub mod service;
pub mod texts;
pub mod weir;
