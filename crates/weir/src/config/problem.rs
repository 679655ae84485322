//! Mistakes, each with its place.

use std::cell::RefCell;
use std::fmt;

/// One mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: `clusters.main.nodes[1].port`; empty when it concerns the file as a whole.
    pub path: String,
    /// What is wrong and what to write instead.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.text)
        } else {
            write!(f, "{}: {}", self.path, self.text)
        }
    }
}

/// All mistakes so far; shared by all sections while the file is read.
#[derive(Debug, Default)]
pub(super) struct Problems {
    list: RefCell<Vec<Problem>>,
}

impl Problems {
    /// Notes a mistake; the same one twice is noted once.
    pub(super) fn add(&self, path: &Path, text: impl Into<String>) {
        let problem = Problem { path: path.0.clone(), text: text.into() };
        let mut list = self.list.borrow_mut();
        if !list.contains(&problem) {
            list.push(problem);
        }
    }

    pub(super) fn into_list(self) -> Vec<Problem> {
        self.list.into_inner()
    }
}

/// A place in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Path(String);

impl Path {
    /// The value of `key` below here; quoted when it is not a plain name.
    pub(super) fn key(&self, key: &str) -> Self {
        let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-');
        let dot = if self.0.is_empty() { "" } else { "." };
        if !key.is_empty() && key.chars().all(plain) {
            Self(format!("{}{dot}{key}", self.0))
        } else {
            Self(format!("{}{dot}{key:?}", self.0))
        }
    }

    /// The item of that number, from 0.
    pub(super) fn item(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::Path;

    #[test]
    fn a_name_that_is_not_plain_is_quoted_in_a_path() {
        let path = Path::default().key("databases").key("*").key("nodes").item(1);
        assert_eq!(path.0, "databases.\"*\".nodes[1]");
    }
}
