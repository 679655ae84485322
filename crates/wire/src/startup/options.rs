//! The startup parameter `options`: settings as command-line switches.

use super::StartupError;

/// Splits `options` into settings, in order; later ones win.
///
/// Understood are `-c name=value`, `-cname=value` and `--name=value`, where a
/// backslash takes the next character literally ("options" in the manual's
/// libpq parameters; the server's `pg_split_opts` and `ParseLongOption`). In
/// names `-` is read as `_`, as the server does.
///
/// # Errors
///
/// [`StartupError::BadOption`] names any other switch: refuse the connection,
/// since what it asks for would silently not be done.
pub fn parse_options(options: &str) -> Result<Vec<(String, String)>, StartupError> {
    let mut words = words(options).into_iter();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = match (word.strip_prefix("--"), word.strip_prefix("-c")) {
            (Some(long), _) => setting(long),
            (None, Some("")) => words.next().as_deref().and_then(setting),
            (None, Some(short)) => setting(short),
            (None, None) => None,
        };
        settings.push(setting.ok_or(StartupError::BadOption { option: word })?);
    }
    Ok(settings)
}

fn setting(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    (!name.is_empty()).then(|| (name.replace('-', "_"), value.to_owned()))
}

fn words(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = options.chars();
    while let Some(c) = chars.next() {
        match c {
            // C's isspace, which counts \v and no Unicode space.
            ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r' => words.extend(word.take()),
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::{StartupError, parse_options};

    fn settings(options: &str) -> Vec<(String, String)> {
        parse_options(options).unwrap()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn all_three_spellings_of_a_setting_are_understood() {
        assert_eq!(
            settings("-c a=1 -cb=2 --weir.max-lag=3s  "),
            [pair("a", "1"), pair("b", "2"), pair("weir.max_lag", "3s")]
        );
    }

    #[test]
    fn a_backslash_keeps_a_space_and_a_backslash_in_the_value() {
        assert_eq!(settings(r"-c a=x\ y\\z"), [pair("a", r"x y\z")]);
    }

    #[test]
    fn a_value_may_be_empty_and_may_hold_equal_signs() {
        assert_eq!(settings("-c a= --b=c=d"), [pair("a", ""), pair("b", "c=d")]);
    }

    #[test]
    fn nothing_but_space_is_no_setting() {
        assert_eq!(settings(" \t\n\x0b\x0c\r"), []);
    }

    #[test]
    fn what_is_not_a_setting_is_refused_by_name() {
        for (options, word) in [
            ("-W 3", "-W"),
            ("-c", "-c"),
            ("-c a", "-c"),
            ("--", "--"),
            ("--=1", "--=1"),
            ("a=1", "a=1"),
        ] {
            let error = StartupError::BadOption { option: word.to_owned() };
            assert_eq!(parse_options(options), Err(error), "{options}");
        }
    }
}
