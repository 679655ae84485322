//! The keys of RFC 5802 section 3, and how they follow from a password.

use std::{borrow::Cow, fmt};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

pub(super) const KEY: usize = 32;

/// Proves the password to a server; as good as the password itself.
///
/// Equal to what another server with the same verifier accepts, so it logs in
/// there without the password. `Debug` hides it.
#[derive(Clone)]
pub struct ClientKey(pub(super) [u8; KEY]);

/// Proves to a client that a server knows its password. `Debug` hides it.
#[derive(Clone)]
pub struct ServerKey(pub(super) [u8; KEY]);

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientKey(…)")
    }
}

impl fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerKey(…)")
    }
}

impl ClientKey {
    pub(super) fn stored(&self) -> [u8; KEY] {
        Sha256::digest(self.0).into()
    }

    /// The proof for one exchange; it turns back into the key with the same call.
    pub(super) fn xor_signature(bytes: [u8; KEY], stored: &[u8; KEY], auth: &[u8]) -> [u8; KEY] {
        let mut result = hmac(stored, auth);
        result.iter_mut().zip(bytes).for_each(|(to, from)| *to ^= from);
        result
    }
}

impl ServerKey {
    pub(super) fn signature(&self, auth: &[u8]) -> [u8; KEY] {
        hmac(&self.0, auth)
    }
}

/// Both keys of a password; milliseconds of work at 4,096 iterations.
pub(super) fn derive(password: &str, salt: &[u8], iterations: u32) -> (ClientKey, ServerKey) {
    let prepared = normalize(password);
    let mut salted = [0; KEY];
    pbkdf2::pbkdf2_hmac::<Sha256>(prepared.as_bytes(), salt, iterations, &mut salted);
    (ClientKey(hmac(&salted, b"Client Key")), ServerKey(hmac(&salted, b"Server Key")))
}

/// `SASLprep`; what it forbids is used as it is, as Postgres does, so that any
/// password ever set keeps working.
fn normalize(password: &str) -> Cow<'_, str> {
    match stringprep::saslprep(password) {
        Ok(prepared) if !prepared.is_empty() => prepared,
        _ => Cow::Borrowed(password),
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104)")]
pub(super) fn hmac(key: &[u8], text: &[u8]) -> [u8; KEY] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}
