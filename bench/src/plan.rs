//! What is measured, and in which order.

use std::time::Duration;

use weir_bench::peers::Name;
use weir_bench::pgbench::{Load, Mode, Work};

/// Clients of the cases in which every peer takes part.
pub(crate) const MAIN: u16 = 16;

/// Clients of the others.
const OTHERS: [u16; 3] = [1, 64, 256];

/// What pgbench needs to start and end, and for each client's log-in.
const START: Duration = Duration::from_millis(300);
const LOGIN: Duration = Duration::from_millis(2);

/// One thing that is measured of several peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) work: Work,
    pub(crate) mode: Mode,
    pub(crate) clients: u16,
}

impl Case {
    /// All, as they follow each other in a round and in the report.
    pub(crate) fn all() -> Vec<Self> {
        let select = |clients| Mode::ALL.map(|mode| Self { work: Work::Select, mode, clients });
        // pgbench 15 can't prepare within a pipeline.
        let works = [Work::TpcB, Work::Mixed, Work::Pipelined].map(|work| Self {
            work,
            mode: Mode::Extended,
            clients: MAIN,
        });
        let others = OTHERS.into_iter().flat_map(select);
        select(MAIN).into_iter().chain(others).chain(works).collect()
    }

    /// Those in which every peer takes part.
    pub(crate) fn is_main(self) -> bool {
        self.work == Work::Select && self.clients == MAIN
    }

    /// Says whether it is measured of `name`: time is short, so two peers have the main cases only.
    pub(crate) fn is_for(self, name: Name) -> bool {
        match name {
            Name::Direct | Name::Relay | Name::PgBouncer | Name::Weir => true,
            Name::Haproxy | Name::Pgpool => self.is_main(),
        }
    }

    /// What pgbench does for it; half as long where little varies or little depends on it.
    pub(crate) fn load(self, jobs: u16, seconds: u16) -> Load {
        let Self { work, mode, clients } = self;
        let short = clients == 1 || work != Work::Select;
        let seconds = if short { seconds.div_ceil(2) } else { seconds };
        Load { work, mode, clients, jobs, seconds }
    }
}

/// The peers in the order of `round`: nobody always comes first.
pub(crate) fn order(round: u16) -> [Name; 6] {
    let mut order = Name::ALL;
    for _ in 0..round {
        order.rotate_left(1);
    }
    order
}

/// About how long all runs take.
pub(crate) fn duration(rounds: u16, seconds: u16) -> Duration {
    let cases = Case::all();
    let runs = cases.iter().flat_map(|case| {
        Name::ALL.into_iter().filter(|name| case.is_for(*name)).map(|_| {
            let load = case.load(1, seconds);
            let logins = LOGIN.saturating_mul(load.clients.into());
            let lasts = Duration::from_secs(load.seconds.into());
            lasts.saturating_add(START).saturating_add(logins)
        })
    });
    runs.fold(Duration::ZERO, Duration::saturating_add).saturating_mul(rounds.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peer_is_first_once_in_six_rounds() {
        let first: Vec<_> = (0..6).map(|round| order(round)[0]).collect();
        assert_eq!(first, Name::ALL);
        assert_eq!(order(6), order(0));
    }

    #[test]
    fn every_query_mode_is_measured_with_every_number_of_clients() {
        let cases = Case::all();
        for clients in [1, 16, 64, 256] {
            for mode in Mode::ALL {
                let case = Case { work: Work::Select, mode, clients };
                assert_eq!(cases.iter().filter(|other| **other == case).count(), 1, "{case:?}");
            }
        }
        assert_eq!(cases.len(), 15);
    }

    #[test]
    fn all_peers_take_part_in_the_main_cases_and_four_in_the_others() {
        for case in Case::all() {
            let peers = Name::ALL.iter().filter(|name| case.is_for(**name)).count();
            assert_eq!(peers, if case.is_main() { 6 } else { 4 }, "{case:?}");
        }
    }

    #[test]
    fn runs_with_one_client_are_half_as_long_but_never_of_no_length() {
        let one = Case { work: Work::Select, mode: Mode::Simple, clients: 1 };
        assert_eq!([1, 2, 4].map(|seconds| one.load(2, seconds).seconds), [1, 1, 2]);
    }

    #[test]
    fn the_default_plan_takes_less_than_twelve_minutes() {
        let minutes = duration(5, 2).as_secs_f64() / 60.0;
        assert!((10.0..12.0).contains(&minutes), "{minutes}");
    }
}
