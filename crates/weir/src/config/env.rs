//! `${NAME}` and `${NAME:-default}` in texts; `$${` is a plain `${`.

/// Where variables are looked up; an argument, so that tests need no process environment.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Replaces variables in `text`; `None` when there are none.
///
/// # Errors
///
/// What is wrong and what to write instead; never a variable's value.
pub(super) fn expand(text: &str, env: Lookup<'_>) -> Result<Option<String>, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut found = false;
    while let Some((before, after)) = rest.split_once("${") {
        found = true;
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let (inside, after) = after.split_once('}').ok_or("${ without its }")?;
        out.push_str(&variable(inside, env)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(found.then_some(out))
}

fn variable(inside: &str, env: Lookup<'_>) -> Result<String, String> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let plain = |char: char| char.is_ascii_alphanumeric() || char == '_';
    if name.is_empty() || !name.chars().all(plain) {
        return Err(format!("${{{name}}} is not the name of an environment variable"));
    }
    let set = env(name).filter(|value| default.is_none() || !value.is_empty());
    set.or_else(|| default.map(str::to_owned))
        .ok_or_else(|| format!("environment variable {name} is not set; ${{{name}:-}} allows that"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<Option<String>, String> {
        expand(text, &|name| match name {
            "SET" => Some("value".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn variables_are_replaced_wherever_they_stand() {
        assert_eq!(expanded("a-${SET}-${SET}"), Ok(Some("a-value-value".into())));
        assert_eq!(expanded("plain $ } text"), Ok(None));
    }

    #[test]
    fn a_default_stands_in_for_what_is_unset_or_empty() {
        assert_eq!(expanded("${UNSET:-x y}"), Ok(Some("x y".into())));
        assert_eq!(expanded("${EMPTY:-x}"), Ok(Some("x".into())));
        assert_eq!(expanded("${EMPTY}"), Ok(Some(String::new())));
        assert_eq!(expanded("${SET:-x}"), Ok(Some("value".into())));
    }

    #[test]
    fn what_cannot_be_replaced_is_a_mistake() {
        assert!(expanded("${UNSET}").unwrap_err().contains("UNSET is not set"));
        assert!(expanded("${SET").unwrap_err().contains("without its }"));
        assert!(expanded("${A B}").unwrap_err().contains("not the name"));
    }

    #[test]
    fn a_doubled_dollar_is_a_dollar() {
        assert_eq!(expanded("$${SET}"), Ok(Some("${SET}".into())));
    }
}
