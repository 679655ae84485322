//! PostgreSQL's own parser as a judge of reads.
//!
//! Knows nothing of how Weir decides: what a standby must never be asked for is written down here a second time.

mod command;
mod walk;

use pg_query::ParserOptions;

/// What PostgreSQL's grammar has to say of a text that Weir calls a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It reads.
    Agrees,
    /// Its tree is deeper than libpg_query hands out: nothing is known.
    TooDeep,
    /// It is no SQL. A server refuses it before anything is done; but what another version makes of it, nobody knows.
    Refused(String),
    /// It does something that Weir did not see.
    Unsound(String),
}

impl Verdict {
    /// Names the verdict without its cause.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Agrees => "agree",
            Self::TooDeep => "too deep",
            Self::Refused(_) => "refused",
            Self::Unsound(_) => "unsound",
        }
    }
}

/// Judges a text of which Weir says that it holds `statements` statements, all of them reads.
pub fn judge(sql: &str, statements: u32) -> Verdict {
    match read(sql, ParserOptions::DEFAULT) {
        Verdict::Agrees => {}
        other => return other,
    }
    let found = pg_query::parse(sql, ParserOptions::DEFAULT)
        .map_or(0, |parsed| parsed.protobuf.stmts.len());
    if u32::try_from(found) != Ok(statements) {
        return Verdict::Unsound(format!("it has {found} statement(s), not {statements}"));
    }
    // Nobody knows how the session reads backslashes: under the other reading it must fail or be harmless as well.
    match read(sql, ParserOptions::DISABLE_STANDARD_CONFORMING_STRINGS) {
        Verdict::Unsound(why) => {
            Verdict::Unsound(format!("with standard_conforming_strings off: {why}"))
        }
        Verdict::Agrees | Verdict::TooDeep | Verdict::Refused(_) => Verdict::Agrees,
    }
}

fn read(sql: &str, options: ParserOptions) -> Verdict {
    let parsed = match pg_query::parse(sql, options) {
        Ok(parsed) => parsed.protobuf,
        Err(pg_query::Error::Decode(_)) => return Verdict::TooDeep,
        Err(error) => {
            let why = error.to_string();
            let deep = ["memory exhausted", "stack depth"].iter().any(|limit| why.contains(limit));
            return if deep { Verdict::TooDeep } else { Verdict::Refused(why) };
        }
    };
    for statement in parsed.stmts.iter().filter_map(|raw| raw.stmt.as_ref()?.node.as_ref()) {
        if let Some(why) = command::fault(statement) {
            return Verdict::Unsound(why);
        }
    }
    let tree = serde_json::to_value(&parsed).expect("a tree of plain values is JSON");
    walk::fault(&tree).map_or(Verdict::Agrees, Verdict::Unsound)
}

#[cfg(test)]
mod tests {
    use super::{Verdict, judge};

    fn assert_unsound(texts: &[&str]) {
        for sql in texts {
            assert!(matches!(judge(sql, 1), Verdict::Unsound(_)), "{sql}: {:?}", judge(sql, 1));
        }
    }

    #[test]
    fn reads_are_reads() {
        for sql in [
            "SELECT a FROM t WHERE a IN (SELECT 1) ORDER BY lower(b)",
            "WITH cache AS (SELECT 1) SELECT * FROM cache",
            "WITH RECURSIVE a AS (SELECT * FROM cache), cache AS (SELECT 1) TABLE a",
            "BEGIN READ ONLY",
            "COMMIT",
            "SET LOCAL x.y = 1",
            "COPY t TO STDOUT",
            "EXPLAIN ANALYZE SELECT 1",
            "FETCH 1 FROM c",
            r"SELECT 1 WHERE a LIKE '\'",
        ] {
            assert_eq!(judge(sql, 1), Verdict::Agrees, "{sql}");
        }
    }

    #[test]
    fn writes_locks_and_targets_are_seen_wherever_they_stand() {
        assert_unsound(&[
            "INSERT INTO t VALUES (1)",
            "WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d",
            "SELECT * INTO x FROM t",
            "SELECT (SELECT a FROM t FOR KEY SHARE)",
            "SELECT 1 UNION (SELECT a FROM t FOR UPDATE)",
            "SELECT 1 FROM t ORDER BY nextval('s')",
            "SELECT pg_catalog.pg_advisory_lock(1)",
            "SELECT ('s'::regclass).nextval",
            "SELECT 1::checked",
            "SELECT 1 #@# 2",
            "SELECT 1 OPERATOR(public.#@#) 2",
        ]);
    }

    #[test]
    fn a_name_of_with_hides_a_relation_in_its_own_query_only() {
        assert_unsound(&[
            "SELECT * FROM (WITH cache AS (SELECT 1) TABLE cache) x, cache",
            "WITH cache AS (SELECT * FROM cache) SELECT 1",
            "WITH cache AS (SELECT 1) SELECT * FROM public.cache",
            "(WITH cache AS (SELECT 1) TABLE cache) UNION TABLE cache",
        ]);
    }

    #[test]
    fn commands_that_only_look_like_reads_are_seen() {
        assert_unsound(&[
            "BEGIN",
            "BEGIN READ ONLY, READ WRITE",
            "BEGIN READ ONLY ISOLATION LEVEL SERIALIZABLE",
            "PREPARE TRANSACTION 'x'",
            "SET x.y = 1",
            "SET LOCAL transaction_read_only = off",
            "COPY t FROM STDIN",
            "COPY t TO '/tmp/x'",
            "COPY (SELECT 1) TO PROGRAM 'x'",
            "COPY (SELECT vol()) TO STDOUT",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "DECLARE c CURSOR FOR SELECT 1 FOR SHARE",
            "EXPLAIN ANALYZE INSERT INTO t VALUES (1)",
            "CHECKPOINT",
            "LOCK t",
        ]);
    }

    #[test]
    fn the_number_of_statements_counts() {
        assert!(matches!(judge("SELECT 1; SELECT 2", 1), Verdict::Unsound(_)));
        assert_eq!(judge(";; SELECT 1; SELECT 2;", 2), Verdict::Agrees);
    }

    #[test]
    fn backslashes_are_read_both_ways() {
        let hidden = r"SELECT '\' || ' FROM t FOR UPDATE --'";
        assert!(matches!(judge(hidden, 1), Verdict::Unsound(_)), "{:?}", judge(hidden, 1));
    }

    #[test]
    fn what_is_no_sql_is_refused_and_what_is_deep_is_not_known() {
        assert!(matches!(judge("SELECT FROM FROM", 1), Verdict::Refused(_)));
        let deep = format!("SELECT {}1{}", "(".repeat(12_000), ")".repeat(12_000));
        assert_eq!(judge(&deep, 1), Verdict::TooDeep);
    }
}
