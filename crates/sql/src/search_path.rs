//! Where are names without a schema looked up? A value of `search_path`, and the catalog that it is about.

use crate::catalog::Catalog;

/// Names longer than this are cut by the server (`NAMEDATALEN` - 1, manual 4.1.1).
const LONGEST_NAME: usize = 63;

/// A value of `search_path` (manual 5.9.3): schemas in which names without one are looked up.
///
/// `pg_catalog` is always among them. That the first schema wins is not relied on: a function is chosen by its
/// arguments, and an object may have been made since the catalog was read. So a name stands for every object of that
/// name in all of these schemas.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SearchPath {
    schemas: Box<[Box<str>]>,
}

impl SearchPath {
    /// Reads a value as the server would.
    ///
    /// `None` when it can't be told which schemas are meant (`"$user"` hangs on the role), or the server would refuse
    /// it: then names may mean anything.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let mut rest = value.trim_matches(is_space);
        let mut schemas = Vec::new();
        while !rest.is_empty() {
            let (name, after) = name(rest)?;
            if &*name == "$user" || name.is_empty() || name.len() > LONGEST_NAME {
                return None;
            }
            schemas.push(name);
            rest = after.trim_start_matches(is_space);
            let Some(next) = rest.strip_prefix(',') else { break };
            rest = next.trim_start_matches(is_space);
            if rest.is_empty() {
                return None;
            }
        }
        rest.is_empty().then(|| Self { schemas: schemas.into() })
    }

    pub(crate) fn has(&self, schema: &str) -> bool {
        schema == "pg_catalog" || self.schemas.iter().any(|known| **known == *schema)
    }
}

/// The white space that the server takes between the names of a list.
const fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

/// Splits the first name off: quoted, or folded to lower case.
fn name(text: &str) -> Option<(Box<str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|next| next == ',' || is_space(next)).unwrap_or(text.len());
        let (name, rest) = text.split_at_checked(end)?;
        // How the server folds other letters hangs on its locale.
        return name.is_ascii().then(|| (name.to_ascii_lowercase().into(), rest));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (part, after) = rest.split_once('"')?;
        name.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name.into(), after)),
        }
    }
}

/// What names mean: the objects of a database, and where those without a schema are looked up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Namespace<'a> {
    /// The database's catalog; `None` until it was read.
    pub catalog: Option<&'a Catalog>,
    /// The session's search path; `None` while it is not known: then a name without a schema stands for every object of
    /// that name in every schema.
    pub path: Option<&'a SearchPath>,
}

impl<'a> From<Option<&'a Catalog>> for Namespace<'a> {
    fn from(catalog: Option<&'a Catalog>) -> Self {
        Self { catalog, path: None }
    }
}

/// Which schemas a name may be of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scope<'a> {
    /// That which was named.
    Schema(&'a str),
    /// Those of the search path.
    Path(&'a SearchPath),
    /// Any: nothing is known of the search path.
    Anywhere,
}

impl Scope<'_> {
    pub(crate) fn has(self, schema: &str) -> bool {
        match self {
            Self::Schema(named) => named == schema,
            Self::Path(path) => path.has(schema),
            Self::Anywhere => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SearchPath;

    fn schemas(value: &str) -> Option<Vec<String>> {
        let path = SearchPath::parse(value)?;
        Some(path.schemas.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn names_are_folded_unless_quoted() {
        let wanted = ["public", "A \"b\"", "c"].map(str::to_owned).to_vec();
        assert_eq!(schemas(" PUBLIC ,\"A \"\"b\"\"\",\tc"), Some(wanted));
        assert_eq!(schemas(" "), Some(vec![]));
    }

    #[test]
    fn what_can_not_be_told_is_no_path() {
        for value in
            ["a,", ",a", "a b", "\"a", "\"\"", "\"a\"b", "É", "a,,b", "\"$user\", public", "$user"]
        {
            assert_eq!(schemas(value), None, "{value}");
        }
        assert_eq!(schemas(&"a".repeat(64)), None);
    }
}
