//! YAML as it was written: keys in order, duplicates kept, nothing interpreted yet.
//!
//! Maps of the YAML library silently keep the last of two equal keys, and its derived structs stop
//! at the first mistake. This tree loses nothing, so that [`super::section`] can name all of them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};

use super::env::{self, Lookup};
use super::problem::{Path, Problems};

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tree {
    /// Nothing behind the colon: the same as if the key were not there.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(Text),
    /// A list.
    List(Vec<Self>),
    /// A map; the same key may come twice.
    Map(Vec<(String, Self)>),
    /// Something that was reported already.
    Broken,
}

/// A text, and whether it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    /// After substitution.
    pub(super) value: String,
    /// Part of it comes from the environment: it may be secret and is never printed.
    pub(super) from_env: bool,
}

impl Tree {
    /// Replaces `${NAME}` and `${NAME:-default}` in every text.
    pub(super) fn expand(&mut self, path: &Path, env: Lookup<'_>, problems: &Problems) {
        match self {
            Self::Text(text) => match env::expand(&text.value, env) {
                Ok(Some(value)) => *text = Text { value, from_env: true },
                Ok(None) => {}
                Err(problem) => {
                    problems.add(path, problem);
                    *self = Self::Broken;
                }
            },
            Self::List(items) => items
                .iter_mut()
                .enumerate()
                .for_each(|(index, item)| item.expand(&path.item(index), env, problems)),
            Self::Map(entries) => entries
                .iter_mut()
                .for_each(|(key, value)| value.expand(&path.key(key), env, problems)),
            Self::Null | Self::Bool(_) | Self::Integer(_) | Self::Float(_) | Self::Broken => {}
        }
    }

    /// What to call it in a message, without its value where that may be secret.
    pub(super) fn described(&self) -> String {
        match self {
            Self::Null => "nothing".into(),
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(Text { from_env: true, .. }) => "a text from the environment".into(),
            Self::Text(text) => format!("{:?}", text.value),
            Self::List(_) => "a list".into(),
            Self::Map(_) => "a map".into(),
            Self::Broken => "a mistake".into(),
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain YAML value")
    }

    fn visit_unit<E: Error>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Integer(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Integer(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(Text { value: value.to_owned(), from_env: false }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Tree>()? {
            let key = match key {
                Tree::Text(text) => text.value,
                Tree::Bool(value) => value.to_string(),
                Tree::Integer(value) => value.to_string(),
                Tree::Float(_) | Tree::Null | Tree::List(_) | Tree::Map(_) | Tree::Broken => {
                    return Err(A::Error::custom("keys must be plain names"));
                }
            };
            entries.push((key, map.next_value()?));
        }
        Ok(Tree::Map(entries))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _tagged: A) -> Result<Tree, A::Error> {
        Err(A::Error::custom("tags such as !name have no meaning here"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_of_two_equal_keys_survive() {
        let tree: Tree = serde_yaml::from_str("a: 1\na: 2\n").unwrap();
        let entry = |value| ("a".to_owned(), Tree::Integer(value));
        assert_eq!(tree, Tree::Map(vec![entry(1), entry(2)]));
    }

    #[test]
    fn a_tag_is_a_mistake_and_no_panic() {
        let tree: Result<Tree, _> = serde_yaml::from_str("a: !secret b\n");
        assert!(tree.unwrap_err().to_string().contains("tags such as !name"));
    }
}
