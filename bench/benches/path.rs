//! What framing, fingerprints, classes, decisions and the books of a cycle cost, one call at a time.

use std::time::Duration;

use criterion::{Criterion, Throughput};
use weir_bench::micro;

fn main() {
    let criterion = Criterion::default().warm_up_time(Duration::from_millis(500));
    let criterion = criterion.measurement_time(Duration::from_secs(2)).sample_size(50);
    let mut criterion = criterion.configure_from_args();
    let mut group = criterion.benchmark_group("path");
    for mut work in micro::all() {
        if let Some(bytes) = work.bytes.and_then(|bytes| u64::try_from(bytes).ok()) {
            group.throughput(Throughput::Bytes(bytes));
        } else {
            group.throughput(Throughput::Elements(1));
        }
        let name = work.name.clone();
        group.bench_function(name, |bench| bench.iter(|| work.run()));
    }
    group.finish();
    criterion.final_summary();
}
