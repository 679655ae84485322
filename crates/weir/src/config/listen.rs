//! `listen`, `workers`, `admin`, `log`.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;

use telemetry::LogFormat;

use super::secret::Secret;
use super::section::Section;

const ADDRESS: &str = "an address and port such as 127.0.0.1:6432 or [::1]:6432";

/// The admin API's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What callers of `/v1` must present; `None` only on loopback.
    pub token: Option<Secret>,
}

/// The log's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// A level, or `target=level` pairs.
    pub filter: String,
}

pub(super) fn listen(root: &mut Section<'_>) -> SocketAddr {
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, 6432));
    root.parsed("listen", ADDRESS, |text| text.parse().ok()).unwrap_or(default)
}

pub(super) fn workers(root: &mut Section<'_>) -> NonZeroUsize {
    let count = root.integer("workers", 1..=256).and_then(|count| usize::try_from(count).ok());
    count.and_then(NonZeroUsize::new).unwrap_or(NonZeroUsize::MIN)
}

pub(super) fn admin(root: &mut Section<'_>) -> Admin {
    let mut section = root.section("admin");
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, 8432));
    let listen: SocketAddr =
        section.parsed("listen", ADDRESS, |text| text.parse().ok()).unwrap_or(default);
    let wanted = section.has("token");
    // An empty variable is no token: nobody may get in by presenting nothing.
    let token = section.text("token").filter(|token| !token.is_empty()).map(Secret::new);
    let missing = token.is_none() && !listen.ip().is_loopback();
    if missing {
        let why = if wanted { "is empty or wrong" } else { "is required" };
        section.problem(
            "token",
            format!("{why}, since {listen} is not loopback: who reaches it could drain nodes"),
        );
    }
    section.close();
    Admin { listen, token }
}

pub(super) fn log(root: &mut Section<'_>) -> Log {
    let mut section = root.section("log");
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let format = section.choice("format", &formats).unwrap_or(LogFormat::Text);
    let filter = section.text("level").unwrap_or_else(|| "info".into());
    if let Err(problem) = telemetry::check_filter(&filter) {
        section.problem("level", problem.to_string());
    }
    section.close();
    Log { format, filter }
}
