//! What we print is what Prometheus reads: its own checker says so.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use telemetry::{Exposition, Histogram, Kind, Totals};

fn everything() -> String {
    let histogram = Histogram::new();
    histogram.record(Duration::from_millis(3));
    let mut totals = Totals::default();
    histogram.merge_into(&mut totals);
    let mut out = Exposition::new();
    out.family("weir_things_total", "Things.", Kind::Counter)
        .sample(&[("name", "a\"b\\c\nd")], 3_u64)
        .sample(&[("name", "é")], 4_u64);
    out.family("weir_level", "A level \\ with\nlines.", Kind::Gauge).sample(&[], f64::INFINITY);
    out.family("weir_wait_seconds", "Waits.", Kind::Histogram).histogram(&[("db", "app")], &totals);
    out.finish()
}

#[test]
fn promtool_accepts_every_kind_of_family() {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        let mut stderr = std::io::stderr();
        writeln!(stderr, "SKIPPED: promtool is not installed (Debian package prometheus)").unwrap();
        return;
    };
    child.stdin.take().unwrap().write_all(everything().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "promtool: {said}");
}
