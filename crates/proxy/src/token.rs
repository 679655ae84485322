//! Judges the tokens that clients bring (`weir.min_lsn`), and reports those that are not taken.
//!
//! What a token is worth is policy's to say; here is who asks the clock, and for how long.

use policy::{Ticket, Token, TokenVerdict};

use crate::metrics::Metrics;
use crate::view::ClusterView;
use crate::worker::Worker;

/// Judges a token as it stands: nobody waits, so that [`TokenVerdict::Ahead`] is no last word.
pub(crate) fn at_a_glance(token: Token, cluster: &ClusterView) -> TokenVerdict {
    let answers = cluster.answers.newest();
    token.judge(&cluster.topology.newest(), answers.newest())
}

/// Judges a token, by an answer to a question that is asked from now on if the newest does not
/// reach it; waits for that as long as `SHOW weir.lsn` does.
///
/// Cancel-safe: a ticket that nobody waits for costs a question at most.
pub(crate) async fn judge(token: Token, cluster: &ClusterView, worker: &Worker) -> TokenVerdict {
    let verdict = match at_a_glance(token, cluster) {
        TokenVerdict::Ahead => by_asking(token, cluster, worker).await,
        verdict @ (TokenVerdict::Taken
        | TokenVerdict::OtherTimeline
        | TokenVerdict::OtherSystem) => verdict,
    };
    report(token, verdict, cluster, &worker.metrics);
    verdict
}

async fn by_asking(token: Token, cluster: &ClusterView, worker: &Worker) -> TokenVerdict {
    let ticket = cluster.take_ticket();
    worker.metrics.tickets.inc();
    let told = answered(ticket, cluster, worker).await;
    let (answers, topology) = (cluster.answers.newest(), cluster.topology.newest());
    // Who has no answer of the primary of this moment can't tell.
    let newest = answers.newest().filter(|answer| told && answer.epoch == topology.epoch);
    newest.map_or(TokenVerdict::Taken, |_| token.judge(&topology, newest))
}

/// Waits, for `failover_hold` at most, until the clock covers a ticket; whether it does.
pub(crate) async fn answered(ticket: Ticket, cluster: &ClusterView, worker: &Worker) -> bool {
    let mut answers = cluster.answers.receiver();
    let limit = worker.live().pool.failover_hold;
    let covered = answers.wait_for(|answers| answers.covering(ticket).is_some());
    tokio::time::timeout(limit, covered).await.is_ok_and(|covered| covered.is_ok())
}

/// Counts a token, and names one that promises less than whoever took it along may think.
pub(crate) fn report(
    token: Token,
    verdict: TokenVerdict,
    cluster: &ClusterView,
    metrics: &Metrics,
) {
    metrics.token(verdict);
    if verdict != TokenVerdict::Taken {
        let (cluster, verdict) = (&*cluster.name, verdict.as_str());
        tracing::info!(cluster, %token, verdict, "a token is not of the primary's branch");
    }
}
