//! How long may a session do what it does?
//!
//! No clock is read and no timer set on a cycle's path: a session only says what it begins to do.
//! The worker walks over its sessions, a part at a time, and adds the time since it was last at each; a
//! phase that began in between counts from the walk that finds it. So a limit strikes up to two walks
//! late, and never early; how often the worker walks goes by the shortest limit.

use std::cell::Cell;
use std::rc::Rc;
use std::task::Context;
use std::time::{Duration, Instant};

use wire::TxStatus;

use crate::config::PoolRules;
use crate::error::{Cause, Reached};
use crate::peer::Peer;
use crate::relay::Moment;
use crate::worker::Worker;

/// The longest time between two walks.
const SELDOM: Duration = Duration::from_secs(1);
/// The shortest time between two walks.
const OFTEN: Duration = Duration::from_millis(10);
/// Bounds of the time that a server has to heed a cancel request, and a client to roll back.
const GRACE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// What a session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Phase {
    /// Waits for its client, between transactions.
    #[default]
    Idle,
    /// Waits for its client, within a transaction.
    InTransaction,
    /// Has a cycle, and no server for it yet.
    Waiting,
    /// Has a cycle that a server works on.
    Working,
}

/// A limit in time, by `PgBouncer`'s name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    ClientIdle,
    IdleTransaction,
    Query,
    Transaction,
}

impl Limit {
    /// All limits; [`Self::index`] is the place of each.
    pub(crate) const ALL: [Self; 4] =
        [Self::ClientIdle, Self::IdleTransaction, Self::Query, Self::Transaction];

    /// Its name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ClientIdle => "client_idle_timeout",
            Self::IdleTransaction => "idle_transaction_timeout",
            Self::Query => "query_timeout",
            Self::Transaction => "transaction_timeout",
        }
    }

    /// Its place among all.
    pub(crate) fn index(self) -> usize {
        match self {
            Self::ClientIdle => 0,
            Self::IdleTransaction => 1,
            Self::Query => 2,
            Self::Transaction => 3,
        }
    }

    /// How long it is; zero is no limit.
    pub(crate) fn of(self, rules: &PoolRules) -> Duration {
        match self {
            Self::ClientIdle => rules.client_idle_timeout,
            Self::IdleTransaction => rules.idle_transaction_timeout,
            Self::Query => rules.query_timeout,
            Self::Transaction => rules.transaction_timeout,
        }
    }

    /// Whether `lasted` has reached it.
    fn reached(self, rules: &PoolRules, lasted: Duration) -> bool {
        let limit = self.of(rules);
        !limit.is_zero() && lasted >= limit
    }

    /// How long a server that was asked to stop for this limit may take to do so.
    pub(crate) fn grace(self, rules: &PoolRules) -> Duration {
        let (least, most) = GRACE;
        self.of(rules).clamp(least, most)
    }
}

/// What becomes of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its client cancels the cycle that waits for a server.
    Cancelled,
    /// The cycle that waits for a server is refused.
    Refused(Limit),
    /// The session ends.
    Expelled(Limit),
    /// The session ends, since its server does not heed the cancel request.
    Unheeded(Limit),
}

/// What a walk found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    /// The session is to be told.
    Tell(Verdict),
    /// What its server does is to be cancelled.
    Cancel(Limit),
}

/// One session's times.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    phase: Cell<Phase>,
    /// Since the cycle, or the silence, began; `None` until a walk finds it.
    lasted: Cell<Option<Duration>>,
    transaction: Cell<Option<Duration>>,
    /// Why the cycle was cancelled.
    stopped: Cell<Option<Limit>>,
    verdict: Cell<Option<Verdict>>,
}

impl Timer {
    /// The session waits for its client.
    pub(crate) fn rests(&self, status: TxStatus) {
        if status == TxStatus::Idle {
            self.enter(Phase::Idle);
            self.transaction.set(None);
        } else {
            self.enter(Phase::InTransaction);
        }
        self.lasted.set(None);
    }

    /// The session has a cycle.
    pub(crate) fn begins(&self) {
        self.enter(Phase::Waiting);
        self.lasted.set(None);
        self.stopped.set(None);
    }

    /// Its cycle needs a server, perhaps another one than it had.
    pub(crate) fn waits(&self) {
        self.enter(Phase::Waiting);
    }

    /// Its cycle has a server.
    pub(crate) fn works(&self) {
        self.enter(Phase::Working);
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.verdict.set(None);
    }

    /// What the session does.
    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// What becomes of the session, if that was decided.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        self.verdict.get()
    }

    fn advance(&self, passed: Duration, rules: &PoolRules) -> Option<Finding> {
        let lasted = later(&self.lasted, passed);
        let phase = self.phase.get();
        // A transaction begins when a server works for it; waiting for one is not counted.
        let counts = self.transaction.get().is_some()
            || matches!(phase, Phase::Working | Phase::InTransaction);
        let open = if counts { later(&self.transaction, passed) } else { Duration::ZERO };
        if self.verdict.get().is_some() {
            return None;
        }
        let (idle, query) = (Limit::ClientIdle, Limit::Query);
        let (silent, transaction) = (Limit::IdleTransaction, Limit::Transaction);
        let too_long = transaction.reached(rules, open);
        match phase {
            Phase::Idle => idle.reached(rules, lasted).then_some(Verdict::Expelled(idle)),
            Phase::InTransaction if silent.reached(rules, lasted) => {
                Some(Verdict::Expelled(silent))
            }
            // After an error that told of the limit the client has some time to roll back.
            Phase::InTransaction if too_long => {
                let grace = self.stopped.get().map_or(Duration::ZERO, |stop| stop.grace(rules));
                (lasted >= grace).then_some(Verdict::Expelled(transaction))
            }
            Phase::Waiting if query.reached(rules, lasted) => Some(Verdict::Refused(query)),
            Phase::Waiting if too_long => Some(Verdict::Refused(transaction)),
            Phase::InTransaction | Phase::Waiting => None,
            Phase::Working => return self.working(lasted, too_long, rules),
        }
        .map(Finding::Tell)
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "a fact of the transaction, not a mode")]
    fn working(&self, lasted: Duration, too_long: bool, rules: &PoolRules) -> Option<Finding> {
        if let Some(limit) = self.stopped.get() {
            let unheeded = lasted >= limit.grace(rules);
            return unheeded.then_some(Finding::Tell(Verdict::Unheeded(limit)));
        }
        let limit = if Limit::Query.reached(rules, lasted) {
            Limit::Query
        } else if too_long {
            Limit::Transaction
        } else {
            return None;
        };
        self.stopped.set(Some(limit));
        self.lasted.set(None);
        Some(Finding::Cancel(limit))
    }
}

/// Adds the time since the last walk, unless it began behind that.
fn later(time: &Cell<Option<Duration>>, passed: Duration) -> Duration {
    let lasted = time.get().map_or(Duration::ZERO, |lasted| lasted.saturating_add(passed));
    time.set(Some(lasted));
    lasted
}

/// Walks over the sessions whose time has come, and says when to do so again.
pub(crate) fn walk(worker: &Rc<Worker>, now: Instant) -> Duration {
    let live = worker.live();
    let mut peers = worker.peers().borrow_mut();
    let Some(pace) = pace(&live.pool) else {
        peers.skip(now);
        return SELDOM;
    };
    peers.walk(now, pace, |peer, passed| match peer.timer.advance(passed, &live.pool) {
        None => {}
        Some(Finding::Tell(verdict)) => {
            if let Verdict::Refused(limit) | Verdict::Expelled(limit) = verdict {
                worker.metrics.overstayed(limit);
            }
            peer.judge(verdict);
        }
        Some(Finding::Cancel(limit)) => {
            worker.metrics.overstayed(limit);
            if let Some(running) = peer.running() {
                running.stop_for(limit, limit.of(&live.pool));
                tokio::task::spawn_local(running.cancel(Rc::clone(worker)));
            }
        }
    })
}

/// How often each session is looked at; `None` without any limit.
fn pace(rules: &PoolRules) -> Option<Duration> {
    let limits = Limit::ALL.map(|limit| limit.of(rules));
    let shortest = limits.iter().filter(|limit| !limit.is_zero()).min()?;
    Some(shortest.checked_div(8).unwrap_or_default().clamp(OFTEN, SELDOM))
}

impl Peer {
    /// Decides what becomes of the session, and wakes it to see that.
    pub(crate) fn judge(&self, verdict: Verdict) {
        self.timer.verdict.set(Some(verdict));
        self.wake();
    }

    /// Why the cycle that waits for a server is not served.
    pub(crate) fn refused(&self, worker: &Worker) -> Option<Cause> {
        match self.timer.verdict()? {
            Verdict::Cancelled => Some(Cause::Cancelled),
            Verdict::Refused(limit) => {
                self.timer.stopped.set(Some(limit));
                let after = limit.of(&worker.live().pool);
                Some(Reached::Refused { limit, after }.into())
            }
            Verdict::Expelled(_) | Verdict::Unheeded(_) => None,
        }
    }

    /// Why the session, which waits for its client, must end.
    pub(crate) fn expelled(&self, worker: &Worker) -> Option<Cause> {
        let verdict = self.timer.verdict()?;
        let rules = &worker.live().pool;
        match verdict {
            Verdict::Expelled(limit) => {
                Some(Reached::Expelled { limit, after: limit.of(rules) }.into())
            }
            Verdict::Unheeded(limit) => {
                Some(Reached::Unheeded { limit, after: limit.grace(rules) }.into())
            }
            Verdict::Cancelled | Verdict::Refused(_) => None,
        }
    }

    /// Why the session, for which a server works, must end: an administrator said so, or it was expelled; who has its
    /// answer already need not wait any more.
    pub(crate) fn must_end(
        &self,
        worker: &Worker,
        cx: &Context<'_>,
        moment: Moment,
    ) -> Option<Cause> {
        match moment {
            Moment::Woken => {
                self.waits(cx);
                self.is_ended().then_some(Cause::Terminated)
            }
            Moment::Resting => self.expelled(worker),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::Peers;

    const STEP: Duration = Duration::from_millis(100);

    fn rules() -> PoolRules {
        PoolRules {
            query_timeout: Duration::from_secs(1),
            transaction_timeout: Duration::from_secs(3),
            idle_transaction_timeout: Duration::from_millis(500),
            client_idle_timeout: Duration::from_secs(2),
            ..PoolRules::default()
        }
    }

    /// What the walk finds first, and how long after the timer was set that is.
    fn found(timer: &Timer, rules: &PoolRules) -> (Option<Finding>, Duration) {
        let mut passed = Duration::ZERO;
        loop {
            let finding = timer.advance(STEP, rules);
            if finding.is_some() || passed > Duration::from_secs(60) {
                return (finding, passed);
            }
            passed = passed.saturating_add(STEP);
        }
    }

    #[test]
    fn each_phase_has_its_limit_and_none_strikes_early() {
        let rules = rules();
        let timer = Timer::default();
        timer.rests(TxStatus::Idle);
        let expelled = |limit| Some(Finding::Tell(Verdict::Expelled(limit)));
        assert_eq!(found(&timer, &rules), (expelled(Limit::ClientIdle), rules.client_idle_timeout));
        for status in [TxStatus::Open, TxStatus::Failed] {
            timer.rests(status);
            let limit = rules.idle_transaction_timeout;
            assert_eq!(found(&timer, &rules), (expelled(Limit::IdleTransaction), limit));
        }
        timer.rests(TxStatus::Idle);
        timer.begins();
        let refused = Some(Finding::Tell(Verdict::Refused(Limit::Query)));
        assert_eq!(found(&timer, &rules), (refused, rules.query_timeout));
        timer.begins();
        timer.works();
        assert_eq!(
            found(&timer, &rules),
            (Some(Finding::Cancel(Limit::Query)), rules.query_timeout)
        );
    }

    #[test]
    fn without_limits_nothing_is_ever_found() {
        let (timer, rules) = (Timer::default(), PoolRules::default());
        for set in [
            || Timer::default(),
            || {
                let timer = Timer::default();
                timer.works();
                timer
            },
        ] {
            assert_eq!(found(&set(), &rules).0, None);
        }
        timer.rests(TxStatus::Open);
        assert_eq!(found(&timer, &rules).0, None);
    }

    #[test]
    fn a_transaction_is_timed_over_its_statements_and_the_next_one_anew() {
        let rules = PoolRules { idle_transaction_timeout: Duration::ZERO, ..rules() };
        let timer = Timer::default();
        for _ in 0..2 {
            let mut passed = Duration::ZERO;
            while passed < rules.transaction_timeout {
                timer.begins();
                timer.works();
                assert_eq!(timer.advance(STEP, &rules), None, "after {passed:?}");
                timer.rests(TxStatus::Open);
                passed = passed.saturating_add(STEP);
            }
            timer.begins();
            timer.works();
            assert_eq!(timer.advance(STEP, &rules), Some(Finding::Cancel(Limit::Transaction)));
            timer.rests(TxStatus::Idle);
        }
    }

    #[test]
    fn waiting_for_a_server_is_part_of_the_query_and_not_of_the_transaction() {
        let rules = PoolRules { query_timeout: Duration::ZERO, ..rules() };
        let timer = Timer::default();
        timer.begins();
        assert_eq!(found(&timer, &rules).0, None);
        timer.works();
        assert_eq!(
            found(&timer, &rules),
            (Some(Finding::Cancel(Limit::Transaction)), rules.transaction_timeout)
        );
    }

    #[test]
    fn a_server_that_does_not_heed_the_cancel_request_is_given_up_after_the_grace() {
        let rules = rules();
        let timer = Timer::default();
        timer.begins();
        timer.works();
        assert_eq!(found(&timer, &rules).0, Some(Finding::Cancel(Limit::Query)));
        let unheeded = Some(Finding::Tell(Verdict::Unheeded(Limit::Query)));
        assert_eq!(found(&timer, &rules), (unheeded, Limit::Query.grace(&rules)));
    }

    #[test]
    fn a_client_told_of_its_transactions_limit_has_time_to_roll_back() {
        let rules = PoolRules { idle_transaction_timeout: Duration::ZERO, ..rules() };
        let timer = Timer::default();
        timer.works();
        let rules = PoolRules { query_timeout: Duration::ZERO, ..rules };
        assert_eq!(found(&timer, &rules).0, Some(Finding::Cancel(Limit::Transaction)));
        timer.rests(TxStatus::Failed);
        let (finding, after) = found(&timer, &rules);
        assert_eq!(finding, Some(Finding::Tell(Verdict::Expelled(Limit::Transaction))));
        assert_eq!(after, Limit::Transaction.grace(&rules));
        // Silent from the start, it was told nothing, and nothing is to be gained by waiting.
        let timer = Timer::default();
        timer.rests(TxStatus::Open);
        assert_eq!(found(&timer, &rules).1, rules.transaction_timeout);
    }

    #[test]
    fn of_many_sessions_none_ends_early_and_none_more_than_two_walks_late() {
        const COUNT: i32 = 20_000;
        let limit = Duration::from_millis(500);
        let rules = PoolRules { idle_transaction_timeout: limit, ..PoolRules::default() };
        let pace = pace(&rules).expect("there is a limit");
        let start = crate::worker::now();
        // Each falls silent at a time of its own, many while a walk is under way.
        let silent = |pid: i32| start + Duration::from_micros(61 * u64::from(pid.unsigned_abs()));
        let mut peers = Peers::default();
        let all: Vec<_> =
            (1..=COUNT).map(|pid| Rc::new(Peer::new(pid, [0; crate::peer::LONG]))).collect();
        for peer in &all {
            peers.insert(peer);
        }
        let (mut now, mut fell, mut ended) = (start, 0, 0);
        while ended < all.len() {
            while let Some(peer) = all.get(fell).filter(|peer| silent(peer.pid()) <= now) {
                peer.timer.rests(TxStatus::Open);
                fell += 1;
            }
            let pause = peers.walk(now, pace, |peer, passed| {
                if peer.timer.advance(passed, &rules).is_some() {
                    let lasted = now - silent(peer.pid());
                    // A walk takes up to COUNT / 1024 ms, and a tick to begin.
                    let late = limit + 2 * (pace + Duration::from_millis(22));
                    assert!(lasted >= limit && lasted <= late, "{}: {lasted:?}", peer.pid());
                    peer.judge(Verdict::Expelled(Limit::IdleTransaction));
                    ended += 1;
                }
            });
            now += pause;
        }
    }

    #[test]
    fn sessions_are_looked_at_eight_times_within_the_shortest_limit() {
        let paced = |limit| pace(&PoolRules { query_timeout: limit, ..PoolRules::default() });
        assert_eq!(paced(Duration::ZERO), None);
        assert_eq!(paced(Duration::from_millis(800)), Some(Duration::from_millis(100)));
        assert_eq!(paced(Duration::from_millis(8)), Some(OFTEN));
        assert_eq!(paced(Duration::from_secs(60)), Some(SELDOM));
    }
}
