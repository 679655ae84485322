//! A client that waits: logs in, asks, reads the whole answer.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use wire::{Authentication, ClientFinal, tag};

use super::keys::Keys;
use super::reply::Reply;
use crate::weir::USER;

/// The role that has to prove its password, which is its name.
pub const PROVEN: &str = "proven";

/// Who is silent for so long is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where and as whom to log in; the database is always the same.
#[derive(Clone, Copy, Debug)]
pub struct Door<'a> {
    /// On this machine.
    pub port: u16,
    /// The role.
    pub user: &'a str,
}

impl Door<'static> {
    /// Without a password.
    #[must_use]
    pub fn open(port: u16) -> Self {
        Self { port, user: USER }
    }
}

/// A connection whose calls block.
#[derive(Debug)]
pub struct Talk {
    stream: TcpStream,
    inbox: Vec<u8>,
}

impl Talk {
    /// Logs in, proving the password if that is asked for.
    ///
    /// # Errors
    ///
    /// What the peer told.
    pub fn login(door: Door<'_>, keys: &mut Keys) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, door.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut talk = Self { stream, inbox: Vec::new() };
        let mut out = Vec::new();
        wire::put_startup(&mut out, 0, &[("user", door.user), ("database", USER)]);
        talk.stream.write_all(&out)?;
        talk.authenticate(keys)?;
        while talk.message()?.0 != tag::READY {}
        talk.inbox = Vec::new();
        Ok(talk)
    }

    fn authenticate(&mut self, keys: &mut Keys) -> io::Result<()> {
        let mut proven: Option<ClientFinal> = None;
        loop {
            let (_, body) = self.message()?;
            let mut out = Vec::new();
            match wire::parse_authentication(&body).map_err(io::Error::other)? {
                Authentication::Ok => return Ok(()),
                Authentication::Sasl { .. } => {
                    wire::put_sasl_initial(&mut out, wire::SCRAM_SHA_256, &Keys::first());
                }
                Authentication::SaslContinue(challenge) => {
                    let (end, answer) = keys.respond(challenge)?;
                    wire::put_sasl_response(&mut out, &answer);
                    proven = Some(end);
                }
                Authentication::SaslFinal(proof) => {
                    let end = proven.take().ok_or(io::ErrorKind::InvalidData)?;
                    end.verify(proof).map_err(io::Error::other)?;
                }
                Authentication::Cleartext
                | Authentication::Md5 { .. }
                | Authentication::Unsupported(_) => return Err(io::ErrorKind::Unsupported.into()),
            }
            self.stream.write_all(&out)?;
        }
    }

    fn message(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut chunk = [0_u8; 1024];
        loop {
            let next = wire::next_frame(&self.inbox, usize::MAX).map_err(io::Error::other)?;
            if let Some((frame, _)) = next {
                let (kind, body, length) = (frame.tag, frame.body.to_vec(), frame.bytes.len());
                self.inbox.drain(..length);
                if kind == tag::ERROR {
                    return Err(io::Error::other(wire::parse_error(&body).to_string()));
                }
                return Ok((kind, body));
            }
            let count = some(&mut self.stream, &mut chunk)?;
            self.inbox.extend_from_slice(chunk.get(..count).unwrap_or_default());
        }
    }

    /// Sends a request and waits for its answer's end; how many bytes that had.
    ///
    /// # Errors
    ///
    /// What the peer told.
    pub fn ask(&mut self, request: &[u8]) -> io::Result<u64> {
        self.ask_by(request, &mut [0_u8; 4096])
    }

    /// The same with a buffer for what is read.
    ///
    /// # Errors
    ///
    /// What the peer told.
    pub fn ask_by(&mut self, request: &[u8], buffer: &mut [u8]) -> io::Result<u64> {
        self.send(request)?;
        self.hear(buffer)
    }

    /// Sends a request and does not wait.
    ///
    /// # Errors
    ///
    /// The peer is gone.
    pub fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request)
    }

    /// Waits for the end of an answer; how many bytes that had.
    ///
    /// # Errors
    ///
    /// What the peer told.
    pub fn hear(&mut self, buffer: &mut [u8]) -> io::Result<u64> {
        let (mut reply, mut bytes) = (Reply::default(), 0_u64);
        loop {
            let count = some(&mut self.stream, buffer)?;
            bytes = bytes.saturating_add(u64::try_from(count).unwrap_or(0));
            if reply.take(buffer.get(..count).unwrap_or_default())? > 0 {
                return Ok(bytes);
            }
        }
    }

    /// Says goodbye.
    ///
    /// # Errors
    ///
    /// The peer is gone.
    pub fn leave(mut self) -> io::Result<()> {
        let mut out = Vec::new();
        wire::put_terminate(&mut out);
        self.stream.write_all(&out)
    }

    /// The bare connection.
    #[must_use]
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }
}

fn some(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    match stream.read(buffer)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => Ok(count),
    }
}
