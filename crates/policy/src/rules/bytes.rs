//! Sizes as PostgreSQL writes them in settings (manual, 20.1.1): the multiplier is 1024.

const UNITS: [(&str, u64); 5] =
    [("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10), ("B", 1)];

/// Reads a size such as `512kB`, `16MB` or `1GB`; a bare number is bytes.
///
/// Units don't depend on case, and `KiB`, `MiB`, … mean the same.
#[must_use]
pub fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = unit.trim().to_ascii_lowercase().replace("ib", "b");
    let unit = if unit.is_empty() { "b" } else { &unit };
    let (_, size) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.parse::<u64>().ok()?.checked_mul(*size)
}

/// Writes a size in the largest unit that leaves it whole.
#[must_use]
pub fn format_bytes(bytes: u64) -> String {
    let whole = |(_, size): &&(&str, u64)| bytes >= *size && bytes.is_multiple_of(*size);
    let (name, size) = UNITS.iter().find(whole).unwrap_or(&("B", 1));
    format!("{}{name}", bytes.checked_div(*size).unwrap_or(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_are_those_of_postgres_and_of_the_file() {
        for (text, bytes) in [
            ("0", 0),
            ("1000", 1000),
            ("8kB", 8192),
            ("8 KB", 8192),
            ("8KiB", 8192),
            (" 16MB ", 16 << 20),
            ("1gb", 1 << 30),
            ("2TB", 2 << 40),
        ] {
            assert_eq!(parse_bytes(text), Some(bytes), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "kB", "-1", "1.5MB", "16MBs", "99999999999TB", "1 2"] {
            assert_eq!(parse_bytes(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_printed_size_reads_back(bytes in any::<u64>()) {
            prop_assert_eq!(parse_bytes(&format_bytes(bytes)), Some(bytes));
        }

        #[test]
        fn no_text_panics(text in ".{0,12}") {
            let _parsed = parse_bytes(&text);
        }
    }
}
