//! One TCP connection, with or without TLS: readiness, reads and writes, no meaning.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::inquiry::Transport;

/// A connection to a client or a server.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Bytes as they are.
    Plain(TcpStream),
    /// Encrypted; boxed, since few are and the state is large.
    Tls(Box<TlsStream<TcpStream>>),
    /// Lost in a failed TLS handshake.
    Gone,
}

impl Stream {
    /// Reads what is there into `room`; `Ready(0)` is the end of the stream.
    ///
    /// `poll_read`, not `try_read`: tokio then knows from a short read that the socket is drained
    /// and spares the extra call that would answer `EAGAIN`.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut room = ReadBuf::new(room);
        let polled = match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, &mut room),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, &mut room),
            Self::Gone => Poll::Ready(Ok(())),
        };
        polled.map_ok(|()| room.filled().len())
    }

    /// Writes some of `bytes`.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Pushes out what TLS holds back; a plain stream holds nothing back.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) | Self::Gone => Poll::Ready(Ok(())),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    /// Whether a read would find something, as far as can be told without a buffer.
    ///
    /// TLS can't tell: it is always `Ready`, and the read itself waits.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => tcp.poll_read_ready(cx),
            Self::Tls(_) | Self::Gone => Poll::Ready(Ok(())),
        }
    }

    /// Writes all of `bytes` and flushes. Not cancel-safe: after a drop, nobody knows how much went out.
    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = std::future::poll_fn(|cx| self.poll_write(cx, rest)).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = rest.get(count..).unwrap_or_default();
        }
        std::future::poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Whether the connection is encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Whether it is encrypted, for others to see.
    pub(crate) fn transport(&self) -> Transport {
        if self.is_tls() { Transport::Tls } else { Transport::Plain }
    }

    /// Ends the connection politely; errors no longer matter.
    pub(crate) async fn close(&mut self) {
        use tokio::io::AsyncWriteExt;
        let ended = match self {
            Self::Plain(tcp) => tcp.shutdown().await,
            Self::Tls(tls) => tls.shutdown().await,
            Self::Gone => Ok(()),
        };
        drop(ended);
    }
}
