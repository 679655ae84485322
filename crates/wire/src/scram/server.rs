//! Weir as the server: checks what a client knows.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use subtle::ConstantTimeEq as _;

use super::{
    ClientKey, ScramError, Verifier,
    attributes::{Attributes, base64, key, nonce, utf8},
};

/// An exchange whose challenge was made; the client's proof comes next.
#[derive(Debug)]
pub struct ServerExchange {
    /// `client-first-message-bare` and `server-first-message`, with commas behind.
    auth: String,
    /// What the client must repeat: flag and commas.
    gs2_header: String,
    /// Both halves.
    nonce: String,
    verifier: Verifier,
}

impl ServerExchange {
    /// Reads `client-first-message` and makes `server-first-message`.
    ///
    /// `nonce` is the server's half: 18 random bytes in base64. The user's name in
    /// the message is ignored, as the startup packet has said it.
    ///
    /// # Errors
    ///
    /// [`ScramError`]: report 08P01 (or 28000 where it fits better) and close.
    pub fn start(
        client_first: &[u8],
        verifier: &Verifier,
        nonce: &str,
    ) -> Result<(Self, Vec<u8>), ScramError> {
        let message = utf8(client_first)?;
        let (gs2_header, bare) = split_gs2(message)?;
        let mut attributes = Attributes::new(bare);
        attributes.take('n')?;
        let client_nonce = self::nonce(attributes.take('r')?)?;
        let nonce = format!("{client_nonce}{nonce}");
        let salt = BASE64_STANDARD.encode(&verifier.salt);
        let server_first = format!("r={nonce},s={salt},i={}", verifier.iterations);
        let exchange = Self {
            auth: format!("{bare},{server_first},"),
            gs2_header: gs2_header.to_owned(),
            nonce,
            verifier: verifier.clone(),
        };
        Ok((exchange, server_first.into_bytes()))
    }

    /// Reads `client-final-message`, and makes `server-final-message` if it proves
    /// the password.
    ///
    /// The key returned logs in to servers that share the verifier.
    ///
    /// # Errors
    ///
    /// [`ScramError::WrongPassword`]: report 28P01 and close. Others: 08P01.
    pub fn finish(self, client_final: &[u8]) -> Result<(ClientKey, Vec<u8>), ScramError> {
        let message = utf8(client_final)?;
        // The proof comes last, behind extensions that need no understanding.
        let (without_proof, proof) =
            message.rsplit_once(",p=").ok_or(ScramError::Malformed("no proof"))?;
        let mut attributes = Attributes::new(without_proof);
        if base64(attributes.take('c')?)? != self.gs2_header.as_bytes() {
            return Err(ScramError::Malformed("channel binding differs from the first message"));
        }
        if attributes.take('r')? != self.nonce {
            return Err(ScramError::NonceMismatch);
        }
        let auth = self.auth + without_proof;
        let auth = auth.as_bytes();
        let Verifier { stored_key, server_key, .. } = self.verifier;
        let key = ClientKey(ClientKey::xor_signature(key(proof)?, &stored_key, auth));
        if !bool::from(key.stored().ct_eq(&stored_key)) {
            return Err(ScramError::WrongPassword);
        }
        let signature = BASE64_STANDARD.encode(server_key.signature(auth));
        Ok((key, format!("v={signature}").into_bytes()))
    }
}

/// Splits `gs2-header` (with its last comma) from `client-first-message-bare`.
///
/// `y` says that the client could bind but thinks that the server can't: true here.
fn split_gs2(message: &str) -> Result<(&str, &str), ScramError> {
    let identity = match message.as_bytes() {
        [b'n' | b'y', b',', ..] => message.get(2..).unwrap_or_default(),
        [b'p', b'=', ..] => return Err(ScramError::ChannelBinding),
        _ => return Err(ScramError::Malformed("no channel binding flag")),
    };
    if identity.starts_with("a=") {
        return Err(ScramError::AuthorizationIdentity);
    }
    match message.split_at_checked(3) {
        Some((header, bare)) if header.ends_with(',') => Ok((header, bare)),
        _ => Err(ScramError::Malformed("no comma after the authorization identity")),
    }
}
