//! Where clients come in: from a connection to a session with servers on both sides.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use wire::{StartupMessage, StartupPacket};

use crate::catalog::Catalogs;
use crate::link::{Inbox, dial};
use crate::mirror::Mirror;
use crate::relay::{self, Event};
use crate::say::complain;
use crate::session::{Session, Shared, State};

/// The server's own bound of a startup packet.
const MAX_STARTUP: usize = 10_000;

/// What a client said first.
struct Start {
    message: StartupMessage,
    packet: Vec<u8>,
    /// What it said after that already.
    rest: Vec<u8>,
}

/// Serves all who come, for as long as the process lives.
pub(crate) fn serve(listener: TcpListener, shared: Arc<Shared>) {
    thread::spawn(move || {
        for client in listener.incoming().filter_map(Result::ok) {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let end = client.try_clone();
                if let Err(error) = welcome(client, shared) {
                    complain(&format!("a session ended: {error}"));
                }
                if let Ok(client) = end {
                    drop(client.shutdown(Shutdown::Both));
                }
            });
        }
    });
}

fn welcome(mut client: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let Some(start) = startup(&mut client, shared.primary)? else { return Ok(()) };
    let mut server = dial(shared.primary)?;
    server.write_all(&start.packet)?;
    let events = relay::start(server.try_clone()?, client.try_clone()?);
    // Refused: the client was told.
    let Ok(Event::Ready(_)) = events.recv() else { return Ok(()) };
    let catalogs = Catalogs::open(shared.primary, start.message.database())?;
    shared.catch_up()?;
    let name = start.message.get("application_name").unwrap_or_default();
    let file = name.strip_prefix("pg_regress/").unwrap_or(name).to_owned();
    let mut session = Session {
        file,
        client: Inbox::new(client, start.rest),
        events,
        catalogs,
        mirror: Mirror::new(shared.standby, start.packet),
        state: State::default(),
        server,
        shared,
    };
    let outcome = session.run();
    // The databases must have no other users when the client's connection is seen to end.
    let Session { catalogs, mirror, server, .. } = session;
    drop((catalogs, mirror));
    server.shutdown(Shutdown::Write)?;
    outcome
}

/// Reads up to the startup message; none is there when the client only cancels a query or is gone.
fn startup(client: &mut TcpStream, primary: u16) -> io::Result<Option<Start>> {
    let mut bytes = Vec::new();
    loop {
        let found = wire::next_startup(&bytes, MAX_STARTUP).map_err(io::Error::other)?;
        let Some((packet, length)) = found else {
            let mut chunk = [0_u8; 1024];
            let count = client.read(&mut chunk)?;
            if count == 0 {
                return Ok(None);
            }
            bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
            continue;
        };
        let rest = bytes.split_off(length);
        match packet {
            StartupPacket::Ssl | StartupPacket::GssEnc => client.write_all(b"N")?,
            StartupPacket::Cancel(_) => {
                dial(primary)?.write_all(&bytes)?;
                return Ok(None);
            }
            StartupPacket::Start(message) => {
                return Ok(Some(Start { message, packet: bytes, rest }));
            }
        }
        bytes = rest;
    }
}
