//! What stands in FROM.

use super::Generator;

impl Generator<'_> {
    pub fn source(&mut self) {
        match self.rng.u32(0..10) {
            0 | 1 => self.nest(Self::joined, Self::table),
            2 => self.nest(Self::derived, Self::table),
            3 => self.table_function(),
            4 => self.nest(
                |of| {
                    of.in_parens(Self::joined);
                    of.maybe(2, "AS j");
                },
                Self::table,
            ),
            _ => self.table(),
        }
    }

    fn table(&mut self) {
        match self.rng.u32(0..40) {
            0..4 => {
                self.put("ONLY");
                self.relation();
            }
            4 => self.put("ONLY ( t )"),
            5 => {
                self.relation();
                self.put("*");
            }
            _ => self.relation(),
        }
        self.alias(3);
        if self.one_in(25) {
            self.put("TABLESAMPLE");
            self.put_one(&["BERNOULLI", "SYSTEM"]);
            self.in_parens(Self::expr);
            self.maybe(2, "REPEATABLE ( 3 )");
        }
    }

    fn alias(&mut self, n: u32) {
        if self.one_in(n) {
            self.put_one(&["AS x", "AS \"update\"", "x", "AS t", "y", "AS x ( a , b )", "AS key"]);
        }
    }

    fn derived(&mut self) {
        self.maybe(3, "LATERAL");
        self.in_parens(Self::query);
        self.alias(1);
    }

    fn table_function(&mut self) {
        match self.rng.u32(0..5) {
            0 => {
                self.put("ROWS FROM");
                self.in_parens(|of| {
                    of.call();
                    of.put(", generate_series ( 1 , 2 )");
                });
                self.maybe(2, "WITH ORDINALITY");
                self.put("AS r");
            }
            1 => self.put("json_to_record ( '{}' ) AS r ( a int , b text )"),
            2 => {
                self.maybe(2, "LATERAL");
                self.put("unnest");
                self.in_parens(Self::expr);
                self.put("WITH ORDINALITY AS u ( a , n )");
            }
            3 if self.one_in(4) => {
                self.put("XMLTABLE ( '/a' PASSING b COLUMNS c int PATH 'd' ) AS x");
            }
            _ => {
                self.call();
                self.put("AS f");
            }
        }
    }

    fn joined(&mut self) {
        self.source();
        match self.rng.u32(0..6) {
            0 => {
                self.put("CROSS JOIN");
                self.source();
            }
            1 => {
                self.put_one(&["NATURAL JOIN", "NATURAL LEFT JOIN", "NATURAL FULL OUTER JOIN"]);
                self.source();
            }
            2 => {
                self.put_one(&["JOIN", "LEFT JOIN"]);
                self.source();
                self.put("USING ( a )");
                self.maybe(3, "AS j");
            }
            _ => {
                self.put_one(&["JOIN", "INNER JOIN", "LEFT OUTER JOIN", "RIGHT JOIN", "FULL JOIN"]);
                self.source();
                self.put("ON");
                self.expr();
            }
        }
    }
}
