//! Any text: what is said of it stays true next to other texts, for its fingerprint, and without a catalog.
#![no_main]

use libfuzzer_sys::fuzz_target;
use schema::{Database, Harmless};
use sql::{
    Class, Classified, Classifier, Effect, KeyedBy, Pin, Scanner, leading_hint, named_statement,
};

#[expect(
    clippy::disallowed_types,
    reason = "libFuzzer calls the target, with nothing to hand down"
)]
static DATABASE: std::sync::LazyLock<Database> =
    std::sync::LazyLock::new(|| Database::new(&Harmless::default()));

const SCANNER: Scanner = Scanner::new([1, 2]);

fuzz_target!(|text: &str| {
    let found = DATABASE.classify(text);
    assert_eq!(found, DATABASE.classify(text), "the same twice");
    shape(text, &found);
    same_for_the_fingerprint(text, &found);
    hints(text);
    names(text, &found);
    let unknown = Classifier::new().classify(text, None);
    assert!(unknown.statements == 0 || unknown.class > Class::Read, "a read without a catalog");
    if let Some((one, other)) = text.split_once('\u{1}') {
        side_by_side(one, other);
    }
});

/// Whether where the text's strings end hangs on nothing that stands around it.
fn is_plain(text: &str) -> bool {
    !SCANNER.scan(text.as_bytes()).malformed && !text.contains('\\')
}

fn shape(text: &str, found: &Classified) {
    assert_eq!(found.effects.len(), found.steps.len());
    // What is of the whole text comes last, as if it were of the first statement.
    assert!(found.steps.is_sorted() || !is_plain(text) || found.statements >= 1_000);
    assert!(found.steps.iter().all(|step| *step < found.statements.max(1)));
    if SCANNER.scan(text.as_bytes()).malformed {
        assert_eq!(found.class, Class::Write);
        assert_eq!(found.keyed_by, KeyedBy::Nothing);
    }
    if found.class == Class::Read {
        // A pin on a replica would keep its session from writing.
        assert!(found.effects.iter().all(|effect| !matches!(
            effect,
            Effect::Pin(
                Pin::Listen
                    | Pin::TemporaryRelation
                    | Pin::AdvisoryLock
                    | Pin::HoldCursor
                    | Pin::Prepare
                    | Pin::Load
                    | Pin::SequenceValue
                    | Pin::Unknown
            )
        )));
        assert!(!found.reaches_outside);
    }
}

/// Changes literals blindly; where the fingerprint stays, so does all that is kept by it.
fn same_for_the_fingerprint(text: &str, found: &Classified) {
    let print = SCANNER.scan(text.as_bytes());
    let other_digits = |c: char| {
        c.to_digit(10).map_or(c, |digit| char::from_digit((digit + 1) % 10, 10).unwrap_or(c))
    };
    let digits: String = text.chars().map(other_digits).collect();
    let quoted = text
        .split('\'')
        .enumerate()
        .map(|(at, part)| {
            if at % 2 == 1 {
                part.replace(|c: char| c.is_ascii_alphanumeric(), "x")
            } else {
                part.to_owned()
            }
        })
        .collect::<Vec<_>>()
        .join("'");
    let emptied = text
        .split('\'')
        .enumerate()
        .map(|(at, part)| if at % 2 == 1 { "" } else { part })
        .collect::<Vec<_>>()
        .join("'");
    for other in [digits, quoted, emptied, format!("/* ' */{text}\n")] {
        if other == text || SCANNER.scan(other.as_bytes()) != print {
            continue;
        }
        let said = DATABASE.classify(&other);
        assert_eq!(found.keyed_by, said.keyed_by, "{other:?}");
        if found.keyed_by == KeyedBy::Fingerprint {
            assert_eq!(*found, said, "{other:?}");
        }
    }
}

/// Hints come from the leading comment or from nowhere.
fn hints(text: &str) {
    let pairs =
        |text: &str| leading_hint(text).map(|hint| format!("{:?}", hint.pairs.collect::<Vec<_>>()));
    let hint = pairs(text);
    if hint.is_some() {
        let (comment, _) = text.split_once("*/").expect("a hint is a closed comment");
        assert!(comment.trim_start().starts_with("/*"));
        assert_eq!(hint, pairs(&format!("{comment}*/")), "the rest does not count");
    }
    for before in ["SELECT 1", "--\n", "/**/", ";", "'"] {
        assert_eq!(pairs(&format!("{before}{text}")), None, "behind {before}");
    }
}

fn names(text: &str, found: &Classified) {
    let Some(named) = named_statement(text.as_bytes()) else { return };
    assert!(text.get(named.place).is_some_and(|spelled| !spelled.is_empty()));
    assert_eq!(found.statements, 1);
    assert!(found.class > Class::Read);
}

/// Nothing that is added makes a text weaker, unless it makes the text broken.
fn side_by_side(one: &str, other: &str) {
    if !is_plain(one) || !is_plain(other) {
        return;
    }
    let (alone, beside) = (DATABASE.classify(one), DATABASE.classify(other));
    let both = DATABASE.classify(&format!("{one}\n;\n{other}"));
    // An open parenthesis takes the semicolon in; no server parses that.
    if both.statements == alone.statements + beside.statements {
        assert!(both.class >= alone.class.max(beside.class), "{one:?} and {other:?}");
        assert!(both.reaches_outside || !(alone.reaches_outside || beside.reaches_outside));
    }
}
