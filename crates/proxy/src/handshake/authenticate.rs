//! Proves who a client is: SCRAM-SHA-256, or nothing at all under `trust`.

use wire::{Frontend, ServerExchange, StartupMessage, Verifier};

use super::{Handshake, Refused, protocol};
use crate::config::AuthMethod;
use crate::error::Cause;
use crate::login::nonce;

/// The largest message during authentication.
const MAX_AUTH: usize = 8 * 1024;

impl Handshake {
    /// Proves who the client is.
    pub(super) async fn authenticate(&mut self, startup: &StartupMessage) -> Result<(), Refused> {
        let live = self.worker.live();
        if live.auth.method == AuthMethod::Trust {
            return Ok(());
        }
        let user = startup.user();
        let known = live.auth.users.get(user);
        let verifier = known.map_or_else(
            || Verifier::mock(&live.auth.mock_seed, user),
            |rules| rules.verifier.clone(),
        );
        let wrong = || Refused::Told(Cause::WrongPassword { user: user.to_owned() });
        let mut out = Vec::new();
        wire::put_auth_sasl(&mut out, &[wire::SCRAM_SHA_256]);
        self.stream.write_all(&out).await?;
        let first = self.password().await?;
        let initial = wire::parse_sasl_initial(&first).map_err(protocol)?;
        let Some(response) =
            initial.response.filter(|_| initial.mechanism == wire::SCRAM_SHA_256.as_bytes())
        else {
            return Err(protocol("the client chose another SASL mechanism than SCRAM-SHA-256"));
        };
        let (exchange, challenge) =
            ServerExchange::start(response, &verifier, &nonce()?).map_err(protocol)?;
        out.clear();
        wire::put_auth_sasl_continue(&mut out, &challenge);
        self.stream.write_all(&out).await?;
        let last = self.password().await?;
        let (_key, proof) = exchange.finish(&last).map_err(|_| wrong())?;
        if known.is_none() {
            return Err(wrong());
        }
        out.clear();
        wire::put_auth_sasl_final(&mut out, &proof);
        self.stream.write_all(&out).await?;
        Ok(())
    }

    /// The body of the next `p` message.
    async fn password(&mut self) -> Result<Vec<u8>, Refused> {
        loop {
            if let Some((frame, _)) = wire::next_frame(&self.inbox, MAX_AUTH).map_err(protocol)? {
                let message = wire::parse_frontend(&frame).map_err(protocol)?;
                let Frontend::Password { body } = message else {
                    return Err(protocol("expected a password message"));
                };
                let (body, length) = (body.to_vec(), frame.bytes.len());
                self.inbox.drain(..length);
                return Ok(body);
            }
            self.more().await?;
        }
    }
}
