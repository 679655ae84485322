//! Wall clocks that jump: Weir's while it runs, and a replica's. Monotonic clocks go on, as in life.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use testkit::Cluster;
use weir_tests::Config;

use super::row::{Promise, Row};
use super::stage::Stage;

const PACE: Duration = Duration::from_millis(20);

/// A library that shifts the wall clock of whom it is loaded into.
struct Shift(PathBuf);

impl Shift {
    /// Builds it into an existing folder.
    fn new(folder: &Path) -> Self {
        let shift = Self(folder.to_owned());
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(shift.library());
        cc.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/lag/shift.c"));
        assert!(cc.status().unwrap().success(), "cc, which links Rust's programs too, fails");
        shift.by("0");
        shift
    }

    fn library(&self) -> PathBuf {
        self.0.join("shift.so")
    }

    fn file(&self) -> PathBuf {
        self.0.join("shift")
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("LD_PRELOAD", self.library().display().to_string()),
            ("WALL_CLOCK_SHIFT", self.file().display().to_string()),
        ]
    }

    fn by(&self, seconds: &str) {
        std::fs::write(self.file(), seconds).unwrap();
    }
}

/// The hour in the newest line of a log.
fn hour_of_last_line(log: &str) -> u32 {
    let line = log.lines().last().unwrap_or_default();
    let time = line.split('T').nth(1).unwrap_or_else(|| panic!("no time: {line:?}"));
    time[..2].parse().unwrap()
}

/// Weir's clock goes an hour forward, and back.
pub(super) async fn jumped() -> Row {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let shift = Shift::new(cluster.folder());
    let config = Config { environment: shift.environment(), ..Config::default() };
    let stage = Stage::before(cluster, &config).await;
    let _writing = stage.marks.keep_putting(PACE);
    let mut readings = stage.watch(&stage.replica(), 7).await;
    stage.weir.reload(&stage.cluster, &config);
    let before = hour_of_last_line(&stage.weir.log());
    shift.by("3600");
    readings.extend(stage.watch(&stage.replica(), 14).await);
    stage.weir.reload(&stage.cluster, &config);
    let after = hour_of_last_line(&stage.weir.log());
    shift.by("0");
    readings.extend(stage.watch(&stage.replica(), 7).await);
    // Else the clock that jumped was nobody's.
    assert_ne!(before, after, "Weir's log shows no jump:\n{}", stage.weir.log());
    let why = "Nothing, here: they use the servers' clocks.";
    Row::judge("Weir's wall clock jumps by an hour, and back", Promise::Within(2), &readings, why)
}

/// A replica's clock is an hour ahead of the primary's.
pub(super) async fn wrong_on_the_replica() -> Row {
    let cluster = Cluster::builder().replicas(1).start().unwrap();
    let shift = Shift::new(cluster.folder());
    shift.by("3600");
    cluster.replicas()[0].restart_with(&shift.environment()).unwrap();
    let stage = Stage::before(cluster, &Config::default()).await;
    let _writing = stage.marks.keep_putting(PACE);
    let readings = stage.watch(&stage.replica(), 21).await;
    let why = "Two machines' clocks are compared. Were the replica's behind, lag would be hidden, or negative.";
    Row::judge("The replica's wall clock is an hour ahead", Promise::Within(2), &readings, why)
}
