//! `weir classify` as an operator uses it; no Postgres is needed.
#![cfg(test)]

#[expect(dead_code, reason = "these tests start no server")]
mod weir_process;

use std::io::Write as _;
use std::process::{Output, Stdio};

use serde_json::Value;
use weir_process::{Folder, weir};

const SCRIPT: &str = "\\set x 1
SELECT * FROM notes WHERE body = 'secret-1' AND id = 4711;
SELECT * FROM notes WHERE id = :x \\gset
INSERT INTO notes VALUES (1, 'secret-2');
/* weir: route=primary */ SELECT 1;
SELECT made_up('secret-3');
CREATE TEMP TABLE z (a int); LISTEN z;
COPY notes FROM STDIN;
1\tsecret-4;
\\.
BEGIN; COMMIT;
SELCT 'secret-5';
SHOW weir.lsn;
";

/// Runs the command with a text as its standard input.
fn classify(arguments: &[&str], text: &[u8]) -> Output {
    let mut command = weir();
    command.arg("classify").args(arguments).arg("-").env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that fails early does not read it all.
    drop(child.stdin.take().unwrap().write_all(text));
    child.wait_with_output().unwrap()
}

fn said(arguments: &[&str], text: &[u8]) -> String {
    let output = classify(arguments, text);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(text: &[u8]) -> Value {
    serde_json::from_str(&said(&["--format", "json"], text)).unwrap()
}

fn refused(arguments: &[&str], text: &[u8]) -> String {
    let output = classify(arguments, text);
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

/// The entry of that name, with how many statements it counts.
fn count(list: &Value, key: &str, name: &str) -> u64 {
    let all = list.as_array().unwrap().iter();
    all.filter(|one| one[key] == name).map(|one| one["statements"].as_u64().unwrap()).sum()
}

#[test]
fn a_script_is_counted_by_target_class_cause_and_pin() {
    let report = json(SCRIPT.as_bytes());
    assert_eq!(report["statements"], 12);
    for (target, statements) in [("replica", 2), ("primary", 8), ("follows", 1), ("weir", 1)] {
        assert_eq!(count(&report["targets"], "name", target), statements, "{target}");
    }
    assert_eq!(count(&report["classes"], "name", "write"), 6);
    for cause in ["data_modifying", "hint", "unknown_function", "ddl", "notify", "copy", "unparsed"]
    {
        assert_eq!(count(&report["causes"], "cause", cause), 1, "{cause}");
    }
    for pin in ["temporary_relation", "listen"] {
        assert_eq!(count(&report["pins"], "cause", pin), 1, "{pin}");
    }
    let unread = &report["not_understood"];
    assert_eq!((&unread[0]["place"], &unread[0]["statement"]), (&12.into(), &"SELCT ?".into()));
}

#[test]
fn no_output_shows_what_users_wrote() {
    for arguments in [&["--all"][..], &["--format", "json", "--all"]] {
        let text = said(arguments, SCRIPT.as_bytes());
        assert!(text.contains("INSERT INTO notes VALUES (?, ?)"), "{text}");
        assert!(!text.contains("secret") && !text.contains("4711"), "{text}");
    }
}

#[test]
fn the_head_says_what_was_assumed() {
    let text = said(&[], b"SELECT * FROM nobody_knows");
    let head: Vec<&str> = text.lines().take(4).collect();
    assert_eq!(head[0], "-: 1 statements (a psql script)");
    assert!(head[1].starts_with("catalog  none; -c CONFIG --database NAME"), "{text}");
    assert!(head[2].contains("every relation that is not PostgreSQL's own is an ordinary table"));
    assert!(head[3].starts_with("judged   each by itself"), "{text}");
}

#[test]
fn an_export_is_weighed_by_calls_and_time() {
    let csv = "calls,total_exec_time,query,rows
90,10.0,SELECT * FROM t WHERE a = $1,1
10,30.0,\"UPDATE t SET a = $1\nWHERE b = $2\",1
7,1.0,<insufficient privilege>,1
";
    let report = json(csv.as_bytes());
    assert_eq!((&report["statements"], &report["calls"]), (&2.into(), &100.into()));
    assert_eq!(report["time_ms"], 40.0);
    assert_eq!(report["targets"][0]["name"], "replica");
    assert_eq!(report["targets"][0]["calls"], 90);
    assert_eq!(report["targets"][1]["time_ms"], 30.0);
    assert_eq!(report["hidden"]["calls"], 7);
    let text = said(&[], csv.as_bytes());
    let replica = text.lines().find(|line| line.starts_with("  replica")).unwrap();
    assert!(["50.0 %", "90.0 %", "25.0 %"].iter().all(|share| replica.contains(share)), "{text}");
    assert!(text.contains("left out 1 without a text (7 calls)"), "{text}");
}

#[test]
fn a_parameter_where_only_a_constant_can_be_stands_for_one() {
    let report = json(b"query\nSELECT date $1 FROM t\n\"SELECT extract($1 FROM a) FROM t\"\n");
    assert_eq!(count(&report["causes"], "cause", "read_only"), 2, "{report}");
    assert_eq!(report["causes"][0]["example"], "SELECT date $1 FROM t");
}

#[test]
fn json_is_read_like_csv() {
    let report = json(b"[{\"query\": \"SELECT 1\", \"calls\": 3}, {\"query\": \"DELETE FROM t\"}]");
    assert_eq!((&report["input"], &report["calls"]), (&"json".into(), &4.into()));
    assert_eq!(report["targets"][0]["calls"], 3);
}

#[test]
fn what_is_not_utf8_is_counted_and_ends_nothing() {
    let report = json(b"SELECT 1; SELECT '\xff'; SELECT 2;");
    assert_eq!(count(&report["targets"], "name", "replica"), 2);
    assert_eq!(count(&report["causes"], "cause", "malformed"), 1);
}

#[test]
fn the_list_of_what_was_not_understood_is_bounded_unless_all_is_wanted() {
    let script = "SELCT 1;\n".repeat(30);
    let text = said(&[], script.as_bytes());
    assert_eq!(text.matches("  line ").count(), 20);
    assert!(text.contains("… and 10 more; --all lists them"), "{text}");
    // Once as not understood, once among all.
    assert_eq!(said(&["--all"], script.as_bytes()).matches("  line ").count(), 60);
}

#[test]
fn what_can_not_be_read_is_said_with_what_to_do() {
    for (arguments, text, expected) in [
        (&["--input", "csv"][..], "SELECT 1;", "names no column query; export it by \\copy"),
        (&["--input", "json"], "SELECT 1;", "not JSON with the keys query and calls"),
        (&[], "-- nothing", "holds no statement; --input says what it is"),
        (&["-c", "/nowhere.yaml", "-d", "app"], "SELECT 1", "can't read /nowhere.yaml"),
    ] {
        let said = refused(arguments, text.as_bytes());
        assert!(said.contains(expected), "{said}");
    }
    let output = weir().args(["classify", "/nowhere.sql"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("can't read /nowhere.sql"));
    assert_eq!(classify(&["-c", "config.yaml"], b"SELECT 1").status.code(), Some(2));
}

#[test]
fn a_cluster_that_gives_no_catalog_is_told_and_tables_are_assumed() {
    let folder = Folder::new("classify");
    let nodes = "nodes: [{ name: a, host: 127.0.0.1, port: 1 }]";
    let text = format!("auth: {{ method: trust }}\nclusters: {{ main: {{ {nodes} }} }}\n");
    let file = folder.write("c.yaml", &text);
    let text = said(&["-c", file.to_str().unwrap(), "-d", "app"], b"SELECT * FROM t");
    assert!(text.contains("catalog  none, since no node gave it: node a: "), "{text}");
    assert!(text.contains("assumed  every relation"), "{text}");
    assert!(text.contains("replica                         1 100.0 %"), "{text}");
}
