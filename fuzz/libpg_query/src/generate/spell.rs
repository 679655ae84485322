//! Names, literals and what stands between tokens, in every spelling that means the same.

use fastrand::Rng;

use super::Generator;

const BLANKS: &[&str] = &[
    " ",
    " ",
    " ",
    " ",
    " ",
    " ",
    "\n",
    "\t",
    "\r",
    "\x0c",
    "/* c */",
    "/**/",
    "-- c\n",
    "-- c ' \r",
    "/* ; /* ' */ \" */",
    "/* FOR UPDATE */",
    "--\n",
    " /*--*/ ",
    "/*$$*/",
];

/// Puts tokens together, with blanks of all kinds between them and none where none is needed.
pub fn join(rng: &mut Rng, tokens: &[String]) -> String {
    // Most texts look like those that people write.
    let odd = rng.u32(0..3) == 0;
    let mut text = String::new();
    for (index, token) in tokens.iter().enumerate() {
        if index > 0 {
            let glued = [token, &tokens[index - 1]]
                .iter()
                .any(|side| ["(", ")", ",", "[", "]", ";"].contains(&side.as_str()));
            if !odd {
                text.push(' ');
            } else if !(glued && rng.bool()) {
                text.push_str(BLANKS[rng.usize(0..BLANKS.len())]);
            }
        }
        text.push_str(token);
    }
    text
}

impl Generator<'_> {
    pub fn literal(&mut self) {
        let literal = self.pick(&[
            "1",
            "0",
            "1.5",
            ".5",
            "1e3",
            "0x1F",
            "0b1",
            "1_000",
            "'x'",
            "''",
            "'it''s'",
            "E'a\\'b'",
            "E'\\\\'",
            "'\\d+'",
            "'\\'",
            "'a\\\\'",
            "U&'\\0041'",
            "B'01'",
            "X'1F'",
            "$$ x ' ; $$",
            "$a$ $$ FOR UPDATE $a$",
            "$é$x$é$",
            "NULL",
            "true",
            "false",
            "N'x'",
            "'a'\n  'b'",
            "E'a' -- c\n 'b\\''",
            "'; DELETE FROM t; --'",
            "$1",
            "$2",
            "'/*'",
            "'--'",
            "'é'",
        ]);
        self.put_token(literal.to_owned());
    }

    /// A column, also one that is called like a key word or like something that is not harmless.
    pub fn column(&mut self) {
        let column = self.pick(&[
            "a",
            "b",
            "c",
            "A",
            "\"a\"",
            "\"A b\"",
            "\"x\"\"y\"",
            "é",
            "a$1",
            "_x",
            "update",
            "share",
            "key",
            "no",
            "insert",
            "delete",
            "nextval",
            "\"into\"",
            "\"select\"",
            "\"for\"",
            "locked",
            "nowait",
            "type",
            "value",
            "name",
            "text",
            "date",
            "\"update\"",
            "set_config",
            "merge",
            "lock",
            "temp",
            "begin",
            "commit",
            "copy",
            "\";\"",
            "\"--\"",
            "\"/*\"",
        ]);
        self.put_token(column.to_owned());
    }

    /// After AS any word is a name.
    pub fn label(&mut self) {
        if self.one_in(5) {
            self.put_one(&[
                "select",
                "into",
                "for",
                "from",
                "table",
                "with",
                "update",
                "end",
                "window",
                "limit",
                "U&\"d\\0061t\\0061\"",
            ]);
        } else {
            self.column();
        }
    }

    pub fn relation(&mut self) {
        if self.strays() {
            let (schema, name) =
                schema::FORBIDDEN_RELATIONS[self.rng.usize(0..schema::FORBIDDEN_RELATIONS.len())];
            self.qualified(schema, name);
        } else if self.one_in(8) {
            self.put_one(&["x", "y", "cache", "\"cache\"", "path"]);
        } else {
            let name = self.pick(schema::RELATIONS);
            self.qualified("public", name);
        }
    }

    /// A name with or without its schema, quoted where it must be and sometimes where it need not.
    pub fn qualified(&mut self, schema: &str, name: &str) {
        if self.one_in(4) {
            let schema = self.spelled(schema);
            self.put_token(schema);
            self.put(".");
        }
        let name = self.spelled(name);
        self.put_token(name);
    }

    fn spelled(&mut self, name: &str) -> String {
        let plain = name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit());
        match self.rng.u32(0..60) {
            0..4 if plain => name.to_ascii_uppercase(),
            4 if plain => {
                let at = self.rng.usize(0..name.len());
                let code = u32::from(name.as_bytes()[at]);
                format!("U&\"{}\\{code:04x}{}\"", &name[..at], &name[at + 1..])
            }
            5..9 => format!("\"{}\"", name.replace('"', "\"\"")),
            _ if plain => name.to_owned(),
            _ => format!("\"{}\"", name.replace('"', "\"\"")),
        }
    }
}
