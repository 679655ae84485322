//! Weir as the client: proves a password to a server, and has it proven back.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use subtle::ConstantTimeEq as _;

use super::{
    ClientKey, ScramError, ServerKey,
    attributes::{Attributes, base64, key, nonce, utf8},
    keys::derive,
};

/// The most work that a server may ask for: about a second.
///
/// A server, or who stands in for it, could otherwise keep a worker busy for hours.
pub const MAX_ITERATIONS: u32 = 1_000_000;

/// Flag and commas: no channel binding, no other identity.
const GS2_HEADER: &str = "n,,";
/// The same in base64, as the second message repeats it.
const GS2_REPEATED: &str = "c=biws";

/// What to log in with.
#[derive(Clone)]
pub enum Credentials {
    /// The password itself.
    Password(String),
    /// Keys from an earlier exchange with the same verifier; costs no iterations.
    ClientKey {
        /// From [`ServerExchange::finish`](super::ServerExchange::finish).
        client_key: ClientKey,
        /// From [`Verifier::server_key`](super::Verifier::server_key).
        server_key: ServerKey,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password(…)",
            Self::ClientKey { .. } => "ClientKey(…)",
        })
    }
}

/// An exchange whose first message was made; the server's challenge comes next.
#[derive(Debug)]
pub struct ClientExchange {
    credentials: Credentials,
    nonce: String,
}

impl ClientExchange {
    /// Makes `client-first-message`.
    ///
    /// `nonce` is 18 random bytes in base64. The user is left empty, as libpq does:
    /// the startup packet has said it.
    #[must_use]
    pub fn start(secret: Credentials, nonce: &str) -> (Self, Vec<u8>) {
        let first = format!("{GS2_HEADER}{}", first_bare(nonce));
        (Self { credentials: secret, nonce: nonce.to_owned() }, first.into_bytes())
    }

    /// Reads `server-first-message` and makes `client-final-message`.
    ///
    /// With a password this is the costly step: milliseconds at 4,096 iterations,
    /// up to a second at [`MAX_ITERATIONS`].
    ///
    /// # Errors
    ///
    /// [`ScramError`]: drop the server.
    pub fn respond(self, server_first: &[u8]) -> Result<(ClientFinal, Vec<u8>), ScramError> {
        let server_first = utf8(server_first)?;
        let mut attributes = Attributes::new(server_first);
        let both = nonce(attributes.take('r')?)?;
        // A server that adds nothing would let an old exchange be replayed.
        if both.strip_prefix(self.nonce.as_str()).is_none_or(str::is_empty) {
            return Err(ScramError::NonceMismatch);
        }
        let salt = base64(attributes.take('s')?)?;
        let iterations = iterations(attributes.take('i')?)?;
        let (client_key, server_key) = match self.credentials {
            Credentials::Password(password) => derive(&password, &salt, iterations),
            Credentials::ClientKey { client_key, server_key } => (client_key, server_key),
        };
        let without_proof = format!("{GS2_REPEATED},r={both}");
        let auth = format!("{},{server_first},{without_proof}", first_bare(&self.nonce));
        let auth = auth.as_bytes();
        let proof = ClientKey::xor_signature(client_key.0, &client_key.stored(), auth);
        let message = format!("{without_proof},p={}", BASE64_STANDARD.encode(proof));
        Ok((ClientFinal { signature: server_key.signature(auth) }, message.into_bytes()))
    }
}

fn first_bare(nonce: &str) -> String {
    format!("n=,r={nonce}")
}

fn iterations(text: &str) -> Result<u32, ScramError> {
    match text.parse() {
        Ok(asked @ 1..=MAX_ITERATIONS) => Ok(asked),
        Ok(0) | Err(_) => Err(ScramError::Malformed("iteration count")),
        Ok(asked) => Err(ScramError::TooManyIterations { asked, limit: MAX_ITERATIONS }),
    }
}

/// An exchange whose proof was made; the server's own proof comes next.
pub struct ClientFinal {
    /// Derived from the server's key: only who has it can send this.
    signature: [u8; super::keys::KEY],
}

impl fmt::Debug for ClientFinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientFinal(…)")
    }
}

impl ClientFinal {
    /// Checks `server-final-message`.
    ///
    /// An `AuthenticationOk` without it is a server that was never proven.
    ///
    /// # Errors
    ///
    /// [`ScramError`]: drop the server, send it nothing more.
    pub fn verify(self, server_final: &[u8]) -> Result<(), ScramError> {
        let message = utf8(server_final)?;
        if message.starts_with("e=") {
            return Err(ScramError::ServerRefused);
        }
        let signature = key(Attributes::new(message).take('v')?)?;
        if bool::from(signature.ct_eq(&self.signature)) {
            Ok(())
        } else {
            Err(ScramError::ServerNotProven)
        }
    }
}
