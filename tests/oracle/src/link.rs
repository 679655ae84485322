//! A connection to a server that speaks the protocol by hand and blocks.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use wire::{Frame, tag};

use crate::answer::Answer;

/// Longer than the standby's `statement_timeout`.
const SILENCE: Duration = Duration::from_secs(90);

/// Messages of one side, as they come.
pub(crate) struct Inbox {
    stream: TcpStream,
    bytes: Vec<u8>,
    used: usize,
}

/// A connection of the oracle's own.
pub(crate) struct Link {
    inbox: Inbox,
}

impl Inbox {
    /// What comes through `stream`, after the `bytes` that were read already.
    pub(crate) fn new(stream: TcpStream, bytes: Vec<u8>) -> Self {
        Self { stream, bytes, used: 0 }
    }

    /// The next message; `None` at the end of the stream.
    pub(crate) fn next(&mut self) -> io::Result<Option<Frame<'_>>> {
        while !self.has_frame()? {
            if !self.fill()? {
                return Ok(None);
            }
        }
        self.ready()
    }

    /// Whether a whole message is there.
    pub(crate) fn has_frame(&self) -> io::Result<bool> {
        let rest = self.bytes.get(self.used..).unwrap_or_default();
        Ok(wire::next_frame(rest, usize::MAX).map_err(io::Error::other)?.is_some())
    }

    /// The next message if it is there as a whole.
    pub(crate) fn ready(&mut self) -> io::Result<Option<Frame<'_>>> {
        let rest = self.bytes.get(self.used..).unwrap_or_default();
        let found = wire::next_frame(rest, usize::MAX).map_err(io::Error::other)?;
        let Some((frame, _)) = found else { return Ok(None) };
        self.used = self.used.saturating_add(frame.bytes.len());
        Ok(Some(frame))
    }

    /// Reads some more; false at the end of the stream.
    pub(crate) fn fill(&mut self) -> io::Result<bool> {
        self.bytes.drain(..std::mem::take(&mut self.used));
        let mut chunk = [0_u8; 16 * 1024];
        let count = self.stream.read(&mut chunk)?;
        self.bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
        Ok(count > 0)
    }

    /// The other direction.
    pub(crate) fn outlet(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }
}

/// Connects to a port of this machine.
pub(crate) fn dial(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Link {
    /// Connects and logs in with a startup packet, where everybody is trusted.
    pub(crate) fn open(port: u16, startup: &[u8]) -> io::Result<Self> {
        let stream = dial(port)?;
        stream.set_read_timeout(Some(SILENCE))?;
        let mut link = Self { inbox: Inbox::new(stream, Vec::new()) };
        let greeting = link.ask(startup)?;
        match greeting.failure {
            Some(failure) => Err(io::Error::other(failure.message)),
            None => Ok(link),
        }
    }

    /// Logs in as the superuser.
    pub(crate) fn as_superuser(port: u16, database: &str) -> io::Result<Self> {
        let mut packet = Vec::new();
        wire::put_startup(&mut packet, 0, &[("user", "postgres"), ("database", database)]);
        Self::open(port, &packet)
    }

    /// Sends bytes and reads all up to `ReadyForQuery`.
    pub(crate) fn ask(&mut self, bytes: &[u8]) -> io::Result<Answer> {
        let mut answer = Answer::default();
        self.talk(bytes, |frame| answer.note(frame))?;
        Ok(answer)
    }

    /// The rows of one statement, which must succeed.
    pub(crate) fn rows(&mut self, sql: &str) -> io::Result<Vec<Vec<Option<String>>>> {
        let (mut rows, mut answer) = (Vec::new(), Answer::default());
        let mut packet = Vec::new();
        wire::put_query(&mut packet, sql.as_bytes());
        self.talk(&packet, |frame| {
            answer.note(frame);
            if frame.tag == tag::DATA_ROW {
                rows.push(fields(frame.body));
            }
        })?;
        match answer.failure {
            Some(failure) => Err(io::Error::other(failure.message)),
            None => Ok(rows),
        }
    }

    /// Runs what has no rows and must succeed.
    pub(crate) fn run(&mut self, sql: &str) -> io::Result<()> {
        self.rows(sql).map(drop)
    }

    /// The only value of a statement's only row.
    pub(crate) fn value(&mut self, sql: &str) -> io::Result<String> {
        let value = self.rows(sql)?.into_iter().flatten().flatten().next();
        value.ok_or_else(|| io::Error::other(format!("no answer to {sql}")))
    }

    fn talk(&mut self, bytes: &[u8], mut note: impl FnMut(&Frame<'_>)) -> io::Result<()> {
        (&self.inbox.stream).write_all(bytes)?;
        while let Some(frame) = self.inbox.next()? {
            note(&frame);
            match frame.tag {
                tag::READY => return Ok(()),
                tag::COPY_IN => {
                    let mut refusal = Vec::new();
                    wire::put_copy_fail(&mut refusal, b"nothing to copy");
                    self.inbox.outlet()?.write_all(&refusal)?;
                }
                _ => {}
            }
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // A server that is gone has nothing to shut down.
        drop(self.inbox.stream.shutdown(Shutdown::Both));
    }
}

/// The values of a `DataRow`: a count, then each with its length, -1 for NULL.
fn fields(body: &[u8]) -> Vec<Option<String>> {
    let mut rest = body.get(2..).unwrap_or_default();
    let mut found = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = usize::try_from(i32::from_be_bytes(*length)).ok();
        let (value, after) = after.split_at_checked(length.unwrap_or(0)).unwrap_or_default();
        found.push(length.map(|_| String::from_utf8_lossy(value).into_owned()));
        rest = after;
    }
    found
}
