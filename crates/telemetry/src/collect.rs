//! Who has metrics to tell.

use crate::exposition::Exposition;

/// Something that writes its metrics when Prometheus asks.
pub trait Collect: Send + Sync {
    /// Writes every family; called once per scrape, from any thread, and must not wait.
    ///
    /// Several collectors may write samples of one family: they are printed together.
    fn collect(&self, out: &mut Exposition);
}
