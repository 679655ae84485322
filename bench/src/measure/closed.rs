//! Clients that ask again as soon as they are answered, and sleep meanwhile.
//!
//! Unlike [`drive`](super::drive) this leaves the CPU to others while there is
//! nothing to do; it tells how much was done, not how long anybody waited.

use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::keys::Keys;
use super::now;
use super::query::{Asking, account};
use super::reply::Reply;
use super::talk::{Door, Talk};

/// Who asks, and what.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// Which protocol.
    pub asking: Asking,
    /// How many clients.
    pub clients: u64,
    /// How many accounts there are.
    pub accounts: u64,
    /// How long.
    pub length: Duration,
}

/// Lets all log in and ask; how many answers came, and in how long.
///
/// # Errors
///
/// What the first client that failed was told.
pub fn run(port: u16, crowd: Crowd) -> io::Result<(u64, Duration)> {
    let (mut keys, beginning) = (Keys::default(), crowd.asking.beginning());
    let mut login = || {
        let mut talk = Talk::login(Door::open(port), &mut keys)?;
        talk.ask(&beginning)?;
        let stream = talk.into_stream();
        stream.set_nonblocking(true)?;
        Ok::<_, io::Error>(stream)
    };
    let streams = (0..crowd.clients).map(|_| login()).collect::<io::Result<Vec<_>>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let start = now();
        let mut working = JoinSet::new();
        for (first, stream) in (0_u64..).zip(streams) {
            let stream = TcpStream::from_std(stream)?;
            working.spawn(ask(stream, crowd, start, first));
        }
        let mut answered = 0_u64;
        while let Some(done) = working.join_next().await {
            answered = answered.saturating_add(done.map_err(io::Error::other)??);
        }
        Ok((answered, start.elapsed()))
    })
}

async fn ask(
    mut stream: TcpStream,
    crowd: Crowd,
    start: Instant,
    mut next: u64,
) -> io::Result<u64> {
    let (mut request, mut reply, mut answered) = (Vec::new(), Reply::default(), 0_u64);
    let mut buffer = [0_u8; 1024];
    while start.elapsed() < crowd.length {
        crowd.asking.write(&mut request, account(next, crowd.accounts));
        next = next.saturating_add(crowd.clients);
        stream.write_all(&request).await?;
        loop {
            let count = stream.read(&mut buffer).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if reply.take(buffer.get(..count).unwrap_or_default())? > 0 {
                break;
            }
        }
        answered = answered.saturating_add(1);
    }
    Ok(answered)
}
