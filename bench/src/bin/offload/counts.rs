//! What Weir itself counted: the difference between two scrapes of `/metrics`.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Counters by name and labels, as `/metrics` writes them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counts(pub(crate) BTreeMap<String, f64>);

impl Counts {
    /// Asks the Weir whose HTTP API listens on `port`.
    ///
    /// # Errors
    ///
    /// The network's words.
    pub(crate) async fn scrape(port: u16) -> io::Result<Self> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n")
            .await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(Self::read(&text))
    }

    /// Whatever only grows: counters, and the sums and counts of histograms.
    fn read(text: &str) -> Self {
        let samples = text.lines().filter_map(|line| line.rsplit_once(' '));
        let counters = samples.filter_map(|(name, value)| {
            let family = name.split('{').next()?;
            let grows = ["_total", "_sum", "_count"].iter().any(|end| family.ends_with(end));
            (grows && family.starts_with("weir_")).then_some((name.to_owned(), value.parse().ok()?))
        });
        Self(counters.collect())
    }

    /// What was counted after `earlier` was read.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let grown = self.0.iter().filter_map(|(name, value)| {
            let grown = value - earlier.0.get(name).copied().unwrap_or(0.0);
            (grown > 0.0).then(|| (name.clone(), grown))
        });
        Self(grown.collect())
    }

    /// Cycles that went to `target`, by reason, the most frequent first.
    pub(crate) fn reasons(&self, target: &str) -> Vec<(&str, f64)> {
        let begin = format!("weir_cycles_total{{target=\"{target}\",reason=\"");
        let mut reasons: Vec<_> = self
            .0
            .iter()
            .filter_map(|(name, count)| {
                Some((name.strip_prefix(&begin)?.strip_suffix("\"}")?, *count))
            })
            .collect();
        reasons.sort_by(|a, b| b.1.total_cmp(&a.1));
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
HTTP/1.1 200 OK

# TYPE weir_cycles_total counter
weir_cycles_total{target=\"primary\",reason=\"write\"} 12
weir_cycles_total{target=\"primary\",reason=\"fence_pending\"} 20
weir_cycles_total{target=\"replica\",reason=\"read\"} 300
weir_clients 8
weir_server_wait_seconds_bucket{le=\"1\"} 3
weir_server_wait_seconds_sum 0.25
";

    #[test]
    fn what_only_grows_is_read() {
        let counts = Counts::read(TEXT);
        assert_eq!(counts.0.len(), 4, "{counts:?}");
        assert_eq!(counts.0.get("weir_server_wait_seconds_sum"), Some(&0.25));
    }

    #[test]
    fn reasons_of_a_target_come_by_their_number() {
        let counts = Counts::read(TEXT);
        assert_eq!(counts.reasons("primary"), [("fence_pending", 20.0), ("write", 12.0)]);
        assert_eq!(counts.reasons("refused"), []);
    }

    #[test]
    fn a_difference_has_only_what_has_grown() {
        let before = Counts::read("weir_a_total 3\nweir_b_total 7\n");
        let after = Counts::read("weir_a_total 5\nweir_b_total 7\nweir_c_total 1\n");
        let expected = [("weir_a_total", 2.0), ("weir_c_total", 1.0)];
        let expected = expected.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(after.since(&before), Counts(expected.into()));
    }
}
