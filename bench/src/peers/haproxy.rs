//! HAProxy: relays bytes to the primary, on one thread, and knows no protocol.

use std::fs;

use super::{Name, Peer, Stage, free_port, said};
use crate::machine;
use crate::weir::text;

/// Not in everybody's search path.
pub(crate) const PROGRAM: &str = "/usr/sbin/haproxy";

impl Stage<'_> {
    pub(super) fn haproxy(self) -> Result<Peer, String> {
        let version = machine::says(&[PROGRAM, "-v"])
            .ok_or_else(|| format!("{PROGRAM} is not installed (make bench-deps)"))?;
        let version = version.split(" - ").next().unwrap_or_default().to_owned();
        let port = free_port()?;
        let file = self.host.folder.join("haproxy.cfg");
        fs::write(&file, cfg(port, self.cluster.primary().port())).map_err(said)?;
        let words = [PROGRAM, "-db", "-f", text(&file)?];
        let service = self.host.start("haproxy", None, &words).map_err(said)?;
        Ok(Peer::new(Name::Haproxy, version, port, service))
    }
}

/// For many more clients than are measured at once.
pub(crate) fn cfg(port: u16, server: u16) -> String {
    format!(
        "\
global
    nbthread 1
    maxconn 4000
defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen postgres
    bind 127.0.0.1:{port}
    server primary 127.0.0.1:{server} check
"
    )
}
