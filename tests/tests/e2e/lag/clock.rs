//! A wall clock that jumps, by libfaketime: only in Weir, and not the monotonic clock, as in life.

use std::path::{Path, PathBuf};
use std::time::Duration;

use testkit::Cluster;
use weir_tests::Config;

use super::row::{Promise, Row};
use super::stage::Stage;

/// Where distributions put it.
fn library() -> Option<PathBuf> {
    let folders = [
        "/usr/lib/x86_64-linux-gnu/faketime",
        "/usr/lib/aarch64-linux-gnu/faketime",
        "/usr/lib64/faketime",
        "/usr/lib/faketime",
    ];
    let files = folders.map(|folder| Path::new(folder).join("libfaketimeMT.so.1"));
    files.into_iter().find(|file| file.exists())
}

/// The hour in the newest line of a log.
fn hour_of_last_line(log: &str) -> u32 {
    let line = log.lines().last().unwrap_or_default();
    let time = line.split('T').nth(1).unwrap_or_else(|| panic!("no time: {line:?}"));
    time[..2].parse().unwrap()
}

/// Looks at a replica while Weir's clock goes an hour forward; `None` without libfaketime.
pub(super) async fn jumped() -> Option<Row> {
    let Some(library) = library() else {
        eprintln!("SKIPPED: libfaketime is not installed (Debian: apt-get install libfaketime)");
        return None;
    };
    let name = format!("weir-clock-{}-{:?}", std::process::id(), std::thread::current().id());
    let shift = std::env::temp_dir().join(name.replace(['(', ')'], ""));
    std::fs::write(&shift, "+0").unwrap();
    let environment = vec![
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", shift.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    let config = Config { environment, ..Config::default() };
    let stage = Stage::of(Cluster::builder().replicas(1), &config).await;
    let _writing = stage.marks.keep_putting(Duration::from_millis(20));
    let mut readings = stage.watch(&stage.replica(), 7).await;
    stage.weir.reload(&stage.cluster, &config);
    let before = hour_of_last_line(&stage.weir.log());
    std::fs::write(&shift, "+3600").unwrap();
    readings.extend(stage.watch(&stage.replica(), 14).await);
    stage.weir.reload(&stage.cluster, &config);
    let after = hour_of_last_line(&stage.weir.log());
    std::fs::write(&shift, "+0").unwrap();
    readings.extend(stage.watch(&stage.replica(), 7).await);
    std::fs::remove_file(&shift).unwrap();
    // Else the clock that jumped was nobody's.
    assert_ne!(before, after, "Weir's log shows no jump:\n{}", stage.weir.log());
    let why = "Nothing, here: they use the replica's clock. That one may be wrong as well.";
    Some(Row::judge("Weir's clock jumps by an hour", Promise::Within(2), &readings, why))
}
