//! Proves a password without deriving its keys again for each login.

use std::collections::HashMap;
use std::io;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use wire::{
    ClientExchange, ClientFinal, ClientKey, Credentials, ServerExchange, ServerKey, Verifier,
};

/// Any 24 characters; who logs in here has nothing to protect.
const NONCE: &str = "abcdefghijklmnopqrstuvwx";

/// A password, and its keys for the salts that were met.
#[derive(Debug, Default)]
pub struct Keys {
    password: String,
    by_salt: HashMap<(String, u32), (ClientKey, ServerKey)>,
}

impl Keys {
    /// Keeps the password.
    #[must_use]
    pub fn of(password: &str) -> Self {
        Self { password: password.to_owned(), by_salt: HashMap::new() }
    }

    /// How often keys had to be derived: once, unless the server salts anew each time.
    #[must_use]
    pub fn derived(&self) -> usize {
        self.by_salt.len()
    }

    /// `client-first-message`, the same each time.
    #[must_use]
    pub fn first() -> Vec<u8> {
        ClientExchange::start(Credentials::Password(String::new()), NONCE).1
    }

    /// The answer to `server-first-message`.
    ///
    /// # Errors
    ///
    /// The message can't be read, or has no such salt.
    pub fn respond(&mut self, server_first: &[u8]) -> io::Result<(ClientFinal, Vec<u8>)> {
        let (salt, iterations) = salt(server_first).ok_or(io::ErrorKind::InvalidData)?;
        let key = (salt, iterations);
        if !self.by_salt.contains_key(&key) {
            let keys = derive(&self.password, &key.0, iterations)?;
            self.by_salt.insert(key.clone(), keys);
        }
        let (client_key, server_key) =
            self.by_salt.get(&key).cloned().ok_or(io::ErrorKind::NotFound)?;
        let (exchange, _) =
            ClientExchange::start(Credentials::ClientKey { client_key, server_key }, NONCE);
        exchange.respond(server_first).map_err(io::Error::other)
    }
}

fn salt(server_first: &[u8]) -> Option<(String, u32)> {
    let mut parts = str::from_utf8(server_first).ok()?.split(',');
    let salt = parts.find_map(|part| part.strip_prefix("s="))?;
    let iterations = parts.find_map(|part| part.strip_prefix("i="))?;
    Some((salt.to_owned(), iterations.parse().ok()?))
}

/// Lets both sides of an exchange meet: the server's learns the client's key.
fn derive(password: &str, salt: &str, iterations: u32) -> io::Result<(ClientKey, ServerKey)> {
    let salt = BASE64_STANDARD.decode(salt).map_err(io::Error::other)?;
    let verifier = Verifier::from_password(password, &salt, iterations);
    let (client, first) = ClientExchange::start(Credentials::Password(password.to_owned()), NONCE);
    let (server, challenge) =
        ServerExchange::start(&first, &verifier, NONCE).map_err(io::Error::other)?;
    let (_, proof) = client.respond(&challenge).map_err(io::Error::other)?;
    let (client_key, _) = server.finish(&proof).map_err(io::Error::other)?;
    Ok((client_key, verifier.server_key().clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(keys: &mut Keys, verifier: &Verifier) -> bool {
        let (server, challenge) =
            ServerExchange::start(&Keys::first(), verifier, "zzzzzzzzzzzzzzzzzzzzzzzz").unwrap();
        let (end, answer) = keys.respond(&challenge).unwrap();
        server.finish(&answer).is_ok_and(|(_, last)| end.verify(&last).is_ok())
    }

    #[test]
    fn keys_are_derived_once_per_salt_and_prove_the_password() {
        let [one, other] = [b"salt one", b"salt two"].map(|s| Verifier::from_password("pw", s, 10));
        let mut keys = Keys::of("pw");
        assert!(login(&mut keys, &one) && login(&mut keys, &one));
        assert_eq!(keys.derived(), 1);
        assert!(login(&mut keys, &other));
        assert_eq!(keys.derived(), 2);
        assert!(!login(&mut Keys::of("wrong"), &one));
    }

    #[test]
    fn a_challenge_without_a_salt_is_refused() {
        assert!(Keys::of("pw").respond(b"r=abc,i=4096").is_err());
    }
}
