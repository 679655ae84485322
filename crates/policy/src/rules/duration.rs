//! Durations as operators and clients write them.

use std::time::Duration;

/// Units in microseconds, largest first, with Postgres's names (manual, 19.1.1).
const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("min", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// The longest duration that is taken: Postgres's own bound, 2^31 - 1 ms, almost 25 days.
const LONGEST: Duration = Duration::from_millis(0x7fff_ffff);

/// Reads `500ms`, `2s`, `1min`, `1h`, `1d`, `250us`, or a plain whole number of milliseconds.
///
/// `None` for anything else, for fractions, and beyond Postgres's bound of almost 25 days.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(unit_at)?;
    let unit = match unit.trim_start() {
        "" => "ms",
        unit => unit,
    };
    let micros = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, micros)| *micros)?;
    let parsed = Duration::from_micros(digits.parse::<u64>().ok()?.checked_mul(micros)?);
    (parsed <= LONGEST).then_some(parsed)
}

/// Prints a duration as [`parse_duration`] reads it, in the largest unit that leaves no rest.
///
/// Parts below a microsecond are dropped.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    if micros == 0 {
        return "0ms".to_owned();
    }
    let whole = |(_, unit): &&(&str, u64)| micros.is_multiple_of(*unit);
    let (name, unit) = UNITS.iter().find(whole).copied().unwrap_or(("us", 1));
    format!("{}{name}", micros.checked_div(unit).unwrap_or(micros))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_take_the_units_of_postgres() {
        let ms = |millis| Some(Duration::from_millis(millis));
        let table = [
            ("0", ms(0)),
            ("1500", ms(1500)),
            ("500ms", ms(500)),
            ("2 s", ms(2000)),
            ("1min", ms(60_000)),
            ("1h", ms(3_600_000)),
            ("2d", ms(172_800_000)),
            ("250us", Some(Duration::from_micros(250))),
            ("2147483647", ms(2_147_483_647)),
            ("2147483648", None),
            ("99999999999999999999", None),
            ("18446744073709551615d", None),
            ("", None),
            ("ms", None),
            ("-1", None),
            ("+1", None),
            ("1.5s", None),
            ("1 0", None),
            ("1m", None),
            ("1S", None),
            ("١s", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_duration(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_printed_duration_reads_back(micros in 0_u64..2_147_483_647_000) {
            let duration = Duration::from_micros(micros);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
        }
    }
}
