//! Two spellings of one list of tokens have one fingerprint; another name, operator or kind of literal has its own.
//!
//! Three bytes make a token: which one, and how both texts spell it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sql::Scanner;

/// Tokens; those of one row are the same to a fingerprint, those of different rows are not.
const TOKENS: &[&[&str]] = &[
    &["select", "SELECT", "SeLeCt"],
    &["from", "FROM"],
    &["a", "A"],
    &["b$1"],
    &["é"],
    &["É"],
    &["\"a\""],
    &["\"A\""],
    &["\"a\"\"; -- /* '\""],
    &["U&\"a\""],
    &["'x'", "''", "'it''s'", "'-- /*'", "'$$'", "'x' \n 'y'", "'\u{0}'", "'\\d'"],
    &["'\\'"],
    &["E'x'", "e'\\''", "E'\\\\'", "E'a' -- '\n 'b\\''"],
    &["U&'x'", "u&'\\0041'"],
    &["B'0'", "x'1F'"],
    &["$$x$$", "$a$ ' $$ \" $a$", "$é$x$é$", "$$/*$$"],
    &["1", "1.5", ".5", "1e-3", "0x1F", "1_000", "1."],
    &["$1"],
    &["$2"],
    &["+"],
    &["-"],
    &["*"],
    &["/"],
    &["@-"],
    &["<="],
    &["::"],
    &[":="],
    &[":"],
    &[","],
    &[";"],
    &["."],
    &["("],
    &[")"],
    &["["],
    &["]"],
];

/// None begins with `--`: behind a minus that is a longer comment.
const BLANKS: &[&str] = &[
    " ",
    "\n",
    "\t\r\x0c\x0b",
    "/**/",
    "/* /* ' */ \" */",
    " -- x ' \r",
    " --\n",
    "/*$a$*/ ",
    "/***/",
];

fn pick<'a>(from: &[&'a str], by: u8) -> &'a str {
    from[usize::from(by) % from.len()]
}

/// A string goes on behind a line end: its blanks are part of it.
fn may_go_on(tokens: &[&[&str]], at: usize) -> bool {
    let is_text = |at: usize| tokens.get(at).is_some_and(|token| token[0].ends_with('\''));
    is_text(at) && tokens.get(at + 1).is_some_and(|next| next[0].starts_with('\''))
}

fuzz_target!(|bytes: &[u8]| {
    let choices: Vec<[u8; 3]> = bytes.as_chunks().0.to_vec();
    let tokens: Vec<&[&str]> =
        choices.iter().map(|[which, ..]| TOKENS[usize::from(*which) % TOKENS.len()]).collect();
    let text = |spelling: usize, changed: Option<(usize, &str)>| {
        let mut text = String::new();
        for (at, choice) in choices.iter().enumerate() {
            match changed {
                Some((place, instead)) if place == at => text.push_str(instead),
                Some(_) | None => text.push_str(pick(tokens[at], choice[spelling])),
            }
            text.push_str(if may_go_on(&tokens, at) {
                " "
            } else {
                pick(BLANKS, choice[spelling] / 8)
            });
        }
        text
    };
    let scanner = Scanner::new([1, 2]);
    let (one, other) = (text(1, None), text(2, None));
    let scan = scanner.scan(one.as_bytes());
    assert_eq!(scan, scanner.scan(other.as_bytes()), "{one:?}\n{other:?}");
    assert!(!scan.malformed, "{one:?}");
    if let Some(last) = choices.last() {
        let place = usize::from(last[1]) % choices.len();
        let instead = TOKENS[usize::from(last[2]) % TOKENS.len()];
        // Another string there might go on from or into its neighbours.
        if instead != tokens[place]
            && !instead[0].ends_with('\'')
            && !tokens[place][0].ends_with('\'')
        {
            let third = text(1, Some((place, instead[0])));
            assert_ne!(
                scan.fingerprint,
                scanner.scan(third.as_bytes()).fingerprint,
                "{one:?}\n{third:?}"
            );
        }
    }
});
