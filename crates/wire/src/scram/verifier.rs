//! What a server stores instead of a password.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{
    SCRAM_SHA_256, ScramError,
    keys::{KEY, ServerKey, derive, hmac},
};

/// Enough to check a password, not enough to log in with.
///
/// `Display` gives the format of `pg_authid.rolpassword`; `Debug` hides the keys.
#[derive(Clone)]
pub struct Verifier {
    pub(super) iterations: u32,
    pub(super) salt: Vec<u8>,
    pub(super) stored_key: [u8; KEY],
    pub(super) server_key: ServerKey,
}

impl Verifier {
    /// What servers use unless `scram_iterations` says otherwise.
    pub const DEFAULT_ITERATIONS: u32 = 4096;

    /// Makes the verifier of `password`; milliseconds of work at 4,096 iterations.
    ///
    /// The salt should be 16 random bytes. Zero iterations count as one.
    #[must_use]
    pub fn from_password(password: &str, salt: &[u8], iterations: u32) -> Self {
        let iterations = iterations.max(1);
        let (client_key, server_key) = derive(password, salt, iterations);
        Self { iterations, salt: salt.to_vec(), stored_key: client_key.stored(), server_key }
    }

    /// Reads `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`.
    ///
    /// # Errors
    ///
    /// [`ScramError::BadVerifier`]: nobody can log in with it; say so to the operator.
    pub fn parse(text: &str) -> Result<Self, ScramError> {
        Self::parts(text).ok_or(ScramError::BadVerifier)
    }

    fn parts(text: &str) -> Option<Self> {
        let (work, keys) = text.strip_prefix(SCRAM_SHA_256)?.strip_prefix('$')?.split_once('$')?;
        let (iterations, salt) = work.split_once(':')?;
        let (stored, server) = keys.split_once(':')?;
        let key = |text| <[u8; KEY]>::try_from(BASE64_STANDARD.decode(text).ok()?).ok();
        let iterations = iterations.parse().ok().filter(|count| *count > 0)?;
        let salt = BASE64_STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?;
        Some(Self {
            iterations,
            salt,
            stored_key: key(stored)?,
            server_key: ServerKey(key(server)?),
        })
    }

    /// The verifier of a user who does not exist: no password passes.
    ///
    /// The same user meets the same salt each time, as a real one would, so that
    /// strangers can't find out which users exist. `seed` must be secret, random
    /// and outlive a restart to hide that too.
    #[must_use]
    pub fn mock(seed: &[u8], user: &str) -> Self {
        let derived = |purpose: &[u8]| hmac(seed, &[purpose, b"\0", user.as_bytes()].concat());
        let salt = derived(b"salt").first_chunk::<16>().map(|salt| salt.to_vec());
        Self {
            iterations: Self::DEFAULT_ITERATIONS,
            salt: salt.unwrap_or_default(),
            stored_key: derived(b"stored key"),
            server_key: ServerKey(derived(b"server key")),
        }
    }

    /// With the client's key from an exchange: credentials for servers that share
    /// this verifier.
    #[must_use]
    pub fn server_key(&self) -> &ServerKey {
        &self.server_key
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
        let Self { iterations, salt, stored_key, server_key } = self;
        let (salt, stored, server) = (text(salt), text(stored_key), text(&server_key.0));
        write!(f, "{SCRAM_SHA_256}${iterations}:{salt}${stored}:{server}")
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}
