//! The bare relay of this repository.

use std::net::{Ipv4Addr, SocketAddr};

use super::{Name, Peer, Stage};

impl Stage<'_> {
    pub(super) fn relay(self) -> Result<Peer, String> {
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, self.cluster.primary().port()));
        let words = ["--to", &to.to_string()];
        let (service, port) = self.host.start_listening("relay", "relay", &words)?;
        Ok(Peer::new(Name::Relay, "bench/src/bin/relay.rs, one thread".to_owned(), port, service))
    }
}
