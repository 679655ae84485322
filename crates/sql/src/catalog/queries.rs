//! The SQL that reads a database's catalog, as any role may run it on PostgreSQL 15 to 19.

/// One query of the catalog.
///
/// Run all of [`CatalogPart::ALL`] in the database itself, best in one REPEATABLE READ, READ ONLY transaction, and give
/// each row as it comes to [`crate::CatalogBuilder::row`]. Switch `jit` off before: what is estimated to cost much takes
/// milliseconds, and compiling it seconds. No privilege is needed: system catalogs are open to all. A
/// stored expression (view, policy, default, domain check) is searched for what it calls in its node tree, since
/// `pg_depend` does not record the use of built-in functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CatalogPart {
    /// User functions: oid, schema, name, volatility (`i`, `s`, `v`), takes a row (`t`, `f`), untrusted language (`t`, `f`),
    /// what it leaves in the session (`s` settings, `o` what the server can be asked for, `n` nothing that shows), what a
    /// volatile one in SQL runs, and whether it may set `synchronous_commit` (`t`, `f`).
    Functions,
    /// User operators: schema, symbol, function's oid, schema and name.
    Operators,
    /// User types, row types among them, and targets of user casts: oid, schema, name, oids of the types within.
    Types,
    /// User relations except temporary ones: oid, schema, name, kind, persistence.
    Relations,
    /// What a view reads and what children a parent has: relation's oid, target's oid, schema and name.
    Reads,
    /// What is called without being named: kind of caller, caller's oid, function's oid, schema and name.
    Calls,
}

impl CatalogPart {
    /// All queries that a catalog needs.
    pub const ALL: &[Self] =
        &[Self::Functions, Self::Operators, Self::Types, Self::Relations, Self::Reads, Self::Calls];

    /// The query's text: no parameters, text columns only, one statement without a closing semicolon.
    #[must_use]
    pub const fn sql(self) -> &'static str {
        match self {
            Self::Functions => FUNCTIONS,
            Self::Operators => OPERATORS,
            Self::Types => TYPES,
            Self::Relations => RELATIONS,
            Self::Reads => READS,
            Self::Calls => CALLS,
        }
    }

    /// How many columns each row has.
    pub(super) const fn columns(self) -> usize {
        match self {
            Self::Functions => 9,
            Self::Operators | Self::Relations | Self::Calls => 5,
            Self::Types | Self::Reads => 4,
        }
    }
}

// Contrib's functions that run SQL given as a string are STABLE by their label, under whatever name users declare them.
// What a function leaves is searched for in its source: 2078 is set_config's oid; what is local ends with the transaction.
// Every name is qualified and every operator is PostgreSQL's own under the empty search path that control sets or, if it
// sets none, under any path: user operators on oid and name can't match better than the exact built-in ones.
const FUNCTIONS: &str = "\
SELECT p.oid::text, n.nspname::text, p.proname::text,
       CASE WHEN p.probin ~ 'tablefunc|pgxml' AND p.prosrc ~ '^(crosstab|connectby|xpath_table)' THEN 'v' ELSE p.provolatile::text END,
       CASE WHEN EXISTS (SELECT FROM pg_catalog.unnest(p.proargtypes::oid[]) a JOIN pg_catalog.pg_type t ON t.oid = a
                         WHERE t.typtype IN ('c', 'p', 'd')) THEN 't' ELSE 'f' END,
       CASE WHEN l.lanpltrusted OR l.lanname IN ('internal', 'c', 'sql') THEN 'f' ELSE 't' END,
       CASE WHEN l.lanname NOT IN ('internal', 'c')
             AND (pg_catalog.regexp_replace(p.prosrc, 'set_config\\s*\\([^;]*?,\\s*true\\s*\\)', '', 'gi')
                  ~* '(set_config|\\m(set|reset)\\s+(session\\s|role\\M|all\\M)|\\mset\\s+[a-z_]+\\.[a-z_]+\\s*(=|to\\M)\
|\\mset\\s+(search_path|time\\s+zone|timezone|datestyle|[a-z_]+_timeout|work_mem|row_security|application_name\
|client_min_messages|session_replication_role|default_transaction_[a-z_]+)\\M)'
                  OR p.prosqlbody::text ~ ':funcid 2078 ') THEN 's'
            WHEN p.prosrc ~* '(pg_(try_)?advisory_lock|\\mlisten\\s|\\mtemp(orary)?\\s+(table|view|sequence)|\\mprepare\\s|with\\s+hold\\M)'
                  AND l.lanname NOT IN ('internal', 'c') THEN 'o' ELSE 'n' END,
       CASE WHEN l.lanname = 'sql' AND p.provolatile = 'v' AND p.prosqlbody IS NULL AND pg_catalog.length(p.prosrc) <= 8192
             AND NOT EXISTS (SELECT FROM pg_catalog.unnest(p.proconfig) c WHERE c !~ '^search_path=')
            THEN p.prosrc ELSE '' END,
       CASE WHEN l.lanname NOT IN ('internal', 'c') AND (p.prosrc ~* '(synchronous_commit|set_config|\\m(call|execute)\\M)' OR p.prosqlbody::text ~ ':funcid 2078 ')
            THEN 't' ELSE 'f' END
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(temp|toast)' AND p.prokind <> 'p'";

const OPERATORS: &str = "\
SELECT n.nspname::text, o.oprname::text, p.oid::text, pn.nspname::text, p.proname::text
FROM pg_catalog.pg_operator o
JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode
JOIN pg_catalog.pg_namespace pn ON pn.oid = p.pronamespace
WHERE n.nspname <> 'pg_catalog'";

const TYPES: &str = "\
SELECT t.oid::text, n.nspname::text, t.typname::text,
       pg_catalog.concat_ws(' ', NULLIF(t.typbasetype, 0)::text, NULLIF(t.typelem, 0)::text,
           (SELECT r.rngsubtype::text FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid OR r.rngmultitypid = t.oid),
           (SELECT pg_catalog.string_agg(DISTINCT a.atttypid::text, ' ') FROM pg_catalog.pg_attribute a
            WHERE a.attrelid = t.typrelid AND t.typrelid <> 0 AND a.attnum > 0 AND NOT a.attisdropped
              AND a.atttypid >= 16384))
FROM pg_catalog.pg_type t
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(temp|toast)'
   OR t.oid IN (SELECT c.casttarget FROM pg_catalog.pg_cast c WHERE c.oid >= 16384)";

const RELATIONS: &str = "\
SELECT c.oid::text, n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(temp|toast)'";

const READS: &str = "\
WITH sources AS (
    SELECT r.ev_class AS source, r.ev_action::text AS tree FROM pg_catalog.pg_rewrite r
    JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
    WHERE r.ev_type = '1' AND c.relkind = 'v' AND c.oid >= 16384
    UNION ALL
    SELECT p.polrelid, p.polqual::text FROM pg_catalog.pg_policy p
    JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
    WHERE c.relrowsecurity AND p.polcmd IN ('*', 'r')
), used AS (
    SELECT s.source, m[1]::oid AS target FROM sources s, pg_catalog.regexp_matches(s.tree, ':relid ([0-9]+)', 'g') AS m
    UNION
    SELECT i.inhparent, i.inhrelid FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid WHERE c.relkind IN ('r', 'p', 'f')
)
SELECT DISTINCT u.source::text, u.target::text, n.nspname::text, c.relname::text
FROM used u
JOIN pg_catalog.pg_class c ON c.oid = u.target AND u.target <> u.source
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relpersistence <> 't'";

// Kinds of callers: f function, r relation, p policy of a relation, c type of a relation's column, t type, a always (what no
// statement has to name).
// Support functions in C are taken as harmless: PostGIS leaves some of them marked volatile.
// Casts (implicit ones, and those to json by to_json()), sorting and ranges call functions unseen, but only where a value
// of their type comes from somewhere: a cast that names the type, a relation with a column of it, or a function that takes
// or gives it. (No value of a user type comes from PostgreSQL's own functions but through such.) What is of PostgreSQL's
// own types may be met anywhere. A cast between the two is met with its user type.
const CALLS: &str = "\
WITH RECURSIVE trees AS (
    SELECT 'r' AS kind, r.ev_class AS source, r.ev_action::text AS tree FROM pg_catalog.pg_rewrite r
    JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
    WHERE r.ev_type = '1' AND c.relkind = 'v' AND c.oid >= 16384
    UNION ALL
    SELECT 'p', p.polrelid, p.polqual::text FROM pg_catalog.pg_policy p
    JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
    WHERE c.relrowsecurity AND p.polcmd IN ('*', 'r')
    UNION ALL
    SELECT 't', k.contypid, k.conbin::text FROM pg_catalog.pg_constraint k WHERE k.contypid >= 16384
    UNION ALL
    SELECT 'f', p.oid, p.proargdefaults::text FROM pg_catalog.pg_proc p
    WHERE p.oid >= 16384 AND p.proargdefaults IS NOT NULL
), used AS (
    SELECT t.kind, t.source, m[1]::oid AS callee
    FROM trees t, pg_catalog.regexp_matches(t.tree, ':(?:funcid|aggfnoid|winfnoid|opfuncid) ([0-9]+)', 'g') AS m
    UNION
    SELECT t.kind, t.source, o.oprcode
    FROM trees t, pg_catalog.regexp_matches(t.tree, ':(?:opno|eqop|sortop) ([0-9]+)', 'g') AS m
    JOIN pg_catalog.pg_operator o ON o.oid = m[1]::oid WHERE o.oid >= 16384
    UNION
    SELECT t.kind, t.source, x[1]::oid
    FROM trees t, pg_catalog.regexp_matches(t.tree, ':resulttype ([0-9]+)', 'g') AS m
    JOIN pg_catalog.pg_constraint k ON k.contypid = m[1]::oid,
    pg_catalog.regexp_matches(k.conbin::text, ':(?:funcid|opfuncid) ([0-9]+)', 'g') AS x
    UNION
    SELECT 'f', a.aggfnoid, s FROM pg_catalog.pg_aggregate a, pg_catalog.unnest(ARRAY[a.aggtransfn::oid, a.aggfinalfn::oid,
        a.aggcombinefn::oid, a.aggserialfn::oid, a.aggdeserialfn::oid, a.aggmtransfn::oid, a.aggminvtransfn::oid,
        a.aggmfinalfn::oid]) AS s WHERE a.aggfnoid::oid >= 16384 AND s <> 0
    UNION
    SELECT 't', c.casttarget, c.castfunc FROM pg_catalog.pg_cast c
    WHERE c.oid >= 16384 AND c.castfunc <> 0 AND c.castsource < 16384
    UNION
    SELECT 'a', 0, i.f FROM implied i WHERE i.type < 16384
    UNION
    SELECT 't', i.type, i.f FROM implied i WHERE i.type >= 16384
    UNION
    SELECT 'c', t.typrelid, i.f FROM implied i JOIN pg_catalog.pg_type t ON t.oid = i.type
    WHERE i.type >= 16384 AND t.typrelid <> 0
    UNION
    SELECT 'f', p.oid, i.f FROM implied i
    JOIN pg_catalog.pg_proc p ON i.type IN (p.prorettype, p.provariadic) OR i.type = ANY (p.proargtypes::oid[])
        OR i.type = ANY (p.proallargtypes)
    WHERE i.type >= 16384
), unseen AS (
    SELECT CASE WHEN c.castsource >= 16384 THEN c.castsource ELSE c.casttarget END AS type, c.castfunc AS f
    FROM pg_catalog.pg_cast c WHERE c.oid >= 16384 AND (c.castcontext = 'i' OR c.castsource >= 16384)
    UNION SELECT p.amproclefttype, p.amproc::oid FROM pg_catalog.pg_amproc p WHERE p.oid >= 16384
    UNION SELECT a.amoplefttype, o.oprcode::oid FROM pg_catalog.pg_amop a JOIN pg_catalog.pg_operator o ON o.oid = a.amopopr
          WHERE a.oid >= 16384
    UNION SELECT r.rngtypid, f FROM pg_catalog.pg_range r, pg_catalog.unnest(ARRAY[r.rngcanonical::oid, r.rngsubdiff::oid]) AS f
          WHERE r.rngtypid >= 16384
), implied AS (
    SELECT u.type, u.f FROM unseen u
    JOIN pg_catalog.pg_proc p ON p.oid = u.f
    JOIN pg_catalog.pg_language l ON l.oid = p.prolang AND l.lanname NOT IN ('internal', 'c')
    UNION
    SELECT t.oid, i.f FROM implied i
    JOIN pg_catalog.pg_type t ON i.type IN (t.typelem, t.typbasetype)
        OR EXISTS (SELECT FROM pg_catalog.pg_range r WHERE r.rngsubtype = i.type AND t.oid IN (r.rngtypid, r.rngmultitypid))
        OR EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.typrelid AND t.typrelid <> 0
                   AND a.atttypid = i.type AND NOT a.attisdropped)
    WHERE i.type >= 16384
)
SELECT DISTINCT u.kind, u.source::text, p.oid::text, n.nspname::text, p.proname::text
FROM used u
JOIN pg_catalog.pg_proc p ON p.oid = u.callee
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE p.oid >= 16384 OR p.provolatile <> 'i' OR p.proname ~ '^(pg_walfile|ts_rewrite)'";
