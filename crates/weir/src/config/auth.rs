//! `auth`: who may log in, and how.

use std::collections::BTreeMap;

use proxy::config::{AuthMethod, UserLimits};

use super::pool::{OFF_OR_CLIENTS, OFF_OR_SIZE, SIZE};
use super::reads::overrides;
use super::secret::Secret;
use super::section::Section;

/// The `auth` part; verifiers are made from it later, since their salts are random.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// How clients prove who they are.
    pub method: AuthMethod,
    /// Users by name.
    pub users: BTreeMap<String, User>,
}

/// One user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// For Weir and for the servers.
    pub password: Secret,
    /// How much of Weir the user may take.
    pub limits: UserLimits,
    /// Wishes by name, instead of the database's.
    pub reads: Vec<(&'static str, String)>,
}

pub(super) fn auth(root: &mut Section<'_>) -> Auth {
    let mut section = root.section("auth");
    let methods = [("scram-sha-256", AuthMethod::ScramSha256), ("trust", AuthMethod::Trust)];
    let method = section.choice("method", &methods).unwrap_or(AuthMethod::ScramSha256);
    let listed = section.has("users");
    let mut users = BTreeMap::new();
    for (name, mut user) in section.named("users") {
        user.require("password", "${APP_PASSWORD}");
        let password = user.text("password");
        if password.as_deref() == Some("") {
            user.problem("password", "is empty, and an empty password never passes");
        }
        let limits = UserLimits {
            pool_size: user.integer("pool_size", SIZE),
            max_user_connections: user.integer("max_user_connections", OFF_OR_SIZE),
            max_user_client_connections: user
                .integer("max_user_client_connections", OFF_OR_CLIENTS),
        };
        let reads = overrides(&mut user);
        user.close();
        let password = Secret::new(password.unwrap_or_default());
        users.insert(name, User { password, limits, reads });
    }
    if method == AuthMethod::ScramSha256 && users.is_empty() {
        let why = if listed { "lists nobody" } else { "is required" };
        section.problem("users", format!("{why}: with scram-sha-256 only listed users can log in"));
    }
    section.close();
    Auth { method, users }
}
