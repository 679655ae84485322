//! What kind of statement a text is, told without the parser that is judged.

/// What is done with a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SELECT, WITH, VALUES, TABLE, also in parentheses.
    Query,
    /// COPY to the client.
    CopyOut,
    /// EXPLAIN of whatever.
    Explain,
    /// Runs on the primary alone.
    Other,
}

impl Kind {
    /// Of a skeleton.
    pub(crate) fn of(skeleton: &str) -> Self {
        let start = skeleton.trim_start_matches(['(', ' ']);
        let word = start.split(|it: char| !it.is_ascii_alphanumeric()).next().unwrap_or_default();
        match word {
            "select" | "with" | "values" | "table" => Self::Query,
            "copy" if skeleton.contains(" to stdout") => Self::CopyOut,
            "explain" => Self::Explain,
            _ => Self::Other,
        }
    }
}

/// The text in lower case, without comments and what stands between quotes, white space as one space.
pub(crate) fn skeleton(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let prefixed = out.ends_with('e') && !is_word_before(&out);
        let backslash = if prefixed { Backslash::Escapes } else { Backslash::Plain };
        let (kept, skip) = match first {
            '-' if rest.starts_with("--") => (' ', rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => (' ', comment(rest)),
            '\'' => ('\'', quoted(rest, backslash)),
            '"' => ('"', 1),
            '$' => match dollar(rest) {
                Some(length) => ('\'', length),
                None => ('$', 1),
            },
            _ if first.is_whitespace() => (' ', first.len_utf8()),
            _ => (first.to_ascii_lowercase(), first.len_utf8()),
        };
        if kept != ' ' || !(out.is_empty() || out.ends_with(' ')) {
            out.push(kept);
        }
        rest = rest.get(skip..).unwrap_or_default();
    }
    out
}

/// Names that a `(` follows, without their schemas.
pub(crate) fn called(skeleton: &str) -> impl Iterator<Item = &str> {
    let ends = skeleton.match_indices('(').map(|(at, _)| at);
    ends.filter_map(|at| {
        let before = skeleton.get(..at)?.trim_end_matches(['"', ' ']);
        let name = before.rsplit(|it: char| !is_word(it)).next()?;
        (!name.is_empty()).then_some(name)
    })
}

/// All words.
pub(crate) fn words(skeleton: &str) -> impl Iterator<Item = &str> {
    skeleton.split(|it: char| !is_word(it)).filter(|word| !word.is_empty())
}

/// On one line, without tabs.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_word(it: char) -> bool {
    it.is_alphanumeric() || it == '_'
}

/// Whether the last letter belongs to a longer word, and so is no prefix of a literal.
fn is_word_before(out: &str) -> bool {
    out.chars().rev().nth(1).is_some_and(is_word)
}

/// The length of a comment, with those in it.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0_usize);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let step = if rest.starts_with("/*") {
            depth = depth.saturating_add(1);
            2
        } else if rest.starts_with("*/") {
            depth = depth.saturating_sub(1);
            2
        } else {
            rest.chars().next().map_or(1, char::len_utf8)
        };
        at = at.saturating_add(step);
        if depth == 0 {
            break;
        }
    }
    at
}

/// Whether a backslash takes the next character with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backslash {
    Escapes,
    Plain,
}

/// The length of a literal; a doubled quote begins another one at once, which comes to the same.
fn quoted(text: &str, backslash: Backslash) -> usize {
    let mut taken = false;
    for (at, it) in text.char_indices().skip(1) {
        match it {
            _ if taken => taken = false,
            '\\' if backslash == Backslash::Escapes => taken = true,
            '\'' => return at.saturating_add(1),
            _ => {}
        }
    }
    text.len()
}

/// The length of a dollar-quoted literal, if it is one and not a parameter.
fn dollar(text: &str) -> Option<usize> {
    let end = text.get(1..)?.find('$')?.saturating_add(2);
    let tag = text.get(..end)?;
    let name = tag.trim_matches('$');
    let named = name.chars().all(is_word) && !name.starts_with(|it: char| it.is_ascii_digit());
    let after = text.get(end..)?;
    let close = named.then(|| after.find(tag)).flatten()?;
    Some(end.saturating_add(close).saturating_add(tag.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_quotes_and_comments_is_no_call() {
        let text =
            "/* f(1) /* g(2) */ */ SELECT pg_catalog.H (1), 'i(3)', $x$j(4)$x$, E'\\'k(5)' -- l(6)";
        assert_eq!(called(&skeleton(text)).collect::<Vec<_>>(), ["h"]);
    }

    #[test]
    fn a_quoted_name_is_a_call() {
        assert_eq!(called(&skeleton("SELECT \"nextval\"('s')")).collect::<Vec<_>>(), ["nextval"]);
    }

    #[test]
    fn parentheses_and_comments_before_a_query_do_not_hide_it() {
        for text in
            ["SELECT 1", " ( (VALUES (1))", "-- x\nTABLE t", "/**/with a as (select 1) table a"]
        {
            assert_eq!(Kind::of(&skeleton(text)), Kind::Query, "{text}");
        }
    }

    #[test]
    fn only_copy_to_the_client_is_like_a_query() {
        assert_eq!(Kind::of(&skeleton("COPY t (a)\nTO STDOUT")), Kind::CopyOut);
        assert_eq!(Kind::of(&skeleton("COPY t TO 'to stdout'")), Kind::Other);
        assert_eq!(Kind::of(&skeleton("COPY t FROM STDIN")), Kind::Other);
        assert_eq!(Kind::of(&skeleton("selection")), Kind::Other);
    }
}
