//! Settings to what the data path reads at each cycle.

use std::collections::HashMap;
use std::hash::BuildHasher;

use proxy::config::{Auth, ClusterLink, Live, UserLimits, UserRules};
use wire::Verifier;

use crate::config::{Secret, Settings, User};

/// Makes the rules; `previous` are those that they replace.
///
/// Salts and the seed are kept where nothing changed: an exchange that a reload interrupts still
/// works, and unknown users go on to look like known ones.
///
/// # Errors
///
/// When the system gives no random numbers: keep the old rules.
pub fn live<S: BuildHasher>(
    settings: &Settings,
    links: &HashMap<String, ClusterLink, S>,
    previous: Option<&Live>,
) -> Result<Live, getrandom::Error> {
    let known = |cluster: &String| links.contains_key(cluster);
    let mut databases = settings.databases.clone();
    databases.retain(|rules| known(&rules.cluster));
    Ok(Live {
        auth: auth(settings, previous.map(|live| &live.auth))?,
        pool: settings.pool.clone(),
        client_tls: settings.tls.client,
        server_tls: settings.tls.server.clone(),
        databases,
        clusters: links.iter().map(|(name, link)| (name.clone(), link.clone())).collect(),
    })
}

fn auth(settings: &Settings, previous: Option<&Auth>) -> Result<Auth, getrandom::Error> {
    let mut users = HashMap::with_capacity(settings.auth.users.len());
    for (name, User { password, limits, reads }) in &settings.auth.users {
        let before = previous.and_then(|auth| auth.users.get(name));
        let rules = match before.filter(|rules| rules.password == password.expose()) {
            Some(unchanged) => UserRules { limits: *limits, ..unchanged.clone() },
            None => user(password, *limits)?,
        };
        users.insert(name.clone(), UserRules { reads: reads.clone(), ..rules });
    }
    let mock_seed = previous.map_or_else(random, |auth| Ok(auth.mock_seed))?;
    Ok(Auth { method: settings.auth.method, users, mock_seed })
}

fn user(password: &Secret, limits: UserLimits) -> Result<UserRules, getrandom::Error> {
    let salt: [u8; 16] = random()?;
    let password = password.expose();
    let verifier = Verifier::from_password(password, &salt, Verifier::DEFAULT_ITERATIONS);
    Ok(UserRules { verifier, password: password.to_owned(), limits, reads: Vec::new() })
}

fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
