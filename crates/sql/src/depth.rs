//! Which semicolon ends a statement?

use crate::scan::Kind;

/// Where in one statement a reader is, token by token.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Depth {
    /// Within parentheses: CREATE RULE … DO (…; …).
    parens: usize,
    /// Within BEGIN ATOMIC … END, counting each CASE, of a SQL-standard function body.
    body: usize,
    /// Whether the statement's first word is CREATE; nothing before there is one.
    creates: Option<bool>,
    /// The token before this one is BEGIN.
    begun: bool,
}

impl Depth {
    /// Takes the statement's next token; whether it is the semicolon that ends it.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other kinds nest nothing")]
    pub(crate) fn ends_at(&mut self, kind: Kind, text: Option<&str>) -> bool {
        match kind {
            Kind::Semicolon if self.parens == 0 && self.body == 0 => return true,
            Kind::Open => self.parens = self.parens.saturating_add(1),
            Kind::Close => self.parens = self.parens.saturating_sub(1),
            _ => {}
        }
        let word = if kind == Kind::Word { text.unwrap_or_default() } else { "" };
        if *self.creates.get_or_insert(word.eq_ignore_ascii_case("create")) {
            self.count_body(word);
        }
        false
    }

    /// Keeps `CREATE FUNCTION … BEGIN ATOMIC …; …; END` in one piece.
    fn count_body(&mut self, word: &str) {
        if self.body == 0 {
            self.body = usize::from(self.begun && word.eq_ignore_ascii_case("atomic"));
        } else if word.eq_ignore_ascii_case("case") {
            self.body = self.body.saturating_add(1);
        } else if word.eq_ignore_ascii_case("end") {
            self.body = self.body.saturating_sub(1);
        }
        self.begun = word.eq_ignore_ascii_case("begin");
    }
}
