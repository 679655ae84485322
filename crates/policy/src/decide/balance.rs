//! Which of several eligible replicas? Weighted least busy of two.
//!
//! Two candidates, not the least busy of all: with several workers deciding on numbers of their
//! own, all would rush to the same idle node.

use crate::topology::{NodeId, NodeView};

/// How busy each node is, as this worker sees it.
pub trait Load {
    /// Servers of that node that are in use by this worker.
    fn busy(&self, node: NodeId) -> u32;
}

/// Draws two distinct nodes in proportion to their weights and takes the one less busy for its
/// weight; the first, if they are equal, so that equally idle nodes share by weight exactly.
///
/// `nodes` is walked a few times, nothing is allocated.
pub(super) fn least_busy_of_two<'t>(
    nodes: impl Iterator<Item = &'t NodeView> + Clone,
    load: &impl Load,
    draw: u64,
) -> Option<&'t NodeView> {
    let first = weighted(nodes.clone(), draw)?;
    let others = nodes.filter(|node| node.id != first.id);
    let Some(second) = weighted(others, scramble(draw)) else { return Some(first) };
    // busy / weight, compared without dividing; 32-bit factors can't overflow 64 bits.
    let score = |node: &NodeView, other: &NodeView| {
        u64::from(load.busy(node.id)).saturating_mul(u64::from(other.weight.max(1)))
    };
    Some(if score(second, first) < score(first, second) { second } else { first })
}

/// One of the nodes, each with a chance in proportion to its weight; a weight of 0 counts as 1.
fn weighted<'t>(
    nodes: impl Iterator<Item = &'t NodeView> + Clone,
    draw: u64,
) -> Option<&'t NodeView> {
    let weight = |node: &NodeView| u64::from(node.weight.max(1));
    let total = nodes.clone().map(weight).fold(0, u64::saturating_add);
    // The high half of draw * total is below total, evenly spread.
    let mut place =
        u64::try_from(u128::from(draw).saturating_mul(u128::from(total)) >> 64).unwrap_or(0);
    for node in nodes {
        match place.checked_sub(weight(node)) {
            Some(rest) => place = rest,
            None => return Some(node),
        }
    }
    None
}

/// A second draw out of the first (the finalizer of `SplitMix64`), so that one is enough.
fn scramble(draw: u64) -> u64 {
    let mut z = draw.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
