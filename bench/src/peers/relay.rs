//! The bare relay of this repository.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use super::{Name, Peer, Stage, said};
use crate::weir::{beside, text};

impl Stage<'_> {
    pub(super) fn relay(self) -> Result<Peer, String> {
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, self.cluster.primary().port()));
        let program = beside("relay")?;
        let words = [text(&program)?, "--to", &to.to_string()];
        let mut service = self.host.start("relay", None, &words).map_err(said)?;
        let log = self.host.folder.join("relay.log");
        let port = service.wait(|| {
            let said = fs::read_to_string(&log).map_err(said)?;
            let address = said.lines().next().and_then(|line| line.parse::<SocketAddr>().ok());
            address.map(|address| address.port()).ok_or_else(|| "it named no port".to_owned())
        })?;
        Ok(Peer::new(Name::Relay, "bench/src/bin/relay.rs, one thread".to_owned(), port, service))
    }
}
