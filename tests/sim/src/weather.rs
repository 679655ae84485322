//! What kind of a run a seed is: how many of what, how fast, how often something breaks.

use std::rc::Rc;
use std::time::Duration;

use policy::cluster::Timing;
use policy::{Consistency, OnNoPrimary, OnStale, Preferences, Route, Scope};

use crate::random::Random;
use crate::wal::Micros;

/// What a seed draws first.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each says whether something takes place")]
pub(crate) struct Weather {
    pub(crate) replicas: usize,
    pub(crate) weirs: usize,
    pub(crate) clients: usize,
    /// Between two faults.
    pub(crate) faults: Micros,
    /// How long a commit waits for a standby's word; 0 without synchronous replication.
    pub(crate) confirmed: Micros,
    /// Between commits of those who go past Weir.
    pub(crate) strangers: Micros,
    /// Whether a standby may be promoted while its primary is still there.
    pub(crate) usurpers: bool,
    /// Whether roles get and lose a default of their own.
    pub(crate) roles: bool,
    /// How much of a wall clock's jumps takes place: none, in a run that shows that none matters.
    pub(crate) jumps: i64,
    /// `server_version_num` of all nodes: from 19 on they wait for their replay by themselves.
    pub(crate) version: u32,
    pub(crate) timing: Timing,
    /// How long Weir's monitor waits for an answer.
    pub(crate) patience: Micros,
    pub(crate) failover_hold: Micros,
    /// From when on nothing breaks any more.
    pub(crate) calm_at: Micros,
    /// How long the cluster and the Weirs take to be well again.
    pub(crate) settles: Micros,
    /// Nothing ever breaks, and replicas replay all that they have at once.
    pub(crate) steady: bool,
    /// Until when clients begin something.
    pub(crate) until: Micros,
    /// When everything must have ended.
    pub(crate) end: Micros,
}

impl Weather {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let patience = random.pick(&[100_000, 300_000, 1_000_000]);
        let calm_at = random.between(1_000_000, 4_000_000);
        let failover_hold = random.pick(&[200_000, 1_000_000]);
        // A standby that is made anew, probes that timed out, a dispute.
        let settles = 4_500_000;
        let until = calm_at + settles + 1_500_000;
        Self {
            replicas: random.pick(&[1, 2, 2, 3, 3, 4, 5]),
            weirs: random.pick(&[1, 1, 2, 3]),
            clients: random.pick(&[3, 6, 10]),
            faults: random.pick(&[50_000, 150_000, 400_000]),
            confirmed: if random.chance(25) { random.pick(&[500, 5_000, 50_000]) } else { 0 },
            strangers: random.pick(&[20_000, 100_000, 500_000]),
            usurpers: random.chance(25),
            roles: true,
            jumps: 1,
            version: random.pick(&[150_018, 190_000]),
            timing: Timing {
                probe_timeout: Duration::from_micros(patience),
                dispute_hold: Duration::from_millis(random.pick(&[500, 3000])),
                ..Timing::default()
            },
            patience,
            failover_hold,
            calm_at,
            settles,
            steady: false,
            until,
            end: until + 2_500_000,
        }
    }
}

/// What a client asks for.
pub(crate) fn wishes(random: &mut Random) -> Rc<Preferences> {
    let max_lag = random.pick(&[None, Some(100), Some(500), Some(1000)]);
    Rc::new(Preferences {
        consistency: random.pick(&[
            Consistency::Eventual,
            Consistency::Session,
            Consistency::Session,
            Consistency::Session,
            Consistency::Strong,
        ]),
        scope: random.pick(&[Scope::Connection, Scope::Client, Scope::Client, Scope::Database]),
        route: Route::Auto,
        max_lag: max_lag.map(Duration::from_millis),
        on_stale: random.pick(&[OnStale::Primary, OnStale::Primary, OnStale::Wait, OnStale::Error]),
        stale_wait: Duration::from_millis(random.pick(&[5, 50])),
        on_no_primary: random.pick(&[OnNoPrimary::Serve, OnNoPrimary::Serve, OnNoPrimary::Error]),
        ..Preferences::default()
    })
}
