//! A file to the statements in it: a psql script, or an export of `pg_stat_statements`.
//!
//! Knows nothing of what statements mean.

use std::borrow::Cow;
use std::io::{self, Read};
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder};
use serde::Deserialize;

use crate::cli::Input;

/// The largest file that is read, bytes.
const MOST: u64 = 256 << 20;

/// What to do about an export that is not understood.
const EXPORT: &str =
    "export it by \\copy (SELECT calls, query FROM pg_stat_statements) TO 'file' CSV HEADER";

/// One statement, or one text of an export.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry<'a> {
    /// Its line, or in JSON its number, from 1.
    pub(super) place: u64,
    /// Its text; files may hold anything.
    pub(super) text: Cow<'a, [u8]>,
    /// How often it ran, if the file tells.
    pub(super) calls: Option<u64>,
    /// How long it ran in all, in milliseconds, if the file tells.
    pub(super) time: Option<f64>,
}

/// Entries as they are read; the first mistake ends them.
pub(super) type Entries<'a> = Box<dyn Iterator<Item = Result<Entry<'a>, String>> + 'a>;

/// Reads a file, or standard input for `-`, as a whole.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, String> {
    let named = |cause: io::Error| format!("can't read {}: {cause}", file.display());
    let mut bytes = Vec::new();
    let source: &mut dyn Read = if file.as_os_str() == "-" {
        &mut io::stdin().lock()
    } else {
        &mut std::fs::File::open(file).map_err(named)?
    };
    source.take(MOST.saturating_add(1)).read_to_end(&mut bytes).map_err(named)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MOST) {
        let megabytes = MOST >> 20;
        return Err(format!(
            "{} has more than {megabytes} MiB, which is the most; split it",
            file.display()
        ));
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    Ok(bytes)
}

/// What a file is, by its beginning.
pub(super) fn detect(bytes: &[u8]) -> Input {
    let start = bytes.trim_ascii_start();
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let names = || line.trim_ascii_end().split(|byte| *byte == b',').map(unquoted);
    let is_word =
        |name: &[u8]| name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    if matches!(start.first(), Some(b'[' | b'{')) {
        Input::Json
    } else if names().all(is_word) && names().any(|name| name.eq_ignore_ascii_case(b"query")) {
        Input::Csv
    } else {
        Input::Sql
    }
}

fn unquoted(name: &[u8]) -> &[u8] {
    name.strip_prefix(b"\"").and_then(|name| name.strip_suffix(b"\"")).unwrap_or(name)
}

/// The entries of a file.
pub(super) fn entries(form: Input, bytes: &[u8]) -> Entries<'_> {
    match form {
        Input::Sql => Box::new(script(bytes)),
        Input::Csv => table(bytes),
        Input::Json => Box::new(objects(bytes)),
    }
}

fn script(bytes: &[u8]) -> impl Iterator<Item = Result<Entry<'_>, String>> {
    let (mut line, mut seen) = (1_u64, 0);
    sql::statements(bytes).map(move |text| {
        let start = text.as_ptr().addr().saturating_sub(bytes.as_ptr().addr());
        let passed = bytes.get(seen..start).unwrap_or_default();
        line = line.saturating_add(passed.iter().map(|byte| u64::from(*byte == b'\n')).sum());
        seen = start;
        Ok(Entry { place: line, text: Cow::Borrowed(text), calls: None, time: None })
    })
}

/// Where an export has what.
struct Columns {
    query: usize,
    calls: Option<usize>,
    time: Option<usize>,
}

fn table(bytes: &[u8]) -> Entries<'_> {
    let mut reader = ReaderBuilder::new().from_reader(bytes);
    let columns = match reader.byte_headers().map(columns) {
        Ok(Ok(columns)) => columns,
        Ok(Err(mistake)) => return Box::new(std::iter::once(Err(mistake))),
        Err(cause) => return Box::new(std::iter::once(Err(format!("not CSV: {cause}; {EXPORT}")))),
    };
    Box::new(reader.into_byte_records().map(move |record| {
        row(&columns, &record.map_err(|cause| format!("not CSV: {cause}; {EXPORT}"))?)
    }))
}

fn columns(header: &ByteRecord) -> Result<Columns, String> {
    let named =
        |wanted: &str| header.iter().position(|name| name.eq_ignore_ascii_case(wanted.as_bytes()));
    // Before PostgreSQL 13 it was total_time.
    let time = named("total_exec_time").or_else(|| named("total_time"));
    match named("query") {
        Some(query) => Ok(Columns { query, calls: named("calls"), time }),
        None => Err(format!("the CSV header names no column query; {EXPORT}")),
    }
}

fn row(columns: &Columns, record: &ByteRecord) -> Result<Entry<'static>, String> {
    let place = record.position().map_or(0, csv::Position::line);
    let text = record.get(columns.query).unwrap_or_default().to_vec();
    let calls = number(record, columns.calls, "calls", place)?;
    let time = number(record, columns.time, "total_exec_time", place)?;
    Ok(Entry { place, text: text.into(), calls, time })
}

fn number<T: std::str::FromStr>(
    record: &ByteRecord,
    column: Option<usize>,
    name: &str,
    line: u64,
) -> Result<Option<T>, String> {
    let Some(field) = column.and_then(|column| record.get(column)) else { return Ok(None) };
    let read = std::str::from_utf8(field).ok().and_then(|text| text.parse().ok());
    // What stands there instead may be data.
    read.map(Some).ok_or_else(|| format!("line {line}: {name} is no number; {EXPORT}"))
}

/// One entry of `pg_stat_statements`; other keys don't matter.
#[derive(Debug, Deserialize)]
struct Object {
    query: Option<String>,
    calls: Option<u64>,
    #[serde(alias = "total_time")]
    total_exec_time: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Objects {
    Many(Vec<Object>),
    One(Object),
}

fn objects(bytes: &[u8]) -> impl Iterator<Item = Result<Entry<'_>, String>> {
    let values = serde_json::Deserializer::from_slice(bytes).into_iter::<Objects>();
    let all = values.flat_map(|value| match value {
        Ok(Objects::Many(many)) => many.into_iter().map(Ok).collect(),
        Ok(Objects::One(one)) => vec![Ok(one)],
        Err(cause) => vec![Err(format!(
            "not JSON with the keys query and calls: {cause}; --input says what the file is"
        ))],
    });
    all.zip(1..).map(|(object, place)| {
        let Object { query, calls, total_exec_time: time } = object?;
        let text = query.unwrap_or_default().into_bytes().into();
        Ok(Entry { place, text, calls, time })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(form: Input, bytes: &[u8]) -> Vec<(u64, String, Option<u64>)> {
        let text = |entry: &Entry<'_>| String::from_utf8_lossy(&entry.text).into_owned();
        let entries = entries(form, bytes).map(Result::unwrap);
        entries.map(|entry| (entry.place, text(&entry), entry.calls)).collect()
    }

    #[test]
    fn the_beginning_tells_what_a_file_is() {
        for (text, form) in [
            ("calls,query\n1,SELECT 1", Input::Csv),
            ("\"query\"\r\nSELECT 1", Input::Csv),
            ("userid,QUERY,calls\n", Input::Csv),
            ("SELECT calls, query\nFROM pg_stat_statements", Input::Sql),
            ("SELECT calls,query\nFROM pg_stat_statements", Input::Sql),
            ("  [{\"query\": \"SELECT 1\"}]", Input::Json),
            ("{\"query\": \"SELECT 1\"}\n", Input::Json),
            ("", Input::Sql),
        ] {
            assert_eq!(detect(text.as_bytes()), form, "{text}");
        }
    }

    #[test]
    fn statements_of_a_script_have_the_line_that_they_begin_on() {
        let script = b"SELECT 1; SELECT 2;\n\n-- note\nSELECT\n3;\nSELECT '\xff'";
        let found = texts(Input::Sql, script);
        let lines: Vec<u64> = found.iter().map(|(line, ..)| *line).collect();
        assert_eq!(lines, [1, 1, 3, 6]);
    }

    #[test]
    fn columns_are_found_by_name_and_quoted_fields_may_have_lines() {
        let csv =
            b"x,calls,query,total_exec_time\n1,7,\"SELECT\n \"\"a\"\"\",1.5\n1,8,SELECT \xff,2\n";
        let found: Vec<Entry<'_>> = entries(Input::Csv, csv).map(Result::unwrap).collect();
        assert_eq!((found[0].place, found[1].place), (2, 4));
        assert_eq!(&*found[0].text, b"SELECT\n \"a\"");
        assert_eq!((found[0].calls, found[0].time), (Some(7), Some(1.5)));
        assert_eq!(&*found[1].text, b"SELECT \xff");
    }

    #[test]
    fn json_is_an_array_or_an_object_per_line() {
        let expected = vec![(1, "SELECT 1".into(), Some(5)), (2, "SELECT 2".into(), None)];
        let array = br#"[{"query": "SELECT 1", "calls": 5, "x": null}, {"query": "SELECT 2"}]"#;
        let lines = b"{\"query\": \"SELECT 1\", \"calls\": 5}\n{\"query\": \"SELECT 2\"}\n";
        assert_eq!(texts(Input::Json, array), expected);
        assert_eq!(texts(Input::Json, lines), expected);
    }

    #[test]
    fn mistakes_name_their_place_and_what_to_do() {
        for (form, text, said) in [
            (Input::Csv, "calls,sql\n1,SELECT 1\n", "no column query"),
            (Input::Csv, "calls,query\nmany,SELECT 1\n", "line 2: calls is no number"),
            (Input::Csv, "calls,query\n1,SELECT 1,2\n", "line: 2"),
            (Input::Json, "{\"query\": 1}", "not JSON with the keys"),
        ] {
            let mistake = entries(form, text.as_bytes()).find_map(Result::err).unwrap();
            assert!(mistake.contains(said), "{mistake}");
        }
    }
}
