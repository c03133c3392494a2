//! Durations as text: `300ms`, `30s`, `1h30m`, `3d`, `2 min`. The grammar of all our own settings.
//!
//! It accepts Go's format and StateFun's, so that one form works in a whole file: numbers, each with a unit, with optional blanks.
//! Durations are printed in Go's format.

use std::fmt;
use std::time::Duration;

/// The names of each unit, upper or lower case, and its nanoseconds.
const UNITS: [(&[&str], u64); 7] = [
    (&["ns", "nano", "nanos", "nanosecond", "nanoseconds"], 1),
    (
        &[
            "us",
            "µs",
            "μs",
            "micro",
            "micros",
            "microsecond",
            "microseconds",
        ],
        1_000,
    ),
    (
        &["ms", "milli", "millis", "millisecond", "milliseconds"],
        1_000_000,
    ),
    (&["s", "sec", "secs", "second", "seconds"], 1_000_000_000),
    (&["m", "min", "minute", "minutes"], 60_000_000_000),
    (&["h", "hour", "hours"], 3_600_000_000_000),
    (&["d", "day", "days"], 86_400_000_000_000),
];

/// The text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid duration `{text}`: {problem}")]
pub(crate) struct InvalidSpan {
    text: String,
    problem: &'static str,
}

const FORM: &str = "write numbers with units, such as `300ms`, `30s`, `1h30m` or `3d`";
const NO_UNIT: &str = "it has no unit; write it as `500ms`, `30s`, `1h30m` or `3d`";
const TOO_LONG: &str = "it is longer than 292 years";

/// Reads numbers, each with a unit of `ns us ms s m h d` or its name in full, without a sign; `0` needs no unit.
///
/// # Errors
/// If the text has another form, or is longer than 292 years, Go's maximum.
pub(crate) fn parse(text: &str) -> Result<Duration, InvalidSpan> {
    let nanos = nanos(text.trim()).map_err(|problem| InvalidSpan {
        text: text.chars().take(40).collect(),
        problem,
    })?;
    Ok(Duration::from_nanos(nanos))
}

fn nanos(text: &str) -> Result<u64, &'static str> {
    if text == "0" {
        return Ok(0);
    }
    let mut rest = text;
    let mut sum: u64 = 0;
    while !rest.is_empty() || text.is_empty() {
        let (number, after) = split(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, after) = split(after.trim_start(), char::is_alphabetic);
        if number.is_empty() || !number.bytes().any(|byte| byte.is_ascii_digit()) {
            return Err(FORM);
        }
        if unit.is_empty() {
            return Err(NO_UNIT);
        }
        let unit = unit.to_lowercase();
        let (_, scale) = UNITS
            .iter()
            .find(|(names, _)| names.contains(&unit.as_str()))
            .ok_or(FORM)?;
        sum = sum.checked_add(scaled(number, *scale)?).ok_or(TOO_LONG)?;
        rest = after.trim_start();
    }
    i64::try_from(sum).map(|_| sum).map_err(|_| TOO_LONG)
}

/// The matching characters at the front, and the rest.
fn split(text: &str, fits: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !fits(c)).unwrap_or(text.len());
    text.split_at(end)
}

/// `number x scale`; digits below a nanosecond are dropped, as in Go.
fn scaled(number: &str, scale: u64) -> Result<u64, &'static str> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut sum = match whole {
        "" => 0,
        whole => whole
            .parse::<u64>()
            .ok()
            .and_then(|whole| whole.checked_mul(scale))
            .ok_or(TOO_LONG)?,
    };
    let mut place = scale;
    for digit in fraction.chars() {
        place /= 10;
        let digit = digit.to_digit(10).ok_or(FORM)?;
        sum = sum.checked_add(u64::from(digit) * place).ok_or(TOO_LONG)?;
    }
    Ok(sum)
}

/// Formats a duration as Go does: `1m30s`, `250ms`, `1.5s`, `5m0s`.
pub(crate) fn text(span: Duration) -> String {
    GoText(span).to_string()
}

struct GoText(Duration);

impl fmt::Display for GoText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{nanos}ns"),
            1_000..1_000_000 => decimal(f, nanos, 1_000, "µs"),
            1_000_000..1_000_000_000 => decimal(f, nanos, 1_000_000, "ms"),
            _ => {
                let (minutes, rest) = (nanos / 60_000_000_000, nanos % 60_000_000_000);
                if minutes >= 60 {
                    write!(f, "{}h", minutes / 60)?;
                }
                if minutes > 0 {
                    write!(f, "{}m", minutes % 60)?;
                }
                decimal(f, rest, 1_000_000_000, "s")
            }
        }
    }
}

fn decimal(f: &mut fmt::Formatter<'_>, value: u128, unit: u128, name: &str) -> fmt::Result {
    let width = unit.ilog10() as usize;
    let fraction = format!("{:0width$}", value % unit);
    match fraction.trim_end_matches('0') {
        "" => write!(f, "{}{name}", value / unit),
        fraction => write!(f, "{}.{fraction}{name}", value / unit),
    }
}

/// For `#[serde(with = "crate::time::span::serde_text")]`.
pub(crate) mod serde_text {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&super::GoText(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        super::parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// For `#[serde(default, with = "crate::time::span::serde_option")]`.
pub(crate) mod serde_option {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(&super::GoText(*value)),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| super::parse(&text).map_err(D::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_texts_are_read_and_written_back_in_gos_form() {
        let cases = [
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
            ("300ms", 300_000_000, "300ms"),
            ("1.5s", 1_500_000_000, "1.5s"),
            (".5s", 500_000_000, "500ms"),
            ("1.s", 1_000_000_000, "1s"),
            ("1m30s", 90_000_000_000, "1m30s"),
            ("5m", 300_000_000_000, "5m0s"),
            ("1h30m", 5_400_000_000_000, "1h30m0s"),
            ("72h", 259_200_000_000_000, "72h0m0s"),
            ("1.5us", 1_500, "1.5µs"),
            ("7ns", 7, "7ns"),
        ];
        for (read, nanos, written) in cases {
            let span = parse(read).unwrap();
            assert_eq!(span, Duration::from_nanos(nanos), "{read}");
            assert_eq!(text(span), written);
            assert_eq!(parse(written).unwrap(), span);
        }
    }

    #[test]
    fn days_names_in_full_and_blanks_are_read_as_in_statefun() {
        for (read, seconds) in [
            ("3d", 259_200),
            ("1d12h", 129_600),
            ("1.5d", 129_600),
            ("2 min", 120),
            ("1 h 30 m", 5_400),
            (" 10 Seconds ", 10),
        ] {
            assert_eq!(parse(read), Ok(Duration::from_secs(seconds)), "{read}");
        }
    }

    #[test]
    fn other_texts_are_refused_and_named() {
        for bad in [
            "",
            "5",
            "s",
            ".s",
            "1w",
            "-1s",
            "5minutess",
            "1..5s",
            "1s5",
            "400000000h",
            "99999999999999999999s",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(
            parse("500").unwrap_err().to_string(),
            "invalid duration `500`: it has no unit; write it as `500ms`, `30s`, `1h30m` or `3d`"
        );
    }
}
