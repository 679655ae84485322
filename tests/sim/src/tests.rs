//! What `make test` runs of it: some seeds, and that a seed is a run.

use std::time::Duration;

use super::*;

/// Seconds in the unoptimised build.
const SEEDS: u64 = 100;

#[test]
fn every_promise_holds_in_these_runs_and_they_try_enough() {
    let (cover, failed) = run(1, SEEDS, base());
    assert_eq!(failed, None, "replay it by `make sim SEED=…`");
    assert_eq!(cover.missing(SEEDS), None);
}

#[test]
fn a_seed_is_a_run_whatever_the_clocks_of_the_machines_say() {
    let base = base();
    for seed in 1..20 {
        let told = |jumps: i64, later: u64| {
            let mut world = World::new(seed, base + Duration::from_secs(later));
            world.weather.jumps = jumps;
            let report = world.run(Notes::Nothing);
            (report.outcomes, report.cover.lines().collect::<Vec<_>>())
        };
        let first = told(1, 0);
        assert_eq!(first, told(1, 7777), "another moment of the machine's clock");
        assert_eq!(first, told(0, 0), "wall clocks of nodes that never jump");
    }
}
