//! The primary's messages to the client, byte for byte, with an eye on where answers end.

use std::io::{self, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use wire::tag;

use crate::answer::Answer;
use crate::link::Inbox;

/// What the session has to know of.
pub(crate) enum Event {
    /// `ReadyForQuery`, and what came since the last one.
    Ready(Answer),
    /// The server waits for the client's data.
    CopyIn,
}

/// Passes on what `server` says until it or `client` is gone; then the channel ends.
pub(crate) fn start(server: TcpStream, client: TcpStream) -> Receiver<Event> {
    let (events, seen) = channel();
    thread::spawn(move || {
        let whom = client.try_clone();
        // Errors are ends: the session learns of both from the channel.
        drop(relay(Inbox::new(server, Vec::new()), client, &events));
        drop(events);
        if let Ok(client) = whom {
            drop(client.shutdown(Shutdown::Both));
        }
    });
    seen
}

fn relay(mut server: Inbox, mut client: TcpStream, events: &Sender<Event>) -> io::Result<()> {
    let mut answer = Answer::default();
    let (mut out, mut found) = (Vec::new(), Vec::new());
    while server.fill()? {
        while let Some(frame) = server.ready()? {
            out.extend_from_slice(frame.bytes);
            answer.note(&frame);
            match frame.tag {
                tag::READY => found.push(Event::Ready(std::mem::take(&mut answer))),
                tag::COPY_IN => found.push(Event::CopyIn),
                _ => {}
            }
        }
        client.write_all(&out)?;
        out.clear();
        for event in found.drain(..) {
            events.send(event).map_err(io::Error::other)?;
        }
    }
    Ok(())
}
