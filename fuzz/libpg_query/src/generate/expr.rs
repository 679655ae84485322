//! Expressions.

use super::Generator;

/// Calls that a standby must not get, as they may be written.
const STRAY_CALLS: &[&str] = &[
    "nextval ( 's' )",
    "\"nextval\" ( 's' )",
    "pg_catalog . nextval ( 's' )",
    "pg_catalog . \"setval\" ( 's' , 1 )",
    "NEXTVAL ( 's' )",
    "pg_advisory_lock ( 1 )",
    "pg_try_advisory_xact_lock_shared ( 1 , 2 )",
    "set_config ( 'a.b' , 'c' , false )",
    "pg_notify ( 'a' , 'b' )",
    "lo_create ( 0 )",
    "dblink_exec ( 'x' )",
    "txid_current ( )",
    "lastval ( )",
    "vol ( )",
    "\"Vol\" ( )",
    "public . vol ( )",
    "overloaded ( 1 )",
    "app . overloaded ( 1 )",
    "by_default ( 1 )",
    "t . of_row",
    "of_row ( t )",
    "( 's' :: regclass ) . nextval",
    "1 :: checked",
    "CAST ( 1 AS pair )",
    "checked '1'",
    "1 #@# 2",
    "1 OPERATOR ( public . #@# ) 2",
    "( a ) . nextval",
    "query_to_xml ( 'x' , true , true , '' )",
    "U&\"nextv\\0061l\" ( 's' )",
    "version ( )",
    "'{1}' :: checked [ ]",
    "pg_is_in_recovery ( )",
    "( t ) . of_row",
    "( ROW ( 1 ) :: t ) . of_row",
    "unknown_function ( 1 )",
    "a :: unknown_type",
];

const TYPES: &[&str] = &[
    "int",
    "integer",
    "text",
    "numeric ( 10 , 2 )",
    "varchar ( 3 )",
    "character varying",
    "double precision",
    "timestamp with time zone",
    "timestamp ( 3 )",
    "date",
    "int [ ]",
    "text [ ] [ ]",
    "interval",
    "interval day to second",
    "bit varying ( 3 )",
    "boolean",
    "json",
    "jsonb",
    "regclass",
    "mood",
    "public . mood",
    "pg_catalog . int4",
    "\"char\"",
    "uuid",
    "float ( 8 )",
    "int ARRAY [ 3 ]",
    "bytea",
    "name",
];

impl Generator<'_> {
    pub fn expr(&mut self) {
        if self.strays() {
            return self.put_one(STRAY_CALLS);
        }
        match self.rng.u32(0..22) {
            0..4 => self.literal(),
            4..8 => self.column(),
            8 => {
                self.put_one(&["t .", "x .", "public . t .", "\"update\" ."]);
                self.column();
            }
            9 | 10 => self.nest(Self::call, Self::literal),
            11..14 => self.nest(Self::binary, Self::column),
            14 => self.nest(Self::tested, Self::column),
            15 => self.nest(Self::cast, Self::literal),
            16 => self.nest(Self::subquery, Self::literal),
            17 => self.nest(Self::special, Self::column),
            18 => self.nest(|of| of.in_parens(Self::expr), Self::column),
            19 => self.nest(Self::case, Self::literal),
            20 => self.nest(Self::composed, Self::column),
            _ => self.nest(Self::prefixed, Self::literal),
        }
    }

    pub fn sort_key(&mut self) {
        self.expr();
        self.put_one(&["", "", "ASC", "DESC", "DESC NULLS LAST", "USING >", "NULLS FIRST"]);
    }

    /// Precedence does not matter here: operands of odd kinds stand in parentheses.
    fn operand(&mut self) {
        match self.rng.u32(0..4) {
            0 => self.literal(),
            1 => self.column(),
            _ => self.in_parens(Self::expr),
        }
    }

    fn binary(&mut self) {
        self.operand();
        self.put_one(&[
            "+",
            "-",
            "*",
            "/",
            "%",
            "^",
            "=",
            "<>",
            "!=",
            "<",
            ">",
            "<=",
            ">=",
            "AND",
            "OR",
            "||",
            "->",
            "->>",
            "#>",
            "@>",
            "<@",
            "&&",
            "~",
            "!~*",
            "~~",
            "|",
            "&",
            "#",
            "<<",
            "?",
            "?|",
            "@@",
            "&&&",
            "OPERATOR ( pg_catalog . + )",
            "OPERATOR ( public . &&& )",
            "IS DISTINCT FROM",
            "IS NOT DISTINCT FROM",
            "LIKE",
            "NOT ILIKE",
            "SIMILAR TO",
            "LIKE 'x' ESCAPE '\\' OR",
            "AT TIME ZONE",
            "OR ( a , b ) OVERLAPS ( b , 'x' ) OR",
        ]);
        self.operand();
    }

    fn prefixed(&mut self) {
        self.put_one(&["-", "+", "NOT", "@", "~", "|/", "- -", "NOT NOT"]);
        self.operand();
    }

    fn tested(&mut self) {
        self.operand();
        match self.rng.u32(0..6) {
            0 => {
                self.put_one(&["BETWEEN", "NOT BETWEEN", "BETWEEN SYMMETRIC"]);
                self.operand();
                self.put("AND");
                self.operand();
            }
            1 => {
                self.put_one(&["IN", "NOT IN"]);
                self.in_parens(|of| of.list(3, Self::expr));
            }
            2 => {
                self.put_one(&["IN", "NOT IN"]);
                self.in_parens(Self::query);
            }
            3 => {
                self.put_one(&["= ANY", "<> ALL", "= SOME", "~~ ANY"]);
                self.in_parens(Self::expr);
            }
            4 => {
                self.put_one(&["= ANY", "> ALL"]);
                self.in_parens(Self::query);
            }
            _ => self.put_one(&[
                "IS NULL",
                "IS NOT NULL",
                "ISNULL",
                "NOTNULL",
                "IS TRUE",
                "IS NOT UNKNOWN",
                "IS DOCUMENT",
                "IS NORMALIZED",
                "IS NFC NORMALIZED",
                "IS JSON",
                "IS JSON OBJECT WITH UNIQUE KEYS",
                "COLLATE \"C\"",
                "COLLATE pg_catalog . \"C\"",
                "IS NOT FALSE",
            ]),
        }
    }

    fn cast(&mut self) {
        match self.rng.u32(0..4) {
            0 => {
                self.put("CAST (");
                self.expr();
                self.put("AS");
                self.put_one(TYPES);
                self.put(")");
            }
            1 => {
                self.put_one(&[
                    "date",
                    "timestamp",
                    "interval",
                    "mood",
                    "jsonb",
                    "pg_catalog . int4",
                    "time with time zone",
                ]);
                self.put_one(&["'x'", "''"]);
            }
            2 => self.put_one(&[
                "INTERVAL '1' DAY",
                "INTERVAL '1' DAY TO SECOND ( 3 )",
                "INTERVAL ( 3 ) '1'",
                "bit '01'",
                "float8 '1'",
            ]),
            _ => {
                self.operand();
                self.put("::");
                self.put_one(TYPES);
            }
        }
    }

    fn subquery(&mut self) {
        self.put_one(&["", "EXISTS", "NOT EXISTS", "ARRAY"]);
        self.in_parens(Self::query);
    }

    fn case(&mut self) {
        self.put("CASE");
        if self.one_in(3) {
            self.operand();
        }
        self.put("WHEN");
        self.expr();
        self.put("THEN");
        self.expr();
        if self.one_in(2) {
            self.put("ELSE");
            self.expr();
        }
        self.put("END");
    }

    fn composed(&mut self) {
        match self.rng.u32(0..7) {
            0 => {
                self.put("ARRAY [");
                self.list(2, Self::expr);
                self.put("]");
            }
            1 => {
                self.put("ROW");
                self.in_parens(|of| of.list(2, Self::expr));
            }
            2 => {
                self.put("(");
                self.expr();
                self.put(",");
                self.expr();
                self.put(")");
            }
            3 => {
                self.put_one(&["a [", "( a ) [", "t . a ["]);
                self.expr();
                self.put_one(&["]", ": 2 ]", "] [ 1 ]"]);
            }
            4 => self.put_one(&[
                "( t ) . a",
                "( t ) . *",
                "a [ : ]",
                "( ARRAY [ 1 ] ) [ 1 ]",
                "( x . a ) . b",
                "ARRAY [ ] :: int [ ]",
            ]),
            5 => self.put_one(&[
                "CURRENT_DATE",
                "CURRENT_USER",
                "LOCALTIME ( 3 )",
                "CURRENT_SCHEMA",
                "current_timestamp",
                "SESSION_USER",
            ]),
            _ => self.put("GROUPING ( a , b )"),
        }
    }

    fn special(&mut self) {
        let (before, after) = [
            ("EXTRACT ( year FROM", ")"),
            ("SUBSTRING (", "FROM 1 FOR 2 )"),
            ("TRIM ( BOTH 'x' FROM", ")"),
            ("TRIM (", ")"),
            ("POSITION ( 'x' IN", ")"),
            ("OVERLAY (", "PLACING 'x' FROM 1 )"),
            ("NORMALIZE (", ", NFC )"),
            ("COLLATION FOR (", ")"),
            ("SUBSTRING (", "SIMILAR 'x' ESCAPE '#' )"),
            ("XMLELEMENT ( NAME x ,", ")"),
            ("XMLFOREST (", "AS x )"),
            ("JSON_OBJECT ( 'a' :", ")"),
            ("JSON_ARRAY (", "NULL ON NULL )"),
            ("JSON_VALUE (", ", '$.a' RETURNING int )"),
            ("JSON_QUERY (", ", '$' WITH WRAPPER )"),
            ("XMLSERIALIZE ( CONTENT", "AS text )"),
            ("JSON_EXISTS (", ", '$' )"),
            ("TREAT (", "AS int )"),
        ][self.rng.usize(0..18)];
        self.put(before);
        self.expr();
        self.put(after);
    }
}
