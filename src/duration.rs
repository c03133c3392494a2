//! Durations as text, in Go's form: `300ms`, `1m30s`, `2h45m`. Settings are written in it.

use std::fmt;
use std::time::Duration;

const NANOS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// The text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid duration `{text}`: write numbers with units, such as `300ms`, `30s` or `1h30m`")]
pub(crate) struct InvalidDuration {
    text: String,
}

/// Reads Go's form: numbers, each with a unit of `ns us ms s m h`, without a sign; `0` needs no unit.
///
/// # Errors
/// When the text has another form, or is longer than Go can hold (292 years).
pub(crate) fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    nanos(text)
        .map(Duration::from_nanos)
        .ok_or_else(|| InvalidDuration {
            text: text.chars().take(40).collect(),
        })
}

fn nanos(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut sum: u64 = 0;
    loop {
        let (number, after) = rest.split_at(end_of(rest, |c| c.is_ascii_digit() || c == '.')?);
        let (unit, after) =
            after.split_at(end_of(after, |c| c.is_alphabetic()).unwrap_or(after.len()));
        let &(_, scale) = NANOS.iter().find(|(name, _)| *name == unit)?;
        sum = sum.checked_add(scaled(number, scale)?)?;
        if after.is_empty() {
            return i64::try_from(sum).is_ok().then_some(sum);
        }
        rest = after;
    }
}

/// Where the characters that fit end, when others follow.
fn end_of(text: &str, fits: impl Fn(char) -> bool) -> Option<usize> {
    text.find(|c| !fits(c))
}

/// `number x scale`; digits below a nanosecond are dropped, as in Go.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut sum = if whole.is_empty() {
        0
    } else {
        whole.parse::<u64>().ok()?.checked_mul(scale)?
    };
    let mut place = scale;
    for digit in fraction.chars() {
        place /= 10;
        sum = sum.checked_add(u64::from(digit.to_digit(10)?) * place)?;
    }
    Some(sum)
}

/// Writes a duration as Go does: `1m30s`, `250ms`, `1.5s`, `5m0s`.
pub(crate) fn text(duration: Duration) -> String {
    GoText(duration).to_string()
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

/// For `#[serde(with = "crate::duration::serde_text")]`.
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

/// For `#[serde(default, with = "crate::duration::serde_option")]`.
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
            let duration = parse(read).unwrap();
            assert_eq!(duration, Duration::from_nanos(nanos), "{read}");
            assert_eq!(text(duration), written);
            assert_eq!(parse(written).unwrap(), duration);
        }
    }

    #[test]
    fn other_texts_are_refused_and_named() {
        for bad in [
            "",
            "5",
            "s",
            ".s",
            "1d",
            "-1s",
            "1 s",
            "1s 2m",
            "5minutes",
            "1..5s",
            "400000000h",
            "99999999999999999999s",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse("1d").unwrap_err().to_string().contains("`1d`"));
    }
}
