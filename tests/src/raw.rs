//! A client that speaks the protocol by hand, for what drivers never send.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use wire::{Authentication, ClientExchange, Credentials, tag};

/// One message of a server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its first byte.
    pub tag: u8,
    /// What follows the length.
    pub body: Vec<u8>,
}

impl Message {
    /// The message in a line, with the parts of errors that do not depend on who tells them.
    #[must_use]
    pub fn line(&self) -> String {
        let kind = char::from(self.tag);
        if matches!(self.tag, tag::ERROR | tag::NOTICE) {
            return format!("{kind} {}", wire::parse_error(&self.body));
        }
        format!("{kind} {}", self.body.escape_ascii())
    }

    /// SQLSTATE, message and hint of an error.
    ///
    /// # Panics
    ///
    /// When it is none.
    #[must_use]
    pub fn error(&self) -> (String, String, String) {
        assert_eq!(self.tag, tag::ERROR, "not an error: {}", self.line());
        let fields = wire::parse_error(&self.body);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            fields.code.as_str().to_owned(),
            text(fields.message),
            text(fields.hint.unwrap_or_default()),
        )
    }
}

/// The tags of some messages, as one word.
#[must_use]
pub fn tags(messages: &[Message]) -> String {
    messages.iter().map(|message| char::from(message.tag)).collect()
}

/// A connection that sends what it is told.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    inbox: Vec<u8>,
    greeting: Vec<Message>,
}

#[expect(clippy::expect_used, clippy::panic, reason = "a test whose peer is silent has failed")]
impl Raw {
    /// Connects to a port of this machine and says nothing yet.
    ///
    /// # Panics
    ///
    /// When nobody listens.
    #[must_use]
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
        stream.set_nodelay(true).expect("small writes go out at once");
        Self { stream, inbox: Vec::new(), greeting: Vec::new() }
    }

    /// Logs in with the password of a test role, which is its name.
    ///
    /// # Errors
    ///
    /// The `ErrorResponse`.
    ///
    /// # Panics
    ///
    /// When the peer leaves the protocol.
    pub fn login(port: u16, user: &str, options: &[(&str, &str)]) -> Result<Self, Message> {
        let mut raw = Self::connect(port);
        let mut params = vec![("user", user)];
        if !options.iter().any(|(name, _)| *name == "database") {
            params.push(("database", "app"));
        }
        params.extend(options);
        let mut out = Vec::new();
        wire::put_startup(&mut out, 0, &params);
        raw.send(&out);
        raw.authenticate(user)?;
        loop {
            let message = raw.message().expect("a greeting");
            match message.tag {
                tag::READY => return Ok(raw),
                tag::ERROR => return Err(message),
                _ => raw.greeting.push(message),
            }
        }
    }

    /// What came between a login and its `ReadyForQuery`.
    #[must_use]
    pub fn greeting(&self) -> &[Message] {
        &self.greeting
    }

    fn authenticate(&mut self, user: &str) -> Result<(), Message> {
        let mut exchange = None;
        let mut last = None;
        loop {
            let message = self.message().expect("an authentication request");
            if message.tag == tag::ERROR {
                return Err(message);
            }
            let mut out = Vec::new();
            match wire::parse_authentication(&message.body).expect("a known request") {
                Authentication::Ok => return Ok(()),
                Authentication::Sasl { .. } => {
                    let password = Credentials::Password(user.to_owned());
                    let (begun, first) =
                        ClientExchange::start(password, "abcdefghijklmnopqrstuvwx");
                    wire::put_sasl_initial(&mut out, wire::SCRAM_SHA_256, &first);
                    exchange = Some(begun);
                }
                Authentication::SaslContinue(challenge) => {
                    let begun = exchange.take().expect("an exchange was begun");
                    let (end, answer) = begun.respond(challenge).expect("a good challenge");
                    wire::put_sasl_response(&mut out, &answer);
                    last = Some(end);
                }
                Authentication::SaslFinal(proof) => {
                    let end = last.take().expect("a proof was sent");
                    end.verify(proof).expect("the server knows the password");
                }
                other @ (Authentication::Cleartext
                | Authentication::Md5 { .. }
                | Authentication::Unsupported(_)) => panic!("not spoken here: {other:?}"),
            }
            self.send(&out);
        }
    }

    /// Sends bytes; a peer that is gone shows when it is read from.
    pub fn send(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes));
    }

    /// A second handle, for a thread that writes while this one reads.
    ///
    /// # Panics
    ///
    /// When the system has no more of them.
    #[must_use]
    pub fn writer(&self) -> TcpStream {
        self.stream.try_clone().expect("a handle")
    }

    /// The next message; `None` at the end of the stream.
    ///
    /// # Panics
    ///
    /// After 20 seconds of silence.
    pub fn message(&mut self) -> Option<Message> {
        loop {
            let found = wire::next_frame(&self.inbox, usize::MAX).expect("frames");
            if let Some((frame, _)) = found {
                let message = Message { tag: frame.tag, body: frame.body.to_vec() };
                let length = frame.bytes.len();
                self.inbox.drain(..length);
                return Some(message);
            }
            let chunk = self.some()?;
            self.inbox.extend_from_slice(&chunk);
        }
    }

    /// Bytes as they come; `None` at the end of the stream.
    ///
    /// # Panics
    ///
    /// After 20 seconds of silence.
    pub fn some(&mut self) -> Option<Vec<u8>> {
        let mut chunk = [0_u8; 8192];
        match self.stream.read(&mut chunk) {
            Ok(0) => None,
            Ok(count) => Some(chunk.get(..count).unwrap_or_default().to_vec()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            // Under `cargo test`, other tests' clusters end in this process: their signals come here.
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => self.some(),
            Err(error) => panic!("the peer says nothing: {error}"),
        }
    }

    /// All messages up to the next `ReadyForQuery`, or to the end of the stream.
    pub fn until_ready(&mut self) -> Vec<Message> {
        let mut seen = Vec::new();
        while let Some(message) = self.message() {
            let ready = message.tag == tag::READY;
            seen.push(message);
            if ready {
                break;
            }
        }
        seen
    }

    /// Sends bytes and reads all up to the next `ReadyForQuery`.
    pub fn talk(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.send(bytes);
        self.until_ready()
    }

    /// Sends bytes and reads all up to the next message of this tag.
    pub fn talk_until(&mut self, bytes: &[u8], tag: u8) -> Vec<Message> {
        self.send(bytes);
        let mut seen = Vec::new();
        while let Some(message) = self.message() {
            let last = message.tag == tag;
            seen.push(message);
            if last {
                break;
            }
        }
        seen
    }

    /// Runs SQL by the simple protocol and gives the first column of the first row.
    pub fn query(&mut self, sql: &str) -> Option<String> {
        let mut out = Vec::new();
        wire::put_query(&mut out, sql.as_bytes());
        let row = self.talk(&out).into_iter().find(|message| message.tag == tag::DATA_ROW)?;
        // Two bytes of count, four of length, then the value.
        row.body.get(6..).map(|value| String::from_utf8_lossy(value).into_owned())
    }
}
