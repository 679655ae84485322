//! Durations and sizes with their units in the value: `500ms`, `8MiB`.

use std::time::Duration;

pub(super) use policy::rules::format_duration as spelled;

/// Reads `500ms`, `1s`, `5min`, `1h`, `250us` or a plain `0`.
///
/// The words are those of `SET weir.*`, except that a number needs its unit: `PgBouncer` would mean
/// seconds by it, Postgres milliseconds.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    policy::rules::parse_duration(text).filter(|read| !plain || read.is_zero())
}

/// Reads `8MiB`, `64KiB`, `1GiB`, `512B` or a plain number of bytes.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at_checked(digits)?;
    let factor = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    count.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_a_unit_unless_it_is_nothing() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("2min"), Some(Duration::from_secs(120)));
        assert_eq!(duration("0"), Some(Duration::ZERO));
        assert_eq!(duration("500"), None);
        assert_eq!(duration("-1s"), None);
        assert_eq!(duration("1.5s"), None);
        assert_eq!(duration("s"), None);
        assert_eq!(duration(""), None);
        assert_eq!(duration("99999999999999999999s"), None);
    }

    #[test]
    fn sizes_are_powers_of_two() {
        assert_eq!(bytes("8MiB"), Some(8 << 20));
        assert_eq!(bytes("1024"), Some(1024));
        assert_eq!(bytes("8MB"), None);
        assert_eq!(bytes("18446744073709551615GiB"), None);
    }
}
