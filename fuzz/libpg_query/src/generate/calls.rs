//! Calls of functions, aggregates and window functions.

use super::Generator;

/// Functions of PostgreSQL's own, by name and number of arguments.
const CALLS: &[(&str, u32)] = &[
    ("lower", 1),
    ("abs", 1),
    ("coalesce", 2),
    ("greatest", 2),
    ("now", 0),
    ("random", 0),
    ("count", 1),
    ("sum", 1),
    ("to_char", 2),
    ("array_agg", 1),
    ("jsonb_build_object", 2),
    ("generate_series", 2),
    ("nullif", 2),
    ("row_to_json", 1),
    ("concat", 3),
    ("current_setting", 1),
    ("pg_typeof", 1),
    ("string_agg", 2),
    ("substr", 2),
    ("clock_timestamp", 0),
    ("format", 2),
];

impl Generator<'_> {
    pub fn call(&mut self) {
        let (name, arguments) = if self.one_in(5) {
            (self.pick(schema::FUNCTIONS), 1)
        } else {
            CALLS[self.rng.usize(0..CALLS.len())]
        };
        let home = if schema::FUNCTIONS.contains(&name) { "public" } else { "pg_catalog" };
        if ["coalesce", "greatest", "nullif"].contains(&name) {
            self.put(name);
        } else {
            self.qualified(home, name);
        }
        self.put("(");
        let aggregate = ["count", "sum", "array_agg", "string_agg"].contains(&name);
        if aggregate && self.one_in(4) {
            self.put_one(&["DISTINCT", "ALL"]);
        }
        for index in 0..arguments {
            self.put(if index > 0 { "," } else { "" });
            self.expr();
        }
        if arguments > 0 && !["coalesce", "greatest", "nullif"].contains(&name) {
            match self.rng.u32(0..20) {
                0 => self.put(", VARIADIC ARRAY [ 1 ]"),
                1 => self.put_one(&[", x => 1", ", x := 1", ", \"update\" => 1"]),
                2 if aggregate => {
                    self.put("ORDER BY");
                    self.sort_key();
                }
                _ => {}
            }
        }
        self.put(")");
        if aggregate {
            self.aggregated();
        }
    }

    fn aggregated(&mut self) {
        if self.one_in(5) {
            self.put("FILTER ( WHERE");
            self.expr();
            self.put(")");
        }
        if self.one_in(4) {
            self.put("OVER");
            if self.one_in(3) { self.put("w") } else { self.in_parens(Self::window) }
        }
    }

    pub fn window(&mut self) {
        if self.one_in(2) {
            self.put("PARTITION BY");
            self.list(2, Self::expr);
        }
        if self.one_in(2) {
            self.put("ORDER BY");
            self.sort_key();
        }
        if self.one_in(3) {
            self.put_one(&[
                "ROWS UNBOUNDED PRECEDING",
                "RANGE BETWEEN 1 PRECEDING AND CURRENT ROW",
                "GROUPS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE TIES",
                "ROWS BETWEEN 1 + 1 PRECEDING AND $1 FOLLOWING EXCLUDE NO OTHERS",
            ]);
        }
    }
}
