//! A map of the file, read key by key; each mistake is noted and reading goes on.
//!
//! The keys that were asked for are the keys that exist: [`Section::close`] reports all others, so
//! a key can't be documented as known and then ignored.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::problem::{Path, Problems};
use super::spelling::nearest;
use super::tree::Tree;
use super::units;

/// A map that is being read.
#[derive(Debug)]
pub(super) struct Section<'p> {
    path: Path,
    entries: Vec<(String, Tree)>,
    asked: Vec<&'static str>,
    problems: &'p Problems,
}

impl<'p> Section<'p> {
    /// Opens a map, reporting keys that come twice; what is no map reads as an empty one.
    pub(super) fn open(path: Path, tree: Tree, problems: &'p Problems) -> Self {
        let entries = match tree {
            Tree::Map(entries) => entries,
            Tree::Null | Tree::Broken => Vec::new(),
            other @ (Tree::Bool(_)
            | Tree::Integer(_)
            | Tree::Float(_)
            | Tree::Text(_)
            | Tree::List(_)) => {
                problems.add(&path, format!("expected a map, found {}", other.described()));
                Vec::new()
            }
        };
        let entries = first_of_each(&path, entries, problems);
        Self { path, entries, asked: Vec::new(), problems }
    }

    /// The place of a key of this map.
    pub(super) fn at(&self, key: &str) -> Path {
        self.path.key(key)
    }

    /// Reports a mistake at a key of this map.
    pub(super) fn problem(&self, key: &str, text: impl Into<String>) {
        self.problems.add(&self.path.key(key), text);
    }

    /// Reports a mistake of this map as a whole.
    pub(super) fn problem_here(&self, text: impl Into<String>) {
        self.problems.add(&self.path, text);
    }

    /// Reports a mistake elsewhere in the file.
    pub(super) fn problem_at(&self, path: &Path, text: impl Into<String>) {
        self.problems.add(path, text);
    }

    /// Reports `key` as missing unless something stands there, right or wrong.
    pub(super) fn require(&self, key: &str, example: &str) {
        if !self.has(key) {
            self.problem(key, format!("is required, for example {example}"));
        }
    }

    /// Whether something other than null stands at `key`; ask before reading it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, value)| name == key && *value != Tree::Null)
    }

    /// Reads a text.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        match self.take(key)? {
            Tree::Text(text) => Some(text.value),
            Tree::Bool(_) | Tree::Integer(_) | Tree::Float(_) => {
                self.problem(key, "expected a text: put the value between quotes");
                None
            }
            other @ (Tree::Null | Tree::List(_) | Tree::Map(_) | Tree::Broken) => {
                self.unexpected(key, &other, "a text");
                None
            }
        }
    }

    /// Reads a text and makes it into something else; `expected` says what the text should be.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let tree = self.take(key)?;
        let text = word_of(&tree);
        let parsed = text.and_then(|text| parse(&text));
        if parsed.is_none() {
            self.unexpected(key, &tree, expected);
        }
        parsed
    }

    /// Reads a single word, be it text, number or Boolean.
    pub(super) fn word(&mut self, key: &'static str) -> Option<String> {
        self.parsed(key, "a single value", |text| Some(text.to_owned()))
    }

    /// Reads a whole number within bounds.
    pub(super) fn integer(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<u32>,
    ) -> Option<u32> {
        let expected = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        self.parsed(key, &expected, |text| {
            text.parse().ok().filter(|number| bounds.contains(number))
        })
    }

    /// Reads a duration within bounds.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let (least, most) = (units::spelled(*bounds.start()), units::spelled(*bounds.end()));
        let expected =
            format!("a duration with its unit, such as 500ms or 30s, from {least} to {most}");
        self.parsed(key, &expected, |text| {
            units::duration(text).filter(|value| bounds.contains(value))
        })
    }

    /// Reads a size in bytes within bounds.
    pub(super) fn bytes(&mut self, key: &'static str, bounds: RangeInclusive<u32>) -> Option<u32> {
        let expected = format!(
            "a size such as 64KiB or 8MiB, from {} to {} bytes",
            bounds.start(),
            bounds.end()
        );
        self.parsed(key, &expected, |text| {
            units::bytes(text)
                .and_then(|size| u32::try_from(size).ok())
                .filter(|size| bounds.contains(size))
        })
    }

    /// Reads one of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let expected = format!("one of {}", words.join(", "));
        self.parsed(key, &expected, |text| {
            choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
        })
    }

    /// Reads a list of texts; absent is empty.
    pub(super) fn texts(&mut self, key: &'static str) -> Vec<String> {
        let path = self.at(key);
        let mut texts = Vec::new();
        for (index, item) in self.list(key).into_iter().enumerate() {
            match item {
                Tree::Text(text) => texts.push(text.value),
                Tree::Broken => {}
                other @ (Tree::Null
                | Tree::Bool(_)
                | Tree::Integer(_)
                | Tree::Float(_)
                | Tree::List(_)
                | Tree::Map(_)) => {
                    self.problems.add(
                        &path.item(index),
                        format!("expected a text, found {}", other.described()),
                    );
                }
            }
        }
        texts
    }

    /// Opens the map at `key`; absent is empty.
    pub(super) fn section(&mut self, key: &'static str) -> Self {
        let tree = self.take(key).unwrap_or(Tree::Null);
        Self::open(self.at(key), tree, self.problems)
    }

    /// Opens each map of the list at `key`; absent is empty.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Self> {
        let path = self.at(key);
        let items = self.list(key).into_iter().enumerate();
        items.map(|(index, item)| Self::open(path.item(index), item, self.problems)).collect()
    }

    /// Opens each map of the map at `key`, whose names are free; absent is empty.
    pub(super) fn named(&mut self, key: &'static str) -> Vec<(String, Self)> {
        let map = self.section(key);
        let open = |(name, tree): (String, Tree)| {
            let section = Self::open(map.path.key(&name), tree, map.problems);
            (name, section)
        };
        map.entries.into_iter().map(open).collect()
    }

    /// Reports every key that nobody asked for.
    pub(super) fn close(self) {
        for (key, _) in &self.entries {
            let known = self.asked.iter().copied();
            let hint = match nearest(key, known) {
                Some(meant) => format!("unknown key; did you mean {meant}?"),
                None => format!("unknown key; there are {}", self.asked.join(", ")),
            };
            self.problem(key, hint);
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Tree> {
        self.asked.push(key);
        let index = self.entries.iter().position(|(name, _)| name == key)?;
        Some(self.entries.remove(index).1).filter(|tree| *tree != Tree::Null)
    }

    fn list(&mut self, key: &'static str) -> Vec<Tree> {
        match self.take(key) {
            Some(Tree::List(items)) => items,
            Some(other) => {
                self.unexpected(key, &other, "a list");
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    fn unexpected(&self, key: &str, found: &Tree, expected: &str) {
        if *found != Tree::Broken {
            self.problem(key, format!("expected {expected}; found {}", found.described()));
        }
    }
}

fn word_of(tree: &Tree) -> Option<String> {
    match tree {
        Tree::Text(text) => Some(text.value.clone()),
        Tree::Integer(value) => Some(value.to_string()),
        Tree::Bool(value) => Some(value.to_string()),
        Tree::Null | Tree::Float(_) | Tree::List(_) | Tree::Map(_) | Tree::Broken => None,
    }
}

fn first_of_each(
    path: &Path,
    entries: Vec<(String, Tree)>,
    problems: &Problems,
) -> Vec<(String, Tree)> {
    let mut kept: Vec<(String, Tree)> = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        if kept.iter().any(|(name, _)| *name == key) {
            problems.add(&path.key(&key), "this key comes twice; keep one");
        } else {
            kept.push((key, value));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(yaml: &str, read: impl FnOnce(&mut Section<'_>)) -> Vec<String> {
        let problems = Problems::default();
        let tree: Tree = serde_yaml::from_str(yaml).unwrap();
        let mut section = Section::open(Path::default(), tree, &problems);
        read(&mut section);
        section.close();
        problems.into_list().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_unknown_key_names_the_one_that_was_meant() {
        let found = problems_of("prot: 1\nzebra: 2\n", |section| {
            section.integer("port", 1..=9);
        });
        assert_eq!(
            found,
            ["prot: unknown key; did you mean port?", "zebra: unknown key; there are port"]
        );
    }

    #[test]
    fn the_second_of_two_equal_keys_is_a_mistake() {
        let found = problems_of("port: 1\nport: 2\n", |section| {
            assert_eq!(section.integer("port", 1..=9), Some(1));
        });
        assert_eq!(found, ["port: this key comes twice; keep one"]);
    }

    #[test]
    fn a_number_at_its_bound_is_taken_and_the_next_one_is_not() {
        assert!(
            problems_of("port: 9", |section| assert_eq!(section.integer("port", 1..=9), Some(9)))
                .is_empty()
        );
        let found =
            problems_of("port: 10", |section| assert_eq!(section.integer("port", 1..=9), None));
        assert_eq!(found, ["port: expected a whole number from 1 to 9; found 10"]);
    }

    #[test]
    fn a_number_where_a_text_is_expected_is_not_guessed_at() {
        let found = problems_of("password: 123\nuser: yes\n", |section| {
            section.text("password");
            assert_eq!(section.text("user").as_deref(), Some("yes"));
        });
        assert_eq!(found, ["password: expected a text: put the value between quotes"]);
    }

    #[test]
    fn a_key_with_nothing_behind_it_is_absent() {
        assert!(problems_of("reads:\n", |section| section.section("reads").close()).is_empty());
    }
}
