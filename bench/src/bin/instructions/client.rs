//! One client in lock step: it sends, and reads until all is answered.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use wire::tag;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// What is sent in one write, and how it must be answered.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The messages.
    pub(crate) bytes: Vec<u8>,
    /// How many `ReadyForQuery` answer them.
    pub(crate) ready: usize,
    /// How many rows come before the last of these.
    pub(crate) rows: usize,
}

/// A connection.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
    input: Vec<u8>,
    /// The last row that was read.
    row: Vec<u8>,
}

impl Client {
    /// Logs in, inside TLS if that is wanted.
    pub(crate) fn connect(port: u16, user: &str, tls: Option<&Arc<ClientConfig>>) -> Outcome<Self> {
        let mut tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        tcp.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(tcp),
            Some(config) => {
                let mut request = Vec::new();
                wire::put_ssl_request(&mut request);
                tcp.write_all(&request)?;
                let mut answer = [0];
                tcp.read_exact(&mut answer)?;
                if answer != *b"S" {
                    return Err("Weir offers no TLS".into());
                }
                let name = ServerName::try_from("localhost")?;
                let connection = ClientConnection::new(Arc::clone(config), name)?;
                Box::new(StreamOwned::new(connection, tcp))
            }
        };
        let mut client = Self { stream, input: Vec::new(), row: Vec::new() };
        let mut bytes = Vec::new();
        let database = weir_bench::weir::USER;
        wire::put_startup(&mut bytes, 0, &[("user", user), ("database", database)]);
        client.ask(&Request { bytes, ready: 1, rows: 0 })?;
        Ok(client)
    }

    /// Sends a request and reads all that answers it.
    ///
    /// # Errors
    ///
    /// The connection failed, an error was answered, or other rows than expected.
    pub(crate) fn ask(&mut self, request: &Request) -> Outcome<()> {
        self.stream.write_all(&request.bytes)?;
        self.stream.flush()?;
        let (mut ready, mut rows) = (0_usize, 0_usize);
        let mut chunk = vec![0; 64 << 10];
        while ready < request.ready {
            let read = self.stream.read(&mut chunk)?;
            if read == 0 {
                return Err("Weir closed the connection".into());
            }
            self.input.extend_from_slice(chunk.get(..read).unwrap_or_default());
            let mut rest = self.input.as_slice();
            while let Some((frame, after)) = wire::next_frame(rest, 1 << 20)? {
                match frame.tag {
                    tag::READY => ready = ready.saturating_add(1),
                    tag::DATA_ROW => {
                        rows = rows.saturating_add(1);
                        self.row.clear();
                        self.row.extend_from_slice(frame.body);
                    }
                    tag::ERROR => return Err(String::from_utf8_lossy(frame.body).into()),
                    _ => {}
                }
                rest = after;
            }
            let done = self.input.len().saturating_sub(rest.len());
            self.input.drain(..done);
        }
        if (ready, rows) == (request.ready, request.rows) {
            return Ok(());
        }
        Err(format!("{ready} answers with {rows} rows instead of {request:?}").into())
    }

    /// Where the last cycle went, and why, in Weir's words.
    pub(crate) fn last_route(&mut self) -> Outcome<String> {
        let mut bytes = Vec::new();
        wire::put_query(&mut bytes, b"SHOW weir.last_route");
        self.ask(&Request { bytes, ready: 1, rows: 1 })?;
        // One column: its count and its length stand before the text.
        let text = self.row.get(6..).unwrap_or_default();
        Ok(String::from_utf8_lossy(text).into_owned())
    }
}
