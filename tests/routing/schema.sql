-- What the statements of the tables beside this file are about.
CREATE TABLE t (a int PRIMARY KEY, b text);
CREATE TABLE t2 (a int, n numeric);
INSERT INTO t VALUES (1, 'one'), (2, 'two');
INSERT INTO t2 VALUES (1, 1.5);
CREATE SEQUENCE s;
CREATE SEQUENCE drawn;
CREATE UNLOGGED TABLE cache (a int);
CREATE VIEW v_cache AS SELECT * FROM cache;
CREATE TABLE parent (a int);
CREATE UNLOGGED TABLE child () INHERITS (parent);
CREATE TABLE parts (a int) PARTITION BY LIST (a);
CREATE UNLOGGED TABLE part PARTITION OF parts FOR VALUES IN (1);
CREATE TYPE mood AS ENUM ('good', 'bad');

CREATE FUNCTION stab(int) RETURNS int LANGUAGE sql STABLE AS 'SELECT $1';
CREATE FUNCTION immut(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
CREATE FUNCTION by_default(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE FUNCTION vol() RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT nextval(''s'')';
CREATE FUNCTION overloaded(int) RETURNS int LANGUAGE sql STABLE AS 'SELECT $1';
CREATE FUNCTION overloaded(text) RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT nextval(''s'')';
-- It says nothing, hence VOLATILE, and its body only reads.
CREATE FUNCTION unsaid(int) RETURNS int LANGUAGE sql AS 'SELECT count(*)::int FROM t WHERE a = $1 AND stab(a) > 0';
-- It says that it writes nothing, and lies.
CREATE FUNCTION lies() RETURNS int LANGUAGE plpgsql STABLE AS
  'BEGIN PERFORM nextval(''s''); RETURN 1; END';
CREATE FUNCTION lies_always() RETURNS int LANGUAGE plpgsql IMMUTABLE AS
  'BEGIN EXECUTE ''SELECT nextval(''''s'''')''; RETURN 1; END';
CREATE FUNCTION check_vol(int) RETURNS boolean LANGUAGE sql VOLATILE AS 'SELECT nextval(''s'') > 0';
CREATE FUNCTION op_vol(int, int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT nextval(''s'')::int';
CREATE FUNCTION op_stab(int, int) RETURNS int LANGUAGE sql STABLE AS 'SELECT $1';
CREATE OPERATOR #@# (LEFTARG = int, RIGHTARG = int, FUNCTION = op_vol);
CREATE OPERATOR &&& (LEFTARG = int, RIGHTARG = int, FUNCTION = op_stab);
CREATE DOMAIN checked AS int CHECK (check_vol(VALUE));
CREATE PROCEDURE commits() LANGUAGE plpgsql AS
  'BEGIN INSERT INTO t2 VALUES (10, 10); COMMIT; END';
CREATE PROCEDURE proc() LANGUAGE sql AS 'INSERT INTO t2 VALUES (9, 9)';

CREATE VIEW v AS SELECT a FROM t;
CREATE VIEW v_vol AS SELECT vol() AS n;
CREATE VIEW v_over_v AS SELECT n FROM v_vol;
CREATE MATERIALIZED VIEW m AS SELECT a FROM t;

CREATE TABLE secured (a int);
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE POLICY draws ON secured USING (vol() > 0);
CREATE TABLE guarded (a int);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY owns ON guarded USING (a = stab(a));

CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE remote (a int) SERVER elsewhere;

-- A cast that no statement names, by a function that is volatile by default.
CREATE TYPE token AS (v text);
CREATE FUNCTION token_of(int) RETURNS token LANGUAGE sql AS 'SELECT ROW(nextval(''s'') + $1)::token';
CREATE CAST (int AS token) WITH FUNCTION token_of(int) AS IMPLICIT;
CREATE FUNCTION takes_token(token) RETURNS int LANGUAGE sql STABLE AS 'SELECT 1';
CREATE TABLE tokens (id int, held token[]);
CREATE TYPE shown AS (v text);
CREATE FUNCTION json_of(shown) RETURNS json LANGUAGE sql AS 'SELECT to_json(nextval(''s''))';
CREATE CAST (shown AS json) WITH FUNCTION json_of(shown);
CREATE TABLE shows (id int, held shown);
CREATE VIEW v_tokens AS SELECT held FROM tokens;

CREATE EXTENSION dblink;

CREATE SCHEMA other;
CREATE TABLE other.t (a int);
-- The last one: once this is known, so is the rest.
CREATE VIEW last_of_all AS SELECT a FROM t;
