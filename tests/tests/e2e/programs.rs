//! Random sessions: whatever a client sets, begins, rolls back and resets, through Weir it has the
//! settings that it would have by itself, on every server, and nobody inherits them.

use std::collections::BTreeMap;

use testkit::Cluster;
use weir_tests::{Message, Raw, Weir, say, tags};
use wire::tag;

use crate::{pool, rig};

/// Steps of one program.
const STEPS: usize = 40;
/// Programs of each run, unless `WEIR_PROGRAMS` says otherwise; `WEIR_SEED` runs that one alone.
const PROGRAMS: u64 = 24;
/// What a session can see of itself.
const SEEN: &str = "SELECT string_agg(name || '=' || setting, E'\\n' ORDER BY name) \
    || E'\\nrole=' || current_setting('role') || E'\\nuser=' || session_user || '/' || current_user \
    || E'\\napp.x=' || coalesce(nullif(current_setting('app.x', true), ''), '-') FROM pg_settings \
    WHERE name NOT IN ('port', 'in_hot_standby', 'transaction_isolation', 'transaction_read_only', \
    'transaction_deferrable')";

/// A generator that gives the same numbers for the same seed (xorshift64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % sides
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len())]
    }
}

/// A statement that touches the session.
fn statement(dice: &mut Dice) -> String {
    const SET: [(&str, &[&str]); 9] = [
        ("work_mem", &["'1MB'", "'64MB'", "DEFAULT"]),
        ("TimeZone", &["'Asia/Tokyo'", "'Europe/Rome'", "UTC", "DEFAULT", "-7"]),
        ("DateStyle", &["'German'", "dmy", "'ISO, YMD'", "DEFAULT"]),
        ("search_path", &["a, \"B c\", public", "''", "DEFAULT", "\"$user\""]),
        ("application_name", &["'it''s'", "x", "DEFAULT"]),
        ("app.x", &["'1'", "'zwei'", "DEFAULT"]),
        ("default_transaction_isolation", &["'repeatable read'", "serializable", "DEFAULT"]),
        ("bytea_output", &["escape", "DEFAULT", "'nonsense'"]),
        ("lock_timeout", &["'60s'", "0", "DEFAULT"]),
    ];
    let (name, values) = dice.pick(&SET);
    let value = *dice.pick(values);
    // SET LOCAL … TO DEFAULT knows nothing of a startup packet: CHANGELOG, "Not yet".
    let scope = match *dice.pick(&["", "", "SESSION ", "LOCAL "]) {
        "LOCAL " if value == "DEFAULT" => "",
        scope => scope,
    };
    match dice.roll(22) {
        0..6 => format!("SET {scope}{name} = {value}"),
        6 => format!("RESET {name}"),
        7 => "RESET ALL".into(),
        8 | 9 => "BEGIN".into(),
        10 | 11 => "COMMIT".into(),
        12 | 13 => "ROLLBACK".into(),
        14 => format!("SAVEPOINT {}", dice.pick(&["s", "t"])),
        15 => format!("ROLLBACK TO {}", dice.pick(&["s", "t"])),
        16 => format!("RELEASE {}", dice.pick(&["s", "t"])),
        17 => "SELECT 1/0".into(),
        18 => format!(
            "SELECT set_config('{name}', {}, {})",
            dice.pick(&["'8MB'", "'UTC'", "'1'"]),
            dice.pick(&["true", "false"])
        ),
        19 => format!("SET {scope}ROLE {}", dice.pick(&["app", "weir_monitor", "none"])),
        20 => dice
            .pick(&["RESET ROLE", "SET SESSION AUTHORIZATION app", "RESET SESSION AUTHORIZATION"])
            .to_string(),
        _ => dice
            .pick(&[
                "DISCARD ALL",
                "COMMIT AND CHAIN",
                "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
            ])
            .to_string(),
    }
}

/// One step of a program: one or some statements, by one of both protocols.
fn step(dice: &mut Dice) -> (String, Vec<u8>) {
    let count = *dice.pick(&[1, 1, 1, 2, 3]);
    let texts: Vec<String> = (0..count).map(|_| statement(dice)).collect();
    match dice.roll(4) {
        0 => {
            let run = |sql: &String| [say::parse("", sql), say::bind("", ""), say::execute("", 0)];
            let mut bytes = texts.iter().flat_map(run).flatten().collect::<Vec<_>>();
            bytes.extend(say::sync());
            (format!("pipeline {texts:?}"), bytes)
        }
        _ => (format!("query {texts:?}"), say::query(&texts.join("; "))),
    }
}

/// What a client has been told of its parameters so far.
#[derive(Default)]
struct Told(BTreeMap<String, String>);

impl Told {
    fn hear(&mut self, messages: &[Message]) {
        for message in messages.iter().filter(|message| message.tag == tag::PARAMETER_STATUS) {
            let (name, value) = wire::parameter_status(&message.body).unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            self.0.insert(text(name), text(value));
        }
    }
}

/// One side of a comparison.
struct Side {
    raw: Raw,
    told: Told,
}

impl Side {
    fn login(port: u16, options: &[(&str, &str)]) -> Self {
        let raw = Raw::login(port, "postgres", options).unwrap();
        let mut told = Told::default();
        told.hear(raw.greeting());
        Self { raw, told }
    }

    fn run(&mut self, bytes: &[u8]) -> Vec<Message> {
        let heard = self.raw.talk(bytes);
        self.told.hear(&heard);
        heard
    }
}

/// Without what differs from server to server, and what is told at another moment.
fn answers(heard: &[Message]) -> Vec<String> {
    let kept = |message: &&Message| message.tag != tag::PARAMETER_STATUS;
    heard.iter().filter(kept).map(Message::line).collect()
}

/// Takes servers away and gives them back, so that sessions have to move.
fn flip(shuffler: &mut Raw, open: &mut bool) {
    *open = !*open;
    let sql = if *open { "BEGIN; SELECT 1" } else { "COMMIT" };
    assert!(tags(&shuffler.talk(&say::query(sql))).ends_with('Z'));
}

/// Fails with the settings that differ.
#[track_caller]
fn same(heard: &[String], wanted: &[String], story: &[String]) {
    let lines = |all: &[String]| {
        all.iter().flat_map(|line| line.split("\\n")).map(str::to_owned).collect::<Vec<_>>()
    };
    let (heard, wanted) = (lines(heard), lines(wanted));
    let differ: Vec<_> = heard.iter().zip(&wanted).filter(|(one, other)| one != other).collect();
    assert!(heard.len() == wanted.len() && differ.is_empty(), "{differ:#?}\n{}", story.join("\n"));
}

fn play(seed: u64, cluster: &Cluster, weir: &Weir) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let startups: [&[(&str, &str)]; 3] = [
        &[],
        &[("options", "-c work_mem=3MB -c TimeZone=America/Lima")],
        &[("DateStyle", "SQL, DMY"), ("search_path", "x"), ("application_name", "startup")],
    ];
    let startup = dice.pick(&startups);
    let mut direct = Side::login(cluster.primary().port(), startup);
    let mut through = Side::login(weir.port(), startup);
    let mut shuffler = Raw::login(weir.port(), "postgres", &[]).unwrap();
    let mut fresh = Side::login(cluster.primary().port(), &[]);
    let new = answers(&fresh.run(&say::query(SEEN)));
    let (mut open, mut story) = (false, vec![format!("seed {seed}, startup {startup:?}")]);
    for _ in 0..STEPS {
        flip(&mut shuffler, &mut open);
        let (words, bytes) = step(&mut dice);
        story.push(words);
        let (wanted, heard) = (answers(&direct.run(&bytes)), answers(&through.run(&bytes)));
        assert_eq!(heard, wanted, "{}", story.join("\n"));
        let failed = wanted.last().is_some_and(|last| last == "Z E");
        if !failed {
            let ask = say::query(SEEN);
            let (wanted, heard) = (answers(&direct.run(&ask)), answers(&through.run(&ask)));
            same(&heard, &wanted, &story);
            assert_eq!(through.told.0, direct.told.0, "{}", story.join("\n"));
        }
    }
    // Whoever comes next has nothing of it.
    through.run(&say::query("ROLLBACK"));
    drop(through);
    let mut next = Side::login(weir.port(), &[]);
    for _ in 0..2 {
        flip(&mut shuffler, &mut open);
        same(&answers(&next.run(&say::query(SEEN))), &new, &story);
    }
}

#[test]
fn any_session_has_the_settings_that_it_would_have_by_itself() {
    let (cluster, weir) = rig(0, &pool(&[("default_pool_size", "2")]));
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match number("WEIR_SEED") {
        Some(seed) => play(seed, &cluster, &weir),
        None => (0..number("WEIR_PROGRAMS").unwrap_or(PROGRAMS))
            .for_each(|seed| play(seed, &cluster, &weir)),
    }
}
