//! Which rules hold for a database name that a client asks for?

use std::collections::HashMap;

use policy::{Preferences, Share};

use super::limits::DatabaseLimits;

/// One `databases:` entry.
#[derive(Debug, Clone)]
pub struct DatabaseRules {
    /// Which cluster serves it.
    pub cluster: String,
    /// The database's name on the servers, if it differs from the client's.
    pub dbname: Option<String>,
    /// When a server goes back to the pool.
    pub mode: PoolMode,
    /// Whether a session may keep a server longer than its transaction.
    pub pin: PinRule,
    /// What differs from the section `pool` for each database of this entry.
    pub limits: DatabaseLimits,
    /// How its reads are routed unless a session says otherwise.
    pub reads: Preferences,
    /// How much of a pool on the primary its reads may take for want of a fresh replica.
    pub max_primary_read_share: Option<Share>,
}

/// When a server goes back to the pool (PgBouncer's `pool_mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PoolMode {
    /// After each transaction.
    Transaction,
    /// After each statement; transaction blocks are refused.
    Statement,
    /// When the client leaves. Every statement of the session goes to the primary.
    Session,
}

/// What becomes of a statement that would pin its session to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PinRule {
    /// It runs, and the session keeps its server as long as the cause lasts.
    #[default]
    Allow,
    /// It is refused before it runs.
    Never,
}

/// All `databases:` entries.
#[derive(Debug, Clone, Default)]
pub struct Databases {
    named: HashMap<String, DatabaseRules>,
    /// Those whose name ends with a star, longest first.
    patterns: Vec<(String, DatabaseRules)>,
}

impl Databases {
    /// Adds an entry; a name that ends with `*` stands for all that begin with the rest of it.
    pub fn insert(&mut self, name: &str, rules: DatabaseRules) {
        if !name.ends_with('*') {
            self.named.insert(name.to_owned(), rules);
            return;
        }
        self.patterns.retain(|(known, _)| known != name);
        let longer = |(known, _): &(String, DatabaseRules)| known.len() >= name.len();
        let at = self.patterns.iter().take_while(|entry| longer(entry)).count();
        self.patterns.insert(at, (name.to_owned(), rules));
    }

    /// The rules for a name: its own entry, else the longest pattern that fits.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<&DatabaseRules> {
        self.entry(name).map(|(_, rules)| rules)
    }

    /// The entry for a name, as it stands in the configuration, and its rules.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<(&str, &DatabaseRules)> {
        let fits = |pattern: &str| {
            pattern.strip_suffix('*').is_some_and(|prefix| name.starts_with(prefix))
        };
        let own = self.named.get_key_value(name);
        let pattern = || self.patterns.iter().find(|(pattern, _)| fits(pattern));
        own.map(|(name, rules)| (name.as_str(), rules))
            .or_else(|| pattern().map(|(pattern, rules)| (pattern.as_str(), rules)))
    }

    /// Keeps the entries that `keep` says yes to.
    pub fn retain(&mut self, keep: impl Fn(&DatabaseRules) -> bool) {
        self.named.retain(|_, rules| keep(rules));
        self.patterns.retain(|(_, rules)| keep(rules));
    }

    /// Entries of one name each.
    #[must_use]
    pub fn named(&self) -> &HashMap<String, DatabaseRules> {
        &self.named
    }

    /// Entries whose name ends with a star, longest first.
    #[must_use]
    pub fn patterns(&self) -> &[(String, DatabaseRules)] {
        &self.patterns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(cluster: &str) -> DatabaseRules {
        DatabaseRules {
            cluster: cluster.to_owned(),
            dbname: None,
            mode: PoolMode::Transaction,
            pin: PinRule::Allow,
            limits: DatabaseLimits::default(),
            reads: Preferences::default(),
            max_primary_read_share: None,
        }
    }

    fn databases(names: &[&str]) -> Databases {
        let mut all = Databases::default();
        for name in names {
            all.insert(name, rules(name));
        }
        all
    }

    #[test]
    fn an_exact_name_wins_over_the_longest_prefix_and_that_over_shorter_ones() {
        for names in [
            ["tenant_7", "tenant_*", "tenant_big_*", "*"],
            ["*", "tenant_big_*", "tenant_*", "tenant_7"],
        ] {
            let all = databases(&names);
            let found = |name| all.of(name).map(|rules| rules.cluster.as_str());
            assert_eq!(found("tenant_7"), Some("tenant_7"));
            assert_eq!(found("tenant_77"), Some("tenant_*"));
            assert_eq!(found("tenant_"), Some("tenant_*"));
            assert_eq!(found("tenant_big_1"), Some("tenant_big_*"));
            assert_eq!(found("tenant"), Some("*"));
            assert_eq!(found(""), Some("*"));
        }
    }

    #[test]
    fn without_a_star_alone_a_name_that_fits_nothing_is_unknown() {
        assert!(databases(&["tenant_*"]).of("tenan").is_none());
    }
}
