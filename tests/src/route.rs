//! Where cycles went, as Weir itself says.

use tokio_postgres::{Client, Error, SimpleQueryMessage};

use crate::Weir;

/// An answer of `SHOW weir.last_route`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// `primary`, `replica`, `weir` or `refused`.
    pub side: String,
    /// The node's name, or `-`.
    pub node: String,
    /// The reason's word.
    pub reason: String,
}

impl Route {
    /// Reads the answer's text.
    ///
    /// # Panics
    ///
    /// When it is not three words.
    #[must_use]
    #[expect(clippy::panic, reason = "a test whose route can't be read has failed")]
    pub fn read(text: &str) -> Self {
        let words: Vec<&str> = text.split(' ').collect();
        let [side, node, reason] = words.as_slice() else { panic!("no route: {text:?}") };
        Self { side: (*side).into(), node: (*node).into(), reason: (*reason).into() }
    }

    /// Where the client's last cycle went.
    ///
    /// # Panics
    ///
    /// When Weir does not say.
    #[expect(clippy::expect_used, reason = "a test whose route can't be read has failed")]
    pub async fn last(client: &Client) -> Self {
        let said = value(client, "SHOW weir.last_route").await.expect("Weir answers");
        Self::read(&said.expect("a route is never null"))
    }
}

/// The first value of the first row, by the simple protocol.
///
/// # Errors
///
/// The server's or Weir's words, or the loss of the connection.
pub async fn value(client: &Client, sql: &str) -> Result<Option<String>, Error> {
    let answer = client.simple_query(sql).await?;
    Ok(answer.iter().find_map(|message| {
        if let SimpleQueryMessage::Row(row) = message {
            row.get(0).map(str::to_owned)
        } else {
            None
        }
    }))
}

impl Weir {
    /// How many cycles were served by `target`, for any reason.
    #[must_use]
    pub fn cycles(&self, target: &str) -> u64 {
        let wanted = format!("weir_cycles_total{{target=\"{target}\"");
        self.sum(&wanted)
    }

    /// The sum of all samples whose line begins with `start`.
    #[must_use]
    pub fn sum(&self, start: &str) -> u64 {
        let metrics = self.admin("GET /metrics", "").body;
        let lines = metrics.lines().filter(|line| line.starts_with(start));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// The name of the node that takes writes, if there is one.
    #[must_use]
    pub fn primary(&self) -> Option<String> {
        let cluster = self.admin("GET /v1/clusters/main", "").json();
        let nodes = cluster["nodes"].as_array()?;
        let primary = nodes.iter().find(|node| node["role"] == "primary")?;
        cluster["primary"].as_str()?;
        primary["name"].as_str().map(str::to_owned)
    }
}
