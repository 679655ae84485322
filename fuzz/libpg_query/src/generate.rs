//! Statements by PostgreSQL's grammar: mostly reads, and now and then one part that is not.

mod calls;
mod command;
mod expr;
mod from;
mod spell;

use fastrand::Rng;

/// Makes one text.
pub fn text(rng: &mut Rng) -> Vec<String> {
    let mut of = Generator { rng, out: Vec::new(), room: 0 };
    of.statement();
    while of.one_in(8) {
        of.put(";");
        of.statement();
    }
    if of.one_in(6) {
        of.put(";");
    }
    of.out
}

/// Writes a text as tokens.
struct Generator<'r> {
    rng: &'r mut Rng,
    out: Vec<String>,
    /// How much may still be nested.
    room: u32,
}

impl Generator<'_> {
    fn one_in(&mut self, n: u32) -> bool {
        self.rng.u32(0..n) == 0
    }

    /// Whether to write something that a standby must not be asked for.
    fn strays(&mut self) -> bool {
        self.one_in(150)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.rng.usize(0..from.len())]
    }

    /// Writes words, each a token.
    fn put(&mut self, words: &str) {
        self.out.extend(words.split(' ').filter(|word| !word.is_empty()).map(str::to_owned));
    }

    /// Writes one token as it is.
    fn put_token(&mut self, token: String) {
        self.out.push(token);
    }

    fn put_one(&mut self, from: &[&str]) {
        let words = self.pick(from);
        self.put(words);
    }

    fn maybe(&mut self, n: u32, words: &str) {
        if self.one_in(n) {
            self.put(words);
        }
    }

    /// Writes one to `most` things with commas between.
    fn list(&mut self, most: u32, mut one: impl FnMut(&mut Self)) {
        for index in 0..self.rng.u32(1..=most) {
            if index > 0 {
                self.put(",");
            }
            one(self);
        }
    }

    fn in_parens(&mut self, inner: impl FnOnce(&mut Self)) {
        self.put("(");
        inner(self);
        self.put(")");
    }

    fn statement(&mut self) {
        self.room = self.rng.u32(1..=4);
        if self.one_in(5) {
            self.command();
        } else {
            self.query();
        }
    }

    /// Goes one level deeper, or writes what nests nothing.
    fn nest(&mut self, deep: impl FnOnce(&mut Self), flat: impl FnOnce(&mut Self)) {
        if self.room == 0 {
            return flat(self);
        }
        self.room -= 1;
        deep(self);
        self.room += 1;
    }

    fn query(&mut self) {
        if self.room > 0 && self.one_in(5) {
            self.with();
        }
        self.body();
        if self.one_in(4) {
            self.put("ORDER BY");
            self.list(2, Self::sort_key);
        }
        self.limits();
        if self.strays() {
            self.put("FOR");
            self.put_one(&["UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE"]);
            self.maybe(3, "OF t");
            self.maybe(3, "SKIP LOCKED");
        }
    }

    fn limits(&mut self) {
        match self.rng.u32(0..40) {
            0..4 => {
                self.put("LIMIT");
                self.put_one(&["1", "ALL", "NULL", "$1", "1 + 1"]);
                self.maybe(3, "OFFSET 1");
            }
            4..6 => {
                self.put_one(&["OFFSET 1", "OFFSET 2 ROWS"]);
                self.maybe(2, "FETCH FIRST 3 ROWS ONLY");
            }
            6 => self.put_one(&["FETCH NEXT ROW ONLY", "FETCH FIRST ( 1 ) ROWS WITH TIES"]),
            _ => {}
        }
    }

    fn with(&mut self) {
        self.put("WITH");
        self.maybe(4, "RECURSIVE");
        self.list(2, |of| {
            of.query_name();
            if of.one_in(4) {
                of.in_parens(|of| of.list(2, Self::column));
            }
            of.put("AS");
            of.put_one(&["", "", "MATERIALIZED", "NOT MATERIALIZED"]);
            of.in_parens(|of| {
                of.nest(
                    |of| if of.strays() { of.modification() } else { of.query() },
                    |of| of.put("SELECT 1 AS a"),
                );
            });
            if of.one_in(30) {
                of.put_one(&[
                    "SEARCH DEPTH FIRST BY a SET seq",
                    "CYCLE a SET looped USING path",
                    "CYCLE a SET looped TO 'y' DEFAULT 'n' USING path",
                ]);
            }
        });
    }

    /// A name for WITH: some hide a relation that must not be read.
    fn query_name(&mut self) {
        self.put_one(&["x", "y", "cache", "\"cache\"", "t", "path", "\"Xy\""]);
    }

    fn modification(&mut self) {
        self.put_one(&[
            "INSERT INTO t VALUES ( 1 )",
            "DELETE FROM t",
            "DELETE FROM ONLY t",
            "UPDATE t SET a = 1",
            "UPDATE ONLY t SET a = 1",
            "UPDATE \"update\" AS u SET a = 1",
            "MERGE INTO t USING t2 ON true WHEN MATCHED THEN DELETE",
            "INSERT INTO t DEFAULT VALUES",
        ]);
        self.maybe(2, "RETURNING *");
    }

    fn body(&mut self) {
        match self.rng.u32(0..12) {
            0 => {
                self.put("VALUES");
                self.list(2, |of| of.in_parens(|of| of.list(2, Self::expr)));
            }
            1 => {
                self.put("TABLE");
                self.maybe(3, "ONLY");
                self.relation();
            }
            2 => self.nest(|of| of.in_parens(Self::query), Self::select),
            3 => self.nest(
                |of| {
                    of.body();
                    of.put_one(&["UNION", "INTERSECT", "EXCEPT"]);
                    of.put_one(&["", "ALL", "DISTINCT"]);
                    of.body();
                },
                Self::select,
            ),
            _ => self.select(),
        }
    }

    fn select(&mut self) {
        self.put("SELECT");
        match self.rng.u32(0..12) {
            0 => self.put("DISTINCT"),
            1 => self.put("ALL"),
            2 => {
                self.put("DISTINCT ON");
                self.in_parens(|of| of.list(2, Self::expr));
            }
            _ => {}
        }
        if !self.one_in(40) {
            self.list(3, Self::item);
        }
        if self.strays() {
            self.put("INTO");
            self.put_one(&["made", "TEMP made", "TABLE made", "UNLOGGED TABLE made", "\"made\""]);
        }
        if !self.one_in(5) {
            self.put("FROM");
            self.list(2, Self::source);
        }
        if self.one_in(2) {
            self.put("WHERE");
            self.expr();
        }
        if self.one_in(6) {
            self.group_by();
        }
        if self.one_in(15) {
            self.put("WINDOW w AS");
            self.in_parens(Self::window);
        }
    }

    fn item(&mut self) {
        match self.rng.u32(0..8) {
            0 => self.put("*"),
            1 => self.put("t . *"),
            _ => {
                self.expr();
                if self.one_in(3) {
                    self.put("AS");
                    self.label();
                } else if self.one_in(12) {
                    self.column();
                }
            }
        }
    }

    fn group_by(&mut self) {
        self.put("GROUP BY");
        self.maybe(8, "DISTINCT");
        self.list(2, |of| match of.rng.u32(0..8) {
            0 => of.put("( )"),
            1 => {
                of.put_one(&["ROLLUP", "CUBE"]);
                of.in_parens(|of| of.list(2, Self::expr));
            }
            2 => of.put("GROUPING SETS ( ( a , b ) , a , ( ) )"),
            _ => of.expr(),
        });
        if self.one_in(3) {
            self.put("HAVING");
            self.expr();
        }
    }
}

pub use spell::join;
