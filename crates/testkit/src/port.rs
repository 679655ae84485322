//! Ports that stay reserved while their servers are down.

use std::net::{Ipv4Addr, SocketAddrV4};

use socket2::{Domain, Socket, Type};

use crate::error::Error;

/// A port of 127.0.0.1 that nobody else is given while this value lives.
///
/// The socket is bound but never listens. With `SO_REUSEADDR` on both, Linux
/// lets a server (PostgreSQL sets it) bind and listen beside it, yet gives the
/// port neither to `bind(0)` nor to an outgoing connection. So parallel
/// clusters cannot collide, and a killed node finds its port free again; lock
/// files would bind only those who look at them.
#[derive(Debug)]
pub(crate) struct Reservation {
    _socket: Socket,
    port: u16,
}

impl Reservation {
    /// Reserves `port`, or any free one.
    pub(crate) fn of(port: Option<u16>) -> Result<Self, Error> {
        let wanted = port.unwrap_or(0);
        let failed = |source| Error::Port { port: wanted, source };
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).map_err(failed)?;
        // With SO_REUSEADDR already set, bind(0) may share another's port.
        socket.set_reuse_address(port.is_some()).map_err(failed)?;
        socket.bind(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, wanted).into()).map_err(failed)?;
        socket.set_reuse_address(true).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let port = address.as_socket_ipv4().map_or(wanted, |address| address.port());
        Ok(Self { _socket: socket, port })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_server_listens_on_a_reserved_port_again_and_again() {
        let reserved = Reservation::of(None).unwrap();
        for _ in 0..3 {
            // std sets SO_REUSEADDR on listeners, as PostgreSQL does.
            drop(TcpListener::bind(("127.0.0.1", reserved.port())).unwrap());
        }
    }

    #[test]
    fn no_two_reservations_share_a_port() {
        let all: Vec<_> = (0..200).map(|_| Reservation::of(None).unwrap()).collect();
        let mut ports: Vec<_> = all.iter().map(Reservation::port).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), all.len());
    }

    #[test]
    fn a_port_where_somebody_listens_is_refused_by_number() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let refusal = Reservation::of(Some(port)).unwrap_err();
        assert!(refusal.to_string().contains(&port.to_string()), "{refusal}");
    }
}
