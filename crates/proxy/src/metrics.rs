//! What the data path counts: one set per worker, summed when scraped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use policy::{Consistency, Proof, Reason, TokenVerdict};
use sql::{Pin, Why};
use telemetry::{Collect, Counter, Exposition, Gauge, Histogram, Kind, Totals};

use crate::timers::Limit;

/// Where a cycle was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Primary,
    Replica,
    Weir,
    Refused,
}

impl Side {
    const ALL: [Self; 4] = [Self::Primary, Self::Replica, Self::Weir, Self::Refused];

    /// Its label.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::Weir => "weir",
            Self::Refused => "refused",
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Primary => 0,
            Self::Replica => 1,
            Self::Weir => 2,
            Self::Refused => 3,
        }
    }
}

/// One worker's counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    routed: Box<[AtomicU64]>,
    /// By reason, of which only those are used that are pins.
    pins: Box<[(Counter, Gauge)]>,
    pub(crate) clients: Gauge,
    pub(crate) logins: Counter,
    pub(crate) logins_refused: Counter,
    pub(crate) servers_opened: Counter,
    pub(crate) servers_closed: Counter,
    pub(crate) retried: Counter,
    pub(crate) cancels: Counter,
    pub(crate) class_hits: Counter,
    pub(crate) class_misses: Counter,
    pub(crate) learned: Counter,
    /// By cause, of which only those are used that are doubts.
    doubts: Box<[Counter]>,
    pub(crate) tickets: Counter,
    guards: [Counter; 3],
    /// In the order of [`TokenVerdict::ALL`].
    tokens: [Counter; TokenVerdict::ALL.len()],
    /// Reads by level, then by side.
    reads: [[Counter; 2]; 3],
    /// How long reads waited for tickets, replay or fresh replicas.
    pub(crate) fence_wait: Histogram,
    pub(crate) server_wait: Histogram,
    overstayed: [Counter; Limit::ALL.len()],
}

impl Default for Metrics {
    fn default() -> Self {
        let cells = Side::ALL.len().saturating_mul(Reason::ALL.len());
        Self {
            routed: (0..cells).map(|_| AtomicU64::new(0)).collect(),
            pins: Reason::ALL.iter().map(|_| Default::default()).collect(),
            clients: Gauge::default(),
            logins: Counter::default(),
            logins_refused: Counter::default(),
            servers_opened: Counter::default(),
            servers_closed: Counter::default(),
            retried: Counter::default(),
            cancels: Counter::default(),
            class_hits: Counter::default(),
            class_misses: Counter::default(),
            learned: Counter::default(),
            doubts: Why::ALL.iter().map(|_| Counter::default()).collect(),
            tickets: Counter::default(),
            guards: Default::default(),
            tokens: Default::default(),
            reads: Default::default(),
            fence_wait: Histogram::new(),
            server_wait: Histogram::new(),
            overstayed: Default::default(),
        }
    }
}

impl Metrics {
    /// Counts a cycle.
    pub(crate) fn routed(&self, side: Side, reason: Reason) {
        if let Some(cell) = self.routed.get(cell(side, reason.index())) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a guard's outcome.
    pub(crate) fn guarded(&self, proof: Proof) {
        let [passed, behind, void] = &self.guards;
        match proof {
            Proof::Passed => passed.inc(),
            Proof::Behind => behind.inc(),
            Proof::Void => void.inc(),
        }
    }

    /// Counts a token by what it is worth.
    pub(crate) fn token(&self, verdict: TokenVerdict) {
        let [taken, other_timeline, other_system, ahead] = &self.tokens;
        match verdict {
            TokenVerdict::Taken => taken.inc(),
            TokenVerdict::OtherTimeline => other_timeline.inc(),
            TokenVerdict::OtherSystem => other_system.inc(),
            TokenVerdict::Ahead => ahead.inc(),
        }
    }

    /// Counts a read of class `read` by its level and by who serves it.
    pub(crate) fn read(&self, level: Consistency, side: Side) {
        let [eventual, session, strong] = &self.reads;
        let [primary, replica] = match level {
            Consistency::Eventual => eventual,
            Consistency::Session => session,
            Consistency::Strong => strong,
        };
        match side {
            Side::Primary => primary.inc(),
            Side::Replica => replica.inc(),
            Side::Weir | Side::Refused => {}
        }
    }

    /// Counts that a session is pinned for another cause than before, or for none any more.
    pub(crate) fn pinned(&self, before: Option<Pin>, after: Option<Pin>) {
        let of = |pin: Option<Pin>| pin.and_then(|pin| self.pins.get(Reason::Pinned(pin).index()));
        if let Some((_, now)) = of(before) {
            now.dec();
        }
        if let Some((begun, now)) = of(after) {
            begun.inc();
            now.inc();
        }
    }

    /// Counts a statement that goes to the primary though it may be a read.
    pub(crate) fn doubted(&self, why: Why) {
        if let Some(count) = self.doubts.get(why.index()) {
            count.inc();
        }
    }

    /// Counts a session that did something for too long.
    pub(crate) fn overstayed(&self, limit: Limit) {
        if let Some(count) = self.overstayed.get(limit.index()) {
            count.inc();
        }
    }

    fn overstayed_so_far(&self, limit: Limit) -> u64 {
        self.overstayed.get(limit.index()).map_or(0, Counter::value)
    }

    fn routed_so_far(&self, side: Side, reason: usize) -> u64 {
        self.routed.get(cell(side, reason)).map_or(0, |cell| cell.load(Ordering::Relaxed))
    }
}

fn cell(side: Side, reason: usize) -> usize {
    side.index().saturating_mul(Reason::ALL.len()).saturating_add(reason)
}

/// All workers' counts.
#[derive(Debug)]
pub(crate) struct AllMetrics(pub(crate) Vec<Arc<Metrics>>);

impl AllMetrics {
    fn sum(&self, count: impl Fn(&Metrics) -> u64) -> u64 {
        self.0.iter().map(|metrics| count(metrics)).sum()
    }

    fn collect_reads(&self, out: &mut Exposition) {
        let levels = [Consistency::Eventual, Consistency::Session, Consistency::Strong];
        let help =
            "Statements of class read by the consistency asked for and where they were served.";
        let mut reads = out.family("weir_reads_total", help, Kind::Counter);
        for (level, consistency) in levels.into_iter().enumerate() {
            for (side, target) in ["primary", "replica"].into_iter().enumerate() {
                let count = self.sum(|metrics| {
                    let of_level = metrics.reads.get(level);
                    of_level.and_then(|sides| sides.get(side)).map_or(0, Counter::value)
                });
                let labels = [("consistency", consistency.as_str()), ("target", target)];
                reads.sample(&labels, count);
            }
        }
        let help = "Guarded reads by what their replica proved.";
        let mut guards = out.family("weir_guards_total", help, Kind::Counter);
        for (index, proof) in ["passed", "behind", "void"].into_iter().enumerate() {
            let count = self.sum(|metrics| metrics.guards.get(index).map_or(0, Counter::value));
            guards.sample(&[("proof", proof)], count);
        }
        let help = "Tokens that clients brought (weir.min_lsn), by what they are worth.";
        let mut tokens = out.family("weir_tokens_total", help, Kind::Counter);
        for (index, verdict) in TokenVerdict::ALL.into_iter().enumerate() {
            let count = self.sum(|metrics| metrics.tokens.get(index).map_or(0, Counter::value));
            tokens.sample(&[("verdict", verdict.as_str())], count);
        }
    }

    /// All pins from the start, so that the first one is an increase and no new series.
    fn collect_pin(&self, out: &mut Exposition, index: usize, word: &str) {
        let of = || self.0.iter().filter_map(|metrics| metrics.pins.get(index));
        let begun: u64 = of().map(|(begun, _)| begun.value()).sum();
        let now: i64 = of().map(|(_, now)| now.value()).sum();
        let help = "Sessions that became pinned to a server, by the first cause.";
        out.family("weir_pins_total", help, Kind::Counter).sample(&[("reason", word)], begun);
        let help = "Sessions that are pinned to a server, by the first cause.";
        out.family("weir_pinned_sessions", help, Kind::Gauge).sample(&[("reason", word)], now);
    }
}

impl Collect for AllMetrics {
    fn collect(&self, out: &mut Exposition) {
        let mut routed = out.family(
            "weir_cycles_total",
            "Cycles by where they were served and why.",
            Kind::Counter,
        );
        for side in Side::ALL {
            for (index, reason) in Reason::ALL.iter().enumerate() {
                let count = self.sum(|metrics| metrics.routed_so_far(side, index));
                if count > 0 {
                    routed.sample(&[("target", side.as_str()), ("reason", reason.as_str())], count);
                }
            }
        }
        for (index, reason) in Reason::ALL.iter().enumerate() {
            if let Reason::Pinned(pin) = reason {
                self.collect_pin(out, index, pin.as_str());
            }
        }
        let mut doubts = out.family(
            "weir_doubted_total",
            "Statements that went to the primary though they may be reads, by cause.",
            Kind::Counter,
        );
        for why in Why::ALL.iter().filter(|why| why.is_doubt()) {
            let count =
                |metrics: &Metrics| metrics.doubts.get(why.index()).map_or(0, Counter::value);
            doubts.sample(&[("why", why.as_str())], self.sum(count));
        }
        self.collect_reads(out);
        let clients: i64 = self.0.iter().map(|metrics| metrics.clients.value()).sum();
        out.family("weir_clients", "Clients that are logged in.", Kind::Gauge).sample(&[], clients);
        for (name, help, count) in COUNTERS {
            out.family(name, help, Kind::Counter)
                .sample(&[], self.sum(|metrics| count(metrics).value()));
        }
        let mut overstayed = out.family(
            "weir_timeouts_total",
            "Cycles, transactions and clients that reached a time limit.",
            Kind::Counter,
        );
        for limit in Limit::ALL {
            let count = self.sum(|metrics| metrics.overstayed_so_far(limit));
            overstayed.sample(&[("limit", limit.as_str())], count);
        }
        let mut waits = Totals::default();
        self.0.iter().for_each(|metrics| metrics.server_wait.merge_into(&mut waits));
        let mut fences = Totals::default();
        self.0.iter().for_each(|metrics| metrics.fence_wait.merge_into(&mut fences));
        out.family(
            "weir_fence_wait_seconds",
            "How long reads waited for a ticket, for replicas to replay, or for a fresh replica.",
            Kind::Histogram,
        )
        .histogram(&[], &fences);
        out.family(
            "weir_server_wait_seconds",
            "How long clients waited for a server that was not idle.",
            Kind::Histogram,
        )
        .histogram(&[], &waits);
    }
}

type CounterOf = fn(&Metrics) -> &Counter;

const COUNTERS: [(&str, &str, CounterOf); 10] = [
    ("weir_logins_total", "Clients that logged in.", |metrics| &metrics.logins),
    ("weir_logins_refused_total", "Clients that were refused at login.", |metrics| {
        &metrics.logins_refused
    }),
    ("weir_servers_opened_total", "Server connections opened.", |metrics| &metrics.servers_opened),
    ("weir_servers_closed_total", "Server connections closed.", |metrics| &metrics.servers_closed),
    (
        "weir_retried_total",
        "Reads that a replica refused or lost, run on the primary instead.",
        |metrics| &metrics.retried,
    ),
    ("weir_cancel_requests_total", "Cancel requests passed on.", |metrics| &metrics.cancels),
    ("weir_class_cache_hits_total", "Statements whose class was cached.", |metrics| {
        &metrics.class_hits
    }),
    ("weir_class_cache_misses_total", "Statements that were parsed.", |metrics| {
        &metrics.class_misses
    }),
    (
        "weir_learned_total",
        "Statements that a replica refused and the primary ran: they go there from then on.",
        |metrics| &metrics.learned,
    ),
    ("weir_tickets_total", "Tickets taken for the LSN clock.", |metrics| &metrics.tickets),
];
