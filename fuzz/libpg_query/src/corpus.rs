//! Statements that people wrote, as tokens.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use schema::{FORBIDDEN_FUNCTIONS, FORBIDDEN_RELATIONS, FORBIDDEN_TYPES, Harmless};
use serde::Deserialize;
use serde_json::Value;

/// Longer statements are left out: mutating them teaches little.
const MOST_TOKENS: usize = 200;

/// Texts as lists of tokens.
#[derive(Debug, Default)]
pub struct Corpus {
    pub texts: Vec<Vec<String>>,
    /// What the texts name: all of it exists in the database that the classifier is told of.
    pub named: Harmless,
}

/// An entry of tests/routing/*.yaml; some tables are of other things.
#[derive(Deserialize)]
struct Case {
    sql: Option<String>,
    #[serde(default)]
    before: Vec<String>,
}

impl Corpus {
    /// Reads files: tables of cases (`.yaml`), and SQL as psql takes it.
    pub fn read(files: &[impl AsRef<Path>]) -> Result<Self, Box<dyn std::error::Error>> {
        let mut names = Names::default();
        let mut texts = Vec::new();
        for file in files.iter().map(AsRef::as_ref) {
            let content = String::from_utf8_lossy(&fs::read(file)?).into_owned();
            let statements = if file.extension().is_some_and(|kind| kind == "yaml") {
                let cases: Vec<Case> = serde_yaml::from_str(&content)?;
                cases.into_iter().flat_map(|case| case.before.into_iter().chain(case.sql)).collect()
            } else {
                statements(&content)
            };
            for sql in statements {
                names.gather(&sql);
                texts.extend(
                    tokens(&sql).filter(|tokens| (1..=MOST_TOKENS).contains(&tokens.len())),
                );
            }
        }
        Ok(Self { texts, named: names.into_harmless() })
    }
}

/// Splits what psql would read; pieces that are no SQL on their own only feed mutations.
fn statements(content: &str) -> Vec<String> {
    let lines: Vec<&str> =
        content.lines().filter(|line| !line.trim_start().starts_with('\\')).collect();
    lines.join("\n").split(";\n").map(str::to_owned).collect()
}

/// A text's tokens as PostgreSQL's scanner splits it; comments are tokens, too.
pub fn tokens(sql: &str) -> Option<Vec<String>> {
    let scanned = pg_query::scan(sql).ok()?;
    let place = |offset| usize::try_from(offset).ok();
    scanned
        .tokens
        .iter()
        .map(|token| Some(sql.get(place(token.start)?..place(token.end)?)?.to_owned()))
        .collect()
}

#[derive(Default)]
struct Names {
    relations: BTreeSet<String>,
    functions: BTreeSet<String>,
    types: BTreeSet<String>,
}

impl Names {
    fn gather(&mut self, sql: &str) {
        let Ok(parsed) = pg_query::parse(sql, 0) else { return };
        let tree = serde_json::to_value(&parsed.protobuf).expect("a tree of plain values is JSON");
        self.walk(&tree);
    }

    fn walk(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.walk(item)),
            Value::Object(fields) => {
                if let Some(name) = fields.get("relname").and_then(Value::as_str) {
                    self.relations.insert(name.to_owned());
                }
                if let Some(name) = fields.get("funcname").and_then(last) {
                    self.functions.insert(name);
                }
                if fields.contains_key("pct_type")
                    && let Some(name) = fields.get("names").and_then(last)
                {
                    self.types.insert(name);
                }
                fields.values().for_each(|field| self.walk(field));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn into_harmless(self) -> Harmless {
        let without = |names: BTreeSet<String>, forbidden: &[(&str, &str)]| {
            names
                .into_iter()
                .filter(|name| {
                    !name.is_empty() && !forbidden.iter().any(|(_, other)| other == name)
                })
                .collect()
        };
        Harmless {
            relations: without(self.relations, FORBIDDEN_RELATIONS),
            functions: without(self.functions, FORBIDDEN_FUNCTIONS),
            types: without(self.types, FORBIDDEN_TYPES),
        }
    }
}

fn last(name: &Value) -> Option<String> {
    let part = name.as_array()?.last()?.pointer("/node/String/sval")?;
    part.as_str().map(str::to_owned)
}
