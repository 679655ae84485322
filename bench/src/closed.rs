//! The closed loop: pgbench through every peer, interleaved in rotating order.

use weir_bench::cpu::Meter;
use weir_bench::peers::{Name, Peer};
use weir_bench::pgbench::{Load, Mode, Pgbench, Work};

use crate::args::Args;
use crate::plan::{self, Case, MAIN};
use crate::report::Outcome;
use crate::table::{Sample, Table};
use crate::tell;

/// What measuring needs beside the peers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClosedLoop<'a> {
    pub(crate) args: &'a Args,
    pub(crate) pgbench: &'a Pgbench,
    pub(crate) meter: Meter,
}

impl ClosedLoop<'_> {
    /// Runs all rounds; `missing` are the peers that could not be started.
    pub(crate) fn measure(self, peers: &mut [Peer], missing: Vec<(Name, String)>) -> Outcome {
        let (mut table, cases) = (Table::default(), Case::all());
        let Args { rounds, seconds, quick, .. } = *self.args;
        let minutes = plan::duration(rounds, seconds).as_secs_f64() / 60.0;
        tell(&format!(
            "closed loop: {} cases, {rounds} round(s), about {minutes:.1} minutes",
            cases.len()
        ));
        if !quick {
            self.warm_up(peers);
        }
        for round in 0..rounds {
            tell(&format!("closed loop: round {} of {rounds}", round.saturating_add(1)));
            for case in &cases {
                self.measure_case(peers, &mut table, (round, *case));
            }
        }
        Outcome { table, missing }
    }

    fn measure_case(self, peers: &mut [Peer], table: &mut Table, (round, case): (u16, Case)) {
        for name in plan::order(round).into_iter().filter(|name| case.is_for(*name)) {
            let Some(peer) = peers.iter_mut().find(|peer| peer.name == name) else { continue };
            let run = self.sample(peer, case.load(self.args.jobs, self.args.seconds));
            table.add((name, case), peer.remark(case.mode), run);
        }
    }

    /// Caches fill and pools open before anything counts.
    fn warm_up(self, peers: &mut [Peer]) {
        tell("closed loop: warming up");
        for peer in peers {
            for mode in Mode::ALL {
                let case = Case { work: Work::Select, mode, clients: MAIN };
                // What fails here fails again when it counts, and is reported then.
                let _uncounted = self.sample(peer, case.load(self.args.jobs, 1));
            }
        }
    }

    /// Runs pgbench once, and reads what the peer used while all clients were connected.
    fn sample(self, peer: &mut Peer, load: Load) -> Result<Sample, String> {
        let mut running = self.pgbench.start(peer.target(load.mode), load)?;
        running.wait_connected()?;
        let before = peer.read(self.meter)?;
        let counted = running.finish()?;
        let used = before.zip(peer.read(self.meter)?);
        Ok(Sample { counted, used: used.map(|(before, after)| after.since(&before)) })
    }
}
