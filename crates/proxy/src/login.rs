//! Logs in to a server: proves an identity, reads what the server says of itself.

use std::io;
use std::rc::Rc;

use wire::{Authentication, CancelKey, ClientExchange, Credentials, Frame, tag};

use crate::server::{ConnectError, Identity};
use crate::stream::Stream;

/// A connection that is ready for its first cycle.
#[derive(Debug)]
pub(crate) struct LoggedIn {
    pub(crate) stream: Stream,
    /// By which it may be cancelled.
    pub(crate) key: Option<CancelKey>,
    /// Its ParameterStatus messages.
    pub(crate) greeting: Rc<[(String, String)]>,
}

/// A connection on which the server has not yet said `ReadyForQuery`.
pub(crate) struct Login {
    stream: Stream,
    inbox: Vec<u8>,
    used: usize,
}

/// The largest message that a server may send before it is ready, bytes.
const MAX_LOGIN_MESSAGE: usize = 64 * 1024;

impl Login {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, inbox: Vec::new(), used: 0 }
    }

    /// Sends the startup parameters, proves the identity and reads up to the first `ReadyForQuery`.
    pub(crate) async fn run(
        mut self,
        identity: &Identity,
        params: &[(&str, &str)],
    ) -> Result<LoggedIn, ConnectError> {
        let mut out = Vec::with_capacity(64);
        wire::put_startup(&mut out, 0, params);
        self.stream.write_all(&out).await?;
        self.authenticate(identity).await?;
        let mut key = None;
        let mut greeting = Vec::new();
        loop {
            let (tag, body) = self.next().await?;
            match tag {
                tag::PARAMETER_STATUS => {
                    if let Ok((name, value)) = wire::parameter_status(&body) {
                        greeting.push((
                            String::from_utf8_lossy(name).into_owned(),
                            String::from_utf8_lossy(value).into_owned(),
                        ));
                    }
                }
                tag::BACKEND_KEY => key = wire::backend_key(&body).ok(),
                tag::READY => break,
                _ => {}
            }
        }
        Ok(LoggedIn { stream: self.stream, key, greeting: greeting.into() })
    }

    /// The next message; errors of the server end the login.
    async fn next(&mut self) -> Result<(u8, Vec<u8>), ConnectError> {
        loop {
            let unread = self.inbox.get(self.used..).unwrap_or_default();
            let next = wire::next_frame(unread, MAX_LOGIN_MESSAGE).map_err(|_| {
                ConnectError::Protocol("a message of the server has an impossible length")
            })?;
            if let Some((frame, _)) = next {
                let found = (frame.tag, frame.body.to_vec());
                let refused = refusal(&frame);
                self.used = self.used.saturating_add(frame.bytes.len());
                return refused.map_or(Ok(found), Err);
            }
            let mut chunk = [0_u8; 2048];
            let count = std::future::poll_fn(|cx| self.stream.poll_read(cx, &mut chunk)).await?;
            if count == 0 {
                return Err(ConnectError::Io(io::ErrorKind::UnexpectedEof.into()));
            }
            self.inbox.drain(..self.used);
            self.used = 0;
            self.inbox.extend_from_slice(chunk.get(..count).unwrap_or_default());
        }
    }

    async fn authentication(&mut self) -> Result<Vec<u8>, ConnectError> {
        loop {
            let (tag, body) = self.next().await?;
            match tag {
                tag::AUTHENTICATION => return Ok(body),
                tag::NEGOTIATE | tag::NOTICE => {}
                _ => {
                    return Err(ConnectError::Protocol(
                        "an unexpected message during authentication",
                    ));
                }
            }
        }
    }

    async fn authenticate(&mut self, identity: &Identity) -> Result<(), ConnectError> {
        let need = || {
            identity.password.clone().ok_or(ConnectError::Protocol(
                "the server asks for a password and the user has none in auth.users",
            ))
        };
        let mut out = Vec::new();
        let body = self.authentication().await?;
        match parse(&body)? {
            Authentication::Ok => return Ok(()),
            Authentication::Cleartext => wire::put_password(&mut out, need()?.as_bytes()),
            Authentication::Md5 { salt } => {
                let answer = wire::md5_password(&identity.user, &need()?, salt);
                wire::put_password(&mut out, answer.as_bytes());
            }
            Authentication::Sasl { mechanisms } => {
                if !mechanisms.offers(wire::SCRAM_SHA_256) {
                    return Err(ConnectError::Protocol("the server offers no SCRAM-SHA-256"));
                }
                return self.scram(&need()?).await;
            }
            Authentication::SaslContinue(_)
            | Authentication::SaslFinal(_)
            | Authentication::Unsupported(_) => {
                return Err(ConnectError::Protocol(
                    "the server's authentication method is not supported; use scram-sha-256, md5 or password",
                ));
            }
        }
        self.stream.write_all(&out).await?;
        self.expect_ok().await
    }

    async fn scram(&mut self, password: &str) -> Result<(), ConnectError> {
        let failed = |_| ConnectError::Protocol("the SCRAM exchange with the server failed");
        let (exchange, first) =
            ClientExchange::start(Credentials::Password(password.to_owned()), &nonce()?);
        let mut out = Vec::new();
        wire::put_sasl_initial(&mut out, wire::SCRAM_SHA_256, &first);
        self.stream.write_all(&out).await?;
        let body = self.authentication().await?;
        let Authentication::SaslContinue(challenge) = parse(&body)? else {
            return Err(ConnectError::Protocol("the server left the SCRAM exchange"));
        };
        let (last, answer) = exchange.respond(challenge).map_err(failed)?;
        out.clear();
        wire::put_sasl_response(&mut out, &answer);
        self.stream.write_all(&out).await?;
        let body = self.authentication().await?;
        let Authentication::SaslFinal(proof) = parse(&body)? else {
            return Err(ConnectError::Protocol("the server did not prove itself"));
        };
        last.verify(proof).map_err(failed)?;
        self.expect_ok().await
    }

    async fn expect_ok(&mut self) -> Result<(), ConnectError> {
        let body = self.authentication().await?;
        if matches!(parse(&body)?, Authentication::Ok) {
            return Ok(());
        }
        Err(ConnectError::Protocol("the server did not accept the password"))
    }
}

fn parse(body: &[u8]) -> Result<Authentication<'_>, ConnectError> {
    wire::parse_authentication(body)
        .map_err(|_| ConnectError::Protocol("a malformed authentication request"))
}

fn refusal(frame: &Frame<'_>) -> Option<ConnectError> {
    (frame.tag == tag::ERROR).then(|| {
        let fields = wire::parse_error(frame.body);
        let text =
            format!("{} ({})", String::from_utf8_lossy(fields.message), fields.code.as_str());
        ConnectError::Refused { message: frame.bytes.to_vec(), code: fields.code, text }
    })
}

/// 18 random bytes as printable text.
pub(crate) fn nonce() -> io::Result<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut random = [0_u8; 24];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(random
        .iter()
        .filter_map(|byte| ALPHABET.get(usize::from(byte & 63)))
        .map(|byte| char::from(*byte))
        .collect())
}
